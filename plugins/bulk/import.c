/*
 * FHIR/$import: an NDJSON body, as it comes, into the store.
 *
 *   bulk_import -> pieces read -> a batch cut (upload.c, on the pool) -> run as POST /fhir -> its answer
 *       read (import_report.c, on the pool) -> pieces read ... -> summary
 *
 * Each batch is a Bundle of type batch, an inner request of the client's own: every line passes policies,
 * scopes and validation as a request of its own, and those that pass are one commit. Nothing is read
 * while a batch is at work, so a client that is faster than the store waits.
 */
#include <stdatomic.h>
#include <stdio.h>

#include <andiron/auth.h>

#include "headers.h"
#include "import_report.h"
#include "rights.h"
#include "upload.h"

enum { YIELD_BYTES = 256 << 10, HEADER_ROOM = 96 };

struct importing {
    struct bulk *bulk;
    struct andiron_request *req;
    char *who; /* for the log, when the request is over */
    andiron_usec ends;
    andiron_str piece;
    size_t since_yield;
    struct upload upload;
    struct upload_batch batch;
    struct bytes bundle;
    struct andiron_arena *arena; /* of the batch */
    struct andiron_request *sub;
    struct import_report report;
    struct andiron_error error; /* of the report */
    char committed[HEADER_ROOM];
    bool has_slot, has_ended;
};

/* ---- the end --------------------------------------------------------------------------------------- */

static void end(void *arg)
{
    struct importing *s = arg;
    const struct import_report *r = &s->report;

    if (s->has_slot)
        atomic_fetch_sub(&s->bulk->imports, 1);
    andiron_count(s->has_ended ? s->bulk->imported_ok : s->bulk->imported_failed, 1);
    if (!s->has_ended && s->has_slot)
        andiron_log(s->bulk->host, ANDIRON_LOG_WARN, "bulk.import-broken",
                    "an import of %s broke off: up to line %llu all is done, %llu stored and %llu "
                    "refused",
                    s->who, (unsigned long long)r->lines, (unsigned long long)r->stored,
                    (unsigned long long)r->refused);
    upload_free(&s->upload);
    bytes_free(&s->bundle);
    import_report_free(&s->report);
    andiron_arena_free(s->arena);
}

/* Also of answers that core makes, where the body breaks off. */
static void tell_committed(struct importing *s)
{
    const struct import_report *r = &s->report;

    (void)snprintf(s->committed, sizeof(s->committed), "lines=%llu, stored=%llu, refused=%llu",
                   (unsigned long long)r->lines, (unsigned long long)r->stored,
                   (unsigned long long)r->refused);
    andiron_reply_header(s->req, "X-Import-Committed", andiron_str_of(s->committed));
}

static enum andiron_step finish(struct andiron_request *req, struct importing *s)
{
    const struct import_report *r = &s->report;

    s->has_ended = true;
    andiron_request_log(req, ANDIRON_LOG_INFO, "bulk.imported",
                        "an import of %s: %llu stored, %llu refused, %llu bytes", s->who,
                        (unsigned long long)r->stored, (unsigned long long)r->refused,
                        (unsigned long long)s->upload.received);
    return andiron_reply(req, 200, import_report_type(r),
                         import_report_text(r, andiron_request_arena(req)));
}

/* What was done is done, and the answer says how far that is. */
static enum andiron_step break_off(struct andiron_request *req, const struct importing *s,
                                   enum andiron_code code, const char *why)
{
    const struct import_report *r = &s->report;

    return andiron_fail(req, code,
                        "%s; up to line %llu all is done: %llu stored, %llu refused. A repeat is "
                        "safe for resources with ids",
                        why, (unsigned long long)r->lines, (unsigned long long)r->stored,
                        (unsigned long long)r->refused);
}

/* ---- a batch ---------------------------------------------------------------------------------------- */

static enum andiron_step go_on(struct andiron_request *req, void *arg);

static void read_answer(void *arg)
{
    struct importing *s = arg;
    andiron_str answer = { NULL, 0 };

    if (s->batch.sent > 0)
        answer = andiron_reply_body(s->sub);
    (void)import_report_add(&s->report, &s->batch, answer, &s->error); /* s->error says it */
}

static enum andiron_step answer_read(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;

    if (s->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->error);
    s->report.lines = s->upload.line;
    andiron_count(s->bulk->imported, s->batch.sent);
    tell_committed(s);
    andiron_arena_free(s->arena);
    s->arena = NULL;
    return go_on(req, s);
}

static enum andiron_code code_of(int status)
{
    switch (status) {
    case 401:
        return ANDIRON_E_UNAUTHENTICATED;
    case 403:
        return ANDIRON_E_FORBIDDEN;
    case 413:
        return ANDIRON_E_TOO_LARGE;
    case 429:
        return ANDIRON_E_THROTTLED;
    case 503:
        return ANDIRON_E_UNAVAILABLE;
    case 504:
        return ANDIRON_E_TIMEOUT;
    case 507:
        return ANDIRON_E_NO_SPACE;
    default:
        return ANDIRON_E_INTERNAL;
    }
}

static enum andiron_step ran(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    int status = andiron_reply_status(s->sub);
    struct rights none = { .count = 0 };

    if (status == 200)
        return andiron_offload(req, read_answer, answer_read, s);
    if (status == 403 && s->report.lines == 0)
        return rights_refuse(req, &none);
    return break_off(req, s, code_of(status), "a batch was refused as a whole");
}

static void cut(void *arg)
{
    struct importing *s = arg;
    upload_take(&s->upload, s->arena, &s->bundle, &s->batch);
}

static enum andiron_step cut_done(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("POST"),
                                   .target = ANDIRON_STR("/fhir"),
                                   .body = s->batch.bundle,
                                   .content_type = ANDIRON_STR("application/fhir+json"),
                                   .arena = s->arena };

    if (s->batch.sent == 0)
        return andiron_offload(req, read_answer, answer_read, s);
    return andiron_request_run(req, &inner, &s->sub, ran, s);
}

/* ---- pieces ------------------------------------------------------------------------------------------ */

static enum andiron_step take_piece(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    int64_t most = s->bulk->config->import_size;

    if (s->piece.data == NULL) {
        upload_end(&s->upload);
        return go_on(req, s);
    }
    upload_add(&s->upload, s->piece);
    s->since_yield += s->piece.len;
    if (most > 0 && s->upload.received > (uint64_t)most)
        return break_off(req, s, ANDIRON_E_TOO_LARGE,
                         "the body is larger than [plugin bulk] import-size");
    return go_on(req, s);
}

static enum andiron_step read_piece(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    return andiron_request_read(req, &s->piece, take_piece, s);
}

/* A batch if there is one, else more of the body. */
static enum andiron_step go_on(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    andiron_usec expires = andiron_request_principal(req)->expires, now = andiron_now();

    if (expires != 0 && expires < now)
        return break_off(req, s, ANDIRON_E_EXPIRED, "the access token has expired meanwhile");
    if (s->ends != 0 && s->ends < now)
        return break_off(req, s, ANDIRON_E_TIMEOUT,
                         "the import took longer than [plugin bulk] import-timeout");
    if (upload_has_batch(&s->upload)) {
        s->arena = andiron_arena_new(0);
        return andiron_offload(req, cut, cut_done, s);
    }
    if (s->upload.has_ended)
        return finish(req, s);
    if (s->since_yield < YIELD_BYTES)
        return read_piece(req, s);
    /* A fast sender must not keep the loop from others. */
    s->since_yield = 0;
    enum andiron_step step = andiron_wait(req, read_piece, s);
    andiron_resume(req);
    return step;
}

/* ---- the beginning ------------------------------------------------------------------------------------ */

static int take_parameter(struct importing *s, andiron_str name, andiron_str value)
{
    static const char *const ndjson[] = { "application/fhir+ndjson", "application/ndjson", "ndjson",
                                          NULL };
    bool is_true = andiron_str_eq(value, ANDIRON_STR("true"));

    if (andiron_str_eq(name, ANDIRON_STR("_create"))) {
        s->upload.limits.makes_ids = is_true;
        if (is_true || andiron_str_eq(value, ANDIRON_STR("false")))
            return 0;
        (void)andiron_fail(s->req, ANDIRON_E_INVALID, "_create must be true or false");
        return -1;
    }
    if (andiron_str_eq(name, ANDIRON_STR("_outputFormat"))) {
        if (andiron_str_eq(value, ANDIRON_STR("application/json")) ||
            andiron_str_eq(value, ANDIRON_STR("json")))
            return 0;
        for (size_t i = 0; ndjson[i] != NULL; i++)
            s->report.is_ndjson |= andiron_str_eq(value, andiron_str_of(ndjson[i]));
        if (s->report.is_ndjson)
            return 0;
        (void)andiron_fail(s->req, ANDIRON_E_INVALID,
                           "_outputFormat must be application/json or application/fhir+ndjson");
        return -1;
    }
    (void)andiron_fail(s->req, ANDIRON_E_INVALID,
                       "%.*s: is not a parameter of $import; those are _create and _outputFormat",
                       (int)(name.len < 64 ? name.len : 64), name.data);
    return -1;
}

static int read_parameters(struct importing *s)
{
    andiron_str name, value;

    for (size_t pos = 0; andiron_request_param(s->req, &pos, &name, &value);)
        if (take_parameter(s, name, value) != 0)
            return -1;
    return 0;
}

static int check_headers(struct andiron_request *req)
{
    static const char *const formats[] = { "application/fhir+ndjson", "application/ndjson",
                                           "application/x-ndjson", NULL };
    static const char *const answers[] = { "application/json", "application/fhir+json", NULL };
    andiron_str type = andiron_request_header(req, "content-type");

    if (type.len == 0 || !headers_accept(type, formats)) {
        (void)andiron_fail(req, ANDIRON_E_MEDIA_TYPE,
                           "Content-Type must be application/fhir+ndjson or application/ndjson");
        return -1;
    }
    if (!headers_accept(andiron_request_header(req, "accept"), answers)) {
        (void)andiron_fail(req, ANDIRON_E_NOT_ACCEPTABLE,
                           "Accept must allow application/fhir+json; _outputFormat says how the "
                           "report looks");
        return -1;
    }
    return 0;
}

static enum andiron_step too_many(struct andiron_request *req, const struct bulk *bulk)
{
    andiron_reply_header(req, "Retry-After", ANDIRON_STR("10"));
    return andiron_fail(req, ANDIRON_E_THROTTLED,
                        "other imports are running, and there may be %lld at a time",
                        (long long)bulk->config->max_imports);
}

enum andiron_step bulk_import(struct andiron_request *req, void *self)
{
    struct importing *s = andiron_new(andiron_request_arena(req), struct importing);
    struct bulk *bulk = self;
    const struct bulk_config *config = bulk->config;

    s->bulk = bulk;
    s->req = req;
    s->upload.limits = (struct upload_limits){ .rows = (size_t)config->import_rows,
                                               .bytes = (size_t)config->import_bytes,
                                               .line = (size_t)config->import_line };
    s->report.most = (size_t)config->import_errors;
    if (check_headers(req) != 0 || read_parameters(s) != 0)
        return ANDIRON_DONE;
    andiron_str who = rights_principal(req);
    s->who = andiron_copy(andiron_request_arena(req), who);
    s->ends = config->import_timeout > 0 ? andiron_now() + config->import_timeout * 1000 : 0;
    if (atomic_fetch_add(&bulk->imports, 1) >= config->max_imports) {
        atomic_fetch_sub(&bulk->imports, 1);
        return too_many(req, bulk);
    }
    s->has_slot = true;
    andiron_at_release(andiron_request_arena(req), end, s);
    tell_committed(s);
    return read_piece(req, s);
}
