/*
 * The name that was probably meant. Any thread.
 */
#ifndef FHIR_NEAREST_H
#define FHIR_NEAREST_H

#include <andiron/base.h>

/* Looks for the best of several names: give it each in turn. */
struct fhir_nearest {
    andiron_str wanted;
    const char *best; /* a literal; NULL: none is near */
    size_t distance;  /* of best */
};

void fhir_nearest_try(struct fhir_nearest *nearest, const char *name);

#endif
