#include "headers.h"

#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static andiron_str trimmed(andiron_str s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s.data++, s.len--;
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* The next piece up to `by`, trimmed; false at the end. */
static bool next_piece(andiron_str *rest, char by, andiron_str *ret)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->data, by, rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;

    *ret = trimmed((andiron_str){ rest->data, len });
    rest->data += end != NULL ? len + 1 : len;
    rest->len -= end != NULL ? len + 1 : len;
    return true;
}

static bool is_word(andiron_str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

bool headers_prefer(andiron_str prefer, const char *preference)
{
    andiron_str item, first;

    while (next_piece(&prefer, ',', &item))
        if (next_piece(&item, ';', &first) && is_word(first, preference))
            return true;
    return false;
}

/* Whether the parameters behind a ';' have a weight of 0. */
static bool is_refused(andiron_str parameters)
{
    andiron_str one;

    while (next_piece(&parameters, ';', &one)) {
        if (one.len < 3 || (one.data[0] != 'q' && one.data[0] != 'Q') || one.data[1] != '=')
            continue;
        for (size_t i = 2; i < one.len; i++)
            if (one.data[i] != '0' && one.data[i] != '.')
                return false;
        return true;
    }
    return false;
}

bool headers_accept(andiron_str accept, const char *const *types)
{
    andiron_str item, type;

    if (trimmed(accept).len == 0)
        return true;
    while (next_piece(&accept, ',', &item)) {
        if (!next_piece(&item, ';', &type) || is_refused(item))
            continue;
        if (is_word(type, "*/*") || is_word(type, "application/*"))
            return true;
        for (size_t i = 0; types[i] != NULL; i++)
            if (is_word(type, types[i]))
                return true;
    }
    return false;
}

bool headers_accept_gzip(andiron_str accept)
{
    andiron_str item, coding;
    bool any = false;

    while (next_piece(&accept, ',', &item)) {
        if (!next_piece(&item, ';', &coding))
            continue;
        if (is_word(coding, "gzip") || is_word(coding, "x-gzip"))
            return !is_refused(item);
        if (is_word(coding, "*"))
            any = !is_refused(item);
    }
    return any;
}

/* Digits alone, up to 18 of them; false for anything else. */
static bool read_number(andiron_str s, uint64_t *ret)
{
    uint64_t n = 0;

    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.data[i] - '0');
    }
    *ret = n;
    return true;
}

enum range_kind headers_range(andiron_str range, uint64_t size, uint64_t *ret_from,
                              uint64_t *ret_length)
{
    uint64_t from, to;

    range = trimmed(range);
    if (range.len < 7 || strncasecmp(range.data, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    range = trimmed((andiron_str){ range.data + 6, range.len - 6 });
    const char *dash = memchr(range.data, '-', range.len);
    if (dash == NULL || memchr(range.data, ',', range.len) != NULL)
        return RANGE_WHOLE;
    andiron_str a = { range.data, (size_t)(dash - range.data) };
    andiron_str b = { dash + 1, range.len - a.len - 1 };
    if (a.len == 0) { /* the last so many bytes */
        if (!read_number(b, &to))
            return RANGE_WHOLE;
        if (to == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        *ret_length = to < size ? to : size;
        *ret_from = size - *ret_length;
        return RANGE_PART;
    }
    if (!read_number(a, &from) || (b.len > 0 && (!read_number(b, &to) || to < from)))
        return RANGE_WHOLE;
    if (from >= size)
        return RANGE_UNSATISFIABLE;
    if (b.len == 0 || to >= size)
        to = size - 1;
    *ret_from = from;
    *ret_length = to - from + 1;
    return RANGE_PART;
}

bool headers_has_etag(andiron_str list, andiron_str etag)
{
    andiron_str one;

    while (next_piece(&list, ',', &one)) {
        if (one.len > 2 && one.data[0] == 'W' && one.data[1] == '/')
            one.data += 2, one.len -= 2;
        if (andiron_str_eq(one, etag) || andiron_str_eq(one, ANDIRON_STR("*")))
            return true;
    }
    return false;
}
