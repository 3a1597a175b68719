/*
 * GET /fhir/metadata: the CapabilityStatement, put together from the tables of types
 * and search parameters, from routes with a definition, and from what other plugins say
 * of themselves (discovery/1).
 *
 * What depends on no request, some hundred kilobytes, is made on the pool and kept, until there
 * are other search parameters.
 */
#include <stdatomic.h>

#include "answer.h"
#include "common/fhir/params.h"
#include "common/fhir/types.h"
#include "negotiate.h"
#include "text.h"

struct capabilities {
    struct andiron_arena *arena;
    atomic_size_t uses;
    uint64_t generation;    /* of search parameters */
    andiron_str resources;  /* content of rest.resource */
    andiron_str operations; /* content of rest.operation */
};

struct describing {
    struct fhir *fhir;
    struct wanted wanted;
    struct capabilities *made;
};

/* ---- what is kept -------------------------------------------------------------------------- */

static bool has_parameters(const struct fhir *fhir)
{
    size_t end = offsetof(struct andiron_search, generation) + sizeof(fhir->search->generation);
    return fhir->search->size >= end && fhir->search->generation != NULL;
}

static uint64_t generation_of(const struct fhir *fhir)
{
    return has_parameters(fhir) ? fhir->search->generation(fhir->search_self) : 0;
}

static void drop(void *arg)
{
    struct capabilities *c = arg;
    if (c != NULL && atomic_fetch_sub(&c->uses, 1) == 1)
        andiron_arena_free(c->arena);
}

/* Those of now, for as long as the arena lives; NULL: they are still to be made. */
static struct capabilities *current(struct fhir *fhir, struct andiron_arena *arena)
{
    uint64_t generation = generation_of(fhir);

    (void)pthread_mutex_lock(&fhir->capabilities_lock);
    struct capabilities *c = fhir->capabilities;
    if (c != NULL && c->generation != generation)
        c = NULL;
    if (c != NULL)
        (void)atomic_fetch_add(&c->uses, 1);
    (void)pthread_mutex_unlock(&fhir->capabilities_lock);
    if (c != NULL)
        andiron_at_release(arena, drop, c);
    return c;
}

/* Takes over one reference, the kept one. */
static void keep(struct fhir *fhir, struct capabilities *made)
{
    (void)pthread_mutex_lock(&fhir->capabilities_lock);
    struct capabilities *old = fhir->capabilities;
    fhir->capabilities = made;
    (void)pthread_mutex_unlock(&fhir->capabilities_lock);
    drop(old);
}

/* Parameters that stored SearchParameters define, of one type. */
static bool next_parameter(const struct fhir *fhir, struct andiron_arena *arena, int type,
                           size_t *pos, struct andiron_search_parameter *ret)
{
    return has_parameters(fhir) && fhir->search->parameter != NULL &&
           fhir->search->parameter(fhir->search_self, arena, andiron_str_of(fhir_type_name(type)),
                                   pos, ret);
}

/* ---- rest.resource ------------------------------------------------------------------------ */

/* Starts the next member of an array that began at `mark`. */
static void next_item(struct text *t, size_t mark)
{
    if (t->len > mark)
        TEXT_LIT(t, ",");
}

static void put_lit(struct text *t, const char *s)
{
    text_str(t, andiron_str_of(s));
}

static void put_member(struct text *t, const char *name, const char *value)
{
    TEXT_LIT(t, ",\"");
    put_lit(t, name);
    TEXT_LIT(t, "\":\"");
    put_lit(t, value);
    TEXT_LIT(t, "\"");
}

static void put_params(struct text *t, const struct fhir *fhir, struct andiron_arena *arena,
                       int type)
{
    struct andiron_search_parameter further;
    struct fhir_param param;

    TEXT_LIT(t, ",\"searchParam\":[");
    size_t mark = t->len;
    for (size_t pos = 0; fhir_param_next(type, &pos, &param);) {
        next_item(t, mark);
        TEXT_LIT(t, "{\"name\":\"");
        put_lit(t, param.code);
        TEXT_LIT(t, "\",\"definition\":\"" FHIR_PARAM_URL);
        put_lit(t, param.id);
        TEXT_LIT(t, "\",\"type\":\"");
        put_lit(t, fhir_param_kind_name(param.kind));
        TEXT_LIT(t, "\"}");
    }
    for (size_t pos = 0; next_parameter(fhir, arena, type, &pos, &further);) {
        next_item(t, mark);
        TEXT_LIT(t, "{\"name\":\"");
        put_lit(t, further.code);
        if (further.url[0] != '\0') {
            TEXT_LIT(t, "\",\"definition\":");
            text_json(t, andiron_str_of(further.url));
            TEXT_LIT(t, ",\"type\":\"");
        } else {
            TEXT_LIT(t, "\",\"type\":\"");
        }
        put_lit(t, further.type);
        TEXT_LIT(t, "\"}");
    }
    TEXT_LIT(t, "]");
}

static void put_include(struct text *t, int type, const char *code)
{
    TEXT_LIT(t, ",\"");
    put_lit(t, fhir_type_name(type));
    TEXT_LIT(t, ":");
    put_lit(t, code);
    TEXT_LIT(t, "\"");
}

static void put_includes(struct text *t, const struct fhir *fhir, struct andiron_arena *arena,
                         int type)
{
    struct andiron_search_parameter further;
    struct fhir_param param;

    TEXT_LIT(t, ",\"searchInclude\":[\"*\"");
    for (size_t pos = 0; fhir_param_next(type, &pos, &param);) {
        if (param.kind == FHIR_PARAM_REFERENCE)
            put_include(t, type, param.code);
    }
    for (size_t pos = 0; next_parameter(fhir, arena, type, &pos, &further);)
        if (strcmp(further.type, fhir_param_kind_name(FHIR_PARAM_REFERENCE)) == 0)
            put_include(t, type, further.code);
    TEXT_LIT(t, "]");
}

static void note_reverse(struct text *list, int source, const char *code)
{
    next_item(list, 0);
    TEXT_LIT(list, "\"");
    put_lit(list, fhir_type_name(source));
    TEXT_LIT(list, ":");
    put_lit(list, code);
    TEXT_LIT(list, "\"");
}

static void note_further(struct text *lists, const struct fhir *fhir, struct andiron_arena *arena,
                         int source)
{
    struct andiron_search_parameter further;

    for (size_t pos = 0; next_parameter(fhir, arena, source, &pos, &further);) {
        if (strcmp(further.type, fhir_param_kind_name(FHIR_PARAM_REFERENCE)) != 0)
            continue;
        for (const char *const *target = further.targets; *target != NULL; target++)
            note_reverse(&lists[fhir_type(andiron_str_of(*target))], source, further.code);
        for (int i = 0; *further.targets == NULL && i < FHIR_TYPE_COUNT; i++)
            note_reverse(&lists[i], source, further.code);
    }
}

/* For each type the parameters of others that may refer to it. */
static struct text *reverse_includes(const struct fhir *fhir, struct andiron_arena *arena)
{
    struct text *lists = andiron_alloc(arena, FHIR_TYPE_COUNT * sizeof(lists[0]));
    struct fhir_param param;

    for (int i = 0; i < FHIR_TYPE_COUNT; i++)
        text_init(&lists[i], arena, 1024);
    for (int source = 0; source < FHIR_TYPE_COUNT; source++) {
        for (size_t pos = 0; fhir_param_next(source, &pos, &param);) {
            if (param.kind != FHIR_PARAM_REFERENCE)
                continue;
            for (size_t i = 0; i < param.target_count; i++)
                note_reverse(&lists[param.targets[i]], source, param.code);
            for (int i = 0; param.target_count == 0 && i < FHIR_TYPE_COUNT; i++)
                note_reverse(&lists[i], source, param.code);
        }
        note_further(lists, fhir, arena, source);
    }
    return lists;
}

static void put_profiles(struct text *t, const struct fhir *fhir, const char *type)
{
    const char *const *list = fhir->config->supported_profiles;
    size_t len = strlen(type);
    bool any = false;

    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        if (strncmp(list[i], type, len) != 0 || list[i][len] != '=')
            continue;
        if (any)
            TEXT_LIT(t, ",");
        else
            TEXT_LIT(t, ",\"supportedProfile\":[");
        any = true;
        text_json(t, andiron_str_of(list[i] + len + 1));
    }
    if (any)
        TEXT_LIT(t, "]");
}

/* ---- operations ---------------------------------------------------------------------------- */

/*
 * "$export" of "/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/{id}/$export"; absent for
 * routes that are no operation. *ret_type is the type it belongs to; absent: the whole system.
 */
static andiron_str operation_name(const struct andiron_route *route, andiron_str *ret_type)
{
    static const char prefix[] = "/fhir/";
    andiron_str none = { NULL, 0 };
    const char *dollar = strrchr(route->pattern, '$');

    *ret_type = none;
    if (route->definition == NULL || dollar == NULL || dollar[-1] != '/' ||
        strncmp(route->pattern, prefix, sizeof(prefix) - 1) != 0)
        return none;
    const char *type = route->pattern + sizeof(prefix) - 1;
    if (type != dollar)
        *ret_type = (andiron_str){ type, strcspn(type, "/") };
    size_t len = strcspn(dollar + 1, "/");
    return (andiron_str){ dollar + 1, len };
}

/* Content of an `operation` array: those of a type, or of the system (absent). */
static void put_operations(struct text *t, const struct fhir *fhir, andiron_str of_type)
{
    const struct andiron_route *route;
    const char *plugin, *last = NULL;
    size_t mark = t->len;

    for (size_t i = 0; (route = andiron_host_route(fhir->host, i, &plugin)) != NULL; i++) {
        andiron_str type, name = operation_name(route, &type);
        bool of_any = of_type.data != NULL && andiron_str_eq(type, ANDIRON_STR("{type}"));
        bool other = !of_any && ((type.data == NULL) != (of_type.data == NULL) ||
                                 !andiron_str_eq(type, of_type));
        if (name.data == NULL || other || (last != NULL && strcmp(last, route->definition) == 0))
            continue; /* GET and POST of one operation stand beside each other */
        last = route->definition;
        next_item(t, mark);
        TEXT_LIT(t, "{\"name\":");
        text_json(t, name);
        TEXT_LIT(t, ",\"definition\":");
        text_json(t, andiron_str_of(route->definition));
        TEXT_LIT(t, "}");
    }
}

/* One route, of two definitions, and of these types only. */
static void put_everything(struct text *t, const char *type, size_t mark)
{
    if (strcmp(type, "Patient") != 0 && strcmp(type, "Encounter") != 0)
        return;
    next_item(t, mark);
    TEXT_LIT(t, "{\"name\":\"everything\",\"definition\":"
                "\"http://hl7.org/fhir/OperationDefinition/");
    put_lit(t, type);
    TEXT_LIT(t, "-everything\"}");
}

static void put_resource(struct text *t, const struct fhir *fhir, struct andiron_arena *arena,
                         int type, const struct text *reverse)
{
    const char *name = fhir_type_name(type);

    TEXT_LIT(t, "{\"type\":\"");
    put_lit(t, name);
    TEXT_LIT(t, "\",\"profile\":\"http://hl7.org/fhir/StructureDefinition/");
    put_lit(t, name);
    TEXT_LIT(t, "\"");
    put_profiles(t, fhir, name);
    TEXT_LIT(t, ",\"interaction\":[{\"code\":\"read\"},{\"code\":\"vread\"},{\"code\":\"update\"},"
                "{\"code\":\"patch\"},{\"code\":\"delete\"},{\"code\":\"history-instance\"},"
                "{\"code\":\"history-type\"},{\"code\":\"create\"},{\"code\":\"search-type\"}],"
                "\"readHistory\":true,\"updateCreate\":true,\"conditionalCreate\":true,"
                "\"conditionalRead\":\"full-support\",\"conditionalUpdate\":true");
    put_member(t, "versioning",
               fhir->config->versioned_updates == VERSIONED_REQUIRED ? "versioned-update"
                                                                     : "versioned");
    put_member(t, "conditionalDelete",
               fhir->config->conditional_delete_multiple ? "multiple" : "single");
    if (fhir->config->referential_integrity)
        TEXT_LIT(t, ",\"referencePolicy\":[\"literal\",\"enforced\"]");
    else
        TEXT_LIT(t, ",\"referencePolicy\":[\"literal\"]");
    put_includes(t, fhir, arena, type);
    if (reverse->len > 0) {
        TEXT_LIT(t, ",\"searchRevInclude\":[");
        text_str(t, text_view(reverse));
        TEXT_LIT(t, "]");
    }
    put_params(t, fhir, arena, type);
    size_t mark = t->len;
    TEXT_LIT(t, ",\"operation\":[");
    size_t empty = t->len;
    put_operations(t, fhir, andiron_str_of(name));
    put_everything(t, name, empty);
    if (t->len == empty)
        t->len = mark;
    else
        TEXT_LIT(t, "]");
    TEXT_LIT(t, "}");
}

/* On the pool. */
static void make(void *state)
{
    struct describing *d = state;
    struct andiron_arena *scratch = andiron_arena_new(0), *kept = andiron_arena_new(0);
    struct capabilities *made = andiron_new(kept, struct capabilities);
    uint64_t generation = generation_of(d->fhir); /* before: what comes later is made again */
    struct text *reverse = reverse_includes(d->fhir, scratch);
    struct text t;

    text_init(&t, scratch, 1 << 20);
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        next_item(&t, 0);
        put_resource(&t, d->fhir, scratch, type, &reverse[type]);
    }
    made->arena = kept;
    made->generation = generation;
    atomic_init(&made->uses, 2); /* what is kept, and this request */
    made->resources = (andiron_str){ andiron_copy(kept, text_view(&t)), t.len };
    t.len = 0;
    put_operations(&t, d->fhir, (andiron_str){ NULL, 0 });
    made->operations = (andiron_str){ andiron_copy(kept, text_view(&t)), t.len };
    andiron_arena_free(scratch);

    /* Kept here, not in the continuation, which is not called if the client leaves. */
    keep(d->fhir, made);
    d->made = made;
}

/* ---- what other plugins say ------------------------------------------------------------------ */

enum { PARTS_MAX = 32 };

struct parts {
    andiron_json of[PARTS_MAX]; /* what each plugin adds to rest */
    size_t count;
};

static void collect(struct andiron_request *req, const struct fhir *fhir, struct parts *parts)
{
    struct andiron_service_ref ref;
    struct andiron_error err;

    for (size_t pos = 0; parts->count < PARTS_MAX &&
                         andiron_service_find(fhir->host, ANDIRON_DISCOVERY, &pos, &ref, NULL);) {
        const struct andiron_discovery *discovery = ref.table;
        if (discovery->capability_rest == NULL)
            continue;
        andiron_str text = discovery->capability_rest(ref.self, andiron_request_arena(req),
                                                      andiron_request_base(req));
        if (text.data == NULL)
            continue;
        if (andiron_json_parse(andiron_request_arena(req), text, &parts->of[parts->count], &err) !=
            0)
            andiron_request_log(req, ANDIRON_LOG_WARN, "fhir.discovery",
                                "a plugin describes itself in bad JSON: %s", err.message);
        else
            parts->count++;
    }
}

/* Elements that plugins add to an array of rest. */
static void put_joined(struct text *t, const struct parts *parts, const char *name, size_t mark)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct andiron_json_iter it = { .of = andiron_json_get(parts->of[i], name) };
        while (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
            next_item(t, mark);
            text_str(t, andiron_json_raw(it.value));
        }
    }
}

/* Members of rest that only plugins have: the first to name one sets it. */
static void put_others(struct text *t, const struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        struct andiron_json_iter it = { .of = parts->of[i] };
        while (andiron_json_next(&it)) {
            if (andiron_str_eq(it.name, ANDIRON_STR("instantiates")) ||
                andiron_str_eq(it.name, ANDIRON_STR("operation")) ||
                andiron_str_eq(it.name, ANDIRON_STR("interaction")) ||
                andiron_str_eq(it.name, ANDIRON_STR("resource")) ||
                andiron_str_eq(it.name, ANDIRON_STR("mode")))
                continue;
            bool earlier = false;
            for (size_t j = 0; j < i; j++)
                earlier |= andiron_json_type(andiron_json_member(parts->of[j], it.name)) !=
                           ANDIRON_JSON_MISSING;
            if (earlier)
                continue;
            TEXT_LIT(t, ",");
            text_json(t, it.name);
            TEXT_LIT(t, ":");
            text_str(t, andiron_json_raw(it.value));
        }
    }
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* Statements that this one is an instance of: what is configured, and what plugins say. */
static void put_instantiates(struct text *t, const struct fhir *fhir, const struct parts *parts)
{
    const char *const *list = fhir->config->instantiates;
    size_t before = t->len;

    TEXT_LIT(t, ",\"instantiates\":[");
    size_t mark = t->len;
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        next_item(t, mark);
        text_json(t, andiron_str_of(list[i]));
    }
    put_joined(t, parts, "instantiates", mark);
    if (t->len == mark)
        t->len = before;
    else
        TEXT_LIT(t, "]");
}

static void put_head(struct text *t, struct andiron_request *req, const struct fhir *fhir,
                     const struct parts *parts)
{
    char date[ANDIRON_INSTANT_LEN];

    andiron_instant(fhir->started, date);
    TEXT_LIT(t, "{\"resourceType\":\"CapabilityStatement\",\"status\":\"active\",\"date\":\"");
    text_add(t, date, sizeof(date));
    TEXT_LIT(t, "\",\"kind\":\"instance\"");
    put_instantiates(t, fhir, parts);
    TEXT_LIT(t, ",\"software\":{\"name\":\"Andiron\"},\"implementation\":{\"description\":"
                "\"Andiron FHIR server\",\"url\":\"");
    text_escaped(t, andiron_request_base(req));
    TEXT_LIT(t,
             "/fhir\"},\"fhirVersion\":\"4.0.1\",\"format\":[\"json\",\"application/fhir+json\"],"
             "\"patchFormat\":[\"application/json-patch+json\",\"application/merge-patch+json\","
             "\"application/fhir+json\"],\"rest\":[{\"mode\":\"server\"");
}

static enum andiron_step describe(struct andiron_request *req, struct describing *d,
                                  const struct capabilities *c)
{
    struct parts parts = { .count = 0 };
    struct text t;

    collect(req, d->fhir, &parts);
    text_init(&t, andiron_request_arena(req), c->resources.len + 8192);
    put_head(&t, req, d->fhir, &parts);
    put_others(&t, &parts);
    TEXT_LIT(&t, ",\"resource\":[");
    text_str(&t, c->resources);
    TEXT_LIT(&t, "],\"interaction\":[{\"code\":\"transaction\"},{\"code\":\"batch\"},"
                 "{\"code\":\"search-system\"},{\"code\":\"history-system\"}");
    put_joined(&t, &parts, "interaction", 0);
    TEXT_LIT(&t, "]");
    size_t mark = t.len;
    TEXT_LIT(&t, ",\"operation\":[");
    size_t empty = t.len;
    text_str(&t, c->operations);
    put_joined(&t, &parts, "operation", empty);
    if (t.len == empty)
        t.len = mark;
    else
        TEXT_LIT(&t, "]");
    TEXT_LIT(&t, "}]}");
    return answer_json(req, &d->wanted, 200, text_view(&t));
}

static enum andiron_step made(struct andiron_request *req, void *state)
{
    struct describing *d = state;
    return describe(req, d, d->made);
}

static void release(void *arg)
{
    const struct describing *d = arg;
    drop(d->made);
}

enum andiron_step fhir_capabilities(struct andiron_request *req, void *self)
{
    struct describing *d = andiron_new(andiron_request_arena(req), struct describing);

    d->fhir = self;
    if (negotiate(req, &d->wanted) != 0)
        return ANDIRON_DONE;
    const struct capabilities *c = current(d->fhir, andiron_request_arena(req));
    if (c != NULL)
        return describe(req, d, c);
    andiron_at_release(andiron_request_arena(req), release, d);
    return andiron_offload(req, make, made, d);
}

void fhir_capabilities_free(struct fhir *fhir)
{
    keep(fhir, NULL);
}
