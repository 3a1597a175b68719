/*
 * andiron import: sends resources to a running server, many at a time.
 *
 * Resources go in transactions of up to --chunk entries over --jobs connections. A
 * transaction that is refused is sent again as a batch, so that one bad resource costs only itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/import_read.h"
#include "cli/remote.h"

static const char usage[] =
    "usage: andiron import [options] FILE...|DIR|-\n"
    "\n"
    "Sends NDJSON, single resources or the entries of Bundles (plain or gzipped) to a server;\n"
    "of a folder with the manifest.json of andiron export the files that it names.\n"    "Resources with an id are PUT, others are POSTed.\n"
    "\n"
    "  --url URL          base URL (ANDIRON_URL, or http://127.0.0.1:8080)\n"
    "  --admin FILE       holds id:secret (else ANDIRON_ADMIN in the environment)\n"
    "  --jobs N           requests at a time (4)\n"
    "  --chunk N          resources a transaction (200)\n"
    "  --on-error stop|skip  what a refused resource does (skip)\n"
    "  --resume           go on where a run of the same files was broken off\n"
    "  --state FILE       where that is remembered (.andiron-import)\n"
    "  --json             events as JSON on standard output\n"
    "\n"
    "Ends with 65 if a resource was refused.\n";

enum { JOBS_MAX = 64, CHUNK_MAX = 5000, CHUNK_BYTES = 4 * 1024 * 1024, TYPES_MAX = 256 };

/* Where a resource of a chunk came from; for reports. */
struct origin {
    const char *file;
    uint64_t line;
    andiron_str name; /* Type or Type/id */
    size_t type;      /* index into import.types */
};

struct chunk {
    struct andiron_arena *arena;
    struct origin *origins;
    size_t count;          /* that are sent */
    size_t taken;          /* from the input, unusable ones included */
    struct buffer entries; /* "{...},{...}" */
    struct buffer body;
    bool is_batch; /* second try */
    CURL *curl;
    struct curl_slist *headers;
    struct remote_answer answer;
    uint64_t number; /* of the chunk, from 0 */
};

struct type_count {
    char name[64];
    uint64_t stored, refused;
};

struct import {
    struct remote remote;
    const char *url;
    CURLM *multi;
    struct import_input *input;
    int64_t jobs, chunk_size;
    bool stop_on_error, resume, json, ended, failed;
    const char *state_path;
    uint64_t names; /* hash of the paths given: a state belongs to one input */
    int status;
    uint64_t sent, stored, refused, bytes;
    uint64_t skip; /* resources done by the run that is resumed */
    uint64_t read; /* resources taken from the input */
    uint64_t chunks;
    uint64_t first_open;                 /* chunks before this one are done */
    uint64_t done_numbers[JOBS_MAX * 4]; /* later ones that are done, +1; 0: free */
    uint64_t done_resources;             /* in chunks before first_open */
    size_t counts[JOBS_MAX * 4];         /* what they took from the input */
    struct type_count types[TYPES_MAX];
    size_t type_count;
    size_t running;
    int64_t begun, shown;
};

/* ---- what was done, for --resume --------------------------------------------------------- */

/* FNV-1a; ends of paths count, so that {"ab"} and {"a", "b"} differ. */
static uint64_t hash_names(char **paths)
{
    uint64_t hash = 14695981039346656037u;
    for (; *paths != NULL; paths++)
        for (size_t i = 0, len = strlen(*paths); i <= len; i++)
            hash = (hash ^ (unsigned char)(*paths)[i]) * 1099511628211u;
    return hash;
}

static int read_state(struct import *im)
{
    FILE *file = fopen(im->state_path, "r");
    uint64_t done = 0, names = 0;
    if (file == NULL)
        return 0;
    int got = fscanf(file, "%" SCNu64 " %" SCNx64, &done, &names);
    (void)fclose(file); /* only read from */
    if (got != 2 || names != im->names)
        return cli_fail(EXIT_BAD_DATA, "name the same files, or remove it to begin anew",
                        "%s was left by a run over other files", im->state_path);
    im->skip = done;
    return 0;
}

/* By rename, so that a broken-off write leaves the older state. */
static void write_state(const struct import *im)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s.new", im->state_path) >= (int)sizeof(path))
        return;
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return; /* --resume will start over: PUTs do no harm twice */
    bool written =
        fprintf(file, "%" PRIu64 " %" PRIx64 "\n", im->skip + im->done_resources, im->names) > 0;
    if (fclose(file) == 0 && written)
        (void)rename(path, im->state_path);
}

/* Chunks end in any order; only an unbroken row of them from the start counts as done. */
static void note_done(struct import *im, const struct chunk *c)
{
    enum { ROOM = JOBS_MAX * 4 };
    size_t place = (size_t)(c->number % ROOM);
    im->done_numbers[place] = c->number + 1;
    im->counts[place] = c->taken;
    while (im->done_numbers[im->first_open % ROOM] == im->first_open + 1) {
        im->done_numbers[im->first_open % ROOM] = 0;
        im->done_resources += im->counts[im->first_open % ROOM];
        im->first_open++;
    }
}

/* ---- reports -------------------------------------------------------------------------------- */

static size_t type_index(struct import *im, andiron_str type)
{
    size_t len = type.len < sizeof(im->types[0].name) ? type.len : sizeof(im->types[0].name) - 1;
    for (size_t i = 0; i < im->type_count; i++)
        if (strlen(im->types[i].name) == len && memcmp(im->types[i].name, type.data, len) == 0)
            return i;
    if (im->type_count == TYPES_MAX)
        return TYPES_MAX - 1;
    memcpy(im->types[im->type_count].name, type.data, len);
    return im->type_count++;
}

static void put_json_text(FILE *out, andiron_str s)
{
    fputc('"', out);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.data[i];
        if (ch == '"' || ch == '\\')
            fprintf(out, "\\%c", ch);
        else if (ch < 0x20)
            fprintf(out, "\\u%04x", ch);
        else
            fputc(ch, out);
    }
    fputc('"', out);
}

static void report_refused(struct import *im, const struct origin *o, andiron_str why)
{
    im->refused++;
    im->types[o->type].refused++;
    if (!im->json) {
        fprintf(stderr, "%s:%" PRIu64 ": %.*s: %.*s\n", o->file, o->line, (int)o->name.len,
                o->name.data, (int)why.len, why.len > 0 ? why.data : "");
    } else {
        printf("{\"event\":\"refused\",\"file\":");
        put_json_text(stdout, andiron_str_of(o->file));
        printf(",\"line\":%" PRIu64 ",\"resource\":", o->line);
        put_json_text(stdout, o->name);
        printf(",\"why\":");
        put_json_text(stdout, why);
        printf("}\n");
    }
    if (im->stop_on_error)
        im->ended = true;
}

static void show_progress(struct import *im)
{
    int64_t now = units_monotonic();
    bool terminal = isatty(STDERR_FILENO) != 0;
    if (now - im->shown < (terminal || im->json ? 1000000 : 10000000))
        return;
    im->shown = now;
    double rate = (double)(im->stored + im->refused) * 1e6 / (double)(now - im->begun + 1);
    uint64_t size = import_size(im->input), done = import_done(im->input);
    write_state(im);
    if (im->json) {
        printf("{\"event\":\"progress\",\"done\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"rate\":%.1f,\"failed\":%" PRIu64,
               im->stored + im->refused, im->bytes, rate, im->refused);
        if (size > 0 && done > 0 && done <= size)
            printf(",\"eta_s\":%.0f",
                   (double)(now - im->begun) / 1e6 * (double)(size - done) / (double)done);
        printf("}\n");
        (void)fflush(stdout);
        return;
    }
    fprintf(stderr, "%s%" PRIu64 " resources, %.0f/s, %" PRIu64 " refused",
            terminal ? "\r\033[K" : "", im->stored + im->refused, rate, im->refused);
    if (size > 0 && done <= size)
        fprintf(stderr, ", %.0f %%", (double)done * 100 / (double)size);
    fputs(terminal ? "" : "\n", stderr);
}

static void show_summary(struct import *im)
{
    double seconds = (double)(units_monotonic() - im->begun) / 1e6;
    if (im->json) {
        printf("{\"event\":\"done\",\"stored\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"seconds\":%.3f}\n",
               im->stored, im->refused, seconds);
        return;
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    printf("%-32s %10s %10s\n", "type", "stored", "refused");
    for (size_t i = 0; i < im->type_count; i++)
        printf("%-32s %10" PRIu64 " %10" PRIu64 "\n", im->types[i].name, im->types[i].stored,
               im->types[i].refused);
    printf("%-32s %10" PRIu64 " %10" PRIu64 "   %.1f s, %.0f/s\n", "all", im->stored, im->refused,
           seconds, (double)im->stored / (seconds > 0 ? seconds : 1));
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void chunk_free(struct chunk *c)
{
    if (c == NULL)
        return;
    if (c->curl != NULL)
        curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    buffer_free(&c->entries);
    buffer_free(&c->body);
    buffer_free(&c->answer.body);
    arena_free(c->arena);
    free(c);
}

static void add_entry(struct import *im, struct chunk *c, const struct import_item *item)
{
    struct origin *o = &c->origins[c->count];
    bool put = item->id.len > 0;
    *o = (struct origin){ .file = item->file,
                          .line = item->line,
                          .type = type_index(im, item->type) };
    o->name =
        andiron_str_of(andiron_printf(c->arena, "%.*s%s%.*s", (int)item->type.len, item->type.data,
                                      put ? "/" : "", (int)item->id.len, put ? item->id.data : ""));
    /* Ids and types with quotes are refused by the server; here they must only not break the Bundle. */
    (void)buffer_printf(&c->entries, "%s{\"resource\":", c->count > 0 ? "," : "");
    (void)buffer_add(&c->entries, item->text.data, item->text.len);
    (void)buffer_printf(&c->entries, ",\"request\":{\"method\":\"%s\",\"url\":\"",
                        put ? "PUT" : "POST");
    for (size_t i = 0; i < o->name.len; i++) {
        char ch = o->name.data[i];
        (void)buffer_add(&c->entries,
                         ch == '"' || ch == '\\' || (unsigned char)ch < 0x20 ? "?" : &ch, 1);
    }
    (void)buffer_add(&c->entries, "\"}}", 3);
    c->count++;
}

/* What cannot be sent at all. */
static void refuse_here(struct import *im, const struct import_item *item)
{
    struct origin o = { .file = item->file, .line = item->line, .name = ANDIRON_STR("not sent") };
    o.type = type_index(im, item->type.len > 0 ? item->type : ANDIRON_STR("(none)"));
    report_refused(im, &o, andiron_str_of(item->wrong));
}

/* The next chunk, or NULL at the end of the input; im->status is set if that cannot be read. */
static struct chunk *fill_chunk(struct import *im)
{
    struct chunk *c = calloc(1, sizeof(*c));
    if (c == NULL)
        abort();
    c->arena = arena_new();
    c->origins = andiron_alloc(c->arena, (size_t)im->chunk_size * sizeof(*c->origins));
    buffer_init(&c->entries, (size_t)1 << 30);
    buffer_init(&c->body, ((size_t)1 << 30) + 1024);
    buffer_init(&c->answer.body, (size_t)1 << 30);
    while (!im->ended && c->count < (size_t)im->chunk_size && c->entries.len < CHUNK_BYTES) {
        struct import_item item;
        struct andiron_error err;
        int got = import_next(im->input, &item, &err);
        if (got < 0)
            im->status = cli_fail(EXIT_NO_INPUT, NULL, "%s: %s", err.where, err.message);
        if (got <= 0) {
            im->ended = true;
            break;
        }
        if (++im->read <= im->skip)
            continue;
        if (item.wrong != NULL)
            refuse_here(im, &item);
        else
            add_entry(im, c, &item);
        if (item.wrong == NULL || !im->ended)
            c->taken++; /* one that ended the run is met again by --resume */
    }
    if (c->count > 0) {
        c->number = im->chunks++;
        return c;
    }
    chunk_free(c);
    return NULL;
}

static void send_chunk(struct import *im, struct chunk *c)
{
    c->body.len = c->answer.body.len = 0;
    (void)buffer_printf(&c->body, "{\"resourceType\":\"Bundle\",\"type\":\"%s\",\"entry\":[",
                        c->is_batch ? "batch" : "transaction");
    (void)buffer_add(&c->body, c->entries.data, c->entries.len);
    (void)buffer_add(&c->body, "]}", 2);
    if (c->curl == NULL) {
        c->curl = curl_easy_init();
        c->headers = curl_slist_append(NULL, "Content-Type: application/fhir+json");
        c->headers = curl_slist_append(c->headers, "Accept: application/fhir+json");
        c->headers = curl_slist_append(c->headers, "Prefer: return=minimal");
        c->headers = curl_slist_append(c->headers, "Expect:");
    }
    remote_prepare(&im->remote, c->curl, &c->answer);
    curl_easy_setopt(c->curl, CURLOPT_URL, im->url);
    curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, c->body.data);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_PRIVATE, c);
    curl_multi_add_handle(im->multi, c->curl);
    im->running++;
}

static void chunk_done(struct import *im, struct chunk *c)
{
    im->bytes += c->entries.len;
    note_done(im, c);
    chunk_free(c);
}

static void all_stored(struct import *im, struct chunk *c)
{
    im->stored += c->count;
    for (size_t i = 0; i < c->count; i++)
        im->types[c->origins[i].type].stored++;
    chunk_done(im, c);
}

/* A batch's answer: each entry has its own status. */
static void read_batch(struct import *im, struct chunk *c)
{
    andiron_json doc;
    struct andiron_error err;
    bool is_refused = false;
    if (andiron_json_parse(c->arena, buffer_str(&c->answer.body), &doc, &err) != 0) {
        im->status =
            cli_fail(EXIT_INTERNAL, NULL, "the server's answer is no JSON: %s", err.message);
        im->ended = true;
        chunk_free(c);
        return;
    }
    andiron_json entries = andiron_json_get(doc, "entry");
    for (size_t i = 0; i < c->count; i++) {
        andiron_json response = andiron_json_get(andiron_json_at(entries, i), "response");
        andiron_str status = andiron_json_str(andiron_json_get(response, "status"));
        if (status.len > 0 && status.data[0] == '2') {
            im->stored++;
            im->types[c->origins[i].type].stored++;
            continue;
        }
        andiron_str outcome = andiron_json_raw(andiron_json_get(response, "outcome"));
        andiron_str words =
            outcome.len > 0 ? remote_words(c->arena, outcome) : (andiron_str){ NULL, 0 };
        report_refused(im, &c->origins[i], words.len > 0 ? words : status);
        is_refused = true;
    }
    if (is_refused && im->stop_on_error)
        chunk_free(c); /* not done: --resume sends it again, mended */
    else
        chunk_done(im, c);
}

static void chunk_answered(struct import *im, struct chunk *c, CURLcode code)
{
    im->running--;
    curl_multi_remove_handle(im->multi, c->curl);
    if (code != CURLE_OK) {
        im->status =
            cli_fail(EXIT_UNREACHABLE,
                     "is it running, and is --url right? --resume goes on where this ended",
                     "no answer from %s: %s", im->url, curl_easy_strerror(code));
    } else {
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->answer.status);
        if (c->answer.status == 200) {
            if (c->is_batch)
                read_batch(im, c);
            else
                all_stored(im, c);
            return;
        }
        bool content = c->answer.status == 400 || c->answer.status == 404 ||
                       c->answer.status == 409 || c->answer.status == 412 ||
                       c->answer.status == 413 || c->answer.status == 422;
        if (content && !c->is_batch) {
            c->is_batch = true;
            send_chunk(im, c);
            return;
        }
        im->status = remote_refused(&im->remote, "POST /fhir", &c->answer);
    }
    im->ended = true;
    chunk_free(c);
}

static int run(struct import *im)
{
    im->begun = im->shown = units_monotonic();
    do {
        struct chunk *c;
        while (!im->ended && im->running < (size_t)im->jobs &&
               im->chunks - im->first_open < JOBS_MAX * 4 && (c = fill_chunk(im)) != NULL)
            send_chunk(im, c);
        int running = 0, left = 0;
        curl_multi_perform(im->multi, &running);
        CURLMsg *message;
        while ((message = curl_multi_info_read(im->multi, &left)) != NULL) {
            char *chunk = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &chunk);
            chunk_answered(im, (struct chunk *)(void *)chunk, code);
        }
        show_progress(im);
        if (im->running > 0)
            curl_multi_poll(im->multi, NULL, 0, 200, NULL);
    } while (im->running > 0 || !im->ended);
    return im->status;
}

/* ---- command ----------------------------------------------------------------------------------- */

static int count_option(const char *name, const char *text, int64_t max, int64_t *ret)
{
    if (units_int(andiron_str_of(text), ret) == 0 && *ret >= 1 && *ret <= max)
        return 0;
    return cli_fail(EXIT_USAGE, NULL, "--%s is a whole number from 1 to %" PRId64 ", not '%s'",
                    name, max, text);
}

static int take_jobs(void *im, const char *value)
{
    return count_option("jobs", value, JOBS_MAX, &((struct import *)im)->jobs);
}

static int take_chunk(void *im, const char *value)
{
    return count_option("chunk", value, CHUNK_MAX, &((struct import *)im)->chunk_size);
}

static int take_on_error(void *arg, const char *text)
{
    struct import *im = arg;
    im->stop_on_error = strcmp(text, "stop") == 0;
    if (im->stop_on_error || strcmp(text, "skip") == 0)
        return 0;
    return cli_fail(EXIT_USAGE, NULL, "--on-error is stop or skip, not '%s'", text);
}

static int import_with(struct import *im, const char *url, const char *admin, char **paths)
{
    struct andiron_error err;
    int status = remote_open(&im->remote, url, admin);
    if (status != 0)
        return status;
    im->input = import_open((const char *const *)paths, &err);
    if (im->input == NULL)
        return cli_fail(EXIT_NO_INPUT, "name files, a folder, or - for standard input", "%s: %s",
                        err.where, err.message);
    im->url = andiron_printf(im->remote.arena, "%s/fhir", im->remote.url);
    im->names = hash_names(paths);
    if (im->resume && (status = read_state(im)) != 0)
        return status;
    im->multi = curl_multi_init();
    curl_multi_setopt(im->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)im->jobs);
    status = run(im);
    curl_multi_cleanup(im->multi);
    show_summary(im);
    if (status != 0 || (im->stop_on_error && im->refused > 0))
        write_state(im);
    else
        (void)unlink(im->state_path); /* there is none if it was quick */
    return status == 0 && im->refused > 0 ? EXIT_BAD_DATA : status;
}

int cmd_import(int argc, char **argv)
{
    static struct import im;
    const char *url = NULL, *admin = NULL;
    const struct cli_option options[] = { { .name = "url", .value = &url },
                                          { .name = "admin", .value = &admin },
                                          { .name = "jobs", .take = take_jobs, .arg = &im },
                                          { .name = "chunk", .take = take_chunk, .arg = &im },
                                          { .name = "on-error", .take = take_on_error, .arg = &im },
                                          { .name = "resume", .is_given = &im.resume },
                                          { .name = "state", .value = &im.state_path },
                                          { .name = "json", .is_given = &im.json },
                                          { .name = NULL } };

    im = (struct import){ .jobs = 4, .chunk_size = 200, .state_path = ".andiron-import" };
    int status = cli_read_options(argc, argv, options, usage);
    if (status != CLI_GO_ON)
        return status;
    if (optind == argc)
        return cli_fail(EXIT_USAGE, "andiron import --help", "nothing to import was named");
    status = import_with(&im, url, admin, argv + optind);
    import_close(im.input);
    remote_close(&im.remote);
    return status;
}
