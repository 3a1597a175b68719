/*
 * Compiling matcho patterns: every rule of seed-semantics 5.4 that can be checked without a
 * request is checked here, so that a stored policy always runs (AP-1).
 */
#include <stdio.h>

#include "program.h"

enum { OPS_MAX = 20000 };

struct compiling {
    struct andiron_arena *arena;
    struct op *ops;
    uint32_t count;
    char where[sizeof(((struct andiron_error *)NULL)->where)];
    size_t where_len;
    struct andiron_error *err;
};

typedef int (*compile_key_fn)(struct compiling *c, uint32_t at, andiron_json operand);

/* ---- where we are -------------------------------------------------------------------- */

static size_t enter_text(struct compiling *c, const char *text, size_t len)
{
    size_t before = c->where_len, room = sizeof(c->where) - 1 - c->where_len;
    if (len > room)
        len = room;
    memcpy(c->where + c->where_len, text, len);
    c->where_len += len;
    c->where[c->where_len] = '\0';
    return before;
}

static size_t enter_member(struct compiling *c, andiron_str name)
{
    size_t before = enter_text(c, ".", 1);
    (void)enter_text(c, name.data, name.len);
    return before;
}

static size_t enter_index(struct compiling *c, size_t index)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "[%zu]", index);
    return enter_text(c, text, (size_t)len);
}

static void leave(struct compiling *c, size_t before)
{
    c->where_len = before;
    c->where[before] = '\0';
}

#define refuse(c, code, ...) andiron_error_set((c)->err, (code), (c)->where, __VA_ARGS__)

/* ---- counting, to allocate once ------------------------------------------------------- */

static size_t count_values(andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    size_t count = 1;
    while (andiron_json_next(&it))
        count += count_values(it.value);
    return count;
}

/* ---- patterns -------------------------------------------------------------------------- */

static int compile_pattern(struct compiling *c, uint32_t at, andiron_json p);

/* The next op, in document order. Objects of several $keys need one more than they have values. */
static uint32_t add(struct compiling *c, andiron_str name, size_t index, andiron_json pattern)
{
    uint32_t at = c->count++;
    c->ops[at] = (struct op){ .name = name, .index = (uint32_t)index, .pattern = pattern };
    return at;
}

static int compile_regex(struct compiling *c, uint32_t at, andiron_str text)
{
    struct op *op = &c->ops[at];
    op->code = OP_REGEX;
    if (pattern_compile(c->arena, (andiron_str){ text.data + 1, text.len - 1 }, 0, &op->regex,
                        c->err) == 0)
        return 0;
    (void)snprintf(c->err->where, sizeof(c->err->where), "%s", c->where);
    return -1;
}

static int compile_path(struct compiling *c, uint32_t at, andiron_str text)
{
    struct op *op = &c->ops[at];
    op->code = OP_PATH;
    bool empty_step = text.len < 2 || text.data[text.len - 1] == '.';
    for (size_t i = 1; i < text.len; i++)
        empty_step |= text.data[i] == '.' && text.data[i - 1] == '.';
    if (empty_step || memchr(text.data, '\0', text.len) != NULL)
        return refuse(c, ANDIRON_E_VALUE,
                      "a string that begins with a dot is a path into the request, such as "
                      "\".client.id\", with a name after each dot; for the text itself write "
                      "{\"$enum\":[...]}");
    op->path = andiron_copy(c->arena, (andiron_str){ text.data + 1, text.len - 1 });
    return 0;
}

static int compile_string(struct compiling *c, uint32_t at, andiron_json p)
{
    static const struct {
        const char *text;
        enum op_code code;
    } words[] = { { "present?", OP_PRESENT }, { "nil?", OP_NIL }, { "not-blank?", OP_NOT_BLANK } };
    andiron_str text = andiron_json_str(p);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!andiron_str_eq(text, andiron_str_of(words[i].text)))
            continue;
        c->ops[at].code = words[i].code;
        return 0;
    }
    if (text.len > 0 && text.data[0] == '#')
        return compile_regex(c, at, text);
    if (text.len > 0 && text.data[0] == '.')
        return compile_path(c, at, text);
    c->ops[at].code = OP_EQUAL;
    return 0;
}

/* Elements of an array, each a pattern inside the op. */
static int compile_elements(struct compiling *c, andiron_json array)
{
    struct andiron_json_iter it = { .of = array };
    for (size_t i = 0; andiron_json_next(&it); i++) {
        size_t before = enter_index(c, i);
        if (compile_pattern(c, add(c, (andiron_str){ NULL, 0 }, i, it.value), it.value) != 0)
            return -1;
        leave(c, before);
    }
    return 0;
}

/* ---- $keys ------------------------------------------------------------------------------ */

static int need_patterns(struct compiling *c, andiron_json operand)
{
    if (andiron_json_type(operand) == ANDIRON_JSON_ARRAY && andiron_json_count(operand) > 0)
        return 0;
    return refuse(c, ANDIRON_E_ELEMENT, "is a non-empty array");
}

static int compile_enum(struct compiling *c, uint32_t at, andiron_json operand)
{
    c->ops[at].code = OP_ENUM;
    if (need_patterns(c, operand) != 0)
        return -1;
    struct andiron_json_iter it = { .of = operand };
    for (size_t i = 0; andiron_json_next(&it); i++) {
        enum andiron_json_type type = andiron_json_type(it.value);
        if (type == ANDIRON_JSON_STRING || type == ANDIRON_JSON_NUMBER || type == ANDIRON_JSON_BOOL)
            continue;
        (void)enter_index(c, i);
        return refuse(c, ANDIRON_E_ELEMENT,
                      "is a string, number or boolean; for other patterns there is $one-of");
    }
    return 0;
}

static int compile_one_of(struct compiling *c, uint32_t at, andiron_json operand)
{
    c->ops[at].code = OP_ONE_OF;
    return need_patterns(c, operand) != 0 ? -1 : compile_elements(c, operand);
}

static int compile_present_all(struct compiling *c, uint32_t at, andiron_json operand)
{
    c->ops[at].code = OP_PRESENT_ALL;
    return need_patterns(c, operand) != 0 ? -1 : compile_elements(c, operand);
}

static int compile_inner(struct compiling *c, uint32_t at, andiron_json operand, enum op_code code)
{
    c->ops[at].code = code;
    return compile_pattern(c, add(c, (andiron_str){ NULL, 0 }, 0, operand), operand);
}

static int compile_not(struct compiling *c, uint32_t at, andiron_json operand)
{
    return compile_inner(c, at, operand, OP_NOT);
}

static int compile_contains(struct compiling *c, uint32_t at, andiron_json operand)
{
    return compile_inner(c, at, operand, OP_CONTAINS);
}

static int compile_every(struct compiling *c, uint32_t at, andiron_json operand)
{
    return compile_inner(c, at, operand, OP_EVERY);
}

static int compile_reference(struct compiling *c, uint32_t at, andiron_json operand)
{
    return compile_inner(c, at, operand, OP_REFERENCE);
}

/* What can hold for a number: a number, a path, or $enum, $one-of and $not of them. */
static bool fits_number(const struct compiling *c, uint32_t at)
{
    const struct op *op = &c->ops[at];
    switch (op->code) {
    case OP_EQUAL:
        return andiron_json_type(op->pattern) == ANDIRON_JSON_NUMBER;
    case OP_PATH:
        return true;
    case OP_ENUM: {
        struct andiron_json_iter it = { .of = op->pattern };
        while (andiron_json_next(&it))
            if (andiron_json_type(it.value) != ANDIRON_JSON_NUMBER)
                return false;
        return true;
    }
    case OP_ONE_OF:
    case OP_NOT:
        for (uint32_t i = at + 1; i < op->next; i = c->ops[i].next)
            if (!fits_number(c, i))
                return false;
        return true;
    default:
        return false;
    }
}

static int compile_length(struct compiling *c, uint32_t at, andiron_json operand)
{
    if (compile_inner(c, at, operand, OP_LENGTH) != 0)
        return -1;
    if (fits_number(c, at + 1))
        return 0;
    return refuse(c, ANDIRON_E_ELEMENT,
                  "is a number, or $enum, $one-of or $not of numbers: of what length arrays match");
}

static const struct key {
    const char *name;
    compile_key_fn compile;
    bool joins; /* may stand beside others of these: all ask for an array (ML-1) */
} keys[] = {
    { "$enum", compile_enum, false },        { "$one-of", compile_one_of, false },
    { "$not", compile_not, false },          { "$reference", compile_reference, false },
    { "$contains", compile_contains, true }, { "$every", compile_every, true },
    { "$length", compile_length, true },     { "$present-all", compile_present_all, true },
};

static const struct key *find_key(andiron_str name)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(keys[i].name)))
            return &keys[i];
    return NULL;
}

static bool is_key(andiron_str name)
{
    return name.len > 0 && name.data[0] == '$';
}

static int compile_key(struct compiling *c, uint32_t at, andiron_str name, andiron_json operand,
                       bool alone)
{
    const struct key *key = find_key(name);
    size_t before = enter_member(c, name);
    if (key == NULL)
        return refuse(c, ANDIRON_E_ELEMENT,
                      "no such key; there are $enum, $one-of, $not, $contains, $every, "
                      "$present-all, $length and $reference");
    if (!alone && !key->joins)
        return refuse(c, ANDIRON_E_BUSINESS_RULE,
                      "stands alone in its object; only $present-all, $length, $every and "
                      "$contains may stand together");
    c->ops[at].pattern = operand;
    if (key->compile(c, at, operand) != 0)
        return -1;
    c->ops[at].next = c->count;
    leave(c, before);
    return 0;
}

/* {"$key": ...}: one is the op itself, several are inside an OP_ALL. */
static int compile_keys(struct compiling *c, uint32_t at, andiron_json p)
{
    size_t count = andiron_json_count(p);
    struct andiron_json_iter it = { .of = p };
    if (count > 1)
        c->ops[at].code = OP_ALL;
    while (andiron_json_next(&it)) {
        uint32_t own = count > 1 ? add(c, it.name, 0, p) : at;
        if (compile_key(c, own, it.name, it.value, count == 1) != 0)
            return -1;
    }
    return 0;
}

static int compile_members(struct compiling *c, uint32_t at, andiron_json p)
{
    struct andiron_json_iter it = { .of = p };
    c->ops[at].code = OP_OBJECT;
    while (andiron_json_next(&it)) {
        size_t before = enter_member(c, it.name);
        /* A copy ends with NUL, for andiron_policy_input(). */
        andiron_str name = { andiron_copy(c->arena, it.name), it.name.len };
        if (compile_pattern(c, add(c, name, 0, it.value), it.value) != 0)
            return -1;
        leave(c, before);
    }
    return 0;
}

static int compile_object(struct compiling *c, uint32_t at, andiron_json p)
{
    struct andiron_json_iter it = { .of = p };
    andiron_str first_key = { NULL, 0 };
    bool has_names = false;
    while (andiron_json_next(&it)) {
        if (!is_key(it.name))
            has_names = true;
        else if (first_key.data == NULL)
            first_key = it.name;
    }
    if (first_key.data == NULL)
        return compile_members(c, at, p);
    if (has_names) {
        (void)enter_member(c, first_key);
        return refuse(c, ANDIRON_E_BUSINESS_RULE,
                      "$keys and names of members do not mix in one object");
    }
    return compile_keys(c, at, p);
}

static int compile_pattern(struct compiling *c, uint32_t at, andiron_json p)
{
    int result = 0;
    switch (andiron_json_type(p)) {
    case ANDIRON_JSON_OBJECT:
        result = compile_object(c, at, p);
        break;
    case ANDIRON_JSON_ARRAY:
        c->ops[at].code = OP_ARRAY;
        result = compile_elements(c, p);
        break;
    case ANDIRON_JSON_STRING:
        result = compile_string(c, at, p);
        break;
    case ANDIRON_JSON_NULL:
    case ANDIRON_JSON_MISSING:
        c->ops[at].code = OP_NIL;
        break;
    case ANDIRON_JSON_BOOL:
    case ANDIRON_JSON_NUMBER:
    default:
        c->ops[at].code = OP_EQUAL;
        break;
    }
    c->ops[at].next = c->count;
    return result;
}

/* ---- ML-3 ------------------------------------------------------------------------------- */

static bool excludes(const struct op *op)
{
    return op->code == OP_NOT || op->code == OP_NIL;
}

/* A policy that only says who or what may not: everybody else, anonymous callers too, may. */
static const char *warning_of(const struct program *p)
{
    const struct op *root = &p->ops[0];
    bool excludes_caller = false, positive = false;
    if (root->code == OP_NOT)
        return "$not alone lets in every request that differs from it";
    if (root->code != OP_OBJECT)
        return NULL;
    for (uint32_t i = 1; i < root->next; i = p->ops[i].next) {
        const struct op *op = &p->ops[i];
        bool caller = andiron_str_eq(op->name, ANDIRON_STR("user")) ||
                      andiron_str_eq(op->name, ANDIRON_STR("client"));
        excludes_caller |= caller && op->code == OP_NOT;
        positive |= !excludes(op);
    }
    return excludes_caller && !positive
               ? "$not on user or client lets in everybody else, anonymous callers too"
               : NULL;
}

int program_compile(struct andiron_arena *arena, andiron_json pattern, const char *where,
                    struct program *ret, struct andiron_error *err)
{
    struct compiling c = { .arena = arena, .err = err };
    (void)enter_text(&c, where, strlen(where));
    /* At most one op per value, and one more for objects of several $keys, which have values. */
    size_t most = count_values(pattern) * 2;
    if (most > OPS_MAX)
        return refuse(&c, ANDIRON_E_VALUE, "has more than %d values; split the policy",
                      OPS_MAX / 2);
    c.ops = andiron_alloc(arena, most * sizeof(*c.ops));
    if (compile_pattern(&c, add(&c, (andiron_str){ NULL, 0 }, 0, pattern), pattern) != 0)
        return -1;
    *ret = (struct program){ .ops = c.ops, .count = c.count };
    ret->warning = warning_of(ret);
    return 0;
}
