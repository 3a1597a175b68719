/*
 * Lists of items: what decides, in which order, with engines that answer at once or later; and
 * where errors are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/policy.h"
#include "list.h"
#include "loop/pool.h"

static struct andiron_arena *arena;
static char asked[64]; /* a letter for each item that was asked */
static int released;

/* {"engine":"say","verdict":"match","as":"a"}: says so, at once or from the pool. */
struct saying {
    enum andiron_verdict verdict;
    char as;
    bool later;
    struct andiron_policy_call *call;
};

static int say_compile(void *self, struct andiron_arena *own, andiron_json policy,
                       void **ret_compiled, struct andiron_error *err)
{
    andiron_str verdict = andiron_json_str(andiron_json_get(policy, "verdict"));
    andiron_str as = andiron_json_str(andiron_json_get(policy, "as"));
    struct saying *s = andiron_new(own, struct saying);
    (void)self;
    if (as.len != 1)
        return andiron_error_set(err, ANDIRON_E_VALUE, "AccessPolicy.as", "is a letter");
    s->as = as.data[0];
    s->later = andiron_json_true(andiron_json_get(policy, "later"));
    s->verdict = andiron_str_eq(verdict, ANDIRON_STR("match"))   ? ANDIRON_MATCH
                 : andiron_str_eq(verdict, ANDIRON_STR("fault")) ? ANDIRON_FAULT
                                                                 : ANDIRON_NO_MATCH;
    *ret_compiled = s;
    return 0;
}

static enum andiron_verdict say(const struct saying *s, struct andiron_policy_call *call)
{
    size_t len = strlen(asked);
    asked[len] = s->as;
    asked[len + 1] = '\0';
    if (s->verdict == ANDIRON_NO_MATCH)
        return andiron_policy_no_match(call, "%c says no", s->as);
    return s->verdict == ANDIRON_FAULT ? andiron_policy_fault(call, "%c fails", s->as)
                                       : ANDIRON_MATCH;
}

static void say_later(void *arg)
{
    struct saying *s = arg;
    andiron_policy_finish(s->call, say(s, s->call));
}

static enum andiron_verdict say_evaluate(void *self, const void *compiled,
                                         struct andiron_policy_call *call)
{
    const struct saying *s = compiled;
    (void)self;
    if (!s->later)
        return say(s, call);
    struct saying *own =
        andiron_new(andiron_request_arena(andiron_policy_request(call)), struct saying);
    *own = *s;
    own->call = call;
    andiron_pool_post(say_later, own);
    return ANDIRON_PENDING;
}

static void say_release(void *self, void *compiled)
{
    (void)self;
    (void)compiled;
    released++;
}

static enum andiron_verdict complex_evaluate(void *self, const void *compiled,
                                             struct andiron_policy_call *call)
{
    (void)self;
    return list_ask(compiled, call);
}

static const struct andiron_policy_engine say_table = { .size = sizeof(say_table),
                                                        .compile = say_compile,
                                                        .evaluate = say_evaluate,
                                                        .release = say_release };
static const struct andiron_policy_engine complex_table = { .size = sizeof(complex_table),
                                                            .evaluate = complex_evaluate };
static struct engine all[] = { { "complex", { &complex_table, all } },
                               { "say", { &say_table, NULL } },
                               { "matcho", { &say_table, NULL } } };
static const struct engines engines = { .all = all, .count = 3, .self = all };

static int set_up(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    asked[0] = '\0';
    released = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    andiron_arena_free(arena);
    return 0;
}

static andiron_json parse(const char *text)
{
    andiron_json v;
    struct andiron_error err = { .where = "" };
    if (andiron_json_parse(arena, andiron_str_of(text), &v, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    return v;
}

/* "and(a+ b- c!)": + matches, - does not, ! fails; a letter in capitals answers later. */
static const char *policy_of(const char **at)
{
    const char *text = NULL, *comma = "";
    bool is_or = **at == 'o';
    *at = strchr(*at, '(') + 1;
    while (**at != ')') {
        const char *item;
        if (strncmp(*at, "and(", 4) == 0 || strncmp(*at, "or(", 3) == 0) {
            item = policy_of(at);
        } else {
            char as = (*at)[0], what = (*at)[1];
            item = andiron_printf(
                arena, "{\"engine\":\"say\",\"as\":\"%c\",\"verdict\":\"%s\",\"later\":%s}", as,
                what == '+'   ? "match"
                : what == '!' ? "fault"
                              : "no",
                as >= 'A' && as <= 'Z' ? "true" : "false");
            *at += 2;
        }
        text = andiron_printf(arena, "%s%s%s", text != NULL ? text : "", comma, item);
        comma = ",";
        if (**at == ' ')
            ++*at;
    }
    ++*at;
    return andiron_printf(arena, "{\"engine\":\"complex\",\"%s\":[%s]}", is_or ? "or" : "and",
                          text);
}

static enum andiron_verdict ask(const char *text, andiron_str *ret_reason)
{
    const struct andiron_service_ref self = { &complex_table, all };
    struct andiron_error err = { .where = "" };
    const struct list *list = NULL;
    const char *at = text;
    asked[0] = '\0';
    if (list_compile(&engines, arena, parse(policy_of(&at)), &list, &err) != 0)
        fail_msg("%s: %s: %s", text, err.where, err.message);
    return policy_explain(arena, parse("{}"), &self, list, 5000, ret_reason, NULL);
}

static void lists_stop_at_the_item_that_decides(void **state)
{
    static const struct {
        const char *text;
        enum andiron_verdict verdict;
        const char *asked, *reason;
    } rows[] = {
        { "and(a+ b+)", ANDIRON_MATCH, "ab", NULL },
        { "and(a+ b- c+)", ANDIRON_NO_MATCH, "ab", "and[1]: b says no" },
        { "and(a+ b! c-)", ANDIRON_FAULT, "ab", "and[1]: b fails" },
        { "or(a- b+ c+)", ANDIRON_MATCH, "ab", NULL },
        { "or(a- b-)", ANDIRON_NO_MATCH, "ab", NULL },
        { "or(a! b+)", ANDIRON_MATCH, "ab", NULL },
        { "or(a! b-)", ANDIRON_FAULT, "ab", "or[0]: a fails" },
        { "or(a- b!)", ANDIRON_FAULT, "ab", "or[1]: b fails" },
        { "and(or(a- b+) c+)", ANDIRON_MATCH, "abc", NULL },
        { "and(or(a- b-) c+)", ANDIRON_NO_MATCH, "ab", NULL },
        { "or(and(a+ b-) and(c+ d+))", ANDIRON_MATCH, "abcd", NULL },
        { "and(a+ and(b+ and(c+ d-)))", ANDIRON_NO_MATCH, "abcd",
          "and[1]: and[1]: and[1]: d says no" },
        { "and(A+ b+)", ANDIRON_MATCH, "Ab", NULL },
        { "and(a+ B- c+)", ANDIRON_NO_MATCH, "aB", "and[1]: B says no" },
        { "or(A- B- c+)", ANDIRON_MATCH, "ABc", NULL },
        { "or(A! B-)", ANDIRON_FAULT, "AB", "or[0]: A fails" },
        { "and(or(A- B+) and(C+ d+ E+) f+)", ANDIRON_MATCH, "ABCdEf", NULL },
    };
    struct andiron_error err;
    (void)state;
    assert_int_equal(pool_start(1, &err), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str reason;
        print_message("%s\n", rows[i].text);
        assert_int_equal(ask(rows[i].text, &reason), rows[i].verdict);
        assert_string_equal(asked, rows[i].asked);
        if (rows[i].reason != NULL)
            assert_string_equal(andiron_copy(arena, reason), rows[i].reason);
    }
    pool_stop();
}

#define SAY "{\"engine\":\"say\",\"as\":\"a\"}"

static void errors_name_the_item(void **state)
{
    static const struct {
        const char *policy, *where;
    } rows[] = {
        { "{}", ".and" },
        { "{\"and\":[]}", ".and" },
        { "{\"or\":{}}", ".or" },
        { "{\"and\":[" SAY "],\"or\":[" SAY "]}", ".or" },
        { "{\"and\":[" SAY ",{\"engine\":\"say\"}]}", ".and[1].as" },
        { "{\"and\":[" SAY ",{}]}", ".and[1].engine" },
        { "{\"and\":[1]}", ".and[0].engine" },
        { "{\"and\":[{\"engine\":\"none\"}]}", ".and[0].engine" },
        { "{\"or\":[{\"engine\":\"matcho\",\"as\":\"a\"}]}", ".or[0].as" },
        { "{\"or\":[{\"engine\":\"matcho\",\"schema\":{}}]}", ".or[0].schema" },
        { "{\"or\":[{\"engine\":\"say\",\"as\":\"a\",\"effect\":\"deny\"}]}", ".or[0].effect" },
        { "{\"or\":[{\"engine\":\"say\",\"as\":\"a\",\"link\":[]}]}", ".or[0].link" },
        { "{\"or\":[" SAY ",{\"engine\":\"complex\",\"and\":[{\"engine\":\"say\"}]}]}",
          ".or[1].and[0].as" },
        { "{\"or\":[{\"engine\":\"complex\",\"and\":[]}]}", ".or[0].and" },
        { "{\"or\":[{\"engine\":\"complex\"}]}", ".or[0].and" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_error err = { .where = "" };
        const struct list *list;
        print_message("%s\n", rows[i].policy);
        assert_int_equal(list_compile(&engines, arena, parse(rows[i].policy), &list, &err), -1);
        assert_string_equal(err.where, andiron_printf(arena, "AccessPolicy%s", rows[i].where));
        assert_int_equal(andiron_code_http(err.code), 422);
    }
}

static void eight_levels_are_allowed_and_no_ninth(void **state)
{
    const char *policy = SAY;
    const struct list *list;
    struct andiron_error err = { .where = "" };
    (void)state;
    for (int i = 0; i < 8; i++)
        policy = andiron_printf(arena, "{\"engine\":\"complex\",\"and\":[%s]}", policy);
    assert_int_equal(list_compile(&engines, arena, parse(policy), &list, &err), 0);
    policy = andiron_printf(arena, "{\"engine\":\"complex\",\"and\":[%s]}", policy);
    assert_int_equal(list_compile(&engines, arena, parse(policy), &list, &err), -1);
    assert_non_null(strstr(err.message, "more than 8 deep"));
}

static void items_are_released_with_the_policy(void **state)
{
    struct andiron_arena *own = andiron_arena_new(0);
    const struct list *list;
    struct andiron_error err;
    (void)state;
    assert_int_equal(list_compile(&engines, own, parse("{\"and\":[" SAY "," SAY "]}"), &list, &err),
                     0);
    assert_int_equal(released, 0);
    andiron_arena_free(own);
    assert_int_equal(released, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lists_stop_at_the_item_that_decides),
        TEST(errors_name_the_item),
        TEST(eight_levels_are_allowed_and_no_ninth),
        TEST(items_are_released_with_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
