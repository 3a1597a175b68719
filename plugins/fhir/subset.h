/*
 * Parts of resources: _summary and _elements (search.html#summary, #elements). What is cut
 * down keeps its mandatory elements and is tagged SUBSETTED. Pure, any thread.
 */
#ifndef FHIR_SUBSET_H
#define FHIR_SUBSET_H

#include <andiron/search.h>

#include "types.h"

/* The part of a resource's text that plan->subset asks for, in arena. */
andiron_str subset_text(struct andiron_arena *arena, const struct resource_type *type,
                        const struct andiron_search_plan *plan, andiron_str resource);

#endif
