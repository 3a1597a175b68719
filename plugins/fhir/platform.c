#include "platform.h"

#include "text.h"

enum form { FORM_KEPT, FORM_SHOWN };

struct rewriting {
    struct text out;
    const struct resource_type *type;
    enum form form;
    char path[128]; /* of the element, member names joined by dots */
};

/* 2: path names references; 1: some path goes on below it; 0: nothing of interest. */
static int path_interest(const struct resource_type *type, const char *path)
{
    size_t len = strlen(path);
    int interest = 0;
    for (size_t i = 0; type->references != NULL && type->references[i] != NULL; i++) {
        if (strcmp(type->references[i], path) == 0)
            return 2;
        if (strncmp(type->references[i], path, len) == 0 && type->references[i][len] == '.')
            interest = 1;
    }
    return interest;
}

/* The members beside those that either form names a resource with. */
static void put_rest(struct text *out, andiron_json reference)
{
    struct andiron_json_iter it = { .of = reference };
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("reference")) ||
            andiron_str_eq(it.name, ANDIRON_STR("resourceType")) ||
            andiron_str_eq(it.name, ANDIRON_STR("id")))
            continue;
        andiron_str raw = andiron_json_raw(it.value);
        TEXT_LIT(out, ",");
        text_json(out, it.name);
        TEXT_LIT(out, ":");
        text_str(out, raw);
    }
}

/* One reference in the other form; false: it is not in the form that is to be changed. */
static bool put_reference(struct rewriting *r, andiron_json v)
{
    andiron_str type = andiron_json_str(andiron_json_get(v, "resourceType"));
    andiron_str id = andiron_json_str(andiron_json_get(v, "id"));

    if (r->form == FORM_KEPT) {
        andiron_str reference = andiron_json_str(andiron_json_get(v, "reference")), version;
        if (type.len > 0 || types_split(reference, &type, &id, &version) != 0)
            return false;
        TEXT_LIT(&r->out, "{\"resourceType\":");
        text_json(&r->out, type);
        TEXT_LIT(&r->out, ",\"id\":");
        text_json(&r->out, id);
        put_rest(&r->out, v);
    } else {
        if (type.len == 0 || id.len == 0)
            return false;
        TEXT_LIT(&r->out, "{\"reference\":\"");
        text_escaped(&r->out, type);
        TEXT_LIT(&r->out, "/");
        text_escaped(&r->out, id);
        TEXT_LIT(&r->out, "\"");
        put_rest(&r->out, v);
    }
    TEXT_LIT(&r->out, "}");
    return true;
}

static void put_value(struct rewriting *r, andiron_json v);

static void put_object(struct rewriting *r, andiron_json object)
{
    struct andiron_json_iter it = { .of = object };
    size_t len = strlen(r->path);
    bool first = true;

    TEXT_LIT(&r->out, "{");
    for (; andiron_json_next(&it); first = false) {
        if (!first)
            TEXT_LIT(&r->out, ",");
        text_json(&r->out, it.name);
        TEXT_LIT(&r->out, ":");
        if (len + it.name.len + 2 <= sizeof(r->path)) {
            size_t at = len;
            if (at > 0)
                r->path[at++] = '.';
            memcpy(r->path + at, it.name.data, it.name.len);
            r->path[at + it.name.len] = '\0';
            put_value(r, it.value);
            r->path[len] = '\0';
        } else {
            text_str(&r->out, andiron_json_raw(it.value));
        }
    }
    TEXT_LIT(&r->out, "}");
}

static void put_array(struct rewriting *r, andiron_json array)
{
    struct andiron_json_iter it = { .of = array };
    bool first = true;

    TEXT_LIT(&r->out, "[");
    for (; andiron_json_next(&it); first = false) {
        if (!first)
            TEXT_LIT(&r->out, ",");
        put_value(r, it.value);
    }
    TEXT_LIT(&r->out, "]");
}

static void put_value(struct rewriting *r, andiron_json v)
{
    enum andiron_json_type type = andiron_json_type(v);
    int interest = r->path[0] == '\0' ? 1 : path_interest(r->type, r->path);

    if (interest == 0 || (type != ANDIRON_JSON_OBJECT && type != ANDIRON_JSON_ARRAY))
        text_str(&r->out, andiron_json_raw(v));
    else if (type == ANDIRON_JSON_ARRAY)
        put_array(r, v);
    else if (interest == 2) {
        if (!put_reference(r, v))
            text_str(&r->out, andiron_json_raw(v));
    } else
        put_object(r, v);
}

static void put_member(struct rewriting *r, andiron_str name, andiron_json v)
{
    text_json(&r->out, name);
    TEXT_LIT(&r->out, ":");
    if (name.len >= sizeof(r->path)) {
        text_str(&r->out, andiron_json_raw(v));
        return;
    }
    memcpy(r->path, name.data, name.len);
    r->path[name.len] = '\0';
    put_value(r, v);
    r->path[0] = '\0';
}

andiron_str platform_kept(struct andiron_arena *arena, const struct resource_type *type,
                          andiron_str id, andiron_json resource)
{
    struct rewriting r = { .type = type, .form = FORM_KEPT };
    struct andiron_json_iter it = { .of = resource };

    text_init(&r.out, arena, andiron_json_raw(resource).len + type->str.len + id.len + 64);
    TEXT_LIT(&r.out, "{\"resourceType\":");
    text_json(&r.out, type->str);
    TEXT_LIT(&r.out, ",\"id\":");
    text_json(&r.out, id);
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("resourceType")) ||
            andiron_str_eq(it.name, ANDIRON_STR("id")))
            continue;
        TEXT_LIT(&r.out, ",");
        put_member(&r, it.name, it.value);
    }
    TEXT_LIT(&r.out, "}");
    return text_view(&r.out);
}

/* meta below /fhir: FHIR knows no createdAt, so it becomes an extension, or goes. */
static void put_meta(struct text *out, andiron_str url, andiron_json meta)
{
    struct andiron_json_iter it = { .of = meta };
    andiron_str created = andiron_json_str(andiron_json_get(meta, "createdAt"));
    bool shown = url.len > 0 && created.len > 0, first = true;

    TEXT_LIT(out, "{");
    if (shown) {
        TEXT_LIT(out, "\"extension\":[{\"url\":");
        text_json(out, url);
        TEXT_LIT(out, ",\"valueInstant\":");
        text_json(out, created);
        TEXT_LIT(out, "}]");
        first = false;
    }
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("createdAt")) ||
            (shown && andiron_str_eq(it.name, ANDIRON_STR("extension"))))
            continue;
        if (!first)
            TEXT_LIT(out, ",");
        first = false;
        text_json(out, it.name);
        TEXT_LIT(out, ":");
        text_str(out, andiron_json_raw(it.value));
    }
    TEXT_LIT(out, "}");
}

andiron_str platform_shown(struct andiron_arena *arena, const struct resource_type *type,
                           andiron_str created_at_url, andiron_json resource)
{
    struct rewriting r = { .type = type, .form = FORM_SHOWN };
    struct andiron_json_iter it = { .of = resource };
    bool first = true;

    text_init(&r.out, arena, andiron_json_raw(resource).len + created_at_url.len + 128);
    TEXT_LIT(&r.out, "{");
    for (; andiron_json_next(&it); first = false) {
        if (!first)
            TEXT_LIT(&r.out, ",");
        if (andiron_str_eq(it.name, ANDIRON_STR("meta"))) {
            TEXT_LIT(&r.out, "\"meta\":");
            put_meta(&r.out, created_at_url, it.value);
        } else {
            put_member(&r, it.name, it.value);
        }
    }
    TEXT_LIT(&r.out, "}");
    return text_view(&r.out);
}
