/*
 * What drives a search: the side that has fewer to look at, told by the rows that were looked at,
 * which do not depend on the machine.
 */
#include "test_kit.h"

enum { PEOPLE = 600, EACH = 4, VISITS = PEOPLE * EACH, RARE = 40 };

/*
 * People p0, p1, ..: every other one is called "common", one in RARE "rare" as well. The visits
 * v0, v1, .. go round among them; all have the code "x" but for the first five, which have "y"; those of
 * the last round are "late", but for its last third, which is "last".
 */
static void fill(struct kit *k)
{
    struct andiron_write *writes = calloc(VISITS, sizeof(*writes));
    struct andiron_term(*terms)[4] = calloc(VISITS, sizeof(*terms));
    struct andiron_commit commit = { .writes = writes };

    assert_true(writes != NULL && terms != NULL);
    for (int i = 0; i < PEOPLE; i++) {
        char *id = andiron_printf(k->arena, "p%d", i);
        writes[i] = (struct andiron_write){ .ref = kit_ref("Patient", id),
                                            .body = ANDIRON_STR("{}"),
                                            .terms = terms[i] };
        terms[i][writes[i].term_count++] = kit_token("gender", NULL, "any");
        if (i % 2 == 0)
            terms[i][writes[i].term_count++] = kit_string("name", "common", "Common");
        if (i % RARE == 0)
            terms[i][writes[i].term_count++] = kit_string("name", "rare", "Rare");
    }
    commit.count = PEOPLE;
    assert_int_equal(kit_commit(k, &commit), 0);
    for (int i = 0; i < VISITS; i++) {
        char *id = andiron_printf(k->arena, "v%d", i);
        char *who = andiron_printf(k->arena, "p%d", i % PEOPLE);
        writes[i] = (struct andiron_write){ .ref = kit_ref("Observation", id),
                                            .body = ANDIRON_STR("{}"),
                                            .terms = terms[i],
                                            .term_count = i < VISITS - PEOPLE ? 3 : 4 };
        terms[i][3] = kit_token("status", NULL, i < VISITS - PEOPLE / 3 ? "late" : "last");
        terms[i][0] = kit_reference("subject", "Patient", who);
        terms[i][1] = kit_token("code", NULL, i < 5 ? "y" : "x");
        terms[i][2] = kit_date("date", i, i + 1);
    }
    commit = (struct andiron_commit){ .writes = writes, .count = VISITS };
    assert_int_equal(kit_commit(k, &commit), 0);
    free(writes);
    free(terms);
}

/* Rows looked at for the query; the page in *rows. */
static int64_t probe(struct kit *k, const struct andiron_query *query, struct andiron_rows *rows)
{
    struct search_place place = { .store = &k->store, .db = &k->reader->db, .arena = k->arena };

    assert_int_equal(reader_enter(k->reader), 0);
    int rc = search_run(&place, query, rows);
    reader_leave(k->reader);
    if (rc != 0)
        fail_msg("search: %s", rows->error.message);
    return place.probed;
}

/* Walks all pages: they must bring v(from), then every step-th visit before it. */
static void expect_walk(struct kit *k, struct andiron_query query, int step, int from)
{
    int next = from;

    do {
        struct andiron_rows rows;
        (void)probe(k, &query, &rows);
        for (size_t i = 0; i < rows.count; i++, next -= step) {
            char id[16];
            snprintf(id, sizeof(id), "v%d", next);
            assert_string_equal(rows.rows[i].ref.id.data, id);
        }
        query.cursor = rows.cursor;
    } while (query.cursor.data != NULL);
    assert_true(next < 0);
}

static struct andiron_filter chain_to(const struct andiron_filter **inner)
{
    return (struct andiron_filter){ .op = ANDIRON_FILTER_CHAIN,
                                    .type = "Patient",
                                    .term = { .param = "subject", .kind = ANDIRON_TERM_REFERENCE },
                                    .args = inner,
                                    .arg_count = 1 };
}

static struct andiron_filter named(const char *name)
{
    return kit_filter(ANDIRON_CMP_STARTS, kit_string("name", name, name));
}

static void few_targets_drive_beside_a_common_code(void **state)
{
    struct kit *k = *state;
    const char *const names[] = { "nobody", "rare" };
    const int64_t most[] = { 30, 150 };

    fill(k);
    for (size_t i = 0; i < 2; i++) {
        struct andiron_filter name = named(names[i]);
        const struct andiron_filter *inner = &name;
        struct andiron_filter code = kit_filter(ANDIRON_CMP_EQ, kit_token("code", NULL, "x"));
        struct andiron_filter chain = chain_to(&inner);
        const struct andiron_filter *args[] = { &code, &chain };
        struct andiron_filter both = { .op = ANDIRON_FILTER_AND, .args = args, .arg_count = 2 };
        struct andiron_query query = { .type = "Observation", .filter = &both, .limit = 10 };
        struct andiron_rows rows;
        for (k->config.short_list = 10; k->config.short_list < 1e6; k->config.short_list *= 1000) {
            assert_in_range(probe(k, &query, &rows), 0, most[i]);
            assert_int_equal(rows.count, i == 0 ? 0 : 10);
        }
    }
}

static void many_targets_leave_it_to_the_latest_resources(void **state)
{
    struct kit *k = *state;
    struct andiron_filter name = named("common");
    const struct andiron_filter *inner = &name;
    struct andiron_filter chain = chain_to(&inner);
    struct andiron_query query = { .type = "Observation", .filter = &chain, .limit = 10 };
    struct andiron_sort sort = { "date", ANDIRON_TERM_DATE, true };
    struct andiron_rows rows;

    fill(k);
    assert_in_range(probe(k, &query, &rows), 0, 120);
    expect_walk(k, query, 2, VISITS - 2);
    query.sort = &sort;
    query.sort_count = 1;
    assert_in_range(probe(k, &query, &rows), 0, 200);
    expect_walk(k, query, 2, VISITS - 2);
    query.total = ANDIRON_TOTAL_ACCURATE; /* by the lists of those who refer to a target */
    (void)probe(k, &query, &rows);
    assert_int_equal(rows.total, VISITS / 2);
}

static void many_targets_are_merged_where_the_latest_do_not_match(void **state)
{
    struct kit *k = *state;
    struct andiron_filter name = named("common");
    const struct andiron_filter *inner = &name;
    struct andiron_filter code = kit_filter(ANDIRON_CMP_EQ, kit_token("code", NULL, "y"));
    struct andiron_filter chain = chain_to(&inner);
    struct andiron_filter not = { .op = ANDIRON_FILTER_NOT };
    const struct andiron_filter *args[] = { &chain, &not }, *of_not[] = { &code };
    struct andiron_filter both = { .op = ANDIRON_FILTER_AND, .args = args, .arg_count = 2 };
    struct andiron_query query = { .type = "Observation", .filter = &both, .limit = 1000 };
    struct andiron_rows rows;

    fill(k);
    not .args = of_not;
    not .arg_count = 1;
    (void)probe(k, &query, &rows); /* a page that the latest rows do not fill */
    assert_int_equal(rows.count, 1000);
    assert_string_equal(rows.rows[0].ref.id.data, "v2398");
    assert_string_equal(rows.rows[999].ref.id.data, "v400");
    query.cursor = rows.cursor;
    (void)probe(k, &query, &rows);
    assert_int_equal(rows.count, 197); /* v0, v2, v4 have the code y */
    assert_string_equal(rows.rows[196].ref.id.data, "v6");
}

static void what_a_negation_leaves_out_is_not_loaded(void **state)
{
    struct kit *k = *state;
    struct andiron_filter code = kit_filter(ANDIRON_CMP_EQ, kit_token("code", NULL, "x"));
    const struct andiron_filter *of_not[] = { &code };
    struct andiron_filter not = { .op = ANDIRON_FILTER_NOT, .args = of_not, .arg_count = 1 };
    struct andiron_query query = { .type = "Observation", .filter = &not, .limit = 10 };
    struct andiron_rows rows;

    fill(k);
    assert_in_range(probe(k, &query, &rows), 0, VISITS / 2);
    assert_int_equal(rows.count, 5);
    query.limit = 0;
    query.total = ANDIRON_TOTAL_ACCURATE;
    assert_in_range(probe(k, &query, &rows), 0, VISITS / 2);
    assert_int_equal(rows.total, 5);
}

static void a_range_drives_beside_a_longer_list(void **state)
{
    struct kit *k = *state;
    struct andiron_filter any = kit_filter(ANDIRON_CMP_EQ, kit_token("gender", NULL, "any"));
    struct andiron_filter name = named("rare");
    const struct andiron_filter *args[] = { &any, &name };
    struct andiron_filter both = { .op = ANDIRON_FILTER_AND, .args = args, .arg_count = 2 };
    struct andiron_query query = { .type = "Patient", .filter = &both, .limit = 20 };
    struct andiron_rows rows;

    fill(k);
    k->config.short_list = PEOPLE;
    assert_in_range(probe(k, &query, &rows), 0, PEOPLE / 3);
    assert_int_equal(rows.count, PEOPLE / RARE);
    assert_string_equal(rows.rows[0].ref.id.data, "p560");
}

static void referring_resources_that_are_common_leave_it_to_the_latest(void **state)
{
    struct kit *k = *state;
    struct andiron_filter status = kit_filter(ANDIRON_CMP_EQ, kit_token("status", NULL, "last"));
    const struct andiron_filter *inner = &status;
    struct andiron_filter has = { .op = ANDIRON_FILTER_HAS,
                                  .type = "Observation",
                                  .term = { .param = "subject", .kind = ANDIRON_TERM_REFERENCE },
                                  .args = &inner,
                                  .arg_count = 1 };
    struct andiron_query query = { .type = "Patient", .filter = &has, .limit = 10 };
    struct andiron_rows rows;

    fill(k);
    assert_in_range(probe(k, &query, &rows), 0, PEOPLE / 6); /* PEOPLE / 3 are so */
    assert_int_equal(rows.count, 10);
    assert_string_equal(rows.rows[0].ref.id.data, "p599");
    status.term = kit_token("status", NULL, "late"); /* none of the latest people's */
    query.limit = PEOPLE;
    (void)probe(k, &query, &rows);
    assert_int_equal(rows.count, 400);
    assert_string_equal(rows.rows[0].ref.id.data, "p399");
    assert_string_equal(rows.rows[399].ref.id.data, "p0");
}

static void a_list_of_most_is_sorted_by_the_index(void **state)
{
    struct kit *k = *state;
    struct andiron_filter code = kit_filter(ANDIRON_CMP_EQ, kit_token("code", NULL, "x"));
    struct andiron_query query = { .type = "Observation", .filter = &code, .limit = 10 };
    struct andiron_sort sort = { "date", ANDIRON_TERM_DATE, false };
    struct andiron_rows rows;

    fill(k);
    query.sort = &sort;
    query.sort_count = 1;
    k->config.short_list = VISITS;
    assert_in_range(probe(k, &query, &rows), 0, VISITS / 4);
    assert_string_equal(rows.rows[0].ref.id.data, "v5");
    assert_string_equal(rows.rows[9].ref.id.data, "v14");
}

/* Visits that lie by the people they are of: the latest are none of those called "early". */
static void fill_together(struct kit *k, int people, int each)
{
    struct andiron_write *writes = calloc((size_t)(people * each), sizeof(*writes));
    struct andiron_term *terms = calloc((size_t)(people * each), sizeof(*terms));
    struct andiron_commit commit = { .writes = writes, .count = (size_t)people };

    assert_true(writes != NULL && terms != NULL);
    for (int i = 0; i < people; i++) {
        terms[i] = kit_string("name", i < people * 3 / 4 ? "early" : "late", "");
        writes[i] =
            (struct andiron_write){ .ref = kit_ref("Patient", andiron_printf(k->arena, "p%d", i)),
                                    .body = ANDIRON_STR("{}"),
                                    .terms = &terms[i],
                                    .term_count = 1 };
    }
    assert_int_equal(kit_commit(k, &commit), 0);
    for (int i = 0; i < people * each; i++) {
        terms[i] = kit_reference("subject", "Patient", andiron_printf(k->arena, "p%d", i / each));
        writes[i].ref = kit_ref("Observation", andiron_printf(k->arena, "v%d", i));
        writes[i].body = ANDIRON_STR("{}");
        writes[i].terms = &terms[i];
        writes[i].term_count = 1;
    }
    commit.count = (size_t)(people * each);
    assert_int_equal(kit_commit(k, &commit), 0);
    free(writes);
    free(terms);
}

static void what_refers_to_the_same_target_is_passed_over_together(void **state)
{
    struct kit *k = *state;
    enum { MANY = 300, VISITS_OF_ONE = 25 };
    struct andiron_filter name = named("early");
    const struct andiron_filter *inner = &name;
    struct andiron_filter chain = chain_to(&inner);
    struct andiron_query query = { .type = "Observation", .filter = &chain, .limit = 10 };
    struct andiron_rows rows;

    fill_together(k, MANY, VISITS_OF_ONE);
    assert_in_range(probe(k, &query, &rows), 0,
                    1200); /* of 1875 that are newer, each of which costs several */
    assert_string_equal(rows.rows[0].ref.id.data, "v5624");
    expect_walk(k, query, 1, 5624);
    /* One that is of two people, late and early, the latest of those of the first. */
    struct andiron_term both[] = { kit_reference("subject", "Patient", "p299"),
                                   kit_reference("subject", "Patient", "p0") };
    assert_int_equal(kit_put(k, "Observation", "two", "{}", both, 2), 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            kit_put(k, "Observation", andiron_printf(k->arena, "w%d", i), "{}", both, 1), 1);
    (void)probe(k, &query, &rows);
    assert_string_equal(rows.rows[0].ref.id.data, "two");
    assert_string_equal(rows.rows[1].ref.id.data, "v5624");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(few_targets_drive_beside_a_common_code, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(many_targets_leave_it_to_the_latest_resources, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(many_targets_are_merged_where_the_latest_do_not_match,
                                        kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(what_a_negation_leaves_out_is_not_loaded, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_range_drives_beside_a_longer_list, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(referring_resources_that_are_common_leave_it_to_the_latest,
                                        kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(a_list_of_most_is_sorted_by_the_index, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(what_refers_to_the_same_target_is_passed_over_together,
                                        kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
