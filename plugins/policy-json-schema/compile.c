/*
 * Compiling draft-07 schemas: whatever can be wrong without a request is found here, so that a
 * stored policy always runs (AP-1). First all schemas of the document are found, then each
 * becomes its rules.
 */
#include <stdio.h>
#include <stdlib.h>

#include "references.h"

struct compiling {
    struct references refs;
    struct andiron_arena *arena;
    const char *warning;
    struct andiron_error *err;
};

/* What of a keyword's value is a schema. */
enum holds { HOLDS_NONE, HOLDS_ONE, HOLDS_LIST, HOLDS_MAP, HOLDS_ITEMS };

struct keyword {
    const char *name;
    enum holds holds;
    enum rule_code code;
    /* Sets the rule's union; NULL: annotation, or part of another keyword's rule. */
    int (*compile)(struct compiling *c, const struct site *site, struct rule *rule);
};

static const struct keyword *keyword_of(andiron_str name);

#define refuse(c, site, keyword, ...)                                                              \
    (place_error((c), (site), (keyword)),                                                          \
     andiron_error_set((c)->err, ANDIRON_E_VALUE, (c)->err->where, __VA_ARGS__))

static void place_error(struct compiling *c, const struct site *site, const char *keyword)
{
    (void)snprintf(c->err->where, sizeof(c->err->where), "%s%s%s", site->where,
                   keyword != NULL ? "." : "", keyword != NULL ? keyword : "");
}

/* ---- finding schemas --------------------------------------------------------------------- */

static int find_schemas(struct compiling *c, andiron_json v, andiron_str base, const char *where);

static int find_list(struct compiling *c, const struct site *site, const char *where,
                     andiron_json list)
{
    struct andiron_json_iter it = { .of = list };
    if (andiron_json_type(list) != ANDIRON_JSON_ARRAY || andiron_json_count(list) == 0)
        return andiron_error_set(c->err, ANDIRON_E_VALUE, where, "is a non-empty array of schemas");
    for (size_t i = 0; andiron_json_next(&it); i++)
        if (find_schemas(c, it.value, site->base, andiron_printf(c->arena, "%s[%zu]", where, i)) !=
            0)
            return -1;
    return 0;
}

static int find_map(struct compiling *c, const struct site *site, const char *where,
                    andiron_json map, bool lists_too)
{
    struct andiron_json_iter it = { .of = map };
    if (andiron_json_type(map) != ANDIRON_JSON_OBJECT)
        return andiron_error_set(c->err, ANDIRON_E_VALUE, where, "is an object of schemas");
    while (andiron_json_next(&it)) {
        if (lists_too && andiron_json_type(it.value) == ANDIRON_JSON_ARRAY)
            continue;
        const char *inner =
            andiron_printf(c->arena, "%s.%.*s", where, (int)it.name.len, it.name.data);
        if (find_schemas(c, it.value, site->base, inner) != 0)
            return -1;
    }
    return 0;
}

static int find_inside(struct compiling *c, const struct site *site, const struct keyword *k,
                       andiron_json v)
{
    const char *where = andiron_printf(c->arena, "%s.%s", site->where, k->name);
    switch (k->holds) {
    case HOLDS_ITEMS:
        if (andiron_json_type(v) == ANDIRON_JSON_ARRAY && andiron_json_count(v) == 0)
            return 0;
        if (andiron_json_type(v) == ANDIRON_JSON_ARRAY)
            return find_list(c, site, where, v);
        return find_schemas(c, v, site->base, where);
    case HOLDS_ONE:
        return find_schemas(c, v, site->base, where);
    case HOLDS_LIST:
        return find_list(c, site, where, v);
    case HOLDS_MAP:
        return find_map(c, site, where, v, k->code == RULE_DEPENDENCIES);
    case HOLDS_NONE:
    default:
        return 0;
    }
}

static int identify(struct compiling *c, struct site *site)
{
    andiron_json id = andiron_json_get(site->source, "$id");
    if (andiron_json_type(id) == ANDIRON_JSON_MISSING)
        return 0;
    if (andiron_json_type(id) != ANDIRON_JSON_STRING)
        return refuse(c, site, "$id", "is a URI, as a string");
    if (references_identify(&c->refs, site, andiron_json_str(id)) != 0)
        return refuse(c, site, "$id", "is the name of another schema in this one, too");
    return 0;
}

/* As deep as the JSON is nested, which the parser limits. */
static int find_schemas(struct compiling *c, andiron_json v, andiron_str base, const char *where)
{
    struct andiron_json_iter it = { .of = v };
    enum andiron_json_type type = andiron_json_type(v);
    if (type != ANDIRON_JSON_OBJECT && type != ANDIRON_JSON_BOOL)
        return andiron_error_set(c->err, ANDIRON_E_VALUE, where,
                                 "is a schema: an object, true or false");
    if (references_at(&c->refs, v) != NULL)
        return 0;
    struct site *site = references_add(&c->refs, v, base, where);
    if (site == NULL)
        return andiron_error_set(c->err, ANDIRON_E_VALUE, where,
                                 "is one schema too many: a policy may have %d", SCHEMAS_MAX);
    site->schema.never = type == ANDIRON_JSON_BOOL && !andiron_json_true(v);
    /* Beside a $ref nothing counts (draft-07, 8.3). */
    if (andiron_json_type(andiron_json_get(v, "$ref")) != ANDIRON_JSON_MISSING)
        return 0;
    if (identify(c, site) != 0)
        return -1;
    while (andiron_json_next(&it)) {
        const struct keyword *k = keyword_of(it.name);
        if (k != NULL && find_inside(c, site, k, it.value) != 0)
            return -1;
        if (k == NULL && c->warning == NULL)
            c->warning = andiron_printf(c->arena,
                                        "%s.%.*s is no keyword of JSON Schema draft-07 and "
                                        "asks for nothing",
                                        where, (int)it.name.len, it.name.data);
    }
    return 0;
}

/* ---- keywords ------------------------------------------------------------------------------- */

static const struct schema *schema_at(const struct compiling *c, andiron_json v)
{
    struct site *site =
        andiron_json_type(v) == ANDIRON_JSON_MISSING ? NULL : references_at(&c->refs, v);
    return site != NULL ? &site->schema : NULL;
}

static const struct schema **schemas_new(const struct compiling *c, size_t count)
{
    const struct schema **schemas = andiron_alloc(c->arena, count * sizeof(*schemas));
    memset(schemas, 0, count * sizeof(*schemas));
    return schemas;
}

static int compile_one(struct compiling *c, const struct site *site, struct rule *rule)
{
    (void)site;
    const struct schema **one = schemas_new(c, 1);
    one[0] = schema_at(c, rule->value);
    rule->schemas = one;
    rule->count = 1;
    return 0;
}

static int compile_list(struct compiling *c, const struct site *site, struct rule *rule)
{
    (void)site;
    struct andiron_json_iter it = { .of = rule->value };
    const struct schema **list = schemas_new(c, andiron_json_count(rule->value) + 1);
    while (andiron_json_next(&it))
        list[rule->count++] = schema_at(c, it.value);
    rule->schemas = list;
    return 0;
}

static int compile_items(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (andiron_json_type(rule->value) != ANDIRON_JSON_ARRAY)
        return compile_one(c, site, rule) != 0 ? -1 : (rule->count = 0, 0);
    struct andiron_json_iter it = { .of = rule->value };
    const struct schema **list = schemas_new(c, andiron_json_count(rule->value) + 1);
    while (andiron_json_next(&it))
        list[rule->count++] = schema_at(c, it.value);
    list[rule->count] = schema_at(c, andiron_json_get(site->source, "additionalItems"));
    rule->schemas = list;
    return 0;
}

static int compile_if(struct compiling *c, const struct site *site, struct rule *rule)
{
    const struct schema **three = schemas_new(c, 3);
    three[0] = schema_at(c, rule->value);
    three[1] = schema_at(c, andiron_json_get(site->source, "then"));
    three[2] = schema_at(c, andiron_json_get(site->source, "else"));
    rule->schemas = three;
    rule->count = 3;
    return 0;
}

static int compile_ref(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (andiron_json_type(rule->value) != ANDIRON_JSON_STRING)
        return refuse(c, site, "$ref",
                      "is a URI reference, as a string, such as "
                      "\"#/definitions/name\"");
    andiron_json target = references_resolve(&c->refs, site, andiron_json_str(rule->value));
    if (andiron_json_type(target) == ANDIRON_JSON_MISSING)
        return refuse(c, site, "$ref",
                      "leads to no schema inside of this one; others are never fetched");
    const char *where = andiron_printf(c->arena, "%s.$ref", site->where);
    if (find_schemas(c, target, site->base, where) != 0)
        return -1;
    rule->value = target;
    return compile_one(c, site, rule);
}

static int compile_types(struct compiling *c, const struct site *site, struct rule *rule)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = { { "null", TYPE_NULL },      { "boolean", TYPE_BOOLEAN },
                  { "object", TYPE_OBJECT },  { "array", TYPE_ARRAY },
                  { "number", TYPE_NUMBER },  { "string", TYPE_STRING },
                  { "integer", TYPE_INTEGER } };
    struct andiron_json_iter it = { .of = rule->value };
    bool list = andiron_json_type(rule->value) == ANDIRON_JSON_ARRAY;
    if (!list)
        it.value = rule->value;
    rule->types = 0;
    while (!list || andiron_json_next(&it)) {
        unsigned type = 0;
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
            if (andiron_str_eq(andiron_json_str(it.value), andiron_str_of(types[i].name)))
                type = types[i].type;
        if (type == 0 || (rule->types & type) != 0)
            return refuse(c, site, "type",
                          "is one, or an array of several, of \"null\", \"boolean\", \"object\", "
                          "\"array\", \"number\", \"string\", \"integer\"");
        rule->types |= type;
        if (!list)
            break;
    }
    return rule->types != 0 ? 0 : refuse(c, site, "type", "is empty: nothing would be valid");
}

static int compile_enum(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (andiron_json_type(rule->value) != ANDIRON_JSON_ARRAY ||
        andiron_json_count(rule->value) == 0)
        return refuse(c, site, "enum", "is a non-empty array");
    return 0;
}

static int compile_const(struct compiling *c, const struct site *site, struct rule *rule)
{
    (void)c;
    (void)site;
    (void)rule;
    return 0;
}

static int compile_number(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (andiron_json_type(rule->value) != ANDIRON_JSON_NUMBER)
        return refuse(c, site, rule->name, "is a number");
    rule->number = decimal_of(andiron_json_raw(rule->value));
    return 0;
}

static int compile_multiple(struct compiling *c, const struct site *site, struct rule *rule)
{
    struct divisor divisor;
    if (compile_number(c, site, rule) != 0)
        return -1;
    struct decimal number = rule->number;
    if (divisor_of(&number, &divisor) != 0)
        return refuse(c, site, rule->name, "is a number above 0 of at most %d digits",
                      DIVISOR_DIGITS_MAX);
    rule->divisor = divisor;
    return 0;
}

static int compile_limit(struct compiling *c, const struct site *site, struct rule *rule)
{
    struct decimal d = { .negative = true };
    if (andiron_json_type(rule->value) == ANDIRON_JSON_NUMBER)
        d = decimal_of(andiron_json_raw(rule->value));
    if (d.negative || !decimal_is_integer(&d))
        return refuse(c, site, rule->name, "is a whole number, 0 or more");
    /* Nothing is as long as what does not fit. */
    rule->limit = (uint64_t)andiron_json_int(rule->value, INT64_MAX);
    return 0;
}

static int compile_pattern(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (andiron_json_type(rule->value) != ANDIRON_JSON_STRING)
        return refuse(c, site, "pattern", "is a regular expression, as a string");
    if (pattern_compile(c->arena, andiron_json_str(rule->value), PATTERN_ECMA, &rule->pattern,
                        c->err) == 0)
        return 0;
    place_error(c, site, "pattern");
    return -1;
}

static bool are_names(andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    if (andiron_json_type(v) != ANDIRON_JSON_ARRAY)
        return false;
    while (andiron_json_next(&it))
        if (andiron_json_type(it.value) != ANDIRON_JSON_STRING)
            return false;
    return true;
}

static int compile_required(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (!are_names(rule->value))
        return refuse(c, site, "required", "is an array of names");
    return 0;
}

static int compile_flag(struct compiling *c, const struct site *site, struct rule *rule)
{
    if (andiron_json_type(rule->value) != ANDIRON_JSON_BOOL)
        return refuse(c, site, rule->name, "is true or false");
    rule->wanted = andiron_json_true(rule->value);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return rule_name_compare(((const struct rule_property *)a)->name,
                             ((const struct rule_property *)b)->name);
}

static int compile_pattern_properties(struct compiling *c, const struct site *site,
                                      andiron_json map, struct rule_properties *p)
{
    struct rule_pattern *patterns =
        andiron_alloc(c->arena, (andiron_json_count(map) + 1) * sizeof(*patterns));
    struct andiron_json_iter it = { .of = map };
    while (andiron_json_next(&it)) {
        struct rule_pattern *pattern = &patterns[p->pattern_count++];
        pattern->schema = schema_at(c, it.value);
        if (pattern_compile(c->arena, it.name, PATTERN_ECMA, &pattern->pattern, c->err) != 0) {
            place_error(c, site, "patternProperties");
            return -1;
        }
    }
    p->patterns = patterns;
    return 0;
}

/* One rule for all three, made at the first of them. */
static int compile_properties(struct compiling *c, const struct site *site, struct rule *rule)
{
    struct rule_properties *p = andiron_new(c->arena, struct rule_properties);
    andiron_json named = andiron_json_get(site->source, "properties");
    struct rule_property *list =
        andiron_alloc(c->arena, (andiron_json_count(named) + 1) * sizeof(*list));
    struct andiron_json_iter it = { .of = named };
    while (andiron_json_next(&it))
        list[p->named_count++] = (struct rule_property){ it.name, schema_at(c, it.value) };
    qsort(list, p->named_count, sizeof(*list), by_name);
    p->named = list;
    p->additional = schema_at(c, andiron_json_get(site->source, "additionalProperties"));
    rule->properties = p;
    return compile_pattern_properties(c, site, andiron_json_get(site->source, "patternProperties"),
                                      p);
}

static int compile_dependencies(struct compiling *c, const struct site *site, struct rule *rule)
{
    struct rule_dependency *list =
        andiron_alloc(c->arena, (andiron_json_count(rule->value) + 1) * sizeof(*list));
    struct andiron_json_iter it = { .of = rule->value };
    while (andiron_json_next(&it)) {
        bool names = andiron_json_type(it.value) == ANDIRON_JSON_ARRAY;
        if (names && !are_names(it.value))
            return refuse(c, site, "dependencies",
                          "has a schema or an array of names for each name");
        list[rule->count++] =
            (struct rule_dependency){ it.name, names ? NULL : schema_at(c, it.value), it.value };
    }
    rule->dependencies = list;
    return 0;
}

static int compile_dialect(struct compiling *c, const struct site *site, struct rule *rule)
{
    andiron_str dialect = andiron_json_str(rule->value);
    andiron_str fragment =
        dialect.data != NULL && dialect.len > 0 && dialect.data[dialect.len - 1] == '#'
            ? (andiron_str){ dialect.data, dialect.len - 1 }
            : dialect;
    if (andiron_str_eq(fragment, ANDIRON_STR("http://json-schema.org/draft-07/schema")) ||
        andiron_str_eq(fragment, ANDIRON_STR("https://json-schema.org/draft-07/schema")))
        return 0;
    return refuse(c, site, "$schema",
                  "names another dialect than "
                  "http://json-schema.org/draft-07/schema#, the one there is");
}

static const struct keyword keywords[] = {
    { "$schema", HOLDS_NONE, RULE_CODES, compile_dialect },
    { "$id", HOLDS_NONE, RULE_CODES, NULL },
    { "$comment", HOLDS_NONE, RULE_CODES, NULL },
    { "title", HOLDS_NONE, RULE_CODES, NULL },
    { "description", HOLDS_NONE, RULE_CODES, NULL },
    { "default", HOLDS_NONE, RULE_CODES, NULL },
    { "examples", HOLDS_NONE, RULE_CODES, NULL },
    { "readOnly", HOLDS_NONE, RULE_CODES, NULL },
    { "writeOnly", HOLDS_NONE, RULE_CODES, NULL },
    { "format", HOLDS_NONE, RULE_CODES, NULL },
    { "contentEncoding", HOLDS_NONE, RULE_CODES, NULL },
    { "contentMediaType", HOLDS_NONE, RULE_CODES, NULL },
    { "definitions", HOLDS_MAP, RULE_CODES, NULL },
    { "type", HOLDS_NONE, RULE_TYPE, compile_types },
    { "enum", HOLDS_NONE, RULE_ENUM, compile_enum },
    { "const", HOLDS_NONE, RULE_CONST, compile_const },
    { "multipleOf", HOLDS_NONE, RULE_MULTIPLE_OF, compile_multiple },
    { "maximum", HOLDS_NONE, RULE_MAXIMUM, compile_number },
    { "exclusiveMaximum", HOLDS_NONE, RULE_EXCLUSIVE_MAXIMUM, compile_number },
    { "minimum", HOLDS_NONE, RULE_MINIMUM, compile_number },
    { "exclusiveMinimum", HOLDS_NONE, RULE_EXCLUSIVE_MINIMUM, compile_number },
    { "maxLength", HOLDS_NONE, RULE_MAX_LENGTH, compile_limit },
    { "minLength", HOLDS_NONE, RULE_MIN_LENGTH, compile_limit },
    { "pattern", HOLDS_NONE, RULE_PATTERN, compile_pattern },
    { "maxItems", HOLDS_NONE, RULE_MAX_ITEMS, compile_limit },
    { "minItems", HOLDS_NONE, RULE_MIN_ITEMS, compile_limit },
    { "maxProperties", HOLDS_NONE, RULE_MAX_PROPERTIES, compile_limit },
    { "minProperties", HOLDS_NONE, RULE_MIN_PROPERTIES, compile_limit },
    { "required", HOLDS_NONE, RULE_REQUIRED, compile_required },
    { "properties", HOLDS_MAP, RULE_PROPERTIES, compile_properties },
    { "patternProperties", HOLDS_MAP, RULE_PROPERTIES, compile_properties },
    { "additionalProperties", HOLDS_ONE, RULE_PROPERTIES, compile_properties },
    { "propertyNames", HOLDS_ONE, RULE_PROPERTY_NAMES, compile_one },
    { "dependencies", HOLDS_MAP, RULE_DEPENDENCIES, compile_dependencies },
    { "items", HOLDS_ITEMS, RULE_ITEMS, compile_items },
    { "additionalItems", HOLDS_ONE, RULE_CODES, NULL },
    { "contains", HOLDS_ONE, RULE_CONTAINS, compile_one },
    { "uniqueItems", HOLDS_NONE, RULE_UNIQUE_ITEMS, compile_flag },
    { "allOf", HOLDS_LIST, RULE_ALL_OF, compile_list },
    { "anyOf", HOLDS_LIST, RULE_ANY_OF, compile_list },
    { "oneOf", HOLDS_LIST, RULE_ONE_OF, compile_list },
    { "not", HOLDS_ONE, RULE_NOT, compile_one },
    { "if", HOLDS_ONE, RULE_IF, compile_if },
    { "then", HOLDS_ONE, RULE_CODES, NULL },
    { "else", HOLDS_ONE, RULE_CODES, NULL },
};

static const struct keyword *keyword_of(andiron_str name)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(keywords[i].name)))
            return &keywords[i];
    return NULL;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Beside a $ref nothing counts. */
static int compile_rules(struct compiling *c, struct site *site)
{
    static const struct keyword ref = { "$ref", HOLDS_NONE, RULE_REF, compile_ref };
    struct andiron_json_iter it = { .of = site->source };
    bool is_ref = andiron_json_type(andiron_json_get(site->source, "$ref")) != ANDIRON_JSON_MISSING;
    bool made[RULE_CODES] = { false };
    struct rule *rules =
        andiron_alloc(c->arena, (andiron_json_count(site->source) + 1) * sizeof(*rules));
    while (andiron_json_next(&it)) {
        bool this_is_ref = andiron_str_eq(it.name, ANDIRON_STR("$ref"));
        const struct keyword *k = this_is_ref ? &ref : keyword_of(it.name);
        if (is_ref != this_is_ref || k == NULL || k->compile == NULL ||
            (k->code < RULE_CODES && made[k->code]))
            continue;
        struct rule *rule = &rules[site->schema.count];
        memset(rule, 0, sizeof(*rule));
        rule->code = k->code;
        rule->name = k->name;
        rule->value = it.value;
        if (k->compile(c, site, rule) != 0)
            return -1;
        if (k->code == RULE_CODES)
            continue;
        made[k->code] = true;
        site->schema.count++;
    }
    site->schema.rules = rules;
    return 0;
}

/* ---- no schema may apply itself to the value it looks at --------------------------------------- */

static int measure(struct compiling *c, const struct schema *schema, unsigned above,
                   unsigned *ret_height);

/* The schemas of a rule that look at the same value as the rule. */
static int measure_rule(struct compiling *c, const struct rule *rule, unsigned above,
                        unsigned *height)
{
    switch (rule->code) {
    case RULE_REF:
    case RULE_ALL_OF:
    case RULE_ANY_OF:
    case RULE_ONE_OF:
    case RULE_NOT:
    case RULE_IF:
        for (uint32_t i = 0; i < rule->count; i++)
            if (rule->schemas[i] != NULL && measure(c, rule->schemas[i], above, height) != 0)
                return -1;
        return 0;
    case RULE_DEPENDENCIES:
        for (uint32_t i = 0; i < rule->count; i++)
            if (rule->dependencies[i].schema != NULL &&
                measure(c, rule->dependencies[i].schema, above, height) != 0)
                return -1;
        return 0;
    default:
        return 0;
    }
}

static int measure(struct compiling *c, const struct schema *schema, unsigned above,
                   unsigned *ret_height)
{
    struct site *site = (struct site *)(uintptr_t)schema; /* its first member */
    unsigned height = 0;
    if (site->open)
        return refuse(c, site, NULL, "applies itself to the same value again, without end");
    if (above + site->height >= SCHEMA_NEST_MAX)
        return refuse(c, site, NULL, "lies inside of more than %d schemas for the same value",
                      SCHEMA_NEST_MAX);
    if (site->height == 0) {
        site->open = true;
        for (uint32_t i = 0; i < schema->count; i++)
            if (measure_rule(c, &schema->rules[i], above + 1, &height) != 0)
                return -1;
        site->open = false;
        site->height = (uint8_t)(height + 1);
    }
    if (site->height > *ret_height)
        *ret_height = site->height;
    return 0;
}

int schema_compile(struct andiron_arena *arena, andiron_json schema, const char *where,
                   struct schema_document *ret, struct andiron_error *err)
{
    struct compiling c = { .arena = arena, .err = err };
    references_begin(&c.refs, arena, schema);
    if (find_schemas(&c, schema, ANDIRON_STR(""), where) != 0)
        return -1;
    /* Following a $ref may find more. */
    for (uint32_t i = 0; i < c.refs.count; i++)
        if (compile_rules(&c, c.refs.sites[i]) != 0)
            return -1;
    for (uint32_t i = 0; i < c.refs.count; i++) {
        unsigned height = 0;
        if (measure(&c, &c.refs.sites[i]->schema, 0, &height) != 0)
            return -1;
    }
    ret->root = &c.refs.sites[0]->schema;
    ret->warning = c.warning;
    return 0;
}
