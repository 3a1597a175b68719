/*
 * Purging: nothing of a resource is left, and nothing of others is touched.
 */
#include "test_kit.h"

#include "common/store/keys.h"
#include "purge.h"
#include "rows.h"

/* As the service does it; how many slices it took. */
static size_t purge(struct kit *k, struct andiron_purge *p)
{
    struct purging purging = { .purge = p };
    size_t slices = 0;

    p->purged = 0;
    while (purging.at < p->count) {
        struct purge_job *slice = purge_slice(k->arena, &purging);
        writer_run(k->store.writer, purge_slice_job(slice));
        assert_int_equal(p->error.code, ANDIRON_OK);
        purge_slice_done(slice);
        slices++;
    }
    return slices;
}

static size_t purge_one(struct kit *k, const char *type, const char *id, uint64_t version)
{
    struct andiron_ref ref = kit_ref(type, id);
    struct andiron_purge p = { .refs = &ref, .count = 1 };

    ref.version = version;
    purge(k, &p);
    return p.purged;
}

static int64_t number(struct kit *k, const char *sql)
{
    sqlite3_stmt *s;
    sqlite3 *db = writer_view(k->store.writer).db->handle;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t ret = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return ret;
}

/* Rows of every table that resources have rows in. */
static int64_t rows_left(struct kit *k)
{
    return number(k, "SELECT (SELECT count(*) FROM version)+(SELECT count(*) FROM ix_token)"
                     "+(SELECT count(*) FROM ix_ref)+(SELECT count(*) FROM ix_date)"
                     "+(SELECT count(*) FROM ix_num)+(SELECT count(*) FROM ix_str)"
                     "+(SELECT count(*) FROM resource WHERE st<2)"
                     "+(SELECT count(*) FROM ix_value WHERE k<3)");
}

static int64_t stubs(struct kit *k)
{
    return number(k, "SELECT count(*) FROM resource WHERE st=2");
}

static int64_t found(struct kit *k, const char *type, struct andiron_term term)
{
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, term);
    struct andiron_query query = { .type = type, .filter = &filter, .limit = 100 };
    struct andiron_rows rows;

    assert_int_equal(kit_search(k, &query, &rows), 0);
    return (int64_t)rows.count;
}

static void put_all_kinds(struct kit *k, const char *id)
{
    struct andiron_term terms[] = {
        kit_token("code", "s", id),
        kit_token("kind", "s", "shared"),
        kit_string("name", id, id),
        kit_date("when", 1, 2),
        kit_number("size", 1, 1),
        kit_reference("subject", "Patient", "p"),
        { .param = "url", .kind = ANDIRON_TERM_URI, .text = andiron_str_of(id) },
        { .param = "code", .kind = ANDIRON_TERM_PRESENT },
    };

    assert_true(kit_put(k, "Observation", id, "{}", terms, sizeof(terms) / sizeof(terms[0])) != 0);
}

/* Each commit takes a bounded number of versions, the oldest first; the rest stays readable. */
static void long_history_goes_in_slices_oldest_first(void **state)
{
    struct kit *k = *state;
    struct andiron_ref refs[] = { kit_ref("Observation", "a"), kit_ref("Observation", "b") };
    struct andiron_purge p = { .refs = refs, .count = 2 };
    struct purging purging = { .purge = &p };

    for (int i = 0; i < 250; i++)
        put_all_kinds(k, "a");
    put_all_kinds(k, "b");
    struct purge_job *slice = purge_slice(k->arena, &purging);
    writer_run(k->store.writer, purge_slice_job(slice));
    assert_int_equal(p.error.code, ANDIRON_OK);
    purge_slice_done(slice);
    assert_int_equal(p.purged, 0);
    assert_int_equal(number(k, "SELECT min(ver) FROM version WHERE rid="
                               "(SELECT rid FROM resource WHERE id='a')"),
                     PURGE_SLICE + 1);
    assert_int_equal(found(k, "Observation", kit_token("code", "s", "a")), 1);
    /* A process that begins again finds the rest. */
    assert_int_equal(purge(k, &p), 2);
    assert_int_equal(p.purged, 2);
    assert_int_equal(rows_left(k), 0);
}

static void what_others_refer_to_stays_as_a_stub(void **state)
{
    struct kit *k = *state;
    struct andiron_term to[] = { kit_reference("focus", "Patient", "p") };
    struct andiron_sort sort = { .param = "focus", .kind = ANDIRON_TERM_REFERENCE };
    struct andiron_query query = {
        .type = "Observation", .sort = &sort, .sort_count = 1, .limit = 10
    };
    struct andiron_rows rows;

    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Observation", "a", "{}", to, 1), 1);
    assert_int_equal(purge_one(k, "Patient", "p", 0), 1);
    assert_int_equal(stubs(k), 1);
    assert_int_equal(found(k, "Observation", to[0]), 1);
    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    assert_int_equal(found(k, "Observation", to[0]), 1);
    /* Nobody refers to it any more: it goes, and comes back under another number. */
    assert_int_equal(purge_one(k, "Observation", "a", 0), 1);
    assert_int_equal(purge_one(k, "Patient", "p", 0), 1);
    assert_int_equal(stubs(k), 0);
    assert_int_equal(kit_put(k, "Observation", "b", "{}", to, 1), 1);
    assert_int_equal(found(k, "Observation", to[0]), 1);
    assert_int_equal(kit_search(k, &query, &rows), 0);
    assert_int_equal(rows.count, 1);
}

/* A commit that was packed before a purge must not bring its numbers back. */
static void keys_packed_before_a_purge_are_made_anew(void **state)
{
    struct kit *k = *state;
    struct andiron_term to = kit_reference("focus", "Patient", "p");
    struct andiron_write write = {
        .ref = kit_ref("Observation", "a"), .body = ANDIRON_STR("{}"), .terms = &to, .term_count = 1
    };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    assert_int_equal(kit_put(k, "Observation", "other", "{}", &to, 1), 1); /* names are known */
    assert_int_equal(purge_one(k, "Observation", "other", 0), 1);
    assert_int_equal(kit_put(k, "Patient", "p", "{}", NULL, 0), 1);
    assert_int_equal(reader_enter(k->reader), 0);
    struct job *job = commit_job(&k->store, &k->reader->db, k->arena, &commit, NULL);
    reader_leave(k->reader);
    assert_int_equal(purge_one(k, "Patient", "p", 0), 1);
    writer_run(k->store.writer, job);
    assert_int_equal(commit.error.code, ANDIRON_OK);
    assert_int_equal(number(k, "SELECT count(*) FROM ix_ref r JOIN resource s ON s.rid=r.tgt"),
                     number(k, "SELECT count(*) FROM ix_ref"));
    assert_int_equal(found(k, "Observation", to), 1);
}

/* Marks of values that another process has purged mean nothing. */
static void values_purged_by_another_process_are_added_again(void **state)
{
    struct kit *k = *state;
    struct store other = { .config = &k->config, .path = k->path };
    struct andiron_ref ref = kit_ref("Observation", "a");
    struct andiron_purge p = { .refs = &ref, .count = 1 };
    struct purging purging = { .purge = &p };
    struct andiron_error err = { .code = ANDIRON_OK };

    put_all_kinds(k, "a");
    assert_int_equal(store_open(&other, &err), 0);
    struct purge_job *slice = purge_slice(k->arena, &purging);
    writer_run(other.writer, purge_slice_job(slice));
    assert_int_equal(p.error.code, ANDIRON_OK);
    store_stop(&other);
    assert_int_equal(number(k, "SELECT count(*) FROM ix_value WHERE k=1"), 0);
    put_all_kinds(k, "a");
    assert_int_equal(number(k, "SELECT count(*) FROM ix_value WHERE k=1 AND s='a'"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(long_history_goes_in_slices_oldest_first, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(what_others_refer_to_stays_as_a_stub, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(keys_packed_before_a_purge_are_made_anew, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(values_purged_by_another_process_are_added_again, kit_setup,
                                        kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
