/*
 * Searches against a model (common/store/search_model.h), with the settings of this store.
 */
#include "test_kit.h"

#include "common/store/search_model.h"

static void any_filter_gives_what_it_says(void **state)
{
    struct kit *k = *state;

    fill(k);
    for (int round = 0; round < ROUNDS; round++) {
        bool patient = roll(2);
        struct andiron_sort sort[3];
        struct andiron_query query = { .type = patient ? "Patient" : "Observation",
                                       .filter = random_filter(k, patient, 3),
                                       .sort = sort,
                                       .limit = 1 + roll(40),
                                       .total = ANDIRON_TOTAL_ACCURATE,
                                       .fingerprint = 1 + (uint64_t)round };
        query.sort_count = random_sort(sort, patient);
        k->config.short_list = roll(2) ? 5 : 1000;  /* follow sort indexes, or sort */
        k->config.loop_budget = roll(2) ? 5 : 1500; /* soon give up the latest ones, or not */
        expect_same(k, &query, patient);
        if (round % 100 == 99) { /* memory of a hundred requests at a time */
            andiron_arena_free(k->arena);
            k->arena = andiron_arena_new(0);
        }
    }
}

static void spent_budget_is_resumed_where_it_ended(void **state)
{
    struct kit *k = *state;

    fill(k);
    k->config.scan_budget = 30;
    has_large_sets = false;
    for (int round = 0; round < ROUNDS / 5; round++) {
        bool patient = roll(2);
        struct andiron_sort sort[3];
        struct andiron_query query = { .type = patient ? "Patient" : "Observation",
                                       .filter = random_filter(k, patient, 2),
                                       .sort = sort,
                                       .limit = 1 + roll(5),
                                       .fingerprint = 7 };
        query.sort_count = random_sort(sort, patient);
        k->config.short_list = roll(2) ? 2 : 1000;
        expect_same(k, &query, patient);
        andiron_arena_free(k->arena);
        k->arena = andiron_arena_new(0);
    }
    has_large_sets = true;
}

static void several_types_come_in_one_order(void **state)
{
    struct kit *k = *state;
    struct andiron_term code = kit_token("code", NULL, "x");
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, code);
    struct andiron_filter all = { .op = ANDIRON_FILTER_AND };
    const char *const types[] = { "Observation", "Unheard", "Patient", NULL };
    struct andiron_query query = {
        .types = types, .filter = &filter, .limit = 7, .total = ANDIRON_TOTAL_ACCURATE
    };

    fill(k);
    expect_same(k, &query, false);
    query.types = NULL;
    query.cursor = (andiron_str){ NULL, 0 };
    expect_same(k, &query, false);
    for (int round = 0; round < 40; round++) {
        static const struct andiron_sort common[] = { { "code", ANDIRON_TERM_TOKEN, false },
                                                      { "_id", ANDIRON_TERM_TOKEN, false },
                                                      { "_lastUpdated", ANDIRON_TERM_DATE, false },
                                                      { "date", ANDIRON_TERM_DATE, false } };
        struct andiron_sort sort[3];
        query.sort = sort;
        query.sort_count = 1 + roll(3);
        for (size_t i = 0; i < query.sort_count; i++) {
            sort[i] = common[roll(4)];
            sort[i].descending = roll(2);
        }
        query.filter = roll(2) ? &filter : &all;
        query.cursor = (andiron_str){ NULL, 0 };
        query.fingerprint = 100 + (uint64_t)round;
        k->config.short_list = roll(2) ? 5 : 1000;
        expect_same(k, &query, false);
    }
}

/* Ids of what has a date from `low` on and one before `high`, by the least date. */
static void expect_dates(struct kit *k, andiron_usec low, andiron_usec high, const char *expected)
{
    struct andiron_filter from = kit_filter(ANDIRON_CMP_GE, kit_date("date", low, low + 1));
    struct andiron_filter to = kit_filter(ANDIRON_CMP_LT, kit_date("date", high, high + 1));
    const struct andiron_filter *args[] = { &from, &to };
    struct andiron_filter both = { .op = ANDIRON_FILTER_AND, .args = args, .arg_count = 2 };
    struct andiron_sort sort = { "date", ANDIRON_TERM_DATE, false };

    for (int way = 0; way < 4; way++) {
        struct andiron_query query = {
            .type = "Observation", .filter = &both, .sort = &sort, .sort_count = 1, .limit = 9
        };
        struct andiron_rows rows;
        char got[64] = "";
        query.sort_count = way & 1;
        k->config.short_list = way & 2 ? 0 : 1000;
        assert_int_equal(kit_search(k, &query, &rows), 0);
        for (size_t i = 0; i < rows.count; i++)
            strncat(got, rows.rows[way & 1 ? i : rows.count - 1 - i].ref.id.data, 9);
        if (way & 1)
            assert_string_equal(got, expected);
        else
            assert_int_equal(strlen(got), strlen(expected));
    }
}

static void second_value_counts_where_one_was_the_rule(void **state)
{
    struct kit *k = *state;
    struct andiron_term ten = kit_date("date", 10, 11), twenty = kit_date("date", 20, 21);
    struct andiron_term two[] = { kit_date("date", 5, 6), kit_date("date", 25, 26) };

    assert_int_equal(kit_put(k, "Observation", "a", "{}", &ten, 1), 1);
    assert_int_equal(kit_put(k, "Observation", "b", "{}", &twenty, 1), 1);
    expect_dates(k, 8, 30, "ab");
    expect_dates(k, 15, 30, "b");
    expect_dates(k, 22, 8, "");
    assert_int_equal(kit_put(k, "Observation", "c", "{}", two, 2), 1);
    expect_dates(k, 8, 30, "cab");
    expect_dates(k, 15, 30, "cb");
    expect_dates(k, 22, 8, "c"); /* each condition by another value */
}

/* What a loop thread does at a time is bounded by rows, whatever is asked. */
static void no_search_holds_a_loop(void **state)
{
    enum { BATCHES = 400 }; /* what a last step may read beyond its budget */
    struct kit *k = *state;
    int stopped = 0;

    fill(k);
    k->config.loop_budget = 100;
    for (int round = 0; round < ROUNDS; round++) {
        bool patient = roll(2);
        struct andiron_sort sort[3];
        struct andiron_rows rows;
        struct andiron_query query = { .type = patient ? "Patient" : "Observation",
                                       .filter = random_filter(k, patient, 3),
                                       .sort = sort,
                                       .limit = 1 + roll(300),
                                       .total = ANDIRON_TOTAL_ACCURATE };
        query.sort_count = random_sort(sort, patient);
        struct search_place place = {
            .store = &k->store, .db = &k->reader->db, .arena = k->arena, .brief = true
        };
        assert_int_equal(reader_enter(k->reader), 0);
        assert_int_equal(search_run(&place, &query, &rows), 0);
        reader_leave(k->reader);
        assert_in_range(place.probed, 0, k->config.loop_budget + BATCHES);
        stopped += place.stopped;
        andiron_arena_free(k->arena);
        k->arena = andiron_arena_new(0);
    }
    assert_true(stopped > ROUNDS / 10);
}

static void a_search_of_many_conditions_leaves_the_loop_at_once(void **state)
{
    enum { MANY = 600 };
    struct kit *k = *state;
    static struct andiron_filter terms[MANY];
    static const struct andiron_filter *args[MANY];
    struct andiron_filter any = { .op = ANDIRON_FILTER_OR, .args = args };
    struct andiron_query query = { .type = "Observation", .filter = &any, .limit = 10 };
    struct andiron_rows rows;

    fill(k);
    for (size_t i = 0; i < MANY; i++) {
        terms[i] = kit_filter(ANDIRON_CMP_EQ, kit_token("code", "http://a", "x"));
        args[i] = &terms[i];
    }
    for (any.arg_count = 100; any.arg_count <= MANY; any.arg_count += MANY - 100) {
        struct search_place place = {
            .store = &k->store, .db = &k->reader->db, .arena = k->arena, .brief = true
        };
        assert_int_equal(reader_enter(k->reader), 0);
        assert_int_equal(search_run(&place, &query, &rows), 0);
        reader_leave(k->reader);
        /* The short one begins; on a slow machine its time may be over before it ends. */
        assert_int_equal(place.probed == 0, any.arg_count == MANY);
        assert_true(place.stopped || any.arg_count < MANY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_filter_gives_what_it_says, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(spent_budget_is_resumed_where_it_ended, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(no_search_holds_a_loop, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_search_of_many_conditions_leaves_the_loop_at_once,
                                        kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(second_value_counts_where_one_was_the_rule, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(several_types_come_in_one_order, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
