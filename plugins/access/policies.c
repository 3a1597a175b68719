/*
 * Loading, watching and replacing the policies in force.
 */
#include "policies.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    PAGE = 500, /* policies read at a time */
    JOB_DEADLINE_MS = 30000,
    LOAD_TRIES = 8 /* against writers that never pause */
};

struct policies {
    struct andiron_host *host;
    const struct engines *engines;
    const struct andiron_store *store;
    void *store_self;
    struct andiron_loop *loop; /* where changes by others are followed */

    pthread_mutex_t lock;            /* held while a new set is made and published */
    struct set *set;                 /* guarded by lock; NULL until loaded or applied to */
    uint64_t changes;                /* guarded by lock: calls of policies_apply */
    atomic_uint_fast64_t generation; /* raised whenever loops must look again */
    bool loaded, stopped;            /* guarded by lock; not loaded: set is not in force */
};

enum { TIME_SAMPLES = 64 }; /* decisions of which one is timed */

struct policies_local {
    struct set *set;
    unsigned decisions;
    uint64_t generation;
};

struct policies *policies_new(struct andiron_host *host, const struct engines *engines,
                              struct andiron_service_ref store)
{
    struct policies *p = andiron_new(andiron_host_arena(host), struct policies);
    p->host = host;
    p->engines = engines;
    p->store = store.table;
    p->store_self = store.self;
    atomic_init(&p->generation, 0);
    (void)pthread_mutex_init(&p->lock, NULL); /* cannot fail for a default mutex */
    return p;
}

void policies_free(struct policies *p)
{
    (void)pthread_mutex_lock(&p->lock);
    set_drop(p->set);
    p->set = NULL;
    p->stopped = true;
    (void)pthread_mutex_unlock(&p->lock); /* jobs left behind may still look */
}

struct policies_local *policies_local_new(void)
{
    return calloc(1, sizeof(struct policies_local));
}

void policies_local_free(struct policies_local *local)
{
    if (local == NULL)
        return;
    set_drop(local->set);
    free(local);
}

bool policies_sample(struct policies_local *local)
{
    return local->decisions++ % TIME_SAMPLES == 0;
}

struct set *policies_current(struct policies *p, struct policies_local *local)
{
    uint64_t generation = atomic_load_explicit(&p->generation, memory_order_acquire);
    if (generation == local->generation)
        return local->set;
    struct set *old = local->set;
    (void)pthread_mutex_lock(&p->lock);
    local->set = p->loaded ? p->set : NULL;
    local->generation = atomic_load_explicit(&p->generation, memory_order_relaxed);
    if (local->set != NULL) {
        set_index(local->set);
        set_hold(local->set);
    }
    (void)pthread_mutex_unlock(&p->lock);
    set_drop(old);
    return local->set;
}

/* Takes over set. The lock is held. */
static void publish(struct policies *p, struct set *set)
{
    set_drop(p->set);
    p->set = set;
    if (p->loaded)
        (void)atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
}

static struct policy *compile_or_warn(struct policies *p, andiron_str id, andiron_str text)
{
    struct andiron_error err;
    struct policy *policy = policy_new(p->engines, text, &err);
    if (policy == NULL) {
        andiron_log(p->host, ANDIRON_LOG_WARN, "policy.error",
                    "AccessPolicy/%.*s never applies: %s %s", (int)id.len, id.data, err.where,
                    err.message);
        return NULL;
    }
    if (policy->engine == NULL)
        andiron_log(p->host, ANDIRON_LOG_WARN, "policy.error",
                    "AccessPolicy/%s never applies: its engine is not loaded", policy->id);
    if (policy->warning != NULL)
        andiron_log(p->host, ANDIRON_LOG_WARN, "policy.warning", "AccessPolicy/%s: %s", policy->id,
                    policy->warning);
    return policy;
}

/* Takes over policy. Older versions than the one in force are dropped: they came late. */
static void apply(struct policies *p, struct policy *policy)
{
    (void)pthread_mutex_lock(&p->lock);
    struct policy *now = p->set != NULL ? set_find(p->set, andiron_str_of(policy->id)) : NULL;
    p->changes++;
    if (now == NULL || policy->version > now->version) {
        if (now != NULL)
            policy_use_as(policy, now);
        publish(p, set_with(p->set, policy));
    }
    (void)pthread_mutex_unlock(&p->lock);
    policy_drop(policy);
}

/*
 * A deletion made the version behind the last that was known. What is not known, or is known to
 * be gone (the news came by watch() first), needs no trace.
 */
static void apply_gone(struct policies *p, andiron_str id)
{
    (void)pthread_mutex_lock(&p->lock);
    struct policy *now = p->set != NULL ? set_find(p->set, id) : NULL;
    p->changes++;
    if (now != NULL && !now->gone) {
        struct policy *gone = policy_gone(id, now->version + 1);
        publish(p, set_with(p->set, gone));
        policy_drop(gone);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

const char *policies_apply(struct policies *p, struct andiron_arena *arena, andiron_str id,
                           andiron_json resource)
{
    struct policy *policy = NULL;
    const char *warning = NULL;
    if (andiron_json_type(resource) != ANDIRON_JSON_MISSING)
        policy = compile_or_warn(p, id, andiron_json_raw(resource));
    if (policy != NULL && policy->warning != NULL)
        warning = andiron_copy(arena, andiron_str_of(policy->warning));
    if (policy != NULL)
        apply(p, policy);
    else /* what does not compile must not leave its older version in force */
        apply_gone(p, id);
    return warning;
}

/* ---- loading everything ---------------------------------------------------------- */

struct loading {
    struct policies *policies;
    andiron_step_fn then;
    void *state;
    uint64_t changes; /* when the listing began */
    unsigned tries;
    struct andiron_query query;
    struct andiron_rows rows;
    struct policy **all; /* malloc'ed; a reference of each */
    size_t count, room;
};

static void drop_listed(struct loading *l)
{
    for (size_t i = 0; i < l->count; i++)
        policy_drop(l->all[i]);
    free(l->all);
    l->all = NULL;
    l->count = l->room = 0;
}

/* The request may end between two pages. */
static void loading_released(void *arg)
{
    drop_listed(arg);
}

static void listed(struct loading *l, struct policy *policy)
{
    if (l->count == l->room) {
        l->room = l->room != 0 ? l->room * 2 : 64;
        struct policy **all = realloc(l->all, l->room * sizeof(*all));
        if (all == NULL)
            abort();
        l->all = all;
    }
    l->all[l->count++] = policy;
}

static enum andiron_step list_page(struct andiron_request *req, struct loading *l);

/* Publishes what was listed, unless a write came meanwhile: then it lists again. */
static bool publish_listed(struct loading *l)
{
    struct policies *p = l->policies;
    (void)pthread_mutex_lock(&p->lock);
    bool undisturbed = p->changes == l->changes;
    for (size_t i = 0; undisturbed && p->set != NULL && i < l->count; i++) {
        const struct policy *older = set_find(p->set, andiron_str_of(l->all[i]->id));
        if (older != NULL)
            policy_use_as(l->all[i], older);
    }
    if (undisturbed) {
        p->loaded = true;
        publish(p, set_new(l->all, l->count));
    }
    (void)pthread_mutex_unlock(&p->lock);
    return undisturbed;
}

static enum andiron_step list_begin(struct andiron_request *req, struct loading *l)
{
    (void)pthread_mutex_lock(&l->policies->lock);
    l->changes = l->policies->changes;
    (void)pthread_mutex_unlock(&l->policies->lock);
    drop_listed(l);
    l->query = (struct andiron_query){ .type = "AccessPolicy", .limit = PAGE };
    return list_page(req, l);
}

static enum andiron_step page_listed(struct andiron_request *req, void *state)
{
    struct loading *l = state;
    if (l->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &l->rows.error);
    for (size_t i = 0; i < l->rows.count; i++) {
        const struct andiron_row *row = &l->rows.rows[i];
        struct policy *policy = compile_or_warn(l->policies, row->ref.id, row->body);
        if (policy == NULL)
            continue;
        policy->version = row->ref.version;
        listed(l, policy);
    }
    if (l->rows.cursor.data != NULL) {
        l->query.cursor = l->rows.cursor;
        return list_page(req, l);
    }
    if (publish_listed(l))
        return l->then(req, l->state);
    if (++l->tries == LOAD_TRIES)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                            "access policies are being changed too fast to be loaded; try again");
    return list_begin(req, l);
}

static enum andiron_step list_page(struct andiron_request *req, struct loading *l)
{
    l->rows = (struct andiron_rows){ .total = -1 };
    return l->policies->store->search(l->policies->store_self, req, &l->query, &l->rows,
                                      page_listed, l);
}

enum andiron_step policies_load(struct policies *p, struct andiron_request *req,
                                andiron_step_fn then, void *state)
{
    struct loading *l = andiron_new(andiron_request_arena(req), struct loading);
    *l = (struct loading){ .policies = p, .then = then, .state = state };
    andiron_at_release(andiron_request_arena(req), loading_released, l);
    return list_begin(req, l);
}

/* ---- changes by others -------------------------------------------------------------- */

/*
 * A change that could not be read, since the store failed or was too slow: what was in force may
 * have been taken back. Requests load all policies anew, and are refused where that fails, too.
 */
static void lose_sight(struct policies *p)
{
    (void)pthread_mutex_lock(&p->lock);
    bool had = p->loaded && !p->stopped;
    if (had) {
        p->loaded = false;
        (void)atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (had)
        andiron_log(p->host, ANDIRON_LOG_WARN, "policy.error",
                    "a change of access policies could not be read; all are loaded again");
}

/* A job that makes a change known. However it ends, its arena is released then. */
struct reread {
    struct policies *policies;
    bool done;
    andiron_str id; /* malloc'ed with the struct; absent: all of them */
    struct andiron_ref ref;
    struct andiron_rows rows;
};

static void reread_released(void *arg)
{
    struct reread *r = arg;
    if (!r->done)
        lose_sight(r->policies);
    free(r);
}

static enum andiron_step all_loaded(struct andiron_request *req, void *state)
{
    struct reread *r = state;
    (void)req;
    r->done = true;
    return ANDIRON_DONE;
}

static enum andiron_step reread_done(struct andiron_request *req, void *state)
{
    struct reread *r = state;
    if (r->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &r->rows.error); /* the job's failure is logged by core */
    const struct andiron_row *row = r->rows.count > 0 ? &r->rows.rows[0] : NULL;
    r->done = true;
    if (row == NULL || row->ref.id.len == 0)
        return ANDIRON_DONE;
    struct policy *policy =
        row->deleted ? NULL : compile_or_warn(r->policies, row->ref.id, row->body);
    if (policy == NULL)
        policy = policy_gone(row->ref.id, row->ref.version);
    policy->version = row->ref.version;
    apply(r->policies, policy);
    return ANDIRON_DONE;
}

static enum andiron_step reread_job(struct andiron_request *req, void *state)
{
    struct reread *r = state;
    andiron_at_release(andiron_request_arena(req), reread_released, r);
    if (r->id.len == 0)
        return policies_load(r->policies, req, all_loaded, r);
    r->ref = (struct andiron_ref){ .type = ANDIRON_STR("AccessPolicy"), .id = r->id };
    r->rows = (struct andiron_rows){ .total = -1 };
    return r->policies->store->read(r->policies->store_self, req, &r->ref, 1, &r->rows, reread_done,
                                    r);
}

/* On loop 0, after a commit anywhere. An empty id: any of them may have changed. */
static void changed(void *arg, andiron_str type, andiron_str id)
{
    (void)type;
    struct policies *p = arg;
    struct reread *r = calloc(1, sizeof(*r) + id.len);
    if (r == NULL)
        abort();
    char *copy = (char *)(r + 1);
    if (id.len != 0)
        memcpy(copy, id.data, id.len);
    r->policies = p;
    r->id = (andiron_str){ copy, id.len };
    andiron_job_start(p->loop, "access: read policies", JOB_DEADLINE_MS, reread_job, r);
}

int policies_start(struct policies *p, struct andiron_loop *loop, struct andiron_error *err)
{
    p->loop = loop;
    if (p->store->watch(p->store_self, loop, "AccessPolicy", changed, p, err) != 0)
        return -1;
    changed(p, (andiron_str){ NULL, 0 }, (andiron_str){ NULL, 0 });
    return 0;
}
