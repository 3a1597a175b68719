/*
 * Looks at routes, notes and answers only: who wrote them need not know of audits.
 */
#include "event.h"

#include <stdlib.h>

enum { FIELD_MAX = 256 };

static bool is(andiron_str text, const char *word)
{
    return andiron_str_eq(text, andiron_str_of(word));
}

static bool begins(andiron_str text, andiron_str with)
{
    return text.len >= with.len && memcmp(text.data, with.data, with.len) == 0;
}

static bool is_platform(const struct audit *audit, andiron_str type)
{
    for (size_t i = 0; audit->platform_types[i] != NULL; i++)
        if (is(type, audit->platform_types[i]))
            return true;
    return false;
}

static bool is_named(const char *operation, const char *const *names)
{
    for (; operation != NULL && *names != NULL; names++)
        if (strcmp(operation, *names) == 0)
            return true;
    return false;
}

/* Commands that change nothing. */
static bool only_looks(andiron_str path)
{
    return is(path, "/control/check") || is(path, "/control/audit/verify");
}

/* ---- which kind --------------------------------------------------------------------------- */

enum audit_kind event_kind(const struct audit *audit, const struct andiron_request *req)
{
    static const char *const changes[] = { "Revoke", "EndSession", "RotateKeys", NULL };
    static const char *const exports[] = { "FhirExport", "FhirExportFile", "FhirExportStream",
                                           NULL };
    static const char *const questions[] = { "Search", "FhirSearch", NULL };
    const char *operation = andiron_request_operation(req);
    andiron_str method = andiron_request_method(req), path = andiron_request_path(req);
    bool reads = is(method, "GET") || is(method, "OPTIONS");

    if (operation != NULL && strcmp(operation, "Token") == 0)
        return AUDIT_TOKEN;
    if (is_named(operation, exports))
        return AUDIT_EXPORT;
    if (operation != NULL && strcmp(operation, "FhirImport") == 0)
        return AUDIT_IMPORT;
    if (!reads && (begins(path, ANDIRON_STR("/control/")) || is_named(operation, changes)))
        return only_looks(path) ? AUDIT_ACCESS : AUDIT_CHANGE;
    andiron_str type = andiron_request_var(req, "type");
    if (!reads && type.len > 0 && is_platform(audit, type) && !is_named(operation, questions))
        return AUDIT_CHANGE;
    return AUDIT_ACCESS;
}

static bool is_written_access(const struct andiron_request *req)
{
    const char *operation = andiron_request_operation(req);
    return !is(andiron_request_method(req), "GET") && operation != NULL &&
           strstr(operation, "Search") == NULL;
}

enum audit_kind event_kind_answered(const struct audit *audit, const struct andiron_request *req)
{
    int status = andiron_reply_status(req);
    enum audit_kind kind = event_kind(audit, req);

    if (kind == AUDIT_TOKEN)
        return kind;
    if (status == 401 || status == 403)
        return AUDIT_DENIED;
    if ((kind == AUDIT_EXPORT && status < 400) || kind == AUDIT_IMPORT)
        return kind;
    if (kind == AUDIT_CHANGE && status > 0 && status < 400)
        return kind;
    /* Probes and what is served to everybody have no operation, or are asked every second. */
    if (audit->config->accesses == ACCESSES_OFF || andiron_request_operation(req) == NULL ||
        andiron_request_principal(req)->kind == ANDIRON_ANONYMOUS)
        return AUDIT_NOTHING;
    return audit->config->accesses == ACCESSES_ALL || is_written_access(req) ? AUDIT_ACCESS
                                                                             : AUDIT_NOTHING;
}

/* ---- what is kept ------------------------------------------------------------------------- */

struct copying {
    char *at;
};

static andiron_str cut(andiron_str text)
{
    return (andiron_str){ text.data, text.len < FIELD_MAX ? text.len : FIELD_MAX };
}

static andiron_str keep(struct copying *c, andiron_str text)
{
    if (text.len == 0)
        return (andiron_str){ NULL, 0 };
    andiron_str kept = { c->at, text.len };
    memcpy(c->at, text.data, text.len);
    c->at += text.len;
    return kept;
}

/* Where a create put the resource: ".../Client/lab/_history/1". */
static andiron_str id_of(const struct andiron_request *req)
{
    andiron_str id = andiron_request_var(req, "id"), location;
    if (id.len > 0)
        return id;
    location = andiron_replied_header(req, "Location");
    andiron_str type = andiron_request_var(req, "type");
    for (size_t i = 0; type.len > 0 && i + type.len + 1 < location.len; i++) {
        const char *at = location.data + i;
        if (*at != '/' || memcmp(at + 1, type.data, type.len) != 0 || at[type.len + 1] != '/')
            continue;
        id.data = at + type.len + 2;
        for (const char *end = location.data + location.len;
             id.data + id.len < end && id.data[id.len] != '/'; id.len++)
            continue;
    }
    return id;
}

struct audit_event *event_of(const struct andiron_request *req, enum audit_kind kind, int status)
{
    const struct andiron_principal *principal = andiron_request_principal(req);
    andiron_str noted = andiron_request_noted(req, "policy");
    andiron_str error = andiron_request_noted(req, "oauth-error");
    const char *granted = andiron_request_granted(req);
    andiron_str who = andiron_str_of(principal->id);
    andiron_str fields[] = {
        cut(andiron_request_id(req)),
        cut(andiron_request_method(req)),
        cut(andiron_request_path(req)),
        cut(andiron_request_var(req, "type")),
        cut(id_of(req)),
        cut(who.len > 0 ? who : andiron_request_noted(req, "client")),
        cut(andiron_request_remote(req)),
        cut(granted != NULL ? andiron_str_of(granted) : noted),
        cut(error.len > 0 ? error : andiron_request_noted(req, "reason")),
    };
    enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };
    size_t bytes = 0;
    for (size_t i = 0; i < FIELDS; i++)
        bytes += fields[i].len;
    struct audit_event *event = malloc(sizeof(*event) + bytes);
    if (event == NULL)
        abort(); /* as an arena does: a worker without memory ends and is restarted */
    *event = (struct audit_event){ .at = andiron_now(),
                                   .kind = kind,
                                   .status = status,
                                   .is_user = principal->kind == ANDIRON_USER,
                                   .operation = andiron_request_operation(req) };
    struct copying c = { event->text };
    andiron_str *kept[FIELDS] = { &event->request_id, &event->method, &event->path,
                                  &event->type,       &event->id,     &event->principal,
                                  &event->remote,     &event->policy, &event->reason };
    for (size_t i = 0; i < FIELDS; i++)
        *kept[i] = keep(&c, fields[i]);
    return event;
}

struct audit_event *event_of_count(enum audit_kind kind, int64_t count)
{
    struct audit_event *event = calloc(1, sizeof(*event));
    if (event == NULL)
        abort(); /* likewise */
    event->at = andiron_now();
    event->kind = kind;
    event->count = count;
    event->status = 200;
    return event;
}

void event_drop(struct audit_event *event)
{
    free(event);
}
