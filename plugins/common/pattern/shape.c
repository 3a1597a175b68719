/*
 * Items become sets of bytes, groups their alternatives. In doubt a set is too large, an item may be
 * missing, and what follows is not looked at.
 */
#include "common/pattern/shape.h"

#include "common/pattern/items.h"

enum {
    DEPTH_MAX = 8,  /* of groups: each takes some 60 KB of the stack */
    COPIES_MAX = 24 /* of an item that is counted: "[0-9]{40}" asks for as many and more */
};

struct reading {
    struct items items;
    bool ignores_case;
};

/* ---- sets of bytes ------------------------------------------------------------------------- */

static const struct byte_set any = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };

static void add(struct byte_set *set, unsigned byte)
{
    set->bits[byte / 64] |= UINT64_C(1) << byte % 64;
}

static void add_range(struct byte_set *set, unsigned first, unsigned last)
{
    for (unsigned byte = first; byte <= last; byte++)
        add(set, byte);
}

static void add_set(struct byte_set *set, const struct byte_set *other)
{
    for (int i = 0; i < 4; i++)
        set->bits[i] |= other->bits[i];
}

/* Bytes of characters that are not ASCII. */
static void add_high(struct byte_set *set)
{
    set->bits[2] = set->bits[3] = UINT64_MAX;
}

static bool has_high(const struct byte_set *set)
{
    return (set->bits[2] | set->bits[3]) != 0;
}

/* Of ASCII characters the others; of all else any. */
static void complement(struct byte_set *set)
{
    set->bits[0] = ~set->bits[0];
    set->bits[1] = ~set->bits[1];
    add_high(set);
}

static void add_both_cases(struct byte_set *set)
{
    for (unsigned c = 'a'; c <= 'z'; c++) {
        unsigned upper = c - ('a' - 'A');
        if (!byte_set_has(set, (unsigned char)c) && !byte_set_has(set, (unsigned char)upper))
            continue;
        add(set, c);
        add(set, upper);
        if (c == 'k' || c == 's') /* U+212A and U+017F are these in another case */
            add_high(set);
    }
}

/*
 * "\d", "\." and their like, by their letter, in a class or outside. false: not exactly these, but
 * then any.
 */
static bool add_escape(struct byte_set *set, char letter, bool in_class)
{
    static const char controls[] = "t\tn\nr\rf\fa\ae\x1b";
    struct byte_set found = { { 0 } };
    bool negated = letter == 'D' || letter == 'W' || letter == 'S';
    const char *control = strchr(controls, letter);
    switch (letter) {
    case 'd':
    case 'D':
        add_range(&found, '0', '9');
        break;
    case 'w':
    case 'W':
        add_range(&found, '0', '9');
        add_range(&found, 'A', 'Z');
        add_range(&found, 'a', 'z');
        add(&found, '_');
        break;
    case 's':
    case 'S':
        add_range(&found, '\t', '\r');
        add(&found, ' ');
        break;
    default:
        if (control != NULL && (control - controls) % 2 == 0)
            add(&found, (unsigned char)control[1]);
        else if (in_class && letter == 'b')
            add(&found, '\b');
        else if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))
            found = any;
        else
            add(&found, (unsigned char)letter);
    }
    if (negated)
        complement(&found);
    add_set(set, &found);
    return memcmp(&found, &any, sizeof(any)) != 0;
}

/* A character of a class that may begin or end a range; -1: it is none, and its set is in ret. */
static int class_member(andiron_str text, size_t *at, struct byte_set *ret, bool *ret_is_exact)
{
    unsigned char c = (unsigned char)text.data[*at];
    bool is_escape = c == '\\' && *at + 1 < text.len;
    *ret = (struct byte_set){ { 0 } };
    *at += is_escape ? 2 : 1;
    if (is_escape) {
        char letter = text.data[*at - 1];
        bool is_itself = letter > ' ' && letter < '0';
        *ret_is_exact &= add_escape(ret, letter, true);
        return is_itself ? (unsigned char)letter : -1;
    }
    if (c < 0x80) {
        add(ret, c);
        return c;
    }
    add_high(ret);
    return -1;
}

/* "[a-z0-9_-]"; the text is what is between the brackets. */
static void add_class(struct byte_set *set, andiron_str text)
{
    struct byte_set found = { { 0 } }, one;
    bool is_negated = text.len > 0 && text.data[0] == '^', is_exact = true;
    size_t at = is_negated ? 1 : 0;

    while (at < text.len) {
        int first = class_member(text, &at, &one, &is_exact);
        add_set(&found, &one);
        if (at + 1 >= text.len || text.data[at] != '-')
            continue;
        at++;
        int last = class_member(text, &at, &one, &is_exact);
        add_set(&found, &one);
        if (first >= 0 && last >= first)
            add_range(&found, (unsigned)first, (unsigned)last);
        else /* to a character beyond ASCII, or no range at all */
            is_exact = false;
    }
    if (!is_exact)
        found = any;
    else if (is_negated)
        complement(&found);
    add_set(set, &found);
}

/* ---- shapes one after the other --------------------------------------------------------------- */

/* Then more may follow of which nothing is known. */
static bool is_full(const struct shape *shape)
{
    return shape->count == SHAPE_ITEMS;
}

/* What stands in an expression at a time: one character, or a group. */
static void append(struct shape *to, const struct shape *what)
{
    to->at_end = false; /* "$" in the middle: what is behind it may be empty */
    if (is_full(to))
        return;
    if (what->at_begin && to->count == 0)
        to->at_begin = true;
    for (unsigned i = 0; i < what->count; i++) {
        if (is_full(to))
            return; /* what is left is not asked for, and the end is not either */
        to->items[to->count++] = what->items[i];
    }
    to->at_end = what->at_end;
}

static struct byte_set bytes_of(const struct shapes *shapes)
{
    struct byte_set all = { { 0 } };
    for (unsigned s = 0; s < shapes->count; s++) {
        if (is_full(&shapes->all[s]))
            return any;
        for (unsigned i = 0; i < shapes->all[s].count; i++)
            add_set(&all, &shapes->all[s].items[i].bytes);
    }
    return all;
}

static bool may_be_empty(const struct shapes *shapes)
{
    for (unsigned s = 0; s < shapes->count; s++) {
        unsigned asked = 0;
        for (unsigned i = 0; i < shapes->all[s].count; i++)
            asked += !shapes->all[s].items[i].is_optional;
        if (asked == 0)
            return true;
    }
    return false;
}

/* Any number of its bytes, in any order. */
static void loosen(struct shapes *shapes, bool is_optional)
{
    const struct shape_item loop = { bytes_of(shapes), is_optional || may_be_empty(shapes), true };
    shapes->count = 1;
    shapes->all[0].items[0] = loop;
    shapes->all[0].count = 1;
    shapes->all[0].at_begin = shapes->all[0].at_end = false;
}

/* Each of these with each of what comes next. */
static void append_all(struct shapes *to, struct shapes *what)
{
    unsigned before = to->count;
    if (before * what->count > SHAPES_MAX)
        loosen(what, false);
    for (unsigned w = 1; w < what->count; w++)
        for (unsigned s = 0; s < before; s++) {
            struct shape *copy = &to->all[to->count++];
            *copy = to->all[s];
            append(copy, &what->all[w]);
        }
    for (unsigned s = 0; s < before; s++)
        append(&to->all[s], &what->all[0]);
}

static void empty(struct shapes *shapes)
{
    shapes->count = 1;
    shapes->all[0].count = 0;
    shapes->all[0].at_begin = shapes->all[0].at_end = false;
}

static void append_alternative(struct shapes *to, const struct shapes *what)
{
    for (unsigned s = 0; s < what->count; s++) {
        if (to->count == SHAPES_MAX) {
            loosen(to, false);
            struct shapes both = { .count = 2 };
            both.all[0] = to->all[0];
            both.all[1] = what->all[s];
            loosen(&both, false);
            to->all[0] = both.all[0];
            continue;
        }
        to->all[to->count++] = what->all[s];
    }
}

/* ---- one character ---------------------------------------------------------------------------- */

/* A character that is not ASCII has more bytes, all of them high. */
static void one_of(struct shapes *ret, struct byte_set set, bool ignores_case)
{
    struct shape *shape = &ret->all[0];
    empty(ret);
    if (ignores_case)
        add_both_cases(&set);
    shape->items[shape->count++] = (struct shape_item){ set, false, false };
    if (!has_high(&set))
        return;
    struct byte_set high = { { 0 } };
    add_high(&high);
    shape->items[shape->count++] = (struct shape_item){ high, true, true };
}

/* All bytes of a character: what repeats repeats all of them. */
static void literal_high(struct reading *r, size_t at, struct shapes *ret)
{
    andiron_str text = r->items.text;
    empty(ret);
    while (at < text.len && (unsigned char)text.data[at] >= 0x80 &&
           (ret->all[0].count == 0 || ((unsigned char)text.data[at] & 0xC0) == 0x80)) {
        struct byte_set set = { { 0 } };
        add(&set, (unsigned char)text.data[at++]);
        if (r->ignores_case)
            set = any;
        ret->all[0].items[ret->all[0].count++] = (struct shape_item){ set, false, false };
    }
    r->items.at = at;
    if (r->ignores_case) /* may be of another length in its other case */
        loosen(ret, false);
}

static void read_other(struct reading *r, size_t at, struct shapes *ret)
{
    andiron_str text = r->items.text;
    char c = text.data[at];
    struct byte_set set = { { 0 } };
    if ((unsigned char)c >= 0x80) {
        literal_high(r, at, ret);
        return;
    }
    if (c == '\\' && strchr("bBAzZG", text.data[at + 1]) != NULL) { /* conditions */
        empty(ret);
        return;
    }
    if (c == '\\' && strchr("RX", text.data[at + 1]) != NULL) { /* several characters */
        one_of(ret, any, false);
        loosen(ret, true);
        return;
    }
    if (c == '\\')
        (void)add_escape(&set, text.data[at + 1], false);
    else if (c == '[')
        add_class(&set, (andiron_str){ text.data + at + 1, r->items.at - at - 2 });
    else if (c == '.')
        set = any;
    else
        add(&set, (unsigned char)c);
    one_of(ret, set, r->ignores_case);
}

/* ---- how often --------------------------------------------------------------------------------- */

struct times {
    unsigned least;
    bool is_more; /* than that: any number */
};

static struct times read_times(andiron_str text, size_t at, size_t end)
{
    char c = text.data[at];
    struct times times = { .least = c == '+' ? 1 : 0, .is_more = c != '?' };
    if (c != '{')
        return times;
    at++;
    while (at < end && text.data[at] >= '0' && text.data[at] <= '9' && times.least < COPIES_MAX)
        times.least = times.least * 10 + (unsigned)(text.data[at++] - '0');
    times.is_more = text.data[at] != '}'; /* "{2,5}", or more than are copied */
    if (times.least > COPIES_MAX)
        times = (struct times){ COPIES_MAX, true };
    return times;
}

static void repeat_one(struct shapes *shapes, struct times times)
{
    struct shape *shape = &shapes->all[0];
    struct shape_item item = shape->items[0];
    shape->count = 0;
    if (times.least == 1 && times.is_more) {
        item.repeats = true;
        shape->items[shape->count++] = item;
        return;
    }
    for (unsigned i = 0; i < times.least; i++)
        shape->items[shape->count++] = item;
    item.is_optional = true;
    item.repeats = times.is_more;
    if (times.is_more || times.least == 0)
        shape->items[shape->count++] = item;
}

static void repeat(struct shapes *shapes, struct times times)
{
    bool is_one = shapes->count == 1 && shapes->all[0].count == 1 &&
                  !shapes->all[0].items[0].is_optional && !shapes->all[0].items[0].repeats &&
                  !shapes->all[0].at_begin && !shapes->all[0].at_end;
    if (shapes->count == 1 && shapes->all[0].count == 0) /* a condition: none as soon as optional */
        empty(shapes);
    else if (is_one)
        repeat_one(shapes, times);
    else if (!times.is_more && times.least == 0 && shapes->count < SHAPES_MAX) /* "(...)?" */
        shapes->all[shapes->count++] = (struct shape){ .count = 0 };
    else
        loosen(shapes, times.least == 0);
}

/* What follows an item: how often it is there. false: how is not known. */
static bool read_repeats(struct reading *r, struct shapes *shapes)
{
    struct items behind = r->items;
    struct item item = items_next(&behind);
    if (item.kind != ITEM_REPEAT)
        return item.kind != ITEM_UNKNOWN;
    struct times times = read_times(r->items.text, item.at, behind.at);
    repeat(shapes, times);
    r->items = behind;
    item = items_next(&behind);
    char c = item.kind == ITEM_REPEAT ? r->items.text.data[item.at] : '\0';
    if (c == '?' || c == '+') { /* how much it takes, of the same */
        r->items = behind;
        item = items_next(&behind);
    }
    return item.kind != ITEM_REPEAT; /* repeated repeats are too odd to be read */
}

/* ---- reading ------------------------------------------------------------------------------------- */

static enum item_kind read_alternatives(struct reading *r, unsigned depth, struct shapes *ret);

/* "(" that is not for grouping alone. */
static bool is_condition(andiron_str text, size_t at)
{
    return text.len - at > 2 && text.data[at + 1] == '?' &&
           (text.data[at + 2] == '=' || text.data[at + 2] == '!');
}

/* A lookbehind, or a group with a name, which is read as part of it. */
static bool is_named(andiron_str text, size_t at)
{
    return text.len - at > 2 && text.data[at + 1] == '?' && text.data[at + 2] == '<';
}

static enum item_kind read_group(struct reading *r, struct item item, unsigned depth,
                                 struct shapes *ret)
{
    if (depth == DEPTH_MAX || read_alternatives(r, depth + 1, ret) != ITEM_CLOSE)
        return ITEM_UNKNOWN;
    if (is_condition(r->items.text, item.at))
        empty(ret);
    if (is_named(r->items.text, item.at)) {
        one_of(ret, any, false);
        loosen(ret, true);
    }
    return ITEM_CLOSE;
}

/* One item, with how often. false: not known. */
static bool read_one(struct reading *r, struct item item, unsigned depth, struct shapes *ret)
{
    struct byte_set set = { { 0 } };
    empty(ret);
    switch (item.kind) {
    case ITEM_CHAR:
        add(&set, (unsigned char)r->items.text.data[item.at]);
        one_of(ret, set, r->ignores_case);
        break;
    case ITEM_OTHER:
        read_other(r, item.at, ret);
        break;
    case ITEM_BEGIN:
        ret->all[0].at_begin = true;
        break;
    case ITEM_FINISH:
        ret->all[0].at_end = true;
        break;
    case ITEM_OPEN:
        if (read_group(r, item, depth, ret) == ITEM_UNKNOWN)
            return false;
        break;
    default: /* ITEM_REPEAT of nothing */
        return false;
    }
    return read_repeats(r, ret);
}

/* Until an alternative or a group ends: OR, CLOSE, END or UNKNOWN. */
static enum item_kind read_sequence(struct reading *r, unsigned depth, struct shapes *ret)
{
    struct shapes one;
    empty(ret);
    for (;;) {
        struct item item = items_next(&r->items);
        switch (item.kind) {
        case ITEM_END:
        case ITEM_CLOSE:
        case ITEM_OR:
        case ITEM_UNKNOWN:
            return item.kind;
        default:
            if (!read_one(r, item, depth, &one))
                return ITEM_UNKNOWN;
            append_all(ret, &one);
        }
    }
}

static enum item_kind read_alternatives(struct reading *r, unsigned depth, struct shapes *ret)
{
    struct shapes one;
    enum item_kind end;
    ret->count = 0;
    do {
        end = read_sequence(r, depth, &one);
        if (end == ITEM_UNKNOWN)
            return end;
        append_alternative(ret, &one);
    } while (end == ITEM_OR);
    return end;
}

bool pattern_shapes(andiron_str expression, struct shapes *ret)
{
    static const char prefix[] = "(?i)";
    struct reading r = { .items = { expression, 0 } };
    if (expression.len > 4 && memcmp(expression.data, prefix, 4) == 0) {
        r.ignores_case = true;
        r.items.at = 4;
    }
    return read_alternatives(&r, 0, ret) == ITEM_END;
}
