/*
 * Only as much of RFC 3986 as names need: they are compared, never opened.
 */
#include "uri.h"

andiron_str uri_cut_fragment(andiron_str *reference)
{
    const char *hash = reference->len > 0 ? memchr(reference->data, '#', reference->len) : NULL;
    if (hash == NULL)
        return (andiron_str){ NULL, 0 };
    size_t before = (size_t)(hash - reference->data);
    andiron_str fragment = { hash + 1, reference->len - before - 1 };
    reference->len = before;
    return fragment;
}

/* Length of "scheme:", or 0. */
static size_t scheme_len(andiron_str uri)
{
    for (size_t i = 0; i < uri.len; i++) {
        char c = uri.data[i], lower = (char)(c | 0x20);
        if (c == ':')
            return i > 0 ? i + 1 : 0;
        bool letter = lower >= 'a' && lower <= 'z';
        bool more = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!letter && (i == 0 || !more))
            return 0;
    }
    return 0;
}

/* Length of "scheme://authority". */
static size_t authority_end(andiron_str uri)
{
    size_t at = scheme_len(uri);
    if (uri.len < at + 2 || uri.data[at] != '/' || uri.data[at + 1] != '/')
        return at;
    at += 2;
    while (at < uri.len && uri.data[at] != '/' && uri.data[at] != '?')
        at++;
    return at;
}

/* RFC 3986 section 5.2.4, in place, on the path that begins at `from`. */
static size_t remove_dots(char *uri, size_t from, size_t len)
{
    size_t out = from, in = from;
    size_t end = from;
    while (end < len && uri[end] != '?')
        end++;
    while (in < end) {
        size_t next = in + 1;
        while (next < end && uri[next] != '/')
            next++;
        size_t segment = next - in; /* with its slash */
        bool last = next == end;
        if (segment == 2 && memcmp(uri + in, "/.", 2) == 0) {
            if (last)
                uri[out++] = '/';
        } else if (segment == 3 && memcmp(uri + in, "/..", 3) == 0) {
            while (out > from && uri[--out] != '/')
                ;
            if (last)
                uri[out++] = '/';
        } else {
            memmove(uri + out, uri + in, segment);
            out += segment;
        }
        in = next;
    }
    memmove(uri + out, uri + end, len - end);
    return out + (len - end);
}

andiron_str uri_resolve(struct andiron_arena *arena, andiron_str base, andiron_str reference)
{
    size_t keep;
    if (reference.len == 0)
        return base;
    if (base.len == 0 || scheme_len(reference) > 0)
        return reference;
    size_t path = authority_end(base), query = path;
    while (query < base.len && base.data[query] != '?')
        query++;
    if (reference.len >= 2 && reference.data[0] == '/' && reference.data[1] == '/')
        keep = scheme_len(base);
    else if (reference.data[0] == '/')
        keep = path;
    else if (reference.data[0] == '?')
        keep = query;
    else
        for (keep = query; keep > path && base.data[keep - 1] != '/'; keep--)
            ;
    bool slash = keep == path && path > scheme_len(base) && reference.data[0] != '/' &&
                 reference.data[0] != '?';
    char *uri = andiron_alloc(arena, keep + 1 + reference.len);
    memcpy(uri, base.data, keep);
    size_t len = keep;
    if (slash)
        uri[len++] = '/';
    memcpy(uri + len, reference.data, reference.len);
    len += reference.len;
    size_t from = authority_end((andiron_str){ uri, len });
    return (andiron_str){ uri, remove_dots(uri, from, len) };
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

andiron_str uri_decode(struct andiron_arena *arena, andiron_str text)
{
    char *out = andiron_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            out[len++] = text.data[i];
            continue;
        }
        int high = i + 2 < text.len ? hex(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex(text.data[i + 2]) : -1;
        if (low < 0)
            return (andiron_str){ NULL, 0 };
        out[len++] = (char)(high << 4 | low);
        i += 2;
    }
    return (andiron_str){ out, len };
}

static andiron_str unescape(struct andiron_arena *arena, andiron_str token)
{
    char *out = andiron_alloc(arena, token.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < token.len; i++) {
        char next = i + 1 < token.len ? token.data[i + 1] : '\0';
        bool escape = token.data[i] == '~' && (next == '0' || next == '1');
        out[len++] = (char)(escape ? (next == '0' ? '~' : '/') : token.data[i]);
        i += escape;
    }
    return (andiron_str){ out, len };
}

static andiron_json element(andiron_json array, andiron_str token)
{
    size_t index = 0;
    bool right = token.len > 0 && token.len < 7 && (token.len == 1 || token.data[0] != '0');
    for (size_t i = 0; right && i < token.len; i++) {
        right = token.data[i] >= '0' && token.data[i] <= '9';
        index = index * 10 + (size_t)(token.data[i] - '0');
    }
    return right ? andiron_json_at(array, index) : (andiron_json){ NULL, 0 };
}

andiron_json pointer_follow(struct andiron_arena *arena, andiron_json from, andiron_str pointer)
{
    andiron_json at = from;
    size_t begin = 0;
    while (begin < pointer.len) {
        size_t end = begin + 1;
        if (pointer.data[begin] != '/')
            return (andiron_json){ NULL, 0 };
        while (end < pointer.len && pointer.data[end] != '/')
            end++;
        andiron_str token = { pointer.data + begin + 1, end - begin - 1 };
        token = unescape(arena, token);
        at = andiron_json_type(at) == ANDIRON_JSON_ARRAY ? element(at, token)
                                                         : andiron_json_member(at, token);
        begin = end;
    }
    return at;
}
