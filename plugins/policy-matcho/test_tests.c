/*
 * What a pattern says of the requests that it can match: never less than those that it matches, and
 * as much as can be told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests.h"

enum { LISTED_MAX = 64 };

static struct andiron_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    andiron_arena_free(arena);
    return 0;
}

static struct program compiled(const char *text)
{
    struct program program;
    struct andiron_error err;
    andiron_json pattern;
    print_message("%s\n", text);
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(text), &pattern, &err), 0);
    assert_int_equal(program_compile(arena, pattern, "", &program, &err), 0);
    return program;
}

/* "path=a path=b": in the order of the pattern; a "-" where nothing is there. */
static void assert_listed(const struct andiron_policy_literal *all, size_t count,
                          const char *expected)
{
    char text[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        andiron_str v = all[i].value.data != NULL ? all[i].value : ANDIRON_STR("-");
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s=%.*s", i > 0 ? " " : "",
                                all[i].path, (int)v.len, v.data);
    }
    assert_string_equal(text, expected);
}

static void each_place_lists_what_it_must_have_or_hold(void **state)
{
    static const struct {
        const char *pattern, *literals, *fragments;
    } rows[] = {
        { "{'a':{'b':'x'}}", "a.b=x", "a.b=x" },
        { "{'a':true}", "a=true", "" },
        { "{'a':1}", "", "" },
        { "{'a':null}", "a=-", "a=-" },
        { "{'a':'present?'}", "", "" },
        { "{'a':'.b'}", "", "" },
        { "{'a':'#^x$'}", "a=x", "a=x" },
        { "{'a':'#^xy'}", "", "a=xy" },
        { "{'a':'#xy[0-9]'}", "", "a=xy" },
        { "{'a':'#^/(b|cd)/$'}", "", "a=/" },
        { "{'a':'#(bcd|efg)/$'}", "", "a=bcd a=efg" },
        { "{'a':'#[0-9]'}", "", "" },
        { "{'a':{'$enum':['x','y']}}", "a=x a=y", "a=x a=y" },
        { "{'a':{'$enum':['x',true]}}", "a=x a=true", "" },
        { "{'a':{'$enum':['x',1]}}", "", "" },
        { "{'a':{'$one-of':['x','#yz$','nil?']}}", "", "a=x a=yz a=-" },
        { "{'a':{'$one-of':['#xy$','#[0-9]']}}", "", "" },
        { "{'a':{'$one-of':['x',{'b':'y'}]}}", "", "" },
        { "{'a':{'$not':'x'}}", "", "" },
        { "{'a':{'$not':{'b':'#xy'}}}", "", "" },
        { "{'a':''}", "a=", "" },
        { "{'a':['x',{'b':'#yz'}]}", "a.0=x", "a.0=x a.1.b=yz" },
        { "{'a':{'$contains':{'b':'#xy$'}}}", "", "a.*.b=xy" },
        { "{'a':{'$every':'x'}}", "a.*=x", "a.*=x" },
        { "{'a':{'$present-all':['x','#yz'],'$length':2}}", "a.*=x", "a.*=x a.*=yz" },
        { "{'a':{'$reference':{'id':'x'}}}", "", "" },
        { "{'a.b':'x','*':'y'}", "", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_policy_literal listed[LISTED_MAX] = { { .value = { NULL, 0 } } };
        char text[200];
        (void)snprintf(text, sizeof(text), "%s", rows[i].pattern);
        for (char *c = text; *c != '\0'; c++)
            *c = *c == '\'' ? '"' : *c;
        struct program program = compiled(text);
        assert_listed(listed, program_literals(&program, arena, listed, LISTED_MAX),
                      rows[i].literals);
        assert_listed(listed, program_fragments(&program, arena, listed, LISTED_MAX),
                      rows[i].fragments);
    }
}

static void a_place_whose_values_do_not_all_fit_is_left_out(void **state)
{
    struct program program = compiled(
        "{\"a\":\"x\",\"b\":{\"$enum\":[\"p\",\"q\",\"r\"]},\"c\":\"#(mn|op|qr)$\",\"d\":\"y\"}");
    struct andiron_policy_literal listed[3] = { { .value = { NULL, 0 } } };
    (void)state;
    assert_listed(listed, program_literals(&program, arena, listed, 3), "a=x d=y");
    assert_listed(listed, program_fragments(&program, arena, listed, 3), "a=x d=y");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_place_lists_what_it_must_have_or_hold, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_place_whose_values_do_not_all_fit_is_left_out, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
