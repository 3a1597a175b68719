/*
 * gzip of a long body, piece by piece. Any thread, one at a time.
 */
#ifndef BULK_GZIP_H
#define BULK_GZIP_H

#include <andiron/base.h>

/* Bytes in malloc that grow. */
struct bytes {
    char *data;
    size_t len, room;
};
void bytes_add(struct bytes *b, const char *data, size_t len);
void bytes_free(struct bytes *b);

struct gzip;
struct gzip *gzip_new(void);    /* malloc */
void gzip_free(struct gzip *g); /* accepts NULL */
/* Adds what piece makes to out; with is_last, the end. */
void gzip_add(struct gzip *g, andiron_str piece, bool is_last, struct bytes *out);

#endif
