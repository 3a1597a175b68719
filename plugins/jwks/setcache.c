/*
 * The table of key sets: a hash table with a bounded number of entries.
 */
#include "setcache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

enum { BUCKETS = 256 };

struct keyset {
    atomic_uint references;
    size_t len;
    char text[];
};

struct entry {
    struct entry *next;
    struct keyset *set;
    int64_t fetched_ms, expires_ms, failed_until_ms, forced_ms, used_ms;
    bool was_forced, in_flight;
    struct set_waiter *waiters;
    size_t url_len;
    char url[];
};

struct setcache {
    pthread_mutex_t lock;
    struct setcache_limits limits;
    size_t count;
    struct entry *buckets[BUCKETS];
};

/* ---- sets ----------------------------------------------------------------------- */

struct keyset *keyset_new(andiron_str text)
{
    struct keyset *set = malloc(sizeof(*set) + text.len);
    if (set == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    atomic_init(&set->references, 1);
    set->len = text.len;
    if (text.len != 0)
        memcpy(set->text, text.data, text.len);
    return set;
}

andiron_str keyset_text(const struct keyset *set)
{
    return (andiron_str){ set->text, set->len };
}

static struct keyset *keyset_hold(struct keyset *set)
{
    if (set != NULL)
        atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void keyset_drop(struct keyset *set)
{
    if (set != NULL && atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) == 1)
        free(set);
}

/* ---- entries ---------------------------------------------------------------------- */

static struct entry **slot_of(struct setcache *cache, andiron_str url)
{
    /* FNV-1a. URLs come from administrators, not from whoever asks for a token. */
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < url.len; i++)
        hash = (hash ^ (uint8_t)url.data[i]) * 16777619u;
    struct entry **at = &cache->buckets[hash % BUCKETS];
    while (*at != NULL && !andiron_str_eq((andiron_str){ (*at)->url, (*at)->url_len }, url))
        at = &(*at)->next;
    return at;
}

static void entry_free(struct entry *entry)
{
    keyset_drop(entry->set);
    free(entry);
}

/* Makes room by ending what was not used for the longest time. */
static void evict(struct setcache *cache)
{
    struct entry **oldest = NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct entry **at = &cache->buckets[i]; *at != NULL; at = &(*at)->next)
            if (!(*at)->in_flight && (oldest == NULL || (*at)->used_ms < (*oldest)->used_ms))
                oldest = at;
    if (oldest == NULL)
        return;
    struct entry *gone = *oldest;
    *oldest = gone->next;
    entry_free(gone);
    cache->count--;
}

static struct entry *entry_of(struct setcache *cache, andiron_str url)
{
    struct entry **at = slot_of(cache, url);
    if (*at != NULL)
        return *at;
    if (cache->count >= cache->limits.max_sets) {
        evict(cache);
        at = slot_of(cache, url);
    }
    struct entry *entry = calloc(1, sizeof(*entry) + url.len);
    if (entry == NULL)
        abort();
    memcpy(entry->url, url.data, url.len);
    entry->url_len = url.len;
    cache->count++;
    *at = entry;
    return entry;
}

struct setcache *setcache_new(const struct setcache_limits *limits)
{
    struct setcache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        abort();
    (void)pthread_mutex_init(&cache->lock, NULL); /* cannot fail with default attributes */
    cache->limits = *limits;
    return cache;
}

void setcache_free(struct setcache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (cache->buckets[i] != NULL) {
            struct entry *entry = cache->buckets[i];
            cache->buckets[i] = entry->next;
            entry_free(entry);
        }
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* ---- decisions ---------------------------------------------------------------------- */

static enum setcache_answer ask(struct setcache *cache, andiron_str url, bool renew, int64_t now_ms,
                                struct set_waiter *waiter)
{
    struct entry *entry = entry_of(cache, url);
    bool fresh = entry->set != NULL && now_ms < entry->expires_ms;
    bool forced_lately =
        entry->was_forced && now_ms - entry->forced_ms < cache->limits.min_refresh_ms;

    /* A set that may not be kept: whoever misses a kid in it has fetched it a moment ago. */
    bool just_fetched = entry->set != NULL && entry->expires_ms <= entry->fetched_ms &&
                        now_ms - entry->fetched_ms < cache->limits.min_refresh_ms;

    entry->used_ms = now_ms;
    if (renew && just_fetched) {
        waiter->set = keyset_hold(entry->set);
        return SETCACHE_HIT;
    }
    if (fresh && (!renew || forced_lately || now_ms < entry->failed_until_ms)) {
        waiter->set = keyset_hold(entry->set);
        return SETCACHE_HIT;
    }
    if (!entry->in_flight && now_ms < entry->failed_until_ms)
        return SETCACHE_FAILED;
    waiter->next = entry->waiters;
    entry->waiters = waiter;
    if (entry->in_flight)
        return SETCACHE_JOINED;
    entry->in_flight = true;
    if (fresh) {
        entry->was_forced = true;
        entry->forced_ms = now_ms;
    }
    return SETCACHE_FETCH;
}

enum setcache_answer setcache_ask(struct setcache *cache, andiron_str url, bool renew,
                                  int64_t now_ms, struct set_waiter *waiter)
{
    *waiter = (struct set_waiter){ .next = NULL };
    (void)pthread_mutex_lock(&cache->lock);
    enum setcache_answer answer = ask(cache, url, renew, now_ms, waiter);
    (void)pthread_mutex_unlock(&cache->lock);
    return answer;
}

struct set_waiter *setcache_done(struct setcache *cache, andiron_str url, struct keyset *set,
                                 int64_t lifetime_ms, bool remember, int64_t now_ms)
{
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = entry_of(cache, url);
    struct set_waiter *waiters = entry->waiters;
    int64_t longest = cache->limits.lifetime_ms;

    entry->waiters = NULL;
    entry->in_flight = false;
    if (set != NULL) {
        keyset_drop(entry->set);
        entry->set = keyset_hold(set);
        entry->fetched_ms = now_ms;
        entry->expires_ms =
            now_ms + (lifetime_ms < 0 || lifetime_ms > longest ? longest : lifetime_ms);
        entry->failed_until_ms = 0;
    } else if (remember) {
        entry->failed_until_ms = now_ms + cache->limits.retry_ms;
    }
    /* A failed early fetch leaves a set that is still fresh in force. */
    struct keyset *answer = set != NULL                                        ? set
                            : entry->set != NULL && now_ms < entry->expires_ms ? entry->set
                                                                               : NULL;
    for (struct set_waiter *w = waiters; w != NULL; w = w->next)
        w->set = keyset_hold(answer);
    (void)pthread_mutex_unlock(&cache->lock);
    return waiters;
}

/* ---- Cache-Control -------------------------------------------------------------------- */

static andiron_str trimmed(andiron_str s)
{
    while (s.len != 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len != 0 && strchr(" \t\r\n", s.data[s.len - 1]) != NULL)
        s.len--;
    return s;
}

static bool is_named(andiron_str directive, const char *name)
{
    size_t len = strlen(name);
    return directive.len >= len && strncasecmp(directive.data, name, len) == 0 &&
           (directive.len == len || directive.data[len] == '=');
}

/* Seconds of "max-age=300" or max-age="300" as milliseconds; 0 for anything else. */
static int64_t max_age(andiron_str value)
{
    int64_t seconds = 0;
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
        value.data++;
        value.len -= 2;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 0;
        if (seconds < 1000000000)
            seconds = seconds * 10 + (value.data[i] - '0');
    }
    return seconds * 1000;
}

int64_t setcache_lifetime(andiron_str field, int64_t earlier_ms)
{
    int64_t lifetime = earlier_ms;

    while (field.len != 0) {
        const char *comma = memchr(field.data, ',', field.len);
        size_t len = comma != NULL ? (size_t)(comma - field.data) : field.len;
        andiron_str directive = trimmed((andiron_str){ field.data, len });
        int64_t allows = -1;
        if (is_named(directive, "no-store") || is_named(directive, "no-cache"))
            allows = 0;
        else if (is_named(directive, "max-age"))
            allows = directive.len > 8
                         ? max_age((andiron_str){ directive.data + 8, directive.len - 8 })
                         : 0;
        if (allows >= 0 && (lifetime < 0 || allows < lifetime))
            lifetime = allows;
        len += comma != NULL;
        field.data += len;
        field.len -= len;
    }
    return lifetime;
}
