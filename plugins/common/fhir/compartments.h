/*
 * Compartments of R4 (compartmentdefinition.html): by which parameters a resource belongs to
 * a Patient, Encounter, Practitioner, RelatedPerson or Device. Constant tables, any thread.
 */
#ifndef FHIR_COMPARTMENTS_H
#define FHIR_COMPARTMENTS_H

#include <andiron/base.h>

/* Types are indices as in types.h. */
bool fhir_is_compartment(int compartment);

/* Whether resources of type may belong to it through a parameter. */
bool fhir_compartment_has(int compartment, int type);

/*
 * Walks the parameters by which a type belongs to a compartment; *pos starts at 0; NULL at the
 * end. A compartment's own resource always belongs to it.
 */
const char *fhir_compartment_param(int compartment, int type, size_t *pos);

#endif
