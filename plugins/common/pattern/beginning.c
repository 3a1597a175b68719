/*
 * Reads only what is beyond doubt: whatever could change how the rest is read ends it.
 */
#include "common/pattern/beginning.h"

/* "(?:", "(?=", "(?!" and "(?<" nest like others; options, comments and verbs may not be skipped. */
static bool group_is_plain(andiron_str text, size_t at)
{
    if (text.len - at > 1 && text.data[at + 1] == '*')
        return false;
    if (text.len - at < 3 || text.data[at + 1] != '?')
        return true;
    return memchr(":=!<", text.data[at + 2], 4) != NULL;
}

/* Whether the expression could match without its beginning: "^a|b". In doubt it could. */
static bool has_alternatives(andiron_str text)
{
    bool has_class = memchr(text.data, '[', text.len) != NULL;
    size_t depth = 0;

    if (memchr(text.data, '|', text.len) == NULL)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        switch (text.data[i]) {
        case '\\':
            i++;
            if (i < text.len && text.data[i] == 'Q')
                return true;
            break;
        case '(':
            if (!group_is_plain(text, i))
                return true;
            depth++;
            break;
        case ')':
            if (depth == 0)
                return true;
            depth--;
            break;
        case '|':
            if (depth == 0 || has_class) /* a class may hold parentheses */
                return true;
            break;
        default:
            break;
        }
    }
    return false;
}

andiron_str pattern_beginning(andiron_str text, bool *ret_is_whole)
{
    static const char meta[] = "\\.[](){}^$|*+?";
    andiron_str none = { NULL, 0 };
    size_t end = 1;

    *ret_is_whole = false;
    if (text.len < 2 || text.data[0] != '^' || has_alternatives(text))
        return none;
    /* Only ASCII: a quantifier behind a longer character is about all of its bytes. */
    while (end < text.len && text.data[end] >= ' ' && text.data[end] <= '~' &&
           memchr(meta, text.data[end], sizeof(meta) - 1) == NULL)
        end++;
    *ret_is_whole = end + 1 == text.len && text.data[end] == '$';
    if (end < text.len && memchr("*?{", text.data[end], 3) != NULL)
        end--; /* the character before it may be missing */
    return end > 1 ? (andiron_str){ text.data + 1, end - 1 } : none;
}
