#include "runner.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <event2/event.h>

#include "shared.h"

enum {
    FIRST_MS = 200,
    POLL_DEADLINE_MS = 60000,
    ATTEMPTS_MAX = 6,   /* of going on with a job that comes no further */
    SWEEP_POLLS = 600,  /* looks between two searches for folders of no job */
    SHARED_POLLS = 600, /* looks between two at the folder that others use */
    SWEEP_MAX = 64,
    ORPHAN_AGE_S = 3600
};

struct runner {
    struct bulk *bulk;
    struct andiron_loop *loop; /* NULL: not running */
    struct event *timer;
    struct running *jobs;          /* all of them */
    struct running *first, **last; /* queue for a slice */
    int64_t slices;                /* at work now */
    bool polling, poll_again, has_failed;
    unsigned polls;
    _Atomic int64_t bytes, active, kept; /* of all jobs, as of the last look */
};

/* ---- slices ------------------------------------------------------------------------------------ */

static void job_free(struct running *job)
{
    output_free(job->output);
    drive_free(job->drive);
    free(job->cursor);
    andiron_arena_free(job->arena);
    free(job);
}

static void pump(struct runner *r)
{
    while (r->loop != NULL && r->first != NULL && r->slices < r->bulk->config->concurrency) {
        struct running *job = r->first;
        r->first = job->queued;
        if (r->first == NULL)
            r->last = &r->first;
        job->queued = NULL;
        job->in_slice = true;
        r->slices++;
        andiron_job_start(r->loop, "bulk.slice", 0, run_slice, job);
    }
}

/* Behind the others: each has a slice in turn. */
static void enqueue(struct runner *r, struct running *job)
{
    job->queued = NULL;
    *r->last = job;
    r->last = &job->queued;
}

static void drop(struct runner *r, struct running *job)
{
    struct running **at = &r->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    job_free(job);
}

void runner_slice_over(struct running *job)
{
    struct runner *r = job->bulk->runner;

    job->in_slice = false;
    r->slices--;
    if (job->is_over)
        drop(r, job);
    else
        enqueue(r, job);
    pump(r);
}

/* ---- looking for jobs ---------------------------------------------------------------------------- */

/* One look: what became of all jobs, and at most one that is taken or removed. */
struct poll {
    struct runner *r;
    struct andiron_query query;
    struct andiron_rows rows;
    struct job_state *states;
    size_t count, at;
    bool *is_dead;           /* the owner of states[i] has ended */
    struct job_state *state; /* that is being changed */
    struct andiron_commit commit;
    struct andiron_write writes[2];
    struct andiron_purge purge;
    struct andiron_ref refs[2];
    char id[BULK_ID_LEN + 1];
};

static struct running *find(const struct runner *r, andiron_str id)
{
    struct running *job = r->jobs;
    while (job != NULL && !andiron_str_eq(andiron_str_of(job->id), id))
        job = job->next;
    return job;
}

static bool is_own(const struct runner *r, andiron_str node)
{
    return andiron_str_eq(node, andiron_str_of(directory_node(r->bulk->directory)));
}

/* Whether this process may take the job: nobody has it, or whoever had it is gone. */
static bool is_free(const struct poll *p, size_t i, andiron_usec now)
{
    const struct job_state *s = &p->states[i];

    if (s->status != JOB_ACTIVE || find(p->r, s->id) != NULL ||
        !andiron_str_eq(s->directory, andiron_str_of(directory_token(p->r->bulk->directory))))
        return false;
    return s->owner.len == 0 || is_own(p->r, s->owner) || s->lease < now || p->is_dead[i];
}

static enum andiron_step look(struct andiron_request *req, void *arg);

static struct running *running_new(struct runner *r, const struct poll *p)
{
    struct running *job = calloc(1, sizeof(*job));
    struct andiron_row row = { .body = p->writes[0].body };

    if (job == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    job->bulk = r->bulk;
    memcpy(job->id, p->state->id.data, BULK_ID_LEN);
    job->arena = andiron_arena_new(0);
    row.body = (andiron_str){ andiron_copy(job->arena, p->writes[0].body), p->writes[0].body.len };
    row.ref.version = p->writes[0].ref.version;
    if (job_state_read(job->arena, &row, &job->state) != 0) {
        job_free(job);
        return NULL;
    }
    job->cursor_len = job->state.cursor.len;
    if (job->cursor_len > 0) {
        job->cursor = malloc(job->cursor_len + 1);
        if (job->cursor == NULL)
            abort();
        memcpy(job->cursor, job->state.cursor.data, job->cursor_len);
    }
    job->output =
        output_new(r->bulk, job->id, job->state.epoch, job->state.files, job->state.file_count);
    return job;
}

static enum andiron_step taken(struct andiron_request *req, void *arg)
{
    struct poll *p = arg;
    struct runner *r = p->r;

    if (p->commit.error.code == ANDIRON_OK && p->state->status == JOB_ACTIVE) {
        struct running *job = running_new(r, p);
        if (job != NULL) {
            if (job->state.epoch > 1) {
                andiron_count(r->bulk->resumed, 1);
                andiron_log(r->bulk->host, ANDIRON_LOG_INFO, "bulk.resumed",
                            "export %s goes on behind %llu resources", job->id,
                            (unsigned long long)job->state.resources);
            }
            job->next = r->jobs;
            r->jobs = job;
            enqueue(r, job);
            pump(r);
        }
    }
    return look(req, p); /* another was first, if it failed */
}

static enum andiron_step take(struct andiron_request *req, struct poll *p, struct job_state *s)
{
    const struct bulk *bulk = p->r->bulk;
    struct andiron_arena *arena = andiron_request_arena(req);

    p->state = s;
    s->owner = andiron_str_of(directory_node(bulk->directory));
    s->lease = andiron_now() + bulk->config->lease * 1000;
    s->epoch++;
    if (++s->attempts >= ATTEMPTS_MAX) {
        s->status = JOB_FAILED;
        s->error_code = ANDIRON_E_INTERNAL;
        s->error = ANDIRON_STR("it was begun several times and came no further; the log says why");
        s->finished = andiron_now();
        s->expires = s->finished + bulk->config->keep * 1000;
        andiron_count(bulk->failed, 1);
        andiron_log(bulk->host, ANDIRON_LOG_ERROR, "bulk.failed",
                    "export %.*s is given up: it was begun %d times and came no further",
                    (int)s->id.len, s->id.data, ATTEMPTS_MAX - 1);
    }
    p->writes[0] = job_write(arena, BULK_STATE, s->id, job_state_text(arena, s));
    p->writes[0].if_version = s->version;
    p->commit = (struct andiron_commit){ .writes = p->writes, .count = 1 };
    return bulk->store->commit(bulk->store_self, req, &p->commit, taken, p);
}

/* ---- what has expired ---------------------------------------------------------------------------- */

static enum andiron_step purged(struct andiron_request *req, void *arg)
{
    return look(req, arg); /* what could not be purged is a deleted row that nobody looks at */
}

static enum andiron_step files_removed(struct andiron_request *req, void *arg)
{
    struct poll *p = arg;
    const struct bulk *bulk = p->r->bulk;

    if (!bulk_can_purge(bulk))
        return look(req, p);
    p->refs[0] = (struct andiron_ref){ .type = ANDIRON_STR(BULK_STATE), .id = p->state->id };
    p->refs[1] = (struct andiron_ref){ .type = ANDIRON_STR(BULK_EXPORT), .id = p->state->id };
    p->purge = (struct andiron_purge){ .refs = p->refs, .count = 2 };
    return bulk->store->purge(bulk->store_self, req, &p->purge, purged, p);
}

static void remove_expired(void *arg)
{
    struct poll *p = arg;
    (void)directory_remove(p->r->bulk->directory, p->id); /* the sweep finds what is left */
}

static enum andiron_step unrecorded(struct andiron_request *req, void *arg)
{
    struct poll *p = arg;

    if (p->commit.error.code != ANDIRON_OK)
        return look(req, p);
    return andiron_offload(req, remove_expired, files_removed, p);
}

static enum andiron_step expire(struct andiron_request *req, struct poll *p, struct job_state *s)
{
    const struct bulk *bulk = p->r->bulk;

    p->state = s;
    memcpy(p->id, s->id.data, BULK_ID_LEN);
    p->writes[0] = (struct andiron_write){ .ref = { .type = ANDIRON_STR(BULK_STATE), .id = s->id },
                                           .remove = true,
                                           .if_version = s->version };
    p->writes[1] = (struct andiron_write){ .ref = { .type = ANDIRON_STR(BULK_EXPORT), .id = s->id },
                                           .remove = true };
    p->commit = (struct andiron_commit){ .writes = p->writes, .count = 2 };
    return bulk->store->commit(bulk->store_self, req, &p->commit, unrecorded, p);
}

/* It has ended and been kept, or it runs nowhere and nobody could take it for as long. */
static bool has_expired(const struct poll *p, const struct job_state *s, andiron_usec now)
{
    andiron_usec last = s->lease > s->created ? s->lease : s->created;

    if (s->id.len != BULK_ID_LEN)
        return false;
    if (s->status != JOB_ACTIVE)
        return s->expires < now;
    return find(p->r, s->id) == NULL && last + p->r->bulk->config->keep * 1000 < now;
}

static enum andiron_step look(struct andiron_request *req, void *arg)
{
    struct poll *p = arg;
    andiron_usec now = andiron_now();

    while (p->at < p->count) {
        size_t i = p->at++;
        struct job_state *s = &p->states[i];
        if (is_free(p, i, now))
            return take(req, p, s);
        if (has_expired(p, s, now))
            return expire(req, p, s);
    }
    return ANDIRON_DONE;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static bool is_recorded(const struct poll *p, const char *id)
{
    for (size_t i = 0; i < p->count; i++)
        if (andiron_str_eq(p->states[i].id, andiron_str_of(id)))
            return true;
    return false;
}

/* Folders that a crash left behind when their record had gone. */
static void sweep(const struct poll *p)
{
    const struct directory *d = p->r->bulk->directory;
    char ids[SWEEP_MAX][BULK_ID_LEN + 1];
    size_t count = directory_list(d, ORPHAN_AGE_S, ids, SWEEP_MAX);

    for (size_t i = 0; i < count; i++)
        if (!is_recorded(p, ids[i]))
            (void)directory_remove(d, ids[i]); /* what is left is found again */
}

/* On the pool: which owners live. */
static void find_dead(void *arg)
{
    struct poll *p = arg;
    const struct runner *r = p->r;

    for (size_t i = 0; i < p->count; i++)
        if (p->states[i].status == JOB_ACTIVE && !is_own(r, p->states[i].owner))
            p->is_dead[i] = directory_is_dead(r->bulk->directory, p->states[i].owner);
    if (r->polls % SWEEP_POLLS == 1 && p->rows.cursor.data == NULL)
        sweep(p);
}

static enum andiron_step found(struct andiron_request *req, void *arg)
{
    struct poll *p = arg;
    struct runner *r = p->r;
    int64_t bytes = 0, active = 0;

    if (p->rows.error.code != ANDIRON_OK) {
        if (!r->has_failed)
            andiron_log(r->bulk->host, ANDIRON_LOG_WARN, "bulk.unseen",
                        "exports cannot be looked for, which is tried again: %s",
                        p->rows.error.message);
        r->has_failed = true;
        return ANDIRON_DONE;
    }
    r->has_failed = false;
    p->states =
        andiron_alloc(andiron_request_arena(req), (p->rows.count + 1) * sizeof(p->states[0]));
    p->is_dead = andiron_alloc(andiron_request_arena(req), p->rows.count + 1);
    for (size_t i = 0; i < p->rows.count; i++) {
        struct job_state *s = &p->states[p->count];
        if (job_state_read(andiron_request_arena(req), &p->rows.rows[i], s) != 0)
            continue;
        bytes += (int64_t)s->bytes;
        active += s->status == JOB_ACTIVE;
        p->count++;
    }
    atomic_store(&r->bytes, bytes);
    atomic_store(&r->active, active);
    atomic_store(&r->kept, (int64_t)p->count - active);
    if (p->count == 0 && r->polls % SWEEP_POLLS != 1)
        return ANDIRON_DONE;
    return andiron_offload(req, find_dead, look, p);
}

static void set_timer(struct runner *r, int64_t ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (r->timer != NULL)
        (void)event_add(r->timer, &delay); /* fails for want of memory alone, which aborts */
}

static void poll_over(void *arg)
{
    struct runner *r = arg;

    r->polling = false;
    set_timer(r, r->poll_again ? 0 : r->bulk->config->poll);
    r->poll_again = false;
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct runner *r = state;
    struct poll *p = andiron_new(andiron_request_arena(req), struct poll);
    const struct bulk *bulk = r->bulk;

    p->r = r;
    r->polls++;
    andiron_at_release(andiron_request_arena(req), poll_over, r);
    p->query = (struct andiron_query){ .type = BULK_STATE, .limit = BULK_RECORDS_MAX };
    return bulk->store->search(bulk->store_self, req, &p->query, &p->rows, found, p);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct runner *r = arg;
    (void)fd;
    (void)what;
    if (r->polling)
        return;
    if (r->polls % SHARED_POLLS == 0)
        shared_check(r->bulk, r->loop);
    r->polling = true;
    andiron_job_start(r->loop, "bulk.poll", POLL_DEADLINE_MS, begin, r);
}

/* ---- from other threads ---------------------------------------------------------------------------- */

static void poke(void *arg)
{
    struct runner *r = arg;

    if (r->polling)
        r->poll_again = true;
    else
        set_timer(r, 0);
}

void runner_poke(struct runner *r)
{
    struct andiron_loop *loop = andiron_host_loop(r->bulk->host, 0);
    if (loop != NULL)
        andiron_loop_post(loop, poke, r);
}

struct cancelling {
    struct runner *r;
    char id[BULK_ID_LEN + 1];
};

static void cancel(void *arg)
{
    struct cancelling *c = arg;
    struct running *job = find(c->r, andiron_str_of(c->id));

    if (job != NULL)
        job->is_cancelled = true; /* its next slice sees it */
    free(c);
}

void runner_cancel(struct runner *r, andiron_str id)
{
    struct andiron_loop *loop = andiron_host_loop(r->bulk->host, 0);
    struct cancelling *c = calloc(1, sizeof(*c));

    if (c == NULL)
        abort();
    c->r = r;
    memcpy(c->id, id.data, id.len < BULK_ID_LEN ? id.len : BULK_ID_LEN);
    andiron_loop_post(loop, cancel, c);
}

int64_t runner_bytes(const struct runner *r)
{
    return atomic_load(&r->bytes);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static double show_bytes(void *self)
{
    return (double)runner_bytes(self);
}

static double show_active(void *self)
{
    const struct runner *r = self;
    return (double)atomic_load(&r->active);
}

static double show_kept(void *self)
{
    const struct runner *r = self;
    return (double)atomic_load(&r->kept);
}

struct runner *runner_new(struct bulk *bulk)
{
    struct runner *r = andiron_new(andiron_host_arena(bulk->host), struct runner);

    r->bulk = bulk;
    r->last = &r->first;
    andiron_gauge(bulk->host, "andiron_bulk_jobs", "state=\"active\"", "Exports by state",
                  show_active, r);
    andiron_gauge(bulk->host, "andiron_bulk_jobs", "state=\"kept\"", "Exports by state", show_kept,
                  r);
    andiron_gauge(bulk->host, "andiron_bulk_disk_bytes", NULL, "Bytes of exports that are kept",
                  show_bytes, r);
    return r;
}

int runner_start(struct runner *r, struct andiron_loop *loop)
{
    r->timer = evtimer_new(andiron_loop_base(loop), on_timer, r);
    if (r->timer == NULL)
        return -1;
    r->loop = loop;
    set_timer(r, FIRST_MS);
    return 0;
}

void runner_stop(struct runner *r)
{
    r->loop = NULL;
    if (r->timer != NULL)
        event_free(r->timer);
    r->timer = NULL;
}

void runner_free(struct runner *r)
{
    while (r != NULL && r->jobs != NULL) {
        struct running *job = r->jobs;
        r->jobs = job->next;
        job_free(job);
    }
}
