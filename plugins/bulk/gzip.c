#include "gzip.h"

#include <stdlib.h>

#include <zlib.h>

enum {
    WINDOW = 15 + 16, /* zlib's largest window, and the gzip format */
    MEMORY = 8,
    LEVEL = 1, /* NDJSON shrinks to a tenth with the least of work */
    ROOM = 64 << 10
};

static void reserve(struct bytes *b, size_t more)
{
    if (more <= b->room - b->len)
        return;
    size_t room = b->room * 2 > b->len + more ? b->room * 2 : b->len + more;
    char *data = realloc(b->data, room);
    if (data == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    b->data = data;
    b->room = room;
}

void bytes_add(struct bytes *b, const char *data, size_t len)
{
    if (len == 0)
        return;
    reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){ .data = NULL };
}

struct gzip {
    z_stream stream;
};

struct gzip *gzip_new(void)
{
    struct gzip *g = calloc(1, sizeof(*g));

    if (g == NULL ||
        deflateInit2(&g->stream, LEVEL, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    return g;
}

void gzip_free(struct gzip *g)
{
    if (g == NULL)
        return;
    (void)deflateEnd(&g->stream); /* complains where the end was not reached, which is all right */
    free(g);
}

void gzip_add(struct gzip *g, andiron_str piece, bool is_last, struct bytes *out)
{
    int rc;

    g->stream.next_in = (Bytef *)(uintptr_t)piece.data;
    g->stream.avail_in = (uInt)piece.len;
    do {
        reserve(out, ROOM);
        g->stream.next_out = (Bytef *)out->data + out->len;
        g->stream.avail_out = (uInt)(out->room - out->len);
        rc = deflate(&g->stream, is_last ? Z_FINISH : Z_NO_FLUSH);
        out->len = out->room - g->stream.avail_out;
    } while (g->stream.avail_in > 0 || (is_last && rc != Z_STREAM_END) || g->stream.avail_out == 0);
}
