/*
 * Only what stands outside of groups and alternatives is asked for in any case.
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

andiron_str pattern_fragment(andiron_str text)
{
    andiron_str none = { NULL, 0 }, longest = none;
    struct items items = { text, 0 };
    size_t depth = 0, begin = 0, len = 0; /* of the run that is being read */

    for (;;) {
        struct item item = items_next(&items);
        if (item.kind == ITEM_CHAR && depth == 0) {
            begin = len == 0 ? item.at : begin;
            len++;
            continue;
        }
        if (item.kind == ITEM_REPEAT && len > 0)
            len--;
        if (len > longest.len)
            longest = (andiron_str){ text.data + begin, len };
        len = 0;
        switch (item.kind) {
        case ITEM_END:
            return longest;
        case ITEM_OPEN:
            depth++;
            break;
        case ITEM_CLOSE:
            if (depth == 0)
                return none;
            depth--;
            break;
        case ITEM_OR:
            if (depth == 0)
                return none;
            break;
        case ITEM_UNKNOWN:
            return none;
        default:
            break;
        }
    }
}
