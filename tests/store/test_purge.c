/*
 * Purging: nothing of a resource is left, and nothing of others is touched.
 */
#include "kit.h"

static size_t purge_one(struct kit *k, const char *type, const char *id, uint64_t version)
{
    struct andiron_ref ref = kit_ref(type, id);
    struct andiron_purge p = { .refs = &ref, .count = 1 };

    ref.version = version;
    if (kit_purge(k, &p) != 0)
        fail_msg("purge: %s", p.error.message);
    return p.purged;
}

/* Rows of every table that resources have rows in. */
static int64_t rows_left(struct kit *k)
{
    return kit_number(k, "SELECT (SELECT count(*) FROM version)+(SELECT count(*) FROM ix_token)"
                         "+(SELECT count(*) FROM ix_ref)+(SELECT count(*) FROM ix_date)"
                         "+(SELECT count(*) FROM ix_num)+(SELECT count(*) FROM ix_str)"
                         "+(SELECT count(*) FROM resource WHERE st<2)"
                         "+(SELECT count(*) FROM ix_value WHERE k<3)");
}

static int64_t stubs(struct kit *k)
{
    return kit_number(k, "SELECT count(*) FROM resource WHERE st=2");
}

static int64_t entries(struct kit *k, const char *param)
{
    char sql[200];

    snprintf(
        sql, sizeof(sql),
        "SELECT count(DISTINCT t.vid) FROM ix_token t JOIN param p ON p.p=t.p WHERE p.code='%s'",
        param);
    return kit_number(k, sql);
}

static void put_all_kinds(struct kit *k, const char *id)
{
    struct andiron_term terms[] = {
        kit_token("code", "s", id),
        kit_token("kind", "s", "shared"),
        kit_string("name", id, id),
        kit_date("when", 1, 2),
        kit_numeric("size", 1, 1),
        kit_reference("subject", "Patient", "p"),
        { .param = "url", .kind = ANDIRON_TERM_URI, .text = andiron_str_of(id) },
        { .param = "code", .kind = ANDIRON_TERM_PRESENT },
    };

    assert_true(kit_put(k, "Observation", id, "{}", terms, sizeof(terms) / sizeof(terms[0])) != 0);
}

static void purged_resource_leaves_no_row(void **state)
{
    struct kit *k = *state;

    put_all_kinds(k, "kept");
    int64_t before = rows_left(k);
    put_all_kinds(k, "gone");
    put_all_kinds(k, "gone");
    assert_true(rows_left(k) > before);
    assert_int_equal(purge_one(k, "Observation", "gone", 0), 1);
    assert_int_equal(rows_left(k), before);
    assert_int_equal(entries(k, "kind"), 1);
    kit_expect(k, "SELECT count(*) FROM resource WHERE id='gone'", 0);
    assert_int_equal(kit_read_one(k, "Observation", "gone", 0).ref.id.len, 0);
    /* Its id and its values begin anew. */
    put_all_kinds(k, "gone");
    kit_expect(k, "SELECT ver FROM resource WHERE id='gone'", 1);
    assert_int_equal(entries(k, "kind"), 2);
    kit_expect(k,
               "SELECT count(*) FROM ix_value v JOIN param p ON p.p=v.p"
               " WHERE v.k=1 AND p.code='code'",
               2);
}

static void only_the_version_that_was_seen_is_purged(void **state)
{
    struct kit *k = *state;

    put_all_kinds(k, "a");
    put_all_kinds(k, "a");
    int64_t before = rows_left(k);
    assert_int_equal(purge_one(k, "Observation", "a", 1), 0);
    assert_int_equal(rows_left(k), before);
    assert_int_equal(purge_one(k, "Observation", "a", 2), 1);
    assert_int_equal(rows_left(k), 0);
    assert_int_equal(purge_one(k, "Observation", "a", 2), 0);
    assert_int_equal(purge_one(k, "Nothing", "a", 0), 0);
}

static void deletion_is_purged_like_any_version(void **state)
{
    struct kit *k = *state;
    struct andiron_write write = { .ref = kit_ref("Observation", "a"), .remove = true };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    put_all_kinds(k, "a");
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(purge_one(k, "Observation", "a", 2), 1);
    kit_expect(k, "SELECT count(*) FROM version", 0);
    kit_expect(k, "SELECT count(*) FROM resource WHERE id='a'", 0);
}

/* More versions than go at once; others keep what they have. */
static void long_histories_go_whole(void **state)
{
    struct kit *k = *state;
    struct andiron_ref refs[] = { kit_ref("Observation", "a"), kit_ref("Observation", "b"),
                                  kit_ref("Observation", "a") };
    struct andiron_purge p = { .refs = refs, .count = 3 };

    for (int i = 0; i < 230; i++)
        assert_int_equal(kit_put(k, "Observation", "a", "{}", NULL, 0), (uint64_t)i + 1);
    put_all_kinds(k, "b");
    put_all_kinds(k, "kept");
    assert_int_equal(kit_purge(k, &p), 0);
    assert_int_equal(p.purged, 2);
    kit_expect(k, "SELECT count(*) FROM version", 1);
    assert_int_equal(entries(k, "kind"), 1);
}

static void what_others_refer_to_stays_as_a_stub(void **state)
{
    struct kit *k = *state;
    struct andiron_term to = kit_reference("focus", "Patient", "p");

    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Observation", "a", "{}", &to, 1), 1);
    assert_int_equal(purge_one(k, "Patient", "p", 0), 1);
    assert_int_equal(stubs(k), 1);
    assert_int_equal(kit_read_one(k, "Patient", "p", 0).ref.id.len, 0);
    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    kit_expect(k,
               "SELECT count(*) FROM ix_ref x JOIN resource r ON r.rid=x.tgt"
               " WHERE r.id='p' AND r.st=0",
               1);
    /* Nobody refers to it any more: it goes, and comes back under another number. */
    assert_int_equal(purge_one(k, "Observation", "a", 0), 1);
    assert_int_equal(purge_one(k, "Patient", "p", 0), 1);
    assert_int_equal(stubs(k), 0);
    assert_int_equal(kit_put(k, "Observation", "b", "{}", &to, 1), 1);
    kit_expect(k, "SELECT count(*) FROM ix_ref x JOIN resource r ON r.rid=x.tgt", 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(purged_resource_leaves_no_row),
        KIT_TEST(only_the_version_that_was_seen_is_purged),
        KIT_TEST(deletion_is_purged_like_any_version),
        KIT_TEST(long_histories_go_whole),
        KIT_TEST(what_others_refer_to_stays_as_a_stub),
    };
    return KIT_MAIN(argc, argv, tests);
}
