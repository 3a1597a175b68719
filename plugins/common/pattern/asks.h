/*
 * What a regular expression surely asks of the strings in which it is found: for indexes.
 */
#ifndef COMMON_PATTERN_ASKS_H
#define COMMON_PATTERN_ASKS_H

#include <andiron/base.h>

/*
 * The bytes that every string begins with in which expression (PCRE2, or ECMA 262) is found; a
 * view into it, absent if nothing is known. *ret_is_whole: it is found in no other string.
 */
andiron_str pattern_beginning(andiron_str expression, bool *ret_is_whole);

/* The longest run of bytes known to be somewhere in every such string; a view, or absent. */
andiron_str pattern_fragment(andiron_str expression);

#endif
