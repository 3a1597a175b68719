/*
 * AccessPolicy: what a write is checked for, and in which order policies are asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy.h"
#include "set.h"

static int compile_needs_hours(void *self, struct andiron_arena *arena, andiron_json policy,
                               void **ret_compiled, struct andiron_error *err)
{
    (void)self;
    (void)arena;
    static int compiled;
    *ret_compiled = &compiled;
    if (andiron_json_type(andiron_json_get(policy, "hours")) == ANDIRON_JSON_MISSING)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "AccessPolicy.hours", "is missing");
    return 0;
}

static int released;
static void count_release(void *self, void *compiled)
{
    (void)self;
    (void)compiled;
    released++;
}

static const struct andiron_policy_engine allow_table = { .size = sizeof(allow_table) };
static const struct andiron_policy_engine hours_table = { .size = sizeof(hours_table),
                                                          .compile = compile_needs_hours,
                                                          .release = count_release };
static struct engine all[] = {
    { .name = "allow", .ref = { &allow_table, NULL }, .cost = 1 },
    { .name = "business-hours", .ref = { &hours_table, NULL }, .cost = 50 },
};
static const struct engines engines = { .all = all, .count = 2 };

static void writes_are_checked_down_to_the_element(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where; /* where: NULL for a good one */
    } rows[] = {
        { "{\"engine\":\"allow\"}", NULL },
        { "{\"engine\":\"allow\",\"link\":[{\"resourceType\":\"Client\",\"id\":\"x\"}]}", NULL },
        { "{\"engine\":\"allow\",\"link\":[{\"reference\":\"Operation/FhirRead\"}]}", NULL },
        { "{\"engine\":\"business-hours\",\"hours\":{}}", NULL },
        { "{\"engine\":\"business-hours\"}", "AccessPolicy.hours" },
        { "{}", "AccessPolicy.engine" },
        { "{\"engine\":\"clj\"}", "AccessPolicy.engine" },
        { "{\"engine\":1}", "AccessPolicy.engine" },
        { "{\"engine\":\"allow\",\"matcho\":{}}", "AccessPolicy.matcho" },
        { "{\"engine\":\"allow\",\"foo\":1}", "AccessPolicy.foo" },
        { "{\"engine\":\"business-hours\",\"hours\":{},\"schema\":{}}", "AccessPolicy.schema" },
        { "{\"engine\":\"allow\",\"link\":[]}", "AccessPolicy.link" },
        { "{\"engine\":\"allow\",\"link\":{}}", "AccessPolicy.link" },
        { "{\"engine\":\"allow\",\"link\":[{\"resourceType\":\"Patient\",\"id\":\"x\"}]}",
          "AccessPolicy.link[0]" },
        { "{\"engine\":\"allow\",\"link\":[{\"resourceType\":\"Client\"}]}",
          "AccessPolicy.link[0]" },
        { "{\"engine\":\"allow\",\"active\":\"yes\"}", "AccessPolicy.active" },
        { "{\"engine\":\"allow\",\"effect\":\"maybe\"}", "AccessPolicy.effect" },
        { "{\"engine\":\"allow\",\"type\":\"soap\"}", "AccessPolicy.type" },
        { "{\"engine\":\"allow\",\"roleName\":\"\"}", "AccessPolicy.roleName" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_arena *arena = andiron_arena_new(0);
        struct policy policy = { .arena = NULL };
        struct andiron_error err = { .where = "" };
        andiron_json json;
        print_message("%s\n", rows[i].text);
        assert_int_equal(andiron_json_parse(arena, andiron_str_of(rows[i].text), &json, &err), 0);
        int result = policy_compile(&engines, arena, json, false, &policy, &err);
        assert_int_equal(result, rows[i].where != NULL ? -1 : 0);
        if (rows[i].where != NULL)
            assert_string_equal(err.where, rows[i].where);
        andiron_arena_free(arena);
    }
}

static struct policy *made(const char *text)
{
    struct andiron_error err;
    struct policy *policy = policy_new(&engines, andiron_str_of(text), &err);
    assert_non_null(policy);
    return policy;
}

static void stored_policy_of_an_absent_engine_never_applies(void **state)
{
    (void)state;
    struct policy *policy = made("{\"id\":\"a\",\"engine\":\"matcho\",\"matcho\":{\"uri\":\"/\"}}");
    assert_false(policy->applies);
    policy_drop(policy);
    policy = made("{\"id\":\"a\",\"engine\":\"allow\",\"active\":false}");
    assert_false(policy->applies);
    policy_drop(policy);
}

static void compiled_form_is_released_with_its_policy(void **state)
{
    (void)state;
    released = 0;
    struct policy *policy = made("{\"id\":\"a\",\"engine\":\"business-hours\",\"hours\":{}}");
    struct set *set = set_new(&policy, 1);
    policy_drop(policy);
    assert_int_equal(released, 0);
    set_drop(set);
    assert_int_equal(released, 1);
}

static void deny_comes_first_then_linked_then_global_each_once(void **state)
{
    (void)state;
#define TO(type, id) "{\"resourceType\":\"" type "\",\"id\":\"" id "\"}"
    static const char *const texts[] = {
        "{\"id\":\"g1\",\"engine\":\"allow\"}",
        "{\"id\":\"z-deny\",\"engine\":\"allow\",\"effect\":\"deny\"}",
        "{\"id\":\"l2\",\"engine\":\"business-hours\",\"hours\":{},\"link\":[" TO("Client",
                                                                                  "c") "]}",
        "{\"id\":\"l3\",\"engine\":\"allow\",\"link\":[" TO("Client", "c") "," TO("Operation",
                                                                                  "FhirRead") "]}",
        "{\"id\":\"l1\",\"engine\":\"allow\",\"link\":[" TO("Operation", "FhirRead") "]}",
        "{\"id\":\"other\",\"engine\":\"allow\",\"link\":[" TO("Client", "d") "]}",
        "{\"id\":\"role\",\"engine\":\"allow\",\"roleName\":\"nurse\"}",
        "{\"id\":\"off\",\"engine\":\"allow\",\"active\":false}",
    };
    static const char *const order[] = { "z-deny", "l1", "l3", "l2", "g1" };
    enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
    struct policy *policies[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        policies[i] = made(texts[i]);
    struct set *set = set_new(policies, COUNT);
    set_index(set);
    for (size_t i = 0; i < COUNT; i++)
        policy_drop(policies[i]);

    const struct link links[] = { { LINK_CLIENT, ANDIRON_STR("c") },
                                  { LINK_OPERATION, ANDIRON_STR("FhirRead") } };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct set_walk walk;
    set_walk_start(set, arena, links, 2, &walk);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const struct policy *policy = set_walk_next(&walk);
        assert_non_null(policy);
        assert_string_equal(policy->id, order[i]);
    }
    assert_null(set_walk_next(&walk));
    assert_string_equal(set_find(set, ANDIRON_STR("other"))->id, "other");
    assert_null(set_find(set, ANDIRON_STR("othe")));
    set_drop(set);
    andiron_arena_free(arena);
}

/* ---- the index by tests --------------------------------------------------------------- */

/* "tests": {"feature": ["value", null]} as an engine would tell them. */
static int compile_tests(void *self, struct andiron_arena *arena, andiron_json policy,
                         void **ret_compiled, struct andiron_error *err)
{
    (void)self;
    (void)err;
    andiron_json *kept = andiron_new(arena, andiron_json);
    *kept = andiron_json_get(policy, "tests");
    *ret_compiled = kept;
    return 0;
}

static size_t list_tests(void *self, const void *compiled, struct andiron_policy_test *ret,
                         size_t max)
{
    static const char *const names[] = {
        "method", "uri", "prefix", "type", "op", "client", "user"
    };
    (void)self;
    size_t count = 0;
    struct andiron_json_iter feature = { .of = *(const andiron_json *)compiled };
    while (andiron_json_next(&feature)) {
        struct andiron_json_iter value = { .of = feature.value };
        while (andiron_json_next(&value) && count < max)
            for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (andiron_str_eq(feature.name, andiron_str_of(names[i])))
                    ret[count++] = (struct andiron_policy_test){ (enum andiron_policy_feature)i,
                                                                 andiron_json_str(value.value) };
    }
    return count;
}

static const struct andiron_policy_engine tests_table = { .size = sizeof(tests_table),
                                                          .compile = compile_tests,
                                                          .tests = list_tests };
static struct engine tests_engine[] = {
    { .name = "tests", .ref = { &tests_table, NULL }, .cost = 10 },
};
static const struct engines tests_engines = { .all = tests_engine, .count = 1 };

static void put_names(struct set_walk *walk, char *out)
{
    const struct policy *policy;
    out[0] = '\0';
    while ((policy = set_walk_next(walk)) != NULL) {
        strcat(out, policy->id);
        strcat(out, " ");
    }
}

static void only_policies_whose_tests_the_request_passes_are_walked(void **state)
{
    (void)state;
#define POLICY(id, more) "{\"id\":\"" id "\",\"engine\":\"tests\"" more "}"
    static const char *const texts[] = {
        POLICY("a-any", ""),
        POLICY("b-patient", ",\"tests\":{\"type\":[\"Patient\"],\"method\":[\"get\"]}"),
        POLICY("c-observation", ",\"tests\":{\"type\":[\"Observation\"]}"),
        POLICY("d-none", ",\"tests\":{\"type\":[null,\"Device\"]}"),
        POLICY("e-prefix", ",\"tests\":{\"prefix\":[\"/fhir/Patient/\"]}"),
        POLICY("f-exact", ",\"tests\":{\"uri\":[\"/fhir/Patient/1\"]}"),
        POLICY("g-short", ",\"tests\":{\"prefix\":[\"/f\"]}"),
        POLICY("h-deny", ",\"effect\":\"deny\",\"tests\":{\"type\":[\"Patient\"]}"),
    };
    /* Beginnings are looked up by lengths of four bytes: e-prefix may match more than it does. */
    static const struct {
        const char *method, *type, *uri, *names;
    } rows[] = {
        { "get", "Patient", "/fhir/Patient/1", "h-deny a-any b-patient e-prefix f-exact g-short " },
        { "get", "Patient", "/fhir/Patient", "h-deny a-any b-patient e-prefix g-short " },
        { "put", "Patient", "/fhir/Patient", "h-deny a-any e-prefix g-short " },
        { "get", "Observation", "/fhir/Observation", "a-any b-patient c-observation g-short " },
        { "get", "", "/fhir", "a-any b-patient d-none g-short " },
        { "get", "Device", "/fhir/Device", "a-any b-patient d-none g-short " },
    };
    enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct set *set = NULL;
    for (size_t i = COUNT; i-- > 0;) { /* one by one, as writes do it */
        struct andiron_error err;
        struct policy *policy = policy_new(&tests_engines, andiron_str_of(texts[i]), &err);
        assert_non_null(policy);
        struct set *next = set_with(set, policy);
        policy_drop(policy);
        set_drop(set);
        set = next;
    }
    set_index(set);
    /* b-patient shares its type with h-deny, and its method with nobody. */
    assert_int_equal(set_features(set), 1 << ANDIRON_FEATURE_METHOD | 1 << ANDIRON_FEATURE_TYPE |
                                            1 << ANDIRON_FEATURE_URI);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct link links[] = {
            { LINK_TEST + ANDIRON_FEATURE_TYPE, andiron_str_of(rows[i].type) },
            { LINK_TEST + ANDIRON_FEATURE_URI, andiron_str_of(rows[i].uri) },
            { LINK_TEST + ANDIRON_FEATURE_METHOD, andiron_str_of(rows[i].method) }
        };
        struct set_walk walk;
        char names[200];
        set_walk_start(set, arena, links, 3, &walk);
        put_names(&walk, names);
        assert_string_equal(names, rows[i].names);
        set_walk_all(set, arena, links, 0, &walk);
        put_names(&walk, names);
        assert_string_equal(names, "h-deny a-any b-patient c-observation d-none e-prefix f-exact "
                                   "g-short ");
    }
    set_drop(set);
    andiron_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_are_checked_down_to_the_element),
        cmocka_unit_test(stored_policy_of_an_absent_engine_never_applies),
        cmocka_unit_test(compiled_form_is_released_with_its_policy),
        cmocka_unit_test(deny_comes_first_then_linked_then_global_each_once),
        cmocka_unit_test(only_policies_whose_tests_the_request_passes_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
