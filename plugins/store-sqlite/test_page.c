/*
 * Pages: totals, cursors, includes, and terms of every form.
 */
#include "test_kit.h"

#include <math.h>

static void totals_are_counted_up_to_their_limit(void **state)
{
    struct kit *k = *state;
    struct andiron_rows rows;
    struct andiron_query query = { .type = "Patient", .limit = 2, .total = ANDIRON_TOTAL_ACCURATE };
    char id[16];

    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(kit_put(k, "Patient", id, "{}", NULL, 0), 1);
    }
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.total, 20);
    assert_false(rows.total_is_least);
    query.total_limit = 5;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.total, 5);
    assert_true(rows.total_is_least);
    query.limit = 0;
    query.total_limit = 0;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 0);
    assert_int_equal(rows.total, 20);
    query.total = ANDIRON_TOTAL_NONE;
    query.limit = 3;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.total, -1);
}

static void cached_total_ends_with_the_next_commit(void **state)
{
    struct kit *k = *state;
    struct andiron_rows rows;
    struct andiron_query query = {
        .type = "Patient", .limit = 1, .total = ANDIRON_TOTAL_ACCURATE, .fingerprint = 99
    };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "b", "{}", NULL, 0), 1);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.total, 2);
    assert_int_equal(kit_put(k, "Patient", "c", "{}", NULL, 0), 1);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.total, 3);
}

static void changed_or_foreign_cursor_is_refused(void **state)
{
    struct kit *k = *state;
    struct andiron_rows rows;
    struct andiron_query query = { .type = "Patient", .limit = 1, .fingerprint = 1 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "b", "{}", NULL, 0), 1);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    andiron_str good = rows.cursor;
    assert_non_null(good.data);
    for (size_t i = 0; i < good.len; i++) {
        char *bad = andiron_copy(k->arena, good);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        query.cursor = (andiron_str){ bad, good.len };
        assert_int_equal(kit_search(k, &query, &rows), -1);
        assert_int_equal(rows.error.code, ANDIRON_E_INVALID);
        query.cursor = (andiron_str){ good.data, i };
        assert_int_equal(kit_search(k, &query, &rows), -1);
    }
    query.cursor = good;
    query.fingerprint = 2;
    assert_int_equal(kit_search(k, &query, &rows), -1);
    query.fingerprint = 1;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 1);
}

static void unchanged_resources_appear_once_while_others_are_written(void **state)
{
    struct kit *k = *state;
    struct andiron_term code = kit_token("code", "s", "x");
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, code);
    struct andiron_query query = { .type = "Patient", .filter = &filter, .limit = 3 };
    struct andiron_rows rows;
    int seen[100] = { 0 };
    char id[16];

    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(kit_put(k, "Patient", id, "{}", &code, 1), 1);
    }
    do {
        assert_int_equal(kit_search(k, &query, &rows), 0);
        for (size_t i = 0; i < rows.count; i++)
            seen[atoi(rows.rows[i].ref.id.data)]++;
        query.cursor = rows.cursor;
        /* Odd ones change all the time, new ones come. */
        snprintf(id, sizeof(id), "%u", (unsigned)rand() % 50 * 2 + 1);
        assert_true(kit_put(k, "Patient", id, "{}", &code, 1) > 0);
        snprintf(id, sizeof(id), "x%u", (unsigned)rand() % 1000);
        assert_true(kit_put(k, "Patient", id, "{}", &code, 1) > 0);
    } while (rows.cursor.data != NULL);
    for (int i = 0; i < 100; i += 2)
        assert_int_equal(seen[i], 1);
}

static void includes_follow_references_both_ways(void **state)
{
    struct kit *k = *state;
    struct andiron_term subject = kit_reference("subject", "Patient", "p");
    struct andiron_term to_org = kit_reference("organization", "Organization", "org");
    struct andiron_include includes[] = {
        { .source = "Observation", .param = "subject" },
        { .source = "Patient", .param = "organization", .iterate = true },
        { .source = "Observation", .param = "*", .reverse = true, .target = "Patient" }
    };
    struct andiron_query query = {
        .type = "Observation", .limit = 10, .includes = includes, .include_count = 1
    };
    struct andiron_visible visible[] = { { "Patient", NULL } };
    struct andiron_rows rows;

    assert_int_equal(kit_put(k, "Organization", "org", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "p", "{}", &to_org, 1), 1);
    assert_int_equal(kit_put(k, "Observation", "o1", "{}", &subject, 1), 1);
    assert_int_equal(kit_put(k, "Observation", "o2", "{}", &subject, 1), 1);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 3); /* the patient once */
    assert_true(rows.rows[2].included && !rows.rows[1].included);
    query.include_count = 2;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 4);
    query.visible = visible;
    query.visible_count = 1;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 3);
    assert_true(rows.suppressed);
    query = (struct andiron_query){
        .type = "Patient", .limit = 10, .includes = &includes[2], .include_count = 1
    };
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 3);
    assert_true(rows.rows[1].included && rows.rows[2].included);
}

static void includes_end_at_their_limit(void **state)
{
    struct kit *k = *state;
    struct andiron_term subject = kit_reference("subject", "Patient", "p");
    struct andiron_include include = { .source = "Observation",
                                       .param = "subject",
                                       .reverse = true };
    struct andiron_query query = {
        .type = "Patient", .limit = 10, .includes = &include, .include_count = 1
    };
    struct andiron_rows rows;
    char id[16];

    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(kit_put(k, "Observation", id, "{}", &subject, 1), 1);
    }
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 7);
    assert_false(rows.includes_cut);
    k->config.max_includes = 5;
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 6);
    assert_true(rows.includes_cut);
    assert_true(andiron_str_eq(rows.rows[1].ref.id, ANDIRON_STR("5"))); /* newest first */
}

static void other_forms_of_terms_are_found(void **state)
{
    struct kit *k = *state;
    struct andiron_term terms[] = {
        { .param = "identifier",
          .kind = ANDIRON_TERM_TOKEN,
          .system = ANDIRON_STR("t"),
          .text = ANDIRON_STR("MR"),
          .exact = ANDIRON_STR("12") },
        { .param = "subject",
          .kind = ANDIRON_TERM_REFERENCE,
          .text = ANDIRON_STR("http://x/Patient/1") },
        { .param = "q",
          .kind = ANDIRON_TERM_QUANTITY,
          .system = ANDIRON_STR("u"),
          .text = ANDIRON_STR("mg"),
          .exact = ANDIRON_STR("milligram"),
          .range.number = { 5, INFINITY } },
    };
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_OF_TYPE, terms[0]);
    struct andiron_query query = { .type = "Observation", .filter = &filter, .limit = 5 };
    struct andiron_rows rows;

    assert_int_equal(kit_put(k, "Observation", "o", "{}", terms, 3), 1);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 1);
    filter.term.exact = ANDIRON_STR("13");
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 0);
    filter = kit_filter(ANDIRON_CMP_EQ, kit_token("identifier", "t", "MR"));
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 0); /* only :of-type sees it */
    filter = kit_filter(ANDIRON_CMP_EQ, terms[1]);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 1);
    filter = kit_filter(ANDIRON_CMP_GT, (struct andiron_term){ .param = "q",
                                                               .kind = ANDIRON_TERM_QUANTITY,
                                                               .text = ANDIRON_STR("milligram"),
                                                               .range.number = { 7, 7 } });
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 1);
}

static void long_texts_are_compared_whole(void **state)
{
    struct kit *k = *state;
    char *a = malloc(6001), *b = malloc(6001);
    struct andiron_rows rows;

    memset(a, 'a', 6000);
    a[6000] = '\0';
    memcpy(b, a, 6001);
    b[5999] = 'b';
    struct andiron_term terms[] = { kit_token("code", "s", a), kit_string("name", a, a) };
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, terms[0]);
    struct andiron_query query = { .type = "Patient", .filter = &filter, .limit = 5 };
    assert_int_equal(kit_put(k, "Patient", "p", "{}", terms, 2), 1);
    for (int i = 0; i < 2; i++) {
        filter.term = terms[i];
        assert_int_equal(kit_search(k, &query, &rows), 0);
        assert_int_equal(rows.count, 1);
        filter.term.text.data = b;
        assert_int_equal(kit_search(k, &query, &rows), 0);
        assert_int_equal(rows.count, 0);
    }
    filter = kit_filter(ANDIRON_CMP_STARTS, kit_string("name", "aaaa", NULL));
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 1);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(totals_are_counted_up_to_their_limit, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(cached_total_ends_with_the_next_commit, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(changed_or_foreign_cursor_is_refused, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(unchanged_resources_appear_once_while_others_are_written,
                                        kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(includes_follow_references_both_ways, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(includes_end_at_their_limit, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(other_forms_of_terms_are_found, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(long_texts_are_compared_whole, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
