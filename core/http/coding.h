/*
 * Content codings: gzip bodies in, gzip bodies out, and what a client accepts.
 *
 * Sizes are judged before memory is written, so a body of a few bytes cannot
 * unfold into gigabytes. Everything here is used by one thread at a time.
 */
#ifndef CORE_HTTP_CODING_H
#define CORE_HTTP_CODING_H

#include <andiron/base.h>

/* ---- request bodies ----------------------------------------------------------- */

struct inflate;

enum coding_result {
    CODING_MORE, /* all input is used: go on when there is more */
    CODING_FULL, /* the room is full: go on with the rest of the input and new room */
    CODING_END,  /* the body is over; input behind it is an error, so END comes with all used */
    CODING_ERROR /* coding_inflate_status(), coding_inflate_reason() */
};

struct coding_limits {
    uint64_t bytes; /* of the body after inflation; beyond: 413 */
    /*
     * At most so many times the coded bytes that came in: 413. Not judged below
     * CODING_RATIO_FREE bytes, where small documents of few characters may exceed it. 0: never.
     */
    uint32_t ratio;
};

enum { CODING_RATIO_FREE = 64 * 1024, CODING_RATIO = 100 };

/* The reader of one gzip body (RFC 1952, one member). About 45 KiB in arena, which frees it. */
struct inflate *coding_inflate_new(struct andiron_arena *arena, const struct coding_limits *limits);

/*
 * Inflates from *in, which is shortened by what was used, into out; *ret_len bytes were written.
 * When the framing says that the body is over before END was returned, it was cut off: 400.
 */
enum coding_result coding_inflate(struct inflate *inflate, andiron_str *in, char *out, size_t room,
                                  size_t *ret_len);

/* 400 or 413, and a literal. */
int coding_inflate_status(const struct inflate *inflate);
const char *coding_inflate_reason(const struct inflate *inflate);

/* ---- responses ------------------------------------------------------------------ */

/* What is kept from body to body (about 270 KiB): one per loop or thread. Never NULL. */
struct deflater *coding_deflater_new(void);
void coding_deflater_free(struct deflater *deflater);

/*
 * The whole body as gzip, in arena; -1 and *ret untouched if that would save less than an eighth.
 * JSON of 1.5 KB takes about 10 us, longer text 1 to 4 us per KiB: from some 256 KiB on it
 * belongs on the pool, with a deflater of its own per thread. Not for answers that mix secrets with
 * what the client sent (tokens): their length would tell (BREACH).
 */
int coding_gzip(struct deflater *deflater, struct andiron_arena *arena, andiron_str body,
                andiron_str *ret);

/*
 * Whether Accept-Encoding (RFC 9110 section 12.5.3, repeated fields joined by ", "; may be absent)
 * lets gzip be sent, and does not prefer identity to it.
 */
bool coding_accepts_gzip(andiron_str accept_encoding);

#endif
