/*
 * Regular expressions of policies: PCRE2 in UTF mode, limited in every direction.
 *
 * Compiled once into an arena and then shared by all threads; what matching needs to write to
 * is a matcher, one per thread. Matching allocates nothing once the matcher is warm.
 */
#ifndef COMMON_PATTERN_H
#define COMMON_PATTERN_H

#include <andiron/error.h>

enum { PATTERN_MAX = 512 /* bytes of an expression */ };

struct pattern;         /* one compiled expression; immutable */
struct pattern_matcher; /* of one thread */

enum pattern_result {
    PATTERN_NO_MATCH,
    PATTERN_MATCH,
    PATTERN_LIMIT /* gave up: too long a subject, too many steps, too much memory */
};

/* How an expression is to be read. */
enum pattern_flags {
    PATTERN_ECMA = 1 << 0,       /* as ECMA 262 does where the two differ: \uXXXX, [], [^] */
    PATTERN_NO_COMPILER = 1 << 1 /* interpreted, though it could be machine code */
};

/*
 * Compiles text in arena. Where the system refuses machine code it is interpreted instead. On
 * failure -1 and why, with the byte of the expression; err.where is left empty. Any thread.
 */
ANDIRON_MUST_CHECK int pattern_compile(struct andiron_arena *arena, andiron_str text,
                                       unsigned flags, const struct pattern **ret,
                                       struct andiron_error *err);

/*
 * steps: how much backtracking one match may do, about; subject_max: bytes of the longest subject
 * that is looked through. To be freed by its owner.
 */
struct pattern_matcher *pattern_matcher_new(uint32_t steps, size_t subject_max);
void pattern_matcher_free(struct pattern_matcher *matcher);

/*
 * Asked every few microseconds of a match that may take long; false ends it (PATTERN_LIMIT). Not
 * every step counts as one, so this alone is what limits time.
 */
typedef bool (*pattern_go_on_fn)(void *arg);

/*
 * Whether the expression is found anywhere in subject, which must be valid UTF-8, as strings of
 * parsed JSON are. "$" is the very end, not before a last newline.
 */
enum pattern_result pattern_find(const struct pattern *pattern, struct pattern_matcher *matcher,
                                 andiron_str subject, pattern_go_on_fn go_on, void *arg);

#endif
