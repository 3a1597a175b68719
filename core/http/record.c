/*
 * What is kept of a request that is over: access line, metrics, statistics.
 */
#include "http/record.h"

#include <andiron/metrics.h>

#include "base/log.h"
#include "base/units.h"
#include "http/conn.h"
#include "http/per_loop.h"

static bool wants_line(const struct http_settings *settings, int status, int64_t duration_us)
{
    switch (settings->access_log) {
    case HTTP_LOG_ALL:
        return true;
    case HTTP_LOG_ERRORS:
        return status >= 400 || status == 0;
    case HTTP_LOG_SLOW:
        return duration_us >= settings->access_log_slow_ms * 1000;
    case HTTP_LOG_OFF:
        break;
    }
    return false;
}

/* Types are bounded words; anything else in {type} is the client's text and not logged. */
static andiron_str type_of(const struct andiron_request *req)
{
    andiron_str type = andiron_request_var(req, "type"), none = { NULL, 0 };

    if (type.len == 0 || type.len > 64 || type.data[0] < 'A' || type.data[0] > 'Z')
        return none;
    for (size_t i = 0; i < type.len; i++) {
        if ((type.data[i] | 0x20) < 'a' || (type.data[i] | 0x20) > 'z')
            return none;
    }
    return type;
}

/* Of a note that is a number; -1: there is none. */
static int64_t noted_number(const struct andiron_request *req, const char *name)
{
    andiron_str text = andiron_request_noted(req, name);
    int64_t number = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || number > INT64_MAX / 10 - 1)
            return -1;
        number = number * 10 + (text.data[i] - '0');
    }
    return text.len != 0 ? number : -1;
}

static void access_line(const struct andiron_request *req, int64_t duration_us)
{
    struct log_fields fields = LOG_FIELDS_NONE;

    fields.request_id = req->id;
    fields.trace_id = req->trace_id;
    fields.method = req->is_head ? ANDIRON_STR("HEAD") : req->method;
    fields.route = request_route(req);
    fields.type = type_of(req);
    fields.operation = andiron_str_of(req->operation);
    fields.status = req->reply.status;
    fields.duration_us = duration_us;
    fields.bytes_in = (int64_t)(req->head.bytes + req->body.bytes);
    fields.bytes_out = (int64_t)req->reply.bytes;
    fields.client_id = andiron_str_of(req->principal->id);
    fields.remote = req->remote;
    fields.policy = andiron_str_of(req->granted);
    fields.policies = noted_number(req, "policies");
    fields.policy_us = noted_number(req, "policy-us");
    fields.reason = andiron_request_noted(req, "reason");
    fields.error = andiron_request_noted(req, "oauth-error");
    /* Health probes come every second; who watches the server is no news. */
    bool is_probe = req->match.route != NULL && fields.route.len >= 7 &&
                    memcmp(fields.route.data, "/health", 7) == 0;
    log_record(is_probe ? ANDIRON_LOG_DEBUG : ANDIRON_LOG_INFO, "http.request", &fields);
}

void record_request(struct andiron_request *req)
{
    struct http_loop *home = req->home;
    const struct http_metrics *metrics =
        req->match.route != NULL ? &req->match.route->metrics : &home->app->unrouted;
    int64_t now, duration;
    unsigned class;

    if (req->name != NULL) /* a job */
        return;
    now = units_monotonic();
    duration = now - req->started_us;
    class = (unsigned)req->reply.status / 100;
    stats_request(&home->stats, duration, now);
    stats_add(&home->stats.bytes_in, req->head.bytes + req->body.bytes);
    stats_add(&home->stats.bytes_out, req->reply.bytes);
    if (class < sizeof(metrics->requests) / sizeof(metrics->requests[0]) &&
        metrics->requests[class] != NULL)
        andiron_count(metrics->requests[class], 1);
    if (metrics->duration != NULL)
        andiron_observe(metrics->duration, duration);
    if (wants_line(home->settings, req->reply.status, duration) && log_enabled(ANDIRON_LOG_INFO))
        access_line(req, duration);
}

void record_refusal(struct conn *conn, int status, const char *reason)
{
    struct log_fields fields = LOG_FIELDS_NONE;
    const struct http_metrics *metrics = &conn->home->app->unrouted;

    if (metrics->requests[status / 100] != NULL)
        andiron_count(metrics->requests[status / 100], 1);
    if (conn->home->settings->access_log == HTTP_LOG_OFF || !log_enabled(ANDIRON_LOG_INFO))
        return;
    fields.status = status;
    fields.remote = andiron_str_of(conn->remote);
    fields.reason = andiron_str_of(reason);
    log_record(ANDIRON_LOG_INFO, "http.request", &fields);
}
