/*
 * matcho, row by row of seed-semantics 5.4, through the engine as policies use it; what a write
 * refuses and where; limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <andiron/plugin.h>

#include "base/arena.h"
#include "host/host.h"
#include "host/settings.h"
#include "http/policy.h"

extern const struct andiron_plugin andiron_plugin_v1;

/* The directives, as the plugin's table lays them out. */
static int64_t config[4];
static struct andiron_service_ref engine;
static struct andiron_arena *arena;

static void configure(const char *name, int64_t value)
{
    for (const struct andiron_directive *d = andiron_plugin_v1.directives; d->name != NULL; d++) {
        if (strcmp(d->name, name) != 0)
            continue;
        char *at = (char *)config + d->offset;
        if (d->type == ANDIRON_BOOL)
            *(bool *)at = value != 0;
        else
            memcpy(at, &value, sizeof(value));
    }
}

static struct host *core;

static int set_up(void **state)
{
    static const char *const overrides[] = { "http.base-url=https://host", NULL };
    static const struct invocation invocation = { .dir = "/nonexistent", .overrides = overrides };
    static struct settings settings;
    static struct andiron_host host;
    struct andiron_error err;
    (void)state;
    assert_true(andiron_plugin_v1.config_size <= sizeof(config));
    arena = andiron_arena_new(0);
    core = settings_read(&invocation, SECRETS_READ, &settings);
    host = (struct andiron_host){ .arena = arena, .name = "policy-matcho", .host = core };
    configure("regex-steps", 100000);
    configure("regex-subject", 65536);
    configure("time-limit", 1000);
    configure("null-equal", 0);
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

static enum andiron_verdict ask(const char *pattern, const char *request, andiron_str *ret_reason)
{
    const struct andiron_policy_engine *table = engine.table;
    const char *policy = andiron_printf(arena, "{\"engine\":\"matcho\",\"matcho\":%s}", pattern);
    struct andiron_error err = { .where = "" };
    void *compiled = NULL;
    if (table->compile(engine.self, arena, parse(policy), &compiled, &err) != 0)
        fail_msg("%s: %s: %s", pattern, err.where, err.message);
    return policy_explain(arena, parse(request), &engine, compiled, 1000, ret_reason, NULL);
}

struct row {
    const char *pattern, *request;
    bool matches;
};

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        andiron_str reason;
        enum andiron_verdict verdict = ask(rows[i].pattern, rows[i].request, &reason);
        if (verdict != (rows[i].matches ? ANDIRON_MATCH : ANDIRON_NO_MATCH))
            fail_msg("%s of %s: %d %.*s", rows[i].pattern, rows[i].request, verdict,
                     (int)reason.len, reason.data);
        if (!rows[i].matches)
            assert_true(reason.len > 0);
    }
}
#define ASSERT_ROWS(rows) assert_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void scalars_match_by_value(void **state)
{
    static const struct row rows[] = {
        { "{\"x\":1}", "{\"x\":1.0,\"y\":2}", true },
        { "{\"x\":1}", "{\"x\":10e-1}", true },
        { "{\"x\":0.1}", "{\"x\":0.10000000000000000001}", false },
        { "{\"x\":9007199254740993}", "{\"x\":9007199254740992}", false },
        { "{\"x\":1}", "{\"x\":\"1\"}", false },
        { "{\"x\":1}", "{}", false },
        { "{\"x\":true}", "{\"x\":true}", true },
        { "{\"x\":true}", "{\"x\":false}", false },
        { "{\"x\":false}", "{}", false },
        { "{\"x\":true}", "{\"x\":\"true\"}", false },
        { "{\"x\":null}", "{}", true },
        { "{\"x\":null}", "{\"x\":0}", false },
        { "{\"x\":\"a\"}", "{\"x\":\"a\"}", true },
        { "{\"x\":\"a\"}", "{\"x\":\"A\"}", false },
        { "{\"x\":\"a\"}", "{\"x\":\" a\"}", false },
        { "{\"x\":\"a\"}", "{\"x\":[\"a\"]}", false },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void words_ask_for_presence(void **state)
{
    static const struct row rows[] = {
        { "{\"x\":\"present?\"}", "{\"x\":false}", true },
        { "{\"x\":\"present?\"}", "{\"x\":{\"y\":1}}", true },
        { "{\"x\":\"present?\"}", "{}", false },
        { "{\"x\":\"nil?\"}", "{}", true },
        { "{\"x\":\"nil?\"}", "{\"x\":0}", false },
        { "{\"x\":\"not-blank?\"}", "{\"x\":\" a \"}", true },
        { "{\"x\":\"not-blank?\"}", "{\"x\":\" \\t\\n\"}", false },
        { "{\"x\":\"not-blank?\"}", "{\"x\":1}", false },
        { "{\"x\":\"not-blank?\"}", "{}", false },
        { "{\"a\":{\"b\":\"nil?\"}}", "{}", false }, /* a itself is no object */
        { "{\"a\":{\"b\":\"nil?\"}}", "{\"a\":{\"c\":1}}", true },
        { "{\"a\":[\"present?\"]}", "{\"a\":[null]}", false },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void expressions_are_found_anywhere_in_strings(void **state)
{
    static const struct row rows[] = {
        { "{\"x\":\"#^/fhir/P\"}", "{\"x\":\"/fhir/Patient\"}", true },
        { "{\"x\":\"#^/fhir/P\"}", "{\"x\":\"/x/fhir/P\"}", false },
        { "{\"x\":\"#fhir\"}", "{\"x\":\"/x/fhir/P\"}", true },
        { "{\"x\":\"#(?i)^PATIENT$\"}", "{\"x\":\"patient\"}", true },
        { "{\"x\":\"#^(?!Secret)\"}", "{\"x\":\"Secret1\"}", false },
        { "{\"x\":\"#^a$\"}", "{\"x\":\"a\\n\"}", false },
        { "{\"x\":\"#1\"}", "{\"x\":1}", false },
        { "{\"x\":\"#\"}", "{}", false },
        { "{\"x\":\"#\\\\d{3}\"}", "{\"x\":\"a123\"}", true },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void paths_compare_two_places_and_fail_closed(void **state)
{
    static const struct row rows[] = {
        { "{\"s\":\".user.id\"}", "{\"s\":\"u\",\"user\":{\"id\":\"u\"}}", true },
        { "{\"s\":\".user.id\"}", "{\"s\":\"u\",\"user\":{\"id\":\"v\"}}", false },
        { "{\"s\":\".user.data.p\"}", "{}", false },
        { "{\"s\":\".user.data.p\"}", "{\"s\":\"x\"}", false },
        { "{\"s\":\".user.data.p\"}", "{\"user\":{\"data\":{\"p\":1}}}", false },
        { "{\"s\":\".params.resource/id\"}", "{\"s\":\"1\",\"params\":{\"resource/id\":\"1\"}}",
          true },
        { "{\"s\":\".role.1.name\"}", "{\"s\":\"b\",\"role\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
          true },
        { "{\"s\":\".o\"}", "{\"s\":{\"a\":1,\"b\":[2]},\"o\":{\"b\":[2.0],\"a\":1}}", true },
        { "{\"s\":\".o\"}", "{\"s\":{\"a\":1},\"o\":{\"a\":1,\"b\":2}}", false },
        { "{\"r\":{\"s\":\".r.t\"}}", "{\"r\":{\"s\":1,\"t\":1}}", true },
        { "{\"s\":{\"$not\":\".user.id\"}}", "{\"s\":\"u\",\"user\":{\"id\":\"u\"}}", false },
    };
    static const struct row lenient[] = {
        { "{\"s\":\".user.data.p\"}", "{}", true },
        { "{\"s\":\".user.data.p\"}", "{\"s\":\"x\"}", false },
        { "{\"s\":\".user.data.p\"}", "{\"user\":{\"data\":{\"p\":1}}}", false },
    };
    (void)state;
    ASSERT_ROWS(rows);
    configure("null-equal", 1);
    ASSERT_ROWS(lenient);
}

static void objects_and_arrays_may_have_more(void **state)
{
    static const struct row rows[] = {
        { "{\"a\":{}}", "{\"a\":{\"b\":1}}", true },
        { "{\"a\":{}}", "{\"a\":[1]}", false },
        { "{\"a\":{}}", "{}", false },
        { "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"c\":2,\"d\":3,\"b\":1}}", true },
        { "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1}}", false },
        { "{\"a\":[1,2]}", "{\"a\":[1,2,3]}", true },
        { "{\"a\":[1,2]}", "{\"a\":[2,1]}", false },
        { "{\"a\":[1,2]}", "{\"a\":[1]}", false },
        { "{\"a\":[1,\"nil?\"]}", "{\"a\":[1]}", true },
        { "{\"a\":[]}", "{\"a\":[1]}", true },
        { "{\"a\":[]}", "{\"a\":{\"0\":1}}", false },
        { "{\"a\":[{\"b\":[1]}]}", "{\"a\":[{\"b\":[1]}]}", true },
        { "{\"a.b\":1}", "{\"a.b\":1}", true },
        { "{\"a.b\":1}", "{\"a\":{\"b\":1}}", false },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void keys_choose_and_exclude(void **state)
{
    static const struct row rows[] = {
        { "{\"a\":{\"$enum\":[\"x\",1,true]}}", "{\"a\":1.0}", true },
        { "{\"a\":{\"$enum\":[\"x\",1,true]}}", "{\"a\":\"x\"}", true },
        { "{\"a\":{\"$enum\":[\"x\",1,true]}}", "{\"a\":false}", false },
        { "{\"a\":{\"$enum\":[\"x\",1,true]}}", "{}", false },
        { "{\"a\":{\"$enum\":[\".b\",\"#.\"]}}", "{\"a\":\".b\",\"b\":1}", true }, /* by value */
        { "{\"a\":{\"$one-of\":[\"x\",\"#^y\"]}}", "{\"a\":\"yes\"}", true },
        { "{\"a\":{\"$one-of\":[\"x\",\"#^y\"]}}", "{\"a\":\"no\"}", false },
        { "{\"a\":{\"$one-of\":[\"x\",\"nil?\"]}}", "{}", true },
        { "{\"$one-of\":[{\"a\":1},{\"b\":2}]}", "{\"b\":2}", true },
        { "{\"a\":{\"$not\":1}}", "{}", true },
        { "{\"a\":{\"$not\":1}}", "{\"a\":2}", true },
        { "{\"a\":{\"$not\":1}}", "{\"a\":1.0}", false },
        { "{\"a\":{\"$not\":{\"$not\":1}}}", "{\"a\":1}", true },
        { "{\"$not\":{\"a\":1}}", "{\"a\":2}", true },
        { "{\"$not\":{\"a\":1}}", "{\"a\":1}", false },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void keys_look_into_arrays(void **state)
{
    static const struct row rows[] = {
        { "{\"a\":{\"$contains\":{\"n\":1}}}", "{\"a\":[{\"n\":2},{\"n\":1}]}", true },
        { "{\"a\":{\"$contains\":{\"n\":1}}}", "{\"a\":[{\"n\":2}]}", false },
        { "{\"a\":{\"$contains\":\"x\"}}", "{\"a\":\"x\"}", false },
        { "{\"a\":{\"$contains\":\"x\"}}", "{}", false },
        { "{\"a\":{\"$every\":{\"n\":1}}}", "{\"a\":[{\"n\":1},{\"n\":1,\"m\":2}]}", true },
        { "{\"a\":{\"$every\":{\"n\":1}}}", "{\"a\":[{\"n\":1},{\"n\":2}]}", false },
        { "{\"a\":{\"$every\":1}}", "{\"a\":[]}", false },
        { "{\"a\":{\"$every\":1}}", "{}", false },
        { "{\"t\":{\"$present-all\":[\"b\",\"a\"],\"$length\":2}}", "{\"t\":[\"a\",\"b\"]}", true },
        { "{\"t\":{\"$present-all\":[\"b\",\"a\"],\"$length\":2}}", "{\"t\":[\"a\",\"b\",\"c\"]}",
          false },
        { "{\"t\":{\"$present-all\":[\"b\",\"a\"]}}", "{\"t\":[\"a\",\"c\"]}", false },
        { "{\"t\":{\"$present-all\":[\"a\"],\"$every\":\"#^.$\"}}", "{\"t\":[\"a\",\"c\"]}", true },
        { "{\"t\":{\"$present-all\":[\"a\"],\"$every\":\"#^.$\"}}", "{\"t\":[\"a\",\"cc\"]}",
          false },
        { "{\"t\":{\"$contains\":1,\"$present-all\":[2],\"$length\":2}}", "{\"t\":[1,2]}", true },
        { "{\"a\":{\"$length\":2}}", "{\"a\":[1,2]}", true },
        { "{\"a\":{\"$length\":2.0}}", "{\"a\":[1,2]}", true },
        { "{\"a\":{\"$length\":2}}", "{\"a\":[1]}", false },
        { "{\"a\":{\"$length\":1}}", "{\"a\":{\"b\":1}}", false },
        { "{\"a\":{\"$length\":{\"$enum\":[1,2]}}}", "{\"a\":[1]}", true },
        { "{\"a\":{\"$length\":{\"$not\":1}}}", "{\"a\":[1]}", false },
        { "{\"a\":{\"$length\":\".n\"}}", "{\"a\":[1],\"n\":1}", true },
        { "{\"a\":{\"$length\":\".n\"}}", "{\"a\":[1]}", false },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

#define REF(p) "{\"a\":{\"$reference\":" p "}}"
#define DEVICE "{\"resourceType\":\"Device\",\"id\":\"d\"}"

static void references_match_in_every_form(void **state)
{
    static const struct row rows[] = {
        { REF(DEVICE), "{\"a\":{\"reference\":\"Device/d\"}}", true },
        { REF(DEVICE), "{\"a\":{\"reference\":\"Device/d\",\"display\":\"x\"}}", true },
        { REF(DEVICE), "{\"a\":" DEVICE "}", true },
        { REF(DEVICE), "{\"a\":\"Device/d\"}", true },
        { REF(DEVICE), "{\"a\":\"Device/d/_history/2\"}", true },
        { REF(DEVICE), "{\"a\":{\"reference\":\"Device/e\"}}", false },
        { REF(DEVICE), "{\"a\":{\"reference\":\"Patient/d\"}}", false },
        { REF(DEVICE), "{\"a\":{\"reference\":\"https://host/fhir/Device/d\"}}", true },
        { REF(DEVICE), "{\"a\":{\"reference\":\"https://elsewhere/fhir/Device/d\"}}", false },
        { REF(DEVICE), "{\"a\":{\"display\":\"Device/d\"}}", false },
        { REF(DEVICE), "{}", false },
        /* Which of the two does a reader follow? */
        { REF(DEVICE),
          "{\"a\":{\"reference\":\"Device/e\",\"resourceType\":\"Device\",\"id\":\"d\"}}", false },
        { REF("{\"uri\":\"urn:x\"}"), "{\"a\":\"urn:x\"}", true },
        { REF("{\"uri\":\"nil?\",\"id\":\"#^d\"}"), "{\"a\":\"Device/d\"}", true },
        { REF(DEVICE), "{\"a\":\"Device/d/x\"}", false },
        { REF("{\"id\":\".client.d\"}"), "{\"a\":\"Device/d\",\"client\":{\"d\":\"d\"}}", true },
        { REF("{\"id\":\".client.d\"}"), "{\"a\":\"Device/d\"}", false },
        { REF("\".client.d\""),
          "{\"a\":{\"reference\":\"Device/d\"},\"client\":{\"d\":" DEVICE "}}", true },
        { REF("\".client.d\""), "{\"a\":\"Device/d\",\"client\":{\"d\":\"Device/e\"}}", false },
        { REF("{\"id\":{\"$one-of\":[\"c\",\"d\"]}}"), "{\"a\":\"Device/d\"}", true },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void published_examples_hold(void **state)
{
    static const char lab[] =
        "{\"operation\":{\"id\":\"FhirCreate\"},\"params\":{\"resource/type\":\"Observation\"},"
        "\"client\":{\"details\":{\"device\":\"present?\"}},\"resource\":{\"id\":\"nil?\","
        "\"status\":{\"$enum\":[\"final\",\"corrected\"]},\"device\":{\"$reference\":"
        "{\"resourceType\":\"Device\",\"id\":\".client.details.device\"}}}}";
    static const char inside[] =
        "{\"request-method\":\"get\",\"remote-addr\":\"#^10\\\\.\",\"uri\":{\"$one-of\":"
        "[\"/fhir/Patient\",\"#^/fhir/Encounter/[^/]+$\"]},"
        "\"params\":{\"_include\":\"nil?\",\"_revinclude\":\"nil?\"}}";
#define CREATE(device, status, more)                                                               \
    "{\"operation\":{\"id\":\"FhirCreate\"},\"params\":{\"resource/type\":\"Observation\"},"       \
    "\"client\":{\"details\":{\"device\":\"d1\"}},\"resource\":{\"status\":\"" status              \
    "\",\"device\":{\"reference\":\"Device/" device "\"}" more "}}"
#define READ(uri, more)                                                                            \
    "{\"request-method\":\"get\",\"remote-addr\":\"10.1.2.3\",\"uri\":\"" uri                      \
    "\",\"params\":{\"x\":\"y\"" more "}}"
    static const struct row rows[] = {
        { lab, CREATE("d1", "final", ""), true },
        { lab, CREATE("d2", "final", ""), false },
        { lab, CREATE("d1", "preliminary", ""), false },
        { lab, CREATE("d1", "final", ",\"id\":\"1\""), false },
        { inside, READ("/fhir/Patient", ""), true },
        { inside, READ("/fhir/Encounter/1", ""), true },
        { inside, READ("/fhir/Encounter/1/_history", ""), false },
        { inside, READ("/fhir/Patient", ",\"_include\":\"*\""), false },
        { "{\"user\":\"present?\",\"role\":{\"$contains\":{\"name\":\"triage\"}}}",
          "{\"user\":{\"id\":\"u\"},\"role\":[{\"name\":\"a\"},{\"name\":\"triage\"}]}", true },
    };
    (void)state;
    ASSERT_ROWS(rows);
}

static void reasons_name_the_place_and_what_was_expected(void **state)
{
    static const struct {
        const char *pattern, *request, *reason;
    } rows[] = {
        { "{\"resource\":{\"status\":{\"$enum\":[\"final\"]}}}",
          "{\"resource\":{\"status\":\"secret\"}}", "resource.status must be one of [\"final\"]" },
        { "{\"a\":[{\"b\":1}]}", "{\"a\":[{}]}", "a[0].b must be 1, but is missing" },
        { "{\"a\":{\"b\":1}}", "{}", "a must be an object that matches {\"b\":1}, but is missing" },
        { "{\"a\":\"nil?\"}", "{\"a\":1}", "a must be nothing" },
        { "{\"a\":{\"$every\":{\"n\":1}}}", "{\"a\":[{\"n\":1},{\"n\":2}]}", "a[1].n must be 1" },
        { "{\"a\":{\"$contains\":{\"n\":1}}}", "{\"a\":[1]}",
          "a must be an element that matches {\"n\":1}" },
        { "{\"$not\":{\"a\":1}}", "{\"a\":1}", "the request must not be {\"a\":1}" },
        { "{\"a\":\"#^b\"}", "{\"a\":\"c\"}", "a must be a string that matches \"#^b\"" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str reason;
        assert_int_equal(ask(rows[i].pattern, rows[i].request, &reason), ANDIRON_NO_MATCH);
        assert_string_equal(andiron_copy(arena, reason), rows[i].reason);
    }
}

static void writes_refuse_what_cannot_run_and_say_where(void **state)
{
    static const struct {
        const char *policy, *where;
    } rows[] = {
        { "{}", "" },
        { "{\"matcho\":{}}", "" },
        { "{\"matcho\":[]}", "" },
        { "{\"matcho\":\"present?\"}", "" },
        { "{\"matcho\":null}", "" },
        { "{\"matcho\":{\"a\":\"#(\"}}", ".a" },
        { "{\"matcho\":{\"a\":[1,{\"b\":\"#[\"}]}}", ".a[1].b" },
        { "{\"matcho\":{\"a\":{\"$enum\":[1,{}]}}}", ".a.$enum[1]" },
        { "{\"matcho\":{\"a\":{\"$enum\":[null]}}}", ".a.$enum[0]" },
        { "{\"matcho\":{\"a\":{\"$enum\":[]}}}", ".a.$enum" },
        { "{\"matcho\":{\"a\":{\"$enum\":\"x\"}}}", ".a.$enum" },
        { "{\"matcho\":{\"a\":{\"$one-of\":[]}}}", ".a.$one-of" },
        { "{\"matcho\":{\"a\":{\"$one-of\":[{\"$x\":1}]}}}", ".a.$one-of[0].$x" },
        { "{\"matcho\":{\"a\":{\"$one-of\":[1],\"b\":1}}}", ".a.$one-of" },
        { "{\"matcho\":{\"a\":{\"$one-of\":[1],\"$length\":1}}}", ".a.$one-of" },
        { "{\"matcho\":{\"a\":{\"$not\":1,\"$enum\":[1]}}}", ".a.$not" },
        { "{\"matcho\":{\"a\":{\"$length\":1,\"$reference\":{}}}}", ".a.$reference" },
        { "{\"matcho\":{\"b\":1,\"$not\":1}}", ".$not" },
        { "{\"matcho\":{\"a\":{\"$foo\":1}}}", ".a.$foo" },
        { "{\"matcho\":{\"a\":{\"$\":1}}}", ".a.$" },
        { "{\"matcho\":{\"a\":{\"$length\":\"two\"}}}", ".a.$length" },
        { "{\"matcho\":{\"a\":{\"$length\":{\"$enum\":[1,\"x\"]}}}}", ".a.$length" },
        { "{\"matcho\":{\"a\":{\"$length\":\"present?\"}}}", ".a.$length" },
        { "{\"matcho\":{\"a\":{\"$present-all\":1}}}", ".a.$present-all" },
        { "{\"matcho\":{\"a\":\".\"}}", ".a" },
        { "{\"matcho\":{\"a\":\".x..y\"}}", ".a" },
        { "{\"matcho\":{\"a\":\".x.\"}}", ".a" },
        { "{\"matcho\":{\"resource\":{\"$not\":{\"$contains\":\"#a{2\\\\C\"}}}}",
          ".resource.$not.$contains" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct andiron_policy_engine *table = engine.table;
        struct andiron_error err = { .where = "" };
        void *compiled = NULL;
        print_message("%s\n", rows[i].policy);
        assert_int_equal(table->compile(engine.self, arena, parse(rows[i].policy), &compiled, &err),
                         -1);
        assert_string_equal(err.where,
                            andiron_printf(arena, "AccessPolicy.matcho%s", rows[i].where));
        assert_int_equal(andiron_code_http(err.code), 422);
        assert_true(err.message[0] != '\0');
    }
}

static void long_expressions_and_patterns_are_refused(void **state)
{
    const struct andiron_policy_engine *table = engine.table;
    struct andiron_error err;
    void *compiled;
    char *text = andiron_alloc(arena, 100000);
    int used = sprintf(text, "{\"matcho\":{\"a\":\"#");
    (void)state;
    memset(text + used, 'a', 513);
    strcpy(text + used + 513, "\"}}");
    assert_int_equal(table->compile(engine.self, arena, parse(text), &compiled, &err), -1);
    assert_string_equal(err.where, "AccessPolicy.matcho.a");
    used = sprintf(text, "{\"matcho\":{\"a\":[0");
    for (int i = 0; i < 15000; i++)
        used += sprintf(text + used, ",1");
    strcpy(text + used, "]}}");
    assert_int_equal(table->compile(engine.self, arena, parse(text), &compiled, &err), -1);
    assert_string_equal(err.where, "AccessPolicy.matcho");
}

static void what_exceeds_a_limit_is_a_fault_even_inside_of_not(void **state)
{
    static const char *const patterns[] = { "{\"a\":\"#(a+)+$\"}", "{\"a\":{\"$not\":\"#(a+)+$\"}}",
                                            "{\"a\":{\"$one-of\":[\"#(a+)+$\",\"present?\"]}}" };
    andiron_str reason;
    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        assert_int_equal(
            ask(patterns[i], "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}", &reason),
            ANDIRON_FAULT);
    char *text = andiron_alloc(arena, 70000);
    int used = sprintf(text, "{\"a\":\"");
    memset(text + used, 'x', 66000);
    strcpy(text + used + 66000, "\"}");
    assert_int_equal(ask("{\"a\":{\"$not\":\"#y\"}}", text, &reason), ANDIRON_FAULT);
}

static void time_is_limited_over_many_expressions(void **state)
{
    char *text = andiron_alloc(arena, 200000);
    int used = sprintf(text, "{\"a\":[1");
    andiron_str reason;
    (void)state;
    for (int i = 0; i < 4000; i++) /* each stays within its steps */
        used += sprintf(text + used, ",\"aaaaaaaaaaaab\"");
    strcpy(text + used, "]}");
    configure("time-limit", 1);
    assert_int_equal(ask("{\"a\":{\"$contains\":\"#(a+)+$\"}}", text, &reason), ANDIRON_FAULT);
}

static void literals_are_what_a_request_must_have_place_by_place(void **state)
{
    static const char *const rows[][2] = {
        { "{\"headers\":{\"x-a\":\"1\"}}", "headers.x-a=1 " },
        { "{\"client\":{\"lab\":true,\"n\":1}}", "client.lab=true " },
        { "{\"a\":{\"$enum\":[\"x\",\"y\"]},\"b\":{\"$enum\":[\"x\",2]}}", "a=x a=y " },
        { "{\"a\":{\"$one-of\":[\"x\",\"nil?\",\"#^z$\"]}}", "a=x a=- a=z " },
        { "{\"a\":{\"$one-of\":[\"x\",\"present?\"]}}", "" },
        { "{\"a\":{\"$not\":\"x\"},\"b\":\"#x\",\"c\":\".d\"}", "" },
        { "{\"role\":{\"$contains\":{\"name\":\"x\",\"at\":\"present?\"}}}", "role.*.name=x " },
        { "{\"role\":{\"$present-all\":[\"x\",{\"b\":\"y\"}],\"$length\":2}}",
          "role.*=x role.*.b=y " },
        { "{\"role\":{\"$every\":\"x\"},\"a\":[\"y\",{\"b\":\"z\"}]}", "role.*=x a.0=y a.1.b=z " },
        { "{\"params\":{\"a.b\":\"x\",\"*\":\"y\",\"\":\"z\"}}", "" },
        { "{\"a\":{\"$reference\":{\"id\":\"x\"}}}", "" },
    };
    const struct andiron_policy_engine *table = engine.table;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_policy_literal found[8];
        struct andiron_error err = { .where = "" };
        char told[200] = "";
        void *compiled = NULL;
        andiron_json policy = parse(andiron_printf(arena, "{\"matcho\":%s}", rows[i][0]));
        assert_int_equal(table->compile(engine.self, arena, policy, &compiled, &err), 0);
        size_t count = table->literals(engine.self, compiled, arena, found, 8);
        for (size_t k = 0; k < count; k++)
            sprintf(told + strlen(told), "%s=%s ", found[k].path,
                    found[k].value.data != NULL ? andiron_copy(arena, found[k].value) : "-");
        assert_string_equal(told, rows[i][1]);
        assert_true(table->literals(engine.self, compiled, arena, found, 1) <= 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(scalars_match_by_value),
        TEST(words_ask_for_presence),
        TEST(expressions_are_found_anywhere_in_strings),
        TEST(paths_compare_two_places_and_fail_closed),
        TEST(objects_and_arrays_may_have_more),
        TEST(keys_choose_and_exclude),
        TEST(keys_look_into_arrays),
        TEST(references_match_in_every_form),
        TEST(published_examples_hold),
        TEST(reasons_name_the_place_and_what_was_expected),
        TEST(writes_refuse_what_cannot_run_and_say_where),
        TEST(long_expressions_and_patterns_are_refused),
        TEST(what_exceeds_a_limit_is_a_fault_even_inside_of_not),
        TEST(time_is_limited_over_many_expressions),
        TEST(literals_are_what_a_request_must_have_place_by_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
