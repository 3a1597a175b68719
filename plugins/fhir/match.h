/*
 * Criteria of conditional interactions: a search that must say something.
 */
#ifndef FHIR_MATCH_H
#define FHIR_MATCH_H

#include "fhir.h"

/*
 * Compiles "identifier=x|1" (also "?identifier=..." and "Patient?identifier=...") for a write.
 * Unknown parameters and criteria that would match everything are errors. judged is the request
 * whose narrowing applies. -1 and err.
 */
int match_compile(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str criteria,
                  struct andiron_search_plan *ret, struct andiron_error *err);

#endif
