/*
 * Index terms of a resource, by the type that it says it is.
 */
#include "search.h"

int search_extract(const struct search *search, const struct model *model,
                   struct andiron_arena *arena, const char *only, andiron_json resource,
                   const struct andiron_term **ret_terms, size_t *ret_count, bool *ret_is_known,
                   struct andiron_error *err)
{
    struct search_type type;
    size_t custom_count, more_count = 0;

    *ret_is_known =
        model_type(model, andiron_json_str(andiron_json_get(resource, "resourceType")), &type);
    if (!*ret_is_known) {
        *ret_terms = NULL; /* a plugin's own state, which nobody searches */
        *ret_count = 0;
        return 0;
    }
    const struct model_custom *customs = model_customs(&type, &custom_count);
    const struct fhir_extract_root **more = NULL;
    if (custom_count > 0)
        more = andiron_alloc(arena, custom_count * sizeof(const struct fhir_extract_root *));
    for (size_t i = 0; i < custom_count; i++)
        if (customs[i].is_indexed && (only == NULL || strcmp(customs[i].param.term, only) == 0))
            more[more_count++] = &customs[i].root;
    struct fhir_extract_root root = model_root(&type);
    return fhir_extract_more(arena, &search->extract, only == NULL ? &root : NULL, more, more_count,
                             resource, ret_terms, ret_count, err);
}
