/*
 * Fetching key sets: one exchange (transfer.c) for all that wait for the same URL. Runs on one
 * loop; what loops share is in setcache.c.
 */
#include <stdlib.h>

#include "common/jose/jwk.h"
#include "jwks.h"
#include "transfer.h"

struct fetcher {
    struct jwks *jwks;
    struct transfers *sets, *posts;
    struct fetch_wait *fetched; /* requests that began fetches and live */
};

struct transfers *fetcher_posts(struct fetcher *fetcher)
{
    return fetcher->posts;
}

struct fetch_wait **fetcher_fetched(struct fetcher *fetcher)
{
    return &fetcher->fetched;
}

/* ---- key sets ----------------------------------------------------------------------- */

struct fetching {
    struct jwks *jwks;
    size_t len;
    char url[];
};

static void wake(struct set_waiter *waiters)
{
    while (waiters != NULL) {
        struct fetch_wait *w = (struct fetch_wait *)(void *)waiters;
        waiters = waiters->next; /* the request may go on, and end, as soon as it is resumed */
        andiron_resume(w->req);
    }
}

/* Whether what came is a key set that may be kept. */
static const char *check_set(const struct jwks *jwks, andiron_str body)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_json root;
    const char *fault = NULL;

    if (andiron_json_parse(arena, body, &root, &err) != 0)
        fault = "the answer is not JSON";
    else if (jose_set_check(jose_set_keys(root), (size_t)jwks->config->max_keys, &err) != 0)
        fault = "the answer is not a set of public keys within `max-keys`";
    andiron_arena_free(arena);
    return fault;
}

static void set_ended(void *arg, const struct transfer_end *end)
{
    struct fetching *f = arg;
    struct jwks *jwks = f->jwks;

    if (end == NULL) { /* the loop ends */
        free(f);
        return;
    }
    const char *failure = end->failure != NULL ? end->failure : check_set(jwks, end->body);
    struct keyset *set = failure == NULL ? keyset_new(end->body) : NULL;

    andiron_count(failure == NULL ? jwks->fetched : jwks->failed, 1);
    atomic_store(failure == NULL ? &jwks->ok_ms : &jwks->failed_ms, jwks_clock());
    if (failure != NULL)
        andiron_log(jwks->host, ANDIRON_LOG_WARN, "jwks.fetch.failed",
                    "key set at %s://%s:%u cannot be fetched: %s",
                    end->url->https ? "https" : "http", end->url->host, (unsigned)end->url->port,
                    failure);
    andiron_observe(jwks->fetch_time, end->took_ms * 1000);
    struct set_waiter *waiters = setcache_done(jwks->sets, (andiron_str){ f->url, f->len }, set,
                                               end->lifetime_ms, !end->is_refused, jwks_clock());
    keyset_drop(set);
    free(f);
    wake(waiters);
}

void fetcher_start(struct fetcher *fetcher, const struct andiron_request *req, andiron_str url)
{
    static const char *const headers[] = { "Accept: application/json", NULL };
    struct fetching *f = malloc(sizeof(*f) + url.len);
    if (f == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    f->jwks = fetcher->jwks;
    f->len = url.len;
    memcpy(f->url, url.data, url.len);
    const struct transfer_ask ask = { .url = url,
                                      .headers = headers,
                                      .trace = andiron_request_trace(req),
                                      .under_way = &f->jwks->fetching,
                                      .max = (unsigned)f->jwks->config->max_fetches };
    transfer_start(fetcher->sets, &ask, set_ended, f);
}

/* ---- life ------------------------------------------------------------------------------ */

struct fetcher *fetcher_new(struct jwks *jwks, struct andiron_loop *loop, struct andiron_error *err)
{
    struct fetcher *f = calloc(1, sizeof(*f));
    if (f == NULL)
        abort();
    f->jwks = jwks;
    f->sets = transfers_new(jwks, loop, (unsigned)jwks->config->max_fetches, err);
    /* Apart, so that servers of the one kind keep no look-ups from the other. */
    if (f->sets != NULL)
        f->posts = transfers_new(jwks, loop, (unsigned)jwks->config->max_posts, err);
    if (f->posts == NULL) {
        fetcher_free(f);
        return NULL;
    }
    return f;
}

void fetcher_free(struct fetcher *f)
{
    if (f == NULL)
        return;
    transfers_free(f->sets);
    transfers_free(f->posts);
    for (struct fetch_wait *w = f->fetched; w != NULL; w = w->next)
        w->home = NULL; /* requests that a drain cut off */
    free(f);
}
