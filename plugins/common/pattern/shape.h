/*
 * The shapes of a regular expression: rows of sets of bytes, of which some may be missing or
 * repeat, so that in whatever string the expression is found one of its shapes is found as well.
 * Not the other way round: what a shape cannot say (assertions, groups that repeat) it lets be.
 */
#ifndef COMMON_PATTERN_SHAPE_H
#define COMMON_PATTERN_SHAPE_H

#include <andiron/base.h>

enum { SHAPE_ITEMS = 62, SHAPES_MAX = 8 };

struct byte_set {
    uint64_t bits[4];
};

struct shape_item {
    struct byte_set bytes;
    bool is_optional, repeats;
};

struct shape {
    struct shape_item items[SHAPE_ITEMS];
    unsigned count;
    bool at_begin, at_end; /* of the string */
};

struct shapes {
    struct shape all[SHAPES_MAX];
    unsigned count;
};

static inline bool byte_set_has(const struct byte_set *set, unsigned char byte)
{
    return (set->bits[byte / 64] >> byte % 64 & 1) != 0;
}

/* Of an expression that compiles (PCRE2 in UTF mode, or ECMA 262). false: nothing is known. */
bool pattern_shapes(andiron_str expression, struct shapes *ret);

#endif
