/*
 * Items one after the other are all asked for, of alternatives one.
 */
#include "common/pattern/asks.h"

#include "common/pattern/items.h"

/* Whether the expression could match without its beginning: "^a|b". In doubt it could. */
static bool has_alternatives(andiron_str text)
{
    struct items items = { text, 0 };
    size_t depth = 0;

    if (memchr(text.data, '|', text.len) == NULL)
        return false;
    for (;;) {
        switch (items_next(&items).kind) {
        case ITEM_END:
            return false;
        case ITEM_OPEN:
            depth++;
            break;
        case ITEM_CLOSE:
            if (depth == 0)
                return true;
            depth--;
            break;
        case ITEM_OR:
            if (depth == 0)
                return true;
            break;
        case ITEM_UNKNOWN:
            return true;
        default:
            break;
        }
    }
}

andiron_str pattern_beginning(andiron_str text, bool *ret_is_whole)
{
    andiron_str none = { NULL, 0 };
    struct items items = { text, 0 };
    size_t end = 1;

    *ret_is_whole = false;
    if (items_next(&items).kind != ITEM_BEGIN || has_alternatives(text))
        return none;
    struct item item = items_next(&items);
    for (; item.kind == ITEM_CHAR; item = items_next(&items))
        end++;
    if (item.kind == ITEM_FINISH)
        *ret_is_whole = items_next(&items).kind == ITEM_END;
    if (item.kind == ITEM_REPEAT || item.kind == ITEM_UNKNOWN)
        end--; /* the character before it may be missing */
    return end > 1 ? (andiron_str){ text.data + 1, end - 1 } : none;
}

/* ---- fragments --------------------------------------------------------------------------- */

enum { DEPTH_MAX = 50 };

/* One of them must be there; none: nothing is known. */
struct fragments {
    andiron_str all[PATTERN_FRAGMENTS];
    size_t count;
};

static size_t shortest(const struct fragments *f)
{
    size_t len = f->count > 0 ? f->all[0].len : 0;
    for (size_t i = 1; i < f->count; i++)
        len = f->all[i].len < len ? f->all[i].len : len;
    return len;
}

static void keep_better(struct fragments *best, const struct fragments *other)
{
    size_t a = shortest(best), b = shortest(other);
    if (b > a || (b == a && other->count < best->count))
        *best = *other;
}

static enum item_kind read_alternatives(struct items *items, unsigned depth, struct fragments *ret);

/* Behind "(": what it asks for. Its end. */
static enum item_kind read_group(struct items *items, unsigned depth, bool is_asked,
                                 struct fragments *best)
{
    struct fragments inner;
    if (depth == DEPTH_MAX || read_alternatives(items, depth + 1, &inner) != ITEM_CLOSE)
        return ITEM_UNKNOWN;
    struct items behind = *items;
    if (is_asked && items_next(&behind).kind != ITEM_REPEAT)
        keep_better(best, &inner);
    return ITEM_CLOSE;
}

/* Of what stands one after the other, what tells most. Why it ends: OR, CLOSE, END or UNKNOWN. */
static enum item_kind read_sequence(struct items *items, unsigned depth, struct fragments *best)
{
    struct fragments run = { .count = 1 };
    best->count = 0;
    for (;;) {
        struct item item = items_next(items);
        if (item.kind == ITEM_CHAR) {
            if (run.all[0].len++ == 0)
                run.all[0].data = items->text.data + item.at;
            continue;
        }
        if (item.kind == ITEM_REPEAT && run.all[0].len > 0) /* the last one may be missing */
            run.all[0].len--;
        if (run.all[0].len > 0)
            keep_better(best, &run);
        run.all[0].len = 0;
        switch (item.kind) {
        case ITEM_END:
        case ITEM_CLOSE:
        case ITEM_OR:
        case ITEM_UNKNOWN:
            return item.kind;
        case ITEM_OPEN:
            if (read_group(items, depth, item.is_asked, best) == ITEM_UNKNOWN)
                return ITEM_UNKNOWN;
            break;
        default:
            break;
        }
    }
}

static enum item_kind read_alternatives(struct items *items, unsigned depth, struct fragments *ret)
{
    struct fragments one;
    bool is_known = true;
    enum item_kind end;
    ret->count = 0;
    do {
        end = read_sequence(items, depth, &one);
        is_known = is_known && one.count > 0 && ret->count + one.count <= PATTERN_FRAGMENTS;
        for (size_t i = 0; is_known && i < one.count; i++)
            ret->all[ret->count++] = one.all[i];
    } while (end == ITEM_OR);
    if (!is_known)
        ret->count = 0;
    return end;
}

size_t pattern_fragments(andiron_str text, andiron_str ret[PATTERN_FRAGMENTS])
{
    struct items items = { text, 0 };
    struct fragments found;
    if (read_alternatives(&items, 0, &found) != ITEM_END)
        return 0;
    memcpy(ret, found.all, found.count * sizeof(*ret));
    return found.count;
}
