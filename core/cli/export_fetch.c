#include "cli/export_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/whole.h"

enum { ETAG_MAX = 256, WORDS_MAX = 64 << 10, STALL_S = 60, BACKOFF_MAX_S = 60 };

struct download {
    struct export_fetch *fetch;
    struct export_file *file;
    CURL *curl;
    struct curl_slist *headers;
    struct remote_answer answer; /* of a refusal */
    int fd;                      /* of NAME.part; -1: not open */
    uint64_t at, lines, tail; /* bytes on disk, lines that ended, bytes behind the last of them */
    uint64_t best;            /* of `at` over all tries: what comes further is not given up */
    bool has_begun;           /* this try writes the file */
    bool was_renewed, was_repeated;
    char etag[ETAG_MAX];
    int status;                /* exit status with the error printed */
    const char *wrong;         /* why this try is worth no other */
    int64_t tries, not_before; /* monotonic, microseconds */
    bool is_running;
    struct download *next;
};

struct running {
    struct export_fetch *fetch;
    CURLM *multi;
    struct download *list;
    size_t next_file, running;
    struct progress progress;
    int status;
};

/* ---- what is on disk --------------------------------------------------------------------------- */

static const char *name_of(const struct download *d, const char *end, char *out, size_t room)
{
    (void)snprintf(out, room, "%s%s", d->file->name, end); /* names are short */
    return out;
}

static int cannot(struct download *d, const char *what)
{
    d->status = cli_fail(EXIT_NO_OUTPUT, NULL, "cannot %s %s/%s: %s", what, d->fetch->state->dir,
                         d->file->name, strerror(errno));
    return -1;
}

static void count(struct download *d, const char *data, size_t len)
{
    const char *end = data + len, *stop;

    while (data < end && (stop = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        d->lines += d->tail + (size_t)(stop - data) > 0;
        d->tail = 0;
        data = stop + 1;
    }
    d->tail += (size_t)(end - data);
}

static void read_etag(struct download *d)
{
    char name[256];
    int dir = d->fetch->state->dir_fd;
    int fd = openat(dir, name_of(d, ".etag", name, sizeof(name)), O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    ssize_t n = read(fd, d->etag, sizeof(d->etag) - 1);
    d->etag[n > 0 ? n : 0] = '\0';
    (void)close(fd); /* only read from */
}

/* Without it the file is fetched from its beginning, which is no failure. */
static void keep_etag(struct download *d)
{
    const char *etag = bulk_client_header(d->curl, "ETag");
    char name[256];
    int dir = d->fetch->state->dir_fd;

    (void)unlinkat(dir, name_of(d, ".etag", name, sizeof(name)), 0);
    d->etag[0] = '\0';
    if (etag == NULL || etag[0] != '"' || strlen(etag) >= sizeof(d->etag))
        return; /* RFC 9110 section 13.1.5: weak ones are not for If-Range */
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (whole_write(fd, andiron_str_of(etag)) == 0)
        (void)snprintf(d->etag, sizeof(d->etag), "%s", etag);
    (void)close(fd);
}

/* Opens NAME.part, and counts what an earlier run left in it. */
static int open_part(struct download *d)
{
    char name[256], *piece;
    ssize_t n;

    d->fd = openat(d->fetch->state->dir_fd, name_of(d, ".part", name, sizeof(name)),
                   O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->fd < 0)
        return cannot(d, "write");
    read_etag(d);
    piece = malloc(WORDS_MAX);
    if (piece == NULL)
        abort();
    while (d->etag[0] != '\0' && (n = read(d->fd, piece, WORDS_MAX)) > 0) {
        count(d, piece, (size_t)n);
        d->at += (uint64_t)n;
    }
    free(piece);
    d->best = d->at;
    return 0;
}

static int restart_part(struct download *d)
{
    d->at = d->lines = d->tail = 0;
    if (ftruncate(d->fd, 0) != 0 || lseek(d->fd, 0, SEEK_SET) != 0)
        return cannot(d, "write");
    return 0;
}

static void close_download(struct download *d)
{
    if (d->fd >= 0)
        (void)close(d->fd);
    d->fd = -1;
    if (d->curl != NULL)
        curl_easy_cleanup(d->curl);
    curl_slist_free_all(d->headers);
    buffer_free(&d->answer.body);
    d->curl = NULL;
    d->headers = NULL;
}

/* ---- one try --------------------------------------------------------------------------------------- */

/* Where a part goes on; -1: it does not say. */
static int64_t range_start(CURL *curl)
{
    static const char unit[] = "bytes ";
    const char *range = bulk_client_header(curl, "Content-Range");

    if (range == NULL || strncmp(range, unit, sizeof(unit) - 1) != 0)
        return -1;
    return strtoll(range + sizeof(unit) - 1, NULL, 10);
}

/* The head of an answer is known: whether its body is the file's, from which byte on. */
static int begin(struct download *d)
{
    curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &d->answer.status);
    if (d->answer.status == 206 && d->at > 0) {
        if (range_start(d->curl) != (int64_t)d->at) {
            d->wrong = "answered with another part than was asked for";
            return -1;
        }
        d->has_begun = true;
        return 0;
    }
    if (d->answer.status != 200)
        return 0;
    d->has_begun = true;
    keep_etag(d);
    return restart_part(d);
}

static size_t take(char *data, size_t size, size_t items, void *arg)
{
    struct download *d = arg;
    size_t len = size * items;

    if (!d->has_begun && d->answer.status == 0 && begin(d) != 0)
        return 0;
    if (!d->has_begun) {                              /* why it is refused */
        (void)buffer_add(&d->answer.body, data, len); /* too long: the beginning is enough */
        return len;
    }
    if (whole_write(d->fd, (andiron_str){ data, len }) != 0) {
        (void)cannot(d, "write");
        return 0;
    }
    count(d, data, len);
    d->at += len;
    d->fetch->bytes += len;
    if (d->tail > d->fetch->line_max)
        d->wrong = "has a line that is longer than --max-line";
    else if (d->file->count >= 0 && d->lines > (uint64_t)d->file->count)
        d->wrong = "has more lines than the manifest says";
    return d->wrong == NULL ? len : 0;
}

static void start_try(struct running *r, struct download *d)
{
    const struct export_state *state = d->fetch->state;

    if (d->curl == NULL)
        d->curl = curl_easy_init();
    buffer_free(&d->answer.body);
    buffer_init(&d->answer.body, WORDS_MAX);
    d->answer.status = 0;
    d->has_begun = false;
    curl_slist_free_all(d->headers);
    d->headers = curl_slist_append(NULL, "Accept: application/fhir+ndjson, */*;q=0.1");
    bulk_client_prepare(d->fetch->client, d->curl, d->file->url, state->requires_token, &d->answer);
    curl_easy_setopt(d->curl, CURLOPT_TIMEOUT, 0L);
    curl_easy_setopt(d->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(d->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(d->curl, CURLOPT_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, d);
    curl_easy_setopt(d->curl, CURLOPT_PRIVATE, d);
    if (d->at > 0 && d->etag[0] != '\0') {
        char line[ETAG_MAX + 32];
        (void)snprintf(line, sizeof(line), "If-Range: %s", d->etag);
        d->headers = curl_slist_append(d->headers, line);
        (void)snprintf(line, sizeof(line), "%" PRIu64 "-", d->at);
        curl_easy_setopt(d->curl, CURLOPT_RANGE, line); /* libcurl copies it */
    }
    curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, d->headers);
    curl_multi_add_handle(r->multi, d->curl);
    d->is_running = true;
    r->running++;
}

/* ---- the end of a try --------------------------------------------------------------------------------- */

static int failed(struct download *d, int status, const char *hint, const char *what)
{
    d->status = cli_fail(status, hint, "%s (%s) %s", d->file->url, d->file->name, what);
    return -1;
}

/* On disk, and under its name. */
static int keep_file(struct download *d)
{
    char part[256], etag[256];
    int dir = d->fetch->state->dir_fd;

    (void)name_of(d, ".part", part, sizeof(part));
    if (fsync(d->fd) != 0 || renameat(dir, part, dir, d->file->name) != 0 || fsync(dir) != 0)
        return cannot(d, "write");
    (void)unlinkat(dir, name_of(d, ".etag", etag, sizeof(etag)), 0);
    d->file->is_done = true;
    d->file->lines = d->lines;
    d->fetch->lines += d->lines;
    if (d->fetch->json)
        (void)printf("{\"event\":\"file\",\"name\":\"%s\",\"lines\":%" PRIu64 ",\"bytes\":%" PRIu64
                     "}\n",
                     d->file->name, d->lines, d->at);
    return 0;
}

/* It came to its end: is it what the manifest says? 1: it is tried again. */
static int check_whole(struct download *d)
{
    char words[128];

    d->lines += d->tail > 0; /* the last line need not have an end */
    d->tail = 0;
    if (d->file->count < 0 || d->lines == (uint64_t)d->file->count)
        return keep_file(d);
    (void)snprintf(words, sizeof(words), "has %" PRIu64 " lines, and %" PRId64 " by the manifest",
                   d->lines, d->file->count);
    if (restart_part(d) != 0)
        return -1;
    if (!d->was_repeated) { /* it may have been put together of parts that do not fit */
        d->was_repeated = true;
        return 1;
    }
    return failed(d, EXIT_BAD_DATA, "the server's files are damaged; --restart begins anew", words);
}

static int64_t backoff_s(const struct download *d)
{
    int64_t seconds = d->tries < 6 ? (int64_t)1 << d->tries : BACKOFF_MAX_S;
    return seconds < BACKOFF_MAX_S ? seconds : BACKOFF_MAX_S;
}

/* Tries that come no further are counted. 1: it is tried again; -1: d->status. */
static int try_again(struct download *d, const char *why)
{
    if (d->at > d->best) {
        d->best = d->at;
        d->tries = 0;
    }
    if (d->tries++ >= d->fetch->retries)
        return failed(d, EXIT_UNREACHABLE, "run it again: it goes on where this ended", why);
    d->not_before =
        units_monotonic() + bulk_client_retry_after(d->curl, backoff_s(d) - 1) * 1000000;
    return 1;
}

static int refused(struct download *d)
{
    long status = d->answer.status;

    if (status == 416 && d->at > 0) /* another file than the part is of */
        return restart_part(d) == 0 ? try_again(d, "does not go on") : -1;
    if (status == 401 && !d->was_renewed && d->fetch->client->login.client != NULL) {
        d->was_renewed = true;
        d->status = bulk_client_token(d->fetch->client, true);
        return d->status == 0 ? 1 : -1;
    }
    if (status == 408 || status == 429 || status >= 500)
        return try_again(d, "cannot be fetched at present");
    d->status = remote_refused(d->fetch->client->remote, d->file->url, &d->answer);
    return -1;
}

/* 0: the file is whole; 1: once more; -1: d->status. */
static int over(struct download *d, CURLcode code)
{
    if (d->status != 0)
        return -1;
    if (d->wrong != NULL) {
        (void)restart_part(d); /* nothing of it is believed */
        return failed(d, EXIT_BAD_DATA, "the server's files are damaged; --restart begins anew",
                      d->wrong);
    }
    if (code == CURLE_OK && d->answer.status == 0 && begin(d) != 0) /* without a body */
        return d->status != 0 ? -1 : failed(d, EXIT_BAD_DATA, NULL, d->wrong);
    if (code != CURLE_OK)
        return try_again(d, curl_easy_strerror(code));
    if (!d->has_begun)
        return refused(d);
    return check_whole(d);
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

static struct download *open_next(struct running *r)
{
    const struct export_state *state = r->fetch->state;

    while (r->next_file < state->count && state->files[r->next_file].is_done)
        r->next_file++;
    if (r->next_file == state->count)
        return NULL;
    struct download *d = calloc(1, sizeof(*d));
    if (d == NULL)
        abort();
    d->fetch = r->fetch;
    d->file = &state->files[r->next_file++];
    d->fd = -1;
    d->next = r->list;
    r->list = d;
    return d;
}

static size_t open_count(const struct running *r)
{
    size_t n = 0;
    for (const struct download *d = r->list; d != NULL; d = d->next)
        n++;
    return n;
}

static void drop(struct running *r, struct download *d)
{
    struct download **at = &r->list;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    close_download(d);
    free(d);
}

static void start_some(struct running *r)
{
    int64_t now = units_monotonic();
    struct download *d;

    while (r->status == 0 && open_count(r) < (size_t)r->fetch->jobs && (d = open_next(r)) != NULL)
        if (open_part(d) != 0)
            r->status = d->status;
    for (d = r->list; d != NULL && r->status == 0; d = d->next) {
        if (d->is_running || d->not_before > now)
            continue;
        r->status = bulk_client_token(r->fetch->client, false);
        if (r->status == 0)
            start_try(r, d);
    }
}

static void finish_some(struct running *r)
{
    CURLMsg *message;
    int left = 0;

    while ((message = curl_multi_info_read(r->multi, &left)) != NULL) {
        char *of = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &of);
        struct download *d = (struct download *)(void *)of;
        curl_multi_remove_handle(r->multi, d->curl);
        d->is_running = false;
        r->running--;
        int what = over(d, code);
        if (what < 0 && r->status == 0)
            r->status = d->status;
        if (what <= 0)
            drop(r, d);
    }
}

/* A file of another origin would get the token, which is for the server alone. */
static int check_origins(const struct export_fetch *f)
{
    bool has_secret = f->client->login.client != NULL || f->client->remote->admin != NULL;

    for (size_t i = 0; i < f->state->count && f->state->requires_token && has_secret; i++)
        if (!bulk_client_trusts(f->client, f->state->files[i].url))
            return cli_fail(EXIT_REFUSED,
                            "if that is right, --allow-origin URL sends credentials there, too",
                            "the manifest wants the access token sent to another origin: %s",
                            f->state->files[i].url);
    return 0;
}

int export_fetch(struct export_fetch *f)
{
    struct running r = { .fetch = f, .progress = progress_new(f->json) };
    uint64_t shown = 0;

    r.status = check_origins(f);
    r.multi = curl_multi_init();
    do {
        int running = 0;
        start_some(&r);
        curl_multi_perform(r.multi, &running);
        finish_some(&r);
        progress_add(&r.progress, f->bytes - shown, 0);
        shown = f->bytes;
        if (r.list != NULL && r.status == 0)
            curl_multi_poll(r.multi, NULL, 0, 200, NULL);
    } while (r.status == 0 && (r.list != NULL || r.next_file < f->state->count));
    progress_end(&r.progress);
    while (r.list != NULL) {
        if (r.list->is_running)
            curl_multi_remove_handle(r.multi, r.list->curl);
        drop(&r, r.list);
    }
    curl_multi_cleanup(r.multi);
    return r.status;
}
