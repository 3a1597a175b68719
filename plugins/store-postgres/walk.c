/*
 * Walks through versions, in the order of their instants: with several nodes version numbers are not in
 * the order in which writes were made. The horizon is a version number (horizon.h).
 */
#include "commit.h"
#include "common/store/body.h"
#include "common/store/cursor.h"
#include "horizon.h"
#include "naming.h"
#include "service.h"

#define END_OF_TIME INT64_C(253402300799000000) /* year 9999 */

static const struct wire_sql top = { "walk_top",
                                     "SELECT max(vid),clock_timestamp() FROM version",
                                     { 0 } };

/*
 * $1 types (NULL: all) $2 since $3 until $4 horizon $5 $6 behind this place $7 how many $8 latest only.
 * A version that is not the last one within the walk gives a row without a body: a page looks at no
 * more than it may have rows, whatever it shows.
 */
#define LATEST                                                                                     \
    "NOT EXISTS(SELECT FROM version w WHERE w.rid=v.rid AND w.vid>v.vid AND w.vid<=$4"             \
    " AND w.ts<=$3)"
#define SHOWN "v.vid,v.ts,v.ver,v.op=3,v.enc,v.type,r.id,s.shown,CASE WHEN s.shown THEN v.body END"
#define PAGE(than, order)                                                                          \
    "SELECT " SHOWN " FROM (SELECT x.vid,x.ts FROM restype t CROSS JOIN LATERAL"                   \
    " (SELECT w.vid,w.ts FROM version w WHERE w.type=t.id AND w.ts>=$2 AND w.ts<=$3"               \
    " AND (w.ts,w.vid)" than "($5,$6) AND w.vid<=$4 ORDER BY w.ts " order ",w.vid " order          \
    " LIMIT $7) x WHERE $1 IS NULL OR t.id=ANY($1) ORDER BY x.ts " order ",x.vid " order           \
    " LIMIT $7) p JOIN version v ON v.vid=p.vid JOIN resource r ON r.rid=v.rid"                    \
    " CROSS JOIN LATERAL (SELECT NOT $8 OR " LATEST " shown) s"                                    \
    " ORDER BY v.ts " order ",v.vid " order
#define PAGE_TYPES                                                                                 \
    {                                                                                              \
        WIRE_INT2_ARRAY, WIRE_TIMESTAMPTZ, WIRE_TIMESTAMPTZ, WIRE_INT8, WIRE_TIMESTAMPTZ,          \
            WIRE_INT8, WIRE_INT8, WIRE_BOOL                                                        \
    }
static const struct wire_sql pages[2] = { { "walk_down", PAGE("<", "DESC"), PAGE_TYPES },
                                          { "walk_up", PAGE(">", "ASC"), PAGE_TYPES } };

/* The same of one resource: $1 its type $9 its id. */
#define ONE(than, order)                                                                           \
    "SELECT " SHOWN " FROM resource r CROSS JOIN LATERAL"                                          \
    " (SELECT * FROM version w WHERE w.rid=r.rid AND w.ts>=$2 AND w.ts<=$3"                        \
    " AND w.vid" than "$6 AND w.vid<=$4 AND $5 IS NOT NULL ORDER BY w.vid " order " LIMIT $7) v"   \
    " CROSS JOIN LATERAL (SELECT NOT $8 OR " LATEST " shown) s"                                    \
    " WHERE r.type=ANY($1) AND r.id=$9 ORDER BY v.vid " order
#define ONE_TYPES                                                                                  \
    {                                                                                              \
        WIRE_INT2_ARRAY, WIRE_TIMESTAMPTZ, WIRE_TIMESTAMPTZ, WIRE_INT8, WIRE_TIMESTAMPTZ,          \
            WIRE_INT8, WIRE_INT8, WIRE_BOOL, WIRE_TEXT                                             \
    }
static const struct wire_sql ones[2] = { { "walk_one_down", ONE("<", "DESC"), ONE_TYPES },
                                         { "walk_one_up", ONE(">", "ASC"), ONE_TYPES } };

struct walking {
    struct store *store;
    struct local *local;
    struct andiron_request *req;
    struct andiron_arena *arena;
    const struct andiron_walk *walk;
    const struct andiron_visitor *visitor; /* or NULL */
    struct andiron_rows *ret;
    struct wire_batch *batch;
    size_t looked; /* rows of the page */
    bool more;     /* behind them */
    int64_t horizon;
    andiron_usec horizon_time;
    andiron_usec settled_time; /* nothing is later; 0: the horizon is not a settled one */
    andiron_usec at_time; /* behind this place */
    int64_t at_vid;
    struct andiron_error error;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step fail(struct andiron_request *req, struct walking *w,
                              const struct andiron_error *err)
{
    struct andiron_error why = *err; /* may be that of ret */

    *w->ret = (struct andiron_rows){ .error = why, .total = -1 };
    return w->then(req, w->state);
}

/* ---- a page -------------------------------------------------------------------------------------- */

enum { AT_VID, AT_TS, AT_VER, AT_DELETED, AT_ENC, AT_TYPE, AT_ID, AT_SHOWN, AT_BODY };

static int make_row(struct walking *w, size_t i, struct andiron_row *row)
{
    const struct wire_batch *b = w->batch;

    *row = (struct andiron_row){ .updated = wire_get_int(b, 0, i, AT_TS),
                                 .deleted = wire_get_int(b, 0, i, AT_DELETED) != 0 };
    row->ref.type = names_of_type(w->store->names, wire_get_int(b, 0, i, AT_TYPE));
    row->ref.id = wire_get_str(b, 0, i, AT_ID);
    row->ref.version = (uint64_t)wire_get_int(b, 0, i, AT_VER);
    if (row->deleted)
        return 0;
    row->body = wire_get_str(b, 0, i, AT_BODY);
    if (w->visitor == NULL)
        return body_check(wire_get_int(b, 0, i, AT_ENC), row->body, &w->error);
    if (body_check(wire_get_int(b, 0, i, AT_ENC), row->body, NULL) != 0)
        row->body = (andiron_str){ NULL, 0 }; /* the visitor sees that it is damaged */
    return 0;
}

static void set_horizon(struct walking *w)
{
    struct cursor c = { .mode = CURSOR_HORIZON, .key = w->horizon, .high = w->settled_time };

    w->ret->horizon = cursor_write(&w->store->seal, w->arena, &c);
    w->ret->horizon_time = w->horizon_time;
}

static enum andiron_step end_page(struct andiron_request *req, void *state)
{
    struct walking *w = state;

    if (w->error.code != ANDIRON_OK)
        return fail(req, w, &w->error);
    set_horizon(w);
    if (w->more) {
        size_t last = w->looked - 1;
        struct cursor c = { .mode = CURSOR_WALK,
                            .key = wire_get_int(w->batch, 0, last, AT_VID),
                            .high = w->horizon };
        c.values[0] = (struct cursor_value){ .kind = VALUE_NUMBER,
                                             .number = wire_get_int(w->batch, 0, last, AT_TS) };
        c.values[1] = (struct cursor_value){ .kind = VALUE_NUMBER, .number = w->settled_time };
        w->ret->cursor = cursor_write(&w->store->seal, w->arena, &c);
    }
    return w->then(req, w->state);
}

/* On the pool: whoever visits may take their time. */
static void show(void *state)
{
    struct walking *w = state;
    struct andiron_row row;

    for (size_t i = 0; i < w->looked; i++) {
        if (wire_get_int(w->batch, 0, i, AT_SHOWN) == 0)
            continue;
        if (make_row(w, i, &row) != 0)
            return;
        if (w->visitor->row(w->visitor->state, &row))
            continue;
        w->more |= i + 1 < w->looked;
        w->looked = i + 1;
        return;
    }
}

static bool knows_names(const struct walking *w)
{
    for (size_t i = 0; i < w->looked; i++) {
        if (names_of_type(w->store->names, wire_get_int(w->batch, 0, i, AT_TYPE)).data == NULL)
            return false;
    }
    return true;
}

static void named(void *arg, const struct andiron_error *err)
{
    struct walking *w = arg;

    if (err != NULL)
        w->error = *err;
    andiron_resume(w->req);
}

static enum andiron_step take_page(struct andiron_request *req, void *state)
{
    struct walking *w = state;

    if (w->error.code == ANDIRON_OK && w->visitor != NULL)
        return andiron_offload(req, show, end_page, w);
    w->ret->rows = andiron_alloc(w->arena, (w->looked + 1) * sizeof(w->ret->rows[0]));
    for (size_t i = 0; i < w->looked && w->error.code == ANDIRON_OK; i++) {
        if (wire_get_int(w->batch, 0, i, AT_SHOWN) != 0 &&
            make_row(w, i, &w->ret->rows[w->ret->count]) == 0)
            w->ret->count++;
    }
    return end_page(req, w);
}

static enum andiron_step paged(struct andiron_request *req, void *state)
{
    struct walking *w = state;

    if (w->batch->reply.outcome != WIRE_OK)
        return fail(req, w, &w->batch->reply.error);
    w->looked = wire_rows(w->batch, 0);
    w->more = w->looked > w->walk->limit;
    if (w->more)
        w->looked = w->walk->limit;
    if (knows_names(w))
        return take_page(req, w);
    /* Of a type that another node has added. */
    enum andiron_step step = andiron_wait(req, take_page, w);
    naming_load(w->local, w->arena, named, w);
    return step;
}

static void bind_types(struct walking *w)
{
    const char *const *types = w->walk->types;
    size_t count = 0, n = 0;

    if (types == NULL) {
        wire_null(w->batch);
        return;
    }
    while (types[count] != NULL)
        count++;
    int64_t *numbers = andiron_alloc(w->arena, (count + 1) * sizeof(numbers[0]));
    for (size_t i = 0; i < count && (i == 0 || w->walk->id.data == NULL); i++) {
        int64_t type = names_type(w->store->names, andiron_str_of(types[i]));
        if (type != 0)
            numbers[n++] = type;
    }
    wire_int_array(w->batch, numbers, n);
}

static enum andiron_step send_page(struct andiron_request *req, struct walking *w)
{
    const struct andiron_walk *walk = w->walk;
    bool up = walk->oldest_first, is_one = walk->types != NULL && walk->id.data != NULL;
    andiron_usec until = walk->until > 0 ? walk->until : END_OF_TIME;

    if (w->settled_time != 0 && w->settled_time < until)
        until = w->settled_time;

    w->batch = wire_batch(w->arena);
    wire_add(w->batch, is_one ? &ones[up] : &pages[up]);
    bind_types(w);
    wire_instant(w->batch, walk->since > 0 ? walk->since : 0);
    wire_instant(w->batch, until);
    wire_int8(w->batch, w->horizon);
    wire_instant(w->batch, w->at_time);
    wire_int8(w->batch, w->at_vid);
    wire_int8(w->batch, (int64_t)walk->limit + 1);
    wire_bool(w->batch, walk->latest_only);
    if (is_one)
        wire_text(w->batch, walk->id);
    return wire_ask(w->local->wire, WIRE_READ, req, w->batch, paged, w);
}

/* ---- horizons ---------------------------------------------------------------------------------- */

static enum andiron_step at_horizon(struct andiron_request *req, struct walking *w)
{
    if (w->walk->limit == 0) {
        set_horizon(w);
        return w->then(req, w->state);
    }
    return send_page(req, w);
}

/*
 * Every version behind the horizon is drawn, and then given its instant, after its moment; what is up to it and
 * later than that moment belongs to the next: who asks since then misses none, and nothing shown is later.
 */
static enum andiron_step horizon_found(struct andiron_request *req, void *state)
{
    struct walking *w = state;

    w->settled_time = w->horizon_time;
    return w->error.code != ANDIRON_OK ? fail(req, w, &w->error) : at_horizon(req, w);
}

static enum andiron_step top_came(struct andiron_request *req, void *state)
{
    struct walking *w = state;

    if (w->batch->reply.outcome != WIRE_OK)
        return fail(req, w, &w->batch->reply.error);
    w->horizon = wire_get_int(w->batch, 0, 0, 0);
    w->horizon_time = wire_get_int(w->batch, 0, 0, 1);
    return at_horizon(req, w);
}

static enum andiron_step find_horizon(struct andiron_request *req, struct walking *w)
{
    if (w->walk->settled)
        return horizon_find(w->store, req, &w->horizon, &w->horizon_time, &w->error, horizon_found,
                            w);
    w->batch = wire_batch(w->arena);
    wire_add(w->batch, &top);
    return wire_ask(w->local->wire, WIRE_READ, req, w->batch, top_came, w);
}

/* What earlier results say. 1: the horizon is known; 0: it is not; -1: error. */
static int take_cursors(struct walking *w)
{
    const struct andiron_walk *walk = w->walk;
    struct cursor c;
    int known = 0;

    w->at_time = walk->oldest_first ? 0 : END_OF_TIME;
    w->at_vid = walk->oldest_first ? 0 : INT64_MAX;
    if (walk->horizon.data != NULL) {
        if (cursor_read(&w->store->seal, w->arena, walk->horizon, CURSOR_HORIZON, 0, &c,
                        &w->error) != 0)
            return -1;
        w->horizon = c.key;
        w->horizon_time = w->settled_time = c.high;
        known = 1;
    }
    if (walk->cursor.data != NULL) {
        if (cursor_read(&w->store->seal, w->arena, walk->cursor, CURSOR_WALK, 0, &c, &w->error) !=
            0)
            return -1;
        if (known == 0 || c.high < w->horizon) {
            w->horizon = c.high;
            w->horizon_time = w->settled_time = c.values[1].number;
        }
        w->at_vid = c.key;
        w->at_time = c.values[0].number;
        known = 1;
    }
    return known;
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct walking *w = state;

    if (w->error.code != ANDIRON_OK)
        return fail(req, w, &w->error);
    int known = take_cursors(w);
    if (known < 0)
        return fail(req, w, &w->error);
    return known > 0 ? at_horizon(req, w) : find_horizon(req, w);
}

static bool knows_types(const struct walking *w)
{
    for (const char *const *t = w->walk->types; t != NULL && *t != NULL; t++) {
        if (names_type(w->store->names, andiron_str_of(*t)) == 0)
            return false;
    }
    return true;
}

static enum andiron_step walk_with(void *self, struct andiron_request *req,
                                   const struct andiron_walk *walk,
                                   const struct andiron_visitor *visitor, struct andiron_rows *ret,
                                   andiron_step_fn then, void *state)
{
    struct walking *w = andiron_new(andiron_request_arena(req), struct walking);

    *ret = (struct andiron_rows){ .total = -1 };
    *w = (struct walking){ .store = self,
                           .local = store_local(self, andiron_request_loop(req)),
                           .req = req,
                           .arena = andiron_request_arena(req),
                           .walk = walk,
                           .visitor = visitor,
                           .ret = ret,
                           .then = then,
                           .state = state };
    if (knows_types(w))
        return begin(req, w);
    enum andiron_step step = andiron_wait(req, begin, w);
    naming_refresh(w->local, w->arena, named, w);
    return step;
}

enum andiron_step service_walk(void *self, struct andiron_request *req,
                               const struct andiron_walk *walk, struct andiron_rows *ret,
                               andiron_step_fn then, void *state)
{
    return walk_with(self, req, walk, NULL, ret, then, state);
}

enum andiron_step service_visit(void *self, struct andiron_request *req,
                                const struct andiron_walk *walk,
                                const struct andiron_visitor *visitor, struct andiron_rows *ret,
                                andiron_step_fn then, void *state)
{
    return walk_with(self, req, walk, visitor, ret, then, state);
}
