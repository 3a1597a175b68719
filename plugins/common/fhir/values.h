/*
 * From a JSON value to index terms, by data type. Used by the walk in extract.c.
 *
 * Values that are not of the shape their type demands give no terms: validation is not
 * done here, and must not be relied on here either.
 */
#ifndef FHIR_VALUES_H
#define FHIR_VALUES_H

#include <andiron/store.h>

#include "program.h"

/* A growing list of terms in an arena, with a maximum. */
struct fhir_terms {
    struct andiron_arena *arena;
    struct andiron_term *list;
    size_t count, capacity, max;
    bool is_over;              /* max was reached: some terms are missing */
    struct andiron_term spare; /* written to when is_over */
};

/* What goes into each term besides the value. */
struct fhir_emitting {
    struct fhir_terms *terms;
    const char *param;
    const char *words;    /* of a string: "name#word" */
    const char *system;   /* FHIR_HOW_CODE: of the required binding, or "" */
    uint32_t group, part; /* of a composite, or 0 */
    andiron_str base;     /* own public base URL, or absent */
    bool has_text;        /* tokens also give strings, for :text */
};

/* A term of the emitting parameter, added to the list; its values are still to be set. */
struct andiron_term *fhir_term(const struct fhir_emitting *e, enum andiron_term_kind kind);

/* Terms of one value: not an array, not null. how: not COMPOSITE, TRUTH or POSITION. */
void fhir_value_terms(const struct fhir_emitting *e, enum fhir_how how, andiron_json value);

/* Latitude and longitude, as parts 1 and 2 of a group. */
void fhir_position_terms(const struct fhir_emitting *e, andiron_json value);

/* Type that a Reference points to, also a contained or foreign one's if it says so; or absent. */
andiron_str fhir_reference_type(andiron_json reference, andiron_str base);

#endif
