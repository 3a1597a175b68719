/*
 * Errors as bodies: OperationOutcome (FHIR R4), or what RFC 6749 section 5.2 has on OAuth routes.
 */
#ifndef CORE_HTTP_OUTCOME_H
#define CORE_HTTP_OUTCOME_H

#include "http/request.h"

/* Makes body, type and headers of the reply from its error. */
void outcome_render(struct andiron_request *req);

enum { OUTCOME_PLAIN_MAX = 1024 };

/*
 * An OperationOutcome (or OAuth error) without a request's memory; message is a literal
 * without characters that JSON escapes. Returns its length.
 */
size_t outcome_plain(char out[OUTCOME_PLAIN_MAX], bool oauth, enum andiron_code code,
                     const char *message);

#endif
