/*
 * Instants as FHIR and HTTP write them. No allocation, any thread.
 */
#ifndef FHIR_INSTANT_H
#define FHIR_INSTANT_H

#include <andiron/base.h>

enum { INSTANT_LEN = 27, INSTANT_HTTP_LEN = 29 };

/* "2024-08-29T15:51:05.117806Z"; for years 0 to 9999. No final NUL. */
void instant_put(andiron_usec at, char out[INSTANT_LEN]);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7). No final NUL. */
void instant_put_http(andiron_usec at, char out[INSTANT_HTTP_LEN]);

/* The instant of an IMF-fixdate, the only form that is still sent; -1 for anything else. */
andiron_usec instant_parse_http(andiron_str text);

#endif
