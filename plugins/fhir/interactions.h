/*
 * andiron_fhir_interactions_total: what was done to which type, and how it ended. Series are
 * registered when they are first needed; counting takes no lock. Any thread.
 */
#ifndef FHIR_INTERACTIONS_H
#define FHIR_INTERACTIONS_H

#include "fhir.h"

/* Freed by interactions_free(), which accepts NULL. */
struct interactions *interactions_new(struct andiron_host *host);
void interactions_free(struct interactions *interactions);

/*
 * Counts one: operation is a name such as FhirRead or Read (others are not counted), type absent
 * for the whole system; types that R4 does not have count as "other".
 */
void interactions_count(struct interactions *interactions, const char *operation, andiron_str type,
                        int status);

/* LOG hook: counts requests. Entries of a Bundle are counted where they are answered. */
enum andiron_step fhir_log(struct andiron_request *req, void *self);

#endif
