/*
 * SearchParameter resources; see custom.h.
 */
#include "custom.h"

#include <stdio.h>

#include "common/fhir/types.h"

/* Paths over all types: it may be read on a loop. */
enum { CODE_MAX = 64, PATHS_MAX = 16384 };

#define SHOWN(s) (int)((s).len < 80 ? (s).len : 80), (s).data

struct reading {
    struct andiron_arena *arena;
    const char *term; /* or NULL */
    andiron_json resource;
    struct custom *custom;
    struct fhir_expression expression; /* the same for all bases */
    size_t paths;                      /* followed for all of them */
    struct andiron_error *err;
};

static andiron_str text_of(const struct reading *r, const char *member)
{
    return andiron_json_str(andiron_json_get(r->resource, member));
}

static bool has_prefix(andiron_str s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && memcmp(s.data, prefix, len) == 0;
}

/* ---- R4's own ------------------------------------------------------------------ */

/* Whether an R4 parameter's definition has that URL. */
static bool is_defined_by(const struct fhir_param *param, andiron_str url)
{
    size_t prefix = sizeof(FHIR_PARAM_URL) - 1;
    return has_prefix(url, FHIR_PARAM_URL) &&
           andiron_str_eq((andiron_str){ url.data + prefix, url.len - prefix },
                          andiron_str_of(param->id));
}

/* The parameter that a canonical URL of R4 defines, of whichever type. */
static bool official(andiron_str url, struct fhir_param *ret)
{
    size_t prefix = sizeof(FHIR_PARAM_URL) - 1;

    if (!has_prefix(url, FHIR_PARAM_URL))
        return false;
    andiron_str id = { url.data + prefix, url.len - prefix };
    for (int type = 0; type < FHIR_TYPE_COUNT; type++)
        for (size_t pos = 0; fhir_param_next(type, &pos, ret);)
            if (andiron_str_eq(id, andiron_str_of(ret->id)))
                return true;
    return false;
}

/* ---- code and kind --------------------------------------------------------------- */

static bool is_code(andiron_str code)
{
    if (code.len == 0 || code.len > CODE_MAX || code.data[0] == '_')
        return false;
    for (size_t i = 0; i < code.len; i++) {
        char c = code.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static int read_code(struct reading *r)
{
    andiron_str code = text_of(r, "code");

    if (!is_code(code))
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.code",
                                 "must be 1 to %d letters, digits, '-' and '_', and not begin with "
                                 "'_', which only parameters of FHIR itself do",
                                 CODE_MAX);
    r->custom->code = andiron_copy(r->arena, code);
    r->custom->term = r->term != NULL ? r->term : r->custom->code;
    r->custom->words = andiron_printf(r->arena, "%s#word", r->custom->term);
    r->custom->url = andiron_copy(r->arena, text_of(r, "url"));
    return 0;
}

static int kind_of(andiron_str name, enum fhir_param_kind *ret)
{
    for (int kind = 0; kind <= FHIR_PARAM_SPECIAL; kind++)
        if (andiron_str_eq(name,
                           andiron_str_of(fhir_param_kind_name((enum fhir_param_kind)kind)))) {
            *ret = (enum fhir_param_kind)kind;
            return 0;
        }
    return -1;
}

static int read_kind(struct reading *r)
{
    andiron_str usage = text_of(r, "xpathUsage");

    if (kind_of(text_of(r, "type"), &r->custom->kind) != 0 || r->custom->kind == FHIR_PARAM_SPECIAL)
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.type",
                                 "must be number, date, string, token, reference, composite, "
                                 "quantity or uri: what a special parameter means is not said by "
                                 "its definition");
    if (usage.data != NULL && !andiron_str_eq(usage, ANDIRON_STR("normal")))
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.xpathUsage",
                                 "must be normal: values are searched as they are");
    return 0;
}

/* ---- the expression --------------------------------------------------------------- */

static int read_part(struct reading *r, andiron_json component, size_t i)
{
    andiron_str url = andiron_json_str(andiron_json_get(component, "definition"));
    struct fhir_param part;

    if (!official(url, &part) || part.kind == FHIR_PARAM_COMPOSITE ||
        part.kind == FHIR_PARAM_SPECIAL) {
        (void)andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "",
                                "must be the URL of a parameter of FHIR R4 that is neither "
                                "composite nor special, \"" FHIR_PARAM_URL
                                "clinical-code\", not \"%.*s\"",
                                SHOWN(url));
        (void)snprintf(r->err->where, sizeof(r->err->where),
                       "SearchParameter.component[%zu].definition", i);
        return -1;
    }
    r->custom->parts[i] = part;
    r->custom->part_count = i + 1;
    r->expression.parts[i].kind = part.kind;
    r->expression.parts[i].text = andiron_json_str(andiron_json_get(component, "expression"));
    return 0;
}

static int read_expression(struct reading *r)
{
    andiron_json components = andiron_json_get(r->resource, "component");
    bool is_composite = r->custom->kind == FHIR_PARAM_COMPOSITE;
    struct andiron_json_iter it = { .of = components };

    r->expression = (struct fhir_expression){ .code = r->custom->term,
                                              .kind = r->custom->kind,
                                              .text = text_of(r, "expression") };
    if (r->expression.text.data == NULL)
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.expression",
                                 "is missing: it says what is indexed");
    while (andiron_json_type(components) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
        if (!is_composite || r->expression.part_count == FHIR_EXPRESSION_PARTS)
            break;
        if (read_part(r, it.value, r->expression.part_count) != 0)
            return -1;
        r->expression.part_count++;
    }
    size_t wanted = andiron_json_count(components);
    if (is_composite ? wanted < 2 || wanted > FHIR_EXPRESSION_PARTS : wanted > 0)
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.component",
                                 "a composite has 2 or %d components, others have none",
                                 FHIR_EXPRESSION_PARTS);
    return 0;
}

/* ---- bases and targets ---------------------------------------------------------------- */

static int compile_base(struct reading *r, int type)
{
    struct custom *custom = r->custom;
    andiron_str code = andiron_str_of(custom->code);
    struct fhir_param own;
    size_t failed;

    if (fhir_param_find(type, code, &own))
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.code",
                                 "%s has a parameter \"%s\" already, " FHIR_PARAM_URL "%s",
                                 fhir_type_name(type), custom->code, own.id);
    for (size_t i = 0; i < custom->base_count; i++)
        if (custom->bases[i].type == type)
            return 0; /* named twice */
    struct custom_base *base = &custom->bases[custom->base_count];
    base->type = type;
    if (fhir_expression_compile(r->arena, type, &r->expression, 1, &base->root, &failed, r->err) !=
        0) {
        char message[sizeof(r->err->message)];
        memcpy(message, r->err->message, sizeof(message));
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.expression",
                                 "for %s: %s", fhir_type_name(type), message);
    }
    base->is_plain = r->expression.is_plain;
    r->paths += r->expression.paths;
    if (r->paths > PATHS_MAX)
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.expression",
                                 "leads to more than %d paths in all of its types; narrow it with "
                                 "ofType(), or make parameters of fewer types",
                                 PATHS_MAX);
    custom->base_count++;
    return 0;
}

static bool is_abstract(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("Resource")) ||
           andiron_str_eq(name, ANDIRON_STR("DomainResource"));
}

/* These have no text, contained or extensions (R4 domainresource.html). */
static bool is_domain_resource(int type)
{
    const char *name = fhir_type_name(type);
    return strcmp(name, "Binary") != 0 && strcmp(name, "Bundle") != 0 &&
           strcmp(name, "Parameters") != 0;
}

static int read_base(struct reading *r, andiron_str name)
{
    int type = fhir_type(name);

    if (type >= 0)
        return compile_base(r, type);
    if (!is_abstract(name))
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.base",
                                 "there is no resource type \"%.*s\"", SHOWN(name));
    for (type = 0; type < FHIR_TYPE_COUNT; type++)
        if ((name.len == sizeof("Resource") - 1 || is_domain_resource(type)) &&
            compile_base(r, type) != 0)
            return -1;
    return 0;
}

static int read_bases(struct reading *r)
{
    struct andiron_json_iter it = { .of = andiron_json_get(r->resource, "base") };

    r->custom->bases = andiron_alloc(r->arena, FHIR_TYPE_COUNT * sizeof(*r->custom->bases));
    while (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY && andiron_json_next(&it))
        if (read_base(r, andiron_json_str(it.value)) != 0)
            return -1;
    if (r->custom->base_count == 0)
        return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.base",
                                 "must name the resource types it is for");
    return 0;
}

static int read_targets(struct reading *r)
{
    struct andiron_json_iter it = { .of = andiron_json_get(r->resource, "target") };

    while (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(it.value);
        int type = fhir_type(name);
        if (is_abstract(name)) {
            r->custom->target_count = 0; /* any type */
            return 0;
        }
        if (type < 0)
            return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.target",
                                     "there is no resource type \"%.*s\"", SHOWN(name));
        if (memchr(r->custom->targets, type, r->custom->target_count) == NULL)
            r->custom->targets[r->custom->target_count++] = (uint8_t)type;
    }
    return 0;
}

/*
 * Whether it narrows what R4 defines, under the same code: "the same meaning, and the
 * functionality should be a proper subset" (SearchParameter.derivedFrom). R4's own does it all.
 */
static bool is_derived(const struct reading *r)
{
    struct andiron_json_iter it = { .of = andiron_json_get(r->resource, "base") };
    andiron_str from = text_of(r, "derivedFrom"), code = text_of(r, "code");
    bool is_any = false;

    while (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
        struct fhir_param own;
        int type = fhir_type(andiron_json_str(it.value));
        if (type < 0 || !fhir_param_find(type, code, &own) || !is_defined_by(&own, from))
            return false;
        is_any = true;
    }
    return is_any;
}

int custom_read(struct andiron_arena *arena, andiron_json resource, const char *term,
                const struct custom **ret, struct andiron_error *err)
{
    struct reading r = { .arena = arena, .term = term, .resource = resource, .err = err };
    struct fhir_param own;

    *ret = NULL;
    if (!andiron_str_eq(text_of(&r, "status"), ANDIRON_STR("active")) ||
        official(text_of(&r, "url"), &own) || is_derived(&r))
        return 0;
    r.custom = andiron_new(arena, struct custom);
    if (read_code(&r) != 0 || read_kind(&r) != 0 || read_expression(&r) != 0 ||
        read_targets(&r) != 0 || read_bases(&r) != 0)
        return -1;
    *ret = r.custom;
    return 0;
}

/* ---- meaning ----------------------------------------------------------------------- */

/* To be raised where the same definition makes other index terms than before. */
#define EDITION "1"

/* FNV-1a; a NUL behind each. */
static uint64_t mix(uint64_t hash, andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    return hash * UINT64_C(0x100000001b3);
}

void custom_meaning(andiron_json resource, char ret[CUSTOM_MEANING + 1])
{
    static const char *const members[] = { "code", "type", "base", "expression", "component" };
    uint64_t hash[2] = { UINT64_C(0xcbf29ce484222325), UINT64_C(0x9ae16a3b2f90404f) };

    for (int i = 0; i < 2; i++) {
        hash[i] = mix(hash[i], ANDIRON_STR(EDITION));
        for (size_t m = 0; m < sizeof(members) / sizeof(members[0]); m++)
            hash[i] = mix(hash[i], andiron_json_raw(andiron_json_get(resource, members[m])));
    }
    (void)snprintf(ret, CUSTOM_MEANING + 1, "%016llx%016llx", (unsigned long long)hash[0],
                   (unsigned long long)hash[1]);
}
