/*
 * References in all the forms in which they are written, as one: {resourceType, id} or {uri}.
 *
 * Pure: views in, views out.
 */
#ifndef MATCHO_REFERENCE_H
#define MATCHO_REFERENCE_H

#include <andiron/json.h>

struct reference {
    andiron_str type, id; /* both absent: */
    andiron_str uri;      /* to something that is not ours */
};

/* "T/I", "T/I/_history/V", the same below base ("https://host/fhir/"), or any other uri. */
bool reference_of_text(andiron_str text, andiron_str base, struct reference *ret);

/*
 * A string, {"reference":"T/I"} or {"resourceType":T,"id":I}. False for anything else, and for
 * an object whose two forms contradict each other.
 */
bool reference_of(andiron_json v, andiron_str base, struct reference *ret);

bool reference_same(const struct reference *a, const struct reference *b);

#endif
