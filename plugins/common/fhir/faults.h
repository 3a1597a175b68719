/*
 * What is said of faults that validation finds, and where they are. Only for validate.c.
 */
#ifndef FHIR_FAULTS_H
#define FHIR_FAULTS_H

#include "tables.h"
#include "validate.h"

#define FHIR_NO_INDEX SIZE_MAX

/* Where the walk is: a chain from the inner to the outer; NULL is the root. */
struct fhir_place {
    const struct fhir_place *outer;
    andiron_str name; /* of the element */
    size_t index;     /* in its array, or FHIR_NO_INDEX */
};

/* Adds an issue unless there are v->max. */
void fhir_fault(struct fhir_validating *v, enum andiron_code code, const struct fhir_place *at,
                const char *fmt, ...) ANDIRON_PRINTF(4, 5);

/* A primitive that is no value of its type; fault is what it must be. */
void fhir_fault_value(struct fhir_validating *v, const struct fhir_place *at, const char *fault,
                      andiron_json value);

/* A member that the structure does not have: at->name, perhaps with an underscore. */
void fhir_fault_unknown(struct fhir_validating *v, const struct fhir_place *at, size_t structure);

/* A code that the element's required binding does not list. */
void fhir_fault_code(struct fhir_validating *v, const struct fhir_place *at,
                     const struct fhir_element_row *row, andiron_str code);

/* A second type of a choice, that of row. */
void fhir_fault_choices(struct fhir_validating *v, const struct fhir_place *at, size_t structure,
                        const struct fhir_element_row *row, andiron_json object);

/* An issue for each mandatory element that an object at a place lacks. */
void fhir_fault_missing(struct fhir_validating *v, const struct fhir_place *at, size_t structure,
                        andiron_json object);

#endif
