/*
 * Growing byte buffer. C library only.
 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buffer_free(struct buffer *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

int buffer_reserve(struct buffer *b, size_t more)
{
    if (more <= b->cap - b->len)
        return 0;
    if (b->len > b->max || more > b->max - b->len) {
        b->overflowed = true;
        return -1;
    }
    size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
    if (cap < 256)
        cap = b->max < 256 ? b->max : 256;
    if (cap < b->len + more)
        cap = b->len + more;
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        fputs("andiron: out of memory\n", stderr);
        abort();
    }
    b->data = data;
    b->cap = cap;
    return 0;
}

int buffer_add(struct buffer *b, const void *bytes, size_t len)
{
    if (buffer_reserve(b, len) != 0)
        return -1;
    if (len != 0)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    return 0;
}

int buffer_printf(struct buffer *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    int result = -1;
    b->overflowed |= len < 0 || (size_t)len > b->max;
    /* vsnprintf also writes a NUL: it needs a byte that does not count against max. */
    if (len >= 0 && (size_t)len <= b->max) {
        char *text = malloc((size_t)len + 1);
        if (text != NULL) {
            (void)vsnprintf(text, (size_t)len + 1, fmt, again);
            result = buffer_add(b, text, (size_t)len);
            free(text);
        }
    }
    va_end(again);
    return result;
}

void buffer_drop(struct buffer *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}
