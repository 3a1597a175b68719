/*
 * A set-associative table: a pair lies in one of the WAYS places of its row. Where a row is full,
 * a pair that need not wait and failed longest ago makes room, so whoever has to wait cannot
 * get out of it by failing under many other names.
 */
#include "throttle.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <nettle/hmac.h>

enum { WAYS = 8, ADDRESS_TEXT = 64, ADDRESS_MAX = 16 };

struct pair {
    uint64_t name;   /* keyed hash of the pair; 0: nobody's place */
    int64_t last_ms; /* its last failure */
    size_t next;     /* in its ring: the oldest failure, or a place without one (0) */
};

struct throttle {
    pthread_mutex_t lock;
    struct hmac_sha256_ctx mac; /* keyed; copied for use */
    size_t rows, most;
    int64_t window_ms;
    struct pair *pairs;            /* rows * WAYS */
    int64_t *times;                /* a ring of `most` for each pair */
    atomic_int_least64_t until_ms; /* nothing in the table counts any more from here on */
};

struct throttle *throttle_new(struct andiron_arena *arena, size_t pairs, size_t most,
                              int64_t window_ms, const uint8_t key[32])
{
    struct throttle *t = andiron_new(arena, struct throttle);

    (void)pthread_mutex_init(&t->lock, NULL); /* cannot fail without attributes */
    hmac_sha256_set_key(&t->mac, 32, key);
    t->rows = (pairs + WAYS - 1) / WAYS;
    t->most = most;
    t->window_ms = window_ms;
    if (most == 0)
        return t;
    t->pairs = calloc(t->rows * WAYS, sizeof(*t->pairs));
    t->times = calloc(t->rows * WAYS * most, sizeof(*t->times));
    if (t->pairs == NULL || t->times == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    return t;
}

void throttle_free(struct throttle *throttle)
{
    if (throttle == NULL)
        return;
    free(throttle->pairs);
    free(throttle->times);
    (void)pthread_mutex_destroy(&throttle->lock);
}

/* What of an address is counted, into out; as it stands where it is no address (a socket's). */
static size_t address_bytes(andiron_str address, uint8_t out[ADDRESS_TEXT])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    char text[ADDRESS_TEXT] = "";
    uint8_t bytes[ADDRESS_MAX];
    size_t len = address.len < sizeof(text) ? address.len : sizeof(text) - 1;

    if (len != 0)
        memcpy(text, address.data, len);
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    if (inet_pton(AF_INET6, text, bytes) != 1) {
        memcpy(out, text, len);
        return len;
    }
    bool is_v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
    memcpy(out, is_v4 ? bytes + sizeof(mapped) : bytes, is_v4 ? 4 : 8);
    return is_v4 ? 4 : 8;
}

static uint64_t name_of(const struct throttle *t, andiron_str id, andiron_str address)
{
    struct hmac_sha256_ctx mac = t->mac;
    uint8_t bytes[ADDRESS_TEXT], digest[sizeof(uint64_t)];
    size_t len = address_bytes(address, bytes);
    uint64_t name;

    hmac_sha256_update(&mac, len, bytes);
    hmac_sha256_update(&mac, 1, (const uint8_t *)"\0");
    if (id.len != 0)
        hmac_sha256_update(&mac, id.len, (const uint8_t *)id.data);
    hmac_sha256_digest(&mac, sizeof(digest), digest);
    memcpy(&name, digest, sizeof(name));
    return name != 0 ? name : 1;
}

static int64_t *ring_of(const struct throttle *t, const struct pair *pair)
{
    return t->times + (size_t)(pair - t->pairs) * t->most;
}

static int64_t wait_of(const struct throttle *t, const struct pair *pair, int64_t now_ms)
{
    int64_t oldest = ring_of(t, pair)[pair->next];

    return oldest != 0 && oldest + t->window_ms > now_ms ? oldest + t->window_ms - now_ms : 0;
}

static struct pair *find(const struct throttle *t, uint64_t name)
{
    struct pair *row = t->pairs + name % t->rows * WAYS;

    for (size_t i = 0; i < WAYS; i++)
        if (row[i].name == name)
            return &row[i];
    return NULL;
}

/* The pair's place, if need be somebody else's. */
static struct pair *place(const struct throttle *t, uint64_t name, int64_t now_ms)
{
    struct pair *row = t->pairs + name % t->rows * WAYS, *chosen = find(t, name);

    if (chosen != NULL)
        return chosen;
    for (size_t i = 0; i < WAYS; i++) {
        bool waits = wait_of(t, &row[i], now_ms) != 0;
        bool chosen_waits = chosen != NULL && wait_of(t, chosen, now_ms) != 0;
        if (chosen == NULL || (chosen_waits && !waits) ||
            (chosen_waits == waits && row[i].last_ms < chosen->last_ms))
            chosen = &row[i];
    }
    *chosen = (struct pair){ .name = name };
    memset(ring_of(t, chosen), 0, t->most * sizeof(int64_t));
    return chosen;
}

int64_t throttle_wait(struct throttle *t, andiron_str id, andiron_str address, int64_t now_ms)
{
    int64_t wait = 0;

    /* As a rule nobody has failed lately: no lock then, and no hash. */
    if (atomic_load_explicit(&t->until_ms, memory_order_acquire) <= now_ms)
        return 0;
    uint64_t name = name_of(t, id, address);
    (void)pthread_mutex_lock(&t->lock);
    const struct pair *pair = find(t, name);
    if (pair != NULL)
        wait = wait_of(t, pair, now_ms);
    (void)pthread_mutex_unlock(&t->lock);
    return wait;
}

int64_t throttle_failed(struct throttle *t, andiron_str id, andiron_str address, int64_t now_ms,
                        bool *ret_first_wait)
{
    *ret_first_wait = false;
    if (t->most == 0)
        return 0;
    uint64_t name = name_of(t, id, address);
    (void)pthread_mutex_lock(&t->lock);
    struct pair *pair = place(t, name, now_ms);
    int64_t wait = wait_of(t, pair, now_ms);
    if (wait == 0) {
        ring_of(t, pair)[pair->next] = now_ms;
        pair->next = (pair->next + 1) % t->most;
        pair->last_ms = now_ms;
        *ret_first_wait = wait_of(t, pair, now_ms) != 0;
        if (atomic_load(&t->until_ms) < now_ms + t->window_ms)
            atomic_store(&t->until_ms, now_ms + t->window_ms);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return wait;
}
