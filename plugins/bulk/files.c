/*
 * Files of a finished export: to whoever asked for it, as long as their rights still cover what
 * is in them. Whole, from the disk to the socket; a part of it; or gzip, made on the way.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "gzip.h"
#include "headers.h"
#include "lookup.h"
#include "rights.h"

enum { PIECE = 256 << 10 };
static const char ndjson[] = "application/fhir+ndjson";

struct download {
    struct lookup lookup;
    const struct job_file *file;
    struct rights rights;
    struct rights_of_type type;
    int fd; /* -1: errno in `fault` */
    int fault;
    uint64_t size; /* on disk */
    andiron_str etag;

    struct gzip *gzip;
    uint64_t at;
    char *piece;
    struct bytes out;
};

/* ---- gzip ---------------------------------------------------------------------------------------- */

static void end_gzip(void *arg)
{
    struct download *d = arg;

    gzip_free(d->gzip);
    bytes_free(&d->out);
    (void)close(d->fd); /* only read from */
}

/* On the pool. */
static void make_piece(void *arg)
{
    struct download *d = arg;

    d->out.len = 0;
    while (d->out.len < PIECE / 4 && d->at < d->file->bytes) {
        uint64_t left = d->file->bytes - d->at;
        ssize_t got = pread(d->fd, d->piece, left < PIECE ? (size_t)left : PIECE, (off_t)d->at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            d->fault = got < 0 ? errno : EIO;
            return;
        }
        d->at += (uint64_t)got;
        gzip_add(d->gzip, (andiron_str){ d->piece, (size_t)got }, d->at == d->file->bytes, &d->out);
    }
}

static enum andiron_step next_piece(struct andiron_request *req, void *arg);

static enum andiron_step piece_made(struct andiron_request *req, void *arg)
{
    struct download *d = arg;

    if (d->fault != 0)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE, "the file cannot be read: %s",
                            strerror(d->fault));
    return andiron_reply_write(req, (andiron_str){ d->out.data, d->out.len }, next_piece, d);
}

static enum andiron_step next_piece(struct andiron_request *req, void *arg)
{
    struct download *d = arg;

    if (d->at == d->file->bytes)
        return andiron_reply_end(req);
    return andiron_offload(req, make_piece, piece_made, d);
}

static enum andiron_step send_gzip(struct andiron_request *req, struct download *d)
{
    d->gzip = gzip_new();
    d->piece = andiron_alloc(andiron_request_arena(req), PIECE);
    andiron_at_release(andiron_request_arena(req), end_gzip, d);
    andiron_reply_header(req, "Content-Encoding", ANDIRON_STR("gzip"));
    andiron_reply_start(req, 200, ndjson);
    return next_piece(req, d);
}

/* ---- the answer ------------------------------------------------------------------------------------- */

static andiron_str etag_of(struct andiron_request *req, const struct download *d, bool is_gzip)
{
    return andiron_str_of(andiron_printf(andiron_request_arena(req), "\"%.12s-%s%s\"",
                                         d->lookup.state.id.data, d->file->name,
                                         is_gzip ? "-gzip" : ""));
}

static void describe(struct andiron_request *req, const struct download *d)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    char *modified = andiron_alloc(arena, ANDIRON_HTTP_DATE_LEN);
    char *expires = andiron_alloc(arena, ANDIRON_HTTP_DATE_LEN);

    andiron_http_date(d->lookup.state.finished, modified);
    andiron_http_date(d->lookup.state.expires, expires);
    andiron_reply_header(req, "ETag", d->etag);
    andiron_reply_header(req, "Last-Modified", (andiron_str){ modified, ANDIRON_HTTP_DATE_LEN });
    andiron_reply_header(req, "Expires", (andiron_str){ expires, ANDIRON_HTTP_DATE_LEN });
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("private"));
    andiron_reply_header(req, "Accept-Ranges", ANDIRON_STR("bytes"));
    andiron_reply_header(req, "Vary", ANDIRON_STR("Accept-Encoding"));
}

static enum andiron_step unsatisfiable(struct andiron_request *req, const struct download *d)
{
    andiron_reply_header(req, "Content-Range",
                         andiron_str_of(andiron_printf(andiron_request_arena(req), "bytes */%llu",
                                                       (unsigned long long)d->file->bytes)));
    return andiron_reply(
        req, 416, "application/fhir+json",
        ANDIRON_STR("{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\","
                    "\"code\":\"invalid\",\"diagnostics\":\"Range lies behind the end of the "
                    "file; Content-Range tells its length\"}]}"));
}

/* If-Range: another representation than the client has part of is sent whole. */
static bool range_holds(struct andiron_request *req, const struct download *d)
{
    andiron_str if_range = andiron_request_header(req, "if-range");
    andiron_str modified = andiron_replied_header(req, "Last-Modified");

    return if_range.data == NULL || andiron_str_eq(if_range, d->etag) ||
           andiron_str_eq(if_range, modified);
}

static enum andiron_step answer(struct andiron_request *req, struct download *d)
{
    andiron_str range = andiron_request_header(req, "range");
    bool is_gzip =
        range.data == NULL && headers_accept_gzip(andiron_request_header(req, "accept-encoding"));
    uint64_t from = 0, length = d->file->bytes;
    enum range_kind kind = RANGE_WHOLE;

    d->etag = etag_of(req, d, is_gzip);
    describe(req, d);
    if (headers_has_etag(andiron_request_header(req, "if-none-match"), d->etag)) {
        (void)close(d->fd);
        return andiron_reply(req, 304, NULL, (andiron_str){ NULL, 0 });
    }
    if (is_gzip)
        return send_gzip(req, d);
    if (range.data != NULL && range_holds(req, d))
        kind = headers_range(range, d->file->bytes, &from, &length);
    if (kind == RANGE_UNSATISFIABLE) {
        (void)close(d->fd);
        return unsatisfiable(req, d);
    }
    if (kind == RANGE_PART)
        andiron_reply_header(
            req, "Content-Range",
            andiron_str_of(andiron_printf(
                andiron_request_arena(req), "bytes %llu-%llu/%llu", (unsigned long long)from,
                (unsigned long long)(from + length - 1), (unsigned long long)d->file->bytes)));
    return andiron_reply_file(req, kind == RANGE_PART ? 206 : 200, ndjson, d->fd, from, length);
}

/* ---- finding it ------------------------------------------------------------------------------------- */

/* On the pool: the folder may be on another machine. */
static void open_file(void *arg)
{
    struct download *d = arg;
    char id[BULK_ID_LEN + 1] = { 0 };
    struct stat st;

    memcpy(id, d->lookup.state.id.data, BULK_ID_LEN);
    d->fd = directory_read(d->lookup.bulk->directory, id, d->file->name);
    d->fault = d->fd < 0 ? errno : 0;
    if (d->fd < 0)
        return;
    d->size = fstat(d->fd, &st) == 0 && st.st_size >= 0 ? (uint64_t)st.st_size : 0;
}

static enum andiron_step opened(struct andiron_request *req, void *arg)
{
    struct download *d = arg;

    if (d->fd < 0 && d->fault == ENOENT)
        return lookup_unknown(req);
    if (d->fd < 0)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE, "the file cannot be opened: %s",
                            strerror(d->fault));
    if (d->size < d->file->bytes) {
        (void)close(d->fd);
        return andiron_fail(req, ANDIRON_E_INTERNAL, "the file is damaged: it is too short");
    }
    return answer(req, d);
}

static enum andiron_step open_it(struct andiron_request *req, struct download *d)
{
    return andiron_offload(req, open_file, opened, d);
}

static const struct job_type *type_of(const struct download *d)
{
    for (size_t i = 0; i < d->lookup.spec.type_count; i++)
        if (strcmp(d->lookup.spec.types[i].name, d->file->type) == 0)
            return &d->lookup.spec.types[i];
    return NULL;
}

static enum andiron_step rights_known(struct andiron_request *req, void *arg)
{
    struct download *d = arg;
    const struct job_type *type = type_of(d);

    if (!d->type.is_granted || type == NULL || !rights_still_hold(type->limits, d->type.limits))
        return rights_refuse(req, &d->rights);
    return open_it(req, d);
}

static enum andiron_step job_known(struct andiron_request *req, void *arg)
{
    struct download *d = arg;
    const struct job_state *s = &d->lookup.state;
    andiron_str name = andiron_request_var(req, "file");

    for (size_t i = 0; i < s->file_count && s->status == JOB_DONE; i++)
        if (andiron_str_eq(name, andiron_str_of(s->files[i].name)))
            d->file = &s->files[i];
    if (d->file == NULL)
        return lookup_unknown(req);
    if (!andiron_str_eq(s->directory, andiron_str_of(directory_token(d->lookup.bulk->directory))))
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                            "the files of this export are not on this node's storage");
    if (d->file->kind == JOB_ERROR)
        return open_it(req, d);
    d->type.name = d->file->type;
    d->rights.types = &d->type;
    d->rights.count = 1;
    return rights_ask(req, &d->rights, rights_known, d);
}

enum andiron_step bulk_file(struct andiron_request *req, void *self)
{
    struct download *d = andiron_new(andiron_request_arena(req), struct download);

    d->fd = -1;
    return lookup_job(self, req, &d->lookup, job_known, d);
}
