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

/* The first write refers to whatever the second one is called by now. */
struct making {
    const struct andiron_write *writes;
    const char *other; /* a Patient that it refers to instead */
    size_t asked[2];
};

static int make_reference(void *state, size_t which, struct andiron_arena *arena,
                          const struct andiron_term **ret, size_t *ret_count,
                          struct andiron_error *err)
{
    struct making *m = state;
    andiron_str id = m->other != NULL ? andiron_str_of(m->other) : m->writes[1].ref.id;
    struct andiron_term *term = andiron_new(arena, struct andiron_term);

    (void)err;
    m->asked[which]++;
    *term = which == 0 ? kit_reference("subject", "Patient", andiron_copy(arena, id))
                       : kit_token("identifier", "s", "1");
    *ret = term;
    *ret_count = 1;
    return 0;
}

static void put_name(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    const struct making *m = state;

    write->body =
        (andiron_str){ andiron_copy(arena, m->writes[1].ref.id), m->writes[1].ref.id.len };
}

/* Terms are made, and references checked, when matches are settled. */
static void made_terms_follow_what_was_matched(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_token("identifier", "s", "1");
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, term);
    struct andiron_query query = { .type = "Patient", .filter = &filter };
    struct andiron_write writes[2];
    struct making making = { .writes = writes };
    const struct andiron_term_maker maker = { make_reference, &making };
    struct andiron_commit commit = {
        .writes = writes, .count = 2, .check_references = true, .bodies_are_brief = true
    };

    if (k->store->size < offsetof(struct andiron_store, makes_settled) + sizeof(bool) ||
        !k->store->makes_settled) {
        if (kit_is_third())
            skip();
        fail_msg("the store makes nothing behind the settling");
    }
    for (int round = 0; round < 2; round++) {
        const char *id = round == 0 ? "first" : "second";
        writes[0] = (struct andiron_write){ .ref = kit_ref("Observation", id),
                                            .stamp = put_name,
                                            .stamp_state = &making };
        writes[1] = (struct andiron_write){ .ref = kit_ref("Patient", id),
                                            .match = &query,
                                            .if_none_exist = true,
                                            .stamp = put_name,
                                            .stamp_state = &making };
        making.asked[1] = 0;
        assert_int_equal(kit_commit_making(k, &commit, &maker), 0);
        assert_int_equal(writes[1].created, round == 0);
        assert_true(andiron_str_eq(writes[1].ref.id, ANDIRON_STR("first")));
        assert_true(
            andiron_str_eq(kit_read_one(k, "Observation", id, 0).body, ANDIRON_STR("first")));
        assert_int_equal(kit_found(k, "Observation", kit_reference("subject", "Patient", "first")),
                         (size_t)round + 1);
    }
    assert_int_equal(making.asked[1], 0); /* nothing is written of what was found */
    kit_expect(k, "SELECT count(*) FROM resource", 3);
    making.other = "nobody";
    writes[0].ref = kit_ref("Observation", "third");
    writes[1].ref = kit_ref("Patient", "third");
    assert_int_equal(kit_commit_making(k, &commit, &maker), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_UNPROCESSABLE);
    assert_int_equal(commit.failed, 0);
    assert_non_null(strstr(commit.error.message, "Patient/nobody"));
    kit_expect(k, "SELECT count(*) FROM resource", 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(conditional_write_takes_its_match),
        KIT_TEST(a_skipped_removal_guards_what_was_found),
        KIT_TEST(made_terms_follow_what_was_matched),
    };
    return KIT_MAIN(argc, argv, tests);
}
