/*
 * struct andiron_request: its life, and what steps may ask it. The calls that answer are in
 * reply.c, those that wait in async.c.
 */
#include "http/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <andiron/log.h>
#include <event2/event.h>

#include "base/arena.h"
#include "base/current.h"
#include "base/log.h"
#include "http/body.h"
#include "http/conn.h"
#include "http/per_loop.h"
#include "http/target.h"
#include "json/parse.h"
#include "loop/pool.h"

enum { MAX_PARAMS = 4096, FREE_ON_POOL = 1024 * 1024 };

static const struct andiron_principal anonymous = { .size = sizeof(anonymous),
                                                    .kind = ANDIRON_ANONYMOUS };
const struct andiron_principal request_system = { .size = sizeof(request_system),
                                                  .kind = ANDIRON_SYSTEM,
                                                  .id = "system" };

struct andiron_request *request_new(struct http_loop *home)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_request *req = andiron_new(arena, struct andiron_request);

    req->arena = arena;
    req->home = home;
    req->stage = STAGE_RECEIVE;
    req->principal = &anonymous;
    req->deadline_ms = INT64_MAX;
    req->reply.fd = -1;
    req->next = home->requests;
    if (req->next != NULL)
        req->next->prev = req;
    home->requests = req;
    return req;
}

/* What a large request leaves behind; itself in the arena. */
struct remains {
    struct pool_job job;
    struct andiron_arena *arena;
    struct http_server *server;
    struct body body;
};

static void bury(void *arg)
{
    struct remains remains = *(const struct remains *)arg;

    body_release(&remains.body, remains.server);
    arena_free(remains.arena);
}

/* Giving pages back takes the kernel some 0.1 ms for each megabyte: a loop has no time for many. */
static void free_memory(struct andiron_request *req)
{
    struct andiron_arena *arena = req->arena;

    if (!pool_runs() || arena_bytes(arena) + req->body.gathered.cap < FREE_ON_POOL) {
        body_release(&req->body, req->home->server);
        arena_free(arena);
        return;
    }
    struct remains *remains = andiron_new(arena, struct remains);
    *remains = (struct remains){ .job = { .work = bury, .arg = remains },
                                 .arena = arena,
                                 .server = req->home->server,
                                 .body = req->body };
    arena_release(arena);
    pool_post_own(&remains->job);
}

void request_free(struct andiron_request *req)
{
    if (req->prev != NULL)
        req->prev->next = req->next;
    else
        req->home->requests = req->next;
    if (req->next != NULL)
        req->next->prev = req->prev;
    timeout_stop(&req->timeout);
    if (req->job_timer != NULL)
        event_free(req->job_timer);
    buffer_free(&req->reply.out);
    if (req->owned_in != NULL)
        input_give(req->home, req->owned_in, req->in_room, req->in_room);
    free_memory(req);
}

/* ---- what came in ----------------------------------------------------------- */

struct andiron_arena *andiron_request_arena(struct andiron_request *req)
{
    return req->arena;
}

andiron_str andiron_request_id(const struct andiron_request *req)
{
    return req->id;
}

andiron_str andiron_request_method(const struct andiron_request *req)
{
    return req->method;
}

andiron_str andiron_request_path(const struct andiron_request *req)
{
    return req->path;
}

andiron_str andiron_request_query(const struct andiron_request *req)
{
    return req->query;
}

andiron_str andiron_request_base(const struct andiron_request *req)
{
    return req->base;
}

andiron_str andiron_request_remote(const struct andiron_request *req)
{
    return req->remote;
}

/* The header fields that a struct andiron_inner stands for. */
static andiron_str presented(const struct andiron_inner *inner, size_t index, andiron_str *ret_name)
{
    static const char *const names[] = { "content-type", "if-match", "if-none-match",
                                         "if-none-exist", "if-modified-since" };
    const andiron_str values[] = { inner->body.data != NULL && inner->content_type.data == NULL
                                       ? ANDIRON_STR("application/fhir+json")
                                       : inner->content_type,
                                   inner->if_match, inner->if_none_match, inner->if_none_exist,
                                   inner->if_modified_since };

    size_t own = sizeof(names) / sizeof(names[0]);
    if (index >= own) {
        const struct andiron_inner_header *other =
            inner->headers != NULL ? &inner->headers[index - own] : NULL;
        if (other == NULL || other->name == NULL) {
            *ret_name = (andiron_str){ NULL, 0 };
            return *ret_name;
        }
        *ret_name = andiron_str_of(other->name);
        return other->value;
    }
    *ret_name = andiron_str_of(names[index]);
    return values[index];
}

bool request_header_next(const struct andiron_request *req, size_t *pos, andiron_str *ret_name,
                         andiron_str *ret_value)
{
    if (req->presented != NULL) {
        for (;;) {
            andiron_str name, value = presented(req->presented, *pos, &name);

            if (name.data == NULL)
                return false;
            ++*pos;
            if (value.data != NULL) {
                *ret_name = name;
                *ret_value = value;
                return true;
            }
        }
    }
    if (*pos >= req->head.field_count)
        return false;
    *ret_name = http_view(req->in, req->head.fields[*pos].name);
    *ret_value = http_view(req->in, req->head.fields[*pos].value);
    ++*pos;
    return true;
}

/* Joins the fields of one name that follow `first`, RFC 9110 section 5.3. */
static andiron_str join(struct andiron_request *req, andiron_str first, andiron_str name,
                        size_t pos)
{
    struct buffer joined;
    andiron_str field, value;
    bool repeated = false;

    buffer_init(&joined, INT32_MAX);
    while (request_header_next(req, &pos, &field, &value)) {
        if (!andiron_str_eq(field, name))
            continue;
        if (!repeated)
            (void)buffer_add(&joined, first.data, first.len); /* far below the maximum, as all */
        (void)buffer_add(&joined, ", ", 2);
        (void)buffer_add(&joined, value.data, value.len);
        repeated = true;
    }
    if (repeated) {
        first.len = joined.len;
        first.data = andiron_copy(req->arena, buffer_str(&joined));
    }
    buffer_free(&joined);
    return first;
}

andiron_str andiron_request_header(const struct andiron_request *req, const char *name)
{
    andiron_str wanted = andiron_str_of(name), field, value;
    size_t pos = 0;

    /* Most fields have another length, and most that are looked for are not there. */
    if (req->presented == NULL) {
        const struct http_field *fields = req->head.fields;
        while (pos < req->head.field_count &&
               (fields[pos].name.len != wanted.len ||
                memcmp(req->in + fields[pos].name.at, wanted.data, wanted.len) != 0))
            pos++;
    }
    while (request_header_next(req, &pos, &field, &value)) {
        /* Joining needs the arena, which belongs to the request though the caller only reads. */
        if (andiron_str_eq(field, wanted))
            return join((struct andiron_request *)(uintptr_t)req, value, wanted, pos);
    }
    return (andiron_str){ NULL, 0 };
}

andiron_str andiron_request_var(const struct andiron_request *req, const char *name)
{
    for (size_t i = 0; i < req->match.var_count; i++) {
        if (strcmp(req->match.vars[i].name, name) == 0)
            return req->match.vars[i].value;
    }
    return (andiron_str){ NULL, 0 };
}

const struct route_var *request_route_var(const struct andiron_request *req, size_t index)
{
    return index < req->match.var_count ? &req->match.vars[index] : NULL;
}

const char *request_bundle(const struct andiron_request *req, size_t *ret_index)
{
    if (req->presented == NULL || req->presented->bundle_type == NULL)
        return NULL;
    *ret_index = req->presented->bundle_index;
    return req->presented->bundle_type;
}

const char *request_scheme(const struct andiron_request *req)
{
    return req->base.len >= 6 && strncasecmp(req->base.data, "https:", 6) == 0 ? "https" : "http";
}

bool request_is_public(const struct andiron_request *req)
{
    return req->match.route != NULL && (req->match.route->route->flags & ANDIRON_ROUTE_PUBLIC) != 0;
}

bool request_is_oauth(const struct andiron_request *req)
{
    return req->match.oauth;
}

andiron_str request_route(const struct andiron_request *req)
{
    if (req->match.route == NULL)
        return ANDIRON_STR("");
    return andiron_str_of(req->match.route->route->pattern);
}

const char *andiron_request_operation(const struct andiron_request *req)
{
    return req->operation;
}

void andiron_request_refine_operation(struct andiron_request *req, const char *name)
{
    req->operation = name;
}

/* ---- parameters ----------------------------------------------------------------- */

static bool has_form(const struct andiron_request *req)
{
    static const char form[] = "application/x-www-form-urlencoded";
    size_t len = sizeof(form) - 1;
    andiron_str type;

    if (req->body.view.len == 0 || req->body.piecewise)
        return false;
    type = andiron_request_header(req, "content-type");
    return type.len >= len && strncasecmp(type.data, form, len) == 0 &&
           (type.len == len || type.data[len] == ';' || type.data[len] == ' ');
}

struct param_list {
    struct request_param *params;
    size_t count, room, left; /* left: how many more are allowed */
};

static int params_add(struct andiron_request *req, struct param_list *list, andiron_str text,
                      struct andiron_error *err)
{
    struct target_params walk;

    target_params_init(&walk, text, list->left);
    for (;;) {
        struct request_param param;

        switch (target_params_next(&walk, req->arena, &param.name, &param.value)) {
        case TARGET_PARAM_END:
            list->left = walk.left;
            return 0;
        case TARGET_PARAM_ERROR:
            return andiron_error_set(err, ANDIRON_E_INVALID, "", "%s", walk.reason);
        case TARGET_PARAM:
            break;
        }
        if (list->count == list->room) {
            size_t room = list->room != 0 ? 4 * list->room : 8;
            struct request_param *grown = arena_take(req->arena, room * sizeof(*grown));

            if (list->count != 0)
                memcpy(grown, list->params, list->count * sizeof(*grown));
            list->params = grown;
            list->room = room;
        }
        list->params[list->count++] = param;
    }
}

int request_params_read(struct andiron_request *req, struct andiron_error *err)
{
    struct param_list list = { .left = MAX_PARAMS };

    if (req->params_read)
        return 0;
    req->params_read = true;
    if (req->query.len != 0 && params_add(req, &list, req->query, err) != 0)
        return -1;
    if (has_form(req) && params_add(req, &list, req->body.view, err) != 0)
        return -1;
    req->params = list.params;
    req->param_count = list.count;
    return 0;
}

bool andiron_request_param(struct andiron_request *req, size_t *pos, andiron_str *ret_name,
                           andiron_str *ret_value)
{
    /*
     * Malformed parameters have been refused before AUTHORIZE; hooks that run
     * earlier see none of them.
     */
    if (request_params_read(req, NULL) != 0 || *pos >= req->param_count)
        return false;
    *ret_name = req->params[*pos].name;
    *ret_value = req->params[*pos].value;
    ++*pos;
    return true;
}

/* ---- body --------------------------------------------------------------------------- */

andiron_str andiron_request_body(const struct andiron_request *req)
{
    return req->body.view;
}

int andiron_request_json(struct andiron_request *req, andiron_json *ret)
{
    if (req->json_state == JSON_UNREAD)
        body_parse_json(req);
    if (req->json_state == JSON_BAD) {
        (void)andiron_fail_with(req, req->json_error);
        return -1;
    }
    *ret = req->json;
    return 0;
}

/* ---- who asks, and what they may do --------------------------------------------------- */

const struct andiron_principal *andiron_request_principal(const struct andiron_request *req)
{
    return req->principal;
}

void andiron_request_set_principal(struct andiron_request *req,
                                   const struct andiron_principal *principal)
{
    req->principal = principal;
}

void andiron_request_grant(struct andiron_request *req, const char *reason)
{
    req->granted = reason;
}

const char *andiron_request_granted(const struct andiron_request *req)
{
    return req->granted;
}

void andiron_request_note(struct andiron_request *req, const char *name, andiron_str value)
{
    struct request_note *note;

    for (note = req->notes; note != NULL; note = note->next) {
        if (strcmp(note->name, name) == 0) {
            note->value = value;
            return;
        }
    }
    note = andiron_new(req->arena, struct request_note);
    *note = (struct request_note){ .next = req->notes, .name = name, .value = value };
    req->notes = note;
}

andiron_str andiron_request_noted(const struct andiron_request *req, const char *name)
{
    for (const struct request_note *note = req->notes; note != NULL; note = note->next) {
        if (strcmp(note->name, name) == 0)
            return note->value;
    }
    return (andiron_str){ NULL, 0 };
}

static void add_narrowing(struct andiron_request *req, struct request_narrowing narrowing)
{
    struct request_narrowing *kept = andiron_new(req->arena, struct request_narrowing);

    *kept = narrowing;
    kept->next = req->narrowings;
    req->narrowings = kept;
}

void andiron_request_narrow(struct andiron_request *req, const char *type,
                            const char *const *any_of)
{
    add_narrowing(req, (struct request_narrowing){ .type = type, .limit = { .any_of = any_of } });
}

void andiron_request_narrow_with(struct andiron_request *req,
                                 const struct andiron_narrowing *narrowing)
{
    add_narrowing(req, (struct request_narrowing){ .with = narrowing });
}

static const struct andiron_limit *limit_of(const struct request_narrowing *n, andiron_str type,
                                            enum andiron_access access)
{
    if (n->with != NULL)
        return n->with->limit(n->with, type, access);
    bool applies = strcmp(n->type, "*") == 0 || andiron_str_eq(andiron_str_of(n->type), type);
    return applies ? &n->limit : NULL;
}

const struct andiron_limit *andiron_request_limit(const struct andiron_request *req, size_t *pos,
                                                  andiron_str type, enum andiron_access access)
{
    size_t index = 0;

    for (const struct request_narrowing *n = req->narrowings; n != NULL; n = n->next, index++) {
        const struct andiron_limit *limit = index < *pos ? NULL : limit_of(n, type, access);
        if (limit == NULL)
            continue;
        *pos = index + 1;
        return limit;
    }
    *pos = index;
    return NULL;
}

const char *const *andiron_request_narrowing(const struct andiron_request *req, size_t *pos,
                                             andiron_str type)
{
    const struct andiron_limit *limit =
        andiron_request_limit(req, pos, type, ANDIRON_ACCESS_SEARCH);
    return limit != NULL ? limit->any_of : NULL;
}

/* ---- loop, deadline, log ------------------------------------------------------------------ */

struct andiron_loop *andiron_request_loop(const struct andiron_request *req)
{
    return req->home != NULL ? req->home->loop : NULL;
}

int64_t andiron_request_time_left(const struct andiron_request *req)
{
    while (req->parent != NULL)
        req = req->parent;
    if (req->deadline_ms == INT64_MAX) {
        /* Bulk transfers have no deadline; what they call must still end some day. */
        return req->home->settings->request_timeout > 0 ? req->home->settings->request_timeout
                                                        : INT32_MAX;
    }
    return req->deadline_ms > timeouts_now() ? req->deadline_ms - timeouts_now() : 0;
}

void andiron_request_log(struct andiron_request *req, enum andiron_level level, const char *event,
                         const char *fmt, ...)
{
    struct log_fields fields = LOG_FIELDS_NONE;
    const struct andiron_request *root = request_root(req);
    va_list args;

    if (!log_enabled(level))
        return;
    fields.plugin = current.plugin;
    if (fields.plugin == NULL && req->then_owner != NULL)
        fields.plugin = req->then_owner->name;
    fields.request_id = root->id;
    fields.trace_id = root->trace_id;
    if (root->stage == STAGE_JOB)
        fields.route = andiron_str_of(root->name);
    va_start(args, fmt);
    log_vevent(level, event, &fields, fmt, args);
    va_end(args);
}
