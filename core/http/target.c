/*
 * Canonical paths and decoded parameters. Knows no routes; reads bytes, allocates
 * in the caller's arena when an escape must be decoded.
 */
#include "http/target.h"

#include "base/arena.h"

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte behind '%' at text[at], or -1 if two hex digits do not follow. */
static int escaped_byte(andiron_str text, size_t at)
{
    int high, low;

    if (text.len - at < 3)
        return -1;
    high = hex_value((unsigned char)text.data[at + 1]);
    low = hex_value((unsigned char)text.data[at + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Length of the UTF-8 sequence at text[at], 0 if there is none (RFC 3629 section 4). */
static size_t utf8_length(andiron_str text, size_t at)
{
    const unsigned char *p = (const unsigned char *)text.data + at;
    size_t left = text.len - at, length;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (left < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return length;
}

static bool utf8_valid(andiron_str text)
{
    size_t at = 0, length;

    while (at < text.len) {
        length = utf8_length(text, at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

/* ---- paths ------------------------------------------------------------------ */

/* RFC 3986 section 3.3 pchar without '%', and without ';', which some servers read as parameters. */
static bool path_plain(unsigned char c)
{
    static const char others[] = "-._~!$&'()*+,=:@";

    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && memchr(others, c, sizeof others - 1) != NULL);
}

/* What is wrong with an escape that stands for byte, or NULL. */
static const char *escape_fault(int byte)
{
    if (byte < 0)
        return "'%' in the path must be followed by two hex digits";
    if (byte < 0x20 || byte == 0x7f)
        return "the path must not hold control characters";
    if (memchr("/\\;?#%", byte, 6) != NULL)
        return "the path must not hold an escaped '/', '\\', ';', '?', '#' or '%'";
    if (path_plain((unsigned char)byte))
        return "the path must not escape characters that need no escape";
    return NULL;
}

/* Checks every byte and escape of raw; counts the escapes. */
static const char *path_bytes_fault(andiron_str raw, size_t *ret_escapes)
{
    size_t escapes = 0;

    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.data[i];
        if (c == '/' || path_plain(c))
            continue;
        if (c == ';')
            return "the path must not hold ';'";
        if (c != '%')
            return "the path must be ASCII that RFC 3986 allows there, the rest escaped";
        const char *fault = escape_fault(escaped_byte(raw, i));
        if (fault != NULL)
            return fault;
        escapes++;
        i += 2;
    }
    *ret_escapes = escapes;
    return NULL;
}

/* raw begins with '/' and does not end with one. */
static const char *path_segments_fault(andiron_str raw)
{
    const char *at = raw.data + 1, *end = raw.data + raw.len;

    for (;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *stop = slash != NULL ? slash : end;

        if (stop == at)
            return "the path must not hold empty segments, nor end with '/'";
        if (at[0] == '.' && (stop - at == 1 || (stop - at == 2 && at[1] == '.')))
            return "the path must not hold '.' or '..' segments";
        if (slash == NULL)
            return NULL;
        at = slash + 1;
    }
}

/* text without its escapes, which are known to be sound; room is for text.len bytes. */
static andiron_str path_decode(andiron_str text, char *room)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '%') {
            room[len++] = (char)escaped_byte(text, i);
            i += 2;
        } else {
            room[len++] = text.data[i];
        }
    }
    return (andiron_str){ room, len };
}

int target_path(struct andiron_arena *arena, andiron_str raw, andiron_str *ret,
                const char **ret_reason)
{
    const char *fault = NULL;
    size_t escapes = 0;

    if (raw.len == 0 || raw.data[0] != '/') {
        *ret_reason = "the path must begin with '/'";
        return -1;
    }
    if (andiron_str_eq(raw, ANDIRON_STR("/fhir/")))
        raw.len--;
    if (raw.len > 1) {
        fault = path_bytes_fault(raw, &escapes);
        if (fault == NULL)
            fault = path_segments_fault(raw);
    }
    if (fault == NULL && escapes > 0) {
        raw = path_decode(raw, arena_take(arena, raw.len));
        if (!utf8_valid(raw))
            fault = "the path must be UTF-8";
    }
    if (fault != NULL) {
        *ret_reason = fault;
        return -1;
    }
    *ret = raw;
    return 0;
}

/* ---- parameters --------------------------------------------------------------- */

/* Decodes into room, which is for text.len bytes; a fault or NULL. */
static const char *param_decode(andiron_str text, char *room, size_t *ret_len)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        int byte = (unsigned char)text.data[i];
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            byte = escaped_byte(text, i);
            if (byte < 0)
                return "'%' in a parameter must be followed by two hex digits";
            if (byte == 0)
                return "a parameter must not hold NUL";
            i += 2;
        }
        room[len++] = (char)byte;
    }
    *ret_len = len;
    return NULL;
}

/* What a byte of a parameter asks for; a form of a kilobyte is looked at in a microsecond. */
enum { PARAM_CONTROL = 1, PARAM_CODED = 2, PARAM_HIGH = 4 };

#define ROW(c) c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c
static const uint8_t param_classes[256] = {
    ROW(PARAM_CONTROL),  ROW(PARAM_CONTROL), /* up to 0x1f */
    ['%'] = PARAM_CODED, ['+'] = PARAM_CODED, [0x7f] = PARAM_CONTROL,
    ROW(PARAM_HIGH), /* from 0x80 */
    ROW(PARAM_HIGH),     ROW(PARAM_HIGH),     ROW(PARAM_HIGH),
    ROW(PARAM_HIGH),     ROW(PARAM_HIGH),     ROW(PARAM_HIGH),
    ROW(PARAM_HIGH),
};
#undef ROW

/* Decodes *text if it needs it, and checks it; a fault or NULL. */
static const char *param_text(struct andiron_arena *arena, andiron_str *text)
{
    const uint8_t *bytes = (const uint8_t *)text->data;
    unsigned seen = 0;

    for (size_t i = 0; i < text->len; i++)
        seen |= param_classes[bytes[i]];
    if ((seen & PARAM_CONTROL) != 0)
        return "a parameter must not hold control characters that are not escaped";
    if ((seen & PARAM_CODED) != 0) {
        char *room = arena_take(arena, text->len);
        const char *fault = param_decode(*text, room, &text->len);
        if (fault != NULL)
            return fault;
        text->data = room;
    }
    if (seen != 0 && !utf8_valid(*text))
        return "a parameter must be UTF-8";
    return NULL;
}

/* Up to the first `mark`; *rest is left behind it, absent if there was none. */
static andiron_str cut(andiron_str *rest, char mark)
{
    const char *found = memchr(rest->data, mark, rest->len);
    andiron_str head = { rest->data, found != NULL ? (size_t)(found - rest->data) : rest->len };

    *rest = found != NULL ? (andiron_str){ found + 1, rest->len - head.len - 1 }
                          : (andiron_str){ NULL, 0 };
    return head;
}

static enum target_param param_fail(struct target_params *params, const char *reason)
{
    params->reason = reason;
    params->rest = (andiron_str){ NULL, 0 };
    return TARGET_PARAM_ERROR;
}

enum target_param target_params_next(struct target_params *params, struct andiron_arena *arena,
                                     andiron_str *ret_name, andiron_str *ret_value)
{
    andiron_str name, value = { NULL, 0 };
    const char *fault;

    if (params->reason != NULL)
        return TARGET_PARAM_ERROR;
    do {
        if (params->rest.len == 0)
            return TARGET_PARAM_END;
        value = cut(&params->rest, '&');
    } while (value.len == 0);
    if (params->left == 0)
        return param_fail(params, "there are more parameters than allowed");
    params->left--;
    name = cut(&value, '=');
    if (value.data == NULL)
        value = ANDIRON_STR("");
    fault = param_text(arena, &name);
    if (fault == NULL)
        fault = param_text(arena, &value);
    if (fault != NULL)
        return param_fail(params, fault);
    *ret_name = name;
    *ret_value = value;
    return TARGET_PARAM;
}
