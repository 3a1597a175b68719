/*
 * Reading and applying the init bundle. May read files and the environment.
 */
#include "daemon/bundle.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/log.h"
#include "host/config.h"
#include "json/parse.h"

#define FAIL(err, ...) andiron_error_set((err), ANDIRON_E_INVALID, "init.bundle", __VA_ARGS__)

/* ---- filling in --------------------------------------------------------------- */

static int add_escaped(struct buffer *b, andiron_str s)
{
    int status = 0;
    for (size_t i = 0; i < s.len && status == 0; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == '"' || c == '\\' || c < 0x20)
            status = buffer_printf(b, "\\u%04x", c);
        else
            status = buffer_add(b, s.data + i, 1);
    }
    return status;
}

/* Value of "env:NAME" or "file:/path"; an absent view if it is neither. -1: err. */
static int value_of(struct andiron_arena *arena, andiron_str name, andiron_str *ret,
                    struct andiron_error *err)
{
    const char *text = andiron_copy(arena, name);
    struct andiron_error why;

    *ret = (andiron_str){ NULL, 0 };
    if (strncmp(text, "env:", 4) == 0) {
        *ret = andiron_str_of(getenv(text + 4));
        return ret->data != NULL
                   ? 0
                   : FAIL(err, "${%s}: the variable is not set in the environment", text);
    }
    if (strncmp(text, "file:/", 6) != 0)
        return 0;
    if (config_file(arena, text + 5, SECRET_FILE_MAX, ret, &why) != 0)
        return FAIL(err, "${%s}: %s", text, why.message);
    while (ret->len > 0 && (ret->data[ret->len - 1] == '\n' || ret->data[ret->len - 1] == '\r'))
        ret->len--;
    return 0;
}

/* At "${": replaces it if it is one of ours. *ret_used bytes of rest are dealt with then, else 0. */
static int fill_one(struct andiron_arena *arena, andiron_str rest, struct buffer *out,
                    size_t *ret_used, struct andiron_error *err)
{
    andiron_str value;
    const char *end = memchr(rest.data, '}', rest.len < 4096 ? rest.len : 4096);

    *ret_used = 0;
    if (end == NULL)
        return 0;
    andiron_str name = { rest.data + 2, (size_t)(end - rest.data) - 2 };
    if (value_of(arena, name, &value, err) != 0)
        return -1;
    if (value.data == NULL)
        return 0;
    *ret_used = name.len + 3;
    if (add_escaped(out, value) != 0)
        return FAIL(err, "is larger than %d bytes when filled in", BUNDLE_FILE_MAX);
    return 0;
}

int bundle_fill_in(struct andiron_arena *arena, andiron_str text, andiron_str *ret,
                   struct andiron_error *err)
{
    struct buffer out;
    bool in_string = false;
    int status = 0;

    buffer_init(&out, BUNDLE_FILE_MAX);
    for (size_t i = 0; i < text.len && status == 0;) {
        char c = text.data[i];
        size_t used = 0;
        if (c == '"')
            in_string = !in_string;
        if (in_string && c == '$' && i + 1 < text.len && text.data[i + 1] == '{')
            status =
                fill_one(arena, (andiron_str){ text.data + i, text.len - i }, &out, &used, err);
        if (status == 0 && used == 0) {
            used = in_string && c == '\\' && i + 1 < text.len ? 2 : 1; /* \" ends no string */
            if (buffer_add(&out, text.data + i, used) != 0)
                status = FAIL(err, "is larger than %d bytes when filled in", BUNDLE_FILE_MAX);
        }
        i += used;
    }
    if (status == 0)
        *ret = (andiron_str){ andiron_copy(arena, buffer_str(&out)), out.len };
    buffer_free(&out);
    return status;
}

/* ---- applying ------------------------------------------------------------------- */

/* What the thread that waits and the loop that runs share. */
struct applying {
    struct andiron_arena *arena;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
    int status;
    andiron_str body;
};

static void on_done(void *arg, int status, andiron_str body)
{
    struct applying *a = arg;
    (void)pthread_mutex_lock(&a->lock);
    a->status = status;
    a->body = (andiron_str){ andiron_copy(a->arena, body), body.len };
    a->is_over = true;
    (void)pthread_cond_signal(&a->over);
    (void)pthread_mutex_unlock(&a->lock);
}

/* "Client.secret: is too short": the first issue of an outcome, or "no reason given". */
static const char *reason_of(struct andiron_arena *arena, andiron_json outcome)
{
    andiron_json issue = andiron_json_at(andiron_json_get(outcome, "issue"), 0);
    andiron_str text = andiron_json_str(andiron_json_get(issue, "diagnostics"));
    andiron_str where = andiron_json_str(andiron_json_at(andiron_json_get(issue, "expression"), 0));

    if (text.len == 0)
        text = andiron_json_str(andiron_json_path(issue, "details.text"));
    if (text.len == 0)
        return "no reason given";
    return andiron_printf(arena, "%.*s%s%.*s", (int)where.len, where.data,
                          where.len > 0 ? ": " : "", (int)text.len, text.data);
}

static void warn_entries(struct andiron_arena *arena, andiron_json response)
{
    struct andiron_json_iter it = { .of = andiron_json_get(response, "entry") };

    for (size_t i = 0; andiron_json_next(&it); i++) {
        andiron_str status = andiron_json_str(andiron_json_path(it.value, "response.status"));
        if (status.len > 0 && status.data[0] == '2')
            continue;
        log_event(ANDIRON_LOG_WARN, "init.entry", NULL, "init.bundle: entry %zu: %.*s: %s", i,
                  (int)status.len, status.data,
                  reason_of(arena, andiron_json_path(it.value, "response.outcome")));
    }
}

static int judge(const struct applying *a, const char *path, struct andiron_error *err)
{
    static const struct json_limits limits = { .max_depth = 1000, .max_string = BUNDLE_FILE_MAX };
    andiron_json response = { NULL };

    bool is_json = json_parse(a->arena, a->body, &limits, &response, NULL) == 0;
    if (a->status >= 200 && a->status <= 299) {
        if (is_json)
            warn_entries(a->arena, response);
        return 0;
    }
    return FAIL(err, "%s was refused (%d): %s", path, a->status,
                is_json ? reason_of(a->arena, response) : "no reason given");
}

static int check_bundle(struct andiron_arena *arena, const char *path, andiron_str text,
                        struct andiron_error *err)
{
    static const struct json_limits limits = { .max_depth = 1000, .max_string = BUNDLE_FILE_MAX };
    struct andiron_error why;
    andiron_json root;

    if (json_parse(arena, text, &limits, &root, &why) != 0)
        return FAIL(err, "%s: %s: %s", path, why.where, why.message);
    andiron_str kind = andiron_json_str(andiron_json_get(root, "resourceType"));
    andiron_str type = andiron_json_str(andiron_json_get(root, "type"));
    if (!andiron_str_eq(kind, ANDIRON_STR("Bundle")) ||
        (!andiron_str_eq(type, ANDIRON_STR("transaction")) &&
         !andiron_str_eq(type, ANDIRON_STR("batch"))))
        return FAIL(err, "%s is no Bundle of type transaction or batch", path);
    return 0;
}

static int apply(struct applying *a, struct http_server *server, const struct route_table *routes,
                 const char *path, struct andiron_error *err)
{
    struct andiron_error why;
    struct route_match match;
    andiron_str text;

    route_find(routes, ROUTE_SIDE_PUBLIC, ANDIRON_STR("POST"), ANDIRON_STR("/fhir"), &match);
    if (match.route == NULL)
        return FAIL(err, "cannot be applied: no enabled plugin serves POST /fhir; run: andiron "
                         "enable fhir");
    if (config_file(a->arena, path, BUNDLE_FILE_MAX, &text, &why) != 0)
        return FAIL(err, "%s", why.message);
    if (bundle_fill_in(a->arena, text, &text, err) != 0 ||
        check_bundle(a->arena, path, text, err) != 0)
        return -1;
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("POST"),
                                   .target = ANDIRON_STR("/fhir"),
                                   .body = text,
                                   .content_type = ANDIRON_STR("application/fhir+json") };
    http_server_run(server, &inner, on_done, a);
    (void)pthread_mutex_lock(&a->lock);
    while (!a->is_over)
        (void)pthread_cond_wait(&a->over, &a->lock);
    (void)pthread_mutex_unlock(&a->lock);
    return judge(a, path, err);
}

int bundle_apply(struct http_server *server, const struct route_table *routes, const char *path,
                 struct andiron_error *err)
{
    struct applying a = { .arena = arena_new(),
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .over = PTHREAD_COND_INITIALIZER };
    int status = apply(&a, server, routes, path, err);
    arena_free(a.arena);
    return status;
}
