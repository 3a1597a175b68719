/*
 * The text of a search: percent-decoding, escapes, lists, and the nearest known name.
 */
#ifndef SEARCH_TEXT_H
#define SEARCH_TEXT_H

#include <andiron/base.h>

/* Takes the next "name=value" off *rest, still encoded; false at the end. Empty ones are skipped. */
bool text_next_pair(andiron_str *rest, andiron_str *ret_name, andiron_str *ret_value);

/*
 * Decodes percent-escapes and '+' in arena, or returns text itself if it has neither; -1 for
 * a malformed escape, a NUL and for what is not UTF-8.
 */
int text_decode(struct andiron_arena *arena, andiron_str text, andiron_str *ret);

/* Appends text to out, percent-encoded where a query needs it; at most 3 * text.len bytes. */
size_t text_encode(andiron_str text, char *out);

/* Bytes that text_encode() writes. */
size_t text_encoded_len(andiron_str text);

/*
 * Takes what is before the first sep off *rest, which becomes absent after the last; a sep
 * behind a backslash does not count (search.html, 3.1.1.4.0.1). false if *rest is absent.
 */
bool text_cut(andiron_str *rest, char sep, andiron_str *ret_head);

/* Text without its escapes: "\," is ",", likewise "\|", "\$", "\\". */
andiron_str text_unescape(struct andiron_arena *arena, andiron_str text);

/*
 * Keeps the candidate that is nearest to the wrong name: call it with each of them; *best
 * starts as NULL and stays it if none is near enough to be meant.
 */
struct text_nearest {
    andiron_str wrong;
    const char *best;
    size_t distance;
};
void text_consider(struct text_nearest *nearest, const char *candidate);

#endif
