/*
 * Marks of params hold for all resources: a search that relies on them finds what was stored before and after, by
 * whom ever, and whatever failed between.
 */
#include "test_kit.h"

enum { MANY = 40 };

static struct andiron_term status(const char *code)
{
    return kit_token("status", "s", code);
}

static int put(struct kit *k, const char *id, const char *code)
{
    struct andiron_term t = status(code);
    return (int)kit_put(k, "Task", id, "{}", &t, code != NULL ? 1 : 0);
}

/* Ids of tasks that are not done, the latest first; and whether the index alone knew them. */
static void expect_not_done(struct kit *k, const char *expected, bool by_others)
{
    struct andiron_filter done = kit_filter(ANDIRON_CMP_EQ, kit_token("status", NULL, "done"));
    const struct andiron_filter *args[] = { &done };
    struct andiron_filter not = { .op = ANDIRON_FILTER_NOT, .args = args, .arg_count = 1 };
    struct andiron_query query = { .type = "Task", .filter = &not, .limit = 9, .explain = true };
    struct andiron_rows rows;
    char got[64] = "";

    k->config.loop_budget = 1; /* the latest ones are soon given up */
    assert_int_equal(kit_search(k, &query, &rows), 0);
    for (size_t i = 0; i < rows.count; i++)
        strncat(got, rows.rows[i].ref.id.data, sizeof(got) - strlen(got) - 1);
    assert_string_equal(got, expected);
    assert_int_equal(strstr(rows.explain.data, "other codes") != NULL, by_others);
}

static void fill(struct kit *k)
{
    for (int i = 0; i < MANY; i++)
        assert_int_equal(put(k, andiron_printf(k->arena, "t%d", i), i == 3 ? "open" : "done"), 1);
}

static void others_drive_until_a_resource_has_no_code(void **state)
{
    struct kit *k = *state;

    fill(k);
    expect_not_done(k, "t3", true);
    assert_int_equal(put(k, "n", NULL), 1);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(put(k, andiron_printf(k->arena, "u%d", i), "done"), 1);
    expect_not_done(k, "nt3", false);
    kit_close(k);
    kit_reopen(k);
    expect_not_done(k, "nt3", false);
}

static void a_param_that_came_later_is_not_in_all(void **state)
{
    struct kit *k = *state;

    assert_int_equal(put(k, "n", NULL), 1);
    fill(k);
    expect_not_done(k, "t3n", false);
}

static void an_update_may_take_the_code_away(void **state)
{
    struct kit *k = *state;

    fill(k);
    assert_int_equal(put(k, "t5", NULL), 2);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(put(k, andiron_printf(k->arena, "u%d", i), "done"), 1);
    expect_not_done(k, "t5t3", false);
}

static void sql(struct kit *k, const char *text)
{
    assert_int_equal(sqlite3_exec(writer_view(k->store.writer).db->handle, text, NULL, NULL, NULL),
                     SQLITE_OK);
}

static void a_mark_that_was_rolled_back_is_set_again(void **state)
{
    struct kit *k = *state;

    fill(k);
    /* Fails behind the marks: with the counters, at the end of the transaction. */
    sql(k, "CREATE TRIGGER no BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT,'no'); END");
    assert_int_equal(put(k, "n", NULL), 0);
    sql(k, "DROP TRIGGER no");
    expect_not_done(k, "t3", true);
    assert_int_equal(put(k, "n", NULL), 1);
    expect_not_done(k, "nt3", false);
}

/* Both write to one file, as an old and a new worker do during a reload. */
static void params_of_another_process_are_marked_too(void **state)
{
    struct kit *k = *state;
    struct kit other = { .config = kit_config() };

    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    memcpy(other.path, k->path, sizeof(other.path));
    other.arena = andiron_arena_new(0);
    kit_reopen(&other);
    fill(&other);
    assert_int_equal(put(k, "n", NULL), 1);
    expect_not_done(k, "nt3", false);
    expect_not_done(&other, "nt3", false);
    kit_close(&other);
    andiron_arena_free(other.arena);
}

static void codes_of_older_files_are_marked(void **state)
{
    struct kit *k = *state;

    fill(k);
    sql(k, "UPDATE param SET kind=kind&~786432; UPDATE meta SET v=3 WHERE k='schema'");
    kit_close(k);
    kit_reopen(k);
    expect_not_done(k, "t3", true);
    assert_int_equal(put(k, "n", NULL), 1);
    sql(k, "UPDATE param SET kind=kind&~786432; UPDATE meta SET v=3 WHERE k='schema'");
    kit_close(k);
    kit_reopen(k);
    expect_not_done(k, "nt3", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(others_drive_until_a_resource_has_no_code, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_param_that_came_later_is_not_in_all, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(an_update_may_take_the_code_away, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_mark_that_was_rolled_back_is_set_again, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(params_of_another_process_are_marked_too, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(codes_of_older_files_are_marked, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
