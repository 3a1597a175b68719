/*
 * The text of a JSON number: its value, exactly. The text must be one that the parser accepted.
 * No allocation, any thread, any locale.
 */
#ifndef CORE_JSON_NUMBER_H
#define CORE_JSON_NUMBER_H

#include <andiron/base.h>

/* Byte after the number that begins at p, by the grammar of RFC 8259 section 6; NULL if none does. */
const char *number_end(const char *p, const char *end);

/* 1, 1.0, 10e-1 and 0.1e1 are equal, however many digits. */
bool number_equal(andiron_str a, andiron_str b);

/* Whole number within int64_t (also 1.0 and 1e3), or fallback. */
int64_t number_int(andiron_str text, int64_t fallback);

/* Nearest double; infinite if beyond its range. */
double number_double(andiron_str text);

#endif
