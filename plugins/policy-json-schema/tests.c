/*
 * Reading tests off a schema: properties of the request that must be certain texts.
 */
#include "tests.h"

#include "common/pattern/asks.h"
#include "common/pattern/limits.h"
#include "common/policy/features.h"
#include "common/policy/literals.h"

struct listing {
    struct andiron_policy_test *ret;
    size_t count, max;
};

static bool put(struct listing *l, enum andiron_policy_feature feature, andiron_str value)
{
    if (l->count == l->max)
        return false;
    l->ret[l->count++] = (struct andiron_policy_test){ feature, value };
    return true;
}

static const struct rule *rule_of(const struct schema *schema, enum rule_code code)
{
    for (uint32_t i = 0; i < schema->count; i++)
        if (schema->rules[i].code == code)
            return &schema->rules[i];
    return NULL;
}

static const struct schema *property(const struct schema *schema, const char *name)
{
    const struct rule *rule = rule_of(schema, RULE_PROPERTIES);
    for (uint32_t i = 0; rule != NULL && i < rule->properties->named_count; i++)
        if (andiron_str_eq(rule->properties->named[i].name, andiron_str_of(name)))
            return rule->properties->named[i].schema;
    return NULL;
}

static bool requires_member(const struct schema *schema, andiron_str name)
{
    const struct rule *rule = rule_of(schema, RULE_REQUIRED);
    struct andiron_json_iter it = { .of = rule != NULL ? rule->value : (andiron_json){ NULL, 0 } };
    while (andiron_json_next(&it))
        if (andiron_str_eq(andiron_json_str(it.value), name))
            return true;
    return false;
}

static bool requires(const struct schema *schema, const char *name)
{
    return requires_member(schema, andiron_str_of(name));
}

static bool put_regex(struct listing *l, enum andiron_policy_feature feature,
                      const struct rule *rule)
{
    bool is_whole;
    andiron_str beginning = pattern_beginning(andiron_json_str(rule->value), &is_whole);
    if (beginning.data == NULL || (!is_whole && feature != ANDIRON_FEATURE_URI))
        return false;
    return put(l, is_whole ? feature : ANDIRON_FEATURE_URI_PREFIX, beginning);
}

/* All texts that are valid; false: they are not known. */
static bool put_values(struct listing *l, enum andiron_policy_feature feature,
                       const struct schema *schema)
{
    const struct rule *rule = rule_of(schema, RULE_CONST);
    if (rule != NULL) /* what is no string is never the value */
        return andiron_json_type(rule->value) == ANDIRON_JSON_STRING &&
               put(l, feature, andiron_json_str(rule->value));
    rule = rule_of(schema, RULE_ENUM);
    if (rule == NULL) {
        rule = rule_of(schema, RULE_PATTERN);
        return rule != NULL && put_regex(l, feature, rule);
    }
    struct andiron_json_iter it = { .of = rule->value };
    bool fits = true;
    while (fits && andiron_json_next(&it))
        if (andiron_json_type(it.value) == ANDIRON_JSON_STRING)
            fits = put(l, feature, andiron_json_str(it.value));
    return fits;
}

size_t schema_tests(const struct schema *root, struct andiron_policy_test *ret, size_t max)
{
    struct listing l = { .ret = ret, .max = max };

    if (rule_of(root, RULE_REF) != NULL)
        return 0;
    for (size_t i = 0; i < POLICY_FEATURES; i++) {
        const struct schema *schema = property(root, policy_features[i].name);
        bool is_required = requires(root, policy_features[i].name);
        size_t before = l.count;
        if (schema != NULL && policy_features[i].inner != NULL) {
            is_required = is_required && requires(schema, policy_features[i].inner);
            schema = property(schema, policy_features[i].inner);
        }
        /* What is absent is valid unless it is required. */
        if (schema != NULL &&
            (!put_values(&l, policy_features[i].feature, schema) ||
             (!is_required && !put(&l, policy_features[i].feature, (andiron_str){ NULL, 0 }))))
            l.count = before;
    }
    return l.count;
}

/* ---- literals: any place ---------------------------------------------------------------- */

enum { LITERAL_DEPTH = 16 /* schemas inside of each other that are looked at */ };

/* Members of the request object that are objects whenever they are there, and arrays of objects. */
static const char *const objects[] = {
    "params", "headers",   "client", "user",   "session",
    "jwt",    "operation", "bundle", "role.*", "scope.*",
};
static const char *const arrays[] = { "role", "scope" };

static bool is_one_of(const struct policy_literals *l, const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (andiron_str_eq((andiron_str){ l->path, l->len }, andiron_str_of(paths[i])))
            return true;
    return false;
}

/* Keywords for objects hold for whatever is none: it must be known to be one. The same of others. */
static bool is_surely(const struct policy_literals *l, const struct schema *schema, unsigned type)
{
    const struct rule *rule = rule_of(schema, RULE_TYPE);
    if (rule != NULL && rule->types == type)
        return true;
    if (type == TYPE_ARRAY)
        return is_one_of(l, arrays, sizeof(arrays) / sizeof(arrays[0]));
    return type == TYPE_OBJECT &&
           (l->len == 0 || is_one_of(l, objects, sizeof(objects) / sizeof(objects[0])));
}

/* The values of a place; false: they are not known. */
static bool put_here(struct policy_literals *l, const struct schema *schema)
{
    const struct rule *rule = rule_of(schema, RULE_CONST);
    bool known = true, is_whole;
    if (rule != NULL)
        return policy_literals_put_json(l, rule->value);
    rule = rule_of(schema, RULE_ENUM);
    struct andiron_json_iter it = { .of = rule != NULL ? rule->value : (andiron_json){ NULL, 0 } };
    while (known && andiron_json_next(&it))
        known = policy_literals_put_json(l, it.value);
    if (rule != NULL)
        return known;
    rule = rule_of(schema, RULE_PATTERN); /* of strings: numbers are valid, too */
    if (rule == NULL || !is_surely(l, schema, TYPE_STRING))
        return false;
    andiron_str text = pattern_beginning(andiron_json_str(rule->value), &is_whole);
    return text.data != NULL && is_whole && policy_literals_put(l, text);
}

/* The same, of what strings there hold. */
static bool put_fragments(struct policy_literals *l, const struct schema *schema)
{
    const struct rule *rule = rule_of(schema, RULE_CONST);
    bool known = true;
    if (rule != NULL)
        return policy_literals_put_fragment(l, andiron_json_str(rule->value));
    rule = rule_of(schema, RULE_ENUM);
    struct andiron_json_iter it = { .of = rule != NULL ? rule->value : (andiron_json){ NULL, 0 } };
    while (known && andiron_json_next(&it))
        known = policy_literals_put_fragment(l, andiron_json_str(it.value));
    if (rule != NULL)
        return known;
    rule = rule_of(schema, RULE_PATTERN);
    return rule != NULL && is_surely(l, schema, TYPE_STRING) &&
           policy_put_expression(l, andiron_json_str(rule->value));
}

/* What is looked for on the way through a schema. */
struct search {
    struct policy_literals *l;
    bool (*put)(struct policy_literals *l, const struct schema *schema);
};

static void list_schema(const struct search *s, const struct schema *schema, bool may_lack,
                        unsigned depth);

static void list_properties(const struct search *s, const struct schema *schema, bool may_lack,
                            unsigned depth)
{
    struct policy_literals *l = s->l;
    const struct rule *rule = rule_of(schema, RULE_PROPERTIES);
    size_t len = l->len;
    may_lack = may_lack || !is_surely(l, schema, TYPE_OBJECT);
    for (uint32_t i = 0; rule != NULL && i < rule->properties->named_count; i++) {
        const struct rule_property *p = &rule->properties->named[i];
        bool lacks = may_lack || !requires_member(schema, p->name);
        if (policy_literals_enter(l, p->name))
            list_schema(s, p->schema, lacks, depth);
        policy_literals_leave(l, len);
    }
}

/* may_lack: the schema also holds where nothing is at this place. */
static void list_schema(const struct search *s, const struct schema *schema, bool may_lack,
                        unsigned depth)
{
    struct policy_literals *l = s->l;
    size_t before = l->count, len = l->len;
    if (depth == LITERAL_DEPTH)
        return;
    if (!s->put(l, schema) || (may_lack && !policy_literals_put(l, (andiron_str){ NULL, 0 })))
        l->count = before;
    list_properties(s, schema, may_lack, depth + 1);
    const struct rule *rule = rule_of(schema, RULE_CONTAINS);
    if (rule != NULL) {
        bool lacks = may_lack || !is_surely(l, schema, TYPE_ARRAY);
        if (policy_literals_enter_any(l))
            list_schema(s, rule->schemas[0], lacks, depth + 1);
        policy_literals_leave(l, len);
    }
    rule = rule_of(schema, RULE_ALL_OF);
    for (uint32_t i = 0; rule != NULL && i < rule->count; i++)
        list_schema(s, rule->schemas[i], may_lack, depth + 1);
}

size_t schema_literals(const struct schema *root, struct andiron_arena *arena,
                       struct andiron_policy_literal *ret, size_t max)
{
    struct policy_literals l = policy_literals_into(arena, ret, max);
    list_schema(&(struct search){ &l, put_here }, root, false, 0);
    return l.count;
}

size_t schema_fragments(const struct schema *root, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max)
{
    struct policy_literals l = policy_literals_into(arena, ret, max);
    list_schema(&(struct search){ &l, put_fragments }, root, false, 0);
    return l.count;
}
