/*
 * gzip in and out, against zlib's own one-call functions, and Accept-Encoding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/arena.h"
#include "http/coding.h"

enum { MEBIBYTE = 1024 * 1024 };

static struct andiron_arena *arena;
static const struct coding_limits generous = { .bytes = UINT64_MAX };

static int make_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int drop_arena(void **state)
{
    (void)state;
    arena_free(arena);
    arena_cache_drop();
    return 0;
}

/* zlib's gzip (or zlib format) of text. */
static andiron_str pack(andiron_str text, int window)
{
    z_stream stream = { 0 };
    size_t room = compressBound(text.len) + 64;
    char *out = andiron_alloc(arena, room);

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (unsigned char *)(uintptr_t)text.data;
    stream.avail_in = (unsigned)text.len;
    stream.next_out = (unsigned char *)out;
    stream.avail_out = (unsigned)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return (andiron_str){ out, room - stream.avail_out };
}

static andiron_str gzip(andiron_str text)
{
    return pack(text, 15 + 16);
}

static andiron_str noise(size_t len, unsigned kinds)
{
    char *text = andiron_alloc(arena, len);
    uint32_t x = 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)('!' + (x >> 16) % kinds);
    }
    return (andiron_str){ text, len };
}

struct unpacked {
    enum coding_result result;
    int status;
    andiron_str text;
};

/* Inflates with input in pieces of in_step bytes and rooms of out_step bytes. */
static struct unpacked unpack(andiron_str coded, const struct coding_limits *limits, size_t in_step,
                              size_t out_step)
{
    struct inflate *inflate = coding_inflate_new(arena, limits);
    struct unpacked ret = { .result = CODING_MORE };
    size_t room = 2 * MEBIBYTE, at = 0;
    char *out = andiron_alloc(arena, room);

    while (at < coded.len && ret.result != CODING_ERROR) {
        andiron_str in = { coded.data + at, coded.len - at < in_step ? coded.len - at : in_step };
        at += in.len;
        do {
            size_t len, space = room - ret.text.len < out_step ? room - ret.text.len : out_step;
            char *exact = malloc(space); /* so that ASan sees a write past the end */

            ret.result = coding_inflate(inflate, &in, exact, space, &len);
            assert_true(len <= space);
            assert_true(ret.result != CODING_ERROR || len == 0);
            memcpy(out + ret.text.len, exact, len);
            ret.text.len += len;
            free(exact);
        } while (ret.result == CODING_FULL);
        assert_true(ret.result == CODING_ERROR || in.len == 0);
    }
    ret.text.data = out;
    ret.status = coding_inflate_status(inflate);
    assert_int_equal(ret.status != 0, coding_inflate_reason(inflate) != NULL);
    return ret;
}

static void assert_unpacks(andiron_str coded, const struct coding_limits *limits, andiron_str text)
{
    static const size_t steps[][2] = {
        { SIZE_MAX, SIZE_MAX }, { 1, 600 }, { SIZE_MAX, 11 }, { 7, 13 }, { 1, 1 }, { 1000, 4096 }
    };

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct unpacked got = unpack(coded, limits, steps[i][0], steps[i][1]);
        assert_int_equal(got.result, CODING_END);
        assert_int_equal(got.text.len, text.len);
        assert_memory_equal(got.text.data, text.data, text.len);
    }
}

static void assert_refused(andiron_str coded, const struct coding_limits *limits, int status)
{
    static const size_t steps[][2] = {
        { SIZE_MAX, SIZE_MAX }, { 1, 600 }, { SIZE_MAX, 512 }, { 7, 1300 }
    };

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct unpacked got = unpack(coded, limits, steps[i][0], steps[i][1]);
        assert_int_equal(got.result, CODING_ERROR);
        assert_int_equal(got.status, status);
    }
}

static void bodies_are_inflated_in_every_split(void **state)
{
    andiron_str texts[] = { ANDIRON_STR(""), ANDIRON_STR("{}"), noise(5000, 90), noise(70000, 3) };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_unpacks(gzip(texts[i]), &generous, texts[i]);
}

static void what_is_not_gzip_is_refused(void **state)
{
    andiron_str good = gzip(noise(5000, 90)), text = ANDIRON_STR("{\"resourceType\":\"Patient\"}");
    char *bad = andiron_alloc(arena, good.len);

    (void)state;
    assert_refused(text, &generous, 400);
    assert_refused(pack(text, 15), &generous, 400);  /* zlib format */
    assert_refused(pack(text, -15), &generous, 400); /* bare deflate */
    memcpy(bad, good.data, good.len);
    bad[good.len - 6] ^= 1; /* CRC */
    assert_refused((andiron_str){ bad, good.len }, &generous, 400);
    memcpy(bad, good.data, good.len);
    bad[good.len - 1] ^= 1; /* length */
    assert_refused((andiron_str){ bad, good.len }, &generous, 400);
    memcpy(bad, good.data, good.len);
    bad[2] = 7; /* method */
    assert_refused((andiron_str){ bad, good.len }, &generous, 400);
}

static void bytes_behind_the_end_are_refused(void **state)
{
    andiron_str good = gzip(ANDIRON_STR("{}"));
    char *twice = andiron_alloc(arena, good.len * 2);

    (void)state;
    memcpy(twice, good.data, good.len);
    memcpy(twice + good.len, good.data, good.len);
    assert_refused((andiron_str){ twice, good.len + 1 }, &generous, 400);
    assert_refused((andiron_str){ twice, good.len * 2 }, &generous, 400);
}

static void a_body_that_is_cut_off_never_ends(void **state)
{
    andiron_str good = gzip(noise(300, 90));

    (void)state;
    for (size_t len = 0; len < good.len; len++)
        assert_int_equal(unpack((andiron_str){ good.data, len }, &generous, SIZE_MAX, 4096).result,
                         CODING_MORE);
}

static void the_limit_is_exact(void **state)
{
    andiron_str text = noise(5000, 90);
    struct coding_limits limits = { .bytes = 5000, .ratio = CODING_RATIO };

    (void)state;
    assert_unpacks(gzip(text), &limits, text);
    limits.bytes = 4999;
    assert_refused(gzip(text), &limits, 413);
    limits.bytes = 0;
    assert_refused(gzip(ANDIRON_STR("x")), &limits, 413);
    assert_unpacks(gzip(ANDIRON_STR("")), &limits, ANDIRON_STR(""));
}

static void a_bomb_is_refused_by_its_ratio(void **state)
{
    const struct coding_limits limits = { .bytes = 64 * MEBIBYTE, .ratio = CODING_RATIO };
    andiron_str zeros = { andiron_alloc(arena, MEBIBYTE), MEBIBYTE };
    andiron_str few = { zeros.data, CODING_RATIO_FREE };

    (void)state;
    assert_refused(gzip(zeros), &limits, 413);
    assert_unpacks(gzip(few), &limits, few);
}

static void responses_are_packed(void **state)
{
    struct deflater *deflater = coding_deflater_new();
    andiron_str texts[] = { noise(64, 2), noise(5000, 4), noise(500000, 4) }, packed;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(coding_gzip(deflater, arena, texts[i], &packed), 0);
        assert_true(packed.len <= texts[i].len - texts[i].len / 8);
        assert_unpacks(packed, &generous, texts[i]);
    }
    coding_deflater_free(deflater);
    coding_deflater_free(NULL);
}

static void responses_that_gain_nothing_stay(void **state)
{
    struct deflater *deflater = coding_deflater_new();
    andiron_str texts[] = { ANDIRON_STR(""), noise(63, 2), noise(4000, 255) };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        andiron_str packed = { NULL, 7 };
        assert_int_equal(coding_gzip(deflater, arena, texts[i], &packed), -1);
        assert_int_equal(packed.len, 7);
    }
    coding_deflater_free(deflater);
}

static void accept_encoding_is_weighed(void **state)
{
    static const struct {
        const char *text;
        bool accepts;
    } rows[] = {
        { NULL, false },
        { "", false },
        { "gzip", true },
        { "GZip", true },
        { "x-gzip", true },
        { "deflate, gzip;q=1.0, *;q=0.5", true },
        { "gzip;q=0", false },
        { "gzip;q=0.000", false },
        { "gzip;q=0.001", true },
        { "gzip ; q=0.5", true },
        { "gzip;q=0.5, identity", false },
        { "gzip;q=0.5, identity;q=0.4", true },
        { "gzip, identity", true },
        { "identity;q=0", false },
        { "*", true },
        { "*;q=0", false },
        { "*, gzip;q=0", false },
        { "*;q=0, gzip", true },
        { "br", false },
        { "gzipped", false },
        { " ,, gzip", true },
        { "gzip;q=2", false },
        { "gzip;q=1.001", false },
        { "gzip;q=.5", false },
        { "gzip;q=0.5555", false },
        { "gzip;q=", false },
        { "gzip;q", false },
        { "gzip;level=1", false },
        { "gzip;q=a", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (coding_accepts_gzip(andiron_str_of(rows[i].text)) != rows[i].accepts)
            fail_msg("%s", rows[i].text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bodies_are_inflated_in_every_split),
        TEST(what_is_not_gzip_is_refused),
        TEST(bytes_behind_the_end_are_refused),
        TEST(a_body_that_is_cut_off_never_ends),
        TEST(the_limit_is_exact),
        TEST(a_bomb_is_refused_by_its_ratio),
        TEST(responses_are_packed),
        TEST(responses_that_gain_nothing_stay),
        TEST(accept_encoding_is_weighed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
