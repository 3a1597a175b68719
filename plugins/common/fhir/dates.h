/*
 * FHIR dates as ranges (R4 datatypes.html#dateTime, search.html 3.1.1.4.5). Any thread.
 *
 * Every date, dateTime and instant covers a range, [low, high) in microseconds: "2013" the
 * whole year, "2013-01-14T10:00:00Z" one second. Without a zone it counts as UTC.
 */
#ifndef FHIR_DATES_H
#define FHIR_DATES_H

#include <andiron/base.h>

/* Open ends of ranges: a Period without start or end. */
#define FHIR_DATE_LOWEST (-(INT64_C(1) << 62))
#define FHIR_DATE_HIGHEST (INT64_C(1) << 62)

enum fhir_date_precision {
    FHIR_DATE_YEAR,
    FHIR_DATE_MONTH,
    FHIR_DATE_DAY,
    FHIR_DATE_MINUTE, /* only in searches: resources have seconds */
    FHIR_DATE_SECOND,
    FHIR_DATE_FRACTION /* down to microseconds; further digits are cut */
};

struct fhir_date {
    andiron_usec low, high;
    enum fhir_date_precision precision;
    bool has_zone;
};

/*
 * Reads "2013", "2013-01", "2013-01-14", "2013-01-14T10:00[:00[.123]][Z|+04:00]"; -1 for
 * anything else, such as month 13 or 30 February. A second 60 counts as the one after 59.
 */
int fhir_date_parse(andiron_str text, struct fhir_date *ret);

/* Whether text is a value of the data type, by R4's rules (a zone where there is a time). */
bool fhir_is_date(andiron_str text);
bool fhir_is_datetime(andiron_str text);
bool fhir_is_instant(andiron_str text);

#endif
