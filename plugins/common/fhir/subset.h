/*
 * Parts of resources: _summary and _elements.
 */
#ifndef FHIR_COMMON_SUBSET_H
#define FHIR_COMMON_SUBSET_H

#include <andiron/search.h>

/*
 * The part of resource that subset asks for, tagged SUBSETTED, in arena. structure is the type's
 * (elements.h), or -1 for a type that is not FHIR's own; elements as in struct andiron_search_plan.
 */
andiron_str fhir_subset(struct andiron_arena *arena, const char *type, int structure,
                        enum andiron_subset subset, const char *const *elements,
                        andiron_str resource);

#endif
