/*
 * The plugin itself, as its parts that run inside of requests see it.
 */
#ifndef SEARCH_SEARCH_H
#define SEARCH_SEARCH_H

#include <andiron/plugin.h>
#include <andiron/search.h>
#include <andiron/store.h>

#include "compile.h"
#include "models.h"

struct search {
    struct model base; /* what is there without any SearchParameter */
    struct models *models;
    struct builder *builder;
    struct search_limits limits;
    int64_t index_pause_ms;
    struct fhir_extract_options extract;
    struct andiron_host *host;
    struct andiron_service_ref store; /* its table is NULL where there is no store */
};

/*
 * Terms of a resource; only: those of that name, of a parameter made at run time, or NULL for all.
 * *ret_is_known is false if its type is a plugin's own, without terms here.
 */
int search_extract(const struct search *search, const struct model *model,
                   struct andiron_arena *arena, const char *only, andiron_json resource,
                   const struct andiron_term **ret_terms, size_t *ret_count, bool *ret_is_known,
                   struct andiron_error *err);

/* POST /control/check, in check.c. */
enum andiron_step search_check(struct andiron_request *req, void *self);

/* parameter() of search/1: what a snapshot has of a type that can be searched. In status.c. */
bool search_parameter(const struct snapshot *s, struct andiron_arena *arena, andiron_str type,
                      size_t *pos, struct andiron_search_parameter *ret);

/* GET /fhir/SearchParameter/$index-status, in status.c. */
enum andiron_step search_status(struct andiron_request *req, void *self);

#endif
