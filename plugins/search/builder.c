/*
 * Background work on indexes; see builder.h.
 *
 * The life of an index: a record (building) is made for a definition that has none. From the
 * moment a node sees it, it adds the index's terms to what it writes. After SETTLE_MS, when all
 * nodes do, all current resources are walked through and get the terms, too (pass 1); then those
 * that changed since, for a node may have been slow (pass 2); then it is ready. A record without a
 * definition is marked as dropping; GRACE_MS later, when no node searches by it any more, its
 * terms are removed, and at last the record.
 *
 * Records are written in the version that was read, so two processes that work at once, as clocks
 * that differ may have it, hold each other up and spoil nothing: to add terms twice is to add them
 * once, and terms of another index have other names.
 */
#include "builder.h"

#include <event2/event.h>
#include <stdio.h>

#include "common/fhir/types.h"
#include "sweep.h"

enum {
    DEADLINE_MS = 60000,
    SLOT_MS = 10000, /* one process works as long; then it is anybody's turn */
    SETTLE_MS = 2000,
    GRACE_MS = 3000,
    SAVE_MS = 1000, /* how often a record tells how far it is, at first; */
    SAVES = 20,     /* later after a twentieth of the time it took so far: each makes a version */
    RETRY_MS = 1000,
    KICK_MS = 10
};

struct builder {
    struct search *search;
    struct andiron_loop *loop;
    struct event *timer;
    bool is_busy;      /* a job or a slice is on its way */
    bool is_kicked;    /* there is a new model since it began */
    int64_t next_ms;   /* until it looks again; -1: when there is a new model */
    andiron_usec slot; /* the end of the time that this process has claimed */

    /* The index being filled, and its record as written last; term "" if there is none. */
    char term[128];
    uint64_t version;
    andiron_usec saved;
    const char *types[CUSTOM_TYPES_MAX + 1];
    struct sweep sweep;
    int pass;
    int64_t done, total;
    bool has_failed; /* and has said so */
};

enum work { WORK_NONE, WORK_CREATE, WORK_FILL, WORK_MARK, WORK_DROP };

/* One job. */
struct working {
    struct builder *builder;
    struct andiron_arena *arena;
    const struct snapshot *in_force;
    enum work work;
    const struct definition *definition; /* CREATE, FILL */
    const struct record *record;         /* FILL, MARK, DROP */
    struct record next;                  /* as it is to be written */
    andiron_usec now;
    bool taken, goes_on;
    struct andiron_error error;
    struct andiron_commit commit;
    struct andiron_write write;
    struct andiron_query query;
    struct andiron_rows rows;
    size_t type, part; /* DROP: position in record->types; 0: the terms, 1: those of words */
};

static const struct andiron_store *store_of(const struct builder *b)
{
    return b->search->store.table;
}

static void set_timer(struct builder *b, int64_t ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (b->timer != NULL)
        (void)event_add(b->timer, &delay); /* fails for want of memory alone, which aborts */
}

/* A job or slice is over. */
static void rest(struct builder *b)
{
    b->is_busy = false;
    if (b->is_kicked)
        b->next_ms = b->next_ms >= 0 && b->next_ms < KICK_MS ? b->next_ms : KICK_MS;
    b->is_kicked = false;
    if (b->next_ms >= 0)
        set_timer(b, b->next_ms);
}

static enum andiron_step failed(struct working *w)
{
    struct builder *b = w->builder;

    b->term[0] = '\0'; /* what the record says counts */
    b->next_ms = RETRY_MS;
    if (w->error.code == ANDIRON_E_PRECONDITION || w->error.code == ANDIRON_E_CONFLICT)
        return ANDIRON_DONE; /* another process was there */
    if (!b->has_failed)
        andiron_log(b->search->host, ANDIRON_LOG_WARN, "search.index.failed",
                    "the index of a search parameter cannot be worked on: %s; it is tried again",
                    w->error.message);
    b->has_failed = true;
    return ANDIRON_DONE;
}

/* ---- records ---------------------------------------------------------------------------- */

static enum andiron_step write_record(struct andiron_request *req, struct working *w,
                                      andiron_step_fn then)
{
    w->write = record_write(w->arena, &w->next);
    w->commit = (struct andiron_commit){ .writes = &w->write, .count = 1 };
    return store_of(w->builder)->commit(w->builder->search->store.self, req, &w->commit, then, w);
}

static enum andiron_step written(struct andiron_request *req, void *state)
{
    struct working *w = state;
    (void)req;
    w->error = w->commit.error;
    if (w->error.code != ANDIRON_OK)
        return failed(w);
    w->builder->has_failed = false;
    return ANDIRON_DONE;
}

/* ---- a new index -------------------------------------------------------------------------- */

static enum andiron_step counted(struct andiron_request *req, void *state)
{
    struct working *w = state;

    w->error = w->rows.error;
    if (w->error.code != ANDIRON_OK)
        return failed(w);
    w->next.total = w->rows.total > 0 ? w->rows.total : 0;
    andiron_log(w->builder->search->host, ANDIRON_LOG_INFO, "search.index.building",
                "the index of SearchParameter/%s is being built from %lld resources",
                w->definition->id, (long long)w->next.total);
    return write_record(req, w, written);
}

static enum andiron_step create(struct andiron_request *req, struct working *w)
{
    const struct custom *custom = w->definition->custom;
    const char **types = andiron_alloc(w->arena, (custom->base_count + 1) * sizeof(*types));

    for (size_t i = 0; i < custom->base_count; i++)
        types[i] = fhir_type_name(custom->bases[i].type);
    w->next = (struct record){ .id = w->definition->meaning,
                               .state = RECORD_BUILDING,
                               .types = types,
                               .created = w->now,
                               .pass = 1 };
    w->next.term = andiron_printf(w->arena, "%s@%llx", custom->code, (unsigned long long)w->now);
    w->query = (struct andiron_query){ .types = types, .total = ANDIRON_TOTAL_ACCURATE };
    w->rows = (struct andiron_rows){ .total = -1 };
    return store_of(w->builder)
        ->search(w->builder->search->store.self, req, &w->query, &w->rows, counted, w);
}

/* ---- filling it ----------------------------------------------------------------------------- */

static void slice_over(void *arg)
{
    struct builder *b = arg;
    const struct sweep *s = &b->sweep;

    if (s->error.code != ANDIRON_OK) {
        if (!b->has_failed)
            andiron_log(b->search->host, ANDIRON_LOG_WARN, "search.index.failed",
                        "%s cannot be filled: %s; it is tried again", b->term, s->error.message);
        b->has_failed = true;
        if (s->error.code == ANDIRON_E_INVALID) { /* a cursor that the store no longer takes */
            b->sweep.cursor.len = b->sweep.horizon.len = 0;
            b->sweep.seen = 0;
        }
        b->next_ms = RETRY_MS;
    } else {
        b->has_failed = false;
        b->next_ms = b->search->index_pause_ms; /* the store has others to serve */
    }
    rest(b);
}

/* Goes on where the record says. */
static void take_up(struct builder *b, const struct record *record)
{
    size_t count = 0;

    while (count < CUSTOM_TYPES_MAX && record->types[count] != NULL) {
        b->types[count] = record->types[count]; /* literals */
        count++;
    }
    b->types[count] = NULL;
    (void)snprintf(b->term, sizeof(b->term), "%s", record->term);
    b->version = record->version;
    b->saved = andiron_now();
    b->pass = record->pass;
    b->done = record->done;
    b->total = record->total;
    b->sweep = (struct sweep){ .search = b->search,
                               .loop = b->loop,
                               .types = b->types,
                               .op = ANDIRON_INDEX_ADD,
                               .term = b->term,
                               .since = record->since,
                               .next = slice_over,
                               .arg = b,
                               .cursor = record->cursor,
                               .horizon = record->horizon,
                               .horizon_time = record->horizon_time };
}

static enum andiron_step progress_written(struct andiron_request *req, void *state)
{
    struct working *w = state;
    struct builder *b = w->builder;
    (void)req;

    w->error = w->commit.error;
    if (w->error.code != ANDIRON_OK)
        return failed(w);
    if (w->next.state == RECORD_READY) {
        andiron_log(b->search->host, ANDIRON_LOG_INFO, "search.index.ready",
                    "the index of SearchParameter/%s is ready", w->definition->id);
        b->term[0] = '\0';
        return ANDIRON_DONE;
    }
    w->next.version = w->write.ref.version;
    take_up(b, &w->next);
    b->next_ms = 0;
    return ANDIRON_DONE;
}

/* Where it stands; behind pass 1 comes pass 2, and behind that it is ready. */
static enum andiron_step write_progress(struct andiron_request *req, struct working *w)
{
    struct builder *b = w->builder;
    const struct sweep *s = &b->sweep;

    w->next = *w->record;
    w->next.term = andiron_copy(w->arena, andiron_str_of(b->term));
    w->next.version = b->version;
    w->next.pass = b->pass;
    w->next.done = b->done + s->seen;
    w->next.total = b->total;
    w->next.since = s->since;
    w->next.cursor = s->cursor;
    w->next.horizon = s->horizon;
    w->next.horizon_time = s->horizon_time;
    if (s->is_done) {
        w->next.cursor.len = w->next.horizon.len = 0;
        if (b->pass == 2)
            w->next.state = RECORD_READY;
        w->next.pass = 2;
        /* Of the last millisecond before the horizon, too: instants may be rounded. */
        w->next.since = s->horizon_time > 1000 ? s->horizon_time - 1000 : 1;
    }
    return write_record(req, w, progress_written);
}

static bool is_to_be_saved(const struct working *w)
{
    andiron_usec age = w->now - w->record->created, least = SAVE_MS * 1000;
    return w->now - w->builder->saved > (age / SAVES > least ? age / SAVES : least);
}

static enum andiron_step fill(struct andiron_request *req, struct working *w)
{
    struct builder *b = w->builder;
    const struct record *record = w->record;
    int64_t wait = SETTLE_MS - (w->now - record->created) / 1000;

    if (wait > 0) {
        b->next_ms = wait < SETTLE_MS ? wait : SETTLE_MS; /* clocks differ */
        return ANDIRON_DONE;
    }
    if (strcmp(b->term, record->term) != 0)
        take_up(b, record);
    if (b->sweep.is_done || is_to_be_saved(w))
        return write_progress(req, w);
    w->goes_on = true;
    sweep_slice(&b->sweep);
    return ANDIRON_DONE;
}

/* ---- dropping ------------------------------------------------------------------------------- */

static enum andiron_step mark(struct andiron_request *req, struct working *w)
{
    w->next = *w->record;
    w->next.state = RECORD_DROPPING;
    return write_record(req, w, written);
}

/* The terms are gone. Nobody else makes a record of that id while there is this one. */
static enum andiron_step remove_record(struct andiron_request *req, struct working *w)
{
    const struct andiron_store *store = store_of(w->builder);

    andiron_log(w->builder->search->host, ANDIRON_LOG_INFO, "search.index.dropped",
                "an index that no SearchParameter asks for is gone: %s", w->record->term);
    w->write = (struct andiron_write){ .ref = { .type = ANDIRON_STR(RECORDS_TYPE),
                                                .id = andiron_str_of(w->record->id) },
                                       .remove = true,
                                       .if_version = w->record->version };
    w->commit = (struct andiron_commit){ .writes = &w->write, .count = 1 };
    return store->commit(w->builder->search->store.self, req, &w->commit, written, w);
}

static enum andiron_step forgotten(struct andiron_request *req, void *state);

static enum andiron_step forget_next(struct andiron_request *req, struct working *w)
{
    const struct andiron_store *store = store_of(w->builder);
    const char *type = w->record->types[w->type];

    if (type == NULL || store->forget == NULL) /* terms that nobody asks about do no harm */
        return remove_record(req, w);
    return store->forget(w->builder->search->store.self, req, type,
                         w->part == 0 ? w->record->term
                                      : andiron_printf(w->arena, "%s#word", w->record->term),
                         &w->error, forgotten, w);
}

static enum andiron_step forgotten(struct andiron_request *req, void *state)
{
    struct working *w = state;

    if (w->error.code != ANDIRON_OK)
        return failed(w);
    w->type += w->part;
    w->part = 1 - w->part;
    return forget_next(req, w);
}

static enum andiron_step drop(struct andiron_request *req, struct working *w)
{
    int64_t wait = GRACE_MS - (w->now - w->record->updated) / 1000;

    if (wait > 0) {
        w->builder->next_ms = wait < GRACE_MS ? wait : GRACE_MS;
        return ANDIRON_DONE;
    }
    return forget_next(req, w);
}

/* ---- what to do ------------------------------------------------------------------------------- */

static bool is_wanted(const struct snapshot *s, const struct record *record)
{
    for (size_t i = 0; i < s->definition_count; i++)
        if (s->definitions[i].record == record)
            return true;
    return false;
}

/* Room first, then new ones, so that all are known to the nodes when the first is filled. */
static void choose(struct working *w)
{
    const struct snapshot *s = w->in_force;

    for (size_t i = 0; i < s->record_count && w->work == WORK_NONE; i++) {
        if (s->records[i]->state == RECORD_DROPPING)
            w->work = WORK_DROP;
        else if (!is_wanted(s, s->records[i]))
            w->work = WORK_MARK;
        w->record = s->records[i];
    }
    for (size_t i = 0; i < s->definition_count && w->work == WORK_NONE; i++) {
        w->definition = &s->definitions[i];
        if (w->definition->refused == NULL && w->definition->record == NULL)
            w->work = WORK_CREATE;
    }
    for (size_t i = 0; i < s->definition_count && w->work == WORK_NONE; i++) {
        w->definition = &s->definitions[i];
        w->record = w->definition->record;
        if (w->record != NULL && w->record->state == RECORD_BUILDING)
            w->work = WORK_FILL;
    }
}

static enum andiron_step act(struct andiron_request *req, struct working *w)
{
    switch (w->work) {
    case WORK_CREATE:
        return create(req, w);
    case WORK_FILL:
        return fill(req, w);
    case WORK_MARK:
        return mark(req, w);
    case WORK_DROP:
        return drop(req, w);
    case WORK_NONE:
        break;
    }
    return ANDIRON_DONE;
}

static enum andiron_step claimed(struct andiron_request *req, void *state)
{
    struct working *w = state;
    struct builder *b = w->builder;

    if (w->error.code != ANDIRON_OK)
        return failed(w);
    b->next_ms = RETRY_MS;
    if (!w->taken) {
        b->term[0] = '\0';
        return ANDIRON_DONE;
    }
    b->slot = (w->now / (SLOT_MS * 1000) + 1) * SLOT_MS * 1000;
    return act(req, w);
}

static void released(void *arg)
{
    const struct working *w = arg;
    if (!w->goes_on)
        rest(w->builder);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct builder *b = state;
    struct working *w = andiron_new(andiron_request_arena(req), struct working);

    w->builder = b;
    w->arena = andiron_request_arena(req);
    w->now = andiron_now();
    b->next_ms = RETRY_MS;
    andiron_at_release(w->arena, released, w);
    w->in_force = models_now(b->search->models, w->arena);
    choose(w);
    if (w->work == WORK_NONE) {
        b->term[0] = '\0';
        b->next_ms = -1;
        return ANDIRON_DONE;
    }
    if (w->now < b->slot)
        return act(req, w);
    int64_t slot = w->now / (SLOT_MS * 1000);
    andiron_str name =
        andiron_str_of(andiron_printf(w->arena, "search/index/%lld", (long long)slot));
    return store_of(b)->claim(b->search->store.self, req, name, (slot + 2) * SLOT_MS * 1000,
                              &w->taken, &w->error, claimed, w);
}

/* ---- life --------------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct builder *b = arg;
    (void)fd;
    (void)what;
    if (b->is_busy)
        return;
    b->is_busy = true;
    b->is_kicked = false;
    andiron_job_start(b->loop, "search.index", DEADLINE_MS, begin, b);
}

void builder_kick(void *builder)
{
    struct builder *b = builder;

    if (b->is_busy)
        b->is_kicked = true;
    else if (b->next_ms < 0 || b->next_ms > KICK_MS)
        set_timer(b, KICK_MS);
}

struct builder *builder_new(struct search *search)
{
    struct builder *b = andiron_new(andiron_host_arena(search->host), struct builder);
    b->search = search;
    b->next_ms = -1;
    return b;
}

int builder_loop_start(struct builder *b, struct andiron_loop *loop, struct andiron_error *err)
{
    b->loop = loop;
    b->timer = evtimer_new(andiron_loop_base(loop), on_timer, b);
    if (b->timer == NULL)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "out of memory");
    return 0;
}

void builder_loop_stop(struct builder *b)
{
    if (b->timer != NULL)
        event_free(b->timer);
    b->timer = NULL;
}
