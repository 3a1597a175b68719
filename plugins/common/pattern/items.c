/*
 * Reads only what is beyond doubt: in doubt an item is unknown, which only costs time.
 */
#include "common/pattern/items.h"

/* Escapes of letters that end with the letter. */
static bool is_short_escape(char c)
{
    return c != '\0' && strchr("dDwWsShHvVRXbBAzZGnrtfae", c) != NULL;
}

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "\d" or "\."; text.data[at] is the backslash. 0: unknown. */
static size_t escape_len(andiron_str text, size_t at)
{
    if (at + 1 >= text.len)
        return 0;
    char c = text.data[at + 1];
    return is_short_escape(c) || (c > ' ' && c <= '~' && !is_letter_or_digit(c)) ? 2 : 0;
}

/* Bytes of a class; 0: unknown. A "[" inside may be the beginning of "[:alpha:]". */
static size_t class_len(andiron_str text, size_t at)
{
    size_t i = at + 1;
    if (i < text.len && text.data[i] == '^')
        i++;
    if (i < text.len && text.data[i] == ']') /* a member of the class, or its end */
        return 0;
    while (i < text.len && text.data[i] != ']') {
        size_t len = text.data[i] == '\\' ? escape_len(text, i) : text.data[i] != '[';
        if (len == 0)
            return 0;
        i += len;
    }
    return i < text.len ? i + 1 - at : 0;
}

/* "(", "(?:", "(?=", "(?!", "(?<" and "(?>" nest; options, comments and verbs are unknown. */
static size_t open_len(andiron_str text, size_t at)
{
    if (text.len - at > 1 && text.data[at + 1] == '*')
        return 0;
    if (text.len - at < 2 || text.data[at + 1] != '?')
        return 1;
    return text.len - at > 2 && memchr(":=!<>", text.data[at + 2], 5) != NULL ? 3 : 0;
}

static size_t skip_digits(andiron_str text, size_t at)
{
    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at;
}

/* "{2}", "{2,}", "{2,3}"; 0: unknown, such as a brace that is no quantifier: "{2,3,4}" is a text. */
static size_t braces_len(andiron_str text, size_t at)
{
    size_t i = skip_digits(text, at + 1);
    if (i > at + 1 && i < text.len && text.data[i] == ',')
        i = skip_digits(text, i + 1);
    return i > at + 1 && i < text.len && text.data[i] == '}' ? i + 1 - at : 0;
}

static struct item read_item(andiron_str text, size_t at, size_t *ret_len)
{
    struct item item = { .kind = ITEM_CHAR, .at = at };
    char c = text.data[at];
    *ret_len = 1;
    switch (c) {
    case '\\':
        item.kind = ITEM_OTHER;
        *ret_len = escape_len(text, at);
        break;
    case '[':
        item.kind = ITEM_OTHER;
        *ret_len = class_len(text, at);
        break;
    case '(':
        item.kind = ITEM_OPEN;
        *ret_len = open_len(text, at);
        item.is_asked =
            *ret_len == 1 || (*ret_len == 3 && memchr(":=>", text.data[at + 2], 3) != NULL);
        break;
    case '{':
        item.kind = ITEM_REPEAT;
        *ret_len = braces_len(text, at);
        break;
    case '*':
    case '?':
    case '+':
        item.kind = ITEM_REPEAT;
        break;
    case ')':
        item.kind = ITEM_CLOSE;
        break;
    case '|':
        item.kind = ITEM_OR;
        break;
    case '^':
        item.kind = ITEM_BEGIN;
        break;
    case '$':
        item.kind = ITEM_FINISH;
        break;
    default: /* of a longer character each byte is an item: what repeats it repeats none of ITEM_CHAR */
        if (c < ' ' || c > '~' || c == '.' || c == ']' || c == '}')
            item.kind = ITEM_OTHER;
        break;
    }
    return item;
}

struct item items_next(struct items *items)
{
    struct item item = { .kind = ITEM_END, .at = items->at };
    size_t len = 0;
    if (items->at >= items->text.len)
        return item;
    item = read_item(items->text, items->at, &len);
    if (len == 0)
        item.kind = ITEM_UNKNOWN;
    items->at += len;
    return item;
}
