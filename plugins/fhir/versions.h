/*
 * Which versions a narrowed request may see. A store has no index of old versions, so they
 * are judged by their content: on the loop, or on the pool where they are large.
 */
#ifndef FHIR_VERSIONS_H
#define FHIR_VERSIONS_H

#include "fhir.h"

/*
 * Takes from `rows` (of a walk, or versions read by their id) what req may not see, then goes on
 * with then(req, state). A version is seen if it is within the narrowing itself, and so is the
 * resource as it is now: what was taken out of sight stays so in the past. A deletion counts
 * as the version before it. Types that are not narrowed for this access are left as they are.
 */
enum andiron_step versions_keep(const struct fhir *fhir, struct andiron_request *req,
                                enum andiron_access access, struct andiron_rows *rows,
                                andiron_step_fn then, void *state);

/* The terms, and one for _lastUpdated, which stores know without. In arena. */
const struct andiron_term *versions_with_time(struct andiron_arena *arena,
                                              const struct andiron_term *terms, size_t count,
                                              andiron_usec updated);

#endif
