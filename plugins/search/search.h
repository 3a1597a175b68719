/*
 * The plugin itself, as its parts that run inside of requests see it.
 */
#ifndef SEARCH_SEARCH_H
#define SEARCH_SEARCH_H

#include <andiron/plugin.h>
#include <andiron/store.h>

#include "compile.h"
#include "model.h"

struct search {
    struct model model;
    struct search_limits limits;
    struct fhir_extract_options extract;
    struct andiron_host *host;
    struct andiron_service_ref store; /* its table is NULL where there is no store */
};

/* Terms of a resource; *ret_is_known is false if its type is a plugin's own, without terms here. */
int search_extract(const struct search *search, struct andiron_arena *arena, andiron_json resource,
                   const struct andiron_term **ret_terms, size_t *ret_count, bool *ret_is_known,
                   struct andiron_error *err);

/* POST /control/check, in check.c. */
enum andiron_step search_check(struct andiron_request *req, void *self);

#endif
