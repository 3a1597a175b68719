/*
 * Errors as bodies.
 *
 * 401 and 403 never say more than that: not which policy, not whether the thing
 * exists. 500 says only the request's id, under which the log has the cause.
 */
#include "http/outcome.h"

#include <stdio.h>
#include <strings.h>

#include <andiron/log.h>

#include "base/arena.h"
#include "http/reply.h"

enum { OUTCOME_MAX = 1024 * 1024, SHOWN_ISSUES = 200 };

#define BEARER "Bearer realm=\"andiron\""
#define BASIC "Basic realm=\"andiron\""

static const char *oauth_error(int status)
{
    switch (status) {
    case 401:
        return "invalid_client";
    case 429:
        return "slow_down";
    case 503:
        return "temporarily_unavailable";
    default:
        return status < 500 ? "invalid_request" : "server_error";
    }
}

/* ---- headers ---------------------------------------------------------------------- */

static bool has_scheme(andiron_str value, const char *scheme, size_t len)
{
    if (value.len != 0 && value.data[0] == '"') { /* AU-1: tolerated around the whole value */
        value.data++;
        value.len--;
    }
    return value.len >= len && strncasecmp(value.data, scheme, len) == 0;
}

/* RFC 6750 section 3: bad credentials name the error, absent ones only the schemes. */
static void challenge(struct andiron_request *req, enum andiron_code code, bool oauth)
{
    andiron_str sent = andiron_request_header(req, "authorization");
    const char *value = BEARER ", " BASIC;

    if (andiron_replied_header(req, "www-authenticate").data != NULL)
        return;
    if (oauth || has_scheme(sent, "basic ", 6))
        value = BASIC;
    else if (code == ANDIRON_E_EXPIRED)
        value = BEARER ", error=\"invalid_token\", error_description=\"the token has expired\"";
    else if (code == ANDIRON_E_CREDENTIALS)
        value = BEARER ", error=\"invalid_token\", error_description=\"the token is not accepted\"";
    andiron_reply_header(req, "WWW-Authenticate", andiron_str_of(value));
}

static void common_headers(struct andiron_request *req, bool oauth)
{
    const struct reply *reply = &req->reply;

    if (reply->status == 401)
        challenge(req, reply->error.code, oauth);
    if ((reply->status == 429 || reply->status == 503 || reply->status == 504 ||
         reply->status == 507) &&
        andiron_replied_header(req, "retry-after").data == NULL)
        andiron_reply_header(req, "Retry-After", ANDIRON_STR("2"));
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    if (oauth)
        andiron_reply_header(req, "Pragma", ANDIRON_STR("no-cache"));
}

/* B-5: application/json where the client names it, or outside of /fhir. */
static const char *media_type(struct andiron_request *req)
{
    andiron_str accept;

    if (req->path.len < 5 || memcmp(req->path.data, "/fhir", 5) != 0 ||
        (req->path.len > 5 && req->path.data[5] != '/'))
        return "application/json";
    accept = andiron_request_header(req, "accept");
    if (accept.len != 0 && memmem(accept.data, accept.len, "application/json", 16) != NULL)
        return "application/json";
    return "application/fhir+json";
}

/* ---- bodies ---------------------------------------------------------------------------- */

/* The body that all 401 and 403 have, AU-8 and P-1. */
static andiron_str denied(struct andiron_request *req)
{
    const struct reply *reply = &req->reply;
    bool unauthorized = reply->status == 401;
    const char *word = unauthorized ? "Unauthorized" : "Forbidden";
    char *text = andiron_printf(
        req->arena,
        "{\"resourceType\":\"OperationOutcome\",\"id\":\"%s\","
        "\"text\":{\"status\":\"generated\",\"div\":\"<div "
        "xmlns=\\\"http://www.w3.org/1999/xhtml\\\">%s</div>\"},"
        "\"issue\":[{\"severity\":\"fatal\",\"code\":\"%s\",\"diagnostics\":\"%s\"}]}",
        unauthorized ? "unauthorized" : "forbidden", word, andiron_code_issue(reply->error.code),
        word);

    return andiron_str_of(text);
}

/* A position in a text ("line 3, column 5") is no FHIRPath: it goes into the words. */
static bool is_path(const char *where)
{
    return where[0] != '\0' && strncmp(where, "line ", 5) != 0 && strchr(where, ' ') == NULL;
}

static void put_issue(struct andiron_json_writer *w, struct andiron_request *req,
                      const struct andiron_error *err)
{
    const char *words = err->message;

    if (err->code == ANDIRON_E_INTERNAL)
        words = andiron_printf(req->arena, "internal error; the log has it under request id %.*s",
                               (int)request_root(req)->id.len, request_root(req)->id.data);
    else if (err->where[0] != '\0' && !is_path(err->where))
        words = andiron_printf(req->arena, "%s (at %s)", err->message, err->where);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "severity",
                         err->code == ANDIRON_E_INTERNAL ? ANDIRON_STR("fatal")
                                                         : ANDIRON_STR("error"));
    andiron_json_put_str(w, "code", andiron_str_of(andiron_code_issue(err->code)));
    andiron_json_put_str(w, "diagnostics", andiron_str_of(words));
    if (is_path(err->where) && err->code != ANDIRON_E_INTERNAL) {
        andiron_json_put_array(w, "expression");
        andiron_json_put_str(w, NULL, andiron_str_of(err->where));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

static andiron_str outcome(struct andiron_request *req)
{
    struct andiron_json_writer *w = andiron_json_write(req->arena, OUTCOME_MAX);
    unsigned shown = 0;

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("OperationOutcome"));
    andiron_json_put_array(w, "issue");
    put_issue(w, req, &req->reply.error);
    for (const struct reply_issue *i = req->reply.issues; i != NULL && shown < SHOWN_ISSUES;
         i = i->next, shown++)
        put_issue(w, req, &i->error);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static andiron_str oauth_body(struct andiron_request *req)
{
    const struct reply *reply = &req->reply;
    struct andiron_json_writer *w = andiron_json_write(req->arena, OUTCOME_MAX);
    /* Who came with a Bearer token is told of that, RFC 6750 section 3.1. */
    bool is_token = reply->status == 401 &&
                    has_scheme(andiron_replied_header(req, "www-authenticate"), "bearer ", 7);
    const char *error = is_token ? "invalid_token" : oauth_error(reply->status);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "error", andiron_str_of(error));
    if (reply->error.code != ANDIRON_E_INTERNAL)
        andiron_json_put_str(w, "error_description", andiron_str_of(reply->error.message));
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

void outcome_render(struct andiron_request *req)
{
    struct reply *reply = &req->reply;
    bool oauth = request_is_oauth(req);
    andiron_str body;

    if (reply->error.code == ANDIRON_E_INTERNAL)
        andiron_request_log(req, ANDIRON_LOG_ERROR, "http.internal-error", "%s%s%s",
                            reply->error.where, reply->error.where[0] != '\0' ? ": " : "",
                            reply->error.message);
    if (reply->error.message[0] != '\0' && andiron_request_noted(req, "reason").data == NULL &&
        (reply->status == 401 || reply->status == 403))
        andiron_request_note(
            req, "reason",
            andiron_str_of(andiron_copy(req->arena, andiron_str_of(reply->error.message))));
    common_headers(req, oauth);
    reply->type = oauth ? "application/json" : media_type(req);
    if (oauth)
        body = oauth_body(req);
    else if (reply->status == 401 || reply->status == 403)
        body = denied(req);
    else
        body = outcome(req);
    reply->body = body.data != NULL ? body : ANDIRON_STR("{}");
}

size_t outcome_plain(char out[OUTCOME_PLAIN_MAX], bool oauth, enum andiron_code code,
                     const char *message)
{
    int len;

    if (oauth)
        len = snprintf(out, OUTCOME_PLAIN_MAX, "{\"error\":\"%s\",\"error_description\":\"%s\"}",
                       oauth_error(andiron_code_http(code)), message);
    else
        len = snprintf(out, OUTCOME_PLAIN_MAX,
                       "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\","
                       "\"code\":\"%s\",\"diagnostics\":\"%s\"}]}",
                       andiron_code_issue(code), message);
    return len > 0 && len < OUTCOME_PLAIN_MAX ? (size_t)len : 0;
}
