/*
 * Values in use: each by one resource, whatever the number of those that have it.
 */
#include "kit.h"

struct seen {
    size_t count, most; /* most: then it stops */
    char names[256][24];
};

static bool see(void *state, const struct andiron_row *row)
{
    struct seen *seen = state;

    assert_true(seen->count < 256);
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
    struct andiron_visitor visitor = { see, seen };
    struct andiron_rows rows;

    if (kit_in_use(k, types, params, limit, &visitor, &rows) != 0)
        fail_msg("in use: %s", rows.error.message);
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
    assert_int_not_equal(kit_put(k, type, id, body, terms, profile != NULL ? 2 : 1), 0);
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

/* More than a slice of them, each shown once. */
static void many_values_are_all_seen(void **state)
{
    enum { VALUES = 230 };
    struct kit *k = *state;
    static const char *const types[] = { "Patient", NULL };
    struct seen seen = { .count = 0 };
    struct andiron_write writes[VALUES];
    struct andiron_term terms[VALUES];
    char ids[VALUES][16];

    for (int i = 0; i < VALUES; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%d", i);
        terms[i] = kit_token("_tag", "http://a", ids[i]);
        writes[i] = (struct andiron_write){ .ref = kit_ref("Patient", ids[i]),
                                            .body = ANDIRON_STR("x"),
                                            .terms = &terms[i],
                                            .term_count = 1 };
    }
    struct andiron_commit commit = { .writes = writes, .count = VALUES };
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_null(look(k, types, VALUES, &seen).cursor.data);
    assert_int_equal(seen.count, VALUES);
    for (int i = 0; i < VALUES; i++) {
        char name[24];
        snprintf(name, sizeof(name), "Patient/%d x", i);
        assert_true(was_seen(&seen, name));
    }
    struct seen some = { .most = 150 };
    (void)look(k, types, VALUES, &some);
    assert_int_equal(some.count, 150);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(each_value_is_seen_by_the_latest_resource_that_has_it),
        KIT_TEST(what_is_looked_at_is_limited),
        KIT_TEST(many_values_are_all_seen),
    };
    return KIT_MAIN(argc, argv, tests);
}
