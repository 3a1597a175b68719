/*
 * $meta of a type, and of all types: profiles, tags and security labels that are in use there.
 *
 *   begin -> looked -> judged, for each value of what the request is narrowed to -> answer
 *
 * The store knows the values by its index. Where the request may see all of a type, they are those of
 * the resources that the store shows; elsewhere each is searched for as the request may search, and
 * only what is found counts.
 */
#include "meta.h"

#include <stdlib.h>

#include "access.h"
#include "operation.h"
#include "searchset.h"
#include "text.h"

enum kind { PROFILE, SECURITY, TAG, KINDS };

static const struct {
    const char *member, *param;
} kinds[KINDS] = {
    [PROFILE] = { "profile", "_profile" },
    [SECURITY] = { "security", "_security" },
    [TAG] = { "tag", "_tag" },
};

struct value {
    enum kind kind;
    const struct resource_type *type; /* of a question */
    andiron_str system, code;         /* code: of a profile its URL */
    andiron_str raw;
};

struct values {
    struct value *list;
    size_t count, room;
};

struct use {
    const struct fhir *fhir;
    struct andiron_request *req;
    struct wanted wanted;
    const char **types; /* NULL-terminated */
    struct values found, questions;
    struct andiron_visitor visitor;
    struct andiron_rows rows;
    size_t at; /* question */
    struct andiron_query query;
};

/* ---- gathering --------------------------------------------------------------------------- */

static bool is_same(const struct value *a, const struct value *b)
{
    return a->kind == b->kind && a->type == b->type && andiron_str_eq(a->code, b->code) &&
           andiron_str_eq(a->system, b->system);
}

static bool has(const struct values *values, const struct value *v)
{
    for (size_t i = 0; i < values->count; i++)
        if (is_same(&values->list[i], v))
            return true;
    return false;
}

static andiron_str kept(struct andiron_arena *arena, andiron_str s)
{
    return s.data != NULL ? (andiron_str){ andiron_copy(arena, s), s.len } : s;
}

static void add(struct use *u, struct values *values, struct value v)
{
    struct andiron_arena *arena = andiron_request_arena(u->req);

    if (has(values, &v))
        return;
    if (values->count == values->room) {
        size_t room = values->room * 2 + 16;
        struct value *list = andiron_alloc(arena, room * sizeof(list[0]));
        if (values->count > 0)
            memcpy(list, values->list, values->count * sizeof(list[0]));
        values->list = list;
        values->room = room;
    }
    v.system = kept(arena, v.system);
    v.code = kept(arena, v.code);
    v.raw = kept(arena, v.raw);
    values->list[values->count++] = v;
}

/* All that a resource's meta says; of a type, as questions. */
static void add_meta(struct use *u, andiron_str body, const struct resource_type *type)
{
    struct andiron_arena *scratch = andiron_arena_new(0);
    struct andiron_error err;
    andiron_json resource;

    if (andiron_json_parse(scratch, body, &resource, &err) != 0)
        goto out; /* not in a store of ours; nobody is helped by failing all the rest */
    andiron_json meta = andiron_json_get(resource, "meta");
    for (int kind = 0; kind < KINDS; kind++) {
        andiron_json list = andiron_json_get(meta, kinds[kind].member);
        struct andiron_json_iter it = { .of = list };
        while (andiron_json_type(list) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
            bool is_url = kind == PROFILE;
            struct value v = {
                .kind = (enum kind)kind,
                .type = type,
                .system = is_url ? (andiron_str){ NULL, 0 }
                                 : andiron_json_str(andiron_json_get(it.value, "system")),
                .code = andiron_json_str(is_url ? it.value : andiron_json_get(it.value, "code")),
                .raw = andiron_json_raw(it.value),
            };
            if (v.system.len > 0 || v.code.len > 0)
                add(u, type != NULL ? &u->questions : &u->found, v);
        }
    }
out:
    andiron_arena_free(scratch);
}

/* On the store's thread, while the request waits. */
static bool see_row(void *state, const struct andiron_row *row)
{
    struct use *u = state;
    const struct resource_type *type = types_find(u->fhir->types, row->ref.type);

    if (type != NULL)
        add_meta(u, row->body, access_is_narrowed(u->req, type, ANDIRON_ACCESS_SEE) ? type : NULL);
    return true;
}

/* ---- answer ------------------------------------------------------------------------------- */

static int compare_text(andiron_str a, andiron_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int compare(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    int order = (int)x->kind - (int)y->kind;
    if (order == 0)
        order = compare_text(x->system, y->system);
    return order != 0 ? order : compare_text(x->code, y->code);
}

static enum andiron_step answer(struct andiron_request *req, struct use *u)
{
    const struct values *found = &u->found;
    struct text t;

    if (found->count == 0) /* a value must not be empty */
        return answer_json(req, &u->wanted, 200, ANDIRON_STR("{\"resourceType\":\"Parameters\"}"));
    qsort(found->list, found->count, sizeof(found->list[0]), compare);
    text_init(&t, andiron_request_arena(req), 256 + found->count * 64);
    TEXT_LIT(&t, "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"return\","
                 "\"valueMeta\":{");
    for (size_t i = 0; i < found->count; i++) {
        const struct value *v = &found->list[i];
        if (i > 0 && v[-1].kind == v->kind) {
            TEXT_LIT(&t, ",");
        } else {
            if (i > 0)
                TEXT_LIT(&t, "],");
            text_json(&t, andiron_str_of(kinds[v->kind].member));
            TEXT_LIT(&t, ":[");
        }
        text_str(&t, v->raw);
    }
    TEXT_LIT(&t, "]}}]}");
    return answer_json(req, &u->wanted, 200, text_view(&t));
}

/* ---- what a narrowed request may see -------------------------------------------------------- */

static void put_escaped(struct text *t, andiron_str s, const char *special)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] != '\0' && strchr(special, s.data[i]) != NULL)
            TEXT_LIT(t, "\\");
        text_add(t, &s.data[i], 1);
    }
}

/* "_tag=http%3A%2F%2Fa%7Cb" */
static andiron_str criteria_of(struct andiron_arena *arena, const struct value *v)
{
    struct text plain, t;

    text_init(&plain, arena, v->system.len + v->code.len + 16);
    if (v->kind == PROFILE) {
        put_escaped(&plain, v->code, "\\,$");
    } else {
        put_escaped(&plain, v->system, "\\,$|");
        TEXT_LIT(&plain, "|");
        put_escaped(&plain, v->code, "\\,$|");
    }
    text_init(&t, arena, plain.len * 3 + 16);
    text_str(&t, andiron_str_of(kinds[v->kind].param));
    TEXT_LIT(&t, "=");
    links_encode(&t, text_view(&plain));
    return text_view(&t);
}

static enum andiron_step ask(struct andiron_request *req, void *state);

static enum andiron_step judged(struct andiron_request *req, void *state)
{
    struct use *u = state;

    if (u->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &u->rows.error);
    if (u->rows.count == 0 && u->rows.cursor.data != NULL)
        return andiron_fail(req, ANDIRON_E_UNPROCESSABLE,
                            "finding out what is in use takes too long; ask single resources");
    if (u->rows.count > 0)
        add_meta(u, u->rows.rows[0].body, NULL);
    return ask(req, u);
}

static enum andiron_step ask(struct andiron_request *req, void *state)
{
    struct use *u = state;
    struct andiron_error err;

    while (u->at < u->questions.count) {
        struct value v = u->questions.list[u->at++];
        const struct resource_type *type = v.type;
        v.type = NULL;
        if (has(&u->found, &v))
            continue;
        u->query = (struct andiron_query){ .type = type->name, .limit = 1 };
        if (u->fhir->search->select(u->fhir->search_self, req, type->str,
                                    criteria_of(andiron_request_arena(req), &v), ANDIRON_ACCESS_SEE,
                                    &u->query.filter, &err) != 0)
            return andiron_fail_with(req, &err);
        u->rows = (struct andiron_rows){ .count = 0 };
        return u->fhir->store->search(u->fhir->store_self, req, &u->query, &u->rows, judged, u);
    }
    return answer(req, u);
}

static enum andiron_step looked(struct andiron_request *req, void *state)
{
    struct use *u = state;

    if (u->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &u->rows.error);
    if (u->rows.cursor.data != NULL)
        return andiron_fail(req, ANDIRON_E_UNPROCESSABLE,
                            "more than %lld profiles, tags and security labels are in use; "
                            "ask single resources",
                            (long long)u->fhir->config->max_count);
    return ask(req, u);
}

/* ---- beginning -------------------------------------------------------------------------------- */

/* FHIR types that the request may see something of: the one in the URL, or all. */
static void choose_types(struct use *u, const struct resource_type *only)
{
    const struct resource_type *type;
    size_t count = 0, most = 1;

    while (types_at(u->fhir->types, most) != NULL)
        most++;
    u->types = andiron_alloc(andiron_request_arena(u->req), (most + 1) * sizeof(u->types[0]));
    for (size_t i = 0; (type = types_at(u->fhir->types, i)) != NULL; i++)
        if ((only == NULL || type == only) && !type->platform &&
            !access_is_hidden(u->req, type, ANDIRON_ACCESS_SEE))
            u->types[count++] = type->name;
}

enum andiron_step fhir_operation_meta_use(struct andiron_request *req, void *self)
{
    static const char *const params[] = { "_profile", "_security", "_tag", NULL };
    struct use *u = andiron_new(andiron_request_arena(req), struct use);
    andiron_str name = andiron_request_var(req, "type");
    struct operation given; /* it has no parameters, and takes them as sent */

    u->fhir = self;
    u->req = req;
    const struct andiron_store *store = u->fhir->store;
    const struct resource_type *type = name.data != NULL ? types_find(u->fhir->types, name) : NULL;
    if (name.data != NULL && (type == NULL || type->platform))
        return access_unknown_type(req);
    if (negotiate(req, &u->wanted) != 0 || operation_begin(req, &given) != 0)
        return ANDIRON_DONE;
    if (store->size < offsetof(struct andiron_store, in_use) + sizeof(store->in_use) ||
        store->in_use == NULL)
        return andiron_fail(req, ANDIRON_E_NOT_IMPLEMENTED,
                            "this store cannot say what is in use; ask single resources");
    choose_types(u, type);
    u->visitor = (struct andiron_visitor){ see_row, u };
    return store->in_use(u->fhir->store_self, req, u->types, params,
                         (size_t)u->fhir->config->max_count, &u->visitor, &u->rows, looked, u);
}
