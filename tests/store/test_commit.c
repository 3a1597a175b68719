/*
 * Commits: versions, conditions, references, index rows, counters.
 */
#include "kit.h"

static void what_was_written_is_read_back(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_put(k, "Patient", "a", "{\"x\":1.00}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "a", "{\"x\":2}", NULL, 0), 2);
    struct andiron_row now = kit_read_one(k, "Patient", "a", 0);
    assert_true(andiron_str_eq(now.body, ANDIRON_STR("{\"x\":2}")));
    assert_int_equal(now.ref.version, 2);
    struct andiron_row old = kit_read_one(k, "Patient", "a", 1);
    assert_true(andiron_str_eq(old.body, ANDIRON_STR("{\"x\":1.00}")));
    assert_true(now.updated >= old.updated + 1000);
    assert_int_equal(kit_read_one(k, "Patient", "a", 3).ref.id.len, 0);
    assert_int_equal(kit_read_one(k, "Patient", "b", 0).ref.id.len, 0);
    assert_int_equal(kit_read_one(k, "Nothing", "a", 0).ref.id.len, 0);
}

static void update_replaces_index_rows(void **state)
{
    struct kit *k = *state;
    struct andiron_term one[] = { kit_token("code", "s", "a"),
                                  kit_token("code", NULL, "b"),
                                  kit_reference("subject", "Patient", "p"),
                                  kit_date("date", 10, 20),
                                  kit_numeric("n", 5, 5),
                                  kit_string("name", "x", "X") };
    struct andiron_term two[] = { kit_token("code", "s", "c") };

    assert_int_equal(kit_put(k, "Observation", "o", "{}", one, 6), 1);
    kit_expect(k, "SELECT count(*) FROM ix_token", 4);
    kit_expect(k, "SELECT count(*) FROM ix_ref", 1);
    assert_int_equal(kit_put(k, "Observation", "o", "{}", two, 1), 2);
    kit_expect(k, "SELECT count(*) FROM ix_token", 2);
    kit_expect(k,
               "SELECT (SELECT count(*) FROM ix_ref)+(SELECT count(*) FROM "
               "ix_date)+(SELECT count(*) FROM ix_num)+(SELECT count(*) FROM ix_str)",
               0);
    kit_expect(k,
               "SELECT count(*) FROM version v JOIN resource r ON r.vid=v.vid "
               "WHERE v.keys IS NOT NULL",
               1);
}

static void writes_happen_only_with_the_name_that_they_claim(void **state)
{
    struct kit *k = *state;
    struct andiron_write write = { .ref = kit_ref("Session", "a"), .body = ANDIRON_STR("{}") };
    struct andiron_commit commit = { .writes = &write,
                                     .count = 1,
                                     .claim = ANDIRON_STR("jti"),
                                     .claim_expires = andiron_now() + 60000000 };

    assert_int_equal(kit_commit(k, &commit), 0);
    write.ref = kit_ref("Session", "b");
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_CONFLICT);
    assert_int_equal(commit.failed, 1);
    assert_int_equal(kit_read_one(k, "Session", "b", 0).ref.id.len, 0);

    /* A write that is refused takes no name. */
    commit.claim = ANDIRON_STR("other");
    write.ref = kit_ref("Session", "a");
    write.if_absent = true;
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.failed, 0);
    write.ref = kit_ref("Session", "b");
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(kit_read_one(k, "Session", "b", 0).ref.version, 1);
}

static void removing_keeps_history_and_can_be_undone(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_token("code", "s", "a");
    struct andiron_write write = { .ref = kit_ref("Observation", "o"), .remove = true };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    assert_int_equal(kit_put(k, "Observation", "o", "{\"v\":1}", &term, 1), 1);
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(write.ref.version, 2);
    assert_true(kit_read_one(k, "Observation", "o", 0).deleted);
    assert_true(
        andiron_str_eq(kit_read_one(k, "Observation", "o", 1).body, ANDIRON_STR("{\"v\":1}")));
    kit_expect(k, "SELECT count(*) FROM ix_token", 0);
    /* Again: nothing happens. */
    write.ref.version = 0;
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(write.ref.version, 2);
    assert_int_equal(kit_put(k, "Observation", "o", "{\"v\":3}", &term, 1), 3);
    assert_false(kit_read_one(k, "Observation", "o", 0).deleted);
}

static void removing_the_unknown_changes_nothing(void **state)
{
    struct kit *k = *state;
    struct andiron_write write = { .ref = kit_ref("Observation", "none"), .remove = true };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(write.ref.version, 0);
    kit_expect(k, "SELECT count(*) FROM version", 0);
}

static void failed_condition_fails_the_whole_commit(void **state)
{
    struct kit *k = *state;
    struct andiron_write writes[] = {
        { .ref = kit_ref("Patient", "new"), .body = ANDIRON_STR("{}") },
        { .ref = kit_ref("Patient", "a"), .body = ANDIRON_STR("{}"), .if_version = 7 }
    };
    struct andiron_commit commit = { .writes = writes, .count = 2 };

    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_PRECONDITION);
    assert_int_equal(commit.failed, 1);
    assert_int_equal(kit_read_one(k, "Patient", "new", 0).ref.id.len, 0);
    writes[1].if_version = 1;
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(writes[1].ref.version, 2);
    writes[0].if_absent = true;
    writes[1].if_version = 2;
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_PRECONDITION);
    assert_int_equal(commit.failed, 0);
}

static void one_resource_twice_is_refused(void **state)
{
    struct kit *k = *state;
    struct andiron_write writes[] = { { .ref = kit_ref("Patient", "a"), .body = ANDIRON_STR("{}") },
                                      { .ref = kit_ref("Patient", "b"), .body = ANDIRON_STR("{}") },
                                      { .ref = kit_ref("Patient", "a"),
                                        .body = ANDIRON_STR("{}") } };
    struct andiron_commit commit = { .writes = writes, .count = 3 };

    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_INVALID);
    assert_int_equal(commit.failed, 2);
}

static void references_inside_a_commit_find_their_targets(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_reference("subject", "Patient", "p");
    struct andiron_write writes[] = { { .ref = kit_ref("Observation", "o"),
                                        .body = ANDIRON_STR("{}"),
                                        .terms = &term,
                                        .term_count = 1 },
                                      { .ref = kit_ref("Patient", "p"),
                                        .body = ANDIRON_STR("{}") } };
    struct andiron_commit commit = { .writes = writes, .count = 2, .check_references = true };

    assert_int_equal(kit_commit(k, &commit), 0);
    kit_expect(k,
               "SELECT count(*) FROM ix_ref JOIN resource ON rid=tgt "
               "WHERE id='p' AND st=0",
               1);
    kit_expect(k, "SELECT count(*) FROM resource WHERE st=2", 0);
}

/* Term of the first write: what the second one is called. */
static int make_terms(void *state, size_t which, struct andiron_arena *arena,
                      const struct andiron_term **ret, size_t *ret_count, struct andiron_error *err)
{
    int *calls = state;

    ++*calls;
    if (*calls > 100)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "", "no terms today");
    if (which != 0)
        return 0;
    struct andiron_term *term = andiron_new(arena, struct andiron_term);
    *term = kit_reference("subject", "Patient", andiron_copy(arena, ANDIRON_STR("p2")));
    *ret = term;
    *ret_count = 1;
    return 0;
}

static void terms_are_made_when_they_are_packed(void **state)
{
    struct kit *k = *state;
    struct andiron_term known = kit_reference("subject", "Patient", "p1");
    int calls = 0;
    struct andiron_write writes[] = {
        { .ref = kit_ref("Observation", "o"), .body = ANDIRON_STR("{}") },
        { .ref = kit_ref("Patient", "p2"), .body = ANDIRON_STR("{}") }
    };
    struct andiron_commit commit = { .writes = writes, .count = 2 };
    const struct andiron_term_maker maker = { make_terms, &calls };

    /* All names are known, so what refers to p2 is packed before p2 has its number. */
    assert_int_equal(kit_put(k, "Patient", "p1", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Observation", "old", "{}", &known, 1), 1);
    assert_int_equal(kit_commit_making(k, &commit, &maker), 0);
    assert_int_equal(calls, 2); /* once each: the writer had nothing to pack */
    kit_expect(k,
               "SELECT count(*) FROM ix_ref JOIN resource ON rid=tgt "
               "WHERE id='p2' AND st=0",
               1);
    calls = 100;
    writes[0].ref.id = ANDIRON_STR("o3");
    assert_int_equal(kit_commit_making(k, &commit, &maker), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_UNPROCESSABLE);
    assert_int_equal(commit.failed, 0);
    kit_expect(k, "SELECT count(*) FROM resource WHERE id='o3'", 0);
}

static void checked_references_need_their_targets(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_reference("subject", "Patient", "p");
    struct andiron_write write = { .ref = kit_ref("Observation", "o"),
                                   .body = ANDIRON_STR("{}"),
                                   .terms = &term,
                                   .term_count = 1 };
    struct andiron_commit commit = { .writes = &write, .count = 1, .check_references = true };
    struct andiron_write removal = { .ref = kit_ref("Patient", "p"), .remove = true };
    struct andiron_commit remove = { .writes = &removal, .count = 1, .check_references = true };

    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_UNPROCESSABLE);
    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(kit_commit(k, &remove), -1);
    assert_int_equal(remove.error.code, ANDIRON_E_CONFLICT);
    write.remove = true;
    write.ref = kit_ref("Observation", "o");
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(kit_commit(k, &remove), 0);
}

static void stamp_body(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    int *calls = state;

    ++*calls;
    write->body = andiron_str_of(
        andiron_printf(arena, "v%d at %lld", (int)write->ref.version, (long long)write->updated));
}

static void stamp_knows_version_and_instant(void **state)
{
    struct kit *k = *state;
    int calls = 0;
    struct andiron_write write = { .ref = kit_ref("Patient", "a"),
                                   .stamp = stamp_body,
                                   .stamp_state = &calls };
    struct andiron_commit commit = { .writes = &write, .count = 1 };
    char expected[64];

    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(kit_commit(k, &commit), 0);
    snprintf(expected, sizeof(expected), "v2 at %lld", (long long)write.updated);
    assert_true(andiron_str_eq(kit_read_one(k, "Patient", "a", 0).body, andiron_str_of(expected)));
    assert_int_equal(calls, 2);
}

static void numbers_go_on_after_a_restart(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    kit_restart(k);
    assert_int_equal(kit_put(k, "Patient", "b", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Device", "a", "{}", NULL, 0), 1);
    kit_expect(k, "SELECT max(vid) FROM version", 3);
    kit_expect(k, "SELECT count(DISTINCT type) FROM resource", 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(what_was_written_is_read_back),
        KIT_TEST(update_replaces_index_rows),
        KIT_TEST(writes_happen_only_with_the_name_that_they_claim),
        KIT_TEST(removing_keeps_history_and_can_be_undone),
        KIT_TEST(removing_the_unknown_changes_nothing),
        KIT_TEST(failed_condition_fails_the_whole_commit),
        KIT_TEST(one_resource_twice_is_refused),
        KIT_TEST(references_inside_a_commit_find_their_targets),
        KIT_TEST(terms_are_made_when_they_are_packed),
        KIT_TEST(checked_references_need_their_targets),
        KIT_TEST(stamp_knows_version_and_instant),
        KIT_TEST(numbers_go_on_after_a_restart),
    };
    return KIT_MAIN(argc, argv, tests);
}
