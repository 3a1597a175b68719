/*
 * Folding of strings for searches: without case, accents, punctuation and superfluous blanks. Any thread.
 */
#ifndef FHIR_FOLD_H
#define FHIR_FOLD_H

#include <andiron/base.h>

/*
 * Of a longer string words are found in its first FHIR_FOLD_MAX folded bytes; what is longer than
 * FHIR_FOLD_ALL is cut.
 */
enum { FHIR_FOLD_MAX = 256, FHIR_FOLD_ALL = 65536 };

/*
 * Folds UTF-8 text into out, at most max bytes and never half a character; returns the
 * length. Composed and decomposed letters give the same; blanks at the ends go, others
 * become one space, punctuation goes (search.html, 3.1.1.4.8). Bytes that are not UTF-8 stay.
 */
size_t fhir_fold(andiron_str text, char *out, size_t max);

/* All of it in arena, but FHIR_FOLD_ALL bytes at most. */
andiron_str fhir_folded(struct andiron_arena *arena, andiron_str text);

/*
 * Where words behind the first one start in the folded text. Punctuation is left out there
 * ("Smith-Jones" is "smithjones"), but what follows it is a word of its own.
 */
enum { FHIR_FOLD_WORDS = 16 };
struct fhir_words {
    uint16_t starts[FHIR_FOLD_WORDS];
    size_t count; /* further words are left out */
};

/* The same, max at most FHIR_FOLD_MAX. */
size_t fhir_fold_words(andiron_str text, char *out, size_t max, struct fhir_words *ret);

/* Text with ASCII's capitals as small letters, in arena if there are any: tokens without case. */
andiron_str fhir_caseless(struct andiron_arena *arena, andiron_str text);

#endif
