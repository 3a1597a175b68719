/*
 * Queue, thread and transactions of the writer; see writer.h.
 *
 * Numbers given to new names are entered into the shared table only after their commit: until
 * then other jobs find them in the database itself.
 */
#include "writer.h"

#include <stdlib.h>
#include <time.h>

#include "batch.h"
#include "checkpoint.h"
#include "lookup.h"
#include "marks.h"
#include "rows.h"
#include "walfile.h"
#include "watch.h"

enum { SWEEP_ROWS = 1000, SWEEP_MS = 60000, PROBE_MS = 1000, LOCKED_MS = 250, PATIENCE_MS = 100 };

/* A name that this transaction added or widened. */
struct pending {
    struct pending *next;
    int64_t number, type; /* type 0: a resource type */
    uint32_t kinds;
    andiron_str text;
};

struct writer {
    struct store *store;
    struct db db;
    struct walfile walfile;
    struct counters counters, stored; /* now, and as read from the file */
    bool known;                       /* stored was read once */
    struct andiron_arena *arena;      /* of the transaction */
    struct pending *pending;
    pthread_t thread;
    bool running;
    int64_t swept_ms, probed_ms;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t wake;
    struct job *first, **last;
    struct job *patient, **last_patient; /* one after the other, each in its own transaction */
    size_t queued;
    bool stopping;

    _Atomic int broken;    /* an SQLite result code, or 0 */
    _Atomic int64_t names; /* stored.names, for other threads */
    /* What transactions took, in microseconds: the longest since it was asked for, and the last one. */
    _Atomic int64_t longest_us, last_us;
};

static int64_t monotonic_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t monotonic_ms(void)
{
    return monotonic_us() / 1000;
}

struct writer *writer_new(struct store *store, struct andiron_error *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    struct db_settings settings = store_db_settings(store, true);
    pthread_condattr_t attr;

    if (w == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    w->store = store;
    w->last = &w->first;
    w->last_patient = &w->patient;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (db_open(&w->db, &settings, err) != 0) {
        writer_free(w);
        return NULL;
    }
    return w;
}

void writer_gather(struct writer *w)
{
    if (w->store->config->synchronous == SYNCHRONOUS_FULL)
        walfile_gather(&w->walfile, &w->db);
}

struct writer_view writer_view(struct writer *w)
{
    return (struct writer_view){ w->store, &w->db, &w->counters };
}

/* ---- counters -------------------------------------------------------------------- */

static int load_counters(struct writer *w)
{
    sqlite3_stmt *s = db_statement(&w->db, DB_META);
    int found;

    if (s == NULL)
        return -1;
    db_bind_str(s, 1, ANDIRON_STR("counters"));
    found = db_step(&w->db, s);
    if (found < 0)
        return -1;
    w->counters = (struct counters){ .vid = 0 };
    if (found == 1) {
        if (sqlite3_column_bytes(s, 0) != (int)sizeof(w->counters)) {
            sqlite3_reset(s);
            w->db.rc = SQLITE_CORRUPT;
            return -1;
        }
        memcpy(&w->counters, sqlite3_column_blob(s, 0), sizeof(w->counters));
    }
    sqlite3_reset(s);
    if (w->known && w->counters.names != w->stored.names) {
        rows_unsee(&w->db); /* the other process may have purged values */
        if (names_reload(w->store->names, &w->db) != 0)
            return -1;
    }
    w->stored = w->counters;
    w->known = true;
    atomic_store(&w->names, w->stored.names);
    return 0;
}

static int save_counters(struct writer *w)
{
    sqlite3_stmt *s;

    if (memcmp(&w->counters, &w->stored, sizeof(w->counters)) == 0)
        return 0;
    s = db_statement(&w->db, DB_META_SET);
    if (s == NULL)
        return -1;
    db_bind_str(s, 1, ANDIRON_STR("counters"));
    sqlite3_bind_blob(s, 2, &w->counters, sizeof(w->counters), SQLITE_STATIC);
    return db_do(&w->db, s);
}

/* ---- names and resources ------------------------------------------------------------ */

static void note_pending(struct writer *w, int64_t type, andiron_str text, int64_t number,
                         uint32_t kinds)
{
    struct pending *n = andiron_new(w->arena, struct pending);

    *n = (struct pending){
        w->pending, number, type, kinds, { andiron_copy(w->arena, text), text.len }
    };
    w->pending = n;
}

int writer_type(struct writer *w, andiron_str name, int64_t *ret)
{
    sqlite3_stmt *s;

    if (names_find_type(w->store->names, &w->db, name, ret) != 0)
        return -1;
    if (*ret != 0)
        return 0;
    if (w->counters.type + 1 >= NAMES_TYPES_MAX) {
        w->db.rc = SQLITE_TOOBIG;
        return -1;
    }
    s = db_statement(&w->db, DB_TYPE_ADD);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, w->counters.type + 1);
    db_bind_str(s, 2, name);
    if (db_do(&w->db, s) != 0)
        return -1;
    *ret = ++w->counters.type;
    note_pending(w, 0, name, *ret, 0);
    return 0;
}

int writer_param(struct writer *w, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    uint32_t kinds = 0;
    int64_t marks = 0;
    bool is_new;
    sqlite3_stmt *s;

    if (names_find_param(w->store->names, &w->db, type, code, ret, &kinds) != 0)
        return -1;
    if (*ret != 0 && (kinds & kind) != 0)
        return 0;
    is_new = *ret == 0;
    if (is_new && marks_of_new(&w->db, type, &marks) != 0)
        return -1;
    s = db_statement(&w->db, is_new ? DB_PARAM_ADD : DB_PARAM_KIND);
    if (s == NULL)
        return -1;
    int64_t p = is_new ? w->counters.p + 1 : *ret;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, is_new ? type : kind);
    if (is_new) {
        db_bind_str(s, 3, code);
        sqlite3_bind_int64(s, 4, kind | marks);
    }
    if (db_do(&w->db, s) != 0)
        return -1;
    if (is_new)
        w->counters.p = p;
    note_pending(w, type, code, p, kind);
    *ret = p;
    return 0;
}

int writer_resource(struct writer *w, int64_t type, andiron_str id, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(&w->db, DB_FIND);
    int found;

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, id);
    found = db_step(&w->db, s);
    if (found == 1)
        *ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    if (found != 0)
        return found < 0 ? -1 : 0;
    s = db_statement(&w->db, DB_RESOURCE_ADD);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, w->counters.rid + 1);
    sqlite3_bind_int64(s, 2, type);
    db_bind_str(s, 3, id);
    sqlite3_bind_null(s, 4);
    sqlite3_bind_int64(s, 5, 0);
    sqlite3_bind_int64(s, 6, 2);
    if (db_do(&w->db, s) != 0)
        return -1;
    *ret = ++w->counters.rid;
    return 0;
}

/* ---- transactions --------------------------------------------------------------------- */

static void publish_names(struct writer *w)
{
    for (const struct pending *n = w->pending; n != NULL; n = n->next) {
        if (n->type == 0)
            names_put_type(w->store->names, n->number, n->text);
        else
            names_put_param(w->store->names, n->number, n->type, n->text, n->kinds);
    }
}

static void roll_back(struct writer *w)
{
    int rc = w->db.rc;

    /* Some failures (disk full) have rolled back already; a second time does no harm. */
    if (sqlite3_get_autocommit(w->db.handle) == 0)
        (void)db_do(&w->db, db_statement(&w->db, DB_ROLLBACK));
    w->db.rc = rc;
    w->counters = w->stored;
    batch_drop(&w->db);
    rows_unsee(&w->db);
    marks_forget(&w->db);
}

static void end_transaction(struct writer *w)
{
    andiron_arena_free(w->arena);
    w->arena = NULL;
    w->pending = NULL;
}

/*
 * All jobs in one transaction. Refused ones get their error; 0 if the others are durable, -1
 * if nothing of this happened and db.rc says why, or the failed job's error does (*ret_failed).
 */
static int transact(struct writer *w, struct job *jobs)
{
    w->arena = andiron_arena_new(0);
    w->pending = NULL;
    if (db_do(&w->db, db_statement(&w->db, DB_BEGIN_WRITE)) != 0)
        goto failed;
    if (load_counters(w) != 0)
        goto failed;
    for (struct job *job = jobs; job != NULL; job = job->next) {
        *job->error = (struct andiron_error){ .code = ANDIRON_OK };
        if (job->check(w, job) != 0) {
            if (job->error->code == ANDIRON_OK)
                goto failed;
            continue;
        }
        if (job->apply(w, job) != 0)
            goto failed;
    }
    if (batch_flush(&w->db) != 0 || save_counters(w) != 0 ||
        db_do(&w->db, db_statement(&w->db, DB_COMMIT)) != 0)
        goto failed;
    w->stored = w->counters;
    publish_names(w);
    end_transaction(w);
    return 0;
failed:
    roll_back(w);
    end_transaction(w);
    return -1;
}

static void finish(struct writer *w, struct job *job)
{
    if (job->error->code == ANDIRON_OK && job->done != NULL)
        job->done(w, job);
    if (job->error->code != ANDIRON_OK)
        store_count(w->store->metrics.failures, 1);
    if (job->tidy != NULL)
        job->tidy(job);
    if (job->req != NULL)
        andiron_resume(job->req);
    else if (job->over != NULL)
        job->over(job);
}

static void note_health(struct writer *w, int rc)
{
    bool is_locked = (rc & 0xff) == SQLITE_BUSY;
    int before = atomic_exchange(&w->broken, db_is_damage(rc) || is_locked ? rc : 0);

    /* While the file is locked one long wait is enough: those behind are refused sooner. */
    if (is_locked != ((before & 0xff) == SQLITE_BUSY))
        sqlite3_busy_timeout(w->db.handle,
                             (int)(is_locked ? LOCKED_MS : w->store->config->timeout));

    if (rc != 0 && before == 0 && w->store->host != NULL)
        store_log(w->store, ANDIRON_LOG_ERROR, "store.write.failed",
                  "writing to %s failed: %s (%d)", w->store->path, sqlite3_errstr(rc), rc);
    else if (rc == 0 && before != 0)
        store_log(w->store, ANDIRON_LOG_INFO, "store.write.recovered", "writing to %s works again",
                  w->store->path);
}

/* Answers all jobs; next is read first, since an answered job's memory is gone. */
static void finish_all(struct writer *w, struct job *jobs)
{
    while (jobs != NULL) {
        struct job *next = jobs->next;
        finish(w, jobs);
        jobs = next;
    }
}

static void fail_all(struct writer *w, struct job *jobs)
{
    for (struct job *job = jobs; job != NULL; job = job->next) {
        if (job->error->code == ANDIRON_OK)
            db_error(&w->db, job->error);
    }
    finish_all(w, jobs);
}

static void note_time(struct writer *w, int64_t took_us)
{
    if (w->store->metrics.commit_time != NULL)
        andiron_observe(w->store->metrics.commit_time, took_us);
    atomic_store(&w->last_us, took_us);
    if (took_us > atomic_load(&w->longest_us)) /* only this thread raises it */
        atomic_store(&w->longest_us, took_us);
}

static void run_group(struct writer *w, struct job *jobs)
{
    int64_t began = monotonic_us();

    w->db.rc = 0;
    if (transact(w, jobs) == 0) {
        note_time(w, monotonic_us() - began);
        note_health(w, 0);
        finish_all(w, jobs);
        return;
    }
    int rc = w->db.rc & 0xff;
    if (jobs->next == NULL || rc == SQLITE_BUSY || rc == SQLITE_FULL || rc == SQLITE_IOERR) {
        note_health(w, w->db.rc);
        fail_all(w, jobs);
        return;
    }
    /* One of them failed in the middle: alone, it fails alone. */
    while (jobs != NULL) {
        struct job *next = jobs->next;
        jobs->next = NULL;
        run_group(w, jobs);
        jobs = next;
    }
}

void writer_run(struct writer *w, struct job *job)
{
    job->next = NULL;
    run_group(w, job);
}

/* ---- idle work --------------------------------------------------------------------------- */

/* Forgets claims that have expired, a slice at a time. */
static void sweep_claims(struct writer *w)
{
    sqlite3_stmt *s = db_statement(&w->db, DB_CLAIM_SWEEP);

    if (s == NULL)
        return;
    sqlite3_bind_int64(s, 1, andiron_now());
    sqlite3_bind_int64(s, 2, SWEEP_ROWS);
    (void)db_do(&w->db, s); /* the next round tries again */
}

/* Whether a broken file has healed: an empty transaction would not find out. */
static void probe(struct writer *w)
{
    w->db.rc = 0;
    if (db_run(&w->db, "BEGIN IMMEDIATE; INSERT INTO meta(k,v) VALUES('probe',1) "
                       "ON CONFLICT(k) DO UPDATE SET v=v+1; COMMIT") != 0) {
        int rc = w->db.rc;
        roll_back(w);
        note_health(w, rc);
        return;
    }
    note_health(w, 0);
}

static void idle(struct writer *w)
{
    int64_t now = monotonic_ms();

    watch_poll(w->store->watches, w->store->names, &w->db);
    if (atomic_load(&w->broken) != 0 && now - w->probed_ms >= PROBE_MS) {
        w->probed_ms = now;
        probe(w);
    }
    if (now - w->swept_ms >= SWEEP_MS) {
        w->swept_ms = now;
        sweep_claims(w);
    }
}

/* ---- thread and queue ---------------------------------------------------------------------- */

/* The patient job whose time has come, behind the others or alone. With the lock. */
static void take_patient(struct writer *w, struct job **jobs, struct job *end)
{
    struct job *job = w->patient;

    if (job == NULL || (end != NULL && monotonic_ms() - job->since_ms < PATIENCE_MS))
        return;
    w->patient = job->next;
    if (w->patient == NULL)
        w->last_patient = &w->patient;
    job->next = NULL;
    if (end != NULL)
        end->next = job;
    else
        *jobs = job;
}

/* Waits for jobs; NULL: nothing came for a while, or the end (*ret_end). */
static struct job *take_jobs(struct writer *w, bool *ret_end)
{
    int64_t poll_ms = w->store->config->poll_interval;
    struct timespec until;
    struct job *jobs;

    pthread_mutex_lock(&w->lock);
    if (w->first == NULL && w->patient == NULL && !w->stopping) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += poll_ms / 1000;
        until.tv_nsec += poll_ms % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
    }
    jobs = w->first;
    *ret_end = jobs == NULL && w->patient == NULL && w->stopping;
    struct job *end = jobs;
    size_t count = jobs != NULL;
    size_t max = (size_t)w->store->config->group_commit_max;
    while (end != NULL && end->next != NULL && count < max) {
        end = end->next;
        count++;
    }
    if (end != NULL) {
        w->first = end->next;
        if (w->first == NULL)
            w->last = &w->first;
        end->next = NULL;
    }
    w->queued -= count;
    take_patient(w, &jobs, end);
    pthread_mutex_unlock(&w->lock);
    return jobs;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    int64_t idled_ms = monotonic_ms();
    bool end = false;
    while (!end) {
        struct job *jobs = take_jobs(w, &end);
        if (jobs != NULL)
            run_group(w, jobs);
        checkpoint_finish(w->store->checkpointer, &w->db);
        /* Also under constant load: other processes' changes must be told in time. */
        int64_t now = monotonic_ms();
        if (jobs == NULL || now - idled_ms >= w->store->config->poll_interval) {
            idled_ms = now;
            idle(w);
        }
    }
    return NULL;
}

int writer_start(struct writer *w, struct andiron_error *err)
{
    int rc = pthread_create(&w->thread, NULL, writer_main, w);

    if (rc != 0)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "cannot start the writer thread: %s", strerror(rc));
    pthread_setname_np(w->thread, "store-writer");
    w->running = true;
    return 0;
}

int writer_submit(struct writer *w, struct job *job)
{
    bool refused = false, first = false;

    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    if (w->queued >= (size_t)w->store->config->queue_max || w->stopping) {
        refused = true;
    } else if (job->is_patient) {
        job->since_ms = monotonic_ms();
        first = w->queued == 0 && w->patient == NULL;
        *w->last_patient = job;
        w->last_patient = &job->next;
    } else {
        *w->last = job;
        w->last = &job->next;
        first = w->queued++ == 0;
    }
    pthread_mutex_unlock(&w->lock);
    /* Behind the unlock: the writer would wake only to wait for the lock. */
    if (first)
        pthread_cond_signal(&w->wake);
    if (refused)
        return andiron_error_set(job->error, ANDIRON_E_UNAVAILABLE, "",
                                 "too many writes are waiting; try again later");
    return 0;
}

int64_t writer_names(struct writer *w)
{
    return atomic_load(&w->names);
}

int64_t writer_latency(struct writer *w)
{
    int64_t longest = atomic_exchange(&w->longest_us, 0), last = atomic_load(&w->last_us);

    return longest > 0 ? longest : last > 0 ? last : -1;
}

size_t writer_queued(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->queued;
    pthread_mutex_unlock(&w->lock);
    return n;
}

bool writer_is_broken(const struct writer *w, struct andiron_error *ret)
{
    struct db failed = { .rc = atomic_load(&w->broken) };

    if (failed.rc == 0)
        return false;
    db_error(&failed, ret);
    return true;
}

void writer_free(struct writer *w)
{
    if (w == NULL)
        return;
    if (w->running) {
        pthread_mutex_lock(&w->lock);
        w->stopping = true;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    db_close(&w->db);
    walfile_free(&w->walfile);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
