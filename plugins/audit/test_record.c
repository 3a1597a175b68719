/*
 * Bodies and the hash chain.
 */
#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>

#include <cmocka.h>

#include "record.h"

static struct audit_event event_here(void)
{
    return (struct audit_event){ .at = 1700000000000000,
                                 .kind = AUDIT_DENIED,
                                 .status = 403,
                                 .operation = "FhirRead",
                                 .request_id = ANDIRON_STR("r-1"),
                                 .method = ANDIRON_STR("GET"),
                                 .path = ANDIRON_STR("/fhir/Patient/a\"b"),
                                 .type = ANDIRON_STR("Patient"),
                                 .id = ANDIRON_STR("a\"b"),
                                 .principal = ANDIRON_STR("lab"),
                                 .reason = ANDIRON_STR("no policy matches") };
}

static void ids_are_numbers(void **state)
{
    char id[RECORD_ID + 1];
    (void)state;
    record_id(42, id);
    assert_string_equal(id, "audit.00000000000000000042");
    assert_int_equal(record_number(andiron_str_of(id)), 42);
    assert_int_equal(record_number(ANDIRON_STR("audit.0000000000000000004x")), 0);
    assert_int_equal(record_number(ANDIRON_STR("42")), 0);
}

static void a_body_is_read_as_it_was_made(void **state)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct audit_event event = event_here();
    struct audit_head head = { 0 };
    struct record record;
    andiron_json body;
    andiron_str content;
    uint8_t hash[AUDIT_HASH], again[AUDIT_HASH];
    static const uint8_t zero[AUDIT_HASH];
    (void)state;

    record_make(arena, ANDIRON_STR(""), "http://x", &event, &head, &record);
    assert_int_equal(head.last, 1);
    assert_int_equal(andiron_json_parse(arena, record.text, &body, NULL), 0);
    struct andiron_write write = { .updated = 1700000001000000 };
    record_stamp(&record, arena, &write);
    assert_int_equal(andiron_json_parse(arena, write.body, &body, NULL), 0);
    andiron_str updated = andiron_json_str(andiron_json_path(body, "meta.lastUpdated"));
    assert_memory_equal(updated.data, "2023-11-14T22:13:21", 19);
    andiron_str what = andiron_json_str(andiron_json_path(body, "entity.0.what.reference"));
    assert_true(andiron_str_eq(what, ANDIRON_STR("Patient/a\"b")));
    assert_int_equal(record_read(arena, write.body, &content, hash), 0);
    record_hash(ANDIRON_STR(""), zero, 1, content, again);
    assert_memory_equal(hash, again, AUDIT_HASH);
    assert_memory_equal(hash, head.hash, AUDIT_HASH);
    andiron_arena_free(arena);
}

static void a_hash_depends_on_everything(void **state)
{
    uint8_t before[AUDIT_HASH] = { 0 }, first[AUDIT_HASH], other[AUDIT_HASH];
    (void)state;
    record_hash(ANDIRON_STR(""), before, 1, ANDIRON_STR("x"), first);
    record_hash(ANDIRON_STR(""), before, 2, ANDIRON_STR("x"), other);
    assert_memory_not_equal(first, other, AUDIT_HASH);
    record_hash(ANDIRON_STR(""), before, 1, ANDIRON_STR("y"), other);
    assert_memory_not_equal(first, other, AUDIT_HASH);
    record_hash(ANDIRON_STR("key"), before, 1, ANDIRON_STR("x"), other);
    assert_memory_not_equal(first, other, AUDIT_HASH);
    before[0] = 1;
    record_hash(ANDIRON_STR(""), before, 1, ANDIRON_STR("x"), other);
    assert_memory_not_equal(first, other, AUDIT_HASH);
}

static void heads_come_back(void **state)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct audit_head head = { .last = 7, .forgotten = 3, .hash = { 1, 2 } }, again = { 0 };
    (void)state;
    head.forgotten_hash[31] = 9;
    assert_int_equal(head_read(arena, head_write(arena, &head), &again), 0);
    assert_memory_equal(&head, &again, sizeof(head));
    assert_int_equal(head_read(arena, ANDIRON_STR("{\"last\":7}"), &again), -1);
    andiron_arena_free(arena);
}

static void what_is_no_event_is_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "{}",
        "{\"extension\":[{\"valueString\":\"short\"}],\"type\":{}}",
        "{\"extension\":[{\"valueString\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
        "{\"extension\":[{\"valueString\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}],"
        "\"type\" : {}}",
    };
    uint8_t hash[AUDIT_HASH];
    andiron_str content;
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct andiron_arena *arena = andiron_arena_new(0);
        assert_int_equal(record_read(arena, andiron_str_of(bodies[i]), &content, hash), -1);
        andiron_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_numbers),
        cmocka_unit_test(a_body_is_read_as_it_was_made),
        cmocka_unit_test(a_hash_depends_on_everything),
        cmocka_unit_test(heads_come_back),
        cmocka_unit_test(what_is_no_event_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
