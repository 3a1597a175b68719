#include "subset.h"

#include "common/fhir/subset.h"
#include "common/fhir/types.h"

andiron_str subset_text(struct andiron_arena *arena, const struct resource_type *type,
                        const struct andiron_search_plan *plan, andiron_str resource)
{
    return fhir_subset(arena, type->name, type->platform ? -1 : fhir_type(type->str), plan->subset,
                       plan->elements, resource);
}
