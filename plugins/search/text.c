/*
 * The text of a search: from bytes as sent to names and values, and back.
 */
#include "text.h"

bool text_next_pair(andiron_str *rest, andiron_str *ret_name, andiron_str *ret_value)
{
    while (rest->len > 0) {
        const char *end = memchr(rest->data, '&', rest->len);
        size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
        andiron_str pair = { rest->data, len };
        size_t taken = len + (end != NULL ? 1 : 0);
        rest->data += taken;
        rest->len -= taken;
        if (len == 0)
            continue;
        const char *eq = memchr(pair.data, '=', len);
        size_t name_len = eq != NULL ? (size_t)(eq - pair.data) : len;
        *ret_name = (andiron_str){ pair.data, name_len };
        *ret_value =
            eq != NULL ? (andiron_str){ eq + 1, len - name_len - 1 } : (andiron_str){ "", 0 };
        return true;
    }
    return false;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3629: shortest forms, no surrogates, nothing above U+10FFFF; and no NUL. */
static bool is_text(const uint8_t *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t c = s[i];
        size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || more >= len - i)
            return false;
        for (size_t k = 1; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return false;
        uint8_t next = more > 0 ? s[i + 1] : 0;
        if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
            (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f))
            return false;
        i += more + 1;
    }
    return true;
}

static bool needs_decoding(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '%' || text.data[i] == '+')
            return true;
    return false;
}

int text_decode(struct andiron_arena *arena, andiron_str text, andiron_str *ret)
{
    andiron_str decoded = text;

    if (needs_decoding(text)) {
        char *out = andiron_alloc(arena, text.len + 1);
        size_t len = 0;
        for (size_t i = 0; i < text.len; i++) {
            char c = text.data[i];
            if (c == '%') {
                int high = text.len - i > 2 ? hex(text.data[i + 1]) : -1;
                int low = high >= 0 ? hex(text.data[i + 2]) : -1;
                if (low < 0)
                    return -1;
                c = (char)(high << 4 | low);
                i += 2;
            } else if (c == '+') {
                c = ' ';
            }
            out[len++] = c;
        }
        decoded = (andiron_str){ out, len };
    }
    if (!is_text((const uint8_t *)decoded.data, decoded.len))
        return -1;
    *ret = decoded;
    return 0;
}

/* What a query may hold as it is (RFC 3986), but for '&', '=', '+' and "'". */
static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~:@/?!$()*,;", c) != NULL);
}

size_t text_encoded_len(andiron_str text)
{
    size_t len = text.len;
    for (size_t i = 0; i < text.len; i++)
        len += is_plain(text.data[i]) ? 0 : 2;
    return len;
}

size_t text_encode(andiron_str text, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (is_plain(c)) {
            out[len++] = c;
            continue;
        }
        out[len++] = '%';
        out[len++] = digits[(uint8_t)c >> 4];
        out[len++] = digits[(uint8_t)c & 15];
    }
    return len;
}

bool text_cut(andiron_str *rest, char sep, andiron_str *ret_head)
{
    if (rest->data == NULL)
        return false;
    size_t i = 0;
    while (i < rest->len && rest->data[i] != sep)
        i += rest->data[i] == '\\' && i + 1 < rest->len ? 2 : 1;
    *ret_head = (andiron_str){ rest->data, i };
    if (i == rest->len)
        *rest = (andiron_str){ NULL, 0 };
    else
        *rest = (andiron_str){ rest->data + i + 1, rest->len - i - 1 };
    return true;
}

andiron_str text_unescape(struct andiron_arena *arena, andiron_str text)
{
    if (text.len == 0 || memchr(text.data, '\\', text.len) == NULL)
        return text;
    char *out = andiron_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\\' && i + 1 < text.len && strchr(",|$\\", text.data[i + 1]) != NULL)
            c = text.data[++i];
        out[len++] = c;
    }
    return (andiron_str){ out, len };
}

enum { NEAREST_MAX = 48 };

/* Levenshtein's distance; both are at most NEAREST_MAX long. */
static size_t distance(andiron_str a, andiron_str b)
{
    size_t row[NEAREST_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a.data[i - 1] == b.data[j - 1] ? 0 : 1);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b.len];
}

void text_consider(struct text_nearest *nearest, const char *candidate)
{
    andiron_str known = andiron_str_of(candidate);
    if (nearest->wrong.len == 0 || nearest->wrong.len > NEAREST_MAX || known.len > NEAREST_MAX)
        return;
    size_t limit = nearest->wrong.len / 3 > 0 ? nearest->wrong.len / 3 : 1;
    size_t d = distance(nearest->wrong, known);
    if (d <= limit && (nearest->best == NULL || d < nearest->distance)) {
        nearest->best = candidate;
        nearest->distance = d;
    }
}
