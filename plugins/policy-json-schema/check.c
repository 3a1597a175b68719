/*
 * Checking values. Recursion is bounded by SCHEMA_NEST_MAX and by how deep JSON is nested.
 */
#include "check.h"

#include <stdio.h>

#include "common/policy/budget.h"

/* A value to be checked: the request, of which only what is asked for is built; JSON; the name of a member. */
enum value_kind { VALUE_REQUEST, VALUE_JSON, VALUE_NAME };

struct value {
    enum value_kind kind;
    andiron_json json;
    andiron_str name;
};

struct run {
    struct check *c;
    struct policy_budget budget;
    unsigned quiet; /* inside a rule that reports for what is inside of it */
    size_t depth;   /* steps of c's place that are in use */
};

static bool holds(struct run *r, const struct schema *schema, const struct value *v);

/* ---- values --------------------------------------------------------------------------------- */

static struct value of_json(andiron_json json)
{
    return (struct value){ .kind = VALUE_JSON, .json = json };
}

static andiron_json json_of(const struct run *r, const struct value *v)
{
    return v->kind == VALUE_REQUEST ? r->c->input(r->c->arg, "") : v->json;
}

static enum andiron_json_type type_of(const struct value *v)
{
    if (v->kind == VALUE_JSON)
        return andiron_json_type(v->json);
    return v->kind == VALUE_REQUEST ? ANDIRON_JSON_OBJECT : ANDIRON_JSON_STRING;
}

static andiron_str text_of(const struct value *v)
{
    return v->kind == VALUE_NAME ? v->name : andiron_json_str(v->json);
}

/* A name of a schema ends with NUL unless it has escapes; a dot would make it a path. */
static andiron_json member_of(const struct run *r, const struct value *v, andiron_str name)
{
    if (v->kind == VALUE_REQUEST && name.len > 0 && strnlen(name.data, name.len + 1) == name.len &&
        memchr(name.data, '.', name.len) == NULL)
        return r->c->input(r->c->arg, name.data);
    return andiron_json_member(json_of(r, v), name);
}

static bool has_member(const struct run *r, const struct value *v, andiron_str name)
{
    return andiron_json_type(member_of(r, v, name)) != ANDIRON_JSON_MISSING;
}

static bool spend(struct run *r, size_t steps)
{
    return policy_budget_spend(&r->budget, steps);
}

static bool equals(struct run *r, const struct value *v, andiron_json other)
{
    if (v->kind == VALUE_NAME)
        return andiron_json_type(other) == ANDIRON_JSON_STRING &&
               andiron_str_eq(v->name, andiron_json_str(other));
    return spend(r, 1 + andiron_json_raw(other).len / 64) &&
           andiron_json_equal(json_of(r, v), other);
}

/* ---- what does not hold ------------------------------------------------------------------------ */

/* The first to fail outside of anything quiet is why the whole fails. */
static bool fails(struct run *r, const struct rule *rule)
{
    if (r->quiet == 0) {
        r->c->failed = rule;
        r->c->place.depth = r->depth; /* nothing runs on that would overwrite the steps */
    }
    return false;
}

static bool holds_at(struct run *r, const struct schema *schema, andiron_json v, andiron_str name,
                     size_t index)
{
    if (r->depth == POLICY_PLACE_MAX) {
        r->budget.is_spent = true;
        return false;
    }
    struct value value = of_json(v);
    r->c->place.steps[r->depth] = (struct policy_step){ name, index };
    r->depth++;
    bool result = holds(r, schema, &value);
    r->depth--;
    return result;
}

static bool holds_quietly(struct run *r, const struct schema *schema, const struct value *v)
{
    r->quiet++;
    bool result = holds(r, schema, v);
    r->quiet--;
    return result;
}

/* ---- any value --------------------------------------------------------------------------------- */

static bool check_type(struct run *r, const struct rule *rule, const struct value *v)
{
    static const unsigned types[] = {
        [ANDIRON_JSON_MISSING] = 0,          [ANDIRON_JSON_NULL] = TYPE_NULL,
        [ANDIRON_JSON_BOOL] = TYPE_BOOLEAN,  [ANDIRON_JSON_NUMBER] = TYPE_NUMBER,
        [ANDIRON_JSON_STRING] = TYPE_STRING, [ANDIRON_JSON_ARRAY] = TYPE_ARRAY,
        [ANDIRON_JSON_OBJECT] = TYPE_OBJECT,
    };
    enum andiron_json_type type = type_of(v);
    if ((rule->types & types[type]) != 0)
        return true;
    if (type == ANDIRON_JSON_NUMBER && (rule->types & TYPE_INTEGER) != 0) {
        struct decimal d = decimal_of(andiron_json_raw(v->json));
        if (decimal_is_integer(&d))
            return true;
    }
    return fails(r, rule);
}

static bool check_enum(struct run *r, const struct rule *rule, const struct value *v)
{
    struct andiron_json_iter it = { .of = rule->value };
    while (andiron_json_next(&it))
        if (equals(r, v, it.value))
            return true;
    return fails(r, rule);
}

static bool check_all_of(struct run *r, const struct rule *rule, const struct value *v)
{
    for (uint32_t i = 0; i < rule->count; i++)
        if (!holds(r, rule->schemas[i], v))
            return false;
    return true;
}

static bool check_any_of(struct run *r, const struct rule *rule, const struct value *v)
{
    for (uint32_t i = 0; i < rule->count && !r->budget.is_spent; i++)
        if (holds_quietly(r, rule->schemas[i], v))
            return true;
    return fails(r, rule);
}

static bool check_one_of(struct run *r, const struct rule *rule, const struct value *v)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < rule->count && found < 2 && !r->budget.is_spent; i++)
        found += holds_quietly(r, rule->schemas[i], v);
    return found == 1 || fails(r, rule);
}

static bool check_if(struct run *r, const struct rule *rule, const struct value *v)
{
    if (rule->schemas[1] == NULL && rule->schemas[2] == NULL)
        return true;
    const struct schema *next = rule->schemas[holds_quietly(r, rule->schemas[0], v) ? 1 : 2];
    return next == NULL || holds(r, next, v);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

static bool check_number(struct run *r, const struct rule *rule, const struct value *v)
{
    bool right;
    if (type_of(v) != ANDIRON_JSON_NUMBER)
        return true;
    andiron_str text = andiron_json_raw(v->json);
    if (!spend(r, 1 + text.len / 64))
        return false;
    struct decimal d = decimal_of(text);
    if (rule->code == RULE_MULTIPLE_OF)
        return decimal_is_multiple(&d, &rule->divisor) || fails(r, rule);
    int order = decimal_compare(&d, &rule->number);
    switch (rule->code) {
    case RULE_MAXIMUM:
        right = order <= 0;
        break;
    case RULE_EXCLUSIVE_MAXIMUM:
        right = order < 0;
        break;
    case RULE_MINIMUM:
        right = order >= 0;
        break;
    case RULE_EXCLUSIVE_MINIMUM:
    default:
        right = order > 0;
        break;
    }
    return right || fails(r, rule);
}

/* ---- strings ------------------------------------------------------------------------------------ */

static uint64_t characters(andiron_str text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

static bool check_length(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_STRING)
        return true;
    andiron_str text = text_of(v);
    if (!spend(r, 1 + text.len / 64))
        return false;
    uint64_t length = characters(text);
    bool right = rule->code == RULE_MAX_LENGTH ? length <= rule->limit : length >= rule->limit;
    return right || fails(r, rule);
}

static bool go_on(void *budget)
{
    return policy_budget_look(budget);
}

/* An expression that gives up leaves no verdict. */
static bool matches(struct run *r, const struct pattern *pattern, andiron_str text)
{
    if (!spend(r, POLICY_BUDGET_REGEX))
        return false;
    enum pattern_result result = pattern_find(pattern, r->c->regex, text, go_on, &r->budget);
    r->budget.is_spent |= result == PATTERN_LIMIT;
    return result == PATTERN_MATCH;
}

static bool check_pattern(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_STRING)
        return true;
    return matches(r, rule->pattern, text_of(v)) || fails(r, rule);
}

/* ---- arrays ------------------------------------------------------------------------------------- */

static bool check_items(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_ARRAY)
        return true;
    struct andiron_json_iter it = { .of = v->json };
    for (size_t i = 0; andiron_json_next(&it); i++) {
        const struct schema *schema = rule->schemas[i < rule->count ? i : rule->count];
        if (schema == NULL)
            break;
        if (!holds_at(r, schema, it.value, (andiron_str){ NULL, 0 }, i))
            return false;
    }
    return true;
}

static bool check_contains(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_ARRAY)
        return true;
    struct andiron_json_iter it = { .of = v->json };
    while (!r->budget.is_spent && andiron_json_next(&it)) {
        struct value element = of_json(it.value);
        if (holds_quietly(r, rule->schemas[0], &element))
            return true;
    }
    return fails(r, rule);
}

static bool check_unique(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_ARRAY || !rule->wanted)
        return true;
    struct andiron_json_iter it = { .of = v->json };
    while (andiron_json_next(&it)) {
        struct value element = of_json(it.value);
        struct andiron_json_iter rest = it;
        while (andiron_json_next(&rest)) {
            if (equals(r, &element, rest.value))
                return fails(r, rule);
            if (r->budget.is_spent)
                return false;
        }
    }
    return true;
}

static bool check_count(struct run *r, const struct rule *rule, const struct value *v)
{
    bool items = rule->code == RULE_MAX_ITEMS || rule->code == RULE_MIN_ITEMS;
    if (type_of(v) != (items ? ANDIRON_JSON_ARRAY : ANDIRON_JSON_OBJECT))
        return true;
    uint64_t count = andiron_json_count(json_of(r, v));
    bool most = rule->code == RULE_MAX_ITEMS || rule->code == RULE_MAX_PROPERTIES;
    return (most ? count <= rule->limit : count >= rule->limit) || fails(r, rule);
}

/* ---- objects ------------------------------------------------------------------------------------ */

static bool has_all(struct run *r, andiron_json names, const struct value *v)
{
    struct andiron_json_iter it = { .of = names };
    while (andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(it.value);
        if (spend(r, 1) && has_member(r, v, name))
            continue;
        if (r->quiet == 0)
            r->c->lacking = name;
        return false;
    }
    return true;
}

static bool check_required(struct run *r, const struct rule *rule, const struct value *v)
{
    return type_of(v) != ANDIRON_JSON_OBJECT || has_all(r, rule->value, v) || fails(r, rule);
}

static const struct schema *schema_named(const struct rule_properties *p, andiron_str name)
{
    uint32_t low = 0, high = p->named_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = rule_name_compare(p->named[middle].name, name);
        if (order == 0)
            return p->named[middle].schema;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Each member by all that is said of its name. */
static bool check_each_member(struct run *r, const struct rule_properties *p, const struct value *v)
{
    struct andiron_json_iter it = { .of = json_of(r, v) };
    while (andiron_json_next(&it)) {
        const struct schema *named = schema_named(p, it.name);
        bool known = named != NULL;
        if (!spend(r, 1) || (known && !holds_at(r, named, it.value, it.name, 0)))
            return false;
        for (uint32_t i = 0; i < p->pattern_count; i++) {
            bool fits = matches(r, p->patterns[i].pattern, it.name);
            if (r->budget.is_spent ||
                (fits && !holds_at(r, p->patterns[i].schema, it.value, it.name, 0)))
                return false;
            known |= fits;
        }
        if (!known && p->additional != NULL && !holds_at(r, p->additional, it.value, it.name, 0))
            return false;
    }
    return true;
}

static bool check_properties(struct run *r, const struct rule *rule, const struct value *v)
{
    const struct rule_properties *p = rule->properties;
    if (type_of(v) != ANDIRON_JSON_OBJECT)
        return true;
    if (p->pattern_count > 0 || p->additional != NULL)
        return check_each_member(r, p, v);
    for (uint32_t i = 0; i < p->named_count; i++) {
        andiron_json member = member_of(r, v, p->named[i].name);
        if (andiron_json_type(member) != ANDIRON_JSON_MISSING &&
            !holds_at(r, p->named[i].schema, member, p->named[i].name, 0))
            return false;
    }
    return true;
}

static bool check_names(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_OBJECT)
        return true;
    struct andiron_json_iter it = { .of = json_of(r, v) };
    while (andiron_json_next(&it)) {
        struct value name = { .kind = VALUE_NAME, .name = it.name };
        if (!holds_quietly(r, rule->schemas[0], &name))
            return fails(r, rule);
    }
    return true;
}

static bool check_dependencies(struct run *r, const struct rule *rule, const struct value *v)
{
    if (type_of(v) != ANDIRON_JSON_OBJECT)
        return true;
    for (uint32_t i = 0; i < rule->count; i++) {
        const struct rule_dependency *d = &rule->dependencies[i];
        if (!has_member(r, v, d->name))
            continue;
        if (d->schema != NULL && !holds(r, d->schema, v))
            return false;
        if (d->schema == NULL && !has_all(r, d->names, v))
            return fails(r, rule);
    }
    return true;
}

/* ---- rules -------------------------------------------------------------------------------------- */

static bool check_const(struct run *r, const struct rule *rule, const struct value *v)
{
    return equals(r, v, rule->value) || fails(r, rule);
}

static bool check_not(struct run *r, const struct rule *rule, const struct value *v)
{
    return !holds_quietly(r, rule->schemas[0], v) || fails(r, rule);
}

static bool holds(struct run *r, const struct schema *schema, const struct value *v)
{
    static bool (*const checks[RULE_CODES])(struct run *, const struct rule *,
                                            const struct value *) = {
        [RULE_REF] = check_all_of,
        [RULE_TYPE] = check_type,
        [RULE_ENUM] = check_enum,
        [RULE_CONST] = check_const,
        [RULE_MULTIPLE_OF] = check_number,
        [RULE_MAXIMUM] = check_number,
        [RULE_EXCLUSIVE_MAXIMUM] = check_number,
        [RULE_MINIMUM] = check_number,
        [RULE_EXCLUSIVE_MINIMUM] = check_number,
        [RULE_MAX_LENGTH] = check_length,
        [RULE_MIN_LENGTH] = check_length,
        [RULE_PATTERN] = check_pattern,
        [RULE_MAX_ITEMS] = check_count,
        [RULE_MIN_ITEMS] = check_count,
        [RULE_MAX_PROPERTIES] = check_count,
        [RULE_MIN_PROPERTIES] = check_count,
        [RULE_REQUIRED] = check_required,
        [RULE_PROPERTIES] = check_properties,
        [RULE_PROPERTY_NAMES] = check_names,
        [RULE_DEPENDENCIES] = check_dependencies,
        [RULE_ITEMS] = check_items,
        [RULE_CONTAINS] = check_contains,
        [RULE_UNIQUE_ITEMS] = check_unique,
        [RULE_ALL_OF] = check_all_of,
        [RULE_ANY_OF] = check_any_of,
        [RULE_ONE_OF] = check_one_of,
        [RULE_NOT] = check_not,
        [RULE_IF] = check_if,
    };
    if (schema->never)
        return fails(r, NULL);
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct rule *rule = &schema->rules[i];
        if (!spend(r, 1) || !checks[rule->code](r, rule, v))
            return false;
    }
    return true;
}

static enum check_result run(struct check *c, const struct value *v)
{
    struct run r = { .c = c, .budget = policy_budget_of(c->limit_us) };
    c->failed = NULL;
    c->place.depth = 0;
    bool result = holds(&r, c->schema, v);
    if (r.budget.is_spent)
        return CHECK_GAVE_UP;
    return result ? CHECK_VALID : CHECK_INVALID;
}

enum check_result check_request(struct check *c)
{
    struct value v = { .kind = VALUE_REQUEST };
    return run(c, &v);
}

enum check_result check_value(struct check *c, andiron_json v)
{
    struct value value = of_json(v);
    return run(c, &value);
}

void check_reason(const struct check *c, char out[CHECK_REASON_MAX])
{
    if (c->failed == NULL) {
        (void)snprintf(out, CHECK_REASON_MAX, "is not allowed (schema false)");
        return;
    }
    if (c->failed->code == RULE_REQUIRED) {
        (void)snprintf(out, CHECK_REASON_MAX, "lacks \"%.*s\", which is \"required\"",
                       (int)(c->lacking.len < 100 ? c->lacking.len : 100), c->lacking.data);
        return;
    }
    andiron_str raw = andiron_json_raw(c->failed->value);
    int shown = (int)(raw.len < 80 ? raw.len : 80);
    (void)snprintf(out, CHECK_REASON_MAX, "is not valid by \"%s\": %.*s%s", c->failed->name, shown,
                   raw.data, raw.len > 80 ? "..." : "");
}
