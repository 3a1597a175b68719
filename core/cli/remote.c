/*
 * HTTP for the command line, over libcurl.
 */
#include "cli/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cli/cli.h"

enum { ANSWER_MAX = 256 * 1024 * 1024, ADMIN_MAX = 4096 };

int remote_read_file(const char *path, size_t max, struct buffer *ret)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    buffer_init(ret, max);
    if (file == NULL)
        return cli_fail(EXIT_NO_INPUT,
                        "name a file that exists and may be read, or - for standard input",
                        "cannot read %s: %s", path, strerror(errno));
    char piece[16 * 1024];
    size_t n;
    int status = 0;
    while (status == 0 && (n = fread(piece, 1, sizeof(piece), file)) > 0)
        if (buffer_add(ret, piece, n) != 0)
            status = cli_fail(EXIT_BAD_DATA, NULL, "%s is larger than %zu bytes", path, max);
    if (status == 0 && ferror(file))
        status = cli_fail(EXIT_NO_INPUT, NULL, "cannot read %s: %s", path, strerror(errno));
    if (file != stdin)
        (void)fclose(file); /* only read from */
    return status;
}

/* "id:secret" from a file, without the line end. In arena. */
static int read_admin(struct remote *remote, const char *path)
{
    struct buffer text;
    int status = remote_read_file(path, ADMIN_MAX, &text);
    if (status == 0) {
        while (text.len > 0 && strchr("\r\n", text.data[text.len - 1]) != NULL)
            text.len--;
        remote->admin = andiron_copy(remote->arena, buffer_str(&text));
        if (strchr(remote->admin, ':') == NULL)
            status =
                cli_fail(EXIT_BAD_DATA, "write the client's id, a colon and its secret on one line",
                         "%s does not hold id:secret", path);
    }
    buffer_free(&text);
    return status;
}

int remote_open(struct remote *remote, const char *url, const char *admin_file)
{
    *remote = (struct remote){ .arena = arena_new() };
    if (url == NULL)
        url = getenv("ANDIRON_URL");
    if (url == NULL)
        url = "http://127.0.0.1:8080";
    andiron_str base = andiron_str_of(url);
    while (base.len > 0 && base.data[base.len - 1] == '/')
        base.len--;
    remote->url = andiron_copy(remote->arena, base);
    remote->admin = getenv("ANDIRON_ADMIN");
    if (admin_file != NULL) {
        int status = read_admin(remote, admin_file);
        if (status != 0)
            return status;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (remote->curl = curl_easy_init()) == NULL)
        return cli_fail(EXIT_INTERNAL, NULL, "libcurl cannot be started");
    return 0;
}

void remote_close(struct remote *remote)
{
    if (remote->curl != NULL)
        curl_easy_cleanup(remote->curl);
    arena_free(remote->arena);
    *remote = (struct remote){ .url = NULL };
}

static size_t gather(char *data, size_t size, size_t count, void *arg)
{
    struct remote_answer *answer = arg;
    return buffer_add(&answer->body, data, size * count) == 0 ? size * count : 0;
}

void remote_prepare(const struct remote *remote, CURL *curl, struct remote_answer *answer)
{
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 600L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (remote->admin != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERPWD, remote->admin);
    }
}

int remote_call(struct remote *remote, const char *method, const char *path,
                const char *content_type, andiron_str body, struct remote_answer *answer)
{
    char *url = andiron_printf(remote->arena, "%s%s", remote->url, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");

    *answer = (struct remote_answer){ .status = 0 };
    buffer_init(&answer->body, ANSWER_MAX);
    remote_prepare(remote, remote->curl, answer);
    curl_easy_setopt(remote->curl, CURLOPT_URL, url);
    curl_easy_setopt(remote->curl, CURLOPT_CUSTOMREQUEST, method);
    if (body.data != NULL) {
        headers = curl_slist_append(
            headers, andiron_printf(remote->arena, "Content-Type: %s", content_type));
        headers = curl_slist_append(headers, "Expect:"); /* one round trip less */
        curl_easy_setopt(remote->curl, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(remote->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    }
    curl_easy_setopt(remote->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(remote->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return cli_fail(EXIT_UNREACHABLE, "is it running, and is --url right?",
                        "no answer from %s: %s", url, curl_easy_strerror(code));
    curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    return 0;
}

andiron_str remote_words(struct andiron_arena *arena, andiron_str body)
{
    andiron_json doc;
    struct andiron_error err;
    /* The text must live as long as the arena. */
    body.data = andiron_copy(arena, body);
    if (andiron_json_parse(arena, body, &doc, &err) != 0)
        return (andiron_str){ NULL, 0 };
    andiron_json issue = andiron_json_at(andiron_json_get(doc, "issue"), 0);
    andiron_str words = andiron_json_str(andiron_json_get(issue, "diagnostics"));
    if (words.data == NULL)
        words = andiron_json_str(andiron_json_get(doc, "error_description"));
    if (words.data == NULL)
        words = andiron_json_str(andiron_json_get(doc, "error"));
    andiron_str where = andiron_json_str(andiron_json_at(andiron_json_get(issue, "expression"), 0));
    if (words.data != NULL && where.len > 0)
        words = andiron_str_of(andiron_printf(arena, "%.*s: %.*s", (int)where.len, where.data,
                                              (int)words.len, words.data));
    return words;
}

int remote_refused(struct remote *remote, const char *what, const struct remote_answer *answer)
{
    andiron_str words = remote_words(remote->arena, buffer_str(&answer->body));
    const char *hint = NULL;
    int status = EXIT_BAD_DATA;

    if (answer->status == 401) {
        status = EXIT_REFUSED;
        hint = "give credentials: --admin FILE (id:secret), or ANDIRON_ADMIN in the environment";
    } else if (answer->status == 403) {
        status = EXIT_REFUSED;
        hint = "no access policy lets this client do that";
    } else if (answer->status == 404) {
        hint = "is --url the server's base URL?";
    } else if (answer->status == 429 || answer->status == 503 || answer->status == 507) {
        status = EXIT_TRY_AGAIN;
        hint = "the server cannot do it now: try again";
    } else if (answer->status >= 500) {
        status = EXIT_INTERNAL;
        hint = "the server's log says more, under the request's id";
    }
    return cli_fail(status, hint, "%s was refused (%ld)%s%.*s", what, answer->status,
                    words.len > 0 ? ": " : "", (int)words.len, words.len > 0 ? words.data : "");
}
