/*
 * Reading tests off a program: members that are compared with texts.
 */
#include "tests.h"

#include "common/pattern/beginning.h"
#include "common/policy/features.h"

struct listing {
    const struct op *ops;
    struct andiron_policy_test *ret;
    size_t count, max;
};

/* false: no room. */
static bool put(struct listing *l, enum andiron_policy_feature feature, andiron_str value)
{
    if (l->count == l->max)
        return false;
    l->ret[l->count++] = (struct andiron_policy_test){ feature, value };
    return true;
}

static bool put_enum(struct listing *l, enum andiron_policy_feature feature, const struct op *op)
{
    struct andiron_json_iter it = { .of = op->pattern };
    bool fits = true;
    while (fits && andiron_json_next(&it))
        if (andiron_json_type(it.value) == ANDIRON_JSON_STRING) /* others never equal a text */
            fits = put(l, feature, andiron_json_str(it.value));
    return fits;
}

static bool put_regex(struct listing *l, enum andiron_policy_feature feature, const struct op *op)
{
    andiron_str text = andiron_json_str(op->pattern);
    bool is_whole;
    andiron_str beginning =
        pattern_beginning((andiron_str){ text.data + 1, text.len - 1 }, &is_whole);
    if (beginning.data == NULL || (!is_whole && feature != ANDIRON_FEATURE_URI))
        return false;
    return put(l, is_whole ? feature : ANDIRON_FEATURE_URI_PREFIX, beginning);
}

/* All values with which op can hold; false: they are not known. */
static bool put_values(struct listing *l, enum andiron_policy_feature feature, const struct op *op)
{
    bool known = true;
    switch (op->code) {
    case OP_EQUAL:
        return andiron_json_type(op->pattern) == ANDIRON_JSON_STRING &&
               put(l, feature, andiron_json_str(op->pattern));
    case OP_NIL:
        return put(l, feature, (andiron_str){ NULL, 0 });
    case OP_ENUM:
        return put_enum(l, feature, op);
    case OP_REGEX:
        return put_regex(l, feature, op);
    case OP_ONE_OF:
        for (const struct op *in = op + 1; known && in < l->ops + op->next; in = l->ops + in->next)
            known = put_values(l, feature, in);
        return known;
    default:
        return false;
    }
}

static const struct op *member(const struct listing *l, const struct op *object, const char *name)
{
    if (object == NULL || object->code != OP_OBJECT)
        return NULL;
    for (const struct op *in = object + 1; in < l->ops + object->next; in = l->ops + in->next)
        if (andiron_str_eq(in->name, andiron_str_of(name)))
            return in;
    return NULL;
}

size_t program_tests(const struct program *program, struct andiron_policy_test *ret, size_t max)
{
    struct listing l = { .ops = program->ops, .ret = ret, .max = max };

    for (size_t i = 0; i < POLICY_FEATURES; i++) {
        const struct op *op = member(&l, program->ops, policy_features[i].name);
        size_t before = l.count;
        if (policy_features[i].inner != NULL)
            op = member(&l, op, policy_features[i].inner);
        if (op != NULL && !put_values(&l, policy_features[i].feature, op))
            l.count = before;
    }
    return l.count;
}
