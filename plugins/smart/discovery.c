/*
 * Putting smart-configuration together. Uses the services discovery/1 and JSON.
 */
#include "discovery.h"

enum { DOCUMENT_MAX = 64 * 1024, SOURCES_MAX = 64, MEMBERS_MAX = 64 };

/* What smart itself adds: the grammar of scopes that it understands, and S256 (required, never plain). */
static const char own[] =
    "{\"code_challenge_methods_supported\":[\"S256\"],"
    "\"scopes_supported\":[\"system/*.cruds\",\"system/*.rs\",\"system/*.read\",\"system/*.write\","
    "\"system/*.*\"],\"capabilities\":[\"permission-v1\",\"permission-v2\"]}";

struct discovery {
    struct andiron_service_ref sources[SOURCES_MAX];
    const char *names[SOURCES_MAX];
    size_t source_count;
    andiron_str base, document; /* absent: base-url is not configured */
};

/* A member of the document, and the values that plugins gave for it. */
struct member {
    andiron_str name;
    andiron_json values[SOURCES_MAX + 1];
    size_t count;
    const char *from; /* the plugin that set it first */
};

static int add_member(struct member *members, size_t *count, andiron_str name, andiron_json value,
                      const char *from, struct andiron_error *err)
{
    for (size_t i = 0; i < *count; i++) {
        struct member *m = &members[i];
        if (!andiron_str_eq(m->name, name))
            continue;
        if (andiron_json_type(m->values[0]) != ANDIRON_JSON_ARRAY ||
            andiron_json_type(value) != ANDIRON_JSON_ARRAY)
            return andiron_error_set(err, ANDIRON_E_CONFLICT, "smart-configuration",
                                     "\"%.*s\" is set by %s and by %s; only arrays are joined",
                                     (int)name.len, name.data, m->from, from);
        m->values[m->count++] = value;
        return 0;
    }
    if (*count == MEMBERS_MAX)
        return andiron_error_set(err, ANDIRON_E_CONFLICT, "smart-configuration",
                                 "more than %d members", MEMBERS_MAX);
    members[(*count)++] =
        (struct member){ .name = name, .values = { value }, .count = 1, .from = from };
    return 0;
}

/* Whether an equal value stands before v, which is an element of values[upto]. */
static bool stands_before(const struct member *m, size_t upto, andiron_json v)
{
    for (size_t i = 0; i <= upto; i++) {
        struct andiron_json_iter it = { .of = m->values[i] };
        while (andiron_json_next(&it)) {
            if (i == upto && andiron_json_raw(it.value).data == andiron_json_raw(v).data)
                return false;
            if (andiron_json_equal(it.value, v))
                return true;
        }
    }
    return false;
}

/* Arrays joined, each value once, in plugin order. */
static void put_member(struct andiron_json_writer *w, struct andiron_arena *arena,
                       const struct member *m)
{
    if (andiron_json_type(m->values[0]) != ANDIRON_JSON_ARRAY) {
        andiron_json_put_member(w, m->name, m->values[0]);
        return;
    }
    andiron_json_put_array(w, andiron_copy(arena, m->name));
    for (size_t i = 0; i < m->count; i++) {
        struct andiron_json_iter it = { .of = m->values[i] };
        while (andiron_json_next(&it))
            if (!stands_before(m, i, it.value))
                andiron_json_put(w, NULL, it.value);
    }
    andiron_json_put_end(w);
}

static int add_document(struct andiron_arena *arena, andiron_str text, const char *from,
                        struct member *members, size_t *count, struct andiron_error *err)
{
    andiron_json doc;
    if (text.data == NULL)
        return 0;
    if (andiron_json_parse(arena, text, &doc, err) != 0)
        return -1;
    struct andiron_json_iter it = { .of = doc };
    while (andiron_json_next(&it))
        if (add_member(members, count, it.name, it.value, from, err) != 0)
            return -1;
    return 0;
}

static int assemble(const struct discovery *d, struct andiron_arena *arena, andiron_str base,
                    andiron_str *ret, struct andiron_error *err)
{
    struct member *members = andiron_alloc(arena, MEMBERS_MAX * sizeof(*members));
    size_t count = 0;

    for (size_t i = 0; i < d->source_count; i++) {
        const struct andiron_discovery *source = d->sources[i].table;
        if (source->smart_configuration == NULL)
            continue;
        andiron_str text = source->smart_configuration(d->sources[i].self, arena, base);
        if (add_document(arena, text, d->names[i], members, &count, err) != 0)
            return -1;
    }
    if (add_document(arena, ANDIRON_STR(own), "smart", members, &count, err) != 0)
        return -1;

    struct andiron_json_writer *w = andiron_json_write(arena, DOCUMENT_MAX);
    andiron_json_put_object(w, NULL);
    for (size_t i = 0; i < count; i++)
        put_member(w, arena, &members[i]);
    andiron_json_put_end(w);
    *ret = andiron_json_written(w);
    if (ret->data == NULL)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "smart-configuration",
                                 "larger than %d bytes", DOCUMENT_MAX);
    return 0;
}

struct discovery *discovery_new(struct andiron_host *host, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    struct discovery *d = andiron_new(arena, struct discovery);
    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0;

    while (andiron_service_find(host, ANDIRON_DISCOVERY, &pos, &ref, &name)) {
        if (d->source_count == SOURCES_MAX) {
            (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "",
                                    "more than %d plugins describe themselves", SOURCES_MAX);
            return NULL;
        }
        d->names[d->source_count] = name;
        d->sources[d->source_count++] = ref;
    }
    const char *base = andiron_host_setting(host, "http.base-url");
    d->base = andiron_str_of(base != NULL && base[0] != '\0' ? base : NULL);
    /* Also without a base-url it is put together once here: a contradiction must stop the start. */
    andiron_str document;
    andiron_str probe = d->base.data != NULL ? d->base : ANDIRON_STR("http://localhost");
    if (assemble(d, arena, probe, &document, err) != 0)
        return NULL;
    if (d->base.data != NULL)
        d->document = document;
    return d;
}

enum andiron_step discovery_serve(const struct discovery *d, struct andiron_request *req)
{
    andiron_str document = d->document;
    struct andiron_error err;

    if (!andiron_str_eq(andiron_request_base(req), d->base) &&
        assemble(d, andiron_request_arena(req), andiron_request_base(req), &document, &err) != 0)
        return andiron_fail_with(req, &err);
    andiron_reply_header(req, "Access-Control-Allow-Origin", ANDIRON_STR("*"));
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("public, max-age=300"));
    return andiron_reply(req, 200, "application/json", document);
}
