/*
 * Forgetting Sessions; see sweep.h.
 *
 * Every token leaves a Session behind, so they are walked through from the oldest on, and those
 * that expired `keep-sessions` ago are purged from the store with their versions. One page at a
 * time, each a job of its own, so that its memory goes back; the claim "auth/sweep" makes one
 * process of all do it. Each Session is purged in the version in which it was read: one that
 * changes meanwhile waits for the next pass. Nothing depends on the end of a pass.
 */
#include "sweep.h"

#include <event2/event.h>

#include "common/fhir/dates.h"

enum {
    PAGE = 100,
    DEADLINE_MS = 30000,
    FIRST_MS = 1000,
    PERIOD_MIN_MS = 1000,
    PERIOD_MAX_MS = 60000,
    PAUSE_MS =
        100 /* after a page that had little to forget: Sessions of long lives are in between */
};

struct sweep {
    struct auth *auth;
    struct andiron_loop *loop; /* NULL: not running */
    struct event *timer;
    int64_t next_ms, period_ms;
    andiron_usec claimed; /* until then this process sweeps */
    andiron_usec until;   /* of the pass */
    size_t cursor_len;    /* 0: the next page is the first of a pass */
    char cursor[256];
    bool has_failed; /* and has said so */
};

/* One page. */
struct sweeping {
    struct sweep *sweep;
    andiron_usec now;
    struct andiron_error error; /* of the claim */
    bool taken;
    struct andiron_walk walk;
    struct andiron_rows rows;
    struct andiron_ref refs[PAGE];
    struct andiron_purge purge;
};

static const struct andiron_store *store_of(const struct sweep *s)
{
    return s->auth->store.table;
}

static void set_timer(struct sweep *s, int64_t ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (s->timer != NULL)
        (void)event_add(s->timer, &delay); /* fails for want of memory alone, which aborts */
}

/* Whatever became of the page, also where its deadline has passed. */
static void page_over(void *arg)
{
    struct sweep *s = arg;
    set_timer(s, s->next_ms);
}

static enum andiron_step gave_up(struct sweep *s, const struct andiron_error *err)
{
    if (!s->has_failed)
        andiron_log(s->auth->host, ANDIRON_LOG_WARN, "auth.sessions.unswept",
                    "expired sessions cannot be forgotten, which is tried again: %s", err->message);
    s->has_failed = true;
    s->cursor_len = 0;
    return ANDIRON_DONE;
}

/* ---- one page ----------------------------------------------------------------------------- */

/* How long after the end of its token a Session is kept at least; clocks of others may be off. */
static andiron_usec grace_of(const struct auth *auth)
{
    return (auth->config->keep_sessions + auth->config->clock_skew) * 1000;
}

/* When its token ends; INT64_MAX: nobody can tell. Of a deleted one the latest that is possible. */
static andiron_usec end_of(const struct auth *auth, struct andiron_arena *arena,
                           const struct andiron_row *row)
{
    andiron_json session;
    struct fhir_date exp;

    if (row->deleted)
        return row->updated + auth->config->max_ttl * 1000;
    if (andiron_json_parse(arena, row->body, &session, NULL) != 0 ||
        fhir_date_parse(andiron_json_str(andiron_json_get(session, "exp")), &exp) != 0)
        return INT64_MAX;
    return exp.low;
}

static enum andiron_step purged(struct andiron_request *req, void *state)
{
    struct sweeping *p = state;
    struct sweep *s = p->sweep;
    (void)req;

    andiron_count(s->auth->purged, p->purge.purged);
    if (p->purge.error.code != ANDIRON_OK)
        return gave_up(s, &p->purge.error);
    s->has_failed = false;
    if (s->cursor_len != 0)
        s->next_ms = p->purge.purged >= PAGE / 2 ? 0 : PAUSE_MS;
    return ANDIRON_DONE;
}

static enum andiron_step walked(struct andiron_request *req, void *state)
{
    struct sweeping *p = state;
    struct sweep *s = p->sweep;
    andiron_usec grace = grace_of(s->auth);

    if (p->rows.error.code != ANDIRON_OK)
        return gave_up(s, &p->rows.error);
    p->purge = (struct andiron_purge){ .refs = p->refs };
    for (size_t i = 0; i < p->rows.count; i++) {
        andiron_usec end = end_of(s->auth, andiron_request_arena(req), &p->rows.rows[i]);
        if (end < p->now - grace)
            p->refs[p->purge.count++] = p->rows.rows[i].ref;
    }
    s->cursor_len = p->rows.cursor.len <= sizeof(s->cursor) ? p->rows.cursor.len : 0;
    if (s->cursor_len != 0)
        memcpy(s->cursor, p->rows.cursor.data, s->cursor_len);
    return store_of(s)->purge(s->auth->store.self, req, &p->purge, purged, p);
}

static enum andiron_step read_page(struct andiron_request *req, struct sweeping *p)
{
    static const char *const types[] = { "Session", NULL };
    struct sweep *s = p->sweep;

    if (s->cursor_len == 0)
        s->until = p->now - grace_of(s->auth);
    p->walk = (struct andiron_walk){
        .types = types, .until = s->until, .oldest_first = true, .latest_only = true, .limit = PAGE
    };
    if (s->cursor_len != 0)
        p->walk.cursor = (andiron_str){ andiron_copy(andiron_request_arena(req),
                                                     (andiron_str){ s->cursor, s->cursor_len }),
                                        s->cursor_len };
    p->rows = (struct andiron_rows){ .total = -1 };
    return store_of(s)->walk(s->auth->store.self, req, &p->walk, &p->rows, walked, p);
}

static enum andiron_step claimed(struct andiron_request *req, void *state)
{
    struct sweeping *p = state;
    struct sweep *s = p->sweep;

    if (p->error.code != ANDIRON_OK)
        return gave_up(s, &p->error);
    if (!p->taken) {
        s->cursor_len = 0; /* another process does it */
        return ANDIRON_DONE;
    }
    s->claimed = p->now + s->period_ms * 1000;
    return read_page(req, p);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct sweep *s = state;
    struct sweeping *p = andiron_new(andiron_request_arena(req), struct sweeping);

    p->sweep = s;
    p->now = andiron_now();
    s->next_ms = s->period_ms;
    andiron_at_release(andiron_request_arena(req), page_over, s);
    if (p->now < s->claimed)
        return read_page(req, p);
    return store_of(s)->claim(s->auth->store.self, req, ANDIRON_STR("auth/sweep"),
                              p->now + s->period_ms * 1000, &p->taken, &p->error, claimed, p);
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sweep *s = arg;
    (void)fd;
    (void)what;
    andiron_job_start(s->loop, "auth.sessions.sweep", DEADLINE_MS, begin, s);
}

struct sweep *sweep_new(struct auth *auth)
{
    const struct andiron_store *store = auth->store.table;
    int64_t period_ms = auth->config->keep_sessions / 4;

    if (store->size < offsetof(struct andiron_store, purge) + sizeof(store->purge) ||
        store->purge == NULL)
        return NULL;
    struct sweep *s = andiron_new(andiron_host_arena(auth->host), struct sweep);
    s->auth = auth;
    s->period_ms = period_ms < PERIOD_MIN_MS   ? PERIOD_MIN_MS
                   : period_ms > PERIOD_MAX_MS ? PERIOD_MAX_MS
                                               : period_ms;
    return s;
}

int sweep_start(struct sweep *s, struct andiron_loop *loop)
{
    if (s == NULL)
        return 0;
    s->timer = evtimer_new(andiron_loop_base(loop), on_timer, s);
    if (s->timer == NULL)
        return -1;
    s->loop = loop;
    set_timer(s, FIRST_MS);
    return 0;
}

void sweep_stop(struct sweep *s, struct andiron_loop *loop)
{
    if (s == NULL || s->loop != loop)
        return;
    event_free(s->timer);
    s->timer = NULL;
    s->loop = NULL;
}
