/*
 * Paths have one spelling, parameters are decoded or refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/target.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct andiron_arena *arena;

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

/* An exact copy on the heap, so that ASan sees a read past the end. */
static char *exact(andiron_str text)
{
    char *copy = malloc(text.len > 0 ? text.len : 1);

    assert_non_null(copy);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

static void assert_path(andiron_str raw, const char *expected)
{
    char *copy = exact(raw);
    andiron_str path = { NULL, 0 };
    const char *reason = NULL;

    if (target_path(arena, (andiron_str){ copy, raw.len }, &path, &reason) != 0)
        fail_msg("%.*s: %s", (int)raw.len, raw.data, reason);
    assert_int_equal(path.len, strlen(expected));
    assert_memory_equal(path.data, expected, path.len);
    free(copy);
}

static void assert_path_fails(andiron_str raw, const char *claim)
{
    char *copy = exact(raw);
    andiron_str path = { NULL, 7 };
    const char *reason = NULL;

    if (target_path(arena, (andiron_str){ copy, raw.len }, &path, &reason) != -1)
        fail_msg("%s was accepted as %.*s", claim, (int)path.len, path.data);
    assert_non_null(reason);
    assert_int_equal(path.len, 7); /* untouched */
    free(copy);
}

static void plain_paths_are_views(void **state)
{
    static const char *const rows[] = { "/",
                                        "/fhir",
                                        "/fhir/Patient",
                                        "/fhir/Patient/$everything",
                                        "/fhir/Patient/a-b._~c/_history/1",
                                        "/.well-known/jwks.json",
                                        "/a/...",
                                        "/a/.b",
                                        "/a/b.",
                                        "/x:y@z!$&'()*+,=" };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        andiron_str raw = andiron_str_of(rows[i]), path;
        const char *reason;
        assert_path(raw, rows[i]);
        assert_int_equal(target_path(NULL, raw, &path, &reason), 0);
        assert_ptr_equal(path.data, raw.data);
    }
}

static void one_slash_may_end_the_two_bases(void **state)
{
    (void)state;
    assert_path(ANDIRON_STR("/"), "/");
    assert_path(ANDIRON_STR("/fhir/"), "/fhir");
}

static void needed_escapes_are_decoded(void **state)
{
    (void)state;
    assert_path(ANDIRON_STR("/a%20b"), "/a b");
    assert_path(ANDIRON_STR("/%C3%a4/x"), "/\xc3\xa4/x");
    assert_path(ANDIRON_STR("/%F0%9F%98%80"), "/\xf0\x9f\x98\x80");
    assert_path(ANDIRON_STR("/a%7Cb%22%3C%3E%5B%5D%5E%60%7B%7D"), "/a|b\"<>[]^`{}");
}

static void second_spellings_are_refused(void **state)
{
    static const struct {
        const char *claim, *path;
    } rows[] = {
        { "empty path", "" },
        { "relative path", "fhir" },
        { "asterisk", "*" },
        { "two slashes first", "//" },
        { "two slashes before a name", "//fhir" },
        { "two slashes inside", "/fhir//Patient" },
        { "two slashes last", "/fhir//" },
        { "slash at the end", "/fhir/Patient/" },
        { "slash at the end of another name", "/fhi/" },
        { "dot segment", "/." },
        { "dot segment inside", "/fhir/./Patient" },
        { "dot dot segment", "/.." },
        { "dot dot segment inside", "/a/../fhir" },
        { "dot segment before the last slash", "/fhir/./" },
        { "escaped dot", "/a/%2e" },
        { "escaped dot dot", "/a/%2E%2e/b" },
        { "half escaped dot dot", "/a/.%2e/b" },
        { "escaped letter", "/fhir/%50atient" },
        { "escaped digit", "/a/%31" },
        { "escaped hyphen", "/a%2Db" },
        { "escaped underscore", "/a/%5Fhistory" },
        { "escaped tilde", "/a/%7e" },
        { "escaped dollar, which may stand unescaped", "/fhir/Patient/%24everything" },
        { "escaped colon", "/a%3Ab" },
        { "escaped plus", "/a%2bb" },
        { "escaped slash", "/fhir%2FPatient" },
        { "escaped slash in lower case", "/fhir%2fPatient" },
        { "escaped backslash", "/fhir%5cPatient" },
        { "escaped NUL", "/fhir/Patient%00" },
        { "escaped line feed", "/a%0ab" },
        { "escaped DEL", "/a%7f" },
        { "escaped percent", "/a/%252e" },
        { "escaped question mark", "/a%3Fb" },
        { "escaped number sign", "/a%23b" },
        { "escaped semicolon", "/a%3bb" },
        { "semicolon", "/fhir;a/Patient" },
        { "backslash", "/fhir\\Patient" },
        { "blank", "/a b" },
        { "quote", "/a\"b" },
        { "pipe", "/a|b" },
        { "question mark", "/a?b" },
        { "number sign", "/a#b" },
        { "raw UTF-8", "/\xc3\xa4" },
        { "raw Latin-1", "/\xe4" },
        { "DEL", "/a\x7f" },
        { "escape without digits", "/a%" },
        { "escape with one digit", "/a%2" },
        { "escape with wrong digits", "/a%zz" },
        { "escape with a sign", "/a%+1" },
        { "unicode escape", "/a%u002f" },
        { "continuation byte alone", "/%80" },
        { "truncated sequence", "/%C3" },
        { "truncated sequence before a slash", "/%E2%82/a" },
        { "overlong slash", "/%C0%AF" },
        { "overlong slash of three bytes", "/%E0%80%AF" },
        { "overlong NUL", "/%C0%80" },
        { "overlong of four bytes", "/%F0%82%82%AC" },
        { "surrogate", "/%ED%A0%80" },
        { "above U+10FFFF", "/%F4%90%80%80" },
        { "byte that UTF-8 never has", "/%FF" },
        { "bad third byte", "/%E2%82%41" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_path_fails(andiron_str_of(rows[i].path), rows[i].claim);
    assert_path_fails((andiron_str){ "/a\0b", 4 }, "NUL");
    assert_path_fails((andiron_str){ "/a\0", 3 }, "NUL at the end");
}

/* Walks text and writes what it yields as "name=value;..." or the reason. */
static const char *walk(andiron_str text, size_t max)
{
    static char out[1000];
    char *copy = exact(text);
    struct target_params params;
    andiron_str name, value;
    enum target_param result;
    int len = 0;

    target_params_init(&params, (andiron_str){ copy, text.len }, max);
    out[0] = '\0';
    while ((result = target_params_next(&params, arena, &name, &value)) == TARGET_PARAM) {
        assert_non_null(value.data);
        len += snprintf(out + len, sizeof out - (size_t)len, "%.*s=%.*s;", (int)name.len, name.data,
                        (int)value.len, value.data);
    }
    assert_int_equal(target_params_next(&params, arena, &name, &value), result); /* stays so */
    if (result == TARGET_PARAM_ERROR)
        (void)snprintf(out, sizeof out, "%s", params.reason);
    free(copy);
    return out;
}

static void pairs_are_walked_in_order(void **state)
{
    (void)state;
    assert_string_equal(walk(ANDIRON_STR(""), 9), "");
    assert_string_equal(walk((andiron_str){ NULL, 0 }, 9), "");
    assert_string_equal(walk(ANDIRON_STR("a=1&b=2&a=3"), 9), "a=1;b=2;a=3;");
    assert_string_equal(walk(ANDIRON_STR("&a=1&&b&c=&"), 9), "a=1;b=;c=;");
    assert_string_equal(walk(ANDIRON_STR("a=b=c;d&=x"), 9), "a=b=c;d;=x;");
    assert_string_equal(walk(ANDIRON_STR("code=sys|code&x={y}"), 9), "code=sys|code;x={y};");
}

static void pairs_are_decoded(void **state)
{
    (void)state;
    assert_string_equal(walk(ANDIRON_STR("na%6De%3aexact=J%C3%B6rg+B%2b%26%3D%0a"), 9),
                        "name:exact=J\xc3\xb6rg B+&=\n;");
    assert_string_equal(walk(ANDIRON_STR("raw=J\xc3\xb6rg"), 9), "raw=J\xc3\xb6rg;");
}

static void bad_pairs_end_the_walk(void **state)
{
    (void)state;
    const char *escape = "'%' in a parameter must be followed by two hex digits";
    assert_string_equal(walk(ANDIRON_STR("a=%"), 9), escape);
    assert_string_equal(walk(ANDIRON_STR("a=%4"), 9), escape);
    assert_string_equal(walk(ANDIRON_STR("%4=a"), 9), escape);
    assert_string_equal(walk(ANDIRON_STR("a=%4&1=2"), 9), escape);
    assert_string_equal(walk(ANDIRON_STR("a=1&b=%xy&c=3"), 9), escape);
    assert_string_equal(walk(ANDIRON_STR("a=%00"), 9), "a parameter must not hold NUL");
    assert_string_equal(walk(ANDIRON_STR("a=%C3"), 9), "a parameter must be UTF-8");
    assert_string_equal(walk(ANDIRON_STR("%ff=1"), 9), "a parameter must be UTF-8");
    assert_string_equal(walk(ANDIRON_STR("a=\xff"), 9), "a parameter must be UTF-8");
    const char *control = "a parameter must not hold control characters that are not escaped";
    assert_string_equal(walk(ANDIRON_STR("a=1\r\n"), 9), control);
    assert_string_equal(walk(ANDIRON_STR("a=1\0"), 9), control);
}

static void the_number_of_pairs_is_limited(void **state)
{
    (void)state;
    assert_string_equal(walk(ANDIRON_STR("a&b&&"), 2), "a=;b=;");
    assert_string_equal(walk(ANDIRON_STR("a&b&c"), 2), "there are more parameters than allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_paths_are_views),
        cmocka_unit_test(one_slash_may_end_the_two_bases),
        cmocka_unit_test(needed_escapes_are_decoded),
        cmocka_unit_test(second_spellings_are_refused),
        cmocka_unit_test(pairs_are_walked_in_order),
        cmocka_unit_test(pairs_are_decoded),
        cmocka_unit_test(bad_pairs_end_the_walk),
        cmocka_unit_test(the_number_of_pairs_is_limited),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
