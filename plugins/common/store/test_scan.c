/*
 * andiron/scan.h: filters, order, pages, includes, walks and conditions, as store.h words them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <andiron/scan.h>

#include "terms_kit.h"

enum { ROOM = 16 };

/* Versions in the order in which add() is called, updated at 1, 2, 3 ... */
struct world {
    struct andiron_arena *arena;
    struct andiron_scan scan;
    struct andiron_scan_version *versions[ROOM];
    struct andiron_rows rows;
};

static struct world *world_new(void)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct world *w = andiron_new(arena, struct world);
    w->arena = arena;
    w->scan.versions = w->versions;
    return w;
}

static struct andiron_scan_version *add(struct world *w, const char *type, const char *id,
                                        const struct andiron_term *terms, size_t count)
{
    struct andiron_ref ref = { andiron_str_of(type), andiron_str_of(id), 1 };
    const struct andiron_scan_version *older = andiron_scan_current(&w->scan, &ref);
    struct andiron_scan_version *v = andiron_new(w->arena, struct andiron_scan_version);
    for (size_t i = 0; i < w->scan.count; i++)
        if (w->versions[i] == older)
            w->versions[i]->later = v;
    ref.version = older != NULL ? older->row.ref.version + 1 : 1;
    v->row.ref = ref;
    v->row.updated = (andiron_usec)w->scan.count + 1;
    v->terms = terms;
    v->term_count = count;
    w->versions[w->scan.count++] = v;
    return v;
}

/* ids of the rows, as "a b* c": * for included ones. */
static const char *ids_of(struct world *w)
{
    const char *text = "";
    for (size_t i = 0; i < w->rows.count; i++)
        text = andiron_printf(w->arena, "%s%s%.*s%s", text, i > 0 ? " " : "",
                              (int)w->rows.rows[i].ref.id.len, w->rows.rows[i].ref.id.data,
                              w->rows.rows[i].included ? "*" : "");
    return text;
}

static const char *search(struct world *w, const struct andiron_query *q)
{
    assert_int_equal(andiron_scan_search(&w->scan, w->arena, q, &w->rows), 0);
    return ids_of(w);
}

static struct andiron_term text_term(enum andiron_term_kind kind, const char *system,
                                     const char *text, const char *exact)
{
    return (struct andiron_term){ .param = "p",
                                  .kind = kind,
                                  .system = andiron_str_of(system),
                                  .text = andiron_str_of(text),
                                  .exact = andiron_str_of(exact) };
}

static void texts_compare_as_each_comparison_says(void **state)
{
    (void)state;
    static const struct {
        enum andiron_term_kind kind;
        const char *system, *text, *exact;
        enum andiron_compare op;
        const char *q_system, *q_text, *q_exact;
        bool matches;
    } cases[] = {
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_EQ, NULL, "c", NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_EQ, "s", "c", NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_EQ, "t", "c", NULL, false },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_EQ, "", "c", NULL, false },
        { ANDIRON_TERM_TOKEN, NULL, "c", NULL, ANDIRON_CMP_EQ, "", "c", NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_NE, "s", "c", NULL, false },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_NE, "s", "d", NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_SYSTEM, "s", NULL, NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_SYSTEM, NULL, NULL, NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "c", NULL, ANDIRON_CMP_SYSTEM, "", NULL, NULL, false },
        { ANDIRON_TERM_TOKEN, "s", "code", NULL, ANDIRON_CMP_STARTS, "s", "co", NULL, true },
        { ANDIRON_TERM_TOKEN, "s", "code", NULL, ANDIRON_CMP_STARTS, "t", "co", NULL, false },
        { ANDIRON_TERM_TOKEN, "s", "c", "v", ANDIRON_CMP_EQ, NULL, "c", NULL,
          false }, /* of-type form */
        { ANDIRON_TERM_TOKEN, "s", "c", "v", ANDIRON_CMP_OF_TYPE, "s", "c", "v", true },
        { ANDIRON_TERM_TOKEN, "s", "c", "v", ANDIRON_CMP_OF_TYPE, "s", "c", "w", false },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_EQ, NULL, "abel", NULL, true },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_STARTS, NULL, "ab", NULL, true },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_STARTS, NULL, "abelson", NULL,
          false },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_CONTAINS, NULL, "el", NULL, true },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_CONTAINS, NULL, "le", NULL,
          false },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_EXACT, NULL, "abel", "Abel",
          true },
        { ANDIRON_TERM_STRING, NULL, "abel", "Abel", ANDIRON_CMP_EXACT, NULL, "abel", "ABEL",
          false },
        { ANDIRON_TERM_URI, NULL, "http://a/b", NULL, ANDIRON_CMP_BELOW, NULL, "http://a", NULL,
          true },
        { ANDIRON_TERM_URI, NULL, "http://ab", NULL, ANDIRON_CMP_BELOW, NULL, "http://a", NULL,
          false },
        { ANDIRON_TERM_URI, NULL, "http://a", NULL, ANDIRON_CMP_ABOVE, NULL, "http://a/b", NULL,
          true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct andiron_term t =
            text_term(cases[i].kind, cases[i].system, cases[i].text, cases[i].exact);
        struct andiron_term q =
            text_term(cases[i].kind, cases[i].q_system, cases[i].q_text, cases[i].q_exact);
        if (andiron_scan_compare(&t, &q, cases[i].op) != cases[i].matches)
            fail_msg("case %zu", i);
    }
}

static void ranges_compare_by_the_nine_prefixes(void **state)
{
    (void)state;
    /* What each prefix says of [2, 4) asked by [2, 6), and of [6, 8): EQ NE GT LT GE LE SA EB AP. */
    char dates[2][10] = { "", "" }, numbers[2][10] = { "", "" };
    static const char expected_within[] = "100011001", expected_behind[] = "011010100";
    for (int op = ANDIRON_CMP_EQ; op <= ANDIRON_CMP_AP; op++) {
        dates[0][op] = andiron_scan_dates((enum andiron_compare)op, 2, 4, 2, 6) ? '1' : '0';
        dates[1][op] = andiron_scan_dates((enum andiron_compare)op, 6, 8, 2, 6) ? '1' : '0';
        numbers[0][op] = andiron_scan_numbers((enum andiron_compare)op, 2, 4, 2, 6) ? '1' : '0';
        numbers[1][op] = andiron_scan_numbers((enum andiron_compare)op, 6, 8, 2, 6) ? '1' : '0';
    }
    assert_string_equal(dates[0], expected_within);
    assert_string_equal(dates[1], expected_behind);
    assert_string_equal(numbers[0], expected_within);
    assert_string_equal(numbers[1], "011010001"); /* bounds of numbers are inclusive: they touch */
}

static void composites_are_met_within_one_group_and_places_by_distance(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct andiron_term at[4] = { kit_number("near", 52.52, 52.52),
                                  kit_number("near", 13.405, 13.405),
                                  kit_number("near", 48.14, 48.14),
                                  kit_number("near", 13.4, 13.4) };
    for (unsigned i = 0; i < 4; i++) {
        at[i].group = 1 + i / 2;
        at[i].part = 1 + i % 2;
    }
    const struct andiron_scan_version *v = add(w, "Location", "a", at, 4);
    struct andiron_filter parts[2] = { kit_filter(ANDIRON_CMP_AP, kit_number("near", 51.5, 53.5)),
                                       kit_filter(ANDIRON_CMP_AP, kit_number("near", 12.4, 14.4)) };
    parts[0].term.part = 1;
    parts[1].term.part = 2;
    const struct andiron_filter *args[] = { &parts[0], &parts[1] };
    struct andiron_filter f = {
        .op = ANDIRON_FILTER_TOGETHER, .compare = ANDIRON_CMP_NEAR, .args = args, .arg_count = 2
    };
    f.term.range.number.high = 3; /* from 52.5 13.4: 2.25 km */
    assert_true(andiron_scan_matches(&w->scan, v, &f));
    f.term.range.number.high = 2;
    assert_false(andiron_scan_matches(&w->scan, v, &f));
    f.compare = ANDIRON_CMP_EQ;
    assert_true(andiron_scan_matches(&w->scan, v, &f));
    at[1].group = 2; /* the latitude and the longitude of two places */
    at[3].group = 1;
    parts[1].term = kit_number("near", 13.404, 13.406);
    parts[1].term.part = 2;
    assert_false(andiron_scan_matches(&w->scan, v, &f));
    andiron_arena_free(w->arena);
}

static const struct andiron_term *name_term(struct world *w, const char *text)
{
    struct andiron_term *t = andiron_new(w->arena, struct andiron_term);
    *t = kit_string("name", text, text);
    return t;
}

static void pages_follow_the_order_and_stay_where_they_were(void **state)
{
    (void)state;
    struct world *w = world_new();
    static const char *const names[] = { "eve", "abel", NULL, "dan", "abel" };
    static const char *const ids[] = { "a", "b", "c", "d", "e" };
    for (size_t i = 0; i < 5; i++)
        (void)add(w, "Patient", ids[i], names[i] != NULL ? name_term(w, names[i]) : NULL,
                  names[i] != NULL);
    struct andiron_sort sort = { .param = "name", .kind = ANDIRON_TERM_STRING };
    struct andiron_query q = { .type = "Patient", .limit = 9, .fingerprint = 7 };
    assert_string_equal(search(w, &q), "e d c b a");
    q.sort = &sort;
    q.sort_count = 1;
    assert_string_equal(search(w, &q), "b e d a c"); /* of one name in that direction too */
    sort.descending = true;
    assert_string_equal(search(w, &q), "a d e b c"); /* what has no name is last as well */
    q.limit = 2;
    assert_string_equal(search(w, &q), "a d");
    q.cursor = w->rows.cursor;
    (void)add(w, "Patient", "f", name_term(w, "zoe"), 1); /* would be on the page before */
    (void)add(w, "Patient", "d", name_term(w, "dan"), 1); /* written again: not shown twice */
    assert_string_equal(search(w, &q), "e b");
    assert_int_equal(w->rows.total, 6);
    q.cursor = w->rows.cursor;
    assert_string_equal(search(w, &q), "c");
    assert_null(w->rows.cursor.data);
    q.fingerprint = 8;
    assert_int_equal(andiron_scan_search(&w->scan, w->arena, &q, &w->rows), -1);
    assert_int_equal(w->rows.error.code, ANDIRON_E_INVALID);
    q.cursor = ANDIRON_STR("999.8");
    assert_int_equal(andiron_scan_search(&w->scan, w->arena, &q, &w->rows), -1);
    andiron_arena_free(w->arena);
}

static void includes_follow_references_and_show_what_is_visible(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct andiron_term to_patient = kit_reference("subject", "Patient", "p");
    struct andiron_term to_org = kit_reference("organization", "Organization", "o");
    (void)add(w, "Organization", "o", NULL, 0);
    (void)add(w, "Patient", "p", &to_org, 1);
    (void)add(w, "Observation", "x", &to_patient, 1);
    struct andiron_include includes[] = {
        { .source = "Observation", .param = "subject" },
        { .source = "Patient", .param = "*", .iterate = true },
    };
    struct andiron_query q = {
        .type = "Observation", .limit = 5, .includes = includes, .include_count = 1
    };
    assert_string_equal(search(w, &q), "x p*");
    q.include_count = 2;
    assert_string_equal(search(w, &q), "x p* o*");
    assert_int_equal(w->rows.total, 1);
    static const struct andiron_visible visible[] = { { "Patient", NULL } };
    q.visible = visible;
    q.visible_count = 1;
    assert_string_equal(search(w, &q), "x p*");
    assert_true(w->rows.suppressed);
    struct andiron_include back = { .reverse = true, .source = "Observation", .param = "subject" };
    q = (struct andiron_query){
        .type = "Patient", .limit = 5, .includes = &back, .include_count = 1
    };
    assert_string_equal(search(w, &q), "p x*");
    const struct andiron_filter of_org = { .op = ANDIRON_FILTER_CHAIN,
                                           .type = "Organization",
                                           .term.param = "organization" };
    const struct andiron_filter *const chain_args[] = { &of_org };
    const struct andiron_filter chain = { .op = ANDIRON_FILTER_CHAIN,
                                          .type = "Patient",
                                          .term.param = "subject",
                                          .args = chain_args,
                                          .arg_count = 1 };
    q = (struct andiron_query){ .type = "Observation", .limit = 5, .filter = &chain };
    assert_string_equal(search(w, &q), "x");
    const struct andiron_filter has = { .op = ANDIRON_FILTER_HAS,
                                        .type = "Observation",
                                        .term.param = "subject" };
    q = (struct andiron_query){ .types = NULL, .limit = 5, .filter = &has };
    assert_string_equal(search(w, &q), "p");
    andiron_arena_free(w->arena);
}

static void walks_show_versions_within_their_bounds(void **state)
{
    (void)state;
    struct world *w = world_new();
    static const char *const ids[] = { "a", "b", "a", "c" };
    for (size_t i = 0; i < 4; i++)
        (void)add(w, "Patient", ids[i], NULL, 0);
    struct andiron_walk walk = { .limit = 3 };
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), 0);
    assert_string_equal(ids_of(w), "c a b");
    walk.cursor = w->rows.cursor;
    andiron_str horizon = w->rows.horizon;
    (void)add(w, "Patient", "b", NULL, 0);
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), 0);
    assert_string_equal(ids_of(w), "a"); /* a cursor keeps the horizon of the first page */
    walk.horizon = horizon;
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), 0);
    assert_string_equal(ids_of(w), "a");
    assert_null(w->rows.cursor.data);
    walk = (struct andiron_walk){
        .limit = 9, .oldest_first = true, .latest_only = true, .horizon = walk.horizon
    };
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), 0);
    assert_string_equal(ids_of(w), "b a c"); /* the later b is behind the horizon */
    walk.until = 2;
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), 0);
    assert_string_equal(ids_of(w), "a b");
    walk = (struct andiron_walk){ .limit = 9, .id = ANDIRON_STR("a"), .since = 2 };
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), 0);
    assert_int_equal(w->rows.count, 1);
    walk.cursor = ANDIRON_STR("nonsense");
    assert_int_equal(andiron_scan_walk(&w->scan, w->arena, &walk, &w->rows), -1);
    andiron_arena_free(w->arena);
}

static enum andiron_code code_of(struct world *w, struct andiron_write write, bool *ret_skip)
{
    struct andiron_commit c = { .writes = &write, .count = 1 };
    *ret_skip = false;
    return andiron_scan_check(&w->scan, &c, ret_skip) == 0 ? ANDIRON_OK : c.error.code;
}

static void conditions_of_writes_are_checked_against_what_is_current(void **state)
{
    (void)state;
    struct world *w = world_new();
    bool skip;
    (void)add(w, "Patient", "a", name_term(w, "abel"), 1);
    (void)add(w, "Patient", "a", name_term(w, "abel"), 1);
    add(w, "Patient", "gone", NULL, 0)->row.deleted = true;
    const struct andiron_filter by_name =
        kit_filter(ANDIRON_CMP_EQ, kit_string("name", "abel", NULL));
    const struct andiron_query q = { .type = "Patient", .filter = &by_name };
    const struct andiron_ref a = { ANDIRON_STR("Patient"), ANDIRON_STR("a"), 0 };
    const struct andiron_ref b = { ANDIRON_STR("Patient"), ANDIRON_STR("b"), 0 };
    const struct andiron_ref gone = { ANDIRON_STR("Patient"), ANDIRON_STR("gone"), 0 };
    const struct {
        struct andiron_write write;
        enum andiron_code code;
        bool skip;
    } cases[] = {
        { { .ref = a, .if_version = 2 }, ANDIRON_OK, false },
        { { .ref = a, .if_version = 1 }, ANDIRON_E_PRECONDITION, false },
        { { .ref = b, .if_version = 1 }, ANDIRON_E_PRECONDITION, false },
        { { .ref = gone, .if_version = 1 }, ANDIRON_E_PRECONDITION, false },
        { { .ref = a, .if_absent = true }, ANDIRON_E_PRECONDITION, false },
        { { .ref = gone, .if_absent = true }, ANDIRON_OK, false },
        { { .ref = b, .remove = true }, ANDIRON_OK, true },
        { { .ref = gone, .remove = true }, ANDIRON_OK, true },
        { { .ref = b, .match = &q }, ANDIRON_OK, false },
        { { .ref = b, .match = &q, .if_none_exist = true }, ANDIRON_OK, true },
        { { .ref = b, .match = &q, .match_is_ref = true }, ANDIRON_E_CONFLICT, false },
        { { .ref = a, .match = &q, .match_is_ref = true }, ANDIRON_OK, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (code_of(w, cases[i].write, &skip) != cases[i].code || skip != cases[i].skip)
            fail_msg("case %zu", i);
    (void)add(w, "Patient", "c", name_term(w, "abel"), 1);
    assert_int_equal(code_of(w, (struct andiron_write){ .ref = b, .match = &q }, &skip),
                     ANDIRON_E_MULTIPLE_MATCHES);
    /* Another write of the commit takes one of the two away. */
    struct andiron_write both[] = { { .ref = b, .match = &q },
                                    { .ref = { ANDIRON_STR("Patient"), ANDIRON_STR("c"), 0 },
                                      .remove = true } };
    struct andiron_commit c = { .writes = both, .count = 2 };
    bool skips[2];
    assert_int_equal(andiron_scan_check(&w->scan, &c, skips), 0);
    assert_int_equal(c.failed, 2);
    assert_true(andiron_str_eq(both[0].ref.id, a.id));
    andiron_arena_free(w->arena);
}

static void terms_are_compared_as_sets(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct andiron_term stored[] = { kit_token("code", "s", "c"), kit_number("n", 1, 2) };
    struct andiron_term given[] = { kit_number("n", 1, 2), kit_token("code", "s", "c") };
    const struct andiron_scan_version *v = add(w, "Observation", "x", stored, 2);
    struct andiron_indexing item = { .terms = given, .term_count = 2 };
    andiron_scan_compare_index(v, &item);
    assert_false(item.differs);
    given[0].range.number.high = 3;
    andiron_scan_compare_index(v, &item);
    assert_true(item.differs && andiron_str_eq(item.differing, ANDIRON_STR("n")));
    static const char *const pass_over[] = { "n", NULL };
    item.pass_over = pass_over;
    andiron_scan_compare_index(v, &item);
    assert_false(item.differs);
    item.pass_over = NULL;
    item.term_count = 0;
    andiron_scan_compare_index(v, &item);
    assert_true(item.differs);
    andiron_arena_free(w->arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_compare_as_each_comparison_says),
        cmocka_unit_test(ranges_compare_by_the_nine_prefixes),
        cmocka_unit_test(composites_are_met_within_one_group_and_places_by_distance),
        cmocka_unit_test(pages_follow_the_order_and_stay_where_they_were),
        cmocka_unit_test(includes_follow_references_and_show_what_is_visible),
        cmocka_unit_test(walks_show_versions_within_their_bounds),
        cmocka_unit_test(conditions_of_writes_are_checked_against_what_is_current),
        cmocka_unit_test(terms_are_compared_as_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
