/*
 * The hash of member names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/names.h"

/* With a key of zero, what CPython 3.11 gives for hash(bytes) under PYTHONHASHSEED=0. */
static void names_are_hashed_by_siphash_1_3(void **state)
{
    (void)state;
    static const struct {
        andiron_str name;
        uint64_t hash;
    } rows[] = {
        { { "a", 1 }, 0x407448d2b89b1813 },
        { { "resource", 8 }, 0x23e0665cffcf8918 },
        { { "identifier", 10 }, 0x0c2ab62c7bf24634 },
        { { "0123456789abcdef", 16 }, 0x1d42b30f7e060c24 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(names_hash((const uint64_t[2]){ 0, 0 }, rows[i].name) == rows[i].hash);
    /* The reference key 00 01 .. 0f, and nothing to hash. */
    static const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
    assert_true(names_hash(key, ANDIRON_STR("")) == 0xabac0158050fc4dc);
}

static void the_key_is_made_once_and_is_not_zero(void **state)
{
    (void)state;
    uint64_t first = names_key()[0], second = names_key()[1];
    assert_true(first != 0 && second != 0 && first != second);
    assert_true(names_key()[0] == first && names_key()[1] == second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_hashed_by_siphash_1_3),
        cmocka_unit_test(the_key_is_made_once_and_is_not_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
