/*
 * The status of a job: how far it is, what came of it; and its end before time.
 */
#include <stdio.h>
#include <time.h>

#include "directory.h"
#include "lookup.h"
#include "polls.h"
#include "runner.h"

static int64_t monotonic_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static andiron_str seconds(struct andiron_request *req, int64_t ms)
{
    return andiron_str_of(
        andiron_printf(andiron_request_arena(req), "%lld", (long long)((ms + 999) / 1000)));
}

/* ---- running ------------------------------------------------------------------------------------- */

/* Soon at first, since many exports are small; then the later the longer it lasts. */
static int64_t wait_ms(const struct bulk *bulk, const struct job_state *s)
{
    int64_t age = (andiron_now() - s->created) / 1000;
    int64_t most = bulk->config->retry_after;

    age /= 10;
    age = age < 1000 ? 1000 : age;
    return age < most ? age : most;
}

/* How far the type at work is, from 0 to 99; it may grow meanwhile. */
static unsigned percent_of_type(const struct job_state *s)
{
    if (s->type_total == 0 || s->type_at >= s->type_count)
        return 0;
    if (s->type_seen >= s->type_total)
        return 99;
    return (unsigned)((double)s->type_seen * 100 / (double)s->type_total);
}

static enum andiron_step running(struct andiron_request *req, struct lookup *l)
{
    const struct job_state *s = &l->state;
    int64_t wait = wait_ms(l->bulk, s);
    size_t at = s->type_at < s->type_count ? s->type_at : s->type_count - 1;

    andiron_reply_header(req, "Retry-After", seconds(req, wait));
    if (!polls_allow(l->bulk->polls, s->id, monotonic_ms(), wait))
        return andiron_fail(req, ANDIRON_E_THROTTLED,
                            "the status is asked for too often; wait as long as Retry-After says");
    andiron_reply_header(
        req, "X-Progress",
        andiron_str_of(andiron_printf(
            andiron_request_arena(req), "%zu%%: %llu resources, type %zu of %zu (%s, %u%%)",
            (100 * s->type_at + percent_of_type(s)) / s->type_count,
            (unsigned long long)s->resources, at + 1, s->type_count,
            at < l->spec.type_count ? l->spec.types[at].name : "", percent_of_type(s))));
    return andiron_reply(req, 202, NULL, (andiron_str){ NULL, 0 });
}

/* ---- the manifest ----------------------------------------------------------------------------------- */

static void put_files(struct andiron_json_writer *w, struct andiron_request *req,
                      const struct lookup *l, const char *name, enum job_kind kind)
{
    static const char *const types[] = { NULL, "Bundle", "OperationOutcome" };
    andiron_str base = andiron_request_base(req);

    andiron_json_put_array(w, name);
    for (size_t i = 0; i < l->state.file_count; i++) {
        const struct job_file *f = &l->state.files[i];
        if (f->kind != kind || f->count == 0)
            continue;
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "type",
                             andiron_str_of(types[kind] != NULL ? types[kind] : f->type));
        andiron_json_put_str(
            w, "url",
            andiron_str_of(andiron_printf(
                andiron_request_arena(req), "%.*s/fhir/$export-file/%.*s/%s", (int)base.len,
                base.data, (int)l->state.id.len, l->state.id.data, f->name)));
        andiron_json_put_int(w, "count", (int64_t)f->count);
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

static enum andiron_step finished(struct andiron_request *req, struct lookup *l)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_json_writer *w = andiron_json_write(arena, BULK_RECORD_MAX);
    char *date = andiron_alloc(arena, ANDIRON_HTTP_DATE_LEN);
    char *time = andiron_alloc(arena, ANDIRON_INSTANT_LEN);

    andiron_instant(l->spec.time, time);
    andiron_http_date(l->state.expires, date);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "transactionTime", (andiron_str){ time, ANDIRON_INSTANT_LEN });
    andiron_json_put_str(w, "request", l->spec.request);
    andiron_json_put_bool(w, "requiresAccessToken", true);
    put_files(w, req, l, "output", JOB_OUTPUT);
    put_files(w, req, l, "deleted", JOB_DELETED);
    put_files(w, req, l, "error", JOB_ERROR);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        return andiron_fail(req, ANDIRON_E_TOO_LARGE, "the manifest has too many files");
    andiron_reply_header(req, "Expires", (andiron_str){ date, ANDIRON_HTTP_DATE_LEN });
    return andiron_reply(req, 200, "application/json", text);
}

static enum andiron_step status_known(struct andiron_request *req, void *arg)
{
    struct lookup *l = arg;

    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    switch (l->state.status) {
    case JOB_ACTIVE:
        return running(req, l);
    case JOB_FAILED:
        return andiron_fail(req,
                            l->state.error_code == ANDIRON_E_NO_SPACE ? ANDIRON_E_NO_SPACE
                                                                      : ANDIRON_E_INTERNAL,
                            "the export failed: %.*s", (int)l->state.error.len,
                            l->state.error.len > 0 ? l->state.error.data : "");
    default:
        return finished(req, l);
    }
}

enum andiron_step bulk_status(struct andiron_request *req, void *self)
{
    struct lookup *l = andiron_new(andiron_request_arena(req), struct lookup);
    return lookup_job(self, req, l, status_known, l);
}

/* ---- the end before time ------------------------------------------------------------------------------ */

struct ending {
    struct lookup lookup;
    struct andiron_commit commit;
    struct andiron_write writes[2];
    struct andiron_purge purge;
    char id[BULK_ID_LEN + 1];
};

static enum andiron_step ended(struct andiron_request *req, void *arg)
{
    struct ending *e = arg;

    andiron_request_log(req, ANDIRON_LOG_INFO, "bulk.deleted", "export %s of %.*s is deleted",
                        e->id, (int)e->lookup.spec.client.len, e->lookup.spec.client.data);
    return andiron_reply(req, 202, NULL, (andiron_str){ NULL, 0 });
}

static enum andiron_step files_gone(struct andiron_request *req, void *arg)
{
    struct ending *e = arg;
    struct bulk *bulk = e->lookup.bulk;

    /* A slice that is at work may have begun another file meanwhile. */
    runner_cancel(bulk->runner, andiron_str_of(e->id));
    if (!bulk_can_purge(bulk))
        return ended(req, e);
    e->purge = (struct andiron_purge){ .refs = e->lookup.refs, .count = 2 };
    return bulk->store->purge(bulk->store_self, req, &e->purge, ended, e);
}

static void remove_files(void *arg)
{
    struct ending *e = arg;
    (void)directory_remove(e->lookup.bulk->directory, e->id); /* the sweep finds what is left */
}

static enum andiron_step unrecorded(struct andiron_request *req, void *arg)
{
    struct ending *e = arg;

    if (e->commit.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &e->commit.error);
    return andiron_offload(req, remove_files, files_gone, e);
}

static enum andiron_step known(struct andiron_request *req, void *arg)
{
    struct ending *e = arg;
    struct bulk *bulk = e->lookup.bulk;

    memcpy(e->id, e->lookup.state.id.data, BULK_ID_LEN);
    for (size_t i = 0; i < 2; i++)
        e->writes[i] = (struct andiron_write){ .ref = e->lookup.refs[i], .remove = true };
    e->commit = (struct andiron_commit){ .writes = e->writes, .count = 2 };
    return bulk->store->commit(bulk->store_self, req, &e->commit, unrecorded, e);
}

enum andiron_step bulk_cancel(struct andiron_request *req, void *self)
{
    struct ending *e = andiron_new(andiron_request_arena(req), struct ending);
    return lookup_job(self, req, &e->lookup, known, e);
}
