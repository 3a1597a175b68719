/*
 * Store "memory": all versions in memory, gone with the process. For tests, and to see what a
 * store has to do. What filters, order and conditions mean is andiron/scan.h's.
 *
 * One lock guards everything, and is held for as long as a call takes; nothing waits, so every call
 * ends with andiron_ready(). Versions are only ever added: a body may be handed out without a copy.
 */
#include <andiron/plugin.h>
#include <andiron/scan.h>
#include <pthread.h>
#include <stdlib.h>

enum { WATCHES_MAX = 64, BUCKETS = 65536 };

struct config {
    int64_t max_versions;
};

/* A resource is known by its newest version. Never freed: rows may show its body to anybody. */
struct version {
    struct andiron_scan_version scanned;
    struct version *older;
    struct version *next; /* newest version of another resource in the same bucket */
};

struct claim {
    struct claim *next;
    andiron_str name;
    andiron_usec expires;
};

struct watch {
    struct andiron_loop *loop;
    const char *type;
    void (*changed)(void *arg, andiron_str type, andiron_str id);
    void *arg;
};

struct store {
    pthread_mutex_t lock;
    struct andiron_arena *arena; /* of all that is stored */
    struct andiron_scan scan;
    size_t room;
    struct version *buckets[BUCKETS];
    struct claim *claims;
    struct watch watches[WATCHES_MAX];
    size_t watch_count;
};

static const struct andiron_directive directives[] = {
    { .name = "max-versions",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_versions),
      .fallback = "1000000",
      .min = 1,
      .max = 100000000,
      .help = "how many versions are kept before writes are refused with 507" },
    { .name = NULL }
};

/* Where the newest version of a resource hangs, or would. */
static struct version **slot_of(struct store *s, const struct andiron_ref *ref)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < ref->id.len; i++)
        hash = (hash ^ (unsigned char)ref->id.data[i]) * 1099511628211u;
    struct version **at = &s->buckets[hash % BUCKETS];
    while (*at != NULL && (!andiron_str_eq((*at)->scanned.row.ref.id, ref->id) ||
                           !andiron_str_eq((*at)->scanned.row.ref.type, ref->type)))
        at = &(*at)->next;
    return at;
}

static enum andiron_step read_refs(void *self, struct andiron_request *req,
                                   const struct andiron_ref *refs, size_t count,
                                   struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct store *s = self;
    *ret = (struct andiron_rows){ .count = count, .total = -1 };
    ret->rows = andiron_alloc(andiron_request_arena(req), (count + 1) * sizeof(*ret->rows));
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        const struct version *v = *slot_of(s, &refs[i]);
        while (v != NULL && refs[i].version != 0 && v->scanned.row.ref.version != refs[i].version)
            v = v->older;
        if (v != NULL)
            ret->rows[i] = v->scanned.row;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

static enum andiron_step search(void *self, struct andiron_request *req,
                                const struct andiron_query *q, struct andiron_rows *ret,
                                andiron_step_fn then, void *state)
{
    struct store *s = self;
    (void)pthread_mutex_lock(&s->lock);
    (void)andiron_scan_search(&s->scan, andiron_request_arena(req), q, ret); /* ret has the error */
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

static enum andiron_step walk(void *self, struct andiron_request *req, const struct andiron_walk *w,
                              struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct store *s = self;
    (void)pthread_mutex_lock(&s->lock);
    (void)andiron_scan_walk(&s->scan, andiron_request_arena(req), w, ret); /* ret has the error */
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

/* ---- writes ------------------------------------------------------------------------------- */

static bool take_name(struct store *s, andiron_str name, andiron_usec expires)
{
    andiron_usec now = andiron_now();
    struct claim **at = &s->claims;
    while (*at != NULL) {
        struct claim *c = *at;
        if (c->expires <= now) {
            *at = c->next;
            free(c);
            continue;
        }
        if (andiron_str_eq(c->name, name))
            return false;
        at = &c->next;
    }
    struct claim *c = malloc(sizeof(*c) + name.len);
    if (c == NULL)
        abort();
    memcpy(c + 1, name.data, name.len);
    *c = (struct claim){ s->claims, { (const char *)(c + 1), name.len }, expires };
    s->claims = c;
    return true;
}

static enum andiron_step claim(void *self, struct andiron_request *req, andiron_str name,
                               andiron_usec expires, bool *ret_taken,
                               struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    struct store *s = self;
    (void)pthread_mutex_lock(&s->lock);
    *ret_taken = take_name(s, name, expires);
    (void)pthread_mutex_unlock(&s->lock);
    ret_error->code = ANDIRON_OK;
    return andiron_ready(req, then, state);
}

/* Instants ascend, and those of one resource differ in what FHIR shows of them: milliseconds. */
static andiron_usec stamp(struct store *s, struct andiron_request *req, struct andiron_write *w,
                          andiron_usec last)
{
    const struct version *older = *slot_of(s, &w->ref);
    andiron_usec now = andiron_now(), earliest = last + 1;
    if (older != NULL && older->scanned.row.updated + 1000 > earliest)
        earliest = older->scanned.row.updated + 1000;
    w->updated = now > earliest ? now : earliest;
    w->ref.version = older != NULL ? older->scanned.row.ref.version + 1 : 1;
    if (w->stamp != NULL)
        w->stamp(w->stamp_state, andiron_request_arena(req), w);
    return w->updated;
}

static void append(struct store *s, const struct andiron_write *w)
{
    struct version **slot = slot_of(s, &w->ref), *older = *slot;
    struct version *v = andiron_new(s->arena, struct version);
    v->scanned.row.ref =
        (struct andiron_ref){ andiron_scan_keep(s->arena, w->ref.type),
                              andiron_scan_keep(s->arena, w->ref.id), w->ref.version };
    v->scanned.row.updated = w->updated;
    v->scanned.row.deleted = w->remove;
    if (!w->remove) {
        v->scanned.row.body = andiron_scan_keep(s->arena, w->body);
        v->scanned.terms = andiron_scan_keep_terms(s->arena, w->terms, w->term_count, 0);
        v->scanned.term_count = w->term_count;
    }
    v->older = older;
    v->next = older != NULL ? older->next : NULL;
    if (older != NULL)
        older->scanned.later = &v->scanned;
    *slot = v;
    s->scan.versions[s->scan.count++] = &v->scanned;
}

/* Whether a resource refers to ref that the commit neither removes nor writes anew. */
static bool is_referred(const struct store *s, const struct andiron_commit *c, const bool *skip,
                        const struct andiron_ref *ref)
{
    const struct andiron_scan_version to = { .row = { .ref = *ref } };
    for (size_t i = 0; i < s->scan.count; i++) {
        const struct andiron_scan_version *v = s->scan.versions[i];
        if (andiron_scan_lives(v) && andiron_scan_refers(v, "*", &to) &&
            andiron_scan_write_to(c, skip, c->count, v->row.ref.type, v->row.ref.id) == NULL)
            return true;
    }
    return false;
}

/* Whether a resource is there after the commit. */
static bool will_be(struct store *s, const struct andiron_commit *c, const bool *skip,
                    const struct andiron_ref *ref)
{
    const struct andiron_write *w = andiron_scan_write_to(c, skip, c->count, ref->type, ref->id);
    const struct version *v = *slot_of(s, ref);
    return w != NULL ? !w->remove : v != NULL && !v->scanned.row.deleted;
}

static int check_references(struct store *s, struct andiron_commit *c, const bool *skip)
{
    for (c->failed = 0; c->failed < c->count; c->failed++) {
        const struct andiron_write *w = &c->writes[c->failed];
        if (skip[c->failed])
            continue;
        if (w->remove && is_referred(s, c, skip, &w->ref))
            return andiron_error_set(&c->error, ANDIRON_E_CONFLICT, "", "others refer to it");
        for (size_t i = 0; !w->remove && i < w->term_count; i++) {
            const struct andiron_ref ref = { w->terms[i].system, w->terms[i].text, 0 };
            if (w->terms[i].kind == ANDIRON_TERM_REFERENCE && ref.type.len > 0 &&
                !will_be(s, c, skip, &ref))
                return andiron_error_set(&c->error, ANDIRON_E_UNPROCESSABLE, "",
                                         "refers to %.*s/%.*s, which does not exist",
                                         (int)ref.type.len, ref.type.data, (int)ref.id.len,
                                         ref.id.data);
        }
    }
    return 0;
}

/* Nothing is written until all of it may be. */
static int prepare(struct store *s, struct andiron_request *req, struct andiron_commit *c,
                   bool *skip)
{
    andiron_usec last = s->scan.count > 0 ? s->scan.versions[s->scan.count - 1]->row.updated : 0;
    if (s->scan.count + c->count > s->room)
        return andiron_error_set(&c->error, ANDIRON_E_NO_SPACE, "", "max-versions is reached");
    if (andiron_scan_check(&s->scan, c, skip) != 0)
        return -1;
    for (size_t i = 0; i < c->count; i++)
        if (!skip[i])
            last = stamp(s, req, &c->writes[i], last);
    if (c->check_references && check_references(s, c, skip) != 0)
        return -1;
    if (c->claim.data != NULL && !take_name(s, c->claim, c->claim_expires))
        return andiron_error_set(&c->error, ANDIRON_E_CONFLICT, "", "somebody has that name");
    return 0;
}

struct change {
    struct watch watch;
    andiron_str type, id;
};

static void tell(void *arg)
{
    struct change *change = arg;
    change->watch.changed(change->watch.arg, change->type, change->id);
    free(change);
}

static void post_changes(struct store *s, const struct andiron_ref *ref)
{
    const struct version *v = *slot_of(s, ref); /* its names outlive the request */
    for (size_t i = 0; i < s->watch_count; i++) {
        if (!andiron_scan_is_type(&v->scanned, s->watches[i].type))
            continue;
        struct change *change = malloc(sizeof(*change));
        if (change == NULL)
            abort();
        *change = (struct change){ s->watches[i], v->scanned.row.ref.type, v->scanned.row.ref.id };
        andiron_loop_post(change->watch.loop, tell, change);
    }
}

static enum andiron_step commit(void *self, struct andiron_request *req, struct andiron_commit *c,
                                andiron_step_fn then, void *state)
{
    struct store *s = self;
    bool *skip = andiron_alloc(andiron_request_arena(req), c->count + 1);
    c->error = (struct andiron_error){ .code = ANDIRON_OK };
    (void)pthread_mutex_lock(&s->lock);
    if (prepare(s, req, c, skip) == 0) {
        for (size_t i = 0; i < c->count; i++)
            if (!skip[i])
                append(s, &c->writes[i]);
        for (size_t i = 0; i < c->count; i++)
            if (!skip[i])
                post_changes(s, &c->writes[i].ref);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

static void index_one(struct store *s, enum andiron_index_op op, struct andiron_indexing *item)
{
    struct version *v = *slot_of(s, &item->ref);
    if (v == NULL || v->scanned.row.ref.version != item->ref.version)
        return;
    if (op == ANDIRON_INDEX_COMPARE) {
        andiron_scan_compare_index(&v->scanned, item);
        return;
    }
    size_t old = op == ANDIRON_INDEX_ADD ? v->scanned.term_count : 0;
    struct andiron_term *all =
        andiron_scan_keep_terms(s->arena, item->terms, item->term_count, old);
    for (size_t i = 0; i < old; i++)
        all[item->term_count + i] = v->scanned.terms[i];
    v->scanned.terms = all;
    v->scanned.term_count = old + item->term_count;
}

static enum andiron_step index_terms(void *self, struct andiron_request *req,
                                     enum andiron_index_op op, struct andiron_indexing *items,
                                     size_t count, struct andiron_error *ret_error,
                                     andiron_step_fn then, void *state)
{
    struct store *s = self;
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++)
        index_one(s, op, &items[i]);
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

/* Called from start() only: no lock. */
static int watch(void *self, struct andiron_loop *loop, const char *type,
                 void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
                 struct andiron_error *err)
{
    struct store *s = self;
    if (s->watch_count == WATCHES_MAX)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "more than %d watches", WATCHES_MAX);
    s->watches[s->watch_count++] = (struct watch){ loop, type, changed, arg };
    return 0;
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct store *s = andiron_new(andiron_host_arena(host), struct store);
    (void)err;
    s->arena = andiron_arena_new(0);
    s->room = (size_t)((const struct config *)config)->max_versions;
    s->scan.versions = andiron_alloc(s->arena, s->room * sizeof(*s->scan.versions));
    (void)pthread_mutex_init(&s->lock, NULL);
    *ret_self = s;
    return 0;
}

static void stop(void *self)
{
    struct store *s = self;
    for (struct claim *c = s->claims, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    andiron_arena_free(s->arena);
}

static const struct andiron_store store = { .size = sizeof(store),
                                            .read = read_refs,
                                            .search = search,
                                            .walk = walk,
                                            .commit = commit,
                                            .claim = claim,
                                            .watch = watch,
                                            .index = index_terms };
static const struct andiron_service provides[] = { { ANDIRON_STORE, &store }, { NULL, NULL } };

ANDIRON_PLUGIN(.name = "store-memory", .version = "1.0.0",
               .summary = "Storage in memory, for tests", .directives = directives,
               .config_size = sizeof(struct config), .provides = provides, .init = init,
               .stop = stop);
