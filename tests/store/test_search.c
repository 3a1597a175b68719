/*
 * Searches against a model (common/store/search_model.h).
 */
#include "kit.h"

#include "common/store/search_model.h"

/* Indexes of sort keys are followed, instead of sorting matches. */
static void follow(struct kit *k)
{
    k->extra = "short-list = 3\n";
    kit_restart(k);
}

static void any_filter_gives_what_it_says(void **state)
{
    struct kit *k = *state;

    fill(k);
    for (int round = 0; round < ROUNDS / 2; round++) {
        bool patient = roll(2);
        struct andiron_sort sort[3];
        struct andiron_query query = { .type = patient ? "Patient" : "Observation",
                                       .filter = random_filter(k, patient, 3),
                                       .sort = sort,
                                       .limit = 1 + roll(40),
                                       .total = ANDIRON_TOTAL_ACCURATE,
                                       .fingerprint = 1 + (uint64_t)round };
        query.sort_count = random_sort(sort, patient);
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
    has_large_sets = false;
    for (int round = 0; round < ROUNDS / 4; round++) {
        bool patient = roll(2);
        struct andiron_sort sort[3];
        struct andiron_query query = { .type = patient ? "Patient" : "Observation",
                                       .filter = random_filter(k, patient, 2),
                                       .sort = sort,
                                       .limit = 1 + roll(5),
                                       .fingerprint = 7 };
        query.sort_count = random_sort(sort, patient);
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

    for (int way = 0; way < 2; way++) {
        struct andiron_query query = {
            .type = "Observation", .filter = &both, .sort = &sort, .sort_count = 1, .limit = 9
        };
        struct andiron_rows rows;
        char got[64] = "";
        query.sort_count = way;
        assert_int_equal(kit_search(k, &query, &rows), 0);
        for (size_t i = 0; i < rows.count; i++)
            strncat(got, rows.rows[way ? i : rows.count - 1 - i].ref.id.data, 9);
        if (way)
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

static void any_filter_gives_what_it_says_by_indexes(void **state)
{
    follow(*state);
    any_filter_gives_what_it_says(state);
}

/* More than one statement takes as conditions: what is left out of it must not be counted. */
static void what_none_of_many_codes_has_is_counted(void **state)
{
    struct kit *k = *state;
    struct andiron_filter leaves[24], any = { .op = ANDIRON_FILTER_OR, .arg_count = 24 };
    const struct andiron_filter *args[24], *inner[] = { &any };
    struct andiron_filter none = { .op = ANDIRON_FILTER_NOT, .args = inner, .arg_count = 1 };

    for (size_t i = 0; i < 24; i++) {
        char code[8];
        snprintf(code, sizeof(code), "n%zu", i);
        leaves[i] =
            kit_filter(ANDIRON_CMP_EQ,
                       kit_token("code", NULL,
                                 i < 2 ? codes[i] : andiron_copy(k->arena, andiron_str_of(code))));
        args[i] = &leaves[i];
    }
    any.args = args;
    fill(k);
    for (size_t count = 1; count <= 24; count++) {
        struct andiron_query query = { .type = "Observation",
                                       .filter = &none,
                                       .limit = 20,
                                       .total = ANDIRON_TOTAL_ACCURATE,
                                       .fingerprint = count };
        any.arg_count = count;
        expect_same(k, &query, false);
    }
}

static void several_types_come_in_one_order_by_indexes(void **state)
{
    follow(*state);
    several_types_come_in_one_order(state);
}

static void second_value_counts_where_one_was_the_rule_by_indexes(void **state)
{
    follow(*state);
    second_value_counts_where_one_was_the_rule(state);
}

static void spent_budget_is_resumed_by_indexes(void **state)
{
    struct kit *k = *state;
    k->extra = "short-list = 3\nscan-budget = 200\n";
    kit_restart(k);
    spent_budget_is_resumed_where_it_ended(state);
}

static void spent_budget_is_resumed(void **state)
{
    struct kit *k = *state;
    k->extra = "scan-budget = 60\n";
    kit_restart(k);
    spent_budget_is_resumed_where_it_ended(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(any_filter_gives_what_it_says),
        KIT_TEST(any_filter_gives_what_it_says_by_indexes),
        KIT_TEST(what_none_of_many_codes_has_is_counted),
        KIT_TEST(spent_budget_is_resumed),
        KIT_TEST(spent_budget_is_resumed_by_indexes),
        KIT_TEST(second_value_counts_where_one_was_the_rule),
        KIT_TEST(second_value_counts_where_one_was_the_rule_by_indexes),
        KIT_TEST(several_types_come_in_one_order),
        KIT_TEST(several_types_come_in_one_order_by_indexes),
    };

    return KIT_MAIN(argc, argv, tests);
}
