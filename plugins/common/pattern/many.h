/*
 * Many expressions looked for in one string at a time: which of them may be found in it. What they
 * are tested by are their shapes, bit by bit in rows of words, so that all of them together take
 * about as long as a few by themselves, whatever the string is.
 */
#ifndef COMMON_PATTERN_MANY_H
#define COMMON_PATTERN_MANY_H

#include <andiron/base.h>

struct pattern_many; /* immutable */

/* In arena, of expressions that compile. NULL if nothing is known of any. Any thread. */
const struct pattern_many *pattern_many_new(struct andiron_arena *arena,
                                            const andiron_str *expressions, size_t count);

/* Words that pattern_many_find() writes to. */
size_t pattern_many_words(const struct pattern_many *many);

/*
 * Sets ret[i] where expression i may be found in subject; where it stays as it was, it surely is
 * not. Of a subject that is too long to be looked through in some microseconds nothing is known, and
 * all may.
 */
void pattern_many_find(const struct pattern_many *many, andiron_str subject, uint64_t *words,
                       bool *ret);

#endif
