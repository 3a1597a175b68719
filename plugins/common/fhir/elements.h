/*
 * The elements of FHIR R4's resources and data types. Constant tables, any thread.
 *
 * One element for each JSON member: a choice such as value[x] is valueQuantity,
 * valueString .. ; a contained resource has the structure "Resource".
 */
#ifndef FHIR_ELEMENTS_H
#define FHIR_ELEMENTS_H

#include <andiron/base.h>

enum fhir_structure_kind {
    FHIR_STRUCTURE_RESOURCE,
    FHIR_STRUCTURE_COMPLEX,  /* data type with members: "CodeableConcept" */
    FHIR_STRUCTURE_BACKBONE, /* members of a resource's or type's own: "Observation.component" */
    FHIR_STRUCTURE_PRIMITIVE /* "dateTime" */
};

enum { FHIR_ELEMENT_NAME_MAX = 64 }; /* bytes; the longest of R4 has 33 */

/* All strings are literals. */
struct fhir_element {
    const char *name;   /* JSON member: "valueQuantity" */
    const char *system; /* of a code's required binding, or "" */
    int structure;      /* of its content */
    size_t stem;        /* of a choice: length of its name without the type, 5; else 0 */
    bool is_array, is_mandatory, is_summary, is_modifier;
};

/* Structure of a resource type is its index (types.h). By name: "Quantity"; -1 if there is none. */
int fhir_structure(andiron_str name);
const char *fhir_structure_name(int structure);
enum fhir_structure_kind fhir_structure_kind(int structure);

/* Element by the name of its JSON member; false if there is none. */
bool fhir_element_find(int structure, andiron_str name, struct fhir_element *ret);

/* Walks the elements of a structure by name; *pos starts at 0; false at the end. */
bool fhir_element_next(int structure, size_t *pos, struct fhir_element *ret);

#endif
