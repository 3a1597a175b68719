/*
 * Sweeps; see sweep.h.
 */
#include "sweep.h"

enum { SLICE = 200, SLICE_DEADLINE_MS = 60000 };

struct slice {
    struct sweep *sweep;
    struct andiron_arena *arena;
    struct andiron_walk walk;
    struct andiron_rows rows;
    struct andiron_indexing *items;
    const struct andiron_ref **unreadable;
    size_t count, unreadable_count, differing_count;
    const struct model *model;
    const char *const *pass_over;
    struct andiron_error error;
    bool is_finished;
};

/* ---- the end of a slice -------------------------------------------------------------- */

/* Where it stands is moved on only by a slice that has done all of its work. */
static enum andiron_step finish(struct slice *s)
{
    struct sweep *sweep = s->sweep;

    s->is_finished = true;
    sweep->error = s->error;
    if (s->error.code != ANDIRON_OK)
        return ANDIRON_DONE;
    bool is_first = sweep->horizon.len == 0;
    if ((is_first && record_place_keep(&sweep->horizon, s->rows.horizon, &sweep->error) != 0) ||
        record_place_keep(&sweep->cursor, s->rows.cursor, &sweep->error) != 0)
        return ANDIRON_DONE;
    if (is_first)
        sweep->horizon_time = s->rows.horizon_time;
    sweep->is_done = s->rows.cursor.len == 0;
    sweep->seen += (int64_t)s->rows.count;
    return ANDIRON_DONE;
}

static void tell(void *arg)
{
    struct sweep *sweep = arg;
    sweep->next(sweep->arg);
}

/* With the memory of the job; also where its time was over. */
static void release(void *arg)
{
    struct slice *s = arg;
    if (!s->is_finished)
        (void)andiron_error_set(&s->sweep->error, ANDIRON_E_UNAVAILABLE, "",
                                "the store took too long");
    andiron_loop_post(s->sweep->loop, tell, s->sweep);
}

/* ---- its steps ------------------------------------------------------------------------ */

static enum andiron_step indexed(struct andiron_request *req, void *state)
{
    (void)req;
    return finish(state);
}

static enum andiron_step repaired(struct andiron_request *req, void *state)
{
    struct slice *s = state;
    if (s->error.code == ANDIRON_OK)
        s->sweep->repaired += (int64_t)s->differing_count;
    return indexed(req, s);
}

static enum andiron_step compared(struct andiron_request *req, void *state)
{
    struct slice *s = state;
    struct sweep *sweep = s->sweep;
    const struct andiron_store *store = sweep->search->store.table;
    struct andiron_indexing *differing =
        andiron_alloc(s->arena, (s->count + 1) * sizeof(*differing));

    for (size_t i = 0; i < s->count && s->error.code == ANDIRON_OK; i++) {
        if (!s->items[i].differs)
            continue;
        sweep->differing++;
        sweep->found(sweep->arg, &s->items[i].ref, s->items[i].differing);
        differing[s->differing_count++] = s->items[i];
    }
    if (s->differing_count == 0 || !sweep->is_repairing)
        return finish(s);
    return store->index(sweep->search->store.self, req, ANDIRON_INDEX_REPLACE, differing,
                        s->differing_count, &s->error, repaired, s);
}

static enum andiron_step extracted(struct andiron_request *req, void *state)
{
    struct slice *s = state;
    struct sweep *sweep = s->sweep;
    const struct andiron_store *store = sweep->search->store.table;

    for (size_t i = 0; i < s->unreadable_count; i++) {
        sweep->unreadable++;
        sweep->differing++;
        if (sweep->found != NULL)
            sweep->found(sweep->arg, s->unreadable[i], (andiron_str){ NULL, 0 });
    }
    if (s->count == 0)
        return finish(s);
    return store->index(sweep->search->store.self, req, sweep->op, s->items, s->count, &s->error,
                        sweep->op == ANDIRON_INDEX_COMPARE ? compared : indexed, s);
}

/*
 * Names of terms that are being added or removed, whether a resource has them already or still:
 * of all indexes that are not ready, with those of their words.
 */
static const char *const *unsettled(struct slice *s, const struct snapshot *in_force)
{
    const char **names = andiron_alloc(s->arena, (2 * in_force->record_count + 1) * sizeof(*names));
    size_t count = 0;

    for (size_t i = 0; i < in_force->record_count; i++) {
        const struct record *record = in_force->records[i];
        bool is_settled = false;
        for (size_t d = 0; d < in_force->definition_count && !is_settled; d++)
            is_settled = in_force->definitions[d].record == record && record->state == RECORD_READY;
        if (is_settled)
            continue;
        names[count++] = record->term;
        names[count++] = andiron_printf(s->arena, "%s#word", record->term);
    }
    return names;
}

static void extract_row(struct slice *s, const struct andiron_row *row)
{
    const struct sweep *sweep = s->sweep;
    struct andiron_indexing *item = &s->items[s->count];
    const struct andiron_term *terms;
    struct andiron_error err;
    andiron_json resource;
    bool is_known = true;
    size_t count;

    if (row->deleted)
        return;
    if (andiron_json_parse(s->arena, row->body, &resource, &err) != 0 ||
        search_extract(sweep->search, s->model, s->arena, sweep->term, resource, &terms, &count,
                       &is_known, &err) != 0) {
        s->unreadable[s->unreadable_count++] = &row->ref;
        return;
    }
    if (!is_known || (sweep->term != NULL && count == 0))
        return;
    *item = (struct andiron_indexing){
        .ref = row->ref, .terms = terms, .term_count = count, .pass_over = s->pass_over
    };
    s->count++;
}

/* On the pool. */
static void extract(void *state)
{
    struct slice *s = state;
    /* As of now, after the rows were read: what has been indexed by then is known to it. */
    const struct snapshot *in_force = models_now(s->sweep->search->models, s->arena);

    s->model = &in_force->model;
    s->pass_over = unsettled(s, in_force);
    for (size_t i = 0; i < s->rows.count; i++)
        extract_row(s, &s->rows.rows[i]);
}

static enum andiron_step walked(struct andiron_request *req, void *state)
{
    struct slice *s = state;

    s->error = s->rows.error;
    if (s->error.code != ANDIRON_OK || s->rows.count == 0)
        return finish(s);
    s->items = andiron_alloc(s->arena, s->rows.count * sizeof(*s->items));
    s->unreadable = andiron_alloc(s->arena, s->rows.count * sizeof(const struct andiron_ref *));
    return andiron_offload(req, extract, extracted, s);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct sweep *sweep = state;
    const struct andiron_store *store = sweep->search->store.table;
    struct slice *s = andiron_new(andiron_request_arena(req), struct slice);

    s->sweep = sweep;
    s->arena = andiron_request_arena(req);
    andiron_at_release(s->arena, release, s);
    s->walk = (struct andiron_walk){ .types = sweep->types,
                                     .since = sweep->since,
                                     .oldest_first = true,
                                     .latest_only = true,
                                     .limit = SLICE,
                                     .horizon = record_place_str(&sweep->horizon),
                                     .cursor = record_place_str(&sweep->cursor) };
    s->rows = (struct andiron_rows){ .total = -1 };
    return store->walk(sweep->search->store.self, req, &s->walk, &s->rows, walked, s);
}

void sweep_slice(struct sweep *sweep)
{
    sweep->error = (struct andiron_error){ .code = ANDIRON_OK };
    andiron_job_start(sweep->loop, "search.sweep", SLICE_DEADLINE_MS, begin, sweep);
}
