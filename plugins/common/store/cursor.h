/*
 * Cursors: where a page ended, as sealed text. A cursor that was changed, or comes from another
 * query or database, is refused.
 */
#ifndef COMMON_STORE_CURSOR_H
#define COMMON_STORE_CURSOR_H

#include <andiron/error.h>

#include "hash.h"

enum { CURSOR_VALUES = 3 };

enum cursor_mode {
    CURSOR_BY_VID = 1, /* key is the next one to look at */
    CURSOR_SORTED,     /* values and vid of the last one looked at */
    CURSOR_WALK,       /* key is the next vid of a walk, high its horizon */
    CURSOR_HORIZON,
    CURSOR_BACK /* by vid: key is the first one of the page behind */
};

/* One sort value. Ordered as it compares: numbers, texts; absent last in either direction. */
struct cursor_value {
    enum { VALUE_ABSENT, VALUE_NUMBER, VALUE_REAL, VALUE_TEXT } kind;
    int64_t number;
    double real;
    andiron_str text;
};

/* -1, 0 or 1, of two that are there and of one kind. */
int cursor_compare(const struct cursor_value *a, const struct cursor_value *b);

struct cursor {
    enum cursor_mode mode;
    uint64_t query; /* what it belongs to */
    int64_t key, high;
    struct cursor_value values[CURSOR_VALUES];
};

andiron_str cursor_write(const struct hash_key *seal, struct andiron_arena *arena,
                         const struct cursor *cursor);
/* -1 and err, unless the text is a cursor of this mode and query, sealed with this key. */
ANDIRON_MUST_CHECK int cursor_read(const struct hash_key *seal, struct andiron_arena *arena,
                                   andiron_str text, enum cursor_mode mode, uint64_t query,
                                   struct cursor *ret, struct andiron_error *err);

#endif
