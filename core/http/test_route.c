/*
 * Which route answers which method, path and listener.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/route.h"

enum { ROUTES_MAX = 40 };

static const struct http_owner owner_a = { .name = "a" }, owner_b = { .name = "b" };

static struct andiron_route declared[ROUTES_MAX];
static struct http_route routes[ROUTES_MAX];
static size_t route_count;

static void add_for(const struct http_owner *owner, const char *method, const char *pattern,
                    unsigned flags)
{
    assert_true(route_count < ROUTES_MAX);
    declared[route_count] =
        (struct andiron_route){ .method = method, .pattern = pattern, .flags = flags };
    routes[route_count] = (struct http_route){ .route = &declared[route_count], .owner = owner };
    route_count++;
}

static void add(const char *method, const char *pattern)
{
    add_for(&owner_a, method, pattern, 0);
}

static int clear(void **state)
{
    (void)state;
    route_count = 0;
    return 0;
}

static struct route_table *build(void)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    struct route_table *table = route_table_new(routes, route_count, &err);

    if (table == NULL)
        fail_msg("%s", err.message);
    return table;
}

static void assert_build_fails(const char *part)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    assert_null(route_table_new(routes, route_count, &err));
    if (strstr(err.message, part) == NULL)
        fail_msg("'%s' is not in: %s", part, err.message);
}

/* The pattern that answers, or "405 <Allow>", or "404". */
static const char *answer(const struct route_table *table, enum route_side side, const char *method,
                          const char *path, struct route_match *match)
{
    static char text[200];
    size_t len = strlen(path);
    char *exact = malloc(len > 0 ? len : 1);

    memcpy(exact, path, len);
    route_find(table, side, andiron_str_of(method), (andiron_str){ exact, len }, match);
    if (match->route != NULL)
        (void)snprintf(text, sizeof text, "%s", match->route->route->pattern);
    else if (match->allow != NULL)
        (void)snprintf(text, sizeof text, "405 %s", match->allow);
    else
        (void)snprintf(text, sizeof text, "404");
    for (size_t i = 0; i < match->var_count; i++) /* the copy ends here */
        match->vars[i].value.data = path + (match->vars[i].value.data - exact);
    free(exact);
    return text;
}

static const char *public_answer(const struct route_table *table, const char *method,
                                 const char *path)
{
    struct route_match match;
    return answer(table, ROUTE_SIDE_PUBLIC, method, path, &match);
}

static void literal_segment_wins_over_placeholder(void **state)
{
    (void)state;
    add("GET", "/fhir/{type}");
    add("GET", "/fhir/metadata");
    add("GET", "/{type}");
    add("GET", "/fhir");
    struct route_table *table = build();
    assert_string_equal(public_answer(table, "GET", "/fhir/metadata"), "/fhir/metadata");
    assert_string_equal(public_answer(table, "GET", "/fhir/Patient"), "/fhir/{type}");
    assert_string_equal(public_answer(table, "GET", "/fhir"), "/fhir");
    assert_string_equal(public_answer(table, "GET", "/fhi"), "/{type}");
    assert_string_equal(public_answer(table, "GET", "/fhirs"), "/{type}");
    route_table_free(table);
}

static void literal_that_leads_nowhere_gives_way(void **state)
{
    struct route_match match;

    (void)state;
    add("GET", "/fhir/Patient/$everything");
    add("GET", "/fhir/{type}/{id}");
    add("GET", "/{a}/{b}/{c}/x");
    struct route_table *table = build();
    assert_string_equal(answer(table, ROUTE_SIDE_PUBLIC, "GET", "/fhir/Patient/1", &match),
                        "/fhir/{type}/{id}");
    assert_int_equal(match.var_count, 2);
    assert_string_equal(match.vars[0].name, "type");
    assert_memory_equal(match.vars[0].value.data, "Patient", match.vars[0].value.len);
    assert_string_equal(match.vars[1].name, "id");
    assert_int_equal(match.vars[1].value.len, 1);
    assert_string_equal(answer(table, ROUTE_SIDE_PUBLIC, "GET", "/fhir/Patient/1/x", &match),
                        "/{a}/{b}/{c}/x");
    assert_int_equal(match.var_count, 3);
    assert_string_equal(match.vars[0].name, "a");
    assert_memory_equal(match.vars[0].value.data, "fhir", match.vars[0].value.len);
    assert_string_equal(answer(table, ROUTE_SIDE_PUBLIC, "GET", "/fhir/Patient/1/y", &match),
                        "404");
    assert_int_equal(match.var_count, 0);
    route_table_free(table);
}

static void placeholder_takes_exactly_one_segment(void **state)
{
    (void)state;
    add("GET", "/a/{x}");
    struct route_table *table = build();
    assert_string_equal(public_answer(table, "GET", "/a/b"), "/a/{x}");
    assert_string_equal(public_answer(table, "GET", "/a"), "404");
    assert_string_equal(public_answer(table, "GET", "/a/"), "404");
    assert_string_equal(public_answer(table, "GET", "/a//"), "404");
    assert_string_equal(public_answer(table, "GET", "/a/b/"), "404");
    assert_string_equal(public_answer(table, "GET", "/a/b/c"), "404");
    assert_string_equal(public_answer(table, "GET", "a/b"), "404");
    assert_string_equal(public_answer(table, "GET", ""), "404");
    assert_string_equal(public_answer(table, "GET", "*"), "404");
    assert_string_equal(public_answer(table, "GET", "/"), "404");
    route_table_free(table);
}

static void root_is_a_route(void **state)
{
    (void)state;
    add("GET", "/");
    add("POST", "/{x}");
    struct route_table *table = build();
    assert_string_equal(public_answer(table, "GET", "/"), "/");
    assert_string_equal(public_answer(table, "POST", "/"), "405 GET, HEAD");
    assert_string_equal(public_answer(table, "POST", "/y"), "/{x}");
    route_table_free(table);
}

static void head_finds_get(void **state)
{
    struct route_match match;

    (void)state;
    add("GET", "/a");
    add("GET", "/b");
    add("HEAD", "/b");
    add("POST", "/c");
    struct route_table *table = build();
    (void)answer(table, ROUTE_SIDE_PUBLIC, "HEAD", "/a", &match);
    assert_ptr_equal(match.route, &routes[0]);
    (void)answer(table, ROUTE_SIDE_PUBLIC, "HEAD", "/b", &match);
    assert_ptr_equal(match.route, &routes[2]);
    assert_string_equal(public_answer(table, "HEAD", "/c"), "405 POST");
    route_table_free(table);
}

static void other_methods_are_told(void **state)
{
    (void)state;
    add("PUT", "/a/{x}");
    add("GET", "/a/{y}");
    add("DELETE", "/a/{x}");
    add("GET", "/a/b");
    struct route_table *table = build();
    assert_string_equal(public_answer(table, "POST", "/a/c"), "405 PUT, GET, HEAD, DELETE");
    assert_string_equal(public_answer(table, "get", "/a/c"), "405 PUT, GET, HEAD, DELETE");
    assert_string_equal(public_answer(table, "PUT", "/a/b"), "405 GET, HEAD");
    route_table_free(table);
}

static void names_belong_to_the_route(void **state)
{
    struct route_match match;

    (void)state;
    add("GET", "/a/{x}");
    add("PUT", "/a/{y}");
    struct route_table *table = build();
    (void)answer(table, ROUTE_SIDE_PUBLIC, "GET", "/a/1", &match);
    assert_string_equal(match.vars[0].name, "x");
    (void)answer(table, ROUTE_SIDE_PUBLIC, "PUT", "/a/1", &match);
    assert_string_equal(match.vars[0].name, "y");
    route_table_free(table);
}

static void each_side_has_its_routes(void **state)
{
    struct route_match match;

    (void)state;
    add_for(&owner_a, "GET", "/metrics", ANDIRON_ROUTE_ADMIN);
    add_for(&owner_a, "GET", "/status", ANDIRON_ROUTE_CONTROL);
    add_for(&owner_a, "POST", "/metrics", ANDIRON_ROUTE_CONTROL);
    add_for(&owner_a, "GET", "/{type}", 0);
    add_for(&owner_a, "GET", "/token", ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_OAUTH);
    struct route_table *table = build();
    static const struct {
        enum route_side side;
        const char *method, *path, *expected;
    } rows[] = {
        { ROUTE_SIDE_ADMIN, "GET", "/metrics", "/metrics" },
        { ROUTE_SIDE_PUBLIC, "GET", "/metrics", "/metrics" },
        { ROUTE_SIDE_CONTROL, "GET", "/metrics", "405 POST" },
        { ROUTE_SIDE_CONTROL, "POST", "/metrics", "/metrics" },
        { ROUTE_SIDE_PUBLIC, "POST", "/metrics", "405 GET, HEAD" },
        { ROUTE_SIDE_CONTROL, "GET", "/status", "/status" },
        { ROUTE_SIDE_ADMIN, "GET", "/status", "404" },
        { ROUTE_SIDE_PUBLIC, "GET", "/status", "/{type}" },
        { ROUTE_SIDE_PUBLIC, "GET", "/token", "/token" },
        { ROUTE_SIDE_ADMIN, "GET", "/token", "404" },
        { ROUTE_SIDE_CONTROL, "GET", "/token", "404" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(answer(table, rows[i].side, rows[i].method, rows[i].path, &match),
                            rows[i].expected);
    route_table_free(table);
}

static void shared_literal_leaves_other_methods_to_the_placeholder(void **state)
{
    struct route_match match;

    (void)state;
    add("GET", "/{type}");
    add("GET", "/{type}/{id}");
    add_for(&owner_a, "DELETE", "/Session", ANDIRON_ROUTE_SHARED);
    add("DELETE", "/Other");
    struct route_table *table = build();
    assert_string_equal(public_answer(table, "DELETE", "/Session"), "/Session");
    assert_string_equal(answer(table, ROUTE_SIDE_PUBLIC, "GET", "/Session", &match), "/{type}");
    assert_int_equal(match.var_count, 1);
    assert_true(andiron_str_eq(match.vars[0].value, ANDIRON_STR("Session")));
    assert_string_equal(public_answer(table, "GET", "/Session/1"), "/{type}/{id}");
    assert_string_equal(public_answer(table, "PUT", "/Session"), "405 DELETE, GET, HEAD");
    assert_string_equal(public_answer(table, "GET", "/Other"), "405 DELETE");
    route_table_free(table);
}

static void below_oauth_endpoints_nothing_else_is_found(void **state)
{
    struct route_match match;

    (void)state;
    add("GET", "/{type}/{id}");
    add("POST", "/auth/keys/$rotate");
    add_for(&owner_a, "POST", "/auth/token", ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_OAUTH);
    struct route_table *table = build();
    static const struct {
        const char *method, *path, *expected;
        bool oauth;
    } rows[] = {
        { "POST", "/auth/token", "/auth/token", true },
        { "GET", "/auth/token", "405 POST", true },
        { "GET", "/auth/tokens", "404", true },
        { "GET", "/auth", "404", true },
        { "GET", "/auth/", "404", true },
        { "GET", "/auth/token/1", "404", true },
        { "POST", "/auth/keys/$rotate", "/auth/keys/$rotate", false },
        { "GET", "/auth/keys/$rotate", "405 POST", false },
        { "GET", "/author/1", "/{type}/{id}", false },
        { "GET", "//", "404", false },
        { "GET", "/", "404", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(answer(table, ROUTE_SIDE_PUBLIC, rows[i].method, rows[i].path, &match),
                            rows[i].expected);
        assert_int_equal(match.oauth, rows[i].oauth);
    }
    route_table_free(table);
}

static void equal_routes_name_both_owners(void **state)
{
    (void)state;
    add("GET", "/a/{x}/c");
    add_for(&owner_b, "GET", "/a/{y}/c", 0);
    assert_build_fails(
        "route GET /a/{y}/c of plugin \"b\" is already route /a/{x}/c of plugin \"a\"");
    routes[0].owner = &owner_b;
    declared[0].flags = ANDIRON_ROUTE_CONTROL; /* another side: no clash */
    route_table_free(build());
    declared[0] = declared[1];
    declared[0].flags = ANDIRON_ROUTE_ADMIN;
    assert_build_fails("already");
}

static void malformed_patterns_are_refused(void **state)
{
    static const struct {
        const char *pattern, *part;
    } rows[] = {
        { "", "begin with '/'" },
        { "a", "begin with '/'" },
        { "//", "empty segments" },
        { "/a/", "nor end with '/'" },
        { "/a//b", "empty segments" },
        { "/a{x}", "whole segment" },
        { "/{x}a", "whole segment" },
        { "/{}", "whole segment" },
        { "/{x", "whole segment" },
        { "/x}", "whole segment" },
        { "/{{x}}", "whole segment" },
        { "/{x}/{x}", "differently" },
        { "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "at most 8" },
        { "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", "at most 16" },
    };

    (void)state;
    add("GET", "/");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        declared[0].pattern = rows[i].pattern;
        assert_build_fails(rows[i].part);
    }
    declared[0].pattern = "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}";
    route_table_free(build());
    declared[0].method = "";
    assert_build_fails("method");
}

static void many_literals_are_told_apart(void **state)
{
    static char patterns[ROUTES_MAX][16];

    (void)state;
    for (int i = 0; i < ROUTES_MAX; i++) {
        (void)snprintf(patterns[i], sizeof patterns[i], "/a%d%da", i / 10, i % 10); /* hash alike */
        add("GET", patterns[i]);
    }
    struct route_table *table = build();
    for (int i = 0; i < ROUTES_MAX; i++)
        assert_string_equal(public_answer(table, "GET", patterns[i]), patterns[i]);
    assert_string_equal(public_answer(table, "GET", "/a99a"), "404");
    route_table_free(table);
    arena_cache_drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(literal_segment_wins_over_placeholder, clear),
        cmocka_unit_test_setup(literal_that_leads_nowhere_gives_way, clear),
        cmocka_unit_test_setup(placeholder_takes_exactly_one_segment, clear),
        cmocka_unit_test_setup(root_is_a_route, clear),
        cmocka_unit_test_setup(head_finds_get, clear),
        cmocka_unit_test_setup(other_methods_are_told, clear),
        cmocka_unit_test_setup(names_belong_to_the_route, clear),
        cmocka_unit_test_setup(each_side_has_its_routes, clear),
        cmocka_unit_test_setup(shared_literal_leaves_other_methods_to_the_placeholder, clear),
        cmocka_unit_test_setup(below_oauth_endpoints_nothing_else_is_found, clear),
        cmocka_unit_test_setup(equal_routes_name_both_owners, clear),
        cmocka_unit_test_setup(malformed_patterns_are_refused, clear),
        cmocka_unit_test_setup(many_literals_are_told_apart, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
