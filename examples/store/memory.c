/*
 * Store "memory": all versions in memory, gone with the process. For tests, and to see what a
 * store has to do.
 *
 * One lock guards everything, and is held for as long as a call takes; nothing waits, so every call
 * ends with andiron_ready(). Versions are only ever added: a body may be handed out without a copy.
 */
#include "memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { WATCHES_MAX = 64, PAGE_MAX = 1000 };

struct config {
    int64_t max_versions;
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
    struct memory m;
    const struct config *config;
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

static andiron_str keep(struct andiron_arena *arena, andiron_str s)
{
    return s.data == NULL ? s : (andiron_str){ andiron_copy(arena, s), s.len };
}

static size_t bucket_of(andiron_str type, andiron_str id)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < type.len + id.len; i++)
        hash = (hash ^ (unsigned char)(i < type.len ? type.data[i] : id.data[i - type.len])) *
               1099511628211u;
    return (size_t)(hash % BUCKETS);
}

struct resource *memory_find(const struct memory *m, andiron_str type, andiron_str id)
{
    struct resource *r = m->buckets[bucket_of(type, id)];
    while (r != NULL && (!andiron_str_eq(r->type, type) || !andiron_str_eq(r->id, id)))
        r = r->next;
    return r;
}

static struct andiron_row row_of(const struct version *v)
{
    return (struct andiron_row){ .ref = { v->of->type, v->of->id, v->number },
                                 .updated = v->updated,
                                 .deleted = v->deleted,
                                 .body = v->body };
}

static struct andiron_row *rows_new(struct andiron_request *req, size_t count)
{
    return andiron_alloc(andiron_request_arena(req), (count + 1) * sizeof(struct andiron_row));
}

static enum andiron_step read_refs(void *self, struct andiron_request *req,
                                   const struct andiron_ref *refs, size_t count,
                                   struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct store *s = self;
    *ret = (struct andiron_rows){ .rows = rows_new(req, count), .count = count, .total = -1 };
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        const struct resource *r = memory_find(&s->m, refs[i].type, refs[i].id);
        const struct version *v = r != NULL ? r->latest : NULL;
        while (v != NULL && refs[i].version != 0 && v->number != refs[i].version)
            v = v->older;
        if (v != NULL)
            ret->rows[i] = row_of(v);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

/* ---- pages ------------------------------------------------------------------------------ */

/* A cursor is the place in the list where the next page goes on. */
static size_t cursor_read(andiron_str cursor, size_t start)
{
    char text[24] = "";
    if (cursor.data == NULL || cursor.len >= sizeof(text))
        return start;
    memcpy(text, cursor.data, cursor.len);
    return (size_t)strtoull(text, NULL, 10);
}

static bool is_asked(const struct version *v, const char *type, const char *const *types)
{
    bool any = type == NULL && types == NULL;
    for (size_t i = 0; types != NULL && types[i] != NULL; i++)
        any = any || memory_is_type(v, types[i]);
    return any || (type != NULL && memory_is_type(v, type));
}

static bool is_match(const struct memory *m, const struct version *v, const struct andiron_query *q)
{
    return v == v->of->latest && !v->deleted &&
           is_asked(v, q->type, q->type == NULL ? q->types : NULL) &&
           memory_matches(m, v, q->filter);
}

/* Latest change first. Sorting by a parameter and includes are left out: see the README. */
static enum andiron_step search(void *self, struct andiron_request *req,
                                const struct andiron_query *q, struct andiron_rows *ret,
                                andiron_step_fn then, void *state)
{
    struct store *s = self;
    size_t limit = q->limit < PAGE_MAX ? q->limit : PAGE_MAX, next = 0;
    *ret = (struct andiron_rows){ .rows = rows_new(req, limit), .total = 0 };
    if (q->sort_count > 0 || q->include_count > 0) {
        (void)andiron_error_set(&ret->error, ANDIRON_E_NOT_IMPLEMENTED, "",
                                "this store neither sorts nor includes");
        return andiron_ready(req, then, state);
    }
    (void)pthread_mutex_lock(&s->lock);
    size_t from = cursor_read(q->cursor, s->m.count);
    for (size_t i = s->m.count; i > 0; i--) {
        if (!is_match(&s->m, s->m.versions[i - 1], q))
            continue;
        ret->total++;
        if (i <= from && ret->count < limit)
            ret->rows[ret->count++] = row_of(s->m.versions[i - 1]);
        else if (i <= from && next == 0)
            next = i;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (next != 0 && limit > 0)
        ret->cursor = andiron_str_of(andiron_printf(andiron_request_arena(req), "%zu", next));
    return andiron_ready(req, then, state);
}

static enum andiron_step walk(void *self, struct andiron_request *req, const struct andiron_walk *w,
                              struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct store *s = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    size_t limit = w->limit < PAGE_MAX ? w->limit : PAGE_MAX;
    *ret = (struct andiron_rows){ .rows = rows_new(req, limit), .total = -1 };
    (void)pthread_mutex_lock(&s->lock);
    size_t end = cursor_read(w->horizon, s->m.count), at = cursor_read(w->cursor, 0);
    end = end < s->m.count ? end : s->m.count;
    for (; at < end; at++) {
        const struct version *v = s->m.versions[w->oldest_first ? at : end - 1 - at];
        if (!is_asked(v, NULL, w->types) ||
            (w->id.data != NULL && !andiron_str_eq(v->of->id, w->id)) || v->updated < w->since ||
            (w->until != 0 && v->updated > w->until) || (w->latest_only && v != v->of->latest))
            continue;
        if (ret->count == limit)
            break;
        ret->rows[ret->count++] = row_of(v);
    }
    if (at < end && limit > 0)
        ret->cursor = andiron_str_of(andiron_printf(arena, "%zu", at));
    ret->horizon = andiron_str_of(andiron_printf(arena, "%zu", end));
    ret->horizon_time = end > 0 ? s->m.versions[end - 1]->updated : 0;
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

static bool is_removed(const struct andiron_commit *c, const struct resource *r)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->writes[i].remove && c->writes[i].match == NULL &&
            andiron_str_eq(c->writes[i].ref.type, r->type) &&
            andiron_str_eq(c->writes[i].ref.id, r->id))
            return true;
    return false;
}

#define REFUSE(c, code, ...) andiron_error_set(&(c)->error, (code), "", __VA_ARGS__)

/* Finds what a conditional write is about; *ret_skip: nothing is to be written. */
static int settle(struct store *s, struct andiron_commit *c, struct andiron_write *w,
                  bool *ret_skip, bool *ret_matched)
{
    const struct resource *found = NULL;
    for (size_t i = 0; w->match != NULL && i < s->m.count; i++) {
        const struct version *v = s->m.versions[i];
        if (!is_match(&s->m, v, w->match) || is_removed(c, v->of))
            continue;
        if (found != NULL)
            return REFUSE(c, ANDIRON_E_MULTIPLE_MATCHES, "more than one resource matches");
        found = v->of;
    }
    *ret_matched = found != NULL;
    *ret_skip = w->match != NULL && (found != NULL ? w->if_none_exist : w->remove);
    if (found == NULL)
        return 0;
    if (w->match_is_ref && !andiron_str_eq(found->id, w->ref.id))
        return REFUSE(c, ANDIRON_E_CONFLICT, "another resource matches");
    w->ref.id = found->id;
    return 0;
}

static int check(struct store *s, struct andiron_commit *c, struct andiron_write *w, bool matched)
{
    const struct resource *r = memory_find(&s->m, w->ref.type, w->ref.id);
    const struct version *v = r != NULL ? r->latest : NULL;
    if (w->if_version != 0 && (v == NULL || v->number != w->if_version))
        return REFUSE(c, ANDIRON_E_PRECONDITION, "the current version is another one");
    if (w->if_absent && !matched && v != NULL && !v->deleted)
        return REFUSE(c, ANDIRON_E_PRECONDITION, "the resource exists already");
    return 0;
}

static struct resource *find_or_add(struct store *s, const struct andiron_ref *ref)
{
    struct resource *r = memory_find(&s->m, ref->type, ref->id);
    if (r != NULL)
        return r;
    size_t bucket = bucket_of(ref->type, ref->id);
    r = andiron_new(s->m.arena, struct resource);
    *r = (struct resource){ .next = s->m.buckets[bucket],
                            .type = keep(s->m.arena, ref->type),
                            .id = keep(s->m.arena, ref->id) };
    s->m.buckets[bucket] = r;
    return r;
}

static struct andiron_term *keep_terms(struct store *s, const struct andiron_term *terms,
                                       size_t count)
{
    struct andiron_term *kept = andiron_alloc(s->m.arena, (count + 1) * sizeof(*kept));
    for (size_t i = 0; i < count; i++) {
        kept[i] = terms[i];
        kept[i].param = andiron_copy(s->m.arena, andiron_str_of(terms[i].param));
        kept[i].system = keep(s->m.arena, terms[i].system);
        kept[i].text = keep(s->m.arena, terms[i].text);
        kept[i].exact = keep(s->m.arena, terms[i].exact);
    }
    return kept;
}

static void append(struct store *s, struct andiron_request *req, struct andiron_write *w)
{
    struct resource *r = find_or_add(s, &w->ref);
    struct version *older = r->latest;
    bool is_there = older != NULL && !older->deleted;
    if (w->remove && !is_there) {
        w->ref.version = older != NULL ? older->number : 0;
        return;
    }
    andiron_usec last = s->m.count > 0 ? s->m.versions[s->m.count - 1]->updated : 0;
    w->updated = andiron_now() > last ? andiron_now() : last + 1;
    w->ref.version = older != NULL ? older->number + 1 : 1;
    w->created = !is_there;
    if (w->stamp != NULL)
        w->stamp(w->stamp_state, andiron_request_arena(req), w);
    struct version *v = andiron_new(s->m.arena, struct version);
    *v = (struct version){ .of = r,
                           .older = older,
                           .number = w->ref.version,
                           .updated = w->updated,
                           .deleted = w->remove };
    if (!w->remove) {
        v->body = keep(s->m.arena, w->body);
        v->terms = keep_terms(s, w->terms, w->term_count);
        v->term_count = w->term_count;
    }
    r->latest = v;
    s->m.versions[s->m.count++] = v;
}

static int check_all(struct store *s, struct andiron_commit *c, bool *skip)
{
    bool matched;
    if (s->m.count + c->count > s->m.room)
        return REFUSE(c, ANDIRON_E_NO_SPACE, "max-versions is reached");
    for (c->failed = 0; c->failed < c->count; c->failed++) {
        struct andiron_write *w = &c->writes[c->failed];
        if (settle(s, c, w, &skip[c->failed], &matched) != 0 || check(s, c, w, matched) != 0)
            return -1;
    }
    if (c->claim.data != NULL && !take_name(s, c->claim, c->claim_expires))
        return REFUSE(c, ANDIRON_E_CONFLICT, "somebody has that name");
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
    for (size_t i = 0; i < s->watch_count; i++) {
        struct change *change = malloc(sizeof(*change));
        const struct resource *r = memory_find(&s->m, ref->type, ref->id);
        if (change == NULL)
            abort();
        *change = (struct change){ s->watches[i], { NULL, 0 }, { NULL, 0 } };
        if (r == NULL || !andiron_str_eq(r->type, andiron_str_of(s->watches[i].type))) {
            free(change);
            continue;
        }
        change->type = r->type;
        change->id = r->id;
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
    if (check_all(s, c, skip) == 0) {
        for (size_t i = 0; i < c->count; i++)
            if (!skip[i])
                append(s, req, &c->writes[i]);
        for (size_t i = 0; i < c->count; i++)
            if (!skip[i])
                post_changes(s, &c->writes[i].ref);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return andiron_ready(req, then, state);
}

static enum andiron_step index_terms(void *self, struct andiron_request *req,
                                     enum andiron_index_op op, struct andiron_indexing *items,
                                     size_t count, struct andiron_error *ret_error,
                                     andiron_step_fn then, void *state)
{
    struct store *s = self;
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        const struct resource *r = memory_find(&s->m, items[i].ref.type, items[i].ref.id);
        struct version *v = r != NULL ? r->latest : NULL;
        if (v == NULL || v->number != items[i].ref.version)
            continue;
        items[i].differs = items[i].term_count != v->term_count; /* in number: enough to see */
        if (op != ANDIRON_INDEX_ADD)
            continue;
        struct andiron_term *all =
            andiron_alloc(s->m.arena, (v->term_count + items[i].term_count) * sizeof(*all));
        if (v->term_count > 0)
            memcpy(all, v->terms, v->term_count * sizeof(*all));
        struct andiron_term *more = keep_terms(s, items[i].terms, items[i].term_count);
        if (items[i].term_count > 0)
            memcpy(all + v->term_count, more, items[i].term_count * sizeof(*all));
        v->terms = all;
        v->term_count += items[i].term_count;
    }
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
    s->config = config;
    s->m.arena = andiron_arena_new(0);
    s->m.room = (size_t)s->config->max_versions;
    s->m.versions = andiron_alloc(s->m.arena, s->m.room * sizeof(struct version *));
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
    andiron_arena_free(s->m.arena);
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
