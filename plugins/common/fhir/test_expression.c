/*
 * The compiler of search expressions: over all of R4's it makes what tools/fhir made, and what
 * is outside of the subset is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "common/fhir/elements.h"
#include "common/fhir/expression.h"
#include "common/fhir/tables.h"
#include "common/fhir/types.h"

struct official {
    int text, part_count;
    struct {
        int kind, text;
    } parts[3];
};

#include "common/fhir/generated/expressions.inc"

/* ---- programs are equal ------------------------------------------------------- */

struct side {
    const struct fhir_program *program;
};

static void assert_nodes(struct side a, uint16_t in_a, struct side b, uint16_t in_b);

static void assert_truths(struct side a, const struct fhir_truth_row *x, struct side b,
                          const struct fhir_truth_row *y)
{
    for (;; x++, y++) {
        assert_int_equal(x->op, y->op);
        assert_int_equal(x->is_last, y->is_last);
        assert_int_equal(x->member_count, y->member_count);
        assert_string_equal(a.program->names + x->literal, b.program->names + y->literal);
        for (unsigned i = 0; i < x->member_count; i++)
            assert_string_equal(a.program->names + a.program->truth_members[x->members + i],
                                b.program->names + b.program->truth_members[y->members + i]);
        if (x->is_last)
            return;
    }
}

static void assert_emits(struct side a, const struct fhir_emit_row *x, struct side b,
                         const struct fhir_emit_row *y)
{
    assert_string_equal(a.program->names + a.program->params[x->param].code,
                        b.program->names + b.program->params[y->param].code);
    assert_int_equal(x->how, y->how);
    assert_int_equal(x->part, y->part);
    if (x->how == FHIR_HOW_CODE) {
        assert_string_equal(a.program->texts + x->arg, b.program->texts + y->arg);
    } else if (x->how == FHIR_HOW_TRUTH) {
        assert_truths(a, a.program->truths + x->arg, b, b.program->truths + y->arg);
    } else if (x->how == FHIR_HOW_COMPOSITE) {
        const struct fhir_composite_row *p = a.program->composites + x->arg;
        const struct fhir_composite_row *q = b.program->composites + y->arg;
        assert_int_equal(p->count, q->count);
        assert_int_equal(p->from_resource, q->from_resource);
        for (unsigned i = 0; i < p->count; i++)
            assert_nodes(a, p->parts[i], b, q->parts[i]);
    }
}

static void assert_guards(struct side a, const struct fhir_guard_row *x, struct side b,
                          const struct fhir_guard_row *y)
{
    assert_int_equal(x->op, y->op);
    if (x->op == FHIR_GUARD_INDEX) {
        assert_int_equal(x->a, y->a);
    } else {
        assert_string_equal(a.program->names + x->a, b.program->names + y->a);
        assert_string_equal(a.program->names + x->b, b.program->names + y->b);
    }
    assert_nodes(a, x->node, b, y->node);
}

static const struct fhir_edge_row *edge_of(struct side s, const struct fhir_node_row *node,
                                           const char *name)
{
    for (unsigned i = 0; i < node->edge_count; i++)
        if (strcmp(s.program->names + s.program->edges[node->edges + i].name, name) == 0)
            return &s.program->edges[node->edges + i];
    return NULL;
}

static void assert_nodes(struct side a, uint16_t in_a, struct side b, uint16_t in_b)
{
    const struct fhir_node_row *x = &a.program->nodes[in_a], *y = &b.program->nodes[in_b];

    assert_int_equal(x->emit_count, y->emit_count);
    assert_int_equal(x->guard_count, y->guard_count);
    assert_int_equal(x->edge_count, y->edge_count);
    for (unsigned i = 0; i < x->emit_count; i++)
        assert_emits(a, a.program->emits + x->emits + i, b, b.program->emits + y->emits + i);
    for (unsigned i = 0; i < x->guard_count; i++)
        assert_guards(a, a.program->guards + x->guards + i, b, b.program->guards + y->guards + i);
    for (unsigned i = 0; i < x->edge_count; i++) {
        const struct fhir_edge_row *edge = &a.program->edges[x->edges + i];
        const struct fhir_edge_row *other = edge_of(b, y, a.program->names + edge->name);
        assert_non_null(other);
        assert_int_equal(edge->length, other->length);
        if (i > 0)
            assert_true(edge->length >= edge[-1].length);
        assert_nodes(a, edge->node, b, other->node);
    }
}

/* ---- R4 ------------------------------------------------------------------------ */

static bool is_of_store(const char *code)
{
    return strcmp(code, "_id") == 0 || strcmp(code, "_lastUpdated") == 0;
}

/* Those that the store answers itself have no program. */
static size_t official_params(unsigned first, unsigned end, struct fhir_expression *params,
                              uint16_t *numbers)
{
    size_t count = 0;
    for (unsigned p = first; p < end; p++) {
        const struct fhir_param_row *row = &fhir_param_rows[p];
        struct fhir_expression *own = &params[count];
        if (is_of_store(fhir_names + row->code))
            continue;
        *own = (struct fhir_expression){ .code = fhir_names + row->code,
                                         .kind = (enum fhir_param_kind)row->kind,
                                         .text = andiron_str_of(texts[official[p].text]),
                                         .part_count = (size_t)official[p].part_count };
        for (int i = 0; i < official[p].part_count; i++) {
            own->parts[i].kind = (enum fhir_param_kind)official[p].parts[i].kind;
            own->parts[i].text = andiron_str_of(texts[official[p].parts[i].text]);
        }
        numbers[count++] = (uint16_t)p;
    }
    return count;
}

static void all_of_r4_compiles_to_the_generated_programs(void **state)
{
    (void)state;
    for (int type = 0; type <= FHIR_TYPE_COUNT; type++) {
        static struct fhir_expression params[256];
        static uint16_t numbers[256];
        struct andiron_arena *arena = arena_new();
        struct andiron_error err = { .code = ANDIRON_OK };
        struct fhir_extract_root root;
        size_t failed = 0;
        int structure = type < FHIR_TYPE_COUNT ? type : FHIR_STRUCTURE_RESOURCE_INDEX;
        size_t count =
            official_params(fhir_param_first[type], fhir_param_first[type + 1], params, numbers);

        if (fhir_expression_compile(arena, structure, params, count, &root, &failed, &err) != 0)
            fail_msg("%s of structure %d: %s", params[failed].code, type, err.message);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(params[i].is_plain, fhir_param_rows[numbers[i]].is_plain != 0);
        assert_int_equal(root.count, count);
        assert_nodes((struct side){ fhir_program_r4() }, fhir_program_roots[type],
                     (struct side){ root.program }, root.node);
        arena_free(arena);
    }
}

/* ---- beyond R4's, and refusals -------------------------------------------------- */

static int compile_one(struct andiron_arena *arena, const char *type, enum fhir_param_kind kind,
                       andiron_str text, struct fhir_extract_root *root, struct andiron_error *err)
{
    struct fhir_expression param = { .code = "x", .kind = kind, .text = text };
    size_t failed;
    return fhir_expression_compile(arena, fhir_type(andiron_str_of(type)), &param, 1, root, &failed,
                                   err);
}

static void other_forms_compile(void **state)
{
    static const struct {
        const char *type;
        enum fhir_param_kind kind;
        const char *text;
    } cases[] = {
        { "Patient", FHIR_PARAM_TOKEN,
          "Patient.extension.where(url = 'http://x').extension.value.code" },
        { "Patient", FHIR_PARAM_TOKEN, "Patient.extension('http://x').value" },
        { "Condition", FHIR_PARAM_DATE, "Condition.extension.where(url='http://x').valueDateTime" },
        { "Observation", FHIR_PARAM_QUANTITY, "Observation.value.ofType(Quantity)" },
        { "Observation", FHIR_PARAM_QUANTITY, "(Observation.value as FHIR.Quantity)" },
        { "Patient", FHIR_PARAM_STRING, "Patient.name.first().given[0]" },
        { "Patient", FHIR_PARAM_TOKEN, "Patient.deceased.exists()" },
        { "Patient", FHIR_PARAM_STRING, "name.family | $this.name.given" },
        { "Patient", FHIR_PARAM_STRING, "Patient.`name`.family" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct andiron_arena *arena = arena_new();
        struct andiron_error err = { .code = ANDIRON_OK };
        struct fhir_extract_root root;
        if (compile_one(arena, cases[i].type, cases[i].kind, andiron_str_of(cases[i].text), &root,
                        &err) != 0)
            fail_msg("%s: %s", cases[i].text, err.message);
        arena_free(arena);
    }
}

static void what_is_not_supported_is_named(void **state)
{
    static const struct {
        enum fhir_param_kind kind;
        const char *text, *message;
    } cases[] = {
        { FHIR_PARAM_STRING, "", "1 to 4096 bytes" },
        { FHIR_PARAM_STRING, "Patient.name.select(family)",
          "the function select() at character 14 is not supported" },
        { FHIR_PARAM_STRING, "Patient.nme", "Patient has no element \"nme\"" },
        { FHIR_PARAM_STRING, "Patient.name.family.x", "string has no element \"x\"" },
        { FHIR_PARAM_STRING, "Patient.name.family x", "expected at character 21, not \"x\"" },
        { FHIR_PARAM_STRING, "Patient.name + 'x'", "not \"+\"" },
        { FHIR_PARAM_STRING, "Patient.name.where(use='x", "quote at character 24 has no end" },
        { FHIR_PARAM_STRING, "Patient.name.where(use in 'x')", "not \"in\"" },
        { FHIR_PARAM_STRING, "Patient.name.where(period.start = 'x')", "where() supports only" },
        { FHIR_PARAM_STRING, "Patient.name.where(use != 'x')", "where() supports only" },
        { FHIR_PARAM_DATE, "Patient.name", "leads to a HumanName, which a date parameter" },
        { FHIR_PARAM_STRING, "Observation.code", "no part of it is about Patient" },
        { FHIR_PARAM_STRING, "Pateint.name", "there is no type Pateint" },
        { FHIR_PARAM_STRING, "%context.name", "%context is not supported" },
        { FHIR_PARAM_STRING, "Patient.link.other.resolve().name", "resolve() is supported only" },
        { FHIR_PARAM_STRING, "Patient.name[1001]", "a number up to 1000" },
        { FHIR_PARAM_QUANTITY, "Patient.birthDate as Quantity", "no element of Patient is of" },
        { FHIR_PARAM_STRING, "Patient.", "a name is expected at its end" },
        { FHIR_PARAM_TOKEN, "Patient.name.family.exists()", "elements of the resource itself" },
        { FHIR_PARAM_STRING,
          "Patient.extension.extension.extension.extension.extension.extension.extension.extension."
          "extension.extension.extension.extension.extension.extension.extension.extension."
          "extension.extension.extension.extension.extension.extension.extension.extension."
          "extension.extension.extension.extension.extension.extension.extension.extension.url",
          "more than 32 steps" },
        { FHIR_PARAM_STRING, "Patient.extension.value.extension.value.extension.value",
          "more than 1024 paths" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct andiron_arena *arena = arena_new();
        struct andiron_error err = { .code = ANDIRON_OK };
        struct fhir_extract_root root;
        int failed = compile_one(arena, "Patient", cases[i].kind, andiron_str_of(cases[i].text),
                                 &root, &err);
        if (failed != -1 || strstr(err.message, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_int_equal(err.code, ANDIRON_E_UNPROCESSABLE);
        arena_free(arena);
    }
}

/* Two composites, after R4's own with theirs: the groups of each count from 1. */
static void groups_do_not_depend_on_other_parameters(void **state)
{
    struct andiron_arena *arena = arena_new();
    struct fhir_extract_options options = { .max_terms = 1000 };
    struct andiron_error err = { .code = ANDIRON_OK };
    const struct andiron_term *terms;
    struct fhir_extract_root roots[2];
    struct fhir_extract_root own = fhir_extract_r4(fhir_type(ANDIRON_STR("Patient")));
    size_t count, failed, seen = 0;
    andiron_json patient;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fhir_expression param = { .code = i == 0 ? "a@1" : "b@1",
                                         .kind = FHIR_PARAM_COMPOSITE,
                                         .text = ANDIRON_STR("Patient.name"),
                                         .part_count = 2 };
        param.parts[0].kind = param.parts[1].kind = FHIR_PARAM_STRING;
        param.parts[0].text = ANDIRON_STR("family");
        param.parts[1].text = ANDIRON_STR("given");
        assert_int_equal(fhir_expression_compile(arena, fhir_type(ANDIRON_STR("Patient")), &param,
                                                 1, &roots[i], &failed, &err),
                         0);
    }
    assert_int_equal(andiron_json_parse(arena,
                                        ANDIRON_STR("{\"resourceType\":\"Patient\",\"name\":[{"
                                                    "\"family\":\"A\",\"given\":[\"B\"]}]}"),
                                        &patient, &err),
                     0);
    const struct fhir_extract_root *const more[] = { &roots[0], &roots[1] };
    assert_int_equal(
        fhir_extract_more(arena, &options, &own, more, 2, patient, &terms, &count, &err), 0);
    for (size_t i = 0; i < count; i++)
        if (strchr(terms[i].param, '@') != NULL && terms[i].kind != ANDIRON_TERM_PRESENT) {
            assert_int_equal(terms[i].group, 1);
            seen++;
        }
    assert_true(seen >= 4);
    assert_int_equal(
        fhir_extract_more(arena, &options, NULL, more, 1, patient, &terms, &count, &err), 0);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(terms[i].param, "a@1");
    arena_free(arena);
}

static void nesting_is_limited(void **state)
{
    static char deep[FHIR_EXPRESSION_MAX];
    struct andiron_arena *arena = arena_new();
    struct andiron_error err;
    struct fhir_extract_root root;
    (void)state;
    memset(deep, '(', sizeof(deep));
    assert_int_equal(compile_one(arena, "Patient", FHIR_PARAM_STRING,
                                 (andiron_str){ deep, sizeof(deep) }, &root, &err),
                     -1);
    assert_non_null(strstr(err.message, "parentheses"));
    for (size_t i = 0; i + 2 <= sizeof(deep); i += 2)
        memcpy(deep + i, "a.", 2);
    assert_int_equal(compile_one(arena, "Patient", FHIR_PARAM_STRING,
                                 (andiron_str){ deep, sizeof(deep) - 1 }, &root, &err),
                     -1);
    assert_non_null(strstr(err.message, "parts"));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_r4_compiles_to_the_generated_programs),
        cmocka_unit_test(other_forms_compile),
        cmocka_unit_test(what_is_not_supported_is_named),
        cmocka_unit_test(groups_do_not_depend_on_other_parameters),
        cmocka_unit_test(nesting_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
