/*
 * Plugin audit: AuditEvents of what matters, chained by hashes.
 *
 * Hooks look at requests and queue events; writer.c stores them. Changes of platform types and keys
 * are answered only when their event is stored.
 */
#include "audit.h"

#include <stdlib.h>

#include "event.h"
#include "queue.h"
#include "retention.h"
#include "verify.h"
#include "writer.h"

#define IN_CONFIG(member) offsetof(struct config, member)

static const char *const accesses[] = { "off", "writes", "all", NULL };
static const char *const on_failure[] = { "refuse-changes", "refuse", "continue", NULL };

static const struct andiron_directive directives[] = {
    { .name = "accesses",
      .type = ANDIRON_CHOICE,
      .offset = IN_CONFIG(accesses),
      .fallback = "off",
      .choices = accesses,
      .help = "also record requests that were let through" },
    { .name = "on-failure",
      .type = ANDIRON_CHOICE,
      .offset = IN_CONFIG(on_failure),
      .fallback = "refuse-changes",
      .choices = on_failure,
      .help = "what becomes of requests while events cannot be written: changes get 503, all that "
              "would be recorded get 503, or all goes on" },
    { .name = "delay",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(delay),
      .fallback = "100ms",
      .min = 1,
      .max = 10000,
      .help = "how long an event waits for others to be written with" },
    { .name = "queue",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(queue),
      .fallback = "8192",
      .min = 16,
      .max = 1048576,
      .help = "most events that wait to be written; others are lost and counted" },
    { .name = "max-refusals",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(max_refusals),
      .fallback = "500",
      .min = 1,
      .max = 100000,
      .help = "refusals that are recorded singly, for each second; others are counted in one event" },
    { .name = "keep",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(keep),
      .fallback = "0s",
      .min = 0,
      .max = 3153600000000,
      .help = "how old events become before they are forgotten; 0: never" },
    { .name = "chain-key",
      .type = ANDIRON_SECRET,
      .offset = IN_CONFIG(chain_key),
      .fallback = "",
      .help = "keys the hash chain, so that who writes the database cannot make a new one" },
    { .name = NULL },
};

/* ---- entries of Bundles --------------------------------------------------------------------- */

/*
 * A change that has been granted. That of a Bundle's entry is recorded with the Bundle, if that is
 * done; entries are inner requests, and only AUTHORIZE sees them.
 */
struct granted {
    struct granted *next;
    struct audit_event *event;
};

/* Of each loop: what was granted and is not answered yet. */
struct local {
    struct granted *first;
};

static struct local *local_of(const struct andiron_request *req, const struct audit *audit)
{
    struct andiron_loop *loop = andiron_request_loop(req);
    return loop != NULL ? andiron_loop_state(loop, audit) : NULL;
}

static void note_granted(struct andiron_request *req, const struct audit *audit)
{
    struct local *local = local_of(req, audit);
    struct granted *granted = local != NULL ? malloc(sizeof(*granted)) : NULL;
    if (granted == NULL)
        return;
    *granted = (struct granted){ local->first, event_of(req, AUDIT_CHANGE, 200) };
    local->first = granted;
}

/* What was granted under the request's id, oldest first. */
static struct audit_event *take_granted(struct andiron_request *req, const struct audit *audit)
{
    struct local *local = local_of(req, audit);
    struct audit_event *events = NULL;
    if (local == NULL)
        return NULL;
    for (struct granted **at = &local->first; *at != NULL;) {
        struct granted *granted = *at;
        if (!andiron_str_eq(granted->event->request_id, andiron_request_id(req))) {
            at = &granted->next;
            continue;
        }
        *at = granted->next;
        granted->event->next = events;
        events = granted->event;
        free(granted);
    }
    return events;
}

static void drop_all(struct audit_event *events)
{
    struct audit_event *next;
    for (; events != NULL; events = next) {
        next = events->next;
        event_drop(events);
    }
}

/* ---- requests ----------------------------------------------------------------------------- */

/* The init bundle and jobs; not commands on the control socket. */
static bool is_system(const struct andiron_request *req)
{
    static const andiron_str control = { "/control/", 9 };
    andiron_str path = andiron_request_path(req);
    return andiron_request_principal(req)->kind == ANDIRON_SYSTEM &&
           (path.len < control.len || memcmp(path.data, control.data, control.len) != 0);
}

static enum andiron_step receive(struct andiron_request *req, void *self)
{
    const struct audit *audit = self;
    if (audit->config->on_failure == FAILURE_CONTINUE || !atomic_load(&audit->is_failing) ||
        is_system(req))
        return ANDIRON_NEXT;
    enum audit_kind kind = event_kind(audit, req);
    bool refuses = audit->config->on_failure == FAILURE_REFUSE
                       ? kind != AUDIT_ACCESS || audit->config->accesses != ACCESSES_OFF
                       : kind == AUDIT_CHANGE;
    if (!refuses)
        return ANDIRON_NEXT;
    andiron_reply_header(req, "Retry-After", ANDIRON_STR("1"));
    return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                        "audit events cannot be written at present, so this is not done; see "
                        "audit.unwritten in the log and [plugin audit] on-failure");
}

/* The server's own events are read-only, and nothing for tokens that are limited by scopes (SC-12). */
static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    struct audit *audit = self;
    if (is_system(req))
        return ANDIRON_NEXT;
    if (andiron_request_principal(req)->scopes != NULL)
        andiron_request_narrow_with(req, &audit->narrowing_scoped);
    else if (andiron_str_eq(andiron_request_var(req, "type"), ANDIRON_STR(AUDIT_TYPE)))
        andiron_request_narrow_with(req, &audit->narrowing);
    if (andiron_request_granted(req) != NULL && event_kind(audit, req) == AUDIT_CHANGE)
        note_granted(req, audit);
    return ANDIRON_NEXT;
}

static enum andiron_step recorded(struct andiron_request *req, void *state)
{
    const bool *failed = state;
    if (*failed)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                            "this was done, but could not be recorded; see audit.unwritten in the "
                            "log");
    return ANDIRON_NEXT;
}

/* The changes that a request made: its own, or those of a Bundle's entries. */
static struct audit_event *changes_of(struct andiron_request *req, struct audit *audit)
{
    const char *operation = andiron_request_operation(req);
    int status = andiron_reply_status(req);
    if (operation != NULL && strcmp(operation, "FhirTransaction") == 0 && status == 200)
        return take_granted(req, audit);
    return event_kind_answered(audit, req) == AUDIT_CHANGE ? event_of(req, AUDIT_CHANGE, status)
                                                           : NULL;
}

/* Where something was changed the answer waits until that is recorded. */
static enum andiron_step respond(struct andiron_request *req, void *self)
{
    struct audit *audit = self;
    struct audit_event *next, *event = is_system(req) ? NULL : changes_of(req, audit);
    bool *failed, taken = true;

    if (event == NULL)
        return ANDIRON_NEXT;
    andiron_request_note(req, "audit", ANDIRON_STR("recorded"));
    for (; (next = event->next) != NULL; event = next)
        (void)audit_queue_put(audit->queue, event);
    if (audit->config->on_failure == FAILURE_CONTINUE) {
        (void)audit_queue_put(audit->queue, event);
        return ANDIRON_NEXT;
    }
    failed = andiron_new(andiron_request_arena(req), bool);
    event->waits = req;
    event->ret_failed = failed;
    enum andiron_step step = andiron_wait(req, recorded, failed);
    taken = audit_queue_put(audit->queue, event);
    if (!taken) {
        *failed = true;
        andiron_resume(req);
    }
    return step;
}

static enum andiron_step answered(struct andiron_request *req, void *self)
{
    struct audit *audit = self;
    if (is_system(req))
        return ANDIRON_NEXT;
    drop_all(take_granted(req, audit));
    if (andiron_request_noted(req, "audit").data != NULL)
        return ANDIRON_NEXT;
    enum audit_kind kind = event_kind_answered(audit, req);
    if (kind != AUDIT_NOTHING)
        (void)audit_queue_put(audit->queue, event_of(req, kind, andiron_reply_status(req)));
    return ANDIRON_NEXT;
}

static const struct andiron_hook hooks[] = {
    { ANDIRON_PHASE_RECEIVE, receive },
    { ANDIRON_PHASE_AUTHORIZE, authorize },
    { ANDIRON_PHASE_RESPOND, respond },
    { ANDIRON_PHASE_LOG, answered },
    { 0, NULL },
};

/* ---- what of AuditEvents may be seen and written -------------------------------------------- */

static const char *const not_ours[] = { "_tag:not=" AUDIT_TAG_SYSTEM "|" AUDIT_TAG_CODE, NULL };

static bool is_audit_event(andiron_str type)
{
    return andiron_str_eq(type, ANDIRON_STR(AUDIT_TYPE));
}

static const struct andiron_limit *limit_writes(const struct andiron_narrowing *self,
                                                andiron_str type, enum andiron_access access)
{
    const struct audit *audit =
        (const void *)((const char *)self - offsetof(struct audit, narrowing));
    return is_audit_event(type) && access >= ANDIRON_ACCESS_CREATE ? &audit->not_ours : NULL;
}

static const struct andiron_limit *limit_all(const struct andiron_narrowing *self, andiron_str type,
                                             enum andiron_access access)
{
    const struct audit *audit =
        (const void *)((const char *)self - offsetof(struct audit, narrowing_scoped));
    (void)access;
    return is_audit_event(type) ? &audit->not_ours : NULL;
}

/* ---- life --------------------------------------------------------------------------------- */

static double is_failing(void *self)
{
    const struct audit *audit = self;
    return atomic_load(&audit->is_failing) ? 1 : 0;
}

static int check_health(void *self, struct andiron_error *err)
{
    const struct audit *audit = self;
    if (!atomic_load(&audit->is_failing) || audit->config->on_failure == FAILURE_CONTINUE)
        return 0;
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "audit events cannot be written");
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    static const char *const kinds[] = {
        NULL,
        "kind=\"token\"",
        "kind=\"denied\"",
        "kind=\"change\"",
        "kind=\"export\"",
        "kind=\"import\"",
        "kind=\"access\"",
        "kind=\"lost\"",
        "kind=\"forgotten\"",
    };
    struct audit *audit = andiron_new(andiron_host_arena(host), struct audit);
    (void)err;

    audit->host = host;
    audit->config = config;
    for (size_t i = 1; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        audit->recorded[i] = andiron_counter(host, "andiron_audit_events_total", kinds[i],
                                             "Audit events that were stored");
    audit->lost = andiron_counter(host, "andiron_audit_lost_total", NULL,
                                  "Audit events that were only counted");
    andiron_gauge(host, "andiron_audit_failing", NULL, "Whether audit events cannot be written",
                  is_failing, audit);
    audit->queue = audit_queue_new(audit);
    audit->writer = audit_writer_new(audit);
    audit->retention = audit_retention_new(audit);
    audit->not_ours = (struct andiron_limit){ .any_of = not_ours };
    audit->narrowing =
        (struct andiron_narrowing){ .size = sizeof(audit->narrowing), .limit = limit_writes };
    audit->narrowing_scoped =
        (struct andiron_narrowing){ .size = sizeof(audit->narrowing_scoped), .limit = limit_all };
    *ret_self = audit;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    static const size_t kind_len = sizeof(ANDIRON_RESOURCE_TYPE) - 1;
    struct audit *audit = self;
    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0, count = 0;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &audit->store, NULL) ||
        !andiron_service_find(host, ANDIRON_SEARCH, NULL, &audit->search, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "a needed service is missing");
    while (count < PLATFORM_TYPES_MAX &&
           andiron_service_find(host, ANDIRON_RESOURCE_TYPE, &pos, &ref, &name))
        audit->platform_types[count++] = name + kind_len;
    audit->loop = andiron_host_loop(host, 0);
    return 0;
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct audit *audit = self;
    struct local *local = calloc(1, sizeof(*local));
    if (local == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    *ret_local = local;
    if (loop != audit->loop)
        return 0;
    return audit_writer_start(audit->writer, loop, err) != 0
               ? -1
               : audit_retention_start(audit->retention, loop, err);
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    struct audit *audit = self;
    struct local *of_loop = local;
    struct granted *next;

    for (struct granted *g = of_loop->first; g != NULL; g = next) {
        next = g->next;
        event_drop(g->event);
        free(g);
    }
    free(of_loop);
    if (loop != audit->loop)
        return;
    audit_writer_stop(audit->writer);
    audit_retention_stop(audit->retention);
}

static void stop(void *self)
{
    struct audit *audit = self;
    audit_queue_free(audit->queue);
}

static const struct andiron_route routes[] = {
    { .method = "POST",
      .pattern = "/control/audit/verify",
      .handle = audit_verify,
      .flags = ANDIRON_ROUTE_CONTROL | ANDIRON_ROUTE_STREAM },
    { .method = NULL },
};

static const struct andiron_health health = { .size = sizeof(health), .check = check_health };
static const struct andiron_service provides[] = { { ANDIRON_HEALTH "audit", &health },
                                                   { NULL, NULL } };
static const char *const needs[] = { ANDIRON_STORE, ANDIRON_SEARCH, NULL };
static const char *const wants[] = { ANDIRON_RESOURCE_TYPE, NULL };

ANDIRON_PLUGIN(.name = "audit", .version = "0.1.0",
               .summary = "AuditEvents of tokens, refusals, changes and exports",
               .directives = directives, .config_size = sizeof(struct config), .provides = provides,
               .needs = needs, .wants = wants, .routes = routes, .hooks = hooks, .init = init,
               .start = start, .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
