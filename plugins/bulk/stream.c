/*
 * FHIR/Type/$export-stream: all resources of a type as NDJSON, from the store to the socket. Each
 * slice is a job of its own, with memory of its own; the next is read when the client has taken
 * this one.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "gzip.h"
#include "headers.h"
#include "judge.h"
#include "pages.h"
#include "params.h"
#include "rights.h"

enum { SLICE_BYTES = 256 << 10 };

struct streaming {
    struct bulk *bulk;
    struct andiron_request *req;
    struct params params;
    struct rights rights;
    struct rights_of_type right;
    struct job_type type;
    struct job_spec spec;
    struct andiron_walk now;
    struct andiron_rows horizon;

    struct bytes out;    /* of the slice */
    struct bytes coded;  /* gzip of it */
    struct gzip *gzip;   /* NULL: as it is */
    struct bytes cursor; /* where the next slice begins */
    bool has_begun, has_ended;
    struct andiron_error error;
    uint64_t resources;
    size_t page_rows;
};

/* ---- a slice --------------------------------------------------------------------------------------- */

struct piece {
    struct streaming *s;
    const char *types[2];
    struct judge judge;
    struct andiron_walk walk;
    struct andiron_visitor visitor;
    size_t seen;
    uint64_t bytes;
    struct andiron_rows rows;
    struct andiron_error error;
};

static void piece_over(void *arg)
{
    struct piece *p = arg;

    judge_end(&p->judge);
    andiron_resume(p->s->req); /* from here on the request may be gone */
}

static bool take_row(void *arg, const struct andiron_row *row)
{
    struct piece *p = arg;
    struct streaming *s = p->s;
    const struct job_spec *spec = &s->spec;
    andiron_str line;

    p->seen++;
    p->bytes += row->body.len;
    if (row->deleted || (spec->until != 0 && row->updated >= spec->until))
        return true;
    int wanted = judge_row(&p->judge, row, &line);
    if (wanted < 0)
        p->error = p->judge.error;
    if (wanted == JUDGE_DAMAGED) /* there is no place to tell the client */
        andiron_log(s->bulk->host, ANDIRON_LOG_ERROR, "bulk.damaged",
                    "%s/%.*s version %llu is left out of a stream: %s", s->type.name,
                    (int)row->ref.id.len, row->ref.id.data, (unsigned long long)row->ref.version,
                    p->judge.error.message);
    if (wanted == 1) {
        bytes_add(&s->out, line.data, line.len);
        bytes_add(&s->out, "\n", 1);
        s->resources++;
    }
    return wanted >= 0 && s->out.len < SLICE_BYTES;
}

static void compress(struct streaming *s)
{
    if (s->gzip != NULL)
        gzip_add(s->gzip, (andiron_str){ s->out.data, s->out.len }, s->has_ended, &s->coded);
}

static void compress_work(void *arg)
{
    struct piece *p = arg;
    compress(p->s);
}

static enum andiron_step piece_done(struct andiron_request *req, void *arg)
{
    (void)req;
    (void)arg;
    return ANDIRON_DONE;
}

static enum andiron_step visited(struct andiron_request *req, void *arg)
{
    struct piece *p = arg;
    struct streaming *s = p->s;

    s->error = p->rows.error.code != ANDIRON_OK ? p->rows.error : p->error;
    if (s->error.code != ANDIRON_OK)
        return ANDIRON_DONE;
    const struct pages_limits most = { (size_t)s->bulk->config->slice_rows, SLICE_BYTES };
    s->page_rows = pages_next(s->page_rows, p->seen, p->bytes, false, &most);
    s->cursor.len = 0;
    bytes_add(&s->cursor, p->rows.cursor.data, p->rows.cursor.len);
    s->has_ended = p->rows.cursor.data == NULL;
    return s->gzip != NULL ? andiron_offload(req, compress_work, piece_done, p) : ANDIRON_DONE;
}

static void take_rows(void *arg)
{
    struct piece *p = arg;

    for (size_t i = 0; i < p->rows.count && p->error.code == ANDIRON_OK; i++)
        (void)take_row(p, &p->rows.rows[i]); /* all of them: the cursor is behind the last */
}

static enum andiron_step walked(struct andiron_request *req, void *arg)
{
    struct piece *p = arg;

    if (p->rows.error.code != ANDIRON_OK)
        return visited(req, p);
    return andiron_offload(req, take_rows, visited, p);
}

static enum andiron_step read_slice(struct andiron_request *req, void *arg)
{
    struct streaming *s = arg;
    struct piece *p = andiron_new(andiron_request_arena(req), struct piece);
    const struct bulk *bulk = s->bulk;

    p->s = s;
    p->types[0] = s->type.name;
    andiron_at_release(andiron_request_arena(req), piece_over, p);
    if (judge_begin(&p->judge, bulk, &s->spec, &s->type, NULL, req) != 0) {
        s->error = p->judge.error;
        return ANDIRON_DONE;
    }
    p->walk = (struct andiron_walk){ .types = p->types,
                                     .since = s->spec.since,
                                     .horizon = s->spec.horizon,
                                     .oldest_first = true,
                                     .latest_only = true,
                                     .limit = s->page_rows,
                                     .cursor = { s->cursor.len > 0 ? s->cursor.data : NULL,
                                                 s->cursor.len } };
    p->visitor = (struct andiron_visitor){ take_row, p };
    if (bulk_can_visit(bulk))
        return bulk->store->visit(bulk->store_self, req, &p->walk, &p->visitor, &p->rows, visited,
                                  p);
    return bulk->store->walk(bulk->store_self, req, &p->walk, &p->rows, walked, p);
}

/* ---- the answer --------------------------------------------------------------------------------------- */

static void end(void *arg)
{
    struct streaming *s = arg;

    bytes_free(&s->out);
    bytes_free(&s->coded);
    bytes_free(&s->cursor);
    gzip_free(s->gzip);
    atomic_fetch_sub(&s->bulk->streams, 1);
    andiron_count(s->bulk->resources, s->resources);
}

static void begin_answer(struct andiron_request *req, struct streaming *s)
{
    char *time = andiron_alloc(andiron_request_arena(req), ANDIRON_INSTANT_LEN);

    s->has_begun = true;
    andiron_instant(s->spec.time, time);
    andiron_reply_header(req, "X-Transaction-Time", (andiron_str){ time, ANDIRON_INSTANT_LEN });
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    andiron_reply_header(req, "Vary", ANDIRON_STR("Accept-Encoding"));
    if (s->gzip != NULL)
        andiron_reply_header(req, "Content-Encoding", ANDIRON_STR("gzip"));
    andiron_reply_start(req, 200, "application/fhir+ndjson");
}

static enum andiron_step next_slice(struct andiron_request *req, void *arg);

static enum andiron_step sliced(struct andiron_request *req, void *arg)
{
    struct streaming *s = arg;
    const struct bytes *piece = s->gzip != NULL ? &s->coded : &s->out;

    if (s->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->error);
    if (!s->has_begun)
        begin_answer(req, s);
    return andiron_reply_write(req, (andiron_str){ piece->data, piece->len }, next_slice, s);
}

static enum andiron_step next_slice(struct andiron_request *req, void *arg)
{
    struct streaming *s = arg;
    enum andiron_step step;

    if (s->has_ended)
        return andiron_reply_end(req);
    s->out.len = s->coded.len = 0;
    step = andiron_wait(req, sliced, s);
    andiron_job_start(andiron_request_loop(req), "bulk.stream", 0, read_slice, s);
    return step;
}

/* ---- before it ------------------------------------------------------------------------------------------ */

static enum andiron_step horizon_known(struct andiron_request *req, void *arg)
{
    struct streaming *s = arg;

    if (s->horizon.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->horizon.error);
    s->spec.horizon = s->horizon.horizon;
    s->spec.time = s->horizon.horizon_time != 0 ? s->horizon.horizon_time : andiron_now();
    if (atomic_fetch_add(&s->bulk->streams, 1) >= s->bulk->config->max_streams) {
        atomic_fetch_sub(&s->bulk->streams, 1);
        andiron_reply_header(req, "Retry-After", ANDIRON_STR("10"));
        return andiron_fail(req, ANDIRON_E_THROTTLED,
                            "other streams are open, and there may be %lld at a time",
                            (long long)s->bulk->config->max_streams);
    }
    andiron_at_release(andiron_request_arena(req), end, s);
    if (headers_accept_gzip(andiron_request_header(req, "accept-encoding")))
        s->gzip = gzip_new();
    andiron_request_log(req, ANDIRON_LOG_INFO, "bulk.streamed", "%s is streamed to %.*s",
                        s->type.name, (int)rights_principal(req).len, rights_principal(req).data);
    return next_slice(req, s);
}

static enum andiron_step granted(struct andiron_request *req, void *arg)
{
    struct streaming *s = arg;
    const char **filters;

    if (!s->right.is_granted)
        return rights_refuse(req, &s->rights);
    filters = andiron_alloc(andiron_request_arena(req),
                            (s->params.filter_count + 1) * sizeof(filters[0]));
    for (size_t i = 0; i < s->params.filter_count; i++)
        filters[i] = s->params.filters[i].query;
    s->type.limits = s->right.limits;
    s->type.filters = filters;
    s->spec = (struct job_spec){ .level = JOB_SYSTEM,
                                 .since = s->params.since,
                                 .until = s->params.until,
                                 .elements = s->params.elements,
                                 .types = &s->type,
                                 .type_count = 1 };
    s->now = (struct andiron_walk){ .settled = true, .limit = 0 };
    return s->bulk->store->walk(s->bulk->store_self, req, &s->now, &s->horizon, horizon_known, s);
}

/* _typeFilter may only be about the type of the path. */
static int check_filters(struct andiron_request *req, const struct streaming *s)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    for (size_t i = 0; i < s->params.filter_count && err.code == ANDIRON_OK; i++) {
        const struct params_filter *f = &s->params.filters[i];
        if (strcmp(fhir_type_name(f->type), s->type.name) != 0)
            (void)andiron_error_set(&err, ANDIRON_E_INVALID, "",
                                    "_typeFilter must be about %s here", s->type.name);
        else
            (void)judge_check(s->bulk, req, s->type.name, f->query, &err);
    }
    if (err.code == ANDIRON_OK)
        return 0;
    (void)andiron_fail_with(req, &err);
    return -1;
}

enum andiron_step bulk_stream(struct andiron_request *req, void *self)
{
    static const char *const formats[] = { "application/fhir+ndjson", "application/ndjson",
                                           "application/fhir+json", "application/json", NULL };
    struct streaming *s = andiron_new(andiron_request_arena(req), struct streaming);
    andiron_str prefer = andiron_request_header(req, "prefer");
    andiron_str name = andiron_request_var(req, "type");
    int type = fhir_type(name);

    s->bulk = self;
    s->req = req;
    s->page_rows = PAGES_FIRST;
    if (type < 0)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "there is no FHIR resource type \"%.*s\"",
                            (int)(name.len < 64 ? name.len : 64), name.data);
    s->type.name = fhir_type_name(type);
    if (!headers_accept(andiron_request_header(req, "accept"), formats))
        return andiron_fail(req, ANDIRON_E_NOT_ACCEPTABLE,
                            "Accept must allow application/fhir+ndjson");
    if (params_read(req, s->bulk->config, JOB_SYSTEM, headers_prefer(prefer, "handling=lenient"),
                    &s->params) != 0 ||
        check_filters(req, s) != 0)
        return ANDIRON_DONE;
    s->right.name = s->type.name;
    s->rights.types = &s->right;
    s->rights.count = 1;
    return rights_ask(req, &s->rights, granted, s);
}
