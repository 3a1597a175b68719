/*
 * From a received head to a request that the phase engine can take.
 */
#include "http/begin.h"

#include "base/arena.h"
#include "base/units.h"
#include "http/reply.h"
#include "http/target.h"
#include "http/trace.h"

enum { TIME_SAMPLES = 64 }; /* step times are taken of 1 request in so many */

struct andiron_request *begin_request(struct conn *conn)
{
    struct http_loop *home = conn->home;
    struct andiron_request *req = request_new(home);

    req->conn = conn;
    req->side = conn->listener->side;
    http_head_init(&req->head, home->fields);
    return req;
}

/* The list moves from the loop's into the request's memory, with room for what is to come. */
static void keep_fields(struct andiron_request *req, uint32_t room)
{
    struct http_field *kept = arena_take(req->arena, room * sizeof(*kept));

    memcpy(kept, req->head.fields, req->head.field_count * sizeof(*kept));
    req->head.fields = kept;
}

void begin_wait(struct andiron_request *req)
{
    if (req->head.fields == req->home->fields)
        keep_fields(req, server_limits(req->home->server)->fields);
}

/* ---- headers that core itself reads ------------------------------------------------- */

struct noticed {
    andiron_str request_id, traceparent, forwarded_for;
    unsigned authorizations, content_types, traceparents;
};

static void notice(const struct andiron_request *req, struct noticed *ret)
{
    for (uint32_t i = 0; i < req->head.field_count; i++) {
        andiron_str name = http_view(req->in, req->head.fields[i].name);
        andiron_str value = http_view(req->in, req->head.fields[i].value);

        switch (name.len) { /* most names are told apart by their length */
        case 11:
            if (memcmp(name.data, "traceparent", 11) == 0) {
                ret->traceparent = value;
                ret->traceparents++;
            }
            break;
        case 12:
            if (memcmp(name.data, "x-request-id", 12) == 0)
                ret->request_id = value;
            else if (memcmp(name.data, "content-type", 12) == 0)
                ret->content_types++;
            break;
        case 13:
            ret->authorizations += memcmp(name.data, "authorization", 13) == 0;
            break;
        case 15:
            if (memcmp(name.data, "x-forwarded-for", 15) == 0)
                ret->forwarded_for = value;
            break;
        default:
            break;
        }
    }
}

/* B-9: a client's id is echoed if it matches [A-Za-z0-9._-]{1,64}. */
static bool is_request_id(andiron_str id)
{
    if (id.len == 0 || id.len > 64)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static void set_id(struct andiron_request *req, andiron_str sent)
{
    if (is_request_id(sent)) {
        req->id = (andiron_str){ andiron_copy(req->arena, sent), sent.len };
    } else {
        char *id = arena_take(req->arena, REQUEST_ID_BYTES + 1);

        per_loop_request_id(req->home, id);
        req->id = (andiron_str){ id, REQUEST_ID_BYTES };
    }
}

static void set_base(struct andiron_request *req)
{
    andiron_str host = http_view(req->in, req->head.host);

    req->base = server_base(req->home->server);
    if (req->base.data != NULL)
        return;
    /* Without http.base-url, in development: the parser has checked the form of Host. */
    if (host.len == 0)
        host = ANDIRON_STR("localhost");
    req->base = andiron_str_of(andiron_printf(req->arena, "%s://%.*s",
                                              req->conn->tls != NULL ? "https" : "http",
                                              (int)host.len, host.data));
}

static void set_remote(struct andiron_request *req, andiron_str forwarded_for)
{
    andiron_str remote = server_remote(req->home->server, req->conn, forwarded_for);

    /* The request may outlive its connection. */
    req->remote = (andiron_str){ andiron_copy(req->arena, remote), remote.len };
}

/* ---- the whole --------------------------------------------------------------------------- */

static void refuse(struct andiron_request *req, const char *reason)
{
    (void)andiron_fail(req, ANDIRON_E_INVALID, "%s", reason);
    reply_settle(req);
    req->stage = STAGE_RESPOND;
}

static void set_body(struct andiron_request *req)
{
    struct body *body = &req->body;

    body->framing = req->head.framing;
    body->left = req->head.content_length;
    body->owes_continue = req->head.expect_continue && body->framing != HTTP_BODY_NONE;
    if (body->framing == HTTP_BODY_CHUNKED)
        http_chunked_init(&body->chunked, server_limits(req->home->server));
}

void begin_head(struct andiron_request *req)
{
    struct conn *conn = req->conn;
    struct http_loop *home = req->home;
    struct noticed noticed = { 0 };
    const char *reason;
    andiron_str method;

    if (req->head.fields == home->fields)
        keep_fields(req, req->head.field_count);
    req->in = conn->in + conn->at;
    req->started_us = units_monotonic();
    req->sampled = home->begun++ % TIME_SAMPLES == 0;
    notice(req, &noticed);
    set_id(req, noticed.request_id);
    if (noticed.traceparents == 1) /* of several nobody knows which is meant */
        req->trace_parent = trace_parent(req->arena, noticed.traceparent);
    req->trace_id = trace_id(req->trace_parent);
    set_base(req);
    set_remote(req, noticed.forwarded_for);
    set_body(req);
    if (req->side == ROUTE_SIDE_CONTROL)
        req->principal = &request_system; /* whoever may open the socket may command */
    method = http_view(req->in, req->head.method);
    req->is_head = andiron_str_eq(method, ANDIRON_STR("HEAD"));
    req->method = req->is_head ? ANDIRON_STR("GET") : method;
    req->query = http_view(req->in, req->head.query);
    req->path = ANDIRON_STR("");
    if (noticed.authorizations > 1) { /* AU-1 */
        refuse(req, "Authorization may be sent once only");
    } else if (noticed.content_types > 1) {
        refuse(req, "Content-Type may be sent once only");
    } else if (req->head.form == HTTP_FORM_ASTERISK) {
        (void)andiron_reply(req, 204, NULL, ANDIRON_STR(""));
        req->stage = STAGE_RESPOND;
    } else if (target_path(req->arena, http_view(req->in, req->head.path), &req->path, &reason) !=
               0) {
        req->path = ANDIRON_STR("");
        refuse(req, reason);
    } else {
        route_find(home->app->routes, req->side, req->method, req->path, &req->match);
        if (req->match.route != NULL)
            req->operation = req->match.route->route->operation;
    }
}
