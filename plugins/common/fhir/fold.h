/*
 * Folding of strings for searches: without case, accents and superfluous blanks. Any thread.
 */
#ifndef FHIR_FOLD_H
#define FHIR_FOLD_H

#include <andiron/base.h>

/* Longest folded string that is indexed or searched for; what is longer is cut. */
enum { FHIR_FOLD_MAX = 256 };

/*
 * Folds UTF-8 text into out, at most max bytes and never half a character; returns the
 * length. Composed and decomposed letters give the same; blanks at the ends go, others
 * become one space. Bytes that are not UTF-8 stay.
 */
size_t fhir_fold(andiron_str text, char *out, size_t max);

/*
 * Where the next word of a folded string starts behind `at`; its length if there is none. A
 * word starts with a letter or digit behind something else.
 */
size_t fhir_fold_next_word(andiron_str folded, size_t at);

#endif
