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

enum { PATTERN_FRAGMENTS = 16 };

/*
 * Texts of which every such string holds at least one: those of alternatives. As long and as few as
 * can be told. Views; their number, 0 if nothing is known.
 */
size_t pattern_fragments(andiron_str expression, andiron_str ret[PATTERN_FRAGMENTS]);

#endif
