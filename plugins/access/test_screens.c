/*
 * Rows of policies that an engine screens: what it screens out is passed over, nothing else is, and
 * until it can, everything is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/request.h"
#include "loop/pool.h"
#include "set.h"

enum { POLICIES = 200 };

/* ---- an engine that screens out policies by the last digit of their id ------------------------ */

static atomic_uint gathers, screens;
static bool is_worth_it;

static int compile(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err)
{
    andiron_str id = andiron_json_str(andiron_json_get(policy, "id"));
    (void)self;
    (void)err;
    *ret_compiled = andiron_copy(arena, id);
    return 0;
}

struct gathered {
    size_t count;
    const char **ids;
};

static const void *gather(void *self, const void *const *compiled, size_t count,
                          struct andiron_arena *arena)
{
    struct gathered *gathered = andiron_new(arena, struct gathered);
    (void)self;
    gathered->count = count;
    gathered->ids = andiron_alloc(arena, count * sizeof(*gathered->ids));
    for (size_t i = 0; i < count; i++)
        gathered->ids[i] = compiled[i];
    (void)atomic_fetch_add(&gathers, 1);
    return is_worth_it ? gathered : NULL;
}

static bool is_screened_out(const char *id)
{
    return id[strlen(id) - 1] != '7';
}

static void screen(void *self, const void *of, struct andiron_policy_call *call,
                   uint64_t *may_match)
{
    const struct gathered *gathered = of;
    (void)self;
    (void)call;
    for (size_t i = 0; i < gathered->count; i++)
        if (is_screened_out(gathered->ids[i]))
            may_match[i / 64] &= ~(UINT64_C(1) << i % 64);
    (void)atomic_fetch_add(&screens, 1);
}

static const struct andiron_policy_engine screened_table = {
    .size = sizeof(screened_table), .compile = compile, .gather = gather, .screen = screen
};
/* As of an older header. */
static const struct andiron_policy_engine plain_table = {
    .size = offsetof(struct andiron_policy_engine, gather), .compile = compile, .screen = screen
};
static struct engine all[] = {
    { .name = "screened", .ref = { &screened_table, NULL }, .cost = 10 },
    { .name = "plain", .ref = { &plain_table, NULL }, .cost = 20 },
};
static const struct engines engines = { .all = all, .count = 2 };

/* ---- walks ------------------------------------------------------------------------------------ */

/* 200 of the engine that screens, of which some deny, and as many of the other. */
static struct set *made(bool some_deny)
{
    struct policy *policies[POLICIES * 2];
    for (int i = 0; i < POLICIES * 2; i++) {
        char text[200];
        struct andiron_error err;
        (void)snprintf(text, sizeof(text), "{\"id\":\"p%03d\",\"engine\":\"%s\"%s}", i,
                       i < POLICIES ? "screened" : "plain",
                       some_deny && i >= 100 ? ",\"effect\":\"deny\"" : "");
        policies[i] = policy_new(&engines, andiron_str_of(text), &err);
        assert_non_null(policies[i]);
    }
    struct set *set = set_new(policies, POLICIES * 2);
    for (int i = 0; i < POLICIES * 2; i++)
        policy_drop(policies[i]);
    set_index(set);
    return set;
}

struct walked {
    unsigned count, passed;
    bool is_in[POLICIES * 2];
};

static struct walked walk_once(struct set *set)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_request req = { .arena = arena };
    struct walked walked = { .count = 0 };
    struct set_walk walk;
    const struct policy *policy;
    set_walk_start(set, arena, NULL, 0, &walk);
    set_walk_screen(&walk, andiron_policy_begin(&req));
    while ((policy = set_walk_next(&walk)) != NULL) {
        walked.is_in[strtol(policy->id + 1, NULL, 10)] = true;
        walked.count++;
    }
    walked.passed = walk.passed;
    andiron_arena_free(arena);
    return walked;
}

/* What is gathered comes from the pool. */
static void wait_for(const atomic_uint *number, unsigned least)
{
    for (int i = 0; i < 30000 && atomic_load(number) < least; i++)
        (void)usleep(1000);
    assert_true(atomic_load(number) >= least);
}

static struct walked walk_screened(struct set *set, unsigned rows)
{
    struct walked walked = walk_once(set);
    assert_int_equal(walked.count, POLICIES * 2); /* not gathered yet, or only just */
    wait_for(&gathers, rows);
    for (int i = 0; i < 30000 && (walked = walk_once(set)).passed == 0; i++)
        (void)usleep(1000);
    return walked;
}

static void what_is_screened_out_is_passed_over_behind_the_first(void **state)
{
    (void)state;
    struct set *set = made(false);
    is_worth_it = true;
    atomic_store(&gathers, 0);
    struct walked walked = walk_screened(set, 1);
    for (int i = 0; i < POLICIES * 2; i++)
        assert_int_equal(walked.is_in[i], i < WALK_UNSCREENED || i >= POLICIES || i % 10 == 7);
    assert_int_equal(walked.count + walked.passed, POLICIES * 2);
    assert_int_equal(atomic_load(&gathers), 1); /* the older engine has none, and once is enough */
    set_drop(set);
}

static void policies_that_deny_are_screened_among_themselves(void **state)
{
    (void)state;
    struct set *set = made(true);
    is_worth_it = true;
    atomic_store(&gathers, 0);
    (void)walk_screened(set, 2);
    /* The first, 9 and 10 that end with 7 of those that deny and that allow, and the other engine's. */
    const unsigned left = WALK_UNSCREENED + 9 + 10 + POLICIES;
    struct walked walked;
    for (int i = 0; i < 30000 && (walked = walk_once(set)).count > left; i++)
        (void)usleep(1000); /* until both rows are */
    assert_int_equal(walked.count, left);
    for (int i = 0; i < POLICIES; i++) /* those that deny come first */
        assert_int_equal(walked.is_in[i], (i >= 100 && i < 100 + WALK_UNSCREENED) || i % 10 == 7);
    assert_int_equal(walked.count + walked.passed, POLICIES * 2);
    set_drop(set);
}

static void where_it_is_not_worth_it_all_are_asked(void **state)
{
    (void)state;
    struct set *set = made(false);
    is_worth_it = false;
    atomic_store(&gathers, 0);
    atomic_store(&screens, 0);
    assert_int_equal(walk_once(set).count, POLICIES * 2);
    wait_for(&gathers, 1);
    assert_int_equal(walk_once(set).count, POLICIES * 2);
    assert_int_equal(atomic_load(&gathers), 1);
    assert_int_equal(atomic_load(&screens), 0);
    set_drop(set);
}

/* The pool may still be at it when the last loop has let go. */
static void a_set_that_is_dropped_meanwhile_is_not_missed(void **state)
{
    (void)state;
    is_worth_it = true;
    for (int i = 0; i < 50; i++) {
        struct set *set = made(false);
        (void)walk_once(set);
        set_drop(set);
    }
}

static int start_pool(void **state)
{
    struct andiron_error err;
    (void)state;
    return pool_start(1, &err);
}

static int stop_pool(void **state)
{
    (void)state;
    pool_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_screened_out_is_passed_over_behind_the_first),
        cmocka_unit_test(policies_that_deny_are_screened_among_themselves),
        cmocka_unit_test(where_it_is_not_worth_it_all_are_asked),
        cmocka_unit_test(a_set_that_is_dropped_meanwhile_is_not_missed),
    };
    return cmocka_run_group_tests(tests, start_pool, stop_pool);
}
