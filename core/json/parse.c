/*
 * Strict JSON parser: one pass over the text, an explicit stack, a tape as the result (tape.h).
 *
 * The tape grows in scratch memory, on the stack for the usual resource, and is copied into the
 * arena at its final size. The functions that read return the byte after what they read, or NULL
 * when they have described the failure.
 */
#include "json/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "json/names.h"
#include "json/number.h"
#include "json/scan.h"
#include "json/tape.h"

enum {
    SCRATCH_NODES = 512, /* 8 KiB of stack */
    SCRATCH_FRAMES = 64,
    DEFAULT_VALUES = 8 << 20 /* a tape of 128 MiB, whatever the text */
};

/* An array or object that is still open. */
struct frame {
    uint64_t seen;  /* object: a bit for each name; a bit met twice may be a repeated name */
    uint32_t node;  /* its place on the tape */
    uint32_t count; /* elements or members begun */
    uint32_t name;  /* object: place of the current member's name, 0 before it is read */
    bool is_object, suspect;
};

struct parser {
    const char *text, *end;
    ptrdiff_t last_blank; /* byte where blanks were skipped last, or -1 */
    struct json_node *nodes;
    size_t count, capacity;
    struct json_node *on_heap; /* nodes, once they have outgrown the stack */
    struct frame *frames;
    uint32_t depth;
    struct json_limits limits;
    struct andiron_arena *arena;
    struct andiron_error *err;
};

static struct json_limits default_limits = { .max_depth = 64, .max_string = 4 << 20 };

/* ---- failures ---- */

/* Names are shown only if they look like names, so that a message cannot be made to say more. */
static bool is_presentable(andiron_str name)
{
    if (name.len == 0 || name.len > 40)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!word && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* " in contact[1].name" for the value that is being read; "" at the outermost. */
static void print_path(const struct parser *ps, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < ps->depth && used < room; i++) {
        const struct frame *f = &ps->frames[i];
        const char *lead = i == 0 ? " in " : "";
        int n = 0;
        if (!f->is_object && f->count > 0) {
            n = snprintf(out + used, room - used, "%s[%u]", lead, f->count - 1);
        } else if (f->is_object && f->name != 0) {
            andiron_str name = node_str(ps->text, &ps->nodes[f->name]);
            if (!is_presentable(name))
                name = ANDIRON_STR("*");
            n = snprintf(out + used, room - used, "%s%.*s", i == 0 ? lead : ".", (int)name.len,
                         name.data);
        }
        used += (size_t)(n > 0 ? n : 0);
    }
    if (used >= room)
        memcpy(out + room - 4, "...", 4);
}

/* "line L, column C (byte N)", columns counted in characters. */
static void print_place(const struct parser *ps, const char *at, char *out, size_t room)
{
    size_t line = 1, column = 1;
    for (const char *p = ps->text; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    (void)snprintf(out, room, "line %zu, column %zu (byte %zu)", line, column,
                   (size_t)(at - ps->text));
}

static const char *fail(const struct parser *ps, const char *at, const char *fmt, ...)
    ANDIRON_PRINTF(3, 4);
static const char *fail(const struct parser *ps, const char *at, const char *fmt, ...)
{
    char where[96], message[160], path[128];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    print_place(ps, at, where, sizeof(where));
    print_path(ps, path, sizeof(path));
    (void)andiron_error_set(ps->err, ANDIRON_E_STRUCTURE, where, "%s%s", message, path);
    return NULL;
}

/* expected: "a value", "',' or ']' after an element". */
static const char *fail_expected(const struct parser *ps, const char *at, const char *expected)
{
    if (at == ps->end)
        return fail(ps, at, "the text ends where %s is expected", expected);
    unsigned char c = (unsigned char)*at;
    if (at == ps->text && ps->end - at >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0)
        return fail(ps, at, "a byte order mark is not allowed before JSON");
    if (c > ' ' && c < 0x7F)
        return fail(ps, at, "%s is expected, not '%c'", expected, c);
    return fail(ps, at, "%s is expected, not byte 0x%02x", expected, c);
}

static __attribute__((noinline)) const char *fail_values(const struct parser *ps, const char *at)
{
    (void)fail(ps, at, "a text must not hold more than %u values and names", ps->limits.max_values);
    if (ps->err != NULL)
        ps->err->code = ANDIRON_E_TOO_LARGE;
    return NULL;
}

/* ---- tape ---- */

static void *must_realloc(void *p, size_t bytes)
{
    p = realloc(p, bytes);
    if (p == NULL) {
        /* Not survivable, as in base/arena.c: the supervisor starts a new worker. */
        fputs("andiron: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* Out of line, so that adding a node stays a comparison and two stores. */
static __attribute__((noinline)) void grow(struct parser *ps)
{
    size_t capacity = ps->capacity * 2;
    struct json_node *nodes = must_realloc(ps->on_heap, capacity * sizeof(*nodes));
    if (ps->on_heap == NULL)
        memcpy(nodes, ps->nodes, ps->count * sizeof(*nodes));
    ps->nodes = ps->on_heap = nodes;
    ps->capacity = capacity;
}

static inline struct json_node *add_node(struct parser *ps, enum andiron_json_type type,
                                         const char *at, size_t len)
{
    if (ps->count == ps->capacity)
        grow(ps);
    struct json_node *n = &ps->nodes[ps->count++];
    n->at = (uint32_t)(at - ps->text);
    n->info = (uint32_t)type;
    n->len = (uint32_t)len;
    n->size = 1;
    return n;
}

static inline const char *skip_blanks(struct parser *ps, const char *p)
{
    const char *q = scan_blanks(p, ps->end);
    if (q != p)
        ps->last_blank = p - ps->text;
    return q;
}

/* ---- strings ---- */

/* Value of four hex digits, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int32_t digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10;
        else
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static inline bool is_low_surrogate(int32_t u)
{
    return u >= 0xDC00 && u <= 0xDFFF;
}

/* p is at the backslash. */
static const char *check_escape(const struct parser *ps, const char *p)
{
    if (ps->end - p < 2)
        return fail(ps, ps->end, "the text ends inside a string");
    if (memchr("\"\\/bfnrt", p[1], 8) != NULL)
        return p + 2;
    if (p[1] != 'u')
        return fail(ps, p, "an escape must be one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    int32_t unit = hex4(p + 2, ps->end);
    if (unit < 0)
        return fail(ps, p, "\\u must be followed by four hex digits");
    if (is_low_surrogate(unit))
        return fail(ps, p, "a low surrogate escape must follow a high one");
    if (unit < 0xD800 || unit > 0xDFFF)
        return p + 6;
    const char *second = p + 6;
    if (ps->end - second < 6 || second[0] != '\\' || second[1] != 'u' ||
        !is_low_surrogate(hex4(second + 2, ps->end)))
        return fail(ps, p, "a high surrogate escape must be followed by a low one");
    return second + 6;
}

static char *put_utf8(char *out, int32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xC0 | (c >> 6));
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xE0 | (c >> 12));
        } else {
            *out++ = (char)(0xF0 | (c >> 18));
            *out++ = (char)(0x80 | ((c >> 12) & 0x3F));
        }
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
    }
    *out++ = (char)(0x80 | (c & 0x3F));
    return out;
}

/* Copies a string whose escapes have been checked. Its content is never longer than its text. */
static const struct json_unescaped *unescape(struct andiron_arena *arena, const char *p, size_t len)
{
    struct json_unescaped *s = arena_take(arena, sizeof(*s) + len);
    const char *end = p + len;
    char *out = s->bytes;

    for (;;) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((escape != NULL ? escape : end) - p);
        memcpy(out, p, run);
        out += run;
        if (escape == NULL)
            break;
        p = escape + 2;
        switch (escape[1]) {
        case 'b':
            *out++ = '\b';
            break;
        case 'f':
            *out++ = '\f';
            break;
        case 'n':
            *out++ = '\n';
            break;
        case 'r':
            *out++ = '\r';
            break;
        case 't':
            *out++ = '\t';
            break;
        case 'u': {
            int32_t c = hex4(p, end);
            p += 4;
            if (c >= 0xD800 && c <= 0xDBFF) {
                c = 0x10000 + ((c - 0xD800) << 10) + (hex4(p + 2, end) - 0xDC00);
                p += 6;
            }
            out = put_utf8(out, c);
            break;
        }
        default:
            *out++ = escape[1];
        }
    }
    s->raw_len = (uint32_t)len;
    s->len = (uint32_t)(out - s->bytes);
    return s;
}

/* From the first byte that is not plain to the closing quote. */
static __attribute__((noinline)) const char *scan_string(const struct parser *ps, const char *start,
                                                         const char *p, bool *ret_escaped)
{
    for (;;) {
        if (p == ps->end)
            return fail(ps, p, "the text ends inside a string");
        unsigned char c = (unsigned char)*p;
        if (c == '"')
            return p;
        if (c == '\\') {
            *ret_escaped = true;
            p = check_escape(ps, p);
            if (p == NULL)
                return NULL;
        } else if (c < 0x20) {
            return fail(ps, p, "a control character in a string must be written as \\u%04x", c);
        } else {
            const char *next = scan_utf8(p, ps->end);
            if (next == NULL)
                return fail(ps, p, "strings must be valid UTF-8");
            p = next;
            if (p < ps->end && (unsigned char)*p >= 0x80)
                continue; /* text in another script: sequences come in rows */
        }
        p = scan_plain(p, ps->end);
        if ((size_t)(p - start) > ps->limits.max_string)
            return p; /* refused by the caller */
    }
}

/* A string or member name; p is at the opening quote. */
static inline const char *read_string(struct parser *ps, const char *p)
{
    const char *start = p + 1;
    bool escaped = false;

    p = scan_plain(start, ps->end);
    if (p == ps->end || *p != '"') {
        p = scan_string(ps, start, p, &escaped);
        if (p == NULL)
            return NULL;
    }
    size_t len = (size_t)(p - start);
    if (len > ps->limits.max_string)
        return fail(ps, start - 1, "a string must not be longer than %u bytes",
                    ps->limits.max_string);
    struct json_node *n = add_node(ps, ANDIRON_JSON_STRING, start, len);
    if (escaped) {
        n->info |= NODE_ESCAPED;
        n->unescaped = unescape(ps->arena, start, len);
    }
    return p + 1;
}

/* ---- containers ---- */

/* One of 64 bits for a name: equal names have equal bits. */
static inline uint64_t name_bit(andiron_str name)
{
    if (name.len == 0)
        return 1;
    const unsigned char *u = (const unsigned char *)name.data;
    uint32_t mix = (uint32_t)u[0] | (uint32_t)u[name.len - 1] << 8 |
                   (uint32_t)u[name.len / 2] << 16 | (uint32_t)name.len << 24;
    return UINT64_C(1) << (mix * UINT32_C(0x9E3779B1) >> 26);
}

/* A member's name and colon; p is where the name should begin. Returns where its value should. */
static inline const char *read_name(struct parser *ps, const char *p, struct frame *f,
                                    const char *expected)
{
    f->name = 0;
    if (p == ps->end || *p != '"')
        return fail_expected(ps, p, expected);
    uint32_t place = (uint32_t)ps->count;
    p = read_string(ps, p);
    if (p == NULL)
        return NULL;
    f->name = place;
    f->count++;
    uint64_t bit = name_bit(node_str(ps->text, &ps->nodes[place]));
    f->suspect |= (f->seen & bit) != 0;
    f->seen |= bit;
    p = skip_blanks(ps, p);
    if (p == ps->end || *p != ':')
        return fail_expected(ps, p, "':' after a member's name");
    return skip_blanks(ps, p + 1);
}

/*
 * Refuses repeated names, and gives a large object its name table. Names are compared only here,
 * where it is known how many there are: any number of them takes linear time.
 */
static __attribute__((noinline)) int check_names(struct parser *ps, struct frame *f)
{
    const struct json_node *object = &ps->nodes[f->node], *end = &ps->nodes[ps->count];
    const struct json_node *repeated = NULL;
    const struct json_names *names = NULL;

    if (f->count <= NAMES_LINEAR)
        repeated = names_repeated(ps->text, object, end);
    else
        names = names_index(ps->arena, ps->text, object, end, f->count, &repeated);
    if (repeated != NULL) {
        f->name = (uint32_t)(repeated - ps->nodes);
        fail(ps, ps->text + repeated->at - 1, "a member may come only once");
        return -1;
    }
    if (names != NULL) {
        struct json_node *last = add_node(ps, ANDIRON_JSON_MISSING, ps->text, 0);
        last->names = names;
        ps->nodes[f->node].info |= NODE_INDEXED;
    }
    return 0;
}

/* p is at the closing bracket of the innermost container. */
static inline const char *close_container(struct parser *ps, const char *p)
{
    struct frame *f = &ps->frames[ps->depth - 1];
    if (f->is_object && (f->suspect || f->count > NAMES_LINEAR) && check_names(ps, f) != 0)
        return NULL;
    struct json_node *n = &ps->nodes[f->node];
    n->info |= f->count << NODE_COUNT_SHIFT;
    if (ps->last_blank < (ptrdiff_t)n->at)
        n->info |= NODE_COMPACT;
    n->len = (uint32_t)(p + 1 - (ps->text + n->at));
    n->size = (uint32_t)(ps->count - f->node);
    ps->depth--;
    return p + 1;
}

/* p is at '[' or '{'. Returns where its first value should begin, or its end: then it is empty. */
static inline const char *open_container(struct parser *ps, const char *p)
{
    bool is_object = *p == '{';
    if (ps->depth == ps->limits.max_depth)
        return fail(ps, p, "arrays and objects must not be nested deeper than %u",
                    ps->limits.max_depth);
    struct frame *f = &ps->frames[ps->depth++];
    *f = (struct frame){ .node = (uint32_t)ps->count, .is_object = is_object };
    add_node(ps, is_object ? ANDIRON_JSON_OBJECT : ANDIRON_JSON_ARRAY, p, 0);
    p = skip_blanks(ps, p + 1);
    if (p < ps->end && *p == (is_object ? '}' : ']'))
        return close_container(ps, p);
    if (is_object)
        return read_name(ps, p, f, "a member's name in double quotes, or '}',");
    f->count = 1;
    return p;
}

/*
 * Behind a value: closes what ends there. Returns where the next value should begin, or with
 * depth 0 where the outermost one ended.
 */
static inline const char *next_value(struct parser *ps, const char *p)
{
    while (ps->depth > 0) {
        struct frame *f = &ps->frames[ps->depth - 1];
        p = skip_blanks(ps, p);
        char c = p < ps->end ? *p : '\0';
        if (c == ',') {
            if (ps->count >= ps->limits.max_values)
                return fail_values(ps, p);
            p = skip_blanks(ps, p + 1);
            if (f->is_object)
                return read_name(ps, p, f, "a member's name in double quotes");
            f->count++;
            return p;
        }
        if (c != (f->is_object ? '}' : ']'))
            return fail_expected(
                ps, p, f->is_object ? "',' or '}' after a member" : "',' or ']' after an element");
        p = close_container(ps, p);
        if (p == NULL)
            return NULL;
    }
    return p;
}

/* ---- values ---- */

static const char *read_number(struct parser *ps, const char *p)
{
    const char *end = number_end(p, ps->end);
    if (end == NULL)
        return fail(ps, p, "a number must be like 0, -12, 3.14 or 6e-5");
    if (end < ps->end && (*p == '0' || (*p == '-' && p[1] == '0')) && *end >= '0' && *end <= '9')
        return fail(ps, p, "a number must not begin with a needless zero");
    add_node(ps, ANDIRON_JSON_NUMBER, p, (size_t)(end - p));
    return end;
}

static const char *read_word(struct parser *ps, const char *p, andiron_str word, uint32_t info)
{
    if ((size_t)(ps->end - p) < word.len || memcmp(p, word.data, word.len) != 0)
        return fail_expected(ps, p, "a value (true, false and null in small letters)");
    add_node(ps, ANDIRON_JSON_NULL, p, word.len)->info = info;
    return p + word.len;
}

static inline const char *read_scalar(struct parser *ps, const char *p)
{
    switch (*p) {
    case '"':
        return read_string(ps, p);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return read_number(ps, p);
    case 't':
        return read_word(ps, p, ANDIRON_STR("true"), (uint32_t)ANDIRON_JSON_BOOL | NODE_TRUE);
    case 'f':
        return read_word(ps, p, ANDIRON_STR("false"), ANDIRON_JSON_BOOL);
    case 'n':
        return read_word(ps, p, ANDIRON_STR("null"), ANDIRON_JSON_NULL);
    default:
        return fail_expected(ps, p, "a value");
    }
}

static int read_document(struct parser *ps)
{
    const char *p = skip_blanks(ps, ps->text);
    do {
        if (p == ps->end) {
            fail_expected(ps, p, "a value");
            return -1;
        }
        if (*p == '{' || *p == '[') {
            uint32_t depth = ps->depth;
            p = open_container(ps, p);
            if (p != NULL && ps->depth > depth)
                continue; /* it has content, which begins at p */
        } else {
            p = read_scalar(ps, p);
        }
        if (p != NULL)
            p = next_value(ps, p);
    } while (p != NULL && ps->depth > 0);
    if (p == NULL)
        return -1;
    p = scan_blanks(p, ps->end);
    if (p != ps->end) {
        fail_expected(ps, p, "the end of the text");
        return -1;
    }
    return 0;
}

static andiron_json keep_tape(const struct parser *ps)
{
    struct json_doc *doc = arena_take(ps->arena, sizeof(*doc) + ps->count * sizeof(ps->nodes[0]));
    doc->text = ps->text;
    memcpy(doc->nodes, ps->nodes, ps->count * sizeof(ps->nodes[0]));
    return (andiron_json){ .doc = doc, .at = (uintptr_t)&doc->nodes[0] };
}

int json_parse(struct andiron_arena *arena, andiron_str text, const struct json_limits *limits,
               andiron_json *ret_root, struct andiron_error *err)
{
    struct json_node nodes[SCRATCH_NODES];
    struct frame frames[SCRATCH_FRAMES];
    struct parser ps = { .text = text.data != NULL ? text.data : "",
                         .last_blank = -1,
                         .nodes = nodes,
                         .capacity = SCRATCH_NODES,
                         .frames = frames,
                         .limits = *limits,
                         .arena = arena,
                         .err = err };

    ps.end = ps.text + (text.data != NULL ? text.len : 0);
    if (text.len > UINT32_MAX)
        return andiron_error_set(err, ANDIRON_E_TOO_LARGE, "", "JSON must be smaller than 4 GiB");
    if (limits->max_values == 0)
        ps.limits.max_values = DEFAULT_VALUES;
    if (limits->max_values > NODE_COUNT_MAX)
        ps.limits.max_values = NODE_COUNT_MAX;
    if (limits->max_depth > SCRATCH_FRAMES)
        ps.frames = must_realloc(NULL, limits->max_depth * sizeof(frames[0]));
    int result = read_document(&ps);
    if (result == 0)
        *ret_root = keep_tape(&ps);
    free(ps.on_heap);
    if (ps.frames != frames)
        free(ps.frames);
    return result;
}

void json_set_limits(const struct json_limits *limits)
{
    default_limits = *limits;
}

int andiron_json_parse(struct andiron_arena *arena, andiron_str text, andiron_json *ret_root,
                       struct andiron_error *err)
{
    return json_parse(arena, text, &default_limits, ret_root, err);
}
