/*
 * Whether a resource is one of FHIR R4 by its structure: every element known, of the right JSON
 * type, as often as it may be, each primitive in its form, one type of each choice, codes of
 * required bindings among those allowed. Contained resources and those in Bundles and
 * Parameters too. Not: invariants but ext-1 and ele-1, profiles, targets of references, and
 * what is inside the XHTML of narratives.
 *
 * Pure computation, any thread; memory (for issues alone) comes from the arena given.
 */
#ifndef FHIR_VALIDATE_H
#define FHIR_VALIDATE_H

#include <andiron/json.h>

struct fhir_validating {
    /* given */
    struct andiron_arena *arena;
    andiron_str root; /* how places begin: "Patient", "Bundle.entry[3].resource" */
    /*
     * More than R4 has is accepted: elements that it does not know, and codes that a required
     * binding does not list. What is malformed or missing is not.
     */
    bool is_lenient;
    size_t max; /* issues to find at most */

    /* result; no issues: valid */
    struct andiron_error *issues;
    size_t count;
};

/*
 * Finds what is wrong with a resource, whose resourceType must be an R4 type. Places are
 * FHIRPath: a choice is `Observation.value`, extensions of a primitive are
 * `Patient.birthDate.extension[0]`. Codes: ELEMENT, REQUIRED, VALUE, CODE, STRUCTURE. Messages
 * repeat names of elements, but no content. A place too long to be written is that of the nearest
 * element around it.
 */
void fhir_validate(struct fhir_validating *v, andiron_json resource);

#endif
