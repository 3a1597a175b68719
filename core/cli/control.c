/*
 * HTTP over the control socket, as far as commands need it.
 */
#include "cli/control.h"

#include <stdio.h>

#include <curl/curl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/exits.h"
#include "cli/cli.h"

enum { ANSWER_MAX = 16 << 20 };

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
    return buffer_add(arg, bytes, size * count) == 0 ? size * count : 0;
}

/* Path of the socket in arena: a wrong setting elsewhere must not keep us from the server. */
static const char *socket_path(struct andiron_arena *arena)
{
    struct settings settings;
    struct host *host = settings_read(cli_invocation(), SECRETS_SKIP, &settings);
    const char *path = settings.control_socket != NULL ? settings.control_socket : "";
    path = andiron_copy(arena, andiron_str_of(path));
    host_free(host);
    return path;
}

/* ---- one request -------------------------------------------------------------------- */

struct exchange {
    const char *path, *method, *target;
    andiron_str sent;
    curl_write_callback take;
    void *arg;
    CURL *curl;
};

static CURLcode set_options(const struct exchange *x, const char *url,
                            const struct curl_slist *headers)
{
    CURLcode code = curl_easy_setopt(x->curl, CURLOPT_UNIX_SOCKET_PATH, x->path);
    if (code == CURLE_OK)
        code = curl_easy_setopt(x->curl, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = curl_easy_setopt(x->curl, CURLOPT_CUSTOMREQUEST, x->method);
    if (code == CURLE_OK && x->sent.len != 0)
        code = curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE, (long)x->sent.len);
    if (code == CURLE_OK && x->sent.len != 0)
        code = curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, x->sent.data);
    if (code == CURLE_OK && x->sent.len != 0)
        code = curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, headers);
    if (code == CURLE_OK)
        code = curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, x->take);
    if (code == CURLE_OK)
        code = curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, x->arg);
    if (code == CURLE_OK)
        code = curl_easy_setopt(x->curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    return code;
}

static CURLcode perform(struct exchange *x, long *ret_status)
{
    char url[512];
    /* Not curl's own, which makes a form of it. */
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    CURLcode code = CURLE_OUT_OF_MEMORY;

    (void)snprintf(url, sizeof(url), "http://localhost%s", x->target);
    if (x->curl != NULL && headers != NULL)
        code = set_options(x, url, headers);
    if (code == CURLE_OK)
        code = curl_easy_perform(x->curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_slist_free_all(headers);
    return code;
}

static int no_answer(const char *path, CURLcode code)
{
    return cli_fail(EXIT_UNREACHABLE,
                    "is andiron running, with this configuration (-c DIR), and may you use its "
                    "control socket?",
                    "no answer at %s: %s", path, curl_easy_strerror(code));
}

static int no_socket(void)
{
    return cli_fail(EXIT_CONFIG, "set admin.control-socket", "there is no control socket");
}

int control_call(struct andiron_arena *arena, const char *method, const char *target,
                 long *ret_status, andiron_str *ret_body, andiron_json *ret_json)
{
    return control_send(arena, method, target, (andiron_str){ NULL, 0 }, ret_status, ret_body,
                        ret_json);
}

int control_send(struct andiron_arena *arena, const char *method, const char *target,
                 andiron_str sent, long *ret_status, andiron_str *ret_body, andiron_json *ret_json)
{
    struct buffer body;
    struct exchange x = { socket_path(arena), method, target, sent, take, &body, NULL };

    if (x.path[0] == '\0')
        return no_socket();
    buffer_init(&body, ANSWER_MAX);
    x.curl = curl_easy_init();
    CURLcode code = perform(&x, ret_status);
    curl_easy_cleanup(x.curl);
    int status = code == CURLE_OK ? 0 : no_answer(x.path, code);
    if (status == 0) {
        *ret_body = (andiron_str){ andiron_copy(arena, buffer_str(&body)), body.len };
        if (andiron_json_parse(arena, *ret_body, ret_json, NULL) != 0)
            *ret_json = (andiron_json){ NULL };
    }
    buffer_free(&body);
    return status;
}

/* ---- large answers -------------------------------------------------------------------- */

struct fetching {
    CURL *curl;
    int (*take)(void *arg, int64_t total, const char *bytes, size_t len);
    void *arg;
    struct buffer refusal;
    bool is_stopped; /* by take */
};

static size_t take_piece(char *bytes, size_t size, size_t count, void *arg)
{
    struct fetching *f = arg;
    curl_off_t total = -1;
    long status = 0;

    if (curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
        curl_easy_getinfo(f->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) != CURLE_OK)
        return 0;
    if (status != 200)
        return take(bytes, size, count, &f->refusal);
    f->is_stopped = f->take(f->arg, total, bytes, size * count) != 0;
    return f->is_stopped ? 0 : size * count;
}

int control_fetch(struct andiron_arena *arena, const char *method, const char *target,
                  int (*take_bytes)(void *arg, int64_t total, const char *bytes, size_t len),
                  void *arg, long *ret_status, andiron_json *ret_json)
{
    struct fetching f = { .curl = curl_easy_init(), .take = take_bytes, .arg = arg };
    struct exchange x = { socket_path(arena), method, target, { NULL, 0 }, take_piece, &f, f.curl };
    int status = 0;

    *ret_json = (andiron_json){ NULL };
    buffer_init(&f.refusal, ANSWER_MAX);
    if (x.path[0] == '\0') {
        status = no_socket();
    } else {
        CURLcode code = perform(&x, ret_status);
        if (f.is_stopped)
            status = EXIT_INTERNAL; /* told by take */
        else if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR)
            status = cli_fail(EXIT_TRY_AGAIN, "once more, if the server was restarted or reloaded",
                              "the answer was cut off: %s", curl_easy_strerror(code));
        else if (code != CURLE_OK)
            status = no_answer(x.path, code);
        andiron_str text = { andiron_copy(arena, buffer_str(&f.refusal)), f.refusal.len };
        if (text.len > 0 && andiron_json_parse(arena, text, ret_json, NULL) != 0)
            *ret_json = (andiron_json){ NULL };
    }
    curl_easy_cleanup(f.curl);
    buffer_free(&f.refusal);
    return status;
}

bool control_listens(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.*s",
                   (int)sizeof(address.sun_path) - 1, path);
    bool listens = fd >= 0 && path[0] != '\0' &&
                   connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0)
        (void)close(fd); /* nothing was sent */
    return listens;
}

int control_reload(void)
{
    struct andiron_arena *arena = arena_new();
    andiron_json answer = { 0 };
    andiron_str body;
    long http = 0;

    int status = control_call(arena, "POST", "/control/reload", &http, &body, &answer);
    if (status == 0 && http != 200) {
        andiron_str reason = andiron_json_str(andiron_json_get(answer, "reason"));
        status = cli_fail(EXIT_CONFIG, "the old configuration is still in force",
                          "the new configuration was rejected:\n%.*s", (int)reason.len,
                          reason.data != NULL ? reason.data : "");
    }
    arena_free(arena);
    return status;
}
