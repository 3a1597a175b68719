/*
 * Small parts: hashes, packed keys, names, cursors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cursor.h"
#include "keys.h"
#include "names.h"
#include "rows.h"
#include "terms_kit.h"

/* Vectors of the reference implementation: key 00..0f, message 00, 01, 02... */
static void siphash_gives_the_published_values(void **state)
{
    (void)state;
    static const uint8_t empty128[16] = { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                          0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93 };
    uint8_t bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = (uint8_t)i;
    struct hash_key key = hash_key_of(bytes);
    assert_true(hash_of64(&key, (andiron_str){ "", 0 }) == 0x726fdb47dd0e0e31u);
    assert_true(hash_of64(&key, (andiron_str){ (char *)bytes, 1 }) == 0x74f839c593dc67fdu);
    assert_true(hash_of64(&key, (andiron_str){ (char *)bytes, 15 }) == 0xa129ca6149be45e5u);
    struct hash128 wide = hash_of128(&key, (andiron_str){ "", 0 });
    assert_memory_equal(wide.bytes, empty128, 16);
}

static void hash_does_not_depend_on_how_bytes_are_added(void **state)
{
    (void)state;
    struct hash_key key = { 1, 2 };
    const char text[] = "the quick brown fox jumps over the lazy dog";
    uint64_t whole = hash_of64(&key, (andiron_str){ text, sizeof(text) });
    for (size_t cut = 0; cut <= sizeof(text); cut++) {
        struct hash h;
        hash_begin64(&h, &key);
        hash_add(&h, text, cut / 2);
        hash_add(&h, text + cut / 2, cut - cut / 2);
        hash_add(&h, text + cut, sizeof(text) - cut);
        assert_true(hash_end64(&h) == whole);
    }
}

static int any_type(void *arg, andiron_str name, int64_t *ret)
{
    (void)arg;
    *ret = (int64_t)name.len;
    return 0;
}

static int any_param(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    (void)arg;
    (void)type;
    (void)kind;
    *ret = 1000 + code.data[0];
    return 0;
}

static int any_resource(void *arg, int64_t type, andiron_str id, int64_t *ret)
{
    (void)arg;
    (void)type;
    *ret = id.len == 0 ? 0 : (int64_t)1 << 40;
    return 0;
}

static struct keys_source any_source(const struct hash_key *key)
{
    return (struct keys_source){
        .key = key, .type = any_type, .param = any_param, .resource = any_resource
    };
}

static void packed_terms_come_back(void **state)
{
    (void)state;
    struct hash_key key = { 3, 4 };
    struct keys_source source = any_source(&key);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    andiron_str keys;
    struct andiron_term terms[] = { kit_reference("r", "Patient", "x"),
                                    kit_date("d", -(1ll << 62), 1ll << 62),
                                    kit_number("n", -2.5, -2.5), kit_token("c", "s", "code") };
    assert_int_equal(keys_pack(&source, arena, 1, terms, 4, &keys, &err), 0);
    struct keys_cursor c = keys_begin(keys);
    struct keys_entry e;
    unsigned seen = 0;
    while (keys_next(&c, &e)) {
        if (e.kind == KEYS_REFERENCE)
            seen |= (e.type == 7 && e.rid == (int64_t)1 << 40) << 0;
        if (e.kind == KEYS_DATE)
            seen |= (unsigned)(e.low == -(1ll << 62) && e.high == 1ll << 62) << 1;
        if (e.kind == KEYS_NUMBER)
            seen |= (unsigned)(e.number_low == -2.5 && e.number_high == -2.5) << 2;
        if (e.kind == KEYS_TOKEN)
            seen |= (unsigned)(e.p == 1000 + 'c' && andiron_str_eq(e.text, ANDIRON_STR("code")) &&
                               e.hash[0] == keys_hash_system(&key, ANDIRON_STR("s")))
                    << 3;
    }
    assert_false(c.broken);
    assert_int_equal(seen, 15);
    andiron_arena_free(arena);
}

static void packed_terms_are_sorted_and_unique(void **state)
{
    (void)state;
    struct hash_key key = { 3, 4 };
    struct keys_source source = any_source(&key);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    andiron_str one, two, joined;
    struct andiron_term a[] = { kit_token("c", "s", "1"), kit_token("c", "s", "2"),
                                kit_token("c", "s", "1") };
    struct andiron_term b[] = { kit_token("c", "s", "2"), kit_token("c", "s", "1") };
    assert_int_equal(keys_pack(&source, arena, 1, a, 3, &one, &err), 0);
    assert_int_equal(keys_pack(&source, arena, 1, b, 2, &two, &err), 0);
    assert_true(andiron_str_eq(one, two));
    joined = keys_join(arena, one, two);
    assert_true(andiron_str_eq(one, joined));
    andiron_arena_free(arena);
}

/* Entries that differ in their parameter only are there once, and come back as they were. */
static void equal_terms_of_parameters_share_their_bytes(void **state)
{
    (void)state;
    struct hash_key key = { 3, 4 };
    struct keys_source source = any_source(&key);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    andiron_str once, twice, none = { NULL, 0 };
    struct andiron_term terms[] = { kit_string("a", "hemoglobin in blood", "Hemoglobin in Blood"),
                                    kit_token("a", "s", "4548-4"),
                                    kit_string("b", "hemoglobin in blood", "Hemoglobin in Blood"),
                                    kit_token("b", "s", "4548-4") };
    assert_int_equal(keys_pack(&source, arena, 1, terms, 2, &once, &err), 0);
    assert_int_equal(keys_pack(&source, arena, 1, terms, 4, &twice, &err), 0);
    assert_in_range(twice.len - once.len, 2 * 4, 2 * 5);
    assert_true(andiron_str_eq(keys_join(arena, twice, none), twice));
    assert_true(andiron_str_eq(keys_join(arena, once, twice), twice));
    struct keys_cursor c = keys_begin(twice);
    struct keys_entry e;
    unsigned seen = 0;
    while (keys_next(&c, &e)) {
        unsigned second = e.p == 1000 + 'b';
        if (e.kind == KEYS_STRING && andiron_str_eq(e.text, ANDIRON_STR("hemoglobin in blood")) &&
            e.hash[0] == keys_hash_exact(&key, ANDIRON_STR("Hemoglobin in Blood")))
            seen |= 1u << second;
        if (e.kind == KEYS_TOKEN && andiron_str_eq(e.text, ANDIRON_STR("4548-4")))
            seen |= 4u << second;
    }
    assert_false(c.broken);
    assert_int_equal(seen, 15);
    andiron_arena_free(arena);
}

static void entries_never_lead_outside_of_their_list(void **state)
{
    (void)state;
    static const uint8_t lists[][8] = {
        { 6, KEYS_FORMAT, 1, KEYS_SAME, 0, 1, KEYS_PRESENT }, /* itself */
        { 4, KEYS_FORMAT, 1, KEYS_SAME, 1 },                  /* the format */
        { 4, KEYS_FORMAT, 1, KEYS_SAME, 9 },                  /* before the list */
        { 7, KEYS_FORMAT, 1, KEYS_SAME, 0, 1, KEYS_SAME, 2 }  /* another of its kind */
    };
    struct keys_entry e;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct keys_cursor c =
            keys_begin((andiron_str){ (const char *)lists[i] + 1, (size_t)lists[i][0] });
        assert_false(keys_next(&c, &e));
        assert_true(c.broken);
    }
}

static void cut_or_changed_keys_are_never_read_past(void **state)
{
    (void)state;
    struct hash_key key = { 3, 4 };
    struct keys_source source = any_source(&key);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    andiron_str keys;
    struct andiron_term terms[] = { kit_string("s", "text", "Text"),
                                    kit_date("d", 1, 100000),
                                    kit_number("n", 1, 2),
                                    kit_token("c", "s", "code"),
                                    kit_token("e", "s", "code"),
                                    { .param = "q",
                                      .kind = ANDIRON_TERM_QUANTITY,
                                      .text = ANDIRON_STR("mg"),
                                      .system = ANDIRON_STR("u"),
                                      .exact = ANDIRON_STR("milli") } };
    assert_int_equal(keys_pack(&source, arena, 1, terms, 6, &keys, &err), 0);
    for (size_t len = 0; len <= keys.len; len++) {
        for (size_t at = 0; at <= len; at++) {
            uint8_t *copy = malloc(len + 1); /* the sanitizer watches its end */
            memcpy(copy, keys.data, len);
            if (at < len)
                copy[at] ^= 0x55;
            struct keys_cursor c = keys_begin((andiron_str){ (char *)copy, len });
            struct keys_entry e;
            while (keys_next(&c, &e))
                continue;
            free(copy);
        }
    }
    andiron_arena_free(arena);
}

static void strings_are_cut_between_characters(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof(text));
    memcpy(text + 255, "\xc3\xa4", 2);
    andiron_str cut = rows_string((andiron_str){ text, sizeof(text) });
    assert_int_equal(cut.len, 255);
}

static void names_are_found_however_many(void **state)
{
    (void)state;
    struct hash_key key = { 5, 6 };
    struct names *names = names_new(&key);
    char code[16];
    uint32_t kinds;
    for (int i = 1; i <= 5000; i++) {
        snprintf(code, sizeof(code), "p%d", i);
        names_put_param(names, i, i % 7 + 1, andiron_str_of(code), 1);
    }
    for (int i = 1; i <= 5000; i++) {
        snprintf(code, sizeof(code), "p%d", i);
        assert_int_equal(names_param(names, i % 7 + 1, andiron_str_of(code), &kinds), i);
        assert_int_equal(names_param(names, i % 7 + 2, andiron_str_of(code), &kinds), 0);
    }
    names_put_type(names, 3, ANDIRON_STR("Patient"));
    assert_int_equal(names_type(names, ANDIRON_STR("Patient")), 3);
    assert_true(andiron_str_eq(names_of_type(names, 3), ANDIRON_STR("Patient")));
    assert_null(names_of_type(names, 4).data);
    names_free(names);
}

static void no_two_values_have_one_mark(void **state)
{
    (void)state;
    enum { PARAMS = 40, RESOURCES = 500, SLOTS = 1 << 16 };
    static uint64_t marks[SLOTS];

    for (int64_t p = 1; p <= PARAMS; p++) {
        for (int64_t rid = 1; rid <= RESOURCES; rid++) {
            uint64_t mark = rows_value_mark(p, ROWS_RESOURCE, rid);
            size_t i = mark % SLOTS;
            for (; marks[i] != 0; i = (i + 1) % SLOTS)
                assert_true(marks[i] != mark);
            marks[i] = mark;
        }
    }
}

static void cursor_comes_back_with_its_values(void **state)
{
    (void)state;
    struct hash_key seal = { 7, 8 }, other = { 7, 9 };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    struct cursor c = { .mode = CURSOR_SORTED, .query = 11, .key = -5, .high = 6 }, back;
    c.values[0] = (struct cursor_value){ .kind = VALUE_TEXT, .text = ANDIRON_STR("a\0b") };
    c.values[1] = (struct cursor_value){ .kind = VALUE_REAL, .real = -0.5 };
    andiron_str text = cursor_write(&seal, arena, &c);
    assert_int_equal(cursor_read(&seal, arena, text, CURSOR_SORTED, 11, &back, &err), 0);
    assert_int_equal(back.key, -5);
    assert_int_equal(back.high, 6);
    assert_true(andiron_str_eq(back.values[0].text, c.values[0].text));
    assert_true(back.values[1].kind == VALUE_REAL && back.values[1].real == -0.5);
    assert_int_equal(back.values[2].kind, VALUE_ABSENT);
    assert_int_equal(cursor_read(&other, arena, text, CURSOR_SORTED, 11, &back, &err), -1);
    assert_int_equal(cursor_read(&seal, arena, text, CURSOR_BY_VID, 11, &back, &err), -1);
    assert_int_equal(cursor_read(&seal, arena, text, CURSOR_SORTED, 12, &back, &err), -1);
    andiron_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_values),
        cmocka_unit_test(hash_does_not_depend_on_how_bytes_are_added),
        cmocka_unit_test(packed_terms_come_back),
        cmocka_unit_test(packed_terms_are_sorted_and_unique),
        cmocka_unit_test(equal_terms_of_parameters_share_their_bytes),
        cmocka_unit_test(entries_never_lead_outside_of_their_list),
        cmocka_unit_test(cut_or_changed_keys_are_never_read_past),
        cmocka_unit_test(strings_are_cut_between_characters),
        cmocka_unit_test(names_are_found_however_many),
        cmocka_unit_test(no_two_values_have_one_mark),
        cmocka_unit_test(cursor_comes_back_with_its_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
