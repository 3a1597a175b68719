/*
 * andiron export: all resources of a Bulk Data server into a folder.
 *
 *   kick-off -> status asked for until there is a manifest -> files (export_fetch.c) -> job deleted
 *
 * What is known is on disk before the next step (export_state.c), so that a run that was killed goes on.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/units.h"
#include "cli/bulk_client.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/export_fetch.h"

static const char usage[] =
    "usage: andiron export [options] --output DIR\n"
    "\n"
    "Exports from a server that has Bulk Data Access ($export) into files of a new folder, and a\n"
    "manifest.json that andiron import takes. Run again, it goes on where it was broken off.\n"
    "\n"
    "  --output DIR       where the files go\n"
    "  --url URL          Andiron's base URL (ANDIRON_URL, or http://127.0.0.1:8080)\n"
    "  --fhir URL         base URL of FHIR, of any server (--url with /fhir)\n"
    "  --client ID, --key PEM, --kid KID, --scope S\n"
    "                     SMART Backend Services: the client, its private key, the key's id (its\n"
    "                     RFC 7638 thumbprint), scopes (system/*.read)\n"
    "  --token-url URL    token endpoint (as /.well-known/smart-configuration says)\n"
    "  --admin FILE       holds id:secret (else ANDIRON_ADMIN in the environment), instead of "
    "--client\n"
    "  --patient          Patient/$export\n"
    "  --group ID         Group/ID/$export\n"
    "  --type T,T         only these types\n"
    "  --since T, --until T  what has changed since, and not after that time\n"
    "  --type-filter Q    search such as Observation?category=laboratory; may be repeated\n"
    "  --elements E,E     only these elements\n"
    "  --param NAME=VALUE any other parameter; may be repeated\n"
    "  --jobs N           downloads at a time (4)\n"
    "  --retries N        tries without progress (10)\n"
    "  --wait TIME        how long the server may take (24h)\n"
    "  --max-line BYTES   longest line that is taken (256m)\n"
    "  --allow-origin URL where credentials may go besides the server; may be repeated\n"
    "  --keep             leaves the job on the server\n"
    "  --restart          forgets what an earlier run left in DIR\n"
    "  --json             events as JSON on standard output\n";

enum { JOBS_MAX = 32, RETRIES_MAX = 1000, ORIGINS_MAX = 16, QUERY_MAX = 1 << 20 };
enum { POLL_FIRST_S = 1, POLL_MOST_S = 60 };

struct exporting {
    struct remote remote;
    struct bulk_client client;
    struct export_state state;
    struct export_fetch fetch;
    const char *url, *admin, *fhir, *output, *group;
    struct buffer query;
    const char *origins[ORIGINS_MAX + 1];
    size_t origin_count;
    int64_t wait_ms;
    bool is_patient, keep, restart, json;
    int64_t ends; /* monotonic, microseconds */
    int64_t failures;
};

/* ---- waiting ------------------------------------------------------------------------------------- */

/* 0, or an exit status with the error printed: the server asks for more time than there is. */
static int pause_for(struct exporting *x, int64_t seconds, const char *what)
{
    struct timespec time = { .tv_sec = seconds };

    if (seconds < 1)
        time.tv_sec = seconds = 1;
    if (seconds > (x->ends - units_monotonic()) / 1000000)
        return cli_fail(EXIT_TRY_AGAIN,
                        "run it again with a longer --wait: it goes on where this ended",
                        "%s; the server takes longer than --wait", what);
    (void)nanosleep(&time, NULL); /* a signal ends the program, or the pause */
    return 0;
}

/* Whether a failure may pass: counted, and waited for. 1: once more; 0 with *ret_status else. */
static int passes(struct exporting *x, const char *url, CURLcode code, long status, int *ret_status)
{
    int64_t backoff = x->failures < 6 ? (int64_t)1 << x->failures : POLL_MOST_S;
    char what[256];

    if (code == CURLE_OK && status != 429 && status != 408 && status != 502 && status != 503 &&
        status != 504)
        return 0;
    if (code != CURLE_OK)
        (void)snprintf(what, sizeof(what), "no answer from %.150s: %s", url,
                       curl_easy_strerror(code));
    else
        (void)snprintf(what, sizeof(what), "%.150s is answered with %ld", url, status);
    /* 429 asks for patience, and is no failure. */
    if (status != 429 && x->failures++ >= x->fetch.retries) {
        *ret_status = cli_fail(code != CURLE_OK ? EXIT_UNREACHABLE : EXIT_TRY_AGAIN,
                               "run it again: it goes on where this ended", "%s", what);
        return 0;
    }
    int64_t seconds = bulk_client_retry_after(x->remote.curl, backoff);
    *ret_status = pause_for(x, seconds, what);
    return *ret_status == 0;
}

/* ---- requests -------------------------------------------------------------------------------------- */

/*
 * One request, again while it may pass; the token is renewed if it was refused. 0 whatever the status, or an exit
 * status with the error printed.
 */
static int call(struct exporting *x, const char *method, const char *url, const char *const *lines,
                struct remote_answer *answer)
{
    bool was_renewed = false;
    int status;

    for (;;) {
        struct curl_slist *headers = NULL;
        if ((status = bulk_client_token(&x->client, false)) != 0)
            return status;
        for (size_t i = 0; lines[i] != NULL; i++)
            headers = curl_slist_append(headers, lines[i]);
        CURLcode code = bulk_client_call(&x->client, method, url, headers, answer);
        curl_slist_free_all(headers);
        if (code == CURLE_OK && answer->status == 401 && !was_renewed &&
            x->client.login.client != NULL) {
            was_renewed = true;
            if ((status = bulk_client_token(&x->client, true)) != 0)
                return status;
            continue;
        }
        if (passes(x, url, code, answer->status, &status) == 1)
            continue;
        if (status == 0)
            x->failures = 0;
        return status;
    }
}

static int kick_off(struct exporting *x)
{
    static const char *const headers[] = { "Accept: application/fhir+json", "Prefer: respond-async",
                                           NULL };
    struct remote_answer answer = { .status = 0 };
    const char *url = x->state.request;
    int status = call(x, "GET", url, headers, &answer);

    if (status == 0 && answer.status != 202)
        status = answer.status < 400
                     ? cli_fail(EXIT_BAD_DATA, "does the server have Bulk Data Access there?",
                                "%s is answered with %ld instead of 202", url, answer.status)
                     : remote_refused(&x->remote, url, &answer);
    const char *location = bulk_client_header(x->remote.curl, "Content-Location");
    if (status == 0 && location != NULL)
        x->state.status_url = bulk_client_resolve(x->remote.arena, url, location);
    if (status == 0 && x->state.status_url == NULL)
        status = cli_fail(EXIT_BAD_DATA, "does the server have Bulk Data Access there?",
                          "%s is answered without a Content-Location", url);
    buffer_free(&answer.body);
    if (status == 0 && !bulk_client_trusts(&x->client, x->state.status_url))
        status = cli_fail(
            EXIT_REFUSED, "if that is right, --allow-origin URL sends credentials there, too",
            "the server wants to be asked at another origin: %s", x->state.status_url);
    return status == 0 ? export_state_save(&x->state) : status;
}

/* ---- the status ----------------------------------------------------------------------------------------- */

static void show_status(const struct exporting *x, const char *progress)
{
    if (x->json) {
        struct andiron_arena *arena = andiron_arena_new(0);
        struct andiron_json_writer *w = andiron_json_write(arena, 4096);
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "event", ANDIRON_STR("status"));
        andiron_json_put_str(w, "progress", andiron_str_of(progress));
        andiron_json_put_end(w);
        andiron_str text = andiron_json_written(w);
        (void)printf("%.*s\n", (int)text.len, text.len > 0 ? text.data : "");
        (void)fflush(stdout);
        andiron_arena_free(arena);
        return;
    }
    bool terminal = isatty(STDERR_FILENO) != 0;
    (void)fprintf(stderr, "%sthe server is at work%s", terminal ? "\r\033[K" : "",
                  progress != NULL ? ": " : "");
    /* Words of a stranger: only what is printable reaches the terminal. */
    for (size_t i = 0; progress != NULL && progress[i] != '\0' && i < 200; i++)
        (void)fputc(progress[i] >= ' ' && progress[i] < 127 ? progress[i] : '?', stderr);
    (void)fputs(terminal ? "" : "\n", stderr);
}

static int take_manifest(struct exporting *x, const struct remote_answer *answer)
{
    if (!x->json && isatty(STDERR_FILENO) != 0)
        (void)fputs("\r\033[K", stderr);
    int status = export_state_take(&x->state, buffer_str(&answer->body));
    return status == 0 ? export_state_save(&x->state) : status;
}

/* The job is no more: what is known of it is of no use. */
static int job_gone(struct exporting *x)
{
    return cli_fail(EXIT_BAD_DATA, "--restart begins anew",
                    "the server knows nothing of the export any more: %s", x->state.status_url);
}

static int poll_status(struct exporting *x)
{
    static const char *const headers[] = { "Accept: application/json", NULL };
    struct remote_answer answer = { .status = 0 };
    int64_t seconds = POLL_FIRST_S;
    int status = 0;

    while (status == 0) {
        status = call(x, "GET", x->state.status_url, headers, &answer);
        if (status != 0 || answer.status != 202)
            break;
        show_status(x, bulk_client_header(x->remote.curl, "X-Progress"));
        status = pause_for(x, bulk_client_retry_after(x->remote.curl, seconds),
                           "the export has not come to its end");
        seconds = seconds * 2 < POLL_MOST_S ? seconds * 2 : POLL_MOST_S;
    }
    if (status == 0 && answer.status == 200)
        status = take_manifest(x, &answer);
    else if (status == 0 && (answer.status == 404 || answer.status == 410))
        status = job_gone(x);
    else if (status == 0)
        status = remote_refused(&x->remote, x->state.status_url, &answer);
    buffer_free(&answer.body);
    return status;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

/* The files are here: that the server keeps its own a little longer is no failure. */
static void delete_job(struct exporting *x)
{
    static const char *const headers[] = { "Accept: application/fhir+json", NULL };
    struct remote_answer answer = { .status = 0 };

    if (bulk_client_token(&x->client, false) == 0) {
        struct curl_slist *list = curl_slist_append(NULL, headers[0]);
        CURLcode code = bulk_client_call(&x->client, "DELETE", x->state.status_url, list, &answer);
        curl_slist_free_all(list);
        if (code != CURLE_OK || (answer.status >= 300 && answer.status != 404))
            (void)fprintf(stderr, "andiron: the export is left on the server: %s\n",
                          code != CURLE_OK ? curl_easy_strerror(code) : "DELETE was refused");
    }
    buffer_free(&answer.body);
}

static void show_summary(const struct exporting *x, double seconds)
{
    uint64_t lines = 0, wrong = 0, files = 0;

    for (size_t i = 0; i < x->state.count; i++) {
        const struct export_file *f = &x->state.files[i];
        uint64_t n = f->count >= 0 ? (uint64_t)f->count : f->lines;
        bool is_output = strcmp(f->list, "output") == 0;
        files += is_output;
        lines += is_output ? n : 0;
        wrong += strcmp(f->list, "error") == 0 ? n : 0;
    }
    if (x->json) {
        (void)printf("{\"event\":\"done\",\"files\":%" PRIu64 ",\"resources\":%" PRIu64
                     ",\"bytes\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"seconds\":%.3f}\n",
                     files, lines, x->fetch.bytes, wrong, seconds);
        return;
    }
    (void)printf("%" PRIu64 " resources in %" PRIu64 " files, %.1f MB, %.1f s\n", lines, files,
                 (double)x->fetch.bytes / 1e6, seconds);
    if (wrong > 0)
        (void)printf("%" PRIu64 " outcomes in error.*.ndjson: the server could not export all\n",
                     wrong);
}

static int export_all(struct exporting *x)
{
    int64_t begun = units_monotonic();
    int status = 0;

    if (x->state.status_url == NULL)
        status = kick_off(x);
    else if (!bulk_client_trusts(&x->client, x->state.status_url))
        status = cli_fail(EXIT_REFUSED, "--restart begins anew", "%s is of another server",
                          x->state.status_url);
    if (status == 0 && x->state.manifest.data == NULL)
        status = poll_status(x);
    if (status == 0)
        status = export_fetch(&x->fetch);
    if (status != 0)
        return status;
    status = export_state_finish(&x->state);
    if (status == 0 && !x->keep)
        delete_job(x);
    if (status == 0)
        show_summary(x, (double)(units_monotonic() - begun) / 1e6);
    return status;
}

/* ---- command ----------------------------------------------------------------------------------------------------- */

static void add_param(struct exporting *x, const char *name, const char *value)
{
    char *text = curl_easy_escape(NULL, value, 0);

    (void)buffer_printf(&x->query, "%s%s=%s", x->query.len > 0 ? "&" : "?", name,
                        text != NULL ? text : "");
    curl_free(text);
}

static int take_type(void *x, const char *value)
{
    add_param(x, "_type", value);
    return 0;
}

static int take_since(void *x, const char *value)
{
    add_param(x, "_since", value);
    return 0;
}

static int take_until(void *x, const char *value)
{
    add_param(x, "_until", value);
    return 0;
}

static int take_filter(void *x, const char *value)
{
    add_param(x, "_typeFilter", value);
    return 0;
}

static int take_elements(void *x, const char *value)
{
    add_param(x, "_elements", value);
    return 0;
}

static int take_param(void *x, const char *value)
{
    char name[128];
    const char *equals = strchr(value, '=');

    if (equals == NULL || equals == value || (size_t)(equals - value) >= sizeof(name) ||
        strcspn(value, "&?#% ") < (size_t)(equals - value))
        return cli_fail(EXIT_USAGE, NULL, "--param is NAME=VALUE, not '%s'", value);
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - value), value);
    add_param(x, name, equals + 1);
    return 0;
}

static int take_origin(void *arg, const char *value)
{
    struct exporting *x = arg;

    if (x->origin_count == ORIGINS_MAX)
        return cli_fail(EXIT_USAGE, NULL, "more than %d --allow-origin", ORIGINS_MAX);
    x->origins[x->origin_count++] = value;
    return 0;
}

static int whole_number(const char *name, const char *text, int64_t least, int64_t most,
                        int64_t *ret)
{
    if (units_int(andiron_str_of(text), ret) == 0 && *ret >= least && *ret <= most)
        return 0;
    return cli_fail(EXIT_USAGE, NULL,
                    "--%s is a whole number from %" PRId64 " to %" PRId64 ", not '%s'", name, least,
                    most, text);
}

static int take_jobs(void *x, const char *value)
{
    return whole_number("jobs", value, 1, JOBS_MAX, &((struct exporting *)x)->fetch.jobs);
}

static int take_retries(void *x, const char *value)
{
    return whole_number("retries", value, 0, RETRIES_MAX, &((struct exporting *)x)->fetch.retries);
}

static int take_wait(void *arg, const char *value)
{
    struct exporting *x = arg;

    x->wait_ms = units_duration(andiron_str_of(value));
    return x->wait_ms > 0
               ? 0
               : cli_fail(EXIT_USAGE, NULL, "--wait is a time such as 90s or 12h, not '%s'", value);
}

static int take_line(void *arg, const char *value)
{
    struct exporting *x = arg;
    int64_t bytes = units_bytes(andiron_str_of(value));

    if (bytes <= 0)
        return cli_fail(EXIT_USAGE, NULL, "--max-line is a size such as 64m, not '%s'", value);
    x->fetch.line_max = (uint64_t)bytes;
    return 0;
}

static const char *request_url(struct exporting *x)
{
    struct andiron_arena *arena = x->remote.arena;
    const char *where = "";

    if (x->group != NULL) {
        char *id = curl_easy_escape(NULL, x->group, 0);
        where = andiron_printf(arena, "Group/%s/", id != NULL ? id : "");
        curl_free(id);
    } else if (x->is_patient) {
        where = "Patient/";
    }
    add_param(x, "_outputFormat", "application/fhir+ndjson");
    return andiron_printf(arena, "%s/%s$export%.*s", x->client.fhir, where, (int)x->query.len,
                          x->query.data);
}

static int check(const struct exporting *x)
{
    const struct bulk_login *login = &x->client.login;

    if (x->output == NULL)
        return cli_fail(EXIT_USAGE, "andiron export --help", "--output is required");
    if ((login->client == NULL) != (login->key_path == NULL))
        return cli_fail(EXIT_USAGE, "andiron export --help", "--client and --key go together");
    if (login->client != NULL && x->admin != NULL)
        return cli_fail(EXIT_USAGE, "andiron export --help", "either --client or --admin");
    if (x->group != NULL && x->is_patient)
        return cli_fail(EXIT_USAGE, "andiron export --help", "either --group or --patient");
    return 0;
}

static int run(struct exporting *x)
{
    struct andiron_arena *arena;
    int status = check(x);

    if (status != 0)
        return status;
    status = remote_open(&x->remote, x->url, x->admin);
    arena = x->remote.arena;
    if (status != 0)
        return status;
    andiron_str base =
        andiron_str_of(x->fhir != NULL ? x->fhir : andiron_printf(arena, "%s/fhir", x->remote.url));
    while (base.len > 0 && base.data[base.len - 1] == '/')
        base.len--;
    x->client.fhir = andiron_copy(arena, base);
    x->client.remote = &x->remote;
    x->client.origins = x->origins;
    if (bulk_client_resolve(arena, x->client.fhir, "x") == NULL)
        return cli_fail(EXIT_USAGE, NULL, "'%s' is no URL of http or https", x->client.fhir);
    /* The administrator's secret of the environment is Andiron's, and for no other server. */
    if (x->fhir != NULL && x->admin == NULL)
        x->remote.admin = NULL;
    x->ends = units_monotonic() + x->wait_ms * 1000;
    x->fetch.client = &x->client;
    x->fetch.state = &x->state;
    x->fetch.json = x->json;
    status = export_state_open(&x->state, arena, x->output, request_url(x), x->restart);
    if (status == 0)
        status = export_all(x);
    export_state_close(&x->state);
    return status;
}

int cmd_export(int argc, char **argv)
{
    static struct exporting x;
    struct bulk_login *login = &x.client.login;
    const struct cli_option options[] = {
        { .name = "url", .value = &x.url },
        { .name = "fhir", .value = &x.fhir },
        { .name = "admin", .value = &x.admin },
        { .name = "output", .value = &x.output },
        { .name = "client", .value = &login->client },
        { .name = "key", .value = &login->key_path },
        { .name = "kid", .value = &login->kid },
        { .name = "scope", .value = &login->scope },
        { .name = "token-url", .value = &login->token_url },
        { .name = "group", .value = &x.group },
        { .name = "patient", .is_given = &x.is_patient },
        { .name = "type", .take = take_type, .arg = &x },
        { .name = "since", .take = take_since, .arg = &x },
        { .name = "until", .take = take_until, .arg = &x },
        { .name = "type-filter", .take = take_filter, .arg = &x },
        { .name = "elements", .take = take_elements, .arg = &x },
        { .name = "param", .take = take_param, .arg = &x },
        { .name = "allow-origin", .take = take_origin, .arg = &x },
        { .name = "jobs", .take = take_jobs, .arg = &x },
        { .name = "retries", .take = take_retries, .arg = &x },
        { .name = "wait", .take = take_wait, .arg = &x },
        { .name = "max-line", .take = take_line, .arg = &x },
        { .name = "keep", .is_given = &x.keep },
        { .name = "restart", .is_given = &x.restart },
        { .name = "json", .is_given = &x.json },
        { .name = NULL },
    };

    x = (struct exporting){ .wait_ms = (int64_t)24 * 3600 * 1000 };
    x.fetch = (struct export_fetch){ .jobs = 4, .retries = 10, .line_max = (uint64_t)256 << 20 };
    x.state.dir_fd = -1;
    login->scope = "system/*.read";
    buffer_init(&x.query, QUERY_MAX);
    int status = cli_read_options(argc, argv, options, usage);
    if (status != CLI_GO_ON)
        return status;
    if (optind < argc)
        return cli_fail(EXIT_USAGE, "andiron export --help", "unexpected argument '%s'",
                        argv[optind]);
    status =
        x.query.overflowed ? cli_fail(EXIT_USAGE, NULL, "the parameters are too long") : run(&x);
    bulk_client_close(&x.client);
    buffer_free(&x.query);
    remote_close(&x.remote);
    return status;
}
