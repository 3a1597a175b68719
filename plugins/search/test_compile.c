/*
 * Compiling searches: each expression to its query tree, written as text; and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "compile.h"
#include "matches.h"

static const struct search_limits limits = { .max_params = 256,
                                             .max_values = 256,
                                             .max_conditions = 10000,
                                             .chain_depth = 3,
                                             .sort_keys = 3,
                                             .max_count = 1000,
                                             .default_count = 100,
                                             .total_limit = 1000,
                                             .max_codes = 1000,
                                             .max_sets = 32 };
static struct model model;
static struct andiron_arena *arena;
static struct andiron_error failure;
static struct andiron_search_plan plan;

static const char *const lab[] = { "category=laboratory", NULL };
static const char *const of_patient[] = { "_compartment=Patient/12", NULL };
static const char *const impossible[] = { "nonsense=1", NULL };
static const char *const chained[] = { "subject:Patient.gender:not=male", NULL };
static const char *const *narrow_to;
static const struct andiron_prepared *narrow_by; /* the same, prepared; or NULL */
static const char *narrow_type;

static const struct andiron_limit *narrowing(const void *of, size_t *pos, andiron_str type,
                                             enum andiron_access access)
{
    static struct andiron_limit limit;
    (void)of;
    if (narrow_to == NULL || *pos > 0 || access != ANDIRON_ACCESS_SEARCH ||
        !andiron_str_eq(type, andiron_str_of(narrow_type)))
        return NULL;
    (*pos)++;
    limit = (struct andiron_limit){ .any_of = narrow_to, .prepared = narrow_by };
    return &limit;
}

static int compile_as(const char *type, const char *expression, bool is_strict)
{
    struct compiling c = { .model = &model,
                           .limits = &limits,
                           .arena = arena,
                           .base = ANDIRON_STR("https://host"),
                           .is_strict = is_strict,
                           .err = &failure,
                           .narrowing = narrowing };
    return search_compile(&c, andiron_str_of(type), andiron_str_of(expression), &plan);
}

/* ---- query trees as text ----------------------------------------------------- */

static char text[8192];
static size_t text_len;

static void put(const char *fmt, ...) ANDIRON_PRINTF(1, 2);
static void put(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    text_len += (size_t)vsnprintf(text + text_len, sizeof(text) - text_len, fmt, args);
    va_end(args);
    assert_true(text_len < sizeof(text));
}

static void put_term(const struct andiron_filter *f)
{
    static const char *const kinds[] = { "token",  "string",   "ref", "date",
                                         "number", "quantity", "uri", "present" };
    static const char *const compares[] = { "eq",    "ne",     "gt",       "lt",
                                            "ge",    "le",     "sa",       "eb",
                                            "ap",    "starts", "contains", "exact",
                                            "below", "above",  "system",   "of-type" };
    const struct andiron_term *t = &f->term;
    put("%s:%s:%s", t->param, kinds[t->kind], compares[f->compare]);
    if (t->part != 0)
        put("#%u", t->part);
    if (t->system.data != NULL)
        put("[%.*s|]", (int)t->system.len, t->system.data);
    if (t->text.data != NULL)
        put("'%.*s'", (int)t->text.len, t->text.data);
    if (t->exact.data != NULL)
        put("\"%.*s\"", (int)t->exact.len, t->exact.data);
    if (t->kind == ANDIRON_TERM_DATE)
        put("[%lld,%lld)", (long long)t->range.date.low / 1000000,
            (long long)t->range.date.high / 1000000);
    if (t->kind == ANDIRON_TERM_NUMBER || t->kind == ANDIRON_TERM_QUANTITY)
        put("[%g,%g]", t->range.number.low, t->range.number.high);
}

static void put_filter(const struct andiron_filter *f)
{
    static const char *const ops[] = { "and", "or", "not",      "",    "chain",
                                       "has", "id", "together", "type" };
    if (f->op == ANDIRON_FILTER_TERM) {
        put_term(f);
        return;
    }
    put("(%s", ops[f->op]);
    if (f->term.param != NULL)
        put(" %s", f->term.param);
    if (f->type != NULL)
        put(" %s", f->type);
    if (f->op == ANDIRON_FILTER_ID)
        put(" %.*s", (int)f->term.text.len, f->term.text.data);
    for (size_t i = 0; i < f->arg_count; i++) {
        put(" ");
        put_filter(f->args[i]);
    }
    put(")");
}

static const char *compiled(const char *type, const char *expression)
{
    text_len = 0;
    if (compile_as(type, expression, true) != 0)
        return failure.message;
    if (plan.query.filter == NULL)
        return "";
    put_filter(plan.query.filter);
    return text;
}

struct tree {
    const char *type, *expression, *tree;
};

static void assert_trees(const struct tree *trees, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_string_equal(compiled(trees[i].type, trees[i].expression), trees[i].tree);
}
#define ASSERT_TREES(trees) assert_trees(trees, sizeof(trees) / sizeof((trees)[0]))

/* ---- criteria ---------------------------------------------------------------- */

static void tokens_have_four_forms(void **state)
{
    static const struct tree trees[] = {
        { "Observation", "code=4548-4", "code:token:eq'4548-4'" },
        { "Observation", "code=http://loinc.org|4548-4",
          "code:token:eq[http://loinc.org|]'4548-4'" },
        { "Observation", "code=|x", "code:token:eq[|]'x'" },
        { "Observation", "code=http://loinc.org|", "code:token:system[http://loinc.org|]" },
        { "Observation", "code=a%5C%7Cb%7Cc", "code:token:eq[a|b|]'c'" },
        { "Observation", "code=a,b", "(or code:token:eq'a' code:token:eq'b')" },
        { "Observation", "code=a%5C,b", "code:token:eq'a,b'" },
        { "Observation", "code=a&code=b", "(and code:token:eq'a' code:token:eq'b')" },
        { "Observation", "code:not=a,b", "(not (or code:token:eq'a' code:token:eq'b'))" },
        { "Observation", "code:text=H%C3%A4mo", "code:string:starts'hamo'" },
        { "Observation", "code:missing=true", "(not code:present:eq)" },
        { "Observation", "code:missing=false", "code:present:eq" },
        { "Patient", "identifier:of-type=http://s|MR|12",
          "identifier:token:of-type[http://s|]'MR'\"12\"" },
        { "Patient", "_id=a,b", "(or (id a) (id b))" },
        { "Patient", "_id:missing=true", "(or)" },
    };
    (void)state;
    ASSERT_TREES(trees);
}

static void strings_start_the_text_or_a_word(void **state)
{
    static const struct tree trees[] = {
        { "Patient", "name=Eve", "(or name:string:starts'eve' name#word:string:starts'eve')" },
        { "Patient", "name:exact=Eve", "name:string:exact'eve'\"Eve\"" },
        { "Patient", "name:contains=%C3%89+VE", "name:string:contains'e ve'" },
        { "Patient", "family:missing=true", "(not family:present:eq)" },
    };
    (void)state;
    ASSERT_TREES(trees);
}

static void references_have_many_spellings(void **state)
{
    static const struct tree trees[] = {
        { "Observation", "patient=12", "patient:ref:eq[Patient|]'12'" },
        { "Observation", "patient=Patient/12", "patient:ref:eq[Patient|]'12'" },
        { "Observation", "patient=Patient/12/_history/3", "patient:ref:eq[Patient|]'12'" },
        { "Observation", "patient=https://host/fhir/Patient/12", "patient:ref:eq[Patient|]'12'" },
        { "Observation", "patient=https://other/Patient/12",
          "patient:ref:eq'https://other/Patient/12'" },
        { "Observation", "subject:Patient=12", "subject:ref:eq[Patient|]'12'" },
        { "Observation", "subject=12",
          "(or subject:ref:eq[Device|]'12' subject:ref:eq[Group|]'12' "
          "subject:ref:eq[Location|]'12' "
          "subject:ref:eq[Patient|]'12')" },
        { "Observation", "subject:identifier=s|1", "subject:token:eq[s|]'1'" },
        { "Observation", "subject=%23x", "(or)" },
        { "PlanDefinition", "definition=http://x/Q%7C1", "definition:ref:eq'http://x/Q|1'" },
    };
    (void)state;
    ASSERT_TREES(trees);
}

static void dates_and_numbers_have_prefixes(void **state)
{
    static const struct tree trees[] = {
        { "Observation", "date=1970-01-02", "date:date:eq[86400,172800)" },
        { "Observation", "date=ge1970-01-02", "date:date:ge[86400,172800)" },
        { "Observation", "date=1970-01-01T01:00:00%2B01:00", "date:date:eq[0,1)" },
        { "Observation", "_lastUpdated=lt1970", "_lastUpdated:date:lt[0,31536000)" },
        { "RiskAssessment", "probability=gt0.8", "probability:number:gt[0.8,0.8]" },
        { "RiskAssessment", "probability=100", "probability:number:eq[99.5,100.5]" },
        { "RiskAssessment", "probability=1e2", "probability:number:eq[95,105]" },
        { "RiskAssessment", "probability=ne100", "probability:number:ne[99.5,100.5]" },
        { "RiskAssessment", "probability=ap100", "probability:number:ap[90,110]" },
        { "MolecularSequence", "window-start=100", "window-start:number:eq[100,100]" },
        { "Observation", "value-quantity=5.4", "value-quantity:quantity:eq[5.35,5.45]" },
        { "Observation", "value-quantity=lt5.4|http://u|mg",
          "value-quantity:quantity:lt[http://u|]'mg'[5.4,5.4]" },
        { "Observation", "value-quantity=5.4||mg", "value-quantity:quantity:eq'mg'[5.35,5.45]" },
    };
    (void)state;
    ASSERT_TREES(trees);
}

static void uris_have_above_and_below(void **state)
{
    static const struct tree trees[] = {
        { "ValueSet", "url=http://x/a", "url:uri:eq'http://x/a'" },
        { "ValueSet", "url:below=http://x/", "url:uri:below'http://x'" },
        { "ValueSet", "url:above=http://x/a", "url:uri:above'http://x/a'" },
        { "DocumentReference", "contenttype:below=image",
          "(or contenttype:token:eq[urn:ietf:bcp:13|]'image' "
          "contenttype:token:starts[urn:ietf:bcp:13|]'image/')" },
        { "DocumentReference", "contenttype:below=urn:ietf:bcp:13%7Ctext/xml",
          "(or contenttype:token:eq[urn:ietf:bcp:13|]'text/xml' "
          "contenttype:token:starts[urn:ietf:bcp:13|]'text/xml;')" },
        { "ValueSet", "_profile=http://x%7C1", "_profile:uri:eq'http://x|1'" },
    };
    (void)state;
    ASSERT_TREES(trees);
}

static void composites_hold_their_parts_together(void **state)
{
    static const struct tree trees[] = {
        { "Observation", "code-value-quantity=http://l%7C1$gt5%7Cs%7Cmg",
          "(together code-value-quantity:token:eq#1[http://l|]'1' "
          "code-value-quantity:quantity:gt#2[s|]'mg'[5,5])" },
        { "Observation", "code-value-string=a$B%5C$c",
          "(together code-value-string:token:eq#1'a' code-value-string:string:starts#2'b$c')" },
        { "MolecularSequence", "chromosome-variant-coordinate=1$lt5$gt7",
          "(together chromosome-variant-coordinate:token:eq#1'1' "
          "chromosome-variant-coordinate:number:lt#2[5,5] "
          "chromosome-variant-coordinate:number:gt#3[7,7])" },
        { "DocumentReference", "relationship=replaces$12",
          "(together relationship:token:eq#1'replaces' "
          "relationship:ref:eq#2[DocumentReference|]'12')" },
    };
    (void)state;
    ASSERT_TREES(trees);
}

static void a_url_may_name_a_version(void **state)
{
    (void)state;
    assert_string_equal(compiled("ValueSet", "url=http://x%7CV1"),
                        "(and url:uri:eq'http://x' version:token:eq'v1')");
    /* escaped, it is part of the URL; and the part in front must be there */
    assert_string_equal(compiled("ValueSet", "url=http://x%5C%7C1"), "url:uri:eq'http://x|1'");
    assert_string_equal(compiled("ValueSet", "url=%7C1"), "url:uri:eq'|1'");
}

static void near_asks_for_a_box_and_a_distance(void **state)
{
    (void)state;
    assert_string_equal(
        compiled("Location", "near=0%7C0%7C111.19508%7Ckm"),
        "(together near near:number:eq#1[-1,1] near:number:eq#2[-1.00015,1.00015])");
    assert_int_equal(plan.query.filter->compare, ANDIRON_CMP_NEAR);
    assert_true(plan.query.filter->term.range.number.high == 111.19508);
    assert_string_equal(
        compiled("Location", "near=90%7C0%7C1%7Ckm"),
        "(together near near:number:eq#1[89.991,90.009] near:number:eq#2[-360,360])");
    assert_int_equal(compile_as("Location", "near=0%7C180%7C1%7Ckm", true), 0);
    assert_int_equal(plan.query.filter->op, ANDIRON_FILTER_OR); /* both sides of the date line */
}

static void chains_follow_references(void **state)
{
    static const struct tree trees[] = {
        { "Observation", "subject:Patient.gender:not=male",
          "(chain subject Patient (not gender:token:eq'male'))" },
        { "Observation", "patient.family:exact=X",
          "(chain patient Patient family:string:exact'x'\"X\")" },
        { "Observation", "subject.gender=male", "(chain subject Patient gender:token:eq'male')" },
        { "Observation", "performer.identifier=1",
          "(or (chain performer CareTeam identifier:token:eq'1') "
          "(chain performer Organization identifier:token:eq'1') "
          "(chain performer Patient identifier:token:eq'1') "
          "(chain performer Practitioner identifier:token:eq'1') "
          "(chain performer PractitionerRole identifier:token:eq'1') "
          "(chain performer RelatedPerson identifier:token:eq'1'))" },
        { "Observation", "patient.general-practitioner:Practitioner._id=5",
          "(chain patient Patient (chain general-practitioner Practitioner (id 5)))" },
        { "Patient", "_has:Observation:patient:code=1",
          "(has patient Observation code:token:eq'1')" },
        { "Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent=Device/1",
          "(has patient Observation (has entity AuditEvent agent:ref:eq[Device|]'1'))" },
        { "Encounter", "patient._has:Group:member:_id=102",
          "(chain patient Patient (has member Group (id 102)))" },
    };
    (void)state;
    ASSERT_TREES(trees);
    assert_int_equal(
        compile_as("Observation", "patient.general-practitioner:Practitioner.name=x", true), 0);
    assert_string_equal(plan.types[0], "Practitioner");
    assert_string_equal(plan.types[1], "Patient");
    assert_null(plan.types[2]);
}

/* ---- refusals ---------------------------------------------------------------- */

static void what_is_wrong_is_said(void **state)
{
    static const struct tree cases[] = {
        { "Observation", "cod=1",
          "Observation has no search parameter \"cod\"; did you mean \"code\"?" },
        { "Observation", "nonsense=1", "Observation has no search parameter \"nonsense\"" },
        { "Observation", "_text=x", "_text is not supported" },
        { "Observation", "code:exact=1",
          "code, a token parameter, has no modifier \":exact\"; it has :missing, :text, :not, "
          ":of-type, :above, :below, :in, :not-in" },
        { "Observation", "code:in=http://x/vs", "stored ValueSets cannot be asked about here" },
        { "Observation", "code:above=1", "code:above must be \"system|code\", not \"1\"" },
        { "Observation", "value-quantity=1%7Cs%7C",
          "value-quantity has a system without a code: \"number|system|code\"" },
        { "Observation", "date:above=2013",
          "date, a date parameter, has no modifier \":above\"; it has :missing" },
        { "Observation", "subject:Account=1", "subject never refers to a Account" },
        { "Observation", "code-value-quantity=x$1$2",
          "code-value-quantity must be 2 values joined by \"$\", not \"x$1$2\"" },
        { "Observation", "code-value-quantity=x$1$",
          "code-value-quantity must be 2 values joined by \"$\", not \"x$1$\"" },
        { "Observation", "date=2013-13",
          "date must be a date such as 2013, 2013-01-14 or 2013-01-14T10:00:00Z (a plus sign is "
          "written %2B), not \"2013-13\"" },
        { "Observation", "date=xx2013",
          "date may start with eq, ne, gt, lt, ge, le, sa, eb or ap, not with \"xx\"" },
        { "RiskAssessment", "probability=abc",
          "probability may start with eq, ne, gt, lt, ge, le, sa, eb or ap, not with \"ab\"" },
        { "RiskAssessment", "probability=1.",
          "probability must be a number such as 5.4 or 1e-3, not \"1.\"" },
        { "Observation", "value-quantity=1%7Cmg",
          "value-quantity must be \"number\" or \"number|system|code\" (the system may be empty), "
          "not \"1|mg\"" },
        { "Observation", "code=%7C",
          "code must be \"code\", \"system|code\", \"|code\" or \"system|\", not \"|\"" },
        { "Observation", "code=", "code needs a value" },
        { "Observation", "code=a,,b", "code has an empty value in its list" },
        { "Observation", "code:missing=maybe",
          "code:missing must be true or false, not \"maybe\"" },
        { "Observation", "code-value-quantity=1",
          "code-value-quantity must be 2 values joined by \"$\", not \"1\"" },
        { "Observation", "_count=ten",
          "_count must be a whole number from 0 to 1000, not \"ten\"" },
        { "Observation", "_count=-1", "_count must be a whole number from 0 to 1000, not \"-1\"" },
        { "Observation", "_sort=code-value-quantity",
          "_sort: nothing can be sorted by code-value-quantity, a composite parameter" },
        { "Observation", "_sort=dat",
          "Observation has no search parameter \"dat\"; did you mean \"date\"?" },
        { "Observation", "_sort=date,_id,_lastUpdated,date", "_sort may have 3 keys at most" },
        { "Observation", "_total=some", "_total must be none, estimate or accurate, not \"some\"" },
        { "Observation", "_summary=yes",
          "_summary must be true, false, text, data or count, not \"yes\"" },
        { "Observation", "_include=Observation:code",
          "includes follow references: code of Observation is a token parameter" },
        { "Observation", "_include=Observation",
          "_include must read \"Type:reference\" or \"Type:reference:Target\"" },
        { "Observation", "_include:always=Observation:subject",
          "_include has no modifier \"always\"; it has :iterate" },
        { "Patient", "_has:Observation:code=1",
          "_has must read \"_has:Type:reference:parameter\"" },
        { "Patient", "_has:Observation:code:code=1",
          "_has: code of Observation is a token parameter, not a reference" },
        { "Account", "_has:Observation:patient:code=1",
          "_has: patient of Observation never refers to a Account" },
        { "Observation", "code.x=1", "code is a token parameter: only references can be chained" },
        { "Observation", "patient.nonsense=1",
          "no type that patient of Observation refers to has a search parameter \"nonsense\"" },
        { "Observation", "encounter.part-of.part-of.part-of.status=x",
          "chains may pass through 3 references at most" },
        { "Observation", "code=%zz", "parameter \"code\" is not percent-encoded UTF-8" },
        { "Observation", "code=%C0%80", "parameter \"code\" is not percent-encoded UTF-8" },
        { "Observation", "code=a%00", "parameter \"code\" is not percent-encoded UTF-8" },
        { "Observation", "_compartment=Group/1",
          "_compartment must be \"Type/id\", Type being Patient, Encounter, Practitioner, "
          "RelatedPerson or "
          "Device, not \"Group/1\"" },
        { "Nothing", "code=1", "there is no resource type \"Nothing\"" },
    };
    (void)state;
    ASSERT_TREES(cases);
}

static void lenient_passes_over_the_unknown_only(void **state)
{
    (void)state;
    assert_int_equal(compile_as("Observation", "cod=1&code=2&_sort=near&_has:x=1&code=", false), 0);
    assert_string_equal(plan.ignored[0], "cod");
    assert_string_equal(plan.ignored[1], "_sort");
    assert_string_equal(plan.ignored[2], "_has:x");
    assert_string_equal(plan.ignored[3], "code");
    assert_null(plan.ignored[4]);
    assert_string_equal(andiron_copy(arena, plan.self), "code=2");
    assert_int_equal(compile_as("Observation", "date=2013-13", false), -1);
    assert_int_equal(compile_as("Observation", "code:exact=1", false), -1);
    assert_int_equal(failure.code, ANDIRON_E_INVALID);
}

static void parameters_and_values_are_limited(void **state)
{
    char many[8192] = "code=0";
    (void)state;
    for (int i = 1; i < 256; i++)
        (void)strcat(many, "&code=1");
    assert_int_equal(compile_as("Observation", many, true), 0);
    (void)strcat(many, "&code=1");
    assert_string_equal(compiled("Observation", many), "a search may have 256 parameters at most");
    (void)strcpy(many, "code=0");
    for (int i = 1; i < 256; i++)
        (void)strcat(many, ",1");
    assert_int_equal(compile_as("Observation", many, true), 0);
    (void)strcat(many, ",1");
    assert_string_equal(compiled("Observation", many), "code has more than 256 values");
}

static void conditions_are_limited(void **state)
{
    char many[4096] = "focus=0";
    (void)state;
    assert_int_equal(compile_as("Observation", "focus=0,1,2,3", true), 0);
    for (int i = 1; i < 100; i++)
        (void)strcat(many, ",1");
    assert_int_equal(compile_as("Observation", many, true), -1);
    assert_non_null(strstr(failure.message, "more than 10000 conditions"));
    assert_int_equal(compile_as("Composition", "subject.subject.subject.subject=1", false), -1);
    assert_int_equal(failure.code, ANDIRON_E_INVALID);
}

/* ---- results ----------------------------------------------------------------- */

static void self_says_what_was_applied(void **state)
{
    static const struct {
        const char *expression, *self;
    } cases[] = {
        { "code=4548-4&_count=2", "code=4548-4&_count=2" },
        { "code=http%3A%2F%2Floinc.org%7C4548-4", "code=http://loinc.org%7C4548-4" },
        { "_count=5000", "_count=1000" },
        { "&&code=1&_format=json&_pretty=true&_cursor=abc", "code=1" },
        { "code:text=a+b%26c", "code:text=a%20b%26c" },
        { "date=2013-01-14T10:00:00%2B01:00", "date=2013-01-14T10:00:00%2B01:00" },
        { "", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(compile_as("Observation", cases[i].expression, true), 0);
        assert_string_equal(andiron_copy(arena, plan.self), cases[i].self);
    }
}

static void results_set_sort_limit_and_total(void **state)
{
    (void)state;
    assert_int_equal(compile_as("Observation", "_sort=-date,_id,_lastUpdated&_cursor=xyz", true),
                     0);
    assert_string_equal(plan.query.type, "Observation");
    assert_int_equal(plan.query.sort_count, 3);
    assert_string_equal(plan.query.sort[0].param, "date");
    assert_int_equal(plan.query.sort[0].kind, ANDIRON_TERM_DATE);
    assert_true(plan.query.sort[0].descending && !plan.query.sort[1].descending);
    assert_int_equal(plan.query.limit, 100);
    assert_int_equal(plan.query.total, ANDIRON_TOTAL_ESTIMATE);
    assert_int_equal(plan.query.total_limit, 1000);
    assert_true(andiron_str_eq(plan.query.cursor, ANDIRON_STR("xyz")));

    assert_int_equal(compile_as("Observation", "_total=estimate", true), 0);
    assert_int_equal(plan.query.total, ANDIRON_TOTAL_ACCURATE);
    assert_int_equal(plan.query.total_limit, 1000);
    assert_int_equal(compile_as("Observation", "_total=accurate&_count=7", true), 0);
    assert_int_equal(plan.query.limit, 7);
    assert_int_equal(plan.query.total, ANDIRON_TOTAL_ACCURATE);
    assert_int_equal(plan.query.total_limit, 0);

    assert_int_equal(compile_as("Observation", "_count=0&_include=Observation:subject", true), 0);
    assert_int_equal(plan.query.limit, 0);
    assert_int_equal(plan.query.total, ANDIRON_TOTAL_ACCURATE);
    assert_int_equal(plan.subset, ANDIRON_SUBSET_COUNT);
    assert_int_equal(plan.query.include_count, 0);

    assert_int_equal(compile_as("Observation", "_elements=code,value", true), 0);
    assert_int_equal(plan.subset, ANDIRON_SUBSET_ELEMENTS);
    assert_string_equal(plan.elements[1], "value");
    assert_null(plan.elements[2]);
    assert_int_equal(compile_as("Observation", "_summary=true", true), 0);
    assert_int_equal(plan.subset, ANDIRON_SUBSET_SUMMARY);
}

static void includes_say_what_they_may_bring(void **state)
{
    (void)state;
    assert_int_equal(
        compile_as("Observation",
                   "_include=Observation:patient&_revinclude:iterate=Provenance:target:Observation",
                   true),
        0);
    const struct andiron_query *q = &plan.query;
    assert_int_equal(q->include_count, 2);
    assert_false(q->includes[0].reverse);
    assert_string_equal(q->includes[0].source, "Observation");
    assert_string_equal(q->includes[0].param, "patient");
    assert_null(q->includes[0].target);
    assert_true(q->includes[1].reverse && q->includes[1].iterate);
    assert_string_equal(q->includes[1].target, "Observation");
    assert_int_equal(q->visible_count, 2);
    assert_string_equal(q->visible[0].type, "Patient");
    assert_string_equal(q->visible[1].type, "Provenance");
    assert_null(plan.types);
    assert_int_equal(compile_as("Observation", "_include=*", true), 0);
    assert_string_equal(plan.query.includes[0].param, "*");
    assert_true(plan.query.visible_count > 10);
    assert_int_equal(compile_as("Observation", "code=1", true), 0);
    assert_null(plan.query.visible);
}

static void a_cursor_serves_only_its_own_query(void **state)
{
    (void)state;
    assert_int_equal(compile_as("Observation", "code=1&_count=2", true), 0);
    uint64_t first = plan.query.fingerprint;
    assert_int_equal(compile_as("Observation", "code=1&_count=3&_cursor=x", true), 0);
    assert_true(plan.query.fingerprint == first);
    assert_int_equal(compile_as("Observation", "code=2&_count=2", true), 0);
    assert_true(plan.query.fingerprint != first);
    assert_int_equal(compile_as("Condition", "code=1&_count=2", true), 0);
    assert_true(plan.query.fingerprint != first);
    narrow_type = "Observation";
    narrow_to = lab;
    assert_int_equal(compile_as("Observation", "code=1&_count=2", true), 0);
    narrow_to = NULL;
    assert_true(plan.query.fingerprint != first);
}

/* ---- narrowing --------------------------------------------------------------- */

static void narrowings_reach_every_corner(void **state)
{
    (void)state;
    narrow_type = "Observation";
    narrow_to = lab;
    assert_string_equal(compiled("Observation", "code=1"),
                        "(and code:token:eq'1' category:token:eq'laboratory')");
    assert_string_equal(compiled("Observation", ""), "category:token:eq'laboratory'");
    assert_string_equal(
        compiled("Patient", "_has:Observation:patient:code=1"),
        "(has patient Observation (and code:token:eq'1' category:token:eq'laboratory'))");
    assert_string_equal(
        compiled("DiagnosticReport", "result.code=1"),
        "(chain result Observation (and code:token:eq'1' category:token:eq'laboratory'))");
    assert_int_equal(compile_as("Patient", "_revinclude=Observation:patient", true), 0);
    assert_non_null(plan.query.visible[0].filter);
    assert_string_equal(
        compiled(NULL, "_type=Patient,Observation&_id=1"),
        "(and (id 1) (or (type Patient) (and (type Observation) category:token:eq'laboratory')))");
    narrow_to = of_patient;
    assert_string_equal(compiled("Observation", ""),
                        "(or subject:ref:eq[Patient|]'12' performer:ref:eq[Patient|]'12')");
    narrow_to = NULL;
}

static void a_narrowing_that_cannot_be_read_refuses(void **state)
{
    (void)state;
    narrow_type = "Observation";
    narrow_to = impossible;
    assert_int_equal(compile_as("Observation", "code=1", false), -1);
    assert_int_equal(failure.code, ANDIRON_E_FORBIDDEN);
    assert_int_equal(compile_as("Patient", "_has:Observation:patient:code=1", false), -1);
    assert_int_equal(failure.code, ANDIRON_E_FORBIDDEN);
    narrow_to = NULL;
}

static struct compiling outside(void)
{
    return (struct compiling){
        .model = &model, .limits = &limits, .arena = arena, .err = &failure, .narrowing = narrowing
    };
}

static const struct andiron_prepared *prepared(const char *const *any_of)
{
    struct compiling c = outside();
    return narrow_prepare(&c, ANDIRON_STR("Observation"), any_of);
}

static void what_is_prepared_serves_until_parameters_change(void **state)
{
    (void)state;
    narrow_type = "Observation";
    narrow_to = of_patient;
    narrow_by = prepared(lab); /* another expression, to tell which of the two was used */
    assert_non_null(narrow_by);
    assert_string_equal(compiled("Observation", ""), "category:token:eq'laboratory'");
    uint64_t fingerprint = plan.query.fingerprint;
    narrow_to = lab;
    model.generation++;
    assert_string_equal(compiled("Observation", ""), "category:token:eq'laboratory'");
    assert_true(plan.query.fingerprint == fingerprint);
    narrow_to = of_patient;
    assert_string_equal(compiled("Observation", ""),
                        "(or subject:ref:eq[Patient|]'12' performer:ref:eq[Patient|]'12')");
    assert_true(plan.query.fingerprint != fingerprint);
    narrow_to = NULL;
    narrow_by = NULL;
}

static void only_criteria_without_chains_can_be_prepared(void **state)
{
    (void)state;
    static const char *const wrong[] = { "nonsense=1",
                                         "subject.name=x",
                                         "subject:Patient.gender:not=male",
                                         "_has:Provenance:target:agent=x",
                                         "_count=1",
                                         "_include=Observation:subject",
                                         "_sort=date",
                                         "_filter=x",
                                         "code",
                                         "code=",
                                         "code:nope=1",
                                         "date=yesterday",
                                         "code=%zz",
                                         "code=%00" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *const any_of[] = { "status=final", wrong[i], NULL };
        print_message("%s\n", wrong[i]);
        assert_null(prepared(any_of));
    }
    static const char *const nothing[] = { NULL };
    assert_non_null(prepared(nothing));
}

static void select_joins_criteria_and_narrowing(void **state)
{
    (void)state;
    struct compiling c = outside();
    narrow_type = "Observation";
    narrow_to = lab;
    assert_int_equal(
        narrow_select(&c, ANDIRON_STR("Observation"), ANDIRON_STR("_id=1"), &plan.query.filter), 0);
    text_len = 0;
    put_filter(plan.query.filter);
    assert_string_equal(text, "(and (id 1) category:token:eq'laboratory')");
    c.access = ANDIRON_ACCESS_READ; /* which is not narrowed here */
    assert_int_equal(
        narrow_select(&c, ANDIRON_STR("Observation"), (andiron_str){ NULL, 0 }, &plan.query.filter),
        0);
    assert_null(plan.query.filter);
    narrow_to = NULL;
}

static void chains_of_a_narrowing_are_not_the_callers(void **state)
{
    (void)state;
    narrow_type = "Observation";
    narrow_to = chained;
    assert_int_equal(compile_as("Observation", "", true), 0);
    assert_null(plan.types);
    narrow_to = NULL;
}

static void compartments_include_their_owner(void **state)
{
    (void)state;
    assert_string_equal(compiled("Patient", "_compartment=Patient/12"),
                        "(or (id 12) link:ref:eq[Patient|]'12')");
    assert_string_equal(compiled("Medication", "_compartment=Patient/12"), "(or)");
    assert_string_equal(compiled(NULL, "_type=Patient,Medication&_compartment=Patient/1"),
                        "(and (type Patient) (or (id 1) link:ref:eq[Patient|]'1'))");
}

static void system_level_has_what_all_types_have(void **state)
{
    (void)state;
    assert_string_equal(compiled(NULL, "_type=Patient,Practitioner&family=x"),
                        "(or family:string:starts'x' family#word:string:starts'x')");
    assert_string_equal(compiled(NULL, "_type=Patient,Observation&family=x"),
                        "a search of all these types has no search parameter \"family\"");
    assert_int_equal(compile_as(NULL, "_lastUpdated=gt2013", true), 0);
    assert_null(plan.query.type);
    assert_string_equal(plan.query.types[0], "Account");
    assert_string_equal(compiled(NULL, "_type=Client"),
                        "_type: there is no FHIR resource type \"Client\"");
}

/* ---- platform types ---------------------------------------------------------- */

static void platform_types_are_searched_alike(void **state)
{
    (void)state;
    assert_string_equal(compiled("Client", "grant_types=basic"), "grant_types:token:eq'basic'");
    assert_string_equal(compiled("Client", "name=x"),
                        "(or name:string:starts'x' name#word:string:starts'x')");
    assert_string_equal(compiled("Client", "link=User/1"), "link:ref:eq[User|]'1'");
    assert_string_equal(compiled("Client", "_id=a&_lastUpdated=lt1970"),
                        "(and (id a) _lastUpdated:date:lt[0,31536000))");
    assert_string_equal(compiled("Client", "nam=x"),
                        "Client has no search parameter \"nam\"; did you mean \"name\"?");
    assert_string_equal(compiled("Client", "link=1"),
                        "link may refer to any type: write \"Type/1\"");
}

static void a_bad_entry_of_a_platform_type_is_named(void **state)
{
    static const char *const bad[] = { "name:strin:name", NULL };
    struct model scratch = { NULL };
    (void)state;
    assert_int_equal(model_add_platform(&scratch, arena, ANDIRON_STR("X"), bad, &failure), -1);
    assert_non_null(strstr(failure.message, "\"name:strin:name\""));
}

static int make(void **state)
{
    static const char *const search[] = { "name:string:name", "grant_types:token:grant_types",
                                          "link:reference:link", "deep:token:a.b", NULL };
    (void)state;
    arena = arena_new();
    return model_add_platform(&model, arena, ANDIRON_STR("Client"), search, &failure);
}

static int drop(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_have_four_forms),
        cmocka_unit_test(strings_start_the_text_or_a_word),
        cmocka_unit_test(references_have_many_spellings),
        cmocka_unit_test(dates_and_numbers_have_prefixes),
        cmocka_unit_test(uris_have_above_and_below),
        cmocka_unit_test(composites_hold_their_parts_together),
        cmocka_unit_test(a_url_may_name_a_version),
        cmocka_unit_test(near_asks_for_a_box_and_a_distance),
        cmocka_unit_test(chains_follow_references),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(lenient_passes_over_the_unknown_only),
        cmocka_unit_test(parameters_and_values_are_limited),
        cmocka_unit_test(conditions_are_limited),
        cmocka_unit_test(self_says_what_was_applied),
        cmocka_unit_test(results_set_sort_limit_and_total),
        cmocka_unit_test(includes_say_what_they_may_bring),
        cmocka_unit_test(a_cursor_serves_only_its_own_query),
        cmocka_unit_test(narrowings_reach_every_corner),
        cmocka_unit_test(a_narrowing_that_cannot_be_read_refuses),
        cmocka_unit_test(what_is_prepared_serves_until_parameters_change),
        cmocka_unit_test(only_criteria_without_chains_can_be_prepared),
        cmocka_unit_test(select_joins_criteria_and_narrowing),
        cmocka_unit_test(chains_of_a_narrowing_are_not_the_callers),
        cmocka_unit_test(compartments_include_their_owner),
        cmocka_unit_test(system_level_has_what_all_types_have),
        cmocka_unit_test(platform_types_are_searched_alike),
        cmocka_unit_test(a_bad_entry_of_a_platform_type_is_named),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
