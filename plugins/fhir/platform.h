/*
 * Platform types (Client, AccessPolicy ...): how clients write them, how they are
 * stored and how they are shown differ in references and in the creation time
 * (seed-semantics B-3, B-4). These resources are small, so they are written anew.
 */
#ifndef FHIR_PLATFORM_H
#define FHIR_PLATFORM_H

#include "fhir.h"

/*
 * What a client sent, as it is kept: resourceType and id present, references as
 * {"resourceType","id"}. Pure, any thread.
 */
andiron_str platform_kept(struct andiron_arena *arena, const struct resource_type *type,
                          andiron_str id, andiron_json resource);

/*
 * A stored resource as shown below /fhir: references as {"reference"}, creation time as an
 * extension of meta if created_at_url is not absent, else not at all. Pure, any thread.
 */
andiron_str platform_shown(struct andiron_arena *arena, const struct resource_type *type,
                           andiron_str created_at_url, andiron_json resource);

#endif
