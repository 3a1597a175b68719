/*
 * Criteria of conditional interactions: a search that must say something.
 */
#ifndef FHIR_MATCH_H
#define FHIR_MATCH_H

#include "fhir.h"

/*
 * Compiles "identifier=x|1" (also "?identifier=..." and "Patient?identifier=...") for a write.
 * Unknown parameters and criteria that would match everything are errors. judged is the request
 * whose narrowing applies. What stored ValueSets and CodeSystems say cannot be asked. -1 and err.
 */
int match_compile(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str criteria,
                  struct andiron_search_plan *ret, struct andiron_error *err);

/*
 * The same, also for criteria that ask about stored ValueSets and CodeSystems: once the caller has
 * asked for the plan's types, match_complete() must have read those (search.h, complete()) before the
 * query is used. It fails the request, or goes on with `then`.
 */
int match_begin(const struct fhir *fhir, struct andiron_request *judged,
                const struct resource_type *type, andiron_str criteria,
                struct andiron_search_plan *ret, struct andiron_error *err);
enum andiron_step match_complete(const struct fhir *fhir, struct andiron_request *req,
                                 struct andiron_search_plan *plan, andiron_step_fn then,
                                 void *state);

#endif
