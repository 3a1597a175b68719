/*
 * Reading tests off a schema: properties of the request that must be certain texts.
 */
#include "tests.h"

#include "common/pattern/beginning.h"

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
    static const struct {
        const char *name, *inner;
        enum andiron_policy_feature feature;
    } places[] = {
        { "request-method", NULL, ANDIRON_FEATURE_METHOD },
        { "uri", NULL, ANDIRON_FEATURE_URI },
        { "params", "resource/type", ANDIRON_FEATURE_TYPE },
        { "operation", "id", ANDIRON_FEATURE_OPERATION },
        { "client", "id", ANDIRON_FEATURE_CLIENT },
        { "user", "id", ANDIRON_FEATURE_USER },
    };
    struct listing l = { .ret = ret, .max = max };

    if (rule_of(root, RULE_REF) != NULL)
        return 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const struct schema *schema = property(root, places[i].name);
        bool is_required = requires(root, places[i].name);
        size_t before = l.count;
        if (schema != NULL && places[i].inner != NULL) {
            is_required = is_required && requires(schema, places[i].inner);
            schema = property(schema, places[i].inner);
        }
        /* What is absent is valid unless it is required. */
        if (schema != NULL &&
            (!put_values(&l, places[i].feature, schema) ||
             (!is_required && !put(&l, places[i].feature, (andiron_str){ NULL, 0 }))))
            l.count = before;
    }
    return l.count;
}
