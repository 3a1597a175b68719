/*
 * The items of a regular expression, one after the other, as far as it is beyond doubt what they
 * are, as PCRE2 and as ECMA 262 reads them. For finding out what an expression asks for without
 * running it.
 */
#ifndef COMMON_PATTERN_ITEMS_H
#define COMMON_PATTERN_ITEMS_H

#include <andiron/base.h>

enum item_kind {
    ITEM_END,
    ITEM_CHAR,   /* itself and nothing else: an ASCII character that was not escaped */
    ITEM_BEGIN,  /* "^" */
    ITEM_FINISH, /* "$" */
    ITEM_OTHER,  /* some character, or a condition: a class, ".", "\d", "\b", "\." */
    ITEM_OPEN,   /* of a group of any kind */
    ITEM_CLOSE,
    ITEM_OR,
    ITEM_REPEAT, /* the item before it may be missing: also of "+", since "a+{0}" is allowed */
    ITEM_UNKNOWN /* whatever could change how the rest is read */
};

struct items {
    andiron_str text;
    size_t at; /* of the next one */
};

struct item {
    enum item_kind kind;
    size_t at;
    bool is_asked; /* ITEM_OPEN: what is inside must be found */
};

/* Behind ITEM_END and ITEM_UNKNOWN there is no next. */
struct item items_next(struct items *items);

#endif
