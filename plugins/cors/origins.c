/*
 * The set of origins, and the job that reads those of Clients from the store.
 */
#include "origins.h"

#include <stdlib.h>

enum { PAGE = 100 };

/* ---- a set -------------------------------------------------------------------------------- */

struct origin_set *origin_set_new(size_t max)
{
    struct andiron_arena *arena = andiron_arena_new(1024);
    struct origin_set *set = andiron_new(arena, struct origin_set);
    set->arena = arena;
    set->max = max;
    return set;
}

void origin_set_free(struct origin_set *set)
{
    if (set != NULL)
        andiron_arena_free(set->arena);
}

void origin_set_add(struct origin_set *set, andiron_str origin)
{
    if (origin.len != 0 && origin.data[origin.len - 1] == '/')
        origin.len--;
    if (!origin_is(origin))
        return;
    if (set->count == set->max) {
        set->is_full = true;
        return;
    }
    if (set->count == set->room) {
        size_t room = set->room != 0 ? 2 * set->room : 16;
        andiron_str *grown = andiron_alloc(set->arena, room * sizeof(*grown));
        if (set->count != 0)
            memcpy(grown, set->list, set->count * sizeof(*grown));
        set->list = grown;
        set->room = room;
    }
    set->list[set->count++] = (andiron_str){ andiron_copy(set->arena, origin), origin.len };
}

static int compare(const void *a, const void *b)
{
    const andiron_str *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->data, y->data, x->len);
}

void origin_set_sort(struct origin_set *set)
{
    if (set->count != 0)
        qsort(set->list, set->count, sizeof(*set->list), compare);
}

bool origin_set_has(const struct origin_set *set, andiron_str origin)
{
    return set->count != 0 && origin.len != 0 &&
           bsearch(&origin, set->list, set->count, sizeof(*set->list), compare) != NULL;
}

bool origin_is(andiron_str text)
{
    size_t at = 0;

    while (at < text.len && ((text.data[at] >= 'a' && text.data[at] <= 'z') ||
                             (at > 0 && ((text.data[at] >= '0' && text.data[at] <= '9') ||
                                         text.data[at] == '+' || text.data[at] == '-'))))
        at++;
    if (at == 0 || text.len < at + 4 || memcmp(text.data + at, "://", 3) != 0)
        return false;
    for (at += 3; at < text.len; at++)
        if (text.data[at] <= ' ' || text.data[at] > '~' ||
            strchr("/?#@\\\"<>*,;", text.data[at]) != NULL)
            return false;
    return true;
}

/* ---- reading Clients ---------------------------------------------------------------------- */

enum { IDLE, RUNNING, RUN_AGAIN };

struct loading {
    struct origins *origins;
    struct origin_set *set;
    struct andiron_query query;
    struct andiron_rows rows;
};

static void drop_set(void *loading)
{
    origin_set_free(((struct loading *)loading)->set);
}

static void replace(struct origins *origins, struct origin_set *set)
{
    origin_set_sort(set);
    (void)pthread_mutex_lock(&origins->lock);
    struct origin_set *old = origins->now;
    origins->now = set;
    atomic_store(&origins->count, set->count);
    (void)pthread_mutex_unlock(&origins->lock);
    origin_set_free(old);
}

static enum andiron_step begin(struct andiron_request *req, void *state);

static void start_job(struct origins *origins)
{
    andiron_job_start(andiron_host_loop(origins->host, 0), "cors.load", 0, begin, origins);
}

/* Ends the job; a change that was told of meanwhile starts it anew. */
static enum andiron_step finish(struct origins *origins)
{
    int running = RUNNING;

    if (!atomic_compare_exchange_strong(&origins->loading, &running, IDLE)) {
        atomic_store(&origins->loading, RUNNING);
        start_job(origins);
    }
    return ANDIRON_DONE;
}

static void add_client(struct loading *l, andiron_json client)
{
    andiron_json active = andiron_json_get(client, "active");
    struct andiron_json_iter it = { .of = andiron_json_get(client, "allowed_origins") };

    if (andiron_json_type(active) != ANDIRON_JSON_MISSING && !andiron_json_true(active))
        return;
    while (andiron_json_next(&it))
        origin_set_add(l->set, andiron_json_str(it.value));
}

static enum andiron_step next_page(struct andiron_request *req, struct loading *l);

static enum andiron_step page_read(struct andiron_request *req, void *state)
{
    struct loading *l = state;
    andiron_json client;

    if (l->rows.error.code != ANDIRON_OK) {
        andiron_log(l->origins->host, ANDIRON_LOG_WARN, "cors.load.failed",
                    "allowed_origins of Clients cannot be read, those known stay in force: %s",
                    l->rows.error.message);
        return finish(l->origins);
    }
    for (size_t i = 0; i < l->rows.count; i++)
        if (!l->rows.rows[i].deleted &&
            andiron_json_parse(andiron_request_arena(req), l->rows.rows[i].body, &client, NULL) ==
                0)
            add_client(l, client);
    if (l->rows.cursor.data != NULL) {
        l->query.cursor = l->rows.cursor;
        return next_page(req, l);
    }
    if (l->set->is_full)
        andiron_log(l->origins->host, ANDIRON_LOG_WARN, "cors.full",
                    "more than `max-origins` (%zu) origins may ask; the others are left out",
                    l->set->max);
    replace(l->origins, l->set);
    l->set = NULL;
    return finish(l->origins);
}

static enum andiron_step next_page(struct andiron_request *req, struct loading *l)
{
    const struct andiron_store *store = l->origins->store.table;
    l->rows = (struct andiron_rows){ .total = -1 };
    return store->search(l->origins->store.self, req, &l->query, &l->rows, page_read, l);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct origins *origins = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct loading *l = andiron_new(arena, struct loading);

    l->origins = origins;
    l->set = origin_set_new(origins->max);
    andiron_at_release(arena, drop_set, l);
    for (size_t i = 0; i < origins->configured->count; i++)
        origin_set_add(l->set, origins->configured->list[i]);
    l->query = (struct andiron_query){ .type = "Client", .limit = PAGE };
    return next_page(req, l);
}

void origins_load(struct origins *origins)
{
    for (int seen = atomic_load(&origins->loading);;) {
        int next = seen == IDLE ? RUNNING : RUN_AGAIN;
        if (!atomic_compare_exchange_weak(&origins->loading, &seen, next))
            continue;
        if (seen == IDLE)
            start_job(origins);
        return;
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static int add_configured(struct origin_set *set, const char *text, struct andiron_error *err)
{
    for (;;) {
        text += strspn(text, " \t,");
        size_t len = strcspn(text, " \t,");
        if (len == 0)
            return 0;
        if (!origin_is((andiron_str){ text, len }))
            return andiron_error_set(err, ANDIRON_E_INVALID, "http.cors-origins",
                                     "'%.*s' must be an origin as browsers send it, such as "
                                     "https://app.example.org, without a path",
                                     (int)len, text);
        origin_set_add(set, (andiron_str){ text, len });
        text += len;
    }
}

int origins_init(struct origins *origins, struct andiron_host *host, const char *configured,
                 size_t max, struct andiron_error *err)
{
    origins->host = host;
    origins->max = max;
    origins->configured = origin_set_new(max);
    origins->now = origin_set_new(max);
    (void)pthread_mutex_init(&origins->lock, NULL); /* cannot fail with default attributes */
    if (configured == NULL)
        return 0;
    if (add_configured(origins->configured, configured, err) != 0)
        return -1;
    struct origin_set *first = origin_set_new(max);
    if (add_configured(first, configured, err) != 0) {
        origin_set_free(first);
        return -1;
    }
    replace(origins, first);
    return 0;
}

void origins_free(struct origins *origins)
{
    origin_set_free(origins->configured);
    origin_set_free(origins->now);
    (void)pthread_mutex_destroy(&origins->lock);
}

bool origins_allow(struct origins *origins, andiron_str origin)
{
    (void)pthread_mutex_lock(&origins->lock);
    bool allows = origin_set_has(origins->now, origin);
    (void)pthread_mutex_unlock(&origins->lock);
    return allows;
}
