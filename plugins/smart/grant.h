/*
 * What a token request is granted: requested scopes against the client's, wildcards
 * expanded (seed-semantics SC-4 to SC-9). No state beyond the settings; any thread.
 */
#ifndef SMART_GRANT_H
#define SMART_GRANT_H

#include <andiron/auth.h>

#include "query.h"

struct grant_settings {
    bool expand;               /* wildcard = expand */
    const int *wildcard_types; /* indexes of common/fhir/types.h, by type name */
    size_t wildcard_count;
    size_t max_scopes; /* in one request; and of those granted, with a query */
    const struct query_search *search;
};

/* As in struct andiron_scopes. */
int grant_scopes(const struct grant_settings *settings, struct andiron_arena *arena,
                 andiron_str requested, andiron_json allowed, struct andiron_scope_grant *ret,
                 struct andiron_error *err);

#endif
