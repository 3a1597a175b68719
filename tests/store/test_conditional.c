/*
 * Conditional writes: what their searches find in the transaction of the commit.
 */
#include "kit.h"

static void conditional_write_takes_its_match(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_token("identifier", "s", "1");
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, term);
    struct andiron_query query = { .type = "Patient", .filter = &filter };
    struct andiron_write write = { .ref = kit_ref("Patient", "first"),
                                   .body = ANDIRON_STR("{}"),
                                   .terms = &term,
                                   .term_count = 1,
                                   .match = &query,
                                   .if_none_exist = true };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    assert_int_equal(kit_commit(k, &commit), 0);
    assert_true(write.created);
    write.ref = kit_ref("Patient", "second");
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_false(write.created);
    assert_true(andiron_str_eq(write.ref.id, ANDIRON_STR("first")));
    assert_int_equal(write.ref.version, 1);
    /* Without if_none_exist the match is updated. */
    write.ref = kit_ref("Patient", "third");
    write.if_none_exist = false;
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_true(andiron_str_eq(write.ref.id, ANDIRON_STR("first")));
    assert_int_equal(write.ref.version, 2);
    /* if_absent is about writes without a match; match_is_ref takes no other resource. */
    write.ref = kit_ref("Patient", "fourth");
    write.if_absent = true;
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(write.ref.version, 3);
    write.ref = kit_ref("Patient", "fifth");
    write.match_is_ref = true;
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_CONFLICT);
    write.ref = kit_ref("Patient", "first");
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(write.ref.version, 4);
    write.if_absent = write.match_is_ref = false;
    assert_int_equal(kit_put(k, "Patient", "other", "{}", &term, 1), 1);
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_MULTIPLE_MATCHES);
}

/* A removal that its match skips: what was found by a search is that still, at the commit. */
static void a_skipped_removal_guards_what_was_found(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_token("identifier", "s", "1");
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, term);
    struct andiron_query query = { .type = "Patient", .filter = &filter };
    struct andiron_write writes[] = { { .ref = kit_ref("Basic", "b"), .body = ANDIRON_STR("{}") },
                                      { .remove = true,
                                        .if_version = 1,
                                        .match = &query,
                                        .match_is_ref = true,
                                        .if_none_exist = true } };
    struct andiron_commit commit = { .writes = writes, .count = 2 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", &term, 1), 1);
    for (uint64_t version = 1; version <= 2; version++) {
        writes[0].ref = kit_ref("Basic", "b");
        writes[1].ref = kit_ref("Patient", "a");
        assert_int_equal(kit_commit(k, &commit), 0);
        assert_int_equal(writes[0].ref.version, version);
        assert_int_equal(writes[1].ref.version, 1);
    }
    writes[1].ref = kit_ref("Patient", "other");
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_CONFLICT);
    assert_int_equal(commit.failed, 1);
    writes[1].ref = kit_ref("Patient", "a");
    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 2); /* no longer a match */
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_PRECONDITION);
    assert_int_equal(commit.failed, 1);
    assert_int_equal(kit_put(k, "Patient", "a", "{}", &term, 1), 3);
    assert_int_equal(kit_put(k, "Patient", "twin", "{}", &term, 1), 1);
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_MULTIPLE_MATCHES);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(conditional_write_takes_its_match),
        KIT_TEST(a_skipped_removal_guards_what_was_found),
    };
    return KIT_MAIN(argc, argv, tests);
}
