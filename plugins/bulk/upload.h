/*
 * NDJSON that comes in pieces: cut into lines, and lines made into batches (Bundles) that are sent on
 * one after the other. What is kept is bounded by the limits, whatever comes. Knows nothing of
 * requests; any thread, one at a time.
 */
#ifndef BULK_UPLOAD_H
#define BULK_UPLOAD_H

#include <andiron/json.h>

#include "gzip.h"

struct upload_limits {
    size_t rows, bytes; /* of a batch */
    size_t line;        /* bytes of a line; a longer one is refused, by itself */
    bool makes_ids;     /* a resource may come without an id */
};

struct upload {
    struct upload_limits limits;
    struct bytes in;   /* lines that have come, ends included */
    size_t at;         /* before it all has been taken */
    size_t tail;       /* bytes of the last line, which has not ended */
    size_t line_count; /* lines behind `at` that have ended */
    uint64_t line;     /* number of the last line taken */
    uint64_t received; /* bytes */
    bool has_ended;
};

/* A line of a batch. wrong: it is not sent. */
struct upload_line {
    uint64_t number;  /* from 1 */
    andiron_str name; /* "Patient/1", "Patient"; absent where it has no type */
    int type;         /* -1: none that there is */
    struct andiron_error wrong;
    bool is_sent;
};

struct upload_batch {
    struct upload_line *lines;
    size_t count, sent;
    andiron_str bundle; /* with the lines that are sent, in their order; in upload's memory `out` */
};

void upload_free(struct upload *u);

void upload_add(struct upload *u, andiron_str piece);
/* There will be no more. */
void upload_end(struct upload *u);

/* Whether there are lines enough for a batch, or any at the end. */
bool upload_has_batch(const struct upload *u);

/*
 * The next batch: lines up to the limits, and before one that names a resource of the batch again. Lines
 * in arena, the Bundle in out, which is emptied first.
 */
void upload_take(struct upload *u, struct andiron_arena *arena, struct bytes *out,
                 struct upload_batch *ret);

#endif
