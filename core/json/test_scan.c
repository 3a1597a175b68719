/*
 * The scanners agree with a byte-by-byte reading, on this processor and in their portable form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json/scan.h"

/* The same file once more, without the instructions of this processor. */
#undef CORE_JSON_SCAN_H
#undef JSON_SCAN_SSE2
#define JSON_SCAN_PORTABLE
#define scan_is_blank portable_is_blank
#define scan_is_plain portable_is_plain
#define scan_blanks_run portable_blanks_run
#define scan_blanks portable_blanks
#define scan_plain portable_plain
#define scan_utf8 portable_utf8
#include "json/scan.h"
#undef scan_is_blank
#undef scan_is_plain
#undef scan_blanks_run
#undef scan_blanks
#undef scan_plain
#undef scan_utf8

/* Every byte value at every place of texts of many lengths; `fill` is what stands before it. */
static void check_stops(char fill, const char *(*scan)(const char *, const char *),
                        bool (*passes)(char))
{
    for (size_t len = 0; len < 70; len += len < 20 ? 1 : 7) {
        char *text = malloc(len + 1); /* one more, so that an empty one has an address */
        assert_non_null(text);
        memset(text, fill, len);
        text[len] = fill;
        assert_ptr_equal(scan(text, text + len), text + len);
        free(text);
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                text = malloc(len);
                assert_non_null(text);
                memset(text, fill, len);
                text[at] = (char)byte;
                const char *expected = passes((char)byte) ? text + len : text + at;
                assert_ptr_equal(scan(text, text + len), expected);
                free(text);
            }
        }
    }
}

static bool passes_plain(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x20 && u < 0x80 && c != '"' && c != '\\';
}

static bool passes_blanks(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void plain_runs_end_at_the_first_other_byte(void **state)
{
    (void)state;
    check_stops('a', scan_plain, passes_plain);
    check_stops('a', portable_plain, passes_plain);
    check_stops('\x7F', scan_plain, passes_plain);
    check_stops(' ', portable_plain, passes_plain);
}

static void blank_runs_end_at_the_first_other_byte(void **state)
{
    (void)state;
    check_stops(' ', scan_blanks, passes_blanks);
    check_stops(' ', portable_blanks, passes_blanks);
    check_stops('\n', scan_blanks, passes_blanks);
    check_stops('\n', portable_blanks, passes_blanks);
}

/* Every code point encoded by the plain rule is taken, and nothing else of up to three bytes is. */
static void utf8_is_exactly_that_of_rfc_3629(void **state)
{
    (void)state;
    size_t taken = 0;
    for (uint32_t first = 0; first < 0x1000000; first += 0x10000) {
        for (uint32_t rest = 0; rest < 0x10000; rest += first < 0x800000 ? 0xFFFF : 1) {
            uint32_t all = first | rest;
            char text[3] = { (char)(all >> 16), (char)(all >> 8), (char)all };
            const char *end = scan_utf8(text, text + 3);
            unsigned char a = (unsigned char)text[0], b = (unsigned char)text[1],
                          c = (unsigned char)text[2];
            bool tail_b = (b & 0xC0) == 0x80, tail_c = (c & 0xC0) == 0x80;
            size_t expected = 0;
            if (a < 0x80) {
                expected = 1;
            } else if (a >> 5 == 6 && tail_b && a >= 0xC2) {
                expected = 2;
            } else if (a >> 4 == 14 && tail_b && tail_c) {
                uint32_t point = (a & 15U) << 12 | (b & 63U) << 6 | (c & 63U);
                expected = point >= 0x800 && (point < 0xD800 || point > 0xDFFF) ? 3 : 0;
            }
            if (end != (expected != 0 ? text + expected : NULL))
                fail_msg("%02x %02x %02x", a, b, c);
            taken += expected == 3;
        }
    }
    assert_int_equal(taken, 0x10000 - 0x800 - 0x800);
    for (uint32_t point = 0; point < 0x140000; point++) {
        char text[4] = { (char)(0xF0 | point >> 18), (char)(0x80 | (point >> 12 & 63)),
                         (char)(0x80 | (point >> 6 & 63)), (char)(0x80 | (point & 63)) };
        bool valid = point >= 0x10000 && point <= 0x10FFFF;
        assert_ptr_equal(scan_utf8(text, text + 4), valid ? text + 4 : NULL);
        assert_null(scan_utf8(text, text + 3));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_runs_end_at_the_first_other_byte),
        cmocka_unit_test(blank_runs_end_at_the_first_other_byte),
        cmocka_unit_test(utf8_is_exactly_that_of_rfc_3629),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
