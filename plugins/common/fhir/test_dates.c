/*
 * Dates: which range each precision covers, and what is no date.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fhir/dates.h"

#define S INT64_C(1000000)

static void each_precision_covers_its_range(void **state)
{
    static const struct {
        const char *text;
        int64_t low, high; /* microseconds */
        enum fhir_date_precision precision;
        bool has_zone;
    } cases[] = {
        { "1970", 0, 365 * 86400 * S, FHIR_DATE_YEAR, false },
        { "1972", 730 * 86400 * S, 1096 * 86400 * S, FHIR_DATE_YEAR, false },
        { "2024-02-29", 1709164800 * S, 1709251200 * S, FHIR_DATE_DAY, false },
        { "2013-01-14T10:00", 1358157600 * S, 1358157660 * S, FHIR_DATE_MINUTE, false },
        { "2013-01-14T10:00Z", 1358157600 * S, 1358157660 * S, FHIR_DATE_MINUTE, true },
        { "2013-01-14T10:00:00Z", 1358157600 * S, 1358157601 * S, FHIR_DATE_SECOND, true },
        { "2013-01-14T10:00:00+04:00", 1358143200 * S, 1358143201 * S, FHIR_DATE_SECOND, true },
        { "2013-01-14T10:00:00-03:30", 1358170200 * S, 1358170201 * S, FHIR_DATE_SECOND, true },
        { "2013-01-14T10:00:00.5Z", 1358157600 * S + 500000, 1358157600 * S + 600000,
          FHIR_DATE_FRACTION, true },
        { "2013-01-14T10:00:00.123456789Z", 1358157600 * S + 123456, 1358157600 * S + 123457,
          FHIR_DATE_FRACTION, true },
        { "2016-12-31T23:59:60Z", 1483228800 * S, 1483228801 * S, FHIR_DATE_SECOND, true },
        { "0001-01-01", -62135596800 * S, -62135510400 * S, FHIR_DATE_DAY, false },
        { "9999-12-31", 253402214400 * S, 253402300800 * S, FHIR_DATE_DAY, false },
        { "1969-12-31T23:59:59Z", -1 * S, 0, FHIR_DATE_SECOND, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fhir_date date;
        assert_int_equal(fhir_date_parse(andiron_str_of(cases[i].text), &date), 0);
        assert_int_equal(date.precision, cases[i].precision);
        assert_int_equal(date.has_zone, cases[i].has_zone);
        assert_true(date.low == cases[i].low);
        assert_true(date.high == cases[i].high);
    }
}

static void a_month_ends_with_its_last_day(void **state)
{
    static const struct {
        const char *month;
        int days;
    } cases[] = { { "2023-01", 31 }, { "2023-02", 28 }, { "2024-02", 29 }, { "1900-02", 28 },
                  { "2000-02", 29 }, { "2023-04", 30 }, { "2023-12", 31 } };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fhir_date date;
        assert_int_equal(fhir_date_parse(andiron_str_of(cases[i].month), &date), 0);
        assert_true(date.high - date.low == cases[i].days * 86400 * S);
    }
}

static void malformed_dates_are_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "0000",
        "13",
        "213",
        "20130",
        "2013-",
        "2013-1",
        "2013-13",
        "2013-00",
        "2013-02-30",
        "2023-02-29",
        "2013-01-00",
        "2013-01-14T",
        "2013-01-14T10",
        "2013-01-14T24:00:00Z",
        "2013-01-14T10:60:00Z",
        "2013-01-14T10:00:61Z",
        "2013-01-14T10:00:00.Z",
        "2013-01-14T10:00:00z",
        "2013-01-14 10:00:00Z",
        "2013-01-14T10:00:00+4:00",
        "2013-01-14T10:00:00+15:00",
        "2013-01-14T10:00:00+14:30",
        "2013-01-14T10:00:00Zx",
        "2013-01-14Z",
        "-013-01-14",
        "today",
        "2013-01-14T10:00:00+0400",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fhir_date date;
        assert_int_equal(fhir_date_parse(andiron_str_of(cases[i]), &date), -1);
    }
}

static void data_types_differ_in_what_they_need(void **state)
{
    (void)state;
    assert_true(fhir_is_date(ANDIRON_STR("2013-01")));
    assert_false(fhir_is_date(ANDIRON_STR("2013-01-14T10:00:00Z")));
    assert_true(fhir_is_datetime(ANDIRON_STR("2013")));
    assert_true(fhir_is_datetime(ANDIRON_STR("2013-01-14T10:00:00Z")));
    assert_false(fhir_is_datetime(ANDIRON_STR("2013-01-14T10:00:00")));
    assert_false(fhir_is_datetime(ANDIRON_STR("2013-01-14T10:00Z")));
    assert_true(fhir_is_instant(ANDIRON_STR("2013-01-14T10:00:00.1Z")));
    assert_false(fhir_is_instant(ANDIRON_STR("2013-01-14")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_precision_covers_its_range),
        cmocka_unit_test(a_month_ends_with_its_last_day),
        cmocka_unit_test(malformed_dates_are_refused),
        cmocka_unit_test(data_types_differ_in_what_they_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
