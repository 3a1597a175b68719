/*
 * What a regular expression says of the beginning of what it matches: for indexes.
 */
#ifndef COMMON_PATTERN_BEGINNING_H
#define COMMON_PATTERN_BEGINNING_H

#include <andiron/base.h>

/*
 * The bytes that every string begins with in which expression (PCRE2, or ECMA 262) is found; a
 * view into it, absent if nothing is known. *ret_is_whole: it is found in no other string.
 */
andiron_str pattern_beginning(andiron_str expression, bool *ret_is_whole);

#endif
