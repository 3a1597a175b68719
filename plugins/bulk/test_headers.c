/*
 * Headers of requests; how often one may poll.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "headers.h"
#include "polls.h"

static void preferences_are_found_among_others(void **state)
{
    (void)state;
    assert_true(headers_prefer(ANDIRON_STR("respond-async"), "respond-async"));
    assert_true(
        headers_prefer(ANDIRON_STR("handling=lenient , Respond-Async; wait=5"), "respond-async"));
    assert_true(headers_prefer(ANDIRON_STR("respond-async,handling=lenient"), "handling=lenient"));
    assert_false(headers_prefer(ANDIRON_STR("respond-asynchronous"), "respond-async"));
    assert_false(headers_prefer(ANDIRON_STR("x; respond-async"), "respond-async"));
    assert_false(headers_prefer((andiron_str){ NULL, 0 }, "respond-async"));
}

static void accept_allows_by_name_and_by_star(void **state)
{
    static const char *const json[] = { "application/fhir+json", "application/json", NULL };
    (void)state;
    assert_true(headers_accept((andiron_str){ NULL, 0 }, json));
    assert_true(headers_accept(ANDIRON_STR("text/html, application/fhir+json;q=0.5"), json));
    assert_true(headers_accept(ANDIRON_STR("*/*"), json));
    assert_true(headers_accept(ANDIRON_STR("Application/*"), json));
    assert_false(headers_accept(ANDIRON_STR("text/html"), json));
    assert_false(headers_accept(ANDIRON_STR("application/fhir+json;q=0.0"), json));
}

static void gzip_must_be_asked_for(void **state)
{
    (void)state;
    assert_true(headers_accept_gzip(ANDIRON_STR("deflate, gzip;q=0.1")));
    assert_true(headers_accept_gzip(ANDIRON_STR("*")));
    assert_false(headers_accept_gzip(ANDIRON_STR("gzip;q=0, *")));
    assert_false(headers_accept_gzip(ANDIRON_STR("*;q=0")));
    assert_false(headers_accept_gzip(ANDIRON_STR("br")));
    assert_false(headers_accept_gzip((andiron_str){ NULL, 0 }));
}

/* RFC 9110 section 14.1.2. */
static void ranges_are_cut_to_the_size(void **state)
{
    static const struct {
        const char *text;
        enum range_kind kind;
        uint64_t from, length;
    } cases[] = {
        { "bytes=0-499", RANGE_PART, 0, 500 },
        { "bytes=500-999", RANGE_PART, 500, 500 },
        { "bytes=500-5000", RANGE_PART, 500, 500 },
        { "bytes=-500", RANGE_PART, 500, 500 },
        { "bytes=-5000", RANGE_PART, 0, 1000 },
        { "bytes=9-", RANGE_PART, 9, 991 },
        { "Bytes=0-0", RANGE_PART, 0, 1 },
        { "bytes=1000-", RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=-0", RANGE_UNSATISFIABLE, 0, 0 },
        { "bytes=9-5", RANGE_WHOLE, 0, 0 },
        { "bytes=0-1,5-6", RANGE_WHOLE, 0, 0 },
        { "bytes=a-b", RANGE_WHOLE, 0, 0 },
        { "bytes=-", RANGE_WHOLE, 0, 0 },
        { "bytes=99999999999999999999-", RANGE_WHOLE, 0, 0 },
        { "lines=0-5", RANGE_WHOLE, 0, 0 },
        { "", RANGE_WHOLE, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t from = 0, length = 0;
        enum range_kind kind = headers_range(andiron_str_of(cases[i].text), 1000, &from, &length);
        if (kind != cases[i].kind || from != cases[i].from || length != cases[i].length)
            fail_msg("%s: %d %d %d", cases[i].text, (int)kind, (int)from, (int)length);
    }
}

static void etags_are_found_in_lists(void **state)
{
    andiron_str ours = ANDIRON_STR("\"a\"");
    (void)state;
    assert_true(headers_has_etag(ANDIRON_STR("\"b\", W/\"a\""), ours));
    assert_true(headers_has_etag(ANDIRON_STR("*"), ours));
    assert_false(headers_has_etag(ANDIRON_STR("\"ab\""), ours));
    assert_false(headers_has_etag((andiron_str){ NULL, 0 }, ours));
}

static void who_waits_is_never_refused_and_who_does_not_is(void **state)
{
    struct polls *p = polls_new();
    andiron_str patient = ANDIRON_STR("a"), hasty = ANDIRON_STR("b");
    int refused = 0;
    (void)state;

    for (int64_t now = 1000; now < 100000; now += 1000) {
        assert_true(polls_allow(p, patient, now, 1000));
        for (int i = 0; i < 5; i++)
            refused += !polls_allow(p, hasty, now + i, 1000);
    }
    assert_true(refused == 0); /* bursts that end are forgiven */
    for (int i = 0; i < 100; i++)
        refused += !polls_allow(p, hasty, 200000 + i, 5000);
    assert_true(refused > 80);
    assert_true(polls_allow(p, hasty, 210000, 5000));
    polls_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preferences_are_found_among_others),
        cmocka_unit_test(accept_allows_by_name_and_by_star),
        cmocka_unit_test(gzip_must_be_asked_for),
        cmocka_unit_test(ranges_are_cut_to_the_size),
        cmocka_unit_test(etags_are_found_in_lists),
        cmocka_unit_test(who_waits_is_never_refused_and_who_does_not_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
