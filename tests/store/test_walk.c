/*
 * Walks: history in both directions, horizons, and what exports need.
 */
#include "kit.h"
#include <time.h>

static struct andiron_rows walk(struct kit *k, const struct andiron_walk *walk)
{
    struct andiron_rows rows;

    if (kit_walk(k, walk, &rows) != 0)
        fail_msg("walk: %s", rows.error.message);
    return rows;
}

/*
 * Versions of one resource are dated 1 ms apart at least. So that a second one is not dated behind what other
 * resources get after it, each write is given that time.
 */
static void settle(void)
{
    const struct timespec nap = { .tv_nsec = 2000000 };
    (void)nanosleep(&nap, NULL);
}

static void put(struct kit *k, const char *type, const char *id, const char *body,
                const struct andiron_term *terms, size_t count)
{
    kit_put(k, type, id, body, terms, count);
    settle();
}

static void drop(struct kit *k, const char *type, const char *id)
{
    struct andiron_write write = { .ref = kit_ref(type, id), .remove = true };
    struct andiron_commit commit = { .writes = &write, .count = 1 };
    assert_int_equal(kit_commit(k, &commit), 0);
    settle();
}

static void history_of_one_resource_is_newest_first(void **state)
{
    struct kit *k = *state;
    const char *const types[] = { "Patient", NULL };
    struct andiron_walk w = { .types = types, .id = ANDIRON_STR("a"), .limit = 2 };

    put(k, "Patient", "a", "1", NULL, 0);
    put(k, "Patient", "b", "1", NULL, 0);
    put(k, "Patient", "a", "2", NULL, 0);
    drop(k, "Patient", "a");
    struct andiron_rows rows = walk(k, &w);
    assert_int_equal(rows.count, 2);
    assert_true(rows.rows[0].deleted);
    assert_int_equal(rows.rows[0].ref.version, 3);
    assert_true(andiron_str_eq(rows.rows[1].body, ANDIRON_STR("2")));
    w.cursor = rows.cursor;
    rows = walk(k, &w);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].ref.version, 1);
    assert_null(rows.cursor.data);
}

static void several_types_are_merged_in_order(void **state)
{
    struct kit *k = *state;
    const char *const types[] = { "Patient", "Nothing", "Device", NULL };
    struct andiron_walk w = { .types = types, .limit = 3, .oldest_first = true };
    char id[16];
    int got = 0;

    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "%d", i);
        put(k, i % 3 == 0 ? "Device" : i % 3 == 1 ? "Patient" : "Group", id, "x", NULL, 0);
    }
    do {
        struct andiron_rows rows = walk(k, &w);
        for (size_t i = 0; i < rows.count; i++) {
            if (got % 3 == 2)
                got++;
            assert_int_equal(atoi(rows.rows[i].ref.id.data), got++);
        }
        w.cursor = rows.cursor;
    } while (w.cursor.data != NULL);
    assert_true(got >= 19);
}

static void horizon_ends_a_walk_while_writes_go_on(void **state)
{
    struct kit *k = *state;
    struct andiron_walk w = { .limit = 0, .oldest_first = true };
    char id[16];
    size_t count = 0;

    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "%d", i);
        put(k, "Patient", id, "x", NULL, 0);
    }
    struct andiron_rows rows = walk(k, &w);
    assert_int_equal(rows.count, 0);
    assert_true(rows.horizon_time > 0);
    w.horizon = rows.horizon;
    w.limit = 3;
    do {
        rows = walk(k, &w);
        count += rows.count;
        w.cursor = rows.cursor;
        put(k, "Patient", "late", "x", NULL, 0);
    } while (w.cursor.data != NULL);
    assert_int_equal(count, 10);
    /* Without a horizon of its own, a walk keeps the one of its first page. */
    w = (struct andiron_walk){ .limit = 3, .oldest_first = true };
    rows = walk(k, &w);
    put(k, "Patient", "later", "x", NULL, 0);
    count = rows.count;
    while (rows.cursor.data != NULL) {
        w.cursor = rows.cursor;
        rows = walk(k, &w);
        count += rows.count;
        for (size_t i = 0; i < rows.count; i++)
            assert_false(andiron_str_eq(rows.rows[i].ref.id, ANDIRON_STR("later")));
    }
}

static void latest_only_shows_each_resource_once(void **state)
{
    struct kit *k = *state;
    struct andiron_walk w = { .limit = 10, .oldest_first = true, .latest_only = true };

    put(k, "Patient", "a", "1", NULL, 0);
    put(k, "Patient", "a", "2", NULL, 0);
    put(k, "Patient", "b", "1", NULL, 0);
    drop(k, "Patient", "b");
    struct andiron_rows rows = walk(k, &w);
    assert_int_equal(rows.count, 2);
    assert_true(andiron_str_eq(rows.rows[0].body, ANDIRON_STR("2")));
    assert_true(rows.rows[1].deleted);
}

static void since_and_until_are_inclusive(void **state)
{
    struct kit *k = *state;
    struct andiron_walk w = { .limit = 10, .oldest_first = true };
    andiron_usec at[5];
    char id[16];

    for (int i = 0; i < 5; i++) {
        struct andiron_write write = { .body = ANDIRON_STR("x") };
        struct andiron_commit commit = { .writes = &write, .count = 1 };
        snprintf(id, sizeof(id), "%d", i);
        write.ref = kit_ref("Patient", id);
        assert_int_equal(kit_commit(k, &commit), 0);
        at[i] = write.updated;
        usleep(2000);
    }
    w.since = at[1];
    w.until = at[3];
    struct andiron_rows rows = walk(k, &w);
    assert_int_equal(rows.count, 3);
    assert_true(andiron_str_eq(rows.rows[0].ref.id, ANDIRON_STR("1")));
    w.since = at[1] + 1;
    w.until = at[3] - 1;
    assert_int_equal(walk(k, &w).count, 1);
    w.since = at[4] + 1000000;
    w.until = 0;
    assert_int_equal(walk(k, &w).count, 0);
}

/* What visits show, "a2 b- " for a in version 2 and b deleted; stops behind `most` rows. */
struct seen {
    char text[512];
    size_t count, most;
};

static bool see(void *state, const struct andiron_row *row)
{
    struct seen *seen = state;
    size_t len = strlen(seen->text);

    if (!row->deleted)
        assert_true(row->body.len > 0);
    snprintf(seen->text + len, sizeof(seen->text) - len, "%.*s/%.*s%s%.*s ", (int)row->ref.type.len,
             row->ref.type.data, (int)row->ref.id.len, row->ref.id.data, row->deleted ? "-" : "=",
             (int)row->body.len, row->deleted ? "" : row->body.data);
    return ++seen->count % seen->most != 0;
}

/* All of a walk in calls that end as told; how many calls it took. */
static int visit(struct kit *k, struct andiron_walk walk, struct seen *seen)
{
    struct andiron_visitor visitor = { see, seen };
    struct andiron_rows rows;
    int calls = 0;

    *seen = (struct seen){ .most = seen->most };
    do {
        if (kit_visit(k, &walk, &visitor, &rows) != 0)
            fail_msg("visit: %s", rows.error.message);
        assert_int_equal(rows.count, 0);
        walk.cursor = rows.cursor;
        calls++;
    } while (walk.cursor.data != NULL);
    return calls;
}

static void visits_show_a_type_as_it_was_at_the_horizon(void **state)
{
    struct kit *k = *state;
    const char *const types[] = { "Patient", NULL };
    struct andiron_walk w = {
        .types = types, .limit = 2, .oldest_first = true, .latest_only = true
    };
    struct seen seen = { .most = 1000 };

    put(k, "Patient", "a", "1", NULL, 0);
    put(k, "Patient", "b", "1", NULL, 0);
    put(k, "Device", "a", "1", NULL, 0);
    put(k, "Patient", "a", "2", NULL, 0);
    put(k, "Patient", "c", "1", NULL, 0);
    drop(k, "Patient", "b");
    struct andiron_walk now = { .limit = 0 };
    struct andiron_rows rows = walk(k, &now);
    w.horizon = rows.horizon;
    put(k, "Patient", "a", "3", NULL, 0);
    put(k, "Patient", "a", "4", NULL, 0);
    put(k, "Patient", "b", "2", NULL, 0);
    drop(k, "Patient", "c");
    put(k, "Patient", "d", "1", NULL, 0);
    assert_int_equal(visit(k, w, &seen), 3);
    assert_string_equal(seen.text, "Patient/a=2 Patient/c=1 Patient/b- ");
    seen.most = 1;
    assert_int_equal(visit(k, w, &seen), 4);
    assert_string_equal(seen.text, "Patient/a=2 Patient/c=1 Patient/b- ");
    w.horizon.data = NULL;
    w.limit = 100;
    seen.most = 1000;
    assert_int_equal(visit(k, w, &seen), 1);
    assert_string_equal(seen.text, "Patient/a=4 Patient/b=2 Patient/c- Patient/d=1 ");
    const char *const nothing[] = { "Nothing", NULL };
    w.types = nothing;
    assert_int_equal(visit(k, w, &seen), 1);
    assert_string_equal(seen.text, "");
}

static void visits_of_several_types_show_what_walks_do(void **state)
{
    struct kit *k = *state;
    const char *const types[] = { "Patient", "Device", NULL };
    struct andiron_walk w = { .types = types, .limit = 3, .oldest_first = true };
    struct seen seen = { .most = 2 };

    for (int i = 0; i < 5; i++)
        put(k, i % 2 != 0 ? "Device" : "Patient", "x", i % 2 != 0 ? "d" : "p", NULL, 0);
    assert_int_equal(visit(k, w, &seen), 3);
    assert_string_equal(seen.text, "Patient/x=p Device/x=d Patient/x=p Device/x=d Patient/x=p ");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(history_of_one_resource_is_newest_first),
        KIT_TEST(several_types_are_merged_in_order),
        KIT_TEST(horizon_ends_a_walk_while_writes_go_on),
        KIT_TEST(latest_only_shows_each_resource_once),
        KIT_TEST(since_and_until_are_inclusive),
        KIT_TEST(visits_show_a_type_as_it_was_at_the_horizon),
        KIT_TEST(visits_of_several_types_show_what_walks_do),
    };
    return KIT_MAIN(argc, argv, tests);
}
