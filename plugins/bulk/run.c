/*
 * One slice of a job:
 *
 *   run_slice -> [spec read -> group read] -> visit versions of one type -> [deletions]
 *             -> settle (files, on the pool) -> [state stored]
 *
 * Every slice is a request of its own, so that nothing grows with the size of an export. What goes
 * wrong ends the job in this process; it is taken again where the state was stored last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/fhir/dates.h"
#include "pages.h"
#include "runner.h"

enum { LINE_MAX_BYTES = 256, OUTCOME_MAX = 4096, DRIVEN_ROWS = 64 };

struct slice {
    struct running *job;
    struct bulk *bulk;
    struct andiron_arena *arena;
    struct judge judge;
    const char *types[2];
    struct andiron_walk walk;
    struct andiron_visitor visitor;
    struct andiron_query query;
    struct andiron_rows rows;
    struct andiron_row *driven; /* rows that were read one by one */
    size_t driven_count;
    uint64_t driven_bytes;
    andiron_str last_id; /* of them; absent: there are no more */
    struct andiron_error error;
    uint64_t bytes, added;    /* bytes seen; resources written */
    struct pages_clock clock; /* of the rows of a page */
    int64_t until_us;         /* monotonic, where rows are read one by one */

    struct deletion {
        struct andiron_ref ref; /* version: of the deletion */
        struct deletion *next;
    } * deletions, **last;
    size_t deletion_count;
    const struct andiron_ref *before; /* versions before the deletions */
    struct andiron_rows gone;

    struct andiron_ref ref; /* of the spec */
    struct andiron_rows read;
    bool type_ended; /* no more versions of the type */
    bool must_store, is_last;
    struct andiron_commit commit;
    struct andiron_write write;
};

static int64_t monotonic_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void slice_over(void *arg)
{
    struct slice *s = arg;
    judge_end(&s->judge);
    runner_slice_over(s->job);
}

/* This process lets go of the job; whoever takes it again starts where it was stored. */
static enum andiron_step give_up(struct slice *s, const struct andiron_error *err)
{
    andiron_log(s->bulk->host, ANDIRON_LOG_WARN, "bulk.interrupted",
                "export %s is interrupted, and goes on later: %s", s->job->id, err->message);
    s->job->is_over = true;
    return ANDIRON_DONE;
}

/* ---- storing the state ------------------------------------------------------------------------- */

static void say_finished(struct slice *s)
{
    const struct job_state *state = &s->job->state;
    bool failed = state->status == JOB_FAILED;

    andiron_count(failed ? s->bulk->failed : s->bulk->finished, 1);
    andiron_log(s->bulk->host, failed ? ANDIRON_LOG_WARN : ANDIRON_LOG_INFO,
                failed ? "bulk.failed" : "bulk.finished",
                "export %s of %.*s %s: %llu resources, %llu bytes, %zu files, %.1f s%s%.*s",
                s->job->id, (int)state->client.len, state->client.data,
                failed ? "failed" : "is finished", (unsigned long long)state->resources,
                (unsigned long long)state->bytes, state->file_count,
                (double)(state->finished - state->created) / 1e6, failed ? "; " : "",
                (int)state->error.len, state->error.len > 0 ? state->error.data : "");
}

static void remove_files(void *arg)
{
    struct slice *s = arg;
    (void)directory_remove(s->bulk->directory, s->job->id); /* the sweep finds what is left */
}

static enum andiron_step removed(struct andiron_request *req, void *arg)
{
    (void)req;
    (void)arg;
    return ANDIRON_DONE;
}

static enum andiron_step stored(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;
    struct running *job = s->job;

    if (s->commit.error.code != ANDIRON_OK)
        return give_up(s, &s->commit.error);
    job->state.version = s->write.ref.version;
    job->stored_ms = monotonic_us() / 1000;
    if (job->state.status == JOB_ACTIVE)
        return ANDIRON_DONE;
    job->is_over = true;
    say_finished(s);
    if (job->state.status == JOB_DONE)
        return ANDIRON_DONE;
    output_free(job->output);
    job->output = NULL;
    return andiron_offload(req, remove_files, removed, s);
}

static enum andiron_step store_state(struct andiron_request *req, struct slice *s)
{
    struct running *job = s->job;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct job_state *state = &job->state;

    state->lease = andiron_now() + s->bulk->config->lease * 1000;
    state->cursor = (andiron_str){ job->cursor, job->cursor_len };
    s->write = job_write(arena, BULK_STATE, state->id, job_state_text(arena, state));
    s->write.if_version = state->version;
    s->commit = (struct andiron_commit){ .writes = &s->write, .count = 1 };
    return s->bulk->store->commit(s->bulk->store_self, req, &s->commit, stored, s);
}

/* The export cannot be done: it ends, and says why. */
static enum andiron_step fail(struct andiron_request *req, struct slice *s,
                              const struct andiron_error *err)
{
    struct job_state *state = &s->job->state;

    state->status = JOB_FAILED;
    state->error_code = (int)err->code;
    state->error =
        andiron_str_of(andiron_copy(andiron_request_arena(req), andiron_str_of(err->message)));
    state->finished = andiron_now();
    state->expires = state->finished + s->bulk->config->keep * 1000;
    state->file_count = 0;
    state->bytes = 0;
    return store_state(req, s);
}

/* ---- files, on the pool -------------------------------------------------------------------------- */

static int write_deletion(struct slice *s, andiron_str id)
{
    char line[LINE_MAX_BYTES];
    int len = snprintf(line, sizeof(line),
                       "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{"
                       "\"request\":{\"method\":\"DELETE\",\"url\":\"%s/%.*s\"}}]}",
                       s->types[0], (int)id.len, id.data);

    if (len < 0 || (size_t)len >= sizeof(line))
        return 0; /* no id is that long */
    return output_line(s->job->output, JOB_DELETED, s->types[0], (andiron_str){ line, (size_t)len },
                       &s->error);
}

/* One line of the manifest's error: what was passed over, or cannot be told. */
static int write_outcome(struct slice *s, const char *severity, const char *code, const char *words)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_json_writer *w = andiron_json_write(arena, OUTCOME_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("OperationOutcome"));
    andiron_json_put_array(w, "issue");
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "severity", andiron_str_of(severity));
    andiron_json_put_str(w, "code", andiron_str_of(code));
    andiron_json_put_str(w, "diagnostics", andiron_str_of(words));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_str line = andiron_json_written(w);
    int rc = line.data != NULL ? output_line(s->job->output, JOB_ERROR, "", line, &s->error) : 0;
    andiron_arena_free(arena);
    return rc;
}

/* What is stored of a resource cannot be read: the others are exported all the same. */
static int write_damaged(struct slice *s, const struct andiron_row *row)
{
    char words[512];

    (void)snprintf(words, sizeof(words), "%s/%.*s/_history/%llu could not be exported: %.300s",
                   s->types[0], (int)(row->ref.id.len < 64 ? row->ref.id.len : 64),
                   row->ref.id.data, (unsigned long long)row->ref.version, s->judge.error.message);
    andiron_log(s->bulk->host, ANDIRON_LOG_ERROR, "bulk.damaged", "export %s: %s", s->job->id,
                words);
    return write_outcome(s, "error", "exception", words);
}

/* What was deleted counts as the version before it. */
static int judge_deletions(struct slice *s)
{
    for (size_t i = 0; i < s->gone.count; i++) {
        const struct andiron_row *row = &s->gone.rows[i];
        andiron_str line;
        int wanted = row->ref.id.len > 0 && !row->deleted ? judge_row(&s->judge, row, &line) : 0;
        if (wanted < 0)
            s->error = s->judge.error;
        if (wanted < 0 || (wanted == 1 && write_deletion(s, row->ref.id) != 0) ||
            (wanted == JUDGE_DAMAGED && write_damaged(s, row) != 0))
            return -1;
    }
    return 0;
}

/* One OperationOutcome for each parameter that was passed over. */
static int write_warnings(struct slice *s)
{
    const char *const *ignored = s->job->spec.ignored;
    char words[512];

    for (size_t i = 0; ignored != NULL && ignored[i] != NULL; i++) {
        (void)snprintf(words, sizeof(words), "%.480s was passed over", ignored[i]);
        if (write_outcome(s, "warning", "not-supported", words) != 0)
            return -1;
    }
    return 0;
}

static int check_space(struct slice *s)
{
    const struct bulk_config *config = s->bulk->config;
    int64_t others = runner_bytes(s->bulk->runner) - (int64_t)s->job->state.bytes;
    int64_t mine = (int64_t)output_bytes(s->job->output);
    int64_t free = directory_free(s->bulk->directory);

    if (config->quota > 0 && (others > 0 ? others : 0) + mine > config->quota)
        return andiron_error_set(&s->error, ANDIRON_E_NO_SPACE, "",
                                 "the files of all exports would exceed their quota of %lld bytes",
                                 (long long)config->quota);
    if (free >= 0 && free < config->min_free)
        return andiron_error_set(&s->error, ANDIRON_E_NO_SPACE, "",
                                 "less than %lld bytes are free on the disk of the export's files",
                                 (long long)config->min_free);
    return 0;
}

static void settle(void *arg)
{
    struct slice *s = arg;
    struct output *output = s->job->output;

    if (judge_deletions(s) != 0)
        return;
    if (s->is_last && write_warnings(s) != 0)
        return;
    if ((s->type_ended || s->is_last) && output_close(output, &s->error) != 0)
        return;
    if (s->must_store && output_sync(output, &s->error) != 0)
        return;
    if (s->must_store)
        (void)check_space(s); /* s->error says it */
}

static enum andiron_step settled(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;
    struct running *job = s->job;
    struct job_state *state = &job->state;

    if (s->error.code == ANDIRON_E_NO_SPACE)
        return fail(req, s, &s->error);
    if (s->error.code != ANDIRON_OK)
        return give_up(s, &s->error);
    if (!s->must_store)
        return ANDIRON_DONE;
    state->files = output_files(job->output, &state->file_count);
    state->bytes = output_bytes(job->output);
    state->attempts = 0;
    if (s->is_last) {
        state->status = JOB_DONE;
        state->finished = andiron_now();
        state->expires = state->finished + s->bulk->config->keep * 1000;
    }
    return store_state(req, s);
}

static enum andiron_step to_settle(struct andiron_request *req, struct slice *s)
{
    struct running *job = s->job;
    int64_t age = monotonic_us() / 1000 - job->stored_ms;

    job->state.resources += s->added;
    andiron_count(s->bulk->resources, s->added);
    andiron_count(s->bulk->bytes, s->bytes);
    s->is_last = job->state.type_at == job->spec.type_count;
    s->must_store = s->is_last || age >= s->bulk->config->checkpoint;
    if (!s->must_store && !s->type_ended && s->gone.count == 0)
        return ANDIRON_DONE;
    return andiron_offload(req, settle, settled, s);
}

/* ---- versions ------------------------------------------------------------------------------------- */

static void note_deletion(struct slice *s, struct andiron_arena *arena,
                          const struct andiron_row *row)
{
    struct deletion *d = andiron_new(arena, struct deletion);

    d->ref = row->ref;
    d->ref.type = andiron_str_of(s->types[0]);
    d->ref.id = (andiron_str){ andiron_copy(arena, row->ref.id), row->ref.id.len };
    *s->last = d;
    s->last = &d->next;
    s->deletion_count++;
}

/* false: s->error, or it is enough for now. */
static bool take_row(void *arg, const struct andiron_row *row)
{
    struct slice *s = arg;
    const struct job_spec *spec = &s->job->spec;
    andiron_str line;

    bool has_time = pages_row(&s->clock, monotonic_us);
    if (row->deleted) {
        if (spec->since == 0 || (spec->until != 0 && row->updated >= spec->until))
            return has_time;
        if (s->judge.filter != NULL || s->judge.by_patient || s->judge.by_target)
            note_deletion(s, s->arena, row);
        else if (write_deletion(s, row->ref.id) != 0)
            return false;
        return has_time;
    }
    s->bytes += row->body.len + 1;
    if (spec->until == 0 || row->updated < spec->until) {
        int wanted = judge_row(&s->judge, row, &line);
        if (wanted < 0)
            s->error = s->judge.error;
        if (wanted < 0 || (wanted == JUDGE_DAMAGED && write_damaged(s, row) != 0) ||
            (wanted == 1 &&
             output_line(s->job->output, JOB_OUTPUT, s->types[0], line, &s->error) != 0))
            return false;
        s->added += wanted == 1;
    }
    return s->bytes < (uint64_t)s->bulk->config->slice_bytes && has_time;
}

static enum andiron_step to_deletions(struct andiron_request *req, struct slice *s);

static void keep_cursor(struct running *job, andiron_str cursor)
{
    char *data = NULL;

    if (cursor.data != NULL && (data = malloc(cursor.len + 1)) == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    if (data != NULL)
        memcpy(data, cursor.data, cursor.len);
    free(job->cursor);
    job->cursor = data;
    job->cursor_len = cursor.len;
}

/* Where the next slice begins; an absent cursor ends the type. */
static void move_on(struct slice *s, andiron_str cursor)
{
    struct running *job = s->job;

    keep_cursor(job, cursor);
    job->state.type_seen += s->clock.seen;
    if (cursor.data != NULL)
        return;
    s->type_ended = true;
    job->state.type_at++;
    job->state.type_seen = job->state.type_total = 0;
    job->is_counted = false;
    job->page_rows = PAGES_FIRST; /* those of the next type may be a thousand times as large */
    drive_free(job->drive);
    job->drive = NULL;
}

static enum andiron_step visited(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;

    if (s->rows.error.code != ANDIRON_OK)
        return give_up(s, &s->rows.error);
    if (s->error.code == ANDIRON_E_NO_SPACE)
        return fail(req, s, &s->error);
    if (s->error.code != ANDIRON_OK)
        return give_up(s, &s->error);
    const struct bulk_config *config = s->bulk->config;
    struct pages_limits most = { (size_t)config->slice_rows, (uint64_t)config->slice_bytes };
    s->job->page_rows =
        pages_next(s->job->page_rows, s->clock.seen, s->bytes, s->clock.is_cut, &most);
    move_on(s, s->rows.cursor);
    return to_deletions(req, s);
}

/* Rows of a store that cannot be visited: all of them, since the cursor is behind the last. */
static void take_rows(void *arg)
{
    struct slice *s = arg;
    for (size_t i = 0; i < s->rows.count && s->error.code == ANDIRON_OK; i++)
        (void)take_row(s, &s->rows.rows[i]); /* s->error tells */
}

static enum andiron_step walked(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;

    if (s->rows.error.code != ANDIRON_OK)
        return give_up(s, &s->rows.error);
    return andiron_offload(req, take_rows, visited, s);
}

static enum andiron_step visit_walk(struct andiron_request *req, struct slice *s)
{
    struct running *job = s->job;
    const struct bulk *bulk = s->bulk;

    s->walk = (struct andiron_walk){ .types = s->types,
                                     .since = job->spec.since,
                                     .horizon = job->spec.horizon,
                                     .oldest_first = true,
                                     .latest_only = true,
                                     .limit = job->page_rows,
                                     .cursor = { job->cursor, job->cursor_len } };
    s->visitor = (struct andiron_visitor){ take_row, s };
    if (bulk_can_visit(bulk))
        return bulk->store->visit(bulk->store_self, req, &s->walk, &s->visitor, &s->rows, visited,
                                  s);
    return bulk->store->walk(bulk->store_self, req, &s->walk, &s->rows, walked, s);
}

/* ---- by searches: see drive.h ---------------------------------------------------------------- */

static enum andiron_step driven_taken(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;
    struct running *job = s->job;
    uint64_t seen, total;

    if (s->error.code == ANDIRON_E_NO_SPACE)
        return fail(req, s, &s->error);
    if (s->error.code != ANDIRON_OK)
        return give_up(s, &s->error);
    drive_progress(job->drive, &seen, &total);
    s->clock.seen = 0;
    job->state.type_seen = seen;
    job->state.type_total = total;
    move_on(s, s->last_id.data != NULL ? andiron_str_of(drive_cursor(s->arena, s->last_id))
                                       : s->last_id);
    return to_settle(req, s);
}

static void take_driven(void *arg)
{
    struct slice *s = arg;
    for (size_t i = 0; i < s->driven_count && s->error.code == ANDIRON_OK; i++)
        (void)take_row(s, &s->driven[i]); /* all of them; s->error tells */
}

static enum andiron_step next_driven(struct andiron_request *req, struct slice *s);

static enum andiron_step driven_read(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;

    if (s->rows.error.code == ANDIRON_E_INTERNAL) { /* damaged: judge_row() sees no body */
        s->driven[s->driven_count++] =
            (struct andiron_row){ .ref = { andiron_str_of(s->types[0]), s->last_id, 0 } };
        return next_driven(req, s);
    }
    if (s->rows.error.code != ANDIRON_OK)
        return give_up(s, &s->rows.error);
    if (s->rows.count > 0) { /* else it came later, or is purged */
        s->driven[s->driven_count++] = s->rows.rows[0];
        s->driven_bytes += s->rows.rows[0].body.len;
    }
    return next_driven(req, s);
}

/* Reads some as they were at the horizon, then takes them. */
static enum andiron_step next_driven(struct andiron_request *req, struct slice *s)
{
    const struct running *job = s->job;
    bool is_enough = s->driven_count == DRIVEN_ROWS || monotonic_us() > s->until_us ||
                     s->driven_bytes > (uint64_t)s->bulk->config->slice_bytes;

    if (is_enough && s->last_id.data != NULL)
        return andiron_offload(req, take_driven, driven_taken, s);
    s->last_id = drive_next(job->drive);
    if (s->last_id.data == NULL)
        return andiron_offload(req, take_driven, driven_taken, s);
    s->walk = (struct andiron_walk){ .types = s->types,
                                     .id = s->last_id,
                                     .horizon = job->spec.horizon,
                                     .latest_only = true,
                                     .limit = 1 };
    return s->bulk->store->walk(s->bulk->store_self, req, &s->walk, &s->rows, driven_read, s);
}

static enum andiron_step gathered(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;

    if (s->error.code == ANDIRON_E_INTERNAL && s->job->cursor == NULL) {
        /* A search that meets what is damaged has no answer; a walk goes on behind it. */
        s->error = (struct andiron_error){ .code = ANDIRON_OK };
        drive_refuse(s->job->drive);
    }
    if (s->error.code != ANDIRON_OK)
        return give_up(s, &s->error);
    if (drive_phase(s->job->drive) == DRIVE_REFUSED)
        return visit_walk(req, s);
    return to_settle(req, s);
}

static enum andiron_step visit_driven(struct andiron_request *req, struct slice *s)
{
    struct drive *drive = s->job->drive;

    if (drive_phase(drive) != DRIVE_READY)
        return drive_gather(req, drive, s->judge.filter, &s->error, gathered, s);
    s->driven = andiron_alloc(s->arena, DRIVEN_ROWS * sizeof(s->driven[0]));
    return next_driven(req, s);
}

/* Deletions since a time are found by a walk alone. A type that was begun one way goes on so. */
static bool is_driven(const struct slice *s)
{
    struct running *job = s->job;
    andiron_str after = { NULL, 0 }, cursor = { job->cursor, job->cursor_len };

    if (s->judge.filter == NULL || job->spec.since != 0)
        return false;
    if (job->drive == NULL && cursor.data != NULL && !drive_is_cursor(cursor, &after))
        return false;
    if (job->drive == NULL)
        job->drive = drive_new(s->bulk, s->types[0], job->spec.time, after);
    return drive_phase(job->drive) != DRIVE_REFUSED;
}

/* ---- a type ----------------------------------------------------------------------------------- */

static enum andiron_step visit_type(struct andiron_request *req, struct slice *s)
{
    return is_driven(s) ? visit_driven(req, s) : visit_walk(req, s);
}

/* For X-Progress alone: a store that cannot say does not stop the export. */
static enum andiron_step type_counted(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;

    if (s->rows.error.code == ANDIRON_OK && s->rows.total > 0)
        s->job->state.type_total = (uint64_t)s->rows.total;
    s->rows = (struct andiron_rows){ .count = 0 };
    return visit_type(req, s);
}

static enum andiron_step visit(struct andiron_request *req, struct slice *s)
{
    struct running *job = s->job;
    const struct job_type *type = &job->spec.types[job->state.type_at];
    const struct bulk *bulk = s->bulk;

    s->types[0] = type->name;
    s->last = &s->deletions;
    s->until_us = monotonic_us() + PAGES_US; /* so that others have their turn on the pool */
    if (judge_begin(&s->judge, bulk, &job->spec, type, job->has_patients ? &job->patients : NULL,
                    req) != 0)
        return fail(req, s, &s->judge.error);
    if (job->is_counted || job->cursor != NULL || job->spec.since != 0)
        return visit_type(req, s);
    job->is_counted = true;
    s->query = (struct andiron_query){ .type = s->types[0], .total = ANDIRON_TOTAL_ACCURATE };
    return bulk->store->search(bulk->store_self, req, &s->query, &s->rows, type_counted, s);
}

/* ---- deletions ------------------------------------------------------------------------------------ */

static enum andiron_step gone_read(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;

    if (s->gone.error.code != ANDIRON_OK)
        return give_up(s, &s->gone.error);
    return to_settle(req, s);
}

static enum andiron_step to_deletions(struct andiron_request *req, struct slice *s)
{
    struct andiron_ref *refs;
    size_t count = 0;

    if (s->deletion_count == 0)
        return to_settle(req, s);
    refs = andiron_alloc(s->arena, s->deletion_count * sizeof(refs[0]));
    for (const struct deletion *d = s->deletions; d != NULL; d = d->next) {
        if (d->ref.version < 2)
            continue;
        refs[count] = d->ref;
        refs[count++].version--;
    }
    s->before = refs;
    return s->bulk->store->read(s->bulk->store_self, req, refs, count, &s->gone, gone_read, s);
}

/* ---- before the first slice ------------------------------------------------------------------------ */

static int by_period(andiron_json member)
{
    struct fhir_date end;
    andiron_str text =
        andiron_json_str(andiron_json_get(andiron_json_get(member, "period"), "end"));

    return text.data == NULL || fhir_date_parse(text, &end) != 0 || end.high > andiron_now();
}

/* Id of a member that is a patient, and still a member; absent for others. */
static andiron_str member_id(andiron_json member)
{
    static const char prefix[] = "Patient/";
    andiron_str reference =
        andiron_json_str(andiron_json_get(andiron_json_get(member, "entity"), "reference"));
    size_t len = sizeof(prefix) - 1;

    if (andiron_json_true(andiron_json_get(member, "inactive")) || !by_period(member) ||
        reference.len <= len || memcmp(reference.data, prefix, len) != 0)
        return (andiron_str){ NULL, 0 };
    reference.data += len;
    reference.len -= len;
    const char *slash = memchr(reference.data, '/', reference.len); /* a version */
    if (slash != NULL)
        reference.len = (size_t)(slash - reference.data);
    return reference;
}

static bool is_listed(const char *const *ids, andiron_str id)
{
    for (size_t i = 0; ids[i] != NULL; i++)
        if (andiron_str_eq(id, andiron_str_of(ids[i])))
            return true;
    return false;
}

/* Members of the group; where patients are named, those of them that are members. */
static int take_group(struct running *job, andiron_str body, struct andiron_error *err)
{
    andiron_json group, members;
    andiron_str *ids;
    size_t count = 0;
    andiron_str kept = { andiron_copy(job->arena, body), body.len };

    if (andiron_json_parse(job->arena, kept, &group, err) != 0)
        return -1;
    members = andiron_json_get(group, "member");
    ids = andiron_alloc(job->arena, (andiron_json_count(members) + 1) * sizeof(ids[0]));
    struct andiron_json_iter it = { .of = members };
    while (andiron_json_type(members) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
        andiron_str id = member_id(it.value);
        if (id.data != NULL && (job->spec.patients == NULL || is_listed(job->spec.patients, id)))
            ids[count++] = id;
    }
    judge_patients_sort(ids, count);
    job->patients = (struct judge_patients){ ids, count };
    job->has_patients = true;
    return 0;
}

static void take_patients(struct running *job)
{
    const char *const *list = job->spec.patients;
    size_t count = 0;

    if (list == NULL)
        return;
    while (list[count] != NULL)
        count++;
    andiron_str *ids = andiron_alloc(job->arena, (count + 1) * sizeof(ids[0]));
    for (size_t i = 0; i < count; i++)
        ids[i] = andiron_str_of(list[i]);
    judge_patients_sort(ids, count);
    job->patients = (struct judge_patients){ ids, count };
    job->has_patients = true;
}

static enum andiron_step prepared(struct andiron_request *req, struct slice *s)
{
    s->job->is_prepared = true;
    return s->job->state.type_at < s->job->spec.type_count ? visit(req, s) : to_settle(req, s);
}

static enum andiron_step group_read(struct andiron_request *req, void *arg)
{
    struct slice *s = arg;
    struct andiron_error err = { .code = ANDIRON_OK };

    if (s->read.error.code != ANDIRON_OK)
        return give_up(s, &s->read.error);
    if (s->read.count == 0 || s->read.rows[0].deleted) {
        (void)andiron_error_set(&err, ANDIRON_E_NOT_FOUND, "", "the group is no longer there");
        return fail(req, s, &err);
    }
    if (take_group(s->job, s->read.rows[0].body, &err) != 0)
        return fail(req, s, &err);
    return prepared(req, s);
}

static enum andiron_step spec_read(struct andiron_request *req, void *arg)
{
    static const char *const groups[] = { "Group", NULL };
    struct slice *s = arg;
    struct running *job = s->job;
    struct andiron_error err;

    if (s->read.error.code != ANDIRON_OK)
        return give_up(s, &s->read.error);
    const struct andiron_row *row = &s->read.rows[0];
    andiron_str body = { NULL, 0 };
    if (row->ref.id.len > 0 && !row->deleted)
        body = (andiron_str){ andiron_copy(job->arena, row->body), row->body.len };
    if (body.data == NULL || job_spec_read(job->arena, body, &job->spec) != 0) {
        (void)andiron_error_set(&err, ANDIRON_E_INTERNAL, "", "its record cannot be read");
        return fail(req, s, &err);
    }
    if (job->spec.level != JOB_GROUP) {
        take_patients(job);
        return prepared(req, s);
    }
    /* The members as they were at the horizon, like all else. */
    s->walk = (struct andiron_walk){ .types = groups,
                                     .id = job->spec.group,
                                     .horizon = job->spec.horizon,
                                     .latest_only = true,
                                     .limit = 1 };
    return s->bulk->store->walk(s->bulk->store_self, req, &s->walk, &s->read, group_read, s);
}

enum andiron_step run_slice(struct andiron_request *req, void *state)
{
    struct running *job = state;
    struct slice *s = andiron_new(andiron_request_arena(req), struct slice);

    s->job = job;
    s->bulk = job->bulk;
    s->arena = andiron_request_arena(req);
    andiron_at_release(andiron_request_arena(req), slice_over, s);
    if (job->is_cancelled) {
        output_free(job->output);
        job->output = NULL;
        job->is_over = true;
        return andiron_offload(req, remove_files, removed, s);
    }
    if (job->is_prepared)
        return prepared(req, s);
    job->page_rows = PAGES_FIRST;
    s->ref = (struct andiron_ref){ .type = ANDIRON_STR(BULK_EXPORT), .id = job->state.id };
    return s->bulk->store->read(s->bulk->store_self, req, &s->ref, 1, &s->read, spec_read, s);
}
