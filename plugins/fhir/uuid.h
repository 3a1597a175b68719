/*
 * Ids for new resources.
 */
#ifndef FHIR_UUID_H
#define FHIR_UUID_H

#include <andiron/base.h>

/*
 * A UUID of version 7 (RFC 9562) in arena: it begins with the time, so that new ids lie side by
 * side in a store's index and an insert touches few pages.
 */
andiron_str uuid_new(struct andiron_arena *arena);

#endif
