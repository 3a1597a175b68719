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
    size_t depth;       /* upload_depth(), or 0: every line is asked for its depth */
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
    size_t entry, entry_len; /* its place in the Bundle */
    int status;              /* of the answer to it; 0: none yet */
    andiron_json outcome;    /* of the answer, where it was refused */
};

struct upload_names;

struct upload_batch {
    struct upload_line *lines;
    size_t count, sent;
    uint64_t last; /* number of the last line that was taken for it or found blank */
    bool is_kept;  /* nothing was taken: the next line names what another batch has at work */
    const struct upload_names *names; /* of its resources */
    andiron_str bundle; /* with the lines that are sent, in their order; in upload's memory `out` */
};

/* Whether a line was sent, and is not (or not yet) stored. */
static inline bool upload_is_open(const struct upload_line *line)
{
    return line->is_sent && (line->status < 200 || line->status >= 300);
}

/* A nesting of JSON that is certainly not too deep. */
size_t upload_depth(void);

void upload_free(struct upload *u);

void upload_add(struct upload *u, andiron_str piece);
/* There will be no more. */
void upload_end(struct upload *u);

/* Whether there are lines enough for a batch, or any at the end. */
bool upload_has_batch(const struct upload *u);

/*
 * The next batch: lines up to the limits, and before one that names a resource which the batch has
 * already, or one of the others, which are at work. Lines in arena, the Bundle in out, which is emptied
 * first.
 */
void upload_take(struct upload *u, struct andiron_arena *arena, struct bytes *out,
                 const struct upload_batch *const *others, size_t other_count,
                 struct upload_batch *ret);

/* A Bundle of those lines of the batch that are open, out of the Bundle that it had, into out. */
andiron_str upload_again(const struct upload_batch *batch, struct bytes *out);

#endif
