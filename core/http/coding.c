/*
 * gzip through zlib, with its memory in arenas; and the weights of Accept-Encoding.
 */
#include "http/coding.h"

#include <limits.h>
#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/arena.h"

enum {
    GZIP_WINDOW = 15 + 16, /* zlib's largest window, and the gzip format only */
    DEFLATE_LEVEL = 1,     /* level 6 takes three times as long for 10 % less */
    DEFLATE_MEMORY = 8,
    DEFLATE_LEAST = 64 /* below, the gzip frame alone eats the gain */
};

/* ---- request bodies ----------------------------------------------------------------- */

struct inflate {
    z_stream stream;
    struct coding_limits limits;
    uint64_t in, out; /* bytes so far */
    int status;
    const char *reason;
    bool is_over;
};

static void *take(void *arena, unsigned items, unsigned size)
{
    return items > UINT_MAX / size ? NULL : arena_take(arena, (size_t)items * size);
}

/* The arena does it. */
static void drop(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

static enum coding_result inflate_fail(struct inflate *inflate, int status, const char *reason)
{
    inflate->status = status;
    inflate->reason = reason;
    return CODING_ERROR;
}

struct inflate *coding_inflate_new(struct andiron_arena *arena, const struct coding_limits *limits)
{
    struct inflate *self = andiron_new(arena, struct inflate);

    self->limits = *limits;
    self->stream.zalloc = take;
    self->stream.zfree = drop;
    self->stream.opaque = arena;
    if (inflateInit2(&self->stream, GZIP_WINDOW) != Z_OK) /* another zlib than we were built for */
        (void)inflate_fail(self, 500, "this build cannot inflate");
    return self;
}

static unsigned at_most(size_t len, uint64_t most)
{
    uint64_t bound = most < UINT_MAX ? most : UINT_MAX;

    return (unsigned)(len < bound ? len : bound);
}

/* Runs zlib once; *in and the counts tell what it did. */
static int inflate_some(struct inflate *self, andiron_str *in, char *out, unsigned room)
{
    unsigned have = at_most(in->len, UINT_MAX);
    int code;

    self->stream.next_in = (const unsigned char *)in->data;
    self->stream.avail_in = have;
    self->stream.next_out = (unsigned char *)out;
    self->stream.avail_out = room;
    code = inflate(&self->stream, Z_NO_FLUSH);
    have -= self->stream.avail_in;
    if (have > 0) {
        in->data += have;
        in->len -= have;
    }
    self->in += have;
    self->out += room - self->stream.avail_out;
    return code;
}

static bool passes_ratio(const struct inflate *self)
{
    return self->limits.ratio == 0 || self->out <= CODING_RATIO_FREE ||
           (self->out - CODING_RATIO_FREE) / self->limits.ratio <= self->in;
}

enum coding_result coding_inflate(struct inflate *self, andiron_str *in, char *out, size_t room,
                                  size_t *ret_len)
{
    uint64_t may;
    unsigned space;
    int code;

    *ret_len = 0;
    if (self->status != 0)
        return CODING_ERROR;
    if (!self->is_over) {
        if (room == 0)
            return CODING_FULL;
        /* One byte too many shows that there is more than is allowed. */
        may = self->limits.bytes - self->out;
        space = at_most(room, may < UINT64_MAX ? may + 1 : may);
        code = inflate_some(self, in, out, space);
        if (self->out > self->limits.bytes)
            return inflate_fail(self, 413, "the inflated body is longer than allowed");
        if (!passes_ratio(self))
            return inflate_fail(self, 413, "the body inflates to more times its size than allowed");
        if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)
            return inflate_fail(self, 400, "the body must be gzip, as Content-Encoding says");
        self->is_over = code == Z_STREAM_END;
        if (!self->is_over || in->len == 0)
            *ret_len = space - self->stream.avail_out;
        if (!self->is_over)
            return self->stream.avail_out == 0 ? CODING_FULL : CODING_MORE;
    }
    if (in->len > 0)
        return inflate_fail(self, 400, "nothing may follow the gzip data");
    return CODING_END;
}

int coding_inflate_status(const struct inflate *self)
{
    return self->status;
}

const char *coding_inflate_reason(const struct inflate *self)
{
    return self->reason;
}

/* ---- responses -------------------------------------------------------------------------- */

struct deflater {
    z_stream stream;
};

struct deflater *coding_deflater_new(void)
{
    struct deflater *deflater = calloc(1, sizeof *deflater);

    if (deflater == NULL || deflateInit2(&deflater->stream, DEFLATE_LEVEL, Z_DEFLATED, GZIP_WINDOW,
                                         DEFLATE_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        abort(); /* out of memory at the start, as in base/arena.c */
    return deflater;
}

void coding_deflater_free(struct deflater *deflater)
{
    if (deflater == NULL)
        return;
    (void)deflateEnd(&deflater->stream); /* says whether output was thrown away: it may be */
    free(deflater);
}

int coding_gzip(struct deflater *deflater, struct andiron_arena *arena, andiron_str body,
                andiron_str *ret)
{
    z_stream *stream = &deflater->stream;
    size_t room = body.len - body.len / 8;
    unsigned char *out;

    if (body.len < DEFLATE_LEAST || body.len > UINT_MAX || deflateReset(stream) != Z_OK)
        return -1;
    stream->next_in = (const unsigned char *)body.data;
    stream->avail_in = (unsigned)body.len;
    out = arena_take(arena, room);
    stream->next_out = out;
    stream->avail_out = (unsigned)room;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return -1;
    *ret = (andiron_str){ (const char *)out, room - stream->avail_out };
    return 0;
}

/* ---- Accept-Encoding ---------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static andiron_str trim(andiron_str text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

static bool is_word(andiron_str text, andiron_str lower)
{
    if (text.len != lower.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lower.data[i])
            return false;
    }
    return true;
}

/* Thousandths of "q=0.5" (RFC 9110 section 12.4.2); what is malformed counts as 0: not wanted. */
static int weight_of(andiron_str text)
{
    int weight = 0, unit = 1000;

    if (text.len < 3 || text.len > 7 || (text.data[0] | 0x20) != 'q' || text.data[1] != '=' ||
        (text.len > 3 && text.data[3] != '.'))
        return 0;
    for (size_t i = 2; i < text.len; i++) {
        if (i == 3)
            continue;
        if (text.data[i] < '0' || text.data[i] > '9')
            return 0;
        weight += (text.data[i] - '0') * unit;
        unit /= 10;
    }
    return weight <= 1000 ? weight : 0;
}

/* Cuts the text up to mark off *rest. */
static andiron_str cut(andiron_str *rest, char mark)
{
    const char *found = memchr(rest->data, mark, rest->len);
    andiron_str head = { rest->data, found != NULL ? (size_t)(found - rest->data) : rest->len };
    size_t used = found != NULL ? head.len + 1 : head.len;

    rest->data += used;
    rest->len -= used;
    return trim(head);
}

bool coding_accepts_gzip(andiron_str accept_encoding)
{
    int gzip = -1, identity = -1, any = -1;

    while (accept_encoding.len > 0) {
        andiron_str item = cut(&accept_encoding, ','), name;
        int weight;

        if (item.len == 0)
            continue;
        name = cut(&item, ';');
        weight = item.len > 0 ? weight_of(trim(item)) : 1000;
        if (is_word(name, ANDIRON_STR("gzip")) || is_word(name, ANDIRON_STR("x-gzip")))
            gzip = weight;
        else if (is_word(name, ANDIRON_STR("identity")))
            identity = weight;
        else if (is_word(name, ANDIRON_STR("*")))
            any = weight;
    }
    if (gzip < 0)
        gzip = any;
    return gzip > 0 && gzip >= identity;
}
