/*
 * Values in use: each by one resource, whatever the number of those that have it.
 */
#include "test_kit.h"

#include "in_use.h"

static int setup(void **state)
{
    struct kit *k = malloc(sizeof(*k));
    kit_open(k);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    kit_end(*state);
    free(*state);
    return 0;
}

struct seen {
    size_t count, most; /* most: then it stops */
    char names[64][24];
};

static bool see(void *state, const struct andiron_row *row)
{
    struct seen *seen = state;

    assert_true(seen->count < 64);
    snprintf(seen->names[seen->count++], sizeof(seen->names[0]), "%.*s/%.*s %.*s",
             (int)row->ref.type.len, row->ref.type.data, (int)row->ref.id.len, row->ref.id.data,
             (int)row->body.len, row->body.data);
    return seen->count != seen->most;
}

static bool was_seen(const struct seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->names[i], name) == 0)
            return true;
    return false;
}

static struct andiron_rows look(struct kit *k, const char *const *types, size_t limit,
                                struct seen *seen)
{
    static const char *const params[] = { "_tag", "_profile", NULL };
    struct search_place place = { .store = &k->store, .db = &k->reader->db, .arena = k->arena };
    struct andiron_visitor visitor = { see, seen };
    struct andiron_rows rows;

    assert_int_equal(reader_enter(k->reader), 0);
    if (in_use_run(&place, types, params, limit, &visitor, &rows) != 0)
        fail_msg("in use: %s", rows.error.message);
    reader_leave(k->reader);
    assert_int_equal(rows.count, 0);
    return rows;
}

static void put(struct kit *k, const char *type, const char *id, const char *body, const char *tag,
                const char *profile)
{
    struct andiron_term terms[2] = {
        { .param = "_tag", .system = ANDIRON_STR("http://a"), .text = andiron_str_of(tag) },
        { .param = "_profile", .kind = ANDIRON_TERM_URI },
    };

    if (profile != NULL)
        terms[1].text = andiron_str_of(profile);
    kit_put(k, type, id, body, terms, profile != NULL ? 2 : 1);
}

static void each_value_is_seen_by_the_latest_resource_that_has_it(void **state)
{
    struct kit *k = *state;
    static const char *const types[] = { "Patient", "Unknown", "Device", NULL };
    struct seen seen = { .count = 0 };
    char id[16];

    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof(id), "%d", i);
        put(k, "Patient", id, "x", i == 3 ? "rare" : "common", i == 7 ? "http://p" : NULL);
    }
    put(k, "Device", "d", "x", "of a device", NULL);
    put(k, "Group", "g", "x", "of a group", NULL);
    put(k, "Patient", "changed", "1", "was", NULL);
    put(k, "Patient", "changed", "2", "is", NULL);
    assert_null(look(k, types, 100, &seen).cursor.data);
    assert_int_equal(seen.count, 5);
    static const char *const all[] = { "Patient/49 x", "Patient/3 x", "Patient/7 x", "Device/d x",
                                       "Patient/changed 2" };
    for (size_t i = 0; i < 5; i++)
        assert_true(was_seen(&seen, all[i]));
}

static void what_is_looked_at_is_limited(void **state)
{
    struct kit *k = *state;
    static const char *const types[] = { "Patient", NULL }, *const none[] = { NULL };
    struct seen seen = { .count = 0 }, one = { .most = 1 };
    char id[16];

    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "%d", i);
        put(k, "Patient", id, "x", id, NULL);
    }
    assert_null(look(k, types, 10, &seen).cursor.data);
    assert_int_equal(seen.count, 10);
    seen.count = 0;
    assert_non_null(look(k, types, 9, &seen).cursor.data);
    (void)look(k, types, 10, &one);
    assert_int_equal(one.count, 1);
    seen.count = 0;
    assert_null(look(k, none, 10, &seen).cursor.data);
    assert_int_equal(seen.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_value_is_seen_by_the_latest_resource_that_has_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_looked_at_is_limited, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
