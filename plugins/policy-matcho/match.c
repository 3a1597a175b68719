/*
 * Running matcho programs. Recursion is as deep as the pattern is nested, which the JSON parser
 * limits.
 */
#include "match.h"

#include "reference.h"

/* A value to be matched. Not all are JSON: the request is built only as far as it is asked for. */
enum value_kind { VALUE_JSON, VALUE_REQUEST, VALUE_TEXT, VALUE_NUMBER, VALUE_REFERENCE };

struct value {
    enum value_kind kind;
    union {
        andiron_json json;
        andiron_str text;
        int64_t number;
        const struct reference *reference;
    };
};

struct run {
    struct match *m;
    const struct op *ops;
    unsigned quiet; /* inside an op that reports for what is inside of it */
    struct policy_budget budget;
    size_t depth; /* steps of m's place that are in use */
};

/* ---- values --------------------------------------------------------------------------- */

static struct value of_json(andiron_json v)
{
    return (struct value){ .kind = VALUE_JSON, .json = v };
}

static struct value of_text(andiron_str text)
{
    if (text.len == 0)
        return of_json((andiron_json){ NULL, 0 });
    return (struct value){ .kind = VALUE_TEXT, .text = text };
}

/* A null is what RO-1 leaves in arrays only; it counts as missing there, too (ML-4). */
static bool json_is_missing(andiron_json v)
{
    return andiron_json_type(v) <= ANDIRON_JSON_NULL;
}

static bool is_missing(const struct value *v)
{
    return v->kind == VALUE_JSON && json_is_missing(v->json);
}

static bool is_object(const struct value *v)
{
    return v->kind == VALUE_REQUEST || v->kind == VALUE_REFERENCE ||
           (v->kind == VALUE_JSON && andiron_json_type(v->json) == ANDIRON_JSON_OBJECT);
}

static bool is_array(const struct value *v)
{
    return v->kind == VALUE_JSON && andiron_json_type(v->json) == ANDIRON_JSON_ARRAY;
}

static andiron_str text_of(const struct value *v)
{
    if (v->kind == VALUE_TEXT)
        return v->text;
    return v->kind == VALUE_JSON ? andiron_json_str(v->json) : (andiron_str){ NULL, 0 };
}

static struct value reference_member(const struct reference *ref, andiron_str name)
{
    if (andiron_str_eq(name, ANDIRON_STR("resourceType")))
        return of_text(ref->type);
    if (andiron_str_eq(name, ANDIRON_STR("id")))
        return of_text(ref->id);
    if (andiron_str_eq(name, ANDIRON_STR("uri")))
        return of_text(ref->uri);
    return of_json((andiron_json){ NULL, 0 });
}

/* name ends with NUL. A dot in it would make it a path: then it is looked up in the whole. */
static andiron_json request_member(const struct match *m, andiron_str name)
{
    if (name.len > 0 && strlen(name.data) == name.len && memchr(name.data, '.', name.len) == NULL)
        return m->input(m->arg, name.data);
    return andiron_json_member(m->input(m->arg, ""), name);
}

static struct value member_of(const struct match *m, const struct value *v, andiron_str name)
{
    if (v->kind == VALUE_REQUEST)
        return of_json(request_member(m, name));
    if (v->kind == VALUE_REFERENCE)
        return reference_member(v->reference, name);
    return of_json(andiron_json_member(v->json, name));
}

static bool equals(const struct match *m, const struct value *v, andiron_json wanted)
{
    struct reference other;
    switch (v->kind) {
    case VALUE_JSON:
        return andiron_json_equal(v->json, wanted);
    case VALUE_TEXT:
        return andiron_json_type(wanted) == ANDIRON_JSON_STRING &&
               andiron_str_eq(v->text, andiron_json_str(wanted));
    case VALUE_NUMBER:
        return andiron_json_int(wanted, -1) == v->number;
    case VALUE_REFERENCE: /* both as references, however they are written */
        return reference_of(wanted, m->fhir_base, &other) && reference_same(v->reference, &other);
    case VALUE_REQUEST:
    default:
        return false;
    }
}

/* ---- limits ---------------------------------------------------------------------------- */

static bool spend(struct run *r, size_t steps)
{
    return policy_budget_spend(&r->budget, steps);
}

/* ---- what differed --------------------------------------------------------------------- */

/* The first to fail outside of anything quiet is why the whole fails. */
static bool differs(struct run *r, const struct op *op, const struct value *v)
{
    if (r->quiet > 0 || (r->budget.is_spent && r->m->failed != NULL))
        return false;
    r->m->failed = op;
    r->m->is_missing = is_missing(v);
    r->m->found = v->kind == VALUE_JSON ? v->json : (andiron_json){ NULL, 0 };
    r->m->place.depth = r->depth; /* nothing runs on that would overwrite the steps */
    return false;
}

/* ---- ops ------------------------------------------------------------------------------- */

static bool run_op(struct run *r, const struct op *op, const struct value *v);

static const struct op *behind(const struct run *r, const struct op *op)
{
    return r->ops + op->next;
}

static bool run_at(struct run *r, const struct op *op, const struct value *v, andiron_str name,
                   size_t index)
{
    if (r->depth == POLICY_PLACE_MAX) {
        r->budget.is_spent = true;
        return false;
    }
    r->m->place.steps[r->depth] = (struct policy_step){ name, index };
    r->depth++;
    bool result = run_op(r, op, v);
    r->depth--;
    return result;
}

static bool run_quiet(struct run *r, const struct op *op, const struct value *v)
{
    r->quiet++;
    bool result = run_op(r, op, v);
    r->quiet--;
    return result;
}

static bool run_object(struct run *r, const struct op *op, const struct value *v)
{
    if (!is_object(v))
        return differs(r, op, v);
    for (const struct op *inner = op + 1; inner < behind(r, op); inner = behind(r, inner)) {
        struct value member = member_of(r->m, v, inner->name);
        if (!run_at(r, inner, &member, inner->name, 0))
            return false;
    }
    return true;
}

static bool run_array(struct run *r, const struct op *op, const struct value *v)
{
    if (!is_array(v))
        return differs(r, op, v);
    struct andiron_json_iter it = { .of = v->json };
    for (const struct op *inner = op + 1; inner < behind(r, op); inner = behind(r, inner)) {
        (void)andiron_json_next(&it); /* behind the end: MISSING */
        struct value element = of_json(it.value);
        if (!run_at(r, inner, &element, (andiron_str){ NULL, 0 }, inner->index))
            return false;
    }
    return true;
}

static bool go_on(void *budget)
{
    return policy_budget_look(budget);
}

static bool run_regex(struct run *r, const struct op *op, const struct value *v)
{
    andiron_str text = text_of(v);
    if (text.data == NULL)
        return differs(r, op, v);
    if (!spend(r, POLICY_BUDGET_REGEX))
        return differs(r, op, v);
    switch (pattern_find(op->regex, r->m->regex, text, go_on, &r->budget)) {
    case PATTERN_MATCH:
        return true;
    case PATTERN_LIMIT:
        r->budget.is_spent = true;
        return differs(r, op, v);
    case PATTERN_NO_MATCH:
    default:
        return differs(r, op, v);
    }
}

static bool run_path(struct run *r, const struct op *op, const struct value *v)
{
    andiron_json other = r->m->input(r->m->arg, op->path);
    if (json_is_missing(other) || is_missing(v)) {
        bool both = json_is_missing(other) && is_missing(v);
        return (both && r->m->null_equal) || differs(r, op, v);
    }
    if (!spend(r, 1 + andiron_json_raw(other).len / 64))
        return differs(r, op, v);
    return equals(r->m, v, other) || differs(r, op, v);
}

static bool run_enum(struct run *r, const struct op *op, const struct value *v)
{
    struct andiron_json_iter it = { .of = op->pattern };
    (void)spend(r, andiron_json_count(op->pattern));
    while (andiron_json_next(&it))
        if (equals(r->m, v, it.value))
            return true;
    return differs(r, op, v);
}

static bool run_one_of(struct run *r, const struct op *op, const struct value *v)
{
    for (const struct op *inner = op + 1; inner < behind(r, op); inner = behind(r, inner))
        if (run_quiet(r, inner, v))
            return true;
    return differs(r, op, v);
}

static bool has_element(struct run *r, const struct op *inner, const struct value *v)
{
    struct andiron_json_iter it = { .of = v->json };
    while (!r->budget.is_spent && andiron_json_next(&it)) {
        struct value element = of_json(it.value);
        if (run_quiet(r, inner, &element))
            return true;
    }
    return false;
}

static bool run_contains(struct run *r, const struct op *op, const struct value *v)
{
    return (is_array(v) && has_element(r, op + 1, v)) || differs(r, op, v);
}

static bool run_present_all(struct run *r, const struct op *op, const struct value *v)
{
    if (!is_array(v))
        return differs(r, op, v);
    for (const struct op *inner = op + 1; inner < behind(r, op); inner = behind(r, inner))
        if (!has_element(r, inner, v))
            return differs(r, op, v);
    return true;
}

static bool run_every(struct run *r, const struct op *op, const struct value *v)
{
    if (!is_array(v) || andiron_json_count(v->json) == 0)
        return differs(r, op, v);
    struct andiron_json_iter it = { .of = v->json };
    for (size_t i = 0; andiron_json_next(&it); i++) {
        struct value element = of_json(it.value);
        if (!run_at(r, op + 1, &element, (andiron_str){ NULL, 0 }, i))
            return false;
    }
    return true;
}

static bool run_length(struct run *r, const struct op *op, const struct value *v)
{
    if (!is_array(v))
        return differs(r, op, v);
    struct value length = { .kind = VALUE_NUMBER, .number = (int64_t)andiron_json_count(v->json) };
    return run_quiet(r, op + 1, &length) || differs(r, op, v);
}

static bool run_reference(struct run *r, const struct op *op, const struct value *v)
{
    struct reference reference;
    struct value normal = { .kind = VALUE_REFERENCE, .reference = &reference };
    bool read = v->kind == VALUE_TEXT
                    ? reference_of_text(v->text, r->m->fhir_base, &reference)
                    : v->kind == VALUE_JSON && reference_of(v->json, r->m->fhir_base, &reference);
    if (v->kind == VALUE_REFERENCE) /* $reference inside of $reference */
        normal = *v;
    else if (!read)
        return differs(r, op, v);
    return run_op(r, op + 1, &normal);
}

static bool run_all(struct run *r, const struct op *op, const struct value *v)
{
    for (const struct op *inner = op + 1; inner < behind(r, op); inner = behind(r, inner))
        if (!run_op(r, inner, v))
            return false;
    return true;
}

static bool has_visible(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != ' ' && (text.data[i] < '\t' || text.data[i] > '\r'))
            return true;
    return false;
}

static bool run_op(struct run *r, const struct op *op, const struct value *v)
{
    if (!spend(r, 1))
        return differs(r, op, v);
    switch (op->code) {
    case OP_EQUAL:
        return equals(r->m, v, op->pattern) || differs(r, op, v);
    case OP_NIL:
        return is_missing(v) || differs(r, op, v);
    case OP_PRESENT:
        return !is_missing(v) || differs(r, op, v);
    case OP_NOT_BLANK:
        return has_visible(text_of(v)) || differs(r, op, v);
    case OP_REGEX:
        return run_regex(r, op, v);
    case OP_PATH:
        return run_path(r, op, v);
    case OP_OBJECT:
        return run_object(r, op, v);
    case OP_ARRAY:
        return run_array(r, op, v);
    case OP_ENUM:
        return run_enum(r, op, v);
    case OP_ONE_OF:
        return run_one_of(r, op, v);
    case OP_NOT:
        return !run_quiet(r, op + 1, v) || differs(r, op, v);
    case OP_CONTAINS:
        return run_contains(r, op, v);
    case OP_EVERY:
        return run_every(r, op, v);
    case OP_PRESENT_ALL:
        return run_present_all(r, op, v);
    case OP_LENGTH:
        return run_length(r, op, v);
    case OP_REFERENCE:
        return run_reference(r, op, v);
    case OP_ALL:
        return run_all(r, op, v);
    default:
        r->budget.is_spent = true; /* no such op is ever made */
        return false;
    }
}

static enum match_result run(struct match *m, const struct op *op, const struct value *v,
                             struct policy_budget *budget)
{
    struct run r;
    r.m = m;
    r.ops = m->program->ops;
    r.quiet = 0;
    r.budget = *budget;
    r.depth = 0;
    m->failed = NULL;
    m->place.depth = 0;
    bool result = run_op(&r, op, v);
    *budget = r.budget;
    if (r.budget.is_spent)
        return MATCH_GAVE_UP;
    return result ? MATCH_YES : MATCH_NO;
}

enum match_result match_request(struct match *m)
{
    struct value v = { .kind = VALUE_REQUEST, .number = 0 };
    struct policy_budget budget = policy_budget_of(m->limit_us);
    return run(m, m->program->ops, &v, &budget);
}

enum match_result match_value(struct match *m, andiron_json v)
{
    struct policy_budget budget = policy_budget_of(m->limit_us);
    return match_op(m, m->program->ops, v, &budget);
}

enum match_result match_op(struct match *m, const struct op *op, andiron_json v,
                           struct policy_budget *budget)
{
    struct value value = of_json(v);
    return run(m, op, &value, budget);
}

/* ---- in words --------------------------------------------------------------------------- */

void match_expected(const struct op *op, struct policy_text *ret)
{
    static const char *const words[] = {
        [OP_NIL] = "nothing",
        [OP_PRESENT] = "a value",
        [OP_NOT_BLANK] = "a string that is not blank",
        [OP_OBJECT] = "an object that matches ",
        [OP_ARRAY] = "an array that matches ",
        [OP_PRESENT_ALL] = "elements that match each of ",
        [OP_REFERENCE] = "a reference",
        [OP_PATH] = "what is at ",
        [OP_REGEX] = "a string that matches ",
        [OP_EVERY] = "elements that all match ",
        [OP_CONTAINS] = "an element that matches ",
        [OP_ENUM] = "one of ",
        [OP_ONE_OF] = "one of ",
        [OP_ALL] = "",
        [OP_EQUAL] = "",
        [OP_NOT] = "",
        [OP_LENGTH] = "a length ",
    };
    enum { SHOWN = 80 };
    const char *word = words[op->code];
    size_t len = strlen(word);
    policy_text_put(ret, word, len);
    if (len > 0 && word[len - 1] != ' ') /* says it all */
        return;
    andiron_str raw = andiron_json_raw(op->pattern);
    policy_text_put(ret, raw.data, raw.len < SHOWN ? raw.len : SHOWN);
    if (raw.len > SHOWN)
        policy_text_put_string(ret, "...");
}
