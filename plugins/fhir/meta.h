/*
 * What the operations on meta answer.
 */
#ifndef FHIR_META_H
#define FHIR_META_H

#include "answer.h"

/* Parameters with the meta of a stored resource. */
enum andiron_step meta_answer(struct andiron_request *req, const struct wanted *wanted,
                              andiron_str stored);

#endif
