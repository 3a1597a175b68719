/*
 * Uploads: pieces into lines, lines into batches, and what is reported of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "import_report.h"

static struct upload upload_of(size_t rows, size_t line)
{
    return (struct upload){ .limits = { .rows = rows, .bytes = 1 << 20, .line = line } };
}

/* "1 Patient/a,3 !line,.." of all batches, which are parted by '|'. */
static void describe(struct upload *u, char *out, size_t room)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct bytes bundle = { .data = NULL };
    struct upload_batch batch;
    andiron_json root;
    struct andiron_error err;
    size_t len = 0;

    out[0] = '\0';
    while (upload_has_batch(u)) {
        upload_take(u, arena, &bundle, NULL, 0, &batch);
        assert_int_equal(andiron_json_parse(arena, batch.bundle, &root, &err), 0);
        assert_int_equal(andiron_json_count(andiron_json_get(root, "entry")), batch.sent);
        for (size_t i = 0; i < batch.count; i++)
            len += (size_t)snprintf(out + len, room - len, "%s%llu%s%.*s", i > 0 ? "," : "",
                                    (unsigned long long)batch.lines[i].number,
                                    batch.lines[i].is_sent ? " " : " !",
                                    (int)batch.lines[i].name.len, batch.lines[i].name.data);
        len += (size_t)snprintf(out + len, room - len, "|");
    }
    bytes_free(&bundle);
    andiron_arena_free(arena);
}

static void assert_batches(struct upload u, const char *text, size_t step, const char *expected)
{
    char got[2000];

    for (size_t at = 0; at < strlen(text); at += step) {
        size_t left = strlen(text) - at;
        upload_add(&u, (andiron_str){ text + at, left < step ? left : step });
    }
    upload_end(&u);
    describe(&u, got, sizeof(got));
    assert_string_equal(got, expected);
    assert_int_equal(u.in.len, 0);
    upload_free(&u);
}

#define P(id) "{\"resourceType\":\"Patient\",\"id\":\"" id "\"}\n"

static void pieces_of_any_size_give_the_same_lines(void **state)
{
    static const char text[] = P("a") "\n \r\n" P("b") "{\"resourceType\":\"Group\",\"id\":\"c\"}";
    (void)state;
    for (size_t step = 1; step < sizeof(text); step++)
        assert_batches(upload_of(10, 1000), text, step, "1 Patient/a,4 Patient/b,5 Group/c|");
}

static void a_batch_ends_with_its_limit_and_before_a_name_that_it_has(void **state)
{
    (void)state;
    assert_batches(upload_of(2, 1000), P("a") P("b") P("c"), 100,
                   "1 Patient/a,2 Patient/b|3 Patient/c|");
    assert_batches(upload_of(9, 1000), P("a") P("b") P("a") P("a"), 7,
                   "1 Patient/a,2 Patient/b|3 Patient/a|4 Patient/a|");
}

static void a_line_that_is_wrong_is_not_sent_and_harms_no_other(void **state)
{
    (void)state;
    assert_batches(
        upload_of(20, 60),
        P("a") "{\"resourceType\":\"Patient\",\"id\":\"x\"},{\"resource\":{}}\n" P(
            "b") "[]\n7\n{\n"
                 "{\"id\":\"a\"}\n{\"resourceType\":\"Client\",\"id\":\"root\"}\n"
                 "{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\",\"id\":\"a/b\"}\n"
                 "{\"resourceType\":\"Patient\",\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n" P(
                     "c"),
        13,
        "1 Patient/a,2 !,3 Patient/b,4 !,5 !,6 !,7 !,8 !,9 !Patient,10 !Patient,11 !,"
        "12 Patient/c|");
}

static void a_line_at_the_limit_of_nesting_does_not_spoil_its_batch(void **state)
{
    char text[1000];
    (void)state;
    for (size_t depth = 55; depth < 70; depth++) {
        struct upload u = upload_of(9, 1000);
        int len = snprintf(text, sizeof(text),
                           P("a") "{\"resourceType\":\"Patient\",\"id\":\"b\",\"x\":");
        memset(text + len, '[', depth);
        memset(text + len + depth, ']', depth);
        snprintf(text + len + 2 * depth, sizeof(text) - (size_t)len - 2 * depth, "}\n" P("c"));
        u.limits.depth = depth % 2 == 0 ? upload_depth() : 0;
        assert_batches(u, text, 100,
                       depth <= 60 ? "1 Patient/a,2 Patient/b,3 Patient/c|"
                                   : "1 Patient/a,2 !,3 Patient/c|");
    }
    assert_int_equal(upload_depth(), 64);
}

static void an_endless_line_is_not_kept(void **state)
{
    struct upload u = upload_of(9, 100);
    char part[4096];
    (void)state;

    memset(part, 'x', sizeof(part));
    for (int i = 0; i < 1000; i++)
        upload_add(&u, (andiron_str){ part, sizeof(part) });
    assert_in_range(u.in.room, 0, 1000);
    assert_int_equal(u.received, 1000 * sizeof(part));
    upload_free(&u);
}

static void without_an_id_a_line_is_sent_where_ids_are_made(void **state)
{
    struct upload u = upload_of(9, 100);
    (void)state;
    u.limits.makes_ids = true;
    assert_batches(u, "{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\"}\n", 9,
                   "1 Patient,2 Patient|");
}

static void the_report_counts_all_and_tells_of_some(void **state)
{
    static const char answer[] =
        "{\"entry\":[{\"response\":{\"status\":\"201\"}},{\"response\":{\"status\":"
        "\"422\",\"outcome\":{\"issue\":[{\"expression\":[\"Bundle.entry[1].resource.id\"]}]}}},{"
        "\"response\":{"
        "\"status\":\"200\"}}]}";
    struct upload u = upload_of(9, 100);
    struct import_report r = { .most = 1, .lines = 4 };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct bytes bundle = { .data = NULL };
    struct upload_batch batch;
    struct andiron_error err;
    andiron_json root;
    (void)state;

    upload_add(&u, ANDIRON_STR(P("a") P("b") "{\n" P("c")));
    upload_end(&u);
    upload_take(&u, arena, &bundle, NULL, 0, &batch);
    assert_int_equal(import_answer_read(arena, &batch, ANDIRON_STR("{\"entry\":[]}"), &err), -1);
    assert_int_equal(import_answer_read(arena, &batch, ANDIRON_STR(answer), &err), 0);
    import_report_add(&r, &batch);
    assert_int_equal(r.lines, 4);
    assert_int_equal(andiron_json_parse(arena, import_report_text(&r, arena), &root, &err), 0);
    assert_int_equal(andiron_json_int(andiron_json_get(root, "stored"), -1), 2);
    assert_int_equal(andiron_json_int(andiron_json_get(root, "refused"), -1), 2);
    assert_int_equal(andiron_json_int(andiron_json_get(root, "errorsOmitted"), -1), 1);
    assert_int_equal(andiron_json_int(andiron_json_path(root, "output.0.created"), -1), 1);
    assert_int_equal(andiron_json_int(andiron_json_path(root, "output.0.updated"), -1), 1);
    assert_int_equal(andiron_json_int(andiron_json_path(root, "error.0.line"), -1), 2);
    andiron_str id = andiron_json_str(andiron_json_path(root, "error.0.outcome.id"));
    assert_true(andiron_str_eq(id, ANDIRON_STR("line-2")));
    andiron_str place =
        andiron_json_str(andiron_json_path(root, "error.0.outcome.issue.0.expression.0"));
    assert_true(andiron_str_eq(place, ANDIRON_STR("Patient.id")));
    import_report_free(&r);
    bytes_free(&bundle);
    upload_free(&u);
    andiron_arena_free(arena);
}

static void a_name_that_another_batch_has_at_work_is_kept(void **state)
{
    struct upload u = upload_of(9, 100);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct bytes bundles[2] = { { .data = NULL }, { .data = NULL } };
    struct upload_batch first, second;
    const struct upload_batch *others[] = { &first };
    (void)state;

    upload_add(&u, ANDIRON_STR(P("a") P("b") P("b") P("c")));
    upload_end(&u);
    upload_take(&u, arena, &bundles[0], NULL, 0, &first);
    assert_int_equal(first.last, 2);
    upload_take(&u, arena, &bundles[1], others, 1, &second);
    assert_true(second.is_kept && second.count == 0 && second.last == 2);
    upload_take(&u, arena, &bundles[1], NULL, 0, &second);
    assert_true(!second.is_kept && second.sent == 2 && second.last == 4);
    bytes_free(&bundles[0]);
    bytes_free(&bundles[1]);
    upload_free(&u);
    andiron_arena_free(arena);
}

static void what_was_refused_is_a_bundle_again(void **state)
{
    static const char answers[] = "{\"entry\":[{\"response\":{\"status\":\"201\"}},{\"response\":{"
                                  "\"status\":\"404\"}},{\"response\":{\"status\":\"409\"}}]}",
                      later[] = "{\"entry\":[{\"response\":{\"status\":\"200\"}},{\"response\":{"
                                "\"status\":\"422\"}}]}";
    struct upload u = upload_of(9, 100);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct bytes bundle = { .data = NULL }, again = { .data = NULL };
    struct import_report r = { .most = 9 };
    struct upload_batch batch;
    struct andiron_error err;
    (void)state;

    upload_add(&u, ANDIRON_STR(P("a") P("b") "{\n" P("c")));
    upload_end(&u);
    upload_take(&u, arena, &bundle, NULL, 0, &batch);
    assert_int_equal(import_answer_read(arena, &batch, ANDIRON_STR(answers), &err), 0);
    andiron_str text = upload_again(&batch, &again);
    assert_true(andiron_str_eq(
        text, ANDIRON_STR("{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":["
                          "{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"b\"},\"request\":"
                          "{\"method\":\"PUT\",\"url\":\"Patient/b\"}},"
                          "{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"c\"},\"request\":"
                          "{\"method\":\"PUT\",\"url\":\"Patient/c\"}}]}")));
    assert_int_equal(import_answer_read(arena, &batch, ANDIRON_STR(later), &err), 0);
    import_report_add(&r, &batch);
    assert_int_equal(r.stored, 2);
    assert_int_equal(r.refused, 2);
    import_report_free(&r);
    bytes_free(&bundle);
    bytes_free(&again);
    upload_free(&u);
    andiron_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_same_lines),
        cmocka_unit_test(a_batch_ends_with_its_limit_and_before_a_name_that_it_has),
        cmocka_unit_test(a_line_that_is_wrong_is_not_sent_and_harms_no_other),
        cmocka_unit_test(a_line_at_the_limit_of_nesting_does_not_spoil_its_batch),
        cmocka_unit_test(an_endless_line_is_not_kept),
        cmocka_unit_test(without_an_id_a_line_is_sent_where_ids_are_made),
        cmocka_unit_test(a_name_that_another_batch_has_at_work_is_kept),
        cmocka_unit_test(what_was_refused_is_a_bundle_again),
        cmocka_unit_test(the_report_counts_all_and_tells_of_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
