/*
 * Reading tests off a program: members that are compared with texts.
 */
#include "tests.h"

#include "common/pattern/asks.h"
#include "common/pattern/limits.h"
#include "common/policy/features.h"
#include "common/policy/literals.h"

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

/* ---- literals: any place ---------------------------------------------------------------- */

/* As put_values(), where the listing stands. */
static bool put_here(struct policy_literals *l, const struct op *ops, const struct op *op)
{
    bool known = true, is_whole;
    struct andiron_json_iter it = { .of = op->pattern };
    andiron_str text;
    switch (op->code) {
    case OP_EQUAL:
        return policy_literals_put_json(l, op->pattern);
    case OP_NIL:
        return policy_literals_put(l, (andiron_str){ NULL, 0 });
    case OP_ENUM:
        while (known && andiron_json_next(&it))
            known = policy_literals_put_json(l, it.value);
        return known;
    case OP_REGEX:
        text = andiron_json_str(op->pattern);
        text = pattern_beginning((andiron_str){ text.data + 1, text.len - 1 }, &is_whole);
        return text.data != NULL && is_whole && policy_literals_put(l, text);
    case OP_ONE_OF:
        for (const struct op *in = op + 1; known && in < ops + op->next; in = ops + in->next)
            known = put_here(l, ops, in);
        return known;
    default:
        return false;
    }
}

/* The same, of what strings there hold. */
static bool put_fragments(struct policy_literals *l, const struct op *ops, const struct op *op)
{
    struct andiron_json_iter it = { .of = op->pattern };
    andiron_str text = andiron_json_str(op->pattern);
    bool known = true;
    switch (op->code) {
    case OP_EQUAL:
        return policy_literals_put_fragment(l, text);
    case OP_NIL:
        return policy_literals_put(l, (andiron_str){ NULL, 0 });
    case OP_ENUM:
        while (known && andiron_json_next(&it))
            known = policy_literals_put_fragment(l, andiron_json_str(it.value));
        return known;
    case OP_REGEX:
        text = (andiron_str){ text.data + 1, text.len - 1 };
        return policy_put_expression(l, text);
    case OP_ONE_OF:
        for (const struct op *in = op + 1; known && in < ops + op->next; in = ops + in->next)
            known = put_fragments(l, ops, in);
        return known;
    default:
        return false;
    }
}

typedef bool (*put_fn)(struct policy_literals *l, const struct op *ops, const struct op *op);

static void list_op(struct policy_literals *l, const struct op *ops, const struct op *op,
                    put_fn put_found);

/* What must hold inside of op, each where `enter` goes. Recursion is as deep as the pattern. */
static void list_inner(struct policy_literals *l, const struct op *ops, const struct op *op,
                       put_fn put_found)
{
    for (const struct op *in = op + 1; in < ops + op->next; in = ops + in->next) {
        size_t len = l->len;
        bool entered = true;
        if (op->code == OP_OBJECT)
            entered = policy_literals_enter(l, in->name);
        else if (op->code == OP_ARRAY)
            entered = policy_literals_enter_index(l, in->index);
        else if (op->code != OP_ALL) /* $contains, $every, $present-all: some element is so */
            entered = policy_literals_enter_any(l);
        if (entered)
            list_op(l, ops, in, put_found);
        policy_literals_leave(l, len);
    }
}

static void list_op(struct policy_literals *l, const struct op *ops, const struct op *op,
                    put_fn put_found)
{
    size_t before = l->count;
    switch (op->code) {
    case OP_OBJECT:
    case OP_ARRAY:
    case OP_ALL:
    case OP_CONTAINS:
    case OP_EVERY:
    case OP_PRESENT_ALL:
        list_inner(l, ops, op, put_found);
        break;
    default:
        if (!put_found(l, ops, op))
            l->count = before;
    }
}

size_t program_literals(const struct program *program, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max)
{
    struct policy_literals l = policy_literals_into(arena, ret, max);
    list_op(&l, program->ops, program->ops, put_here);
    return l.count;
}

size_t program_fragments(const struct program *program, struct andiron_arena *arena,
                         struct andiron_policy_literal *ret, size_t max)
{
    struct policy_literals l = policy_literals_into(arena, ret, max);
    list_op(&l, program->ops, program->ops, put_fragments);
    return l.count;
}
