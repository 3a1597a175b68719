/*
 * The resource types of FHIR R4. Constant tables, any thread.
 */
#ifndef FHIR_TYPES_H
#define FHIR_TYPES_H

#include <andiron/base.h>

#include "generated/counts.h" /* FHIR_TYPE_COUNT */

/* Index of a type in alphabetical order, 0 .. FHIR_TYPE_COUNT - 1; -1 if R4 has no such type. */
int fhir_type(andiron_str name);

/* "Account", .. "VisionPrescription": a literal; NULL outside the range. */
const char *fhir_type_name(int type);

#endif
