/*
 * Index terms without new versions, claims, and forgetting a parameter.
 */
#include "kit.h"

static void name_is_claimed_once_until_it_expires(void **state)
{
    struct kit *k = *state;
    andiron_usec soon = andiron_now() + 3000000;

    assert_true(kit_claim(k, "jti-1", soon));
    assert_false(kit_claim(k, "jti-1", soon));
    assert_true(kit_claim(k, "jti-2", soon));
    kit_restart(k); /* also over a restart */
    assert_false(kit_claim(k, "jti-2", andiron_now() + 60000000));
    while (andiron_now() <= soon)
        usleep(50000);
    assert_true(kit_claim(k, "jti-1", andiron_now() + 60000000));
    assert_false(kit_claim(k, "jti-1", andiron_now() + 60000000));
}

/* Versions that the index has under a param of Patient. */
static void expect_entries(struct kit *k, const char *param, int64_t number)
{
    char sql[300];

    snprintf(sql, sizeof(sql),
             "SELECT count(DISTINCT t.vid) FROM ix_token t JOIN param p ON p.p=t.p JOIN resource r"
             " ON r.vid=t.vid WHERE p.code='%s'",
             param);
    kit_expect(k, sql, number);
}

static void expect_rows(struct kit *k, int64_t number)
{
    kit_expect(k, "SELECT count(*) FROM ix_token", number);
}

static void run_index(struct kit *k, enum andiron_index_op op, struct andiron_indexing *item)
{
    struct andiron_error err;

    if (kit_index(k, op, item, 1, &err) != 0)
        fail_msg("index: %s", err.message);
}

static bool differs(struct kit *k, struct andiron_indexing *item)
{
    run_index(k, ANDIRON_INDEX_COMPARE, item);
    return item->differs;
}

static void added_terms_are_found_and_compared(void **state)
{
    struct kit *k = *state;
    struct andiron_term both[] = { kit_token("old", "s", "x"), kit_token("new", "s", "x") };
    struct andiron_indexing item = { .ref = kit_ref("Patient", "a"),
                                     .terms = &both[1],
                                     .term_count = 1 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", both, 1), 1);
    item.ref.version = 2; /* not the current one: skipped */
    run_index(k, ANDIRON_INDEX_ADD, &item);
    expect_entries(k, "new", 0);
    item.ref.version = 1;
    for (int i = 0; i < 2; i++) { /* again: nothing is there twice */
        run_index(k, ANDIRON_INDEX_ADD, &item);
        expect_entries(k, "new", 1);
        expect_entries(k, "old", 1);
        expect_rows(k, 4);
    }
    item.terms = both;
    item.term_count = 2;
    assert_false(differs(k, &item));
    item.term_count = 1;
    assert_true(differs(k, &item));
    assert_true(andiron_str_eq(item.differing, ANDIRON_STR("new")));
    item.pass_over = (const char *const[]){ "other", "new", NULL };
    assert_false(differs(k, &item));
    item.pass_over = NULL;
    /* What was added goes with the version. */
    assert_int_equal(kit_put(k, "Patient", "a", "{}", both, 1), 2);
    expect_entries(k, "new", 0);
    expect_rows(k, 2);
    assert_int_equal(kit_read_one(k, "Patient", "a", 0).ref.version, 2);
}

static void a_kind_that_the_parameter_never_had_differs(void **state)
{
    struct kit *k = *state;
    struct andiron_term terms[] = { kit_token("code", "s", "x"), kit_string("code", "x", "X") };
    struct andiron_indexing item = { .ref = kit_ref("Patient", "a"),
                                     .terms = terms,
                                     .term_count = 2 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", terms, 1), 1);
    item.ref.version = 1;
    assert_true(differs(k, &item));
    assert_true(andiron_str_eq(item.differing, ANDIRON_STR("code")));
    run_index(k, ANDIRON_INDEX_REPLACE, &item);
    assert_false(differs(k, &item));
}

static void replaced_terms_are_the_only_ones(void **state)
{
    struct kit *k = *state;
    struct andiron_term both[] = { kit_token("old", "s", "x"), kit_token("new", "s", "x") };
    struct andiron_indexing item = { .ref = kit_ref("Patient", "a"),
                                     .terms = &both[1],
                                     .term_count = 1 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", both, 1), 1);
    item.ref.version = 1;
    assert_true(differs(k, &item));
    run_index(k, ANDIRON_INDEX_REPLACE, &item);
    expect_entries(k, "old", 0);
    expect_entries(k, "new", 1);
    expect_rows(k, 2);
    assert_false(differs(k, &item));
}

static void references_are_compared_by_what_they_lead_to(void **state)
{
    struct kit *k = *state;
    struct andiron_term one = kit_reference("link", "Patient", "b");
    struct andiron_term other = kit_reference("link", "Patient", "c");
    struct andiron_term nobody = kit_reference("link", "Patient", "nobody");
    struct andiron_indexing item = { .ref = kit_ref("Patient", "a"), .term_count = 1 };

    assert_int_equal(kit_put(k, "Patient", "c", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "a", "{}", &one, 1), 1);
    item.ref.version = 1;
    item.terms = &one;
    assert_false(differs(k, &item));
    item.terms = &other;
    assert_true(differs(k, &item));
    item.terms = &nobody;
    assert_true(differs(k, &item));
}

static void forgotten_parameter_starts_anew(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_token("code", "s", "x");
    struct andiron_error err;
    char id[16];

    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(kit_put(k, "Patient", id, "{}", &term, 1), 1);
    }
    expect_entries(k, "code", 30);
    assert_int_equal(kit_forget(k, "Patient", "code", &err), 0);
    expect_rows(k, 0);
    kit_expect(k, "SELECT count(*) FROM param WHERE code='code'", 0);
    assert_int_equal(kit_forget(k, "Patient", "code", &err), 0); /* of nothing: nothing */
    /* Old entries of the name mean nothing; a new one counts, and updates of old ones work. */
    assert_int_equal(kit_put(k, "Patient", "0", "{}", &term, 1), 2);
    expect_entries(k, "code", 1);
}

static void comparing_passes_over_what_was_forgotten(void **state)
{
    struct kit *k = *state;
    struct andiron_term both[] = { kit_token("kept", "s", "x"), kit_token("gone", "s", "x") };
    struct andiron_error err;
    struct andiron_indexing item = { .ref = kit_ref("Patient", "a"),
                                     .terms = both,
                                     .term_count = 1 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", both, 2), 1);
    item.ref.version = 1;
    assert_true(differs(k, &item));
    assert_true(andiron_str_eq(item.differing, ANDIRON_STR("gone")));
    assert_int_equal(kit_forget(k, "Patient", "gone", &err), 0);
    assert_false(differs(k, &item));
    item.term_count = 2; /* of a name that nobody knows now */
    assert_true(differs(k, &item));
    assert_true(andiron_str_eq(item.differing, ANDIRON_STR("gone")));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(name_is_claimed_once_until_it_expires),
        KIT_TEST(added_terms_are_found_and_compared),
        KIT_TEST(a_kind_that_the_parameter_never_had_differs),
        KIT_TEST(replaced_terms_are_the_only_ones),
        KIT_TEST(references_are_compared_by_what_they_lead_to),
        KIT_TEST(forgotten_parameter_starts_anew),
        KIT_TEST(comparing_passes_over_what_was_forgotten),
    };
    return KIT_MAIN(argc, argv, tests);
}
