/*
 * JSON writer: text into an arena, compact.
 *
 * A writer that has passed its maximum, or was nested too deep, takes no more and gives no text.
 * Names, ends and nesting are the caller's code, not input: a mistake there is an assertion.
 */
#include <andiron/json.h>

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "json/scan.h"
#include "json/tape.h"

enum { FIRST_ROOM = 1024, DEEPEST = 1024 };

struct andiron_json_writer {
    struct andiron_arena *arena;
    char *data;
    size_t len, room, max;
    uint32_t depth;
    bool comma;                     /* something stands before, on this level */
    bool failed;                    /* past max, or too deep */
    uint64_t objects[DEEPEST / 64]; /* a bit for each open level: object or array */
};

struct andiron_json_writer *andiron_json_write(struct andiron_arena *arena, size_t max_bytes)
{
    struct andiron_json_writer *w = andiron_new(arena, struct andiron_json_writer);
    w->arena = arena;
    w->max = max_bytes;
    return w;
}

static __attribute__((noinline)) char *grow(struct andiron_json_writer *w, size_t more)
{
    if (w->failed || more > w->max - w->len) {
        w->failed = true;
        return NULL;
    }
    size_t room = w->room < FIRST_ROOM / 2 ? FIRST_ROOM : w->room * 2;
    if (room < w->len + more)
        room = w->len + more;
    if (room > w->max)
        room = w->max;
    char *data = arena_take(w->arena, room);
    if (w->len != 0)
        memcpy(data, w->data, w->len);
    w->data = data;
    w->room = room;
    return data + w->len;
}

/* Room for `more` bytes at the end, or NULL if they would pass the maximum. */
static inline char *reserve(struct andiron_json_writer *w, size_t more)
{
    if (!w->failed && more <= w->room - w->len)
        return w->data + w->len;
    return grow(w, more);
}

static inline void add(struct andiron_json_writer *w, const char *bytes, size_t len)
{
    char *out = reserve(w, len);
    if (out == NULL)
        return;
    if (len != 0)
        memcpy(out, bytes, len);
    w->len += len;
}

static inline void add_char(struct andiron_json_writer *w, char c)
{
    add(w, &c, 1);
}

/* ---- strings ---- */

static size_t escape(unsigned char c, char out[6])
{
    static const char hex[] = "0123456789abcdef";
    char letter = 0;

    switch (c) {
    case '"':
    case '\\':
        letter = (char)c;
        break;
    case '\b':
        letter = 'b';
        break;
    case '\f':
        letter = 'f';
        break;
    case '\n':
        letter = 'n';
        break;
    case '\r':
        letter = 'r';
        break;
    case '\t':
        letter = 't';
        break;
    default:
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return 6;
    }
    out[0] = '\\';
    out[1] = letter;
    return 2;
}

static void add_string(struct andiron_json_writer *w, andiron_str s)
{
    const char *p = s.data, *end = s.data + s.len;

    add_char(w, '"');
    while (p < end) {
        const char *next = scan_plain(p, end);
        add(w, p, (size_t)(next - p));
        p = next;
        if (p == end)
            break;
        if ((unsigned char)*p < 0x80) {
            char escaped[6];
            add(w, escaped, escape((unsigned char)*p, escaped));
            p++;
            continue;
        }
        next = scan_utf8(p, end);
        if (next == NULL) {
            add(w, "\xEF\xBF\xBD", 3); /* U+FFFD: the text must stay valid */
            p++;
        } else {
            add(w, p, (size_t)(next - p));
            p = next;
        }
    }
    add_char(w, '"');
}

/* ---- structure ---- */

static inline bool in_object(const struct andiron_json_writer *w)
{
    uint32_t level = w->depth - 1;
    return w->depth > 0 && (w->objects[level / 64] >> level % 64 & 1) != 0;
}

/* What stands before a value: a comma, the member's name. */
static inline void begin(struct andiron_json_writer *w, andiron_str name)
{
    assert(w->failed || (name.data != NULL) == in_object(w));
    assert(w->failed || w->depth > 0 || w->len == 0); /* one outermost value */
    if (w->comma)
        add_char(w, ',');
    if (name.data != NULL) {
        add_string(w, name);
        add_char(w, ':');
    }
    w->comma = true;
}

static void open_level(struct andiron_json_writer *w, const char *name, bool is_object)
{
    begin(w, andiron_str_of(name));
    add_char(w, is_object ? '{' : '[');
    if (w->depth == DEEPEST)
        w->failed = true;
    if (w->failed)
        return;
    uint64_t bit = UINT64_C(1) << w->depth % 64;
    if (is_object)
        w->objects[w->depth / 64] |= bit;
    else
        w->objects[w->depth / 64] &= ~bit;
    w->depth++;
    w->comma = false;
}

void andiron_json_put_object(struct andiron_json_writer *w, const char *name)
{
    open_level(w, name, true);
}

void andiron_json_put_array(struct andiron_json_writer *w, const char *name)
{
    open_level(w, name, false);
}

void andiron_json_put_end(struct andiron_json_writer *w)
{
    if (w->failed)
        return;
    assert(w->depth > 0);
    add_char(w, in_object(w) ? '}' : ']');
    w->depth--;
    w->comma = true;
}

/* ---- values ---- */

void andiron_json_put_str(struct andiron_json_writer *w, const char *name, andiron_str v)
{
    if (v.data == NULL)
        return;
    begin(w, andiron_str_of(name));
    add_string(w, v);
}

void andiron_json_put_int(struct andiron_json_writer *w, const char *name, int64_t v)
{
    char digits[20];
    char *p = digits + sizeof(digits);
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        *--p = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (v < 0)
        *--p = '-';
    begin(w, andiron_str_of(name));
    add(w, p, (size_t)(digits + sizeof(digits) - p));
}

void andiron_json_put_bool(struct andiron_json_writer *w, const char *name, bool v)
{
    andiron_json_put_raw(w, name, v ? ANDIRON_STR("true") : ANDIRON_STR("false"));
}

void andiron_json_put_raw(struct andiron_json_writer *w, const char *name, andiron_str v)
{
    if (v.data == NULL)
        return;
    begin(w, andiron_str_of(name));
    add(w, v.data, v.len);
}

/* A container whose text has blanks; recursion is as deep as the parser allowed nesting. */
static void add_compact(struct andiron_json_writer *w, const char *text, const struct json_node *n)
{
    andiron_str raw = node_raw(text, n);
    if (!node_is_container(n) || (n->info & NODE_COMPACT) != 0) {
        add(w, raw.data, raw.len);
        return;
    }
    bool is_object = node_type(n) == ANDIRON_JSON_OBJECT;
    const struct json_node *end = node_end(n);
    char lead = is_object ? '{' : '[';

    if (n + 1 == end)
        add_char(w, lead);
    for (const struct json_node *child = n + 1; child < end; child = node_after(child)) {
        add_char(w, lead);
        lead = ',';
        if (is_object) {
            raw = node_raw(text, child++);
            add(w, raw.data, raw.len);
            add_char(w, ':');
        }
        add_compact(w, text, child);
    }
    add_char(w, is_object ? '}' : ']');
}

static void put_view(struct andiron_json_writer *w, andiron_str name, andiron_json v)
{
    if (v.doc == NULL)
        return;
    begin(w, name);
    const char *text = ((const struct json_doc *)v.doc)->text;
    add_compact(w, text, (const struct json_node *)v.at);
}

void andiron_json_put(struct andiron_json_writer *w, const char *name, andiron_json v)
{
    put_view(w, andiron_str_of(name), v);
}

void andiron_json_put_member(struct andiron_json_writer *w, andiron_str name, andiron_json v)
{
    put_view(w, name, v);
}

andiron_str andiron_json_written(struct andiron_json_writer *w)
{
    if (w->failed)
        return (andiron_str){ NULL, 0 };
    assert(w->depth == 0); /* every object and array was ended */
    return (andiron_str){ w->data != NULL ? w->data : "", w->len };
}
