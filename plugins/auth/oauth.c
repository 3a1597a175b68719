/*
 * Errors of the OAuth endpoints, counted and logged.
 */
#include "oauth.h"

#include <stdarg.h>
#include <stdio.h>

struct oauth_error {
    char name[32];
    int status;
};

static const struct oauth_error errors[] = {
    { "invalid_client", 401 }, { "invalid_token", 401 },           { "slow_down", 429 },
    { "server_error", 500 },   { "temporarily_unavailable", 503 },
};

static int status_of(const char *error)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strcmp(error, errors[i].name) == 0)
            return errors[i].status;
    return 400;
}

void oauth_count(struct andiron_request *req, struct auth *auth, const char *error)
{
    const char *operation = andiron_request_operation(req);

    for (size_t e = 0; e < AUTH_ENDPOINTS; e++)
        for (size_t i = 0; i < AUTH_RESULTS && strcmp(operation, auth_endpoints[e]) == 0; i++)
            if (strcmp(auth_results[i], error != NULL ? error : "ok") == 0)
                andiron_count(auth->results[e][i], 1);
}

void oauth_headers(struct andiron_request *req)
{
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    andiron_reply_header(req, "Pragma", ANDIRON_STR("no-cache"));
}

enum andiron_step oauth_fail(struct andiron_request *req, struct auth *auth, const char *error,
                             const char *fmt, ...)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    char description[384];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(description, sizeof(description), fmt, args); /* a long one may be cut */
    va_end(args);
    int status = status_of(error);
    if (status == 503)
        andiron_reply_header(req, "Retry-After", ANDIRON_STR("1"));
    oauth_count(req, auth, error);
    andiron_request_note(req, "oauth-error", andiron_str_of(error));
    andiron_request_log(req, ANDIRON_LOG_INFO, "auth.token.refused", "%s: %s: %s",
                        andiron_request_operation(req), error, description);
    struct andiron_json_writer *w = andiron_json_write(arena, 4096);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "error", andiron_str_of(error));
    andiron_json_put_str(w, "error_description", andiron_str_of(description));
    andiron_json_put_end(w);
    return andiron_reply(req, status, "application/json", andiron_json_written(w));
}

enum andiron_step oauth_fail_with(struct andiron_request *req, struct auth *auth,
                                  const struct andiron_error *err)
{
    andiron_request_log(req, ANDIRON_LOG_WARN, "auth.token.failed", "%s: %s",
                        andiron_request_operation(req), err->message);
    int status = andiron_code_http(err->code);
    if (status == 503 || status == 504 || status == 507)
        return oauth_fail(req, auth, "temporarily_unavailable", "try again in a moment");
    return oauth_fail(req, auth, "server_error", "the server could not do it; its log says why");
}
