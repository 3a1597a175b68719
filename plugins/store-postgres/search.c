/*
 * One page of a search, in rounds; see search.h and run.h.
 *
 * What is likely to take one round is sent as a batch of its own. If it then takes another one, all is
 * done again in a transaction that has one snapshot for all rounds.
 */
#include "search.h"

#include <stdlib.h>
#include <time.h>

#include "common/store/body.h"
#include "naming.h"
#include "plan.h"
#include "replica.h"
#include "service.h"
#include "sorting.h"
#include "stages.h"

enum { ROUNDS_MAX = 200, THOROUGH = 20, MS = 1000 };

enum stage {
    STAGE_PLAN,
    STAGE_SOURCES,
    STAGE_PAGE,
    STAGE_BODIES,
    STAGE_TOTAL,
    STAGE_INCLUDES,
    STAGE_END
};

/* ---- what the parts of a search need ---------------------------------------------------------- */

static int64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int run_fail(struct run *run, enum andiron_code code, const char *message)
{
    if (!run->failed)
        andiron_error_set(run->error, code, "", "%s", message);
    run->failed = true;
    return RUN_FAILED;
}

int run_damaged(struct run *run)
{
    return run_fail(
        run, ANDIRON_E_INTERNAL,
        "a stored resource cannot be read; the storage is damaged or of a newer version");
}

int run_too_costly(struct run *run)
{
    return run_fail(run, ANDIRON_E_UNPROCESSABLE,
                    "the search takes too long; add a parameter that selects fewer resources");
}

void run_want(struct run *run, const struct compose *sql,
              void (*take)(struct run *run, void *arg, const struct wire_batch *b, size_t at),
              void *arg)
{
    struct want *want = andiron_new(run->arena, struct want);

    *want = (struct want){ .sql = sql, .take = take, .arg = arg };
    *run->last_want = want;
    run->last_want = &want->next;
    run->want_count++;
}

static void budget(struct run *run)
{
    const struct config *config = run->store->config;

    run->moved = false;
    run->work = 0;
    run->work_max = config->scan_budget * THOROUGH;
    run->until_us = clock_us() + config->statement_timeout * MS;
    if (run->place.lease != NULL)
        run_moved(run); /* others wait for its locks */
}

void run_moved(struct run *run)
{
    const struct config *config = run->store->config;

    if (run->moved)
        return;
    run->moved = true;
    if (run->work_max > run->work + config->scan_budget)
        run->work_max = run->work + config->scan_budget;
    int64_t until = clock_us() + config->scan_time * MS;
    if (until < run->until_us)
        run->until_us = until;
}

bool run_spend(struct run *run, int64_t rows)
{
    run->work += rows;
    run->probed += rows;
    return run->work > run->work_max || (run->rounds > 2 && clock_us() > run->until_us);
}

void page_add(struct run *run, const struct candidate *c, bool included)
{
    if (run->page_count == run->page_room) {
        size_t room = run->page_room * 2 + 16;
        struct page_row *page = andiron_alloc(run->arena, room * sizeof(page[0]));
        if (run->page_count != 0)
            memcpy(page, run->page, run->page_count * sizeof(page[0]));
        run->page = page;
        run->page_room = room;
    }
    run->page[run->page_count++] =
        (struct page_row){ .c = *c,
                           .type = names_of_type(run->store->names, c->type),
                           .included = included,
                           .has_body = c->body.data != NULL ||
                                       (run->place.refs_only && c->id.data != NULL) };
}

void candidate_columns(struct compose *c, bool id, bool body)
{
    compose_put(c, "v.vid,v.rid,v.type,v.ver,v.ts,v.enc,v.keys%s%s", id ? ",r.id" : "",
                body ? ",v.body" : "");
}

struct candidate candidate_of(const struct wire_batch *b, size_t at, size_t row, unsigned column,
                              bool id, bool body)
{
    struct candidate c = { .vid = wire_get_int(b, at, row, column),
                           .rid = wire_get_int(b, at, row, column + 1),
                           .type = wire_get_int(b, at, row, column + 2),
                           .version = wire_get_int(b, at, row, column + 3),
                           .updated = wire_get_int(b, at, row, column + 4),
                           .encoding = wire_get_int(b, at, row, column + 5),
                           .keys = wire_get_str(b, at, row, column + 6) };

    if (id)
        c.id = wire_get_str(b, at, row, column + 7);
    if (body)
        c.body = wire_get_str(b, at, row, column + (id ? 8u : 7u));
    return c;
}

/* ---- bodies of what was found without ------------------------------------------------------------- */

static void take_bodies(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    size_t rows = wire_rows(b, at), row = 0;

    (void)arg;
    for (size_t i = 0; i < run->page_count; i++) {
        struct page_row *p = &run->page[i];
        if (p->has_body)
            continue;
        p->has_body = true;
        if (row >= rows || wire_get_int(b, at, row, 0) != p->c.vid) {
            p->c.vid = 0; /* no longer current: left out */
            continue;
        }
        p->c.id = wire_get_str(b, at, row, 1);
        if (!run->place.refs_only)
            p->c.body = wire_get_str(b, at, row, 2);
        row++;
    }
}

static int add_bodies(struct run *run)
{
    int64_t *vids = andiron_alloc(run->arena, (run->page_count + 1) * sizeof(vids[0]));
    size_t count = 0;

    for (size_t i = 0; i < run->page_count; i++) {
        if (!run->page[i].has_body)
            vids[count++] = run->page[i].c.vid;
    }
    if (count == 0)
        return 0;
    struct compose *c = compose_new(run->arena);
    compose_put(c,
                "SELECT v.vid,r.id%s FROM unnest($%d) WITH ORDINALITY t(vid,n)"
                " JOIN version v ON v.vid=t.vid JOIN resource r ON r.rid=v.rid AND r.vid=v.vid"
                " ORDER BY t.n",
                run->place.refs_only ? "" : ",v.body",
                compose_ints(c, WIRE_INT8_ARRAY, vids, count));
    run_want(run, c, take_bodies, NULL);
    return RUN_WAIT;
}

/* ---- stages ---------------------------------------------------------------------------------------- */

static int find_sources(struct run *run)
{
    bool waits = false;

    for (size_t i = 0; i < run->plan_count; i++) {
        int rc = source_find(run, run->plans[i].filter, &run->plans[i].source);
        if (rc == RUN_FAILED)
            return rc;
        waits = waits || rc == RUN_WAIT;
        if (rc == 0 && run->query->explain && source_count(run, run->plans[i].source) != 0)
            waits = true; /* to tell of it */
    }
    return waits ? RUN_WAIT : 0;
}

static int do_stage(struct run *run)
{
    switch ((enum stage)run->stage) {
    case STAGE_PLAN:
        return plan_build(run);
    case STAGE_SOURCES:
        return find_sources(run);
    case STAGE_PAGE:
        if (run->query->limit == 0 || run->plan_count == 0) {
            run->rows->total = run->plan_count == 0 ? 0 : -1;
            return 0;
        }
        /* Along with the page, as it needs nothing of it. */
        counting_begin(run);
        return run->sort_count != 0 ? sorting_page(run) : by_vid_page(run);
    case STAGE_BODIES:
        return add_bodies(run);
    case STAGE_TOTAL:
        return counting_total(run);
    case STAGE_INCLUDES:
        return including(run);
    case STAGE_END:
        break;
    }
    return 0;
}

static void next_stage(struct run *run)
{
    run->stage++;
    if (run->stage == STAGE_PAGE)
        budget(run); /* gathering had its own */
    if (run->stage == STAGE_TOTAL || run->stage == STAGE_INCLUDES) {
        budget(run);
        run_moved(run);
    }
}

/* ---- rounds ------------------------------------------------------------------------------------------ */

static void step(struct run *run);

static struct run *run_begin(struct run *run)
{
    run->last_want = &run->wants;
    run->order_name = "by latest change";
    *run->rows = (struct andiron_rows){ .total = -1 };
    budget(run);
    return run;
}

/* From the start again; what was learned is of another snapshot. */
static void again(struct run *run, bool in_lease)
{
    struct run fresh = { .place = run->place,
                         .store = run->store,
                         .arena = run->arena,
                         .query = run->query,
                         .rows = run->rows,
                         .error = run->error,
                         .done = run->done,
                         .arg = run->arg,
                         .lease = run->lease,
                         .keeps_snapshot = in_lease,
                         .reloads = run->reloads,
                         .began_us = run->began_us };

    *run = fresh;
    run_begin(run);
}

static void put_rows(struct run *run)
{
    struct andiron_rows *rows = run->rows;
    size_t count = 0;

    rows->rows = andiron_alloc(run->arena, (run->page_count + 1) * sizeof(rows->rows[0]));
    for (size_t i = 0; i < run->page_count; i++) {
        const struct page_row *p = &run->page[i];
        if (p->c.vid == 0) {
            store_count(run->store->metrics.mismatches, 1);
            continue;
        }
        struct andiron_row *row = &rows->rows[count];
        *row = (struct andiron_row){
            .ref = { .type = p->type, .id = p->c.id, .version = (uint64_t)p->c.version },
            .updated = p->c.updated,
            .included = p->included,
            .body = p->c.body
        };
        if (!run->place.refs_only && body_check(p->c.encoding, row->body, run->error) != 0) {
            run->failed = true;
            return;
        }
        count++;
    }
    rows->count = count;
}

static void finish(struct run *run)
{
    if (!run->failed)
        put_rows(run);
    if (run->failed) {
        struct andiron_error error = *run->error;
        *run->rows = (struct andiron_rows){ .error = error, .total = -1 };
    } else if (run->query->explain) {
        explaining(run, clock_us() - run->began_us);
    }
    wire_abandon(run->lease); /* it has only read */
    if (run->is_starting)
        andiron_loop_post(run->place.local->loop, run->done, run->arg);
    else
        run->done(run->arg);
}

static void got_names(void *arg, const struct andiron_error *err)
{
    struct run *run = arg;

    if (err != NULL) {
        *run->error = *err;
        run->failed = true;
        finish(run);
        return;
    }
    again(run, run->keeps_snapshot);
    run->names_asked = run->reloads > 2; /* another node makes names all the time: go with these */
    step(run);
}

/* Whether names were added or became void since they were loaded: then they are loaded anew. */
static bool names_changed(const struct run *run, const struct wire_batch *b, size_t at)
{
    struct naming_counts seen = naming_seen(run->store);

    /* A replica may be behind of what is known here. */
    return wire_rows(b, at) == 1 &&
           (wire_get_int(b, at, 0, 0) > seen.names || wire_get_int(b, at, 0, 1) > seen.voids);
}

static void take_reply(struct run *run, struct wire_batch *b)
{
    struct want *want = run->wants;
    bool changed = false;

    if (b->reply.outcome != WIRE_OK) {
        run->failed = true;
        *run->error = b->reply.error;
        if (strcmp(b->reply.sqlstate, "57014") == 0) { /* statement_timeout */
            run->failed = false;
            (void)run_too_costly(run);
        }
        finish(run);
        return;
    }
    run->wants = NULL;
    run->last_want = &run->wants;
    run->want_count = 0;
    for (size_t at = 0; want != NULL; want = want->next, at++) {
        if (want->sql == NULL)
            changed = names_changed(run, b, at);
        else
            want->take(run, want->arg, b, at);
    }
    if (changed) {
        run->reloads++;
        run->place.pool = WIRE_READ; /* a replica may not know of them yet */
        /* Loading needs a connection: whoever waits for one must not hold one. */
        wire_abandon(run->lease);
        run->lease = NULL;
        naming_load(run->place.local, run->arena, got_names, run);
        return;
    }
    step(run);
}

static void replied(void *arg, struct wire_batch *b)
{
    take_reply(arg, b);
}

static struct wire_batch *batch_of(struct run *run, bool is_single)
{
    struct wire_batch *b = wire_batch(run->arena);
    bool is_only = is_single && run->want_count == 1;

    for (const struct want *want = run->wants; want != NULL; want = want->next) {
        if (want->sql == NULL)
            naming_ask(b);
        else
            compose_add(want->sql, b, is_only);
    }
    return b;
}

static void granted(void *arg, struct wire_lease *lease)
{
    struct run *run = arg;

    if (lease->error.code != ANDIRON_OK) {
        *run->error = lease->error;
        run->failed = true;
        finish(run);
        return;
    }
    wire_lease_send(lease, batch_of(run, false), replied, run);
}

/* Whether this round, the first one, is likely to be the last. */
static bool takes_one_round(const struct run *run)
{
    if (run->query->include_count != 0)
        return false;
    if (run->stage == STAGE_TOTAL)
        return counting_is_asked(run);
    return run->stage == STAGE_PAGE &&
           (run->sort_count != 0 ? sorting_is_single(run) : by_vid_is_single(run));
}

static void send(struct run *run)
{
    struct wire_batch *b;

    if (run->place.lease != NULL) {
        wire_lease_send(run->place.lease, batch_of(run, false), replied, run);
        return;
    }
    if (run->lease != NULL) {
        wire_lease_send(run->lease, batch_of(run, false), replied, run);
        return;
    }
    if (!run->keeps_snapshot && takes_one_round(run)) {
        b = batch_of(run, true);
        if (run->want_count > 1)
            wire_snapshot(b);
        run->is_single = true;
        wire_send(run->place.local->wire, run->place.pool, b, replied, run);
        return;
    }
    run->keeps_snapshot = true;
    run->lease = wire_lease(run->place.local->wire, run->place.pool, WIRE_REPEATABLE, run->arena,
                            granted, run);
}

/* Goes on as far as what is there leads. */
static void step(struct run *run)
{
    int rc = 0;

    while (run->stage != STAGE_END && !run->failed && rc == 0) {
        rc = do_stage(run);
        if (rc == 0)
            next_stage(run);
    }
    if (run->failed || run->stage == STAGE_END) {
        finish(run);
        return;
    }
    known_ask(run);
    judging_ask(run);
    if (run->is_single && !run->keeps_snapshot) {
        again(run, true); /* there is more to do than one round can */
        step(run);
        return;
    }
    if (run->needs_names && !run->names_asked) {
        run->names_asked = true;
        run_want(run, NULL, NULL, NULL);
    }
    if (run->want_count == 0 || ++run->rounds > ROUNDS_MAX) {
        (void)run_too_costly(run);
        finish(run);
        return;
    }
    send(run);
}

void search_start(const struct search_place *place, const struct andiron_query *query,
                  struct andiron_rows *rows, void (*done)(void *arg), void *arg)
{
    struct run *run = andiron_new(place->arena, struct run);

    *run = (struct run){ .place = *place,
                         .store = place->local->store,
                         .arena = place->arena,
                         .query = query,
                         .rows = rows,
                         .error = &rows->error,
                         .done = done,
                         .arg = arg,
                         .began_us = clock_us() };
    run_begin(run);
    run->is_starting = true;
    step(run);
    run->is_starting = false;
}

/* ---- on requests ------------------------------------------------------------------------------- */

static void resume(void *arg)
{
    andiron_resume(arg);
}

enum andiron_step service_search(void *self, struct andiron_request *req,
                                 const struct andiron_query *query, struct andiron_rows *ret,
                                 andiron_step_fn then, void *state)
{
    struct search_place place = { .local = store_local(self, andiron_request_loop(req)),
                                  .arena = andiron_request_arena(req) };
    enum andiron_step step = andiron_wait(req, then, state);

    place.pool = replica_pool(place.local, req, andiron_str_of(query->type));
    search_start(&place, query, ret, resume, req);
    return step;
}
