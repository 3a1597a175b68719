/*
 * HTTP over the control socket, as far as commands need it.
 */
#include "cli/control.h"

#include <stdio.h>

#include <curl/curl.h>

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

static int perform(const char *path, const char *method, const char *target, andiron_str sent,
                   struct buffer *body, long *ret_status)
{
    char url[512];
    CURL *curl = curl_easy_init();
    /* Not curl's own, which makes a form of it. */
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");

    if (curl == NULL || headers == NULL)
        return cli_fail(EXIT_INTERNAL, NULL, "cannot start libcurl");
    (void)snprintf(url, sizeof(url), "http://localhost%s", target);
    CURLcode code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (code == CURLE_OK && sent.len != 0)
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)sent.len);
    if (code == CURLE_OK && sent.len != 0)
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, sent.data);
    if (code == CURLE_OK && sent.len != 0)
        code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (code == CURLE_OK)
        return 0;
    return cli_fail(EXIT_UNREACHABLE,
                    "is andiron running, with this configuration (-c DIR), and may you use its "
                    "control socket?",
                    "no answer at %s: %s", path, curl_easy_strerror(code));
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
    const char *path = socket_path(arena);

    if (path[0] == '\0')
        return cli_fail(EXIT_CONFIG, "set admin.control-socket", "there is no control socket");
    buffer_init(&body, ANSWER_MAX);
    int status = perform(path, method, target, sent, &body, ret_status);
    if (status == 0) {
        *ret_body = (andiron_str){ andiron_copy(arena, buffer_str(&body)), body.len };
        if (andiron_json_parse(arena, *ret_body, ret_json, NULL) != 0)
            *ret_json = (andiron_json){ NULL };
    }
    buffer_free(&body);
    return status;
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
