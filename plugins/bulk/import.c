/*
 * FHIR/$import: an NDJSON body, as it comes, into the store.
 *
 *   bulk_import -> pieces read -> a batch cut (upload.c, on the pool) -> begun (import_batch.c)
 *       -> pieces read ... -> batches that are done reported, in their order -> ... -> summary
 *
 * Several batches are at work at a time: one is checked while another is written. No two of them name the
 * same resource, so that of lines with one id the last counts; and what is refused beside an earlier batch
 * is tried again behind it, since it may refer to what that stores. Nothing is read while all places are
 * taken, so a client that is faster than the store waits.
 */
#include <stdatomic.h>
#include <stdio.h>

#include <andiron/auth.h>

#include "headers.h"
#include "import_batch.h"
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
    struct import_batch batches[IMPORT_PARALLEL_MAX]; /* a ring: `at_work` from `first` on */
    size_t first, at_work, parallel;
    bool is_waiting; /* for a batch */
    bool is_kept;    /* the next line names what is at work */
    struct import_report report;
    const char *stop_why; /* set: nothing more is begun */
    enum andiron_code stop_code;
    bool is_refused, has_gap; /* the first batch; a batch before those that follow */
    char committed[HEADER_ROOM];
    bool has_slot, has_ended;
};

static void stop(struct importing *s, enum andiron_code code, const char *why);
static void report_done(struct importing *s);

/* ---- the end --------------------------------------------------------------------------------------- */

static void end(void *arg)
{
    struct importing *s = arg;
    const struct import_report *r = &s->report;

    if (s->has_slot)
        atomic_fetch_sub(&s->bulk->imports, 1);
    stop(s, ANDIRON_E_UNAVAILABLE, "the client has left");
    report_done(s); /* where it left, batches went on to their end */
    andiron_count(s->has_ended ? s->bulk->imported_ok : s->bulk->imported_failed, 1);
    if (!s->has_ended && s->has_slot)
        andiron_log(s->bulk->host, ANDIRON_LOG_WARN, "bulk.import-broken",
                    "an import of %s broke off: up to line %llu all is done, %llu stored and %llu "
                    "refused",
                    s->who, (unsigned long long)r->lines, (unsigned long long)r->stored,
                    (unsigned long long)r->refused);
    upload_free(&s->upload);
    for (size_t i = 0; i < IMPORT_PARALLEL_MAX; i++)
        import_batch_free(&s->batches[i]);
    import_report_free(&s->report);
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

/* ---- batches that are at work ----------------------------------------------------------------------- */

static enum andiron_step go_on(struct andiron_request *req, void *arg);

/* The i-th of those at work, the earliest first. */
static struct import_batch *at_work(struct importing *s, size_t i)
{
    return &s->batches[(s->first + i) % IMPORT_PARALLEL_MAX];
}

static void batch_done(void *arg)
{
    struct importing *s = arg;

    if (!s->is_waiting)
        return;
    s->is_waiting = false;
    andiron_resume(s->req);
}

static enum andiron_step await_batch(struct andiron_request *req, struct importing *s)
{
    s->is_waiting = true;
    return andiron_wait(req, go_on, s);
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

/* Nothing more is begun. */
static void stop(struct importing *s, enum andiron_code code, const char *why)
{
    if (s->stop_why != NULL)
        return;
    s->stop_code = code;
    s->stop_why = why;
}

/* What is done goes into the report in the order of the lines. */
static void report_done(struct importing *s)
{
    while (s->at_work > 0 && at_work(s, 0)->is_done) {
        struct import_batch *b = at_work(s, 0);
        if (s->stop_why == NULL && import_batch_is_early(b)) {
            import_batch_start(s->req, b);
            return;
        }
        if (b->status == 403 && s->report.lines == 0)
            s->is_refused = true;
        if (b->status != 200)
            stop(s, code_of(b->status), "a batch was refused as a whole");
        /* What would have been tried again is not done: who goes on behind it would lose it. */
        s->has_gap |= b->status != 200 || import_batch_is_early(b);
        if (!s->has_gap) {
            import_report_add(&s->report, &b->lines);
            andiron_count(s->bulk->imported, b->lines.sent);
        }
        import_batch_clear(b);
        s->first = (s->first + 1) % IMPORT_PARALLEL_MAX;
        s->at_work--;
        s->is_kept = false;
    }
}

/* ---- a batch ---------------------------------------------------------------------------------------- */

static void cut(void *arg)
{
    struct importing *s = arg;
    const struct upload_batch *others[IMPORT_PARALLEL_MAX];

    for (size_t i = 0; i < s->at_work; i++)
        others[i] = &at_work(s, i)->lines;
    s->is_kept = !import_batch_cut(at_work(s, s->at_work), &s->upload, others, s->at_work);
}

static enum andiron_step cut_done(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    struct import_batch *b = at_work(s, s->at_work);

    if (!s->is_kept) {
        b->done = batch_done;
        b->done_arg = s;
        s->at_work++;
        import_batch_start(req, b);
    }
    return go_on(req, s);
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
        stop(s, ANDIRON_E_TOO_LARGE, "the body is larger than [plugin bulk] import-size");
    return go_on(req, s);
}

static enum andiron_step read_piece(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;
    return andiron_request_read(req, &s->piece, take_piece, s);
}

/* Whether it may go on at all. */
static void check_time(struct importing *s)
{
    andiron_usec expires = andiron_request_principal(s->req)->expires, now = andiron_now();

    if (expires != 0 && expires < now)
        stop(s, ANDIRON_E_EXPIRED, "the access token has expired meanwhile");
    if (s->ends != 0 && s->ends < now)
        stop(s, ANDIRON_E_TIMEOUT, "the import took longer than [plugin bulk] import-timeout");
}

static enum andiron_step stopped(struct andiron_request *req, struct importing *s)
{
    struct rights none = { .count = 0 };

    if (s->at_work > 0)
        return await_batch(req, s);
    return s->is_refused ? rights_refuse(req, &none) : break_off(req, s, s->stop_code, s->stop_why);
}

/* Another batch if there is one and room for it, else more of the body. */
static enum andiron_step go_on(struct andiron_request *req, void *arg)
{
    struct importing *s = arg;

    report_done(s);
    tell_committed(s);
    check_time(s);
    if (s->stop_why != NULL)
        return stopped(req, s);
    if (upload_has_batch(&s->upload)) {
        if (s->at_work == s->parallel || s->is_kept)
            return await_batch(req, s);
        return andiron_offload(req, cut, cut_done, s);
    }
    /* What breaks off must not leave behind what is not told: a repeat would make it once more. */
    if (s->upload.limits.makes_ids && s->at_work > 0)
        return await_batch(req, s);
    if (s->upload.has_ended)
        return s->at_work > 0 ? await_batch(req, s) : finish(req, s);
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
                                               .line = (size_t)config->import_line,
                                               .depth = upload_depth() };
    s->report.most = (size_t)config->import_errors;
    if (check_headers(req) != 0 || read_parameters(s) != 0)
        return ANDIRON_DONE;
    andiron_str who = rights_principal(req);
    s->who = andiron_copy(andiron_request_arena(req), who);
    s->parallel = s->upload.limits.makes_ids ? 1 : (size_t)config->import_parallel;
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
