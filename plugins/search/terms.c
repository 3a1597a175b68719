/*
 * Index terms of a resource, by the type that it says it is.
 */
#include "search.h"

int search_extract(const struct search *search, struct andiron_arena *arena, andiron_json resource,
                   const struct andiron_term **ret_terms, size_t *ret_count, bool *ret_is_known,
                   struct andiron_error *err)
{
    struct search_type type;

    *ret_is_known = model_type(&search->model,
                               andiron_json_str(andiron_json_get(resource, "resourceType")), &type);
    if (!*ret_is_known) {
        *ret_terms = NULL; /* a plugin's own state, which nobody searches */
        *ret_count = 0;
        return 0;
    }
    struct fhir_extract_root root = model_root(&type);
    return fhir_extract(arena, &search->extract, &root, resource, ret_terms, ret_count, err);
}
