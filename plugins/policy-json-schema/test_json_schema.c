/*
 * The engine as policies use it: requests by schema, what a write refuses and where, reasons,
 * limits. What the keywords mean is in test_suite.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <andiron/plugin.h>

#include "base/arena.h"
#include "decimal.h"
#include "host/host.h"
#include "host/settings.h"
#include "http/policy.h"
#include "schema.h"
#include "uri.h"

extern const struct andiron_plugin andiron_plugin_v1;

/* regex-steps, regex-subject, time-limit, as the plugin's table lays them out. */
static int64_t config[3];
static struct andiron_service_ref engine;
static struct andiron_arena *arena;
static struct host *core;

static int set_up(void **state)
{
    static const char *const overrides[] = { NULL };
    static const struct invocation invocation = { .dir = "/nonexistent", .overrides = overrides };
    static struct settings settings;
    static struct andiron_host host;
    struct andiron_error err;
    (void)state;
    assert_int_equal(andiron_plugin_v1.config_size, sizeof(config));
    arena = andiron_arena_new(0);
    core = settings_read(&invocation, SECRETS_READ, &settings);
    host = (struct andiron_host){ .arena = arena, .name = "policy-json-schema", .host = core };
    config[0] = 100000;
    config[1] = 65536;
    config[2] = 1000;
    engine.table = andiron_plugin_v1.provides[0].table;
    return andiron_plugin_v1.init(&host, config, &engine.self, &err);
}

static int tear_down(void **state)
{
    (void)state;
    andiron_arena_free(arena);
    host_free(core);
    return 0;
}

static andiron_json parse(const char *text)
{
    andiron_json v;
    struct andiron_error err = { .where = "" };
    if (andiron_json_parse(arena, andiron_str_of(text), &v, &err) != 0)
        fail_msg("%s: %s: %s", text, err.where, err.message);
    return v;
}

static int compile(const char *schema, void **ret_compiled, struct andiron_error *err)
{
    const struct andiron_policy_engine *table = engine.table;
    *err = (struct andiron_error){ .where = "" };
    return table->compile(engine.self, arena,
                          parse(andiron_printf(arena, "{\"schema\":%s}", schema)), ret_compiled,
                          err);
}

static enum andiron_verdict ask(const char *schema, const char *request, andiron_str *ret_reason)
{
    struct andiron_error err;
    void *compiled = NULL;
    if (compile(schema, &compiled, &err) != 0)
        fail_msg("%s: %s: %s", schema, err.where, err.message);
    return policy_explain(arena, parse(request), &engine, compiled, 1000, ret_reason, NULL);
}

static void requests_are_checked_whole_and_by_member(void **state)
{
    static const struct {
        const char *schema, *request;
        bool valid;
    } rows[] = {
        { "{\"required\":[\"user\"]}", "{\"user\":{\"id\":\"u\"}}", true },
        { "{\"required\":[\"user\"]}", "{\"client\":{\"id\":\"c\"}}", false },
        { "{\"properties\":{\"uri\":{\"pattern\":\"^/fhir/Patient\"}}}",
          "{\"uri\":\"/fhir/Patient/1\"}", true },
        { "{\"properties\":{\"uri\":{\"pattern\":\"^/fhir/Patient\"}}}",
          "{\"uri\":\"/fhir/Group\"}", false },
        { "{\"properties\":{\"uri\":false}}", "{\"scheme\":\"https\"}", true }, /* absent passes */
        { "{\"properties\":{\"a.b\":false}}", "{\"a\":{\"b\":1}}", true }, /* a name, no path */
        { "{\"properties\":{\"a.b\":false}}", "{\"a.b\":1}", false },
        { "{\"required\":[\"a.b\"]}", "{\"a\":{\"b\":1}}", false },
        { "{\"additionalProperties\":false,\"properties\":{\"uri\":true}}", "{\"uri\":\"/\"}",
          true },
        { "{\"additionalProperties\":false,\"properties\":{\"uri\":true}}",
          "{\"uri\":\"/\",\"x\":1}", false },
        { "{\"maxProperties\":1}", "{\"uri\":\"/\",\"x\":1}", false },
        { "{\"const\":{\"x\":1}}", "{\"x\":1.0}", true },
        { "{\"type\":\"object\",\"not\":{\"required\":[\"jwt\"]}}", "{\"jwt\":{\"a\":1}}", false },
        { "{\"properties\":{\"params\":{\"properties\":{\"_count\":{\"pattern\":\"^[1-9][0-9]?$\"}}"
          "}}}",
          "{\"params\":{\"_count\":\"100\"}}", false },
        { "{\"dependencies\":{\"user\":[\"session\"]}}", "{\"user\":{\"id\":\"u\"}}", false },
        { "{\"propertyNames\":{\"enum\":[\"uri\"]}}", "{\"uri\":\"/\"}", true },
        { "{\"propertyNames\":{\"const\":\"uri\"}}", "{\"uri\":\"/\",\"x\":1}", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str reason;
        enum andiron_verdict verdict = ask(rows[i].schema, rows[i].request, &reason);
        if (verdict != (rows[i].valid ? ANDIRON_MATCH : ANDIRON_NO_MATCH))
            fail_msg("%s of %s: %d", rows[i].schema, rows[i].request, verdict);
    }
}

static void reasons_name_the_place_and_the_keyword(void **state)
{
    static const struct {
        const char *schema, *request, *reason;
    } rows[] = {
        { "{\"required\":[\"user\"]}", "{\"x\":1}",
          "the request lacks \"user\", which is \"required\"" },
        { "{\"properties\":{\"a\":{\"items\":{\"type\":\"string\"}}}}", "{\"a\":[\"b\",2]}",
          "a[1] is not valid by \"type\": \"string\"" },
        { "{\"properties\":{\"a\":false}}", "{\"a\":1}", "a is not allowed (schema false)" },
        { "{\"properties\":{\"a\":{\"anyOf\":[{\"const\":1},{\"const\":2}]}}}", "{\"a\":3}",
          "a is not valid by \"anyOf\": [{\"const\":1},{\"const\":2}]" },
        { "{\"definitions\":{\"n\":{\"minimum\":5}},\"properties\":{\"a\":{\"$ref\":\"#/"
          "definitions/n\"}}}",
          "{\"a\":4}", "a is not valid by \"minimum\": 5" },
        { "{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]}}", "{\"a\":4}",
          "the request lacks \"b\", which is \"required\"" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str reason;
        assert_int_equal(ask(rows[i].schema, rows[i].request, &reason), ANDIRON_NO_MATCH);
        assert_string_equal(andiron_copy(arena, reason), rows[i].reason);
    }
}

static void writes_refuse_what_is_no_schema_and_say_where(void **state)
{
    static const struct {
        const char *schema, *where, *part;
    } rows[] = {
        { "{}", "AccessPolicy.schema", "non-empty" },
        { "true", "AccessPolicy.schema", "non-empty object" },
        { "{\"type\":\"text\"}", "AccessPolicy.schema.type", "\"string\"" },
        { "{\"type\":[]}", "AccessPolicy.schema.type", "empty" },
        { "{\"type\":[\"null\",\"null\"]}", "AccessPolicy.schema.type", "several" },
        { "{\"properties\":{\"a\":{\"maxLength\":-1}}}",
          "AccessPolicy.schema.properties.a.maxLength", "0 or more" },
        { "{\"maxLength\":1.5}", "AccessPolicy.schema.maxLength", "whole number" },
        { "{\"multipleOf\":0}", "AccessPolicy.schema.multipleOf", "above 0" },
        { "{\"multipleOf\":1.2345678901234567891}", "AccessPolicy.schema.multipleOf", "18 digits" },
        { "{\"minimum\":\"1\"}", "AccessPolicy.schema.minimum", "number" },
        { "{\"required\":[1]}", "AccessPolicy.schema.required", "names" },
        { "{\"required\":\"a\"}", "AccessPolicy.schema.required", "names" },
        { "{\"enum\":[]}", "AccessPolicy.schema.enum", "non-empty" },
        { "{\"allOf\":[]}", "AccessPolicy.schema.allOf", "non-empty" },
        { "{\"anyOf\":[{\"type\":\"object\"},{\"not\":1}]}", "AccessPolicy.schema.anyOf[1].not",
          "schema" },
        { "{\"items\":[1]}", "AccessPolicy.schema.items[0]", "schema" },
        { "{\"items\":\"a\"}", "AccessPolicy.schema.items", "schema" },
        { "{\"properties\":[]}", "AccessPolicy.schema.properties", "object" },
        { "{\"dependencies\":{\"a\":[1]}}", "AccessPolicy.schema.dependencies", "names" },
        { "{\"uniqueItems\":1}", "AccessPolicy.schema.uniqueItems", "true or false" },
        { "{\"pattern\":\"(\"}", "AccessPolicy.schema.pattern", "at byte 1" },
        { "{\"patternProperties\":{\"[\":{}}}", "AccessPolicy.schema.patternProperties",
          "regular expression" },
        { "{\"$ref\":\"#/definitions/no\"}", "AccessPolicy.schema.$ref", "never fetched" },
        { "{\"$ref\":\"https://example.org/schema\"}", "AccessPolicy.schema.$ref",
          "never fetched" },
        { "{\"$ref\":\"file:///etc/passwd\"}", "AccessPolicy.schema.$ref", "never fetched" },
        { "{\"$ref\":\"#%zz\"}", "AccessPolicy.schema.$ref", "never fetched" },
        { "{\"$ref\":1}", "AccessPolicy.schema.$ref", "string" },
        { "{\"$ref\":\"#\"}", "AccessPolicy.schema", "without end" },
        { "{\"allOf\":[{\"$ref\":\"#\"}]}", "AccessPolicy.schema", "without end" },
        { "{\"$id\":1,\"type\":\"object\"}", "AccessPolicy.schema.$id", "URI" },
        { "{\"definitions\":{\"a\":{\"$id\":\"#x\"},\"b\":{\"$id\":\"#x\"}}}",
          "AccessPolicy.schema.definitions.b.$id", "another" },
        { "{\"$schema\":\"http://json-schema.org/draft-04/schema#\"}",
          "AccessPolicy.schema.$schema", "draft-07" },
        { "{\"definitions\":{\"x\":5},\"properties\":{\"a\":{\"$ref\":\"#/definitions/x\"}}}",
          "AccessPolicy.schema.definitions.x", "schema" },
        { "{\"const\":{\"x\":5},\"properties\":{\"a\":{\"$ref\":\"#/const/x\"}}}",
          "AccessPolicy.schema.properties.a.$ref", "schema" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_error err;
        void *compiled;
        if (compile(rows[i].schema, &compiled, &err) == 0)
            fail_msg("%s is compiled", rows[i].schema);
        if (strcmp(err.where, rows[i].where) != 0 || strstr(err.message, rows[i].part) == NULL)
            fail_msg("%s: %s: %s", rows[i].schema, err.where, err.message);
        assert_int_equal(andiron_code_http(err.code), 422);
    }
}

static void schemas_may_refer_to_themselves_one_step_down(void **state)
{
    static const char schema[] = "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"maxProperties\":1}";
    andiron_str reason;
    (void)state;
    assert_int_equal(ask(schema, "{\"a\":{\"a\":{\"a\":{}}}}", &reason), ANDIRON_MATCH);
    assert_int_equal(ask(schema, "{\"a\":{\"a\":{\"b\":1,\"c\":2}}}", &reason), ANDIRON_NO_MATCH);
    assert_string_equal(andiron_copy(arena, reason), "a.a is not valid by \"maxProperties\": 1");
}

static void size_and_nesting_are_limited(void **state)
{
    struct andiron_error err;
    void *compiled;
    char *text = andiron_alloc(arena, 400000);
    (void)state;
    int used = sprintf(text, "{\"allOf\":[true");
    for (int i = 0; i < SCHEMAS_MAX; i++)
        used += sprintf(text + used, ",true");
    strcpy(text + used, "]}");
    assert_int_equal(compile(text, &compiled, &err), -1);
    assert_non_null(strstr(err.message, "one schema too many"));

    used = sprintf(text, "{\"$ref\":\"#/definitions/0\",\"definitions\":{\"80\":true");
    for (int i = 0; i < 80; i++)
        used += sprintf(text + used, ",\"%d\":{\"$ref\":\"#/definitions/%d\"}", i, i + 1);
    strcpy(text + used, "}}");
    assert_int_equal(compile(text, &compiled, &err), -1);
    assert_non_null(strstr(err.message, "inside of more than 64 schemas"));
}

static void what_exceeds_a_limit_is_a_fault_even_inside_of_not(void **state)
{
    static const char *const schemas[] = {
        "{\"properties\":{\"a\":{\"pattern\":\"(a+)+$\"}}}",
        "{\"properties\":{\"a\":{\"not\":{\"pattern\":\"(a+)+$\"}}}}",
        "{\"properties\":{\"a\":{\"anyOf\":[{\"pattern\":\"(a+)+$\"},true]}}}",
        "{\"properties\":{\"a\":{\"if\":{\"pattern\":\"(a+)+$\"},\"else\":true}}}",
        "{\"properties\":{\"a\":{\"not\":{\"oneOf\":[{\"pattern\":\"(a+)+$\"},true]}}}}",
    };
    andiron_str reason;
    (void)state;
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++)
        if (ask(schemas[i], "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}", &reason) !=
            ANDIRON_FAULT)
            fail_msg("%s", schemas[i]);
}

static void schemas_that_double_themselves_end_in_time(void **state)
{
    char text[4096];
    andiron_str reason;
    (void)state;
    int used = sprintf(text, "{\"properties\":{\"a\":{\"$ref\":\"#/definitions/0\"}},"
                             "\"definitions\":{\"30\":{\"type\":\"string\"}");
    for (int i = 0; i < 30; i++)
        used += sprintf(
            text + used,
            ",\"%d\":{\"anyOf\":[{\"$ref\":\"#/definitions/%d\"},{\"$ref\":\"#/definitions/%d\"}]}",
            i, i + 1, i + 1);
    (void)sprintf(text + used, "}}");
    config[2] = 1;
    assert_int_equal(ask(text, "{\"a\":1}", &reason), ANDIRON_FAULT);
}

static void many_equal_elements_end_in_time(void **state)
{
    char *text = andiron_alloc(arena, 400000);
    andiron_str reason;
    (void)state;
    int used = sprintf(text, "{\"a\":[0");
    for (int i = 1; i < 40000; i++)
        used += sprintf(text + used, ",%d", i);
    strcpy(text + used, "]}");
    config[2] = 1;
    assert_int_equal(ask("{\"properties\":{\"a\":{\"uniqueItems\":true}}}", text, &reason),
                     ANDIRON_FAULT);
}

static void decimals_are_exact(void **state)
{
    static const struct {
        const char *a, *b;
        int order;
    } rows[] = {
        { "0.1", "0.10000000000000000001", -1 },
        { "1e400", "1e399", 1 },
        { "-1", "1", -1 },
        { "1.0", "1", 0 },
        { "10e-1", "1", 0 },
        { "-0", "0.000e5", 0 },
        { "-2", "-1", -1 },
        { "100", "1e2", 0 },
        { "0", "1e-400", -1 },
        { "0.01", "0.002", 1 },
        { "-1e-5", "0", -1 },
        { "1e999999999999", "1e999999999998", 0 }, /* beyond all texts */
    };
    static const struct {
        const char *number, *divisor;
        bool multiple;
    } multiples[] = {
        { "0.3", "0.1", true },
        { "1.1", "0.01", true },
        { "0.0075", "0.0001", true },
        { "0.00751", "0.0001", false },
        { "1e308", "0.123456789", false },
        { "1e308", "0.5", true },
        { "0", "7", true },
        { "-14", "7", true },
        { "15", "7", false },
        { "1e1000", "1024", true },
        { "1e-1000", "3", false },
        { "3e1000", "9", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct decimal a = decimal_of(andiron_str_of(rows[i].a)),
                       b = decimal_of(andiron_str_of(rows[i].b));
        int order = decimal_compare(&a, &b), back = decimal_compare(&b, &a);
        if ((order > 0) - (order < 0) != rows[i].order || (back > 0) - (back < 0) != -rows[i].order)
            fail_msg("%s to %s: %d, %d", rows[i].a, rows[i].b, order, back);
    }
    for (size_t i = 0; i < sizeof(multiples) / sizeof(multiples[0]); i++) {
        struct decimal number = decimal_of(andiron_str_of(multiples[i].number));
        struct decimal d = decimal_of(andiron_str_of(multiples[i].divisor));
        struct divisor divisor;
        assert_int_equal(divisor_of(&d, &divisor), 0);
        if (decimal_is_multiple(&number, &divisor) != multiples[i].multiple)
            fail_msg("%s by %s", multiples[i].number, multiples[i].divisor);
    }
}

static void references_resolve_as_rfc_3986_shows(void **state)
{
    /* Section 5.4, without the fragments. */
    static const char *const rows[][2] = {
        { "g:h", "g:h" },
        { "g", "http://a/b/c/g" },
        { "./g", "http://a/b/c/g" },
        { "g/", "http://a/b/c/g/" },
        { "/g", "http://a/g" },
        { "//g", "http://g" },
        { "?y", "http://a/b/c/d;p?y" },
        { "g?y", "http://a/b/c/g?y" },
        { ";x", "http://a/b/c/;x" },
        { "", "http://a/b/c/d;p?q" },
        { ".", "http://a/b/c/" },
        { "./", "http://a/b/c/" },
        { "..", "http://a/b/" },
        { "../", "http://a/b/" },
        { "../g", "http://a/b/g" },
        { "../..", "http://a/" },
        { "../../g", "http://a/g" },
        { "../../../g", "http://a/g" },
        { "/./g", "http://a/g" },
        { "/../g", "http://a/g" },
        { "g.", "http://a/b/c/g." },
        { "..g", "http://a/b/c/..g" },
        { "./g/.", "http://a/b/c/g/" },
        { "g/./h", "http://a/b/c/g/h" },
        { "g/../h", "http://a/b/c/h" },
        { "g?y/../x", "http://a/b/c/g?y/../x" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str got =
            uri_resolve(arena, ANDIRON_STR("http://a/b/c/d;p?q"), andiron_str_of(rows[i][0]));
        assert_string_equal(andiron_copy(arena, got), rows[i][1]);
    }
}

static void literals_are_what_a_request_must_have_place_by_place(void **state)
{
    static const char *const rows[][2] = {
        { "{\"required\":[\"params\"],\"properties\":{\"params\":{\"required\":[\"p\"],"
          "\"properties\":{\"p\":{\"const\":\"x\"}}}}}",
          "params.p=x " },
        { "{\"properties\":{\"params\":{\"required\":[\"p\"],"
          "\"properties\":{\"p\":{\"enum\":[\"x\",true]}}}}}",
          "params.p=x params.p=true params.p=- " },
        /* What data is may be no object, and then anything. */
        { "{\"required\":[\"user\"],\"properties\":{\"user\":{\"required\":[\"data\"],"
          "\"properties\":"
          "{\"data\":{\"required\":[\"w\"],\"properties\":{\"w\":{\"const\":\"x\"}}}}}}}",
          "user.data.w=x user.data.w=- " },
        { "{\"required\":[\"role\"],\"properties\":{\"role\":{\"contains\":{\"required\":[\"name\"]"
          ","
          "\"properties\":{\"name\":{\"const\":\"x\"}}}}}}",
          "role.*.name=x " },
        { "{\"required\":[\"uri\"],\"allOf\":[{\"required\":[\"uri\"],\"properties\":{\"uri\":"
          "{\"type\":\"string\",\"pattern\":\"^x$\"}}}]}",
          "uri=x " },
        { "{\"required\":[\"uri\"],\"properties\":{\"uri\":{\"pattern\":\"^x$\"}}}", "" },
        { "{\"required\":[\"uri\"],\"properties\":{\"uri\":{\"enum\":[\"x\",1]}}}", "" },
        { "{\"anyOf\":[{\"required\":[\"uri\"],\"properties\":{\"uri\":{\"const\":\"x\"}}}]}", "" },
    };
    const struct andiron_policy_engine *table = engine.table;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_policy_literal found[8];
        struct andiron_error err;
        char told[200] = "";
        void *compiled = NULL;
        assert_int_equal(compile(rows[i][0], &compiled, &err), 0);
        size_t count = table->literals(engine.self, compiled, arena, found, 8);
        for (size_t k = 0; k < count; k++)
            sprintf(told + strlen(told), "%s=%s ", found[k].path,
                    found[k].value.data != NULL ? andiron_copy(arena, found[k].value) : "-");
        assert_string_equal(told, rows[i][1]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(requests_are_checked_whole_and_by_member),
        TEST(reasons_name_the_place_and_the_keyword),
        TEST(writes_refuse_what_is_no_schema_and_say_where),
        TEST(schemas_may_refer_to_themselves_one_step_down),
        TEST(size_and_nesting_are_limited),
        TEST(what_exceeds_a_limit_is_a_fault_even_inside_of_not),
        TEST(schemas_that_double_themselves_end_in_time),
        TEST(many_equal_elements_end_in_time),
        TEST(decimals_are_exact),
        TEST(references_resolve_as_rfc_3986_shows),
        TEST(literals_are_what_a_request_must_have_place_by_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
