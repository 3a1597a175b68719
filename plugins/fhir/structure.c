#include "structure.h"

#include "common/fhir/validate.h"

void structure_check(enum fhir_validation validation, const struct resource_type *type,
                     andiron_json resource, struct issues *issues)
{
    if (validation == VALIDATION_OFF) {
        check_resource(resource, issues);
        return;
    }
    check_whole(resource, issues);
    /* A resource of another type has been refused as such; its elements would only add noise. */
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(resource, "resourceType")), type->str))
        return;
    struct fhir_validating v = { .arena = issues->arena,
                                 .root = issues->root,
                                 .is_lenient = validation == VALIDATION_LENIENT,
                                 .max = ISSUES_MAX };
    fhir_validate(&v, resource);
    issues_take(issues, v.issues, v.count);
}
