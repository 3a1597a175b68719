/*
 * W3C Trace Context: traceparent and tracestate.
 */
#include "http/trace.h"

#include <string.h>

#include "http/request.h"

enum { MAX_MEMBERS = 32, MAX_KEY = 256, MAX_VALUE = 256 };

/* ---- traceparent: version "-" trace-id "-" parent-id "-" trace-flags ------------------- */

static int hex_digit(char c) /* capitals are malformed */
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex(const char *at, size_t len, bool zero_too)
{
    int any = 0;

    for (size_t i = 0; i < len; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return false;
        any |= digit;
    }
    return zero_too || any != 0;
}

andiron_str trace_parent(struct andiron_arena *arena, andiron_str sent)
{
    const andiron_str none = { NULL, 0 };
    const char *at = sent.data;

    if (sent.len < TRACE_PARENT_BYTES || at[2] != '-' || at[35] != '-' || at[52] != '-' ||
        !is_hex(at, 2, true) || !is_hex(at + 3, 32, false) || !is_hex(at + 36, 16, false) ||
        !is_hex(at + 53, 2, true) || memcmp(at, "ff", 2) == 0)
        return none;
    if (memcmp(at, "00", 2) == 0)
        return sent.len == TRACE_PARENT_BYTES ? sent : none;
    if (sent.len > TRACE_PARENT_BYTES && at[TRACE_PARENT_BYTES] != '-')
        return none;
    char *kept = andiron_copy(arena, (andiron_str){ at, TRACE_PARENT_BYTES });
    memcpy(kept, "00", 2);
    kept[53] = '0'; /* of the flags version 00 knows the lowest bit alone */
    kept[54] = (char)('0' + (hex_digit(at[54]) & 1));
    return (andiron_str){ kept, TRACE_PARENT_BYTES };
}

andiron_str trace_id(andiron_str parent)
{
    return parent.data == NULL ? parent : (andiron_str){ parent.data + 3, 32 };
}

/* ---- tracestate: key "=" value, up to 32 of them ------------------------------------------ */

static bool is_key(const char *at, size_t len)
{
    if (len == 0 || len > MAX_KEY)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = at[i];
        bool starts = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!starts && (i == 0 || (c != '_' && c != '-' && c != '*' && c != '/' && c != '@')))
            return false;
    }
    return true;
}

static bool is_value(const char *at, size_t len)
{
    if (len == 0 || len > MAX_VALUE)
        return false;
    for (size_t i = 0; i < len; i++)
        if (at[i] < ' ' || at[i] > '~' || at[i] == '=')
            return false;
    return true;
}

static bool is_member(const char *at, size_t len)
{
    const char *equals = memchr(at, '=', len);
    size_t key = equals != NULL ? (size_t)(equals - at) : 0;

    return is_key(at, key) && is_value(equals + 1, len - key - 1);
}

andiron_str trace_state(andiron_str sent)
{
    size_t members = 0, kept = 0;

    for (size_t at = 0; at < sent.len;) {
        const char *comma = memchr(sent.data + at, ',', sent.len - at);
        size_t end = comma != NULL ? (size_t)(comma - sent.data) : sent.len, from = at, to = end;

        while (from < to && (sent.data[from] == ' ' || sent.data[from] == '\t'))
            from++;
        while (to > from && (sent.data[to - 1] == ' ' || sent.data[to - 1] == '\t'))
            to--;
        if (to > from) { /* empty ones are allowed */
            if (++members > MAX_MEMBERS || !is_member(sent.data + from, to - from))
                return (andiron_str){ NULL, 0 };
            if (to <= TRACE_STATE_BYTES)
                kept = to;
        }
        at = end + 1;
    }
    return kept == 0 ? (andiron_str){ NULL, 0 } : (andiron_str){ sent.data, kept };
}

/* ---- for plugins ------------------------------------------------------------------------- */

struct andiron_trace andiron_request_trace(const struct andiron_request *req)
{
    req = request_origin(req);
    struct andiron_trace trace = { .parent = req->trace_parent };
    if (trace.parent.data != NULL) /* without it the state says nothing */
        trace.state = trace_state(andiron_request_header(req, "tracestate"));
    return trace;
}
