/*
 * Reading tests off a schema: properties of the request that must be certain texts.
 */
#include "tests.h"

#include "common/pattern/beginning.h"
#include "common/policy/features.h"

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

static bool requires(const struct schema *schema, const char *name)
{
    const struct rule *rule = rule_of(schema, RULE_REQUIRED);
    struct andiron_json_iter it = { .of = rule != NULL ? rule->value : (andiron_json){ NULL, 0 } };
    while (andiron_json_next(&it))
        if (andiron_str_eq(andiron_json_str(it.value), andiron_str_of(name)))
            return true;
    return false;
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
