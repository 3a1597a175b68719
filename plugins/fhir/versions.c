/*
 * Judging versions by their content:
 *
 *   keep -> asked (current versions, and those before deletions) -> asked_again (those before
 *       deletions that are current) -> judge -> judged
 */
#include "versions.h"

#include "access.h"

/* A version whose content decides. */
struct witness {
    const struct andiron_row *row; /* NULL: there is none */
    bool is_seen;
};

/* A row of a narrowed type. */
struct question {
    size_t row;     /* in rows */
    size_t current; /* in now: the resource as it is now */
    size_t before;  /* in then_rows, if the row is a deletion */
    const struct andiron_filter *filter;
    bool is_seen;
};

struct keeping {
    const struct fhir *fhir;
    struct andiron_arena *arena;
    struct andiron_rows *rows;
    struct question *questions;
    size_t count;

    struct andiron_ref *refs; /* current versions, then those before deletions */
    size_t ref_count, current_count;
    struct andiron_rows now;
    struct andiron_ref *last_refs; /* of resources that are deleted: the last one with content */
    size_t last_count;
    size_t *last_of; /* for each current version: its place in last_refs */
    struct andiron_rows last;

    andiron_step_fn then;
    void *state;
};

const struct andiron_term *versions_with_time(struct andiron_arena *arena,
                                              const struct andiron_term *terms, size_t count,
                                              andiron_usec updated)
{
    struct andiron_term *all = andiron_alloc(arena, (count + 1) * sizeof(all[0]));

    if (count > 0)
        memcpy(all, terms, count * sizeof(all[0]));
    all[count] = (struct andiron_term){ .param = "_lastUpdated",
                                        .kind = ANDIRON_TERM_DATE,
                                        .range.date = { updated, updated + 1 } };
    return all;
}

/* ---- judgement ------------------------------------------------------------------------- */

static bool is_within(const struct keeping *k, const struct andiron_filter *filter,
                      const struct andiron_row *row)
{
    const struct andiron_term *terms;
    struct andiron_error err;
    andiron_json resource;
    size_t count;

    if (row == NULL || row->ref.id.len == 0 || row->deleted ||
        andiron_json_parse(k->arena, row->body, &resource, &err) != 0 ||
        k->fhir->search->extract(k->fhir->search_self, k->arena, resource, &terms, &count, &err) !=
            0)
        return false;
    terms = versions_with_time(k->arena, terms, count, row->updated);
    return k->fhir->search->matches(k->fhir->search_self, filter, row->ref.id, terms, count + 1);
}

/* The version whose content stands for the resource as it is now. */
static const struct andiron_row *row_of_now(const struct keeping *k, size_t current)
{
    const struct andiron_row *row = &k->now.rows[current];
    return row->deleted ? &k->last.rows[k->last_of[current]] : row;
}

static bool is_same(const struct andiron_row *a, const struct andiron_row *b)
{
    return a->ref.version == b->ref.version && andiron_str_eq(a->ref.id, b->ref.id);
}

/* On the loop or on the pool. Rows of one resource often stand together. */
static void judge(void *state)
{
    struct keeping *k = state;
    bool now_is_seen = false;

    for (size_t i = 0; i < k->count; i++) {
        struct question *q = &k->questions[i];
        const struct andiron_row *row = &k->rows->rows[q->row];
        const struct andiron_row *now = row_of_now(k, q->current);
        const struct andiron_row *own = row->deleted ? &k->now.rows[q->before] : row;
        if (i == 0 || k->questions[i - 1].current != q->current)
            now_is_seen = is_within(k, q->filter, now);
        q->is_seen = now_is_seen && (is_same(own, now) || is_within(k, q->filter, own));
    }
}

static enum andiron_step judged(struct andiron_request *req, void *state)
{
    struct keeping *k = state;
    struct andiron_row *seen = andiron_alloc(k->arena, (k->rows->count + 1) * sizeof(seen[0]));
    size_t count = 0, next = 0;

    for (size_t i = 0; i < k->rows->count; i++) {
        bool is_asked = next < k->count && k->questions[next].row == i;
        if (!is_asked || k->questions[next++].is_seen)
            seen[count++] = k->rows->rows[i];
    }
    k->rows->rows = seen;
    k->rows->count = count;
    return k->then(req, k->state);
}

/* ---- what is needed for it ------------------------------------------------------------- */

static size_t bytes_of(const struct andiron_rows *rows)
{
    size_t bytes = 0;
    for (size_t i = 0; i < rows->count; i++)
        bytes += rows->rows[i].body.len;
    return bytes;
}

static enum andiron_step asked_again(struct andiron_request *req, void *state)
{
    struct keeping *k = state;

    if (k->last.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &k->last.error);
    if (bytes_of(k->rows) + bytes_of(&k->now) + bytes_of(&k->last) > FHIR_OFFLOAD_ABOVE)
        return andiron_offload(req, judge, judged, k);
    judge(k);
    return judged(req, k);
}

static struct andiron_ref before(const struct andiron_ref *ref)
{
    return (struct andiron_ref){ .type = ref->type, .id = ref->id, .version = ref->version - 1 };
}

static enum andiron_step asked(struct andiron_request *req, void *state)
{
    struct keeping *k = state;

    if (k->now.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &k->now.error);
    k->last_refs = andiron_alloc(k->arena, (k->current_count + 1) * sizeof(k->last_refs[0]));
    k->last_of = andiron_alloc(k->arena, (k->current_count + 1) * sizeof(k->last_of[0]));
    for (size_t i = 0; i < k->current_count; i++) {
        const struct andiron_row *row = &k->now.rows[i];
        if (!row->deleted || row->ref.id.len == 0)
            continue;
        k->last_of[i] = k->last_count;
        k->last_refs[k->last_count++] = before(&row->ref);
    }
    if (k->last_count == 0)
        return asked_again(req, k);
    return k->fhir->store->read(k->fhir->store_self, req, k->last_refs, k->last_count, &k->last,
                                asked_again, k);
}

static bool is_of_last(const struct keeping *k, const struct andiron_ref *ref)
{
    const struct andiron_ref *last = k->current_count > 0 ? &k->refs[k->current_count - 1] : NULL;
    return last != NULL && andiron_str_eq(last->id, ref->id) &&
           andiron_str_eq(last->type, ref->type);
}

/* Which rows are in question, and what must be read to judge them. -1: the request has been failed. */
static int gather(struct andiron_request *req, struct keeping *k, enum andiron_access access)
{
    const struct resource_type *type = NULL;
    const struct andiron_filter *filter = NULL;
    struct andiron_error err;

    for (size_t i = 0; i < k->rows->count; i++) {
        const struct andiron_row *row = &k->rows->rows[i];
        if (type == NULL || !andiron_str_eq(type->str, row->ref.type)) {
            type = types_find(k->fhir->types, row->ref.type);
            filter = NULL;
            if (type != NULL && access_is_narrowed(req, type, access) &&
                k->fhir->search->select(k->fhir->search_self, req, type->str,
                                        (andiron_str){ NULL, 0 }, access, &filter, &err) != 0) {
                (void)andiron_fail_with(req, &err);
                return -1;
            }
        }
        if (filter == NULL || row->ref.id.len == 0)
            continue;
        if (!is_of_last(k, &row->ref))
            k->refs[k->current_count++] =
                (struct andiron_ref){ .type = row->ref.type, .id = row->ref.id };
        k->questions[k->count++] =
            (struct question){ .row = i, .current = k->current_count - 1, .filter = filter };
    }
    k->ref_count = k->current_count;
    for (size_t i = 0; i < k->count; i++) {
        const struct andiron_row *row = &k->rows->rows[k->questions[i].row];
        if (!row->deleted)
            continue;
        k->questions[i].before = k->ref_count;
        k->refs[k->ref_count++] = before(&row->ref);
    }
    return 0;
}

/* Whether a row is of a type that is narrowed: mostly none is, and then nothing is to be done. */
static bool is_any_narrowed(const struct fhir *fhir, const struct andiron_request *req,
                            enum andiron_access access, const struct andiron_rows *rows)
{
    const struct resource_type *type = NULL;

    for (size_t i = 0; i < rows->count; i++) {
        andiron_str name = rows->rows[i].ref.type;
        if (type != NULL && andiron_str_eq(type->str, name))
            continue;
        type = types_find(fhir->types, name);
        if (type != NULL && access_is_narrowed(req, type, access))
            return true;
    }
    return false;
}

enum andiron_step versions_keep(const struct fhir *fhir, struct andiron_request *req,
                                enum andiron_access access, struct andiron_rows *rows,
                                andiron_step_fn then, void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);

    if (!is_any_narrowed(fhir, req, access, rows))
        return then(req, state);
    struct keeping *k = andiron_new(arena, struct keeping);
    *k = (struct keeping){
        .fhir = fhir, .arena = arena, .rows = rows, .then = then, .state = state
    };
    k->questions = andiron_alloc(arena, (rows->count + 1) * sizeof(k->questions[0]));
    k->refs = andiron_alloc(arena, (rows->count * 2 + 1) * sizeof(k->refs[0]));
    if (gather(req, k, access) != 0)
        return ANDIRON_DONE;
    if (k->count == 0)
        return then(req, state);
    return fhir->store->read(fhir->store_self, req, k->refs, k->ref_count, &k->now, asked, k);
}
