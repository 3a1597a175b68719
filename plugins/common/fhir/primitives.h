/*
 * Text of primitive data types (R4 datatypes.html#primitive). Any thread.
 */
#ifndef FHIR_PRIMITIVES_H
#define FHIR_PRIMITIVES_H

#include <andiron/json.h>

#include "tables.h"

/* NULL: v is a value of the type; else what it must be: "must be true or false". A literal. */
const char *fhir_primitive_fault(enum fhir_format format, andiron_json v);

#endif
