/*
 * The stored form: blanks go, content stays, id and meta are rewritten where they stand,
 * references of a transaction too, and what a commit decides is filled in by the stamp.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "compose.h"

static struct andiron_arena *arena;
static const struct resource_type patient = { .name = "Patient", .str = { "Patient", 7 } };
static const struct resource_type client = { .name = "Client",
                                             .str = { "Client", 6 },
                                             .platform = true };
#define AT "2024-08-29T15:51:05.117806Z"
static const andiron_usec at = 1724946665117806;

static int new_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static andiron_json parse(const char *text)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    if (andiron_json_parse(arena, andiron_str_of(text), &root, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    return root;
}

static struct draft composed(struct composing how, const char *text)
{
    struct draft draft;
    how.arena = arena;
    how.root = parse(text);
    if (how.type == NULL)
        how.type = &patient;
    if (how.id.data == NULL)
        how.id = ANDIRON_STR("1");
    compose(&how, &draft);
    return draft;
}

static void assert_text(andiron_str s, const char *expected)
{
    if (!andiron_str_eq(s, andiron_str_of(expected)))
        fail_msg("\n%.*s, not\n%s", (int)s.len, s.data, expected);
}

static void assert_stored(struct composing how, const char *sent, const char *expected)
{
    struct draft draft = composed(how, sent);
    assert_text(compose_stamped(&draft, arena, 3, at), expected);
}

#define META "\"meta\":{\"versionId\":\"3\",\"lastUpdated\":\"" AT "\""

static void id_and_meta_stand_behind_the_type_where_they_are_absent(void **state)
{
    (void)state;
    struct composing how = { .id = ANDIRON_STR("a-1") };
    assert_stored(how, "{\"resourceType\":\"Patient\",\"active\":true}",
                  "{\"resourceType\":\"Patient\",\"id\":\"a-1\"," META "},\"active\":true}");
    assert_stored(how, "{\"active\":true,\"resourceType\":\"Patient\"}",
                  "{\"active\":true,\"resourceType\":\"Patient\",\"id\":\"a-1\"," META "}}");
}

static void id_and_meta_are_rewritten_where_they_stand(void **state)
{
    (void)state;
    assert_stored((struct composing){ .id = ANDIRON_STR("new") },
                  "{\"meta\":{},\"active\":true,\"id\":\"old\",\"resourceType\":\"Patient\"}",
                  "{" META "},\"active\":true,\"id\":\"new\",\"resourceType\":\"Patient\"}");
}

static void members_of_meta_are_kept_but_for_version_and_time(void **state)
{
    (void)state;
    assert_stored((struct composing){ 0 },
                  "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"9\","
                  "\"profile\":[\"http://a/b\"],\"lastUpdated\":\"2001-01-01T00:00:00Z\","
                  "\"extension\":[{\"url\":\"x\",\"valueDecimal\":1.0}] , \"source\":\"s\"}}",
                  "{\"resourceType\":\"Patient\",\"id\":\"1\"," META
                  ",\"profile\":[\"http://a/b\"],"
                  "\"extension\":[{\"url\":\"x\",\"valueDecimal\":1.0}],\"source\":\"s\"}}");
}

static void blanks_go_and_everything_else_stays(void **state)
{
    (void)state;
    assert_stored(
        (struct composing){ 0 },
        " { \"resourceType\" :\t\"Patient\" ,\r\n \"id\":\"1\", \"a\\u0062\": [ 1.00 , 1e2,-0.0 ],"
        "\"text\" : { \"div\" : \"<b> x \\\" { y\\\\\" , \"status\":\"\\u00e9 \\/\" } } ",
        "{\"resourceType\":\"Patient\"," META "},\"id\":\"1\",\"a\\u0062\":[1.00,1e2,-0.0],"
        "\"text\":{\"div\":\"<b> x \\\" { y\\\\\",\"status\":\"\\u00e9 \\/\"}}");
}

static void the_time_of_creation_leads_the_meta_of_platform_types(void **state)
{
    (void)state;
    struct composing how = { .type = &client };
    struct draft draft =
        composed(how, "{\"resourceType\":\"Client\",\"meta\":{\"createdAt\":\"x\"}}");
    assert_text(compose_stamped(&draft, arena, 1, at),
                "{\"resourceType\":\"Client\",\"id\":\"1\",\"meta\":{\"createdAt\":\"" AT
                "\",\"versionId\":\"1\",\"lastUpdated\":\"" AT "\"}}");
    how.created = at - 1000000;
    draft = composed(how, "{\"resourceType\":\"Client\"}");
    assert_text(compose_stamped(&draft, arena, 2, at),
                "{\"resourceType\":\"Client\",\"id\":\"1\",\"meta\":{\"createdAt\":"
                "\"2024-08-29T15:51:04.117806Z\",\"versionId\":\"2\",\"lastUpdated\":\"" AT "\"}}");
}

static void the_time_of_creation_is_an_extension_where_it_has_a_url(void **state)
{
    (void)state;
    struct composing how = { .created_at_url = ANDIRON_STR("http://c") };
    struct draft draft = composed(how, "{\"resourceType\":\"Patient\"}");
    assert_text(
        compose_stamped(&draft, arena, 1, at),
        "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"1\",\"lastUpdated\":"
        "\"" AT "\",\"extension\":[{\"url\":\"http://c\",\"valueInstant\":\"" AT "\"}]}}");
    /* What was read and is sent back does not pile up; other extensions stay. */
    how.created = at - 1000000;
    draft = composed(how,
                     "{\"resourceType\":\"Patient\",\"meta\":{\"extension\":[{\"url\":\"http://c\","
                     "\"valueInstant\":\"x\"},{\"url\":\"d\"}],\"source\":\"s\"}}");
    assert_text(
        compose_stamped(&draft, arena, 2, at),
        "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"versionId\":\"2\",\"lastUpdated\":"
        "\"" AT "\","
        "\"extension\":[{\"url\":\"http://c\",\"valueInstant\":\"2024-08-29T15:51:04.117806Z\"},"
        "{\"url\":\"d\"}],\"source\":\"s\"}}");
}

/* ---- transactions ---------------------------------------------------------------------------- */

static const struct rewrite_target fixed = { .url = { "urn:uuid:1", 10 },
                                             .type = { "Patient", 7 },
                                             .id = { "p1", 2 } };
static const struct rewrite_target open_id = { .url = { "urn:uuid:2", 10 },
                                               .type = { "Organization", 12 },
                                               .id = { "planned", 7 },
                                               .write = 1,
                                               .may_change = true };
static const struct rewrite_target absolute = { .url = { "http://o/fhir/Patient/7", 23 },
                                                .type = { "Patient", 7 },
                                                .id = { "p7", 2 } };

static struct composing in_bundle(struct rewrites *rewrites)
{
    struct rewrite_map *map = rewrite_map_new(arena, 3);
    assert_true(rewrite_map_add(map, &fixed));
    assert_true(rewrite_map_add(map, &open_id));
    assert_true(rewrite_map_add(map, &absolute));
    *rewrites = (struct rewrites){ .map = map };
    return (struct composing){ .rewrites = rewrites };
}

#define HEAD "{\"resourceType\":\"Patient\",\"id\":\"1\"," META "},"

static void assert_rewritten(const char *members, const char *expected)
{
    struct rewrites rewrites;
    char sent[512], stored[640];
    (void)snprintf(sent, sizeof(sent), "{\"resourceType\":\"Patient\",%s}", members);
    (void)snprintf(stored, sizeof(stored), HEAD "%s}", expected);
    assert_stored(in_bundle(&rewrites), sent, stored);
}

static void references_become_those_of_the_entries(void **state)
{
    (void)state;
    assert_rewritten(
        "\"link\" : [ { \"reference\" : \"urn:uuid:1\" } , {\"reference\":\"urn:uuid:9\"} ]",
        "\"link\":[{\"reference\":\"Patient/p1\"},{\"reference\":\"urn:uuid:9\"}]");
    assert_rewritten("\"x\":{\"extension\":[{\"valueUri\":\"urn:uuid:1#a\"},{\"valueCanonical\":"
                     "\"urn:uuid:1|2\"}]}",
                     "\"x\":{\"extension\":[{\"valueUri\":\"Patient/"
                     "p1#a\"},{\"valueCanonical\":\"Patient/p1|2\"}]}");
    assert_rewritten("\"contained\":[{\"subject\":{\"reference\":\"http://o/fhir/Patient/7\"}}]",
                     "\"contained\":[{\"subject\":{\"reference\":\"Patient/p7\"}}]");
}

static void identifiers_keep_a_uuid_that_is_also_a_full_url(void **state)
{
    (void)state;
    assert_rewritten(
        "\"identifier\":[{\"system\":\"urn:ietf:rfc:3986\",\"value\":\"urn:uuid:1\"}]",
        "\"identifier\":[{\"system\":\"urn:ietf:rfc:3986\",\"value\":\"urn:uuid:1\"}]");
}

static void links_in_narrative_are_rewritten(void **state)
{
    (void)state;
    assert_rewritten("\"text\":{\"div\":\"<a href=\\\"urn:uuid:1\\\">a  b</a> <img "
                     "src='urn:uuid:2#x'/> urn:uuid:1\"},\"a\": 1",
                     "\"text\":{\"div\":\"<a href=\\\"Patient/p1\\\">a  b</a> <img "
                     "src='Organization/planned#x'/> urn:uuid:1\"},\"a\":1");
}

static void relative_references_resolve_against_the_entrys_own_base(void **state)
{
    (void)state;
    struct rewrites rewrites;
    struct composing how = in_bundle(&rewrites);
    const char *sent =
        "{\"resourceType\":\"Patient\",\"a\":{\"reference\":\"Patient/7\"},\"b\":\"Patient/7\"}";
    assert_stored(how, sent, HEAD "\"a\":{\"reference\":\"Patient/7\"},\"b\":\"Patient/7\"}");
    rewrites.base = rewrite_base(ANDIRON_STR("http://o/fhir/Observation/2"));
    assert_stored(how, sent, HEAD "\"a\":{\"reference\":\"Patient/p7\"},\"b\":\"Patient/7\"}");
    rewrites.base = rewrite_base(ANDIRON_STR("http://other/fhir/Observation/2"));
    assert_stored(how, sent, HEAD "\"a\":{\"reference\":\"Patient/7\"},\"b\":\"Patient/7\"}");
}

static void the_stamp_puts_in_the_id_that_a_condition_matched(void **state)
{
    (void)state;
    struct rewrites rewrites;
    struct draft draft =
        composed(in_bundle(&rewrites),
                 "{\"resourceType\":\"Patient\","
                 "\"o\":{\"reference\":\"urn:uuid:2\"},\"p\":{\"reference\":\"urn:uuid:1\"}}");
    struct andiron_term terms[] = {
        { .param = "organization",
          .kind = ANDIRON_TERM_REFERENCE,
          .system = ANDIRON_STR("Organization"),
          .text = ANDIRON_STR("planned") },
        { .param = "link",
          .kind = ANDIRON_TERM_REFERENCE,
          .system = ANDIRON_STR("Patient"),
          .text = ANDIRON_STR("p1") },
    };
    struct andiron_write writes[] = {
        { .ref = { .type = ANDIRON_STR("Patient"), .id = ANDIRON_STR("1"), .version = 3 },
          .updated = at,
          .terms = terms,
          .term_count = 2 },
        { .ref = { .type = ANDIRON_STR("Organization"), .id = ANDIRON_STR("there") } },
    };
    draft.writes = writes;
    compose_stamp(&draft, arena, &writes[0]);
    assert_text(writes[0].body, HEAD "\"o\":{\"reference\":\"Organization/there\"},"
                                     "\"p\":{\"reference\":\"Patient/p1\"}}");
    assert_text(terms[0].text, "there");
    assert_text(terms[1].text, "p1");

    writes[1].ref.id = ANDIRON_STR("other"); /* the commit is run again, and matches another one */
    compose_stamp(&draft, arena, &writes[0]);
    assert_text(terms[0].text, "other");
}

static void the_own_id_may_be_the_matched_one_too(void **state)
{
    (void)state;
    struct composing how = { .id = ANDIRON_STR("planned"), .id_is_hole = true, .write = 0 };
    struct draft draft = composed(how, "{\"resourceType\":\"Patient\"}");
    struct andiron_write write = { .ref = { .id = ANDIRON_STR("there"), .version = 3 },
                                   .updated = at };
    draft.writes = &write;
    compose_stamp(&draft, arena, &write);
    assert_text(write.body, "{\"resourceType\":\"Patient\",\"id\":\"there\"," META "}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_and_meta_stand_behind_the_type_where_they_are_absent),
        cmocka_unit_test(id_and_meta_are_rewritten_where_they_stand),
        cmocka_unit_test(members_of_meta_are_kept_but_for_version_and_time),
        cmocka_unit_test(blanks_go_and_everything_else_stays),
        cmocka_unit_test(the_time_of_creation_leads_the_meta_of_platform_types),
        cmocka_unit_test(the_time_of_creation_is_an_extension_where_it_has_a_url),
        cmocka_unit_test(references_become_those_of_the_entries),
        cmocka_unit_test(identifiers_keep_a_uuid_that_is_also_a_full_url),
        cmocka_unit_test(links_in_narrative_are_rewritten),
        cmocka_unit_test(relative_references_resolve_against_the_entrys_own_base),
        cmocka_unit_test(the_stamp_puts_in_the_id_that_a_condition_matched),
        cmocka_unit_test(the_own_id_may_be_the_matched_one_too),
    };
    return cmocka_run_group_tests(tests, new_arena, end_arena);
}
