/*
 * The read-only type Operation: one resource for each named operation of the route
 * table, so that policies can be linked to it (seed-semantics 1.1).
 */
#ifndef FHIR_OPERATIONS_H
#define FHIR_OPERATIONS_H

#include "negotiate.h"

enum andiron_step operations_read(const struct fhir *fhir, struct andiron_request *req,
                                  const struct wanted *wanted, andiron_str id);

/* All of them, as a searchset. */
enum andiron_step operations_list(const struct fhir *fhir, struct andiron_request *req,
                                  const struct wanted *wanted);

#endif
