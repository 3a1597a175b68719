/*
 * Queries of scopes. Uses search/1 and the list of FHIR types.
 */
#include "query.h"

#include "common/fhir/types.h"
#include "scope.h"

int query_prepare(const struct query_search *search, struct andiron_arena *arena, int type,
                  const char *const *any_of, struct andiron_limit *ret, struct andiron_error *err)
{
    if (search->table == NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "conditions on resources need the plugin search");
    ret->any_of = any_of;
    ret->prepared = search->table->prepare(search->self, arena,
                                           andiron_str_of(fhir_type_name(type)), any_of, err);
    return ret->prepared != NULL ? 0 : -1;
}

int query_check(const struct query_search *search, struct andiron_arena *arena, int type,
                andiron_str query, struct andiron_error *err)
{
    const char **any_of = andiron_alloc(arena, 2 * sizeof(any_of[0]));
    struct andiron_limit limit;

    any_of[0] = andiron_copy(arena, query);
    any_of[1] = NULL;
    return query_prepare(search, arena, type, any_of, &limit, err);
}

static bool says(andiron_str query, andiron_str wanted)
{
    andiron_str pair;
    while (scope_next_pair(&query, &pair))
        if (andiron_str_eq(pair, wanted))
            return true;
    return false;
}

andiron_str query_join(struct andiron_arena *arena, andiron_str a, andiron_str b)
{
    char *text = andiron_alloc(arena, a.len + b.len + 2);
    andiron_str pair;
    size_t len = a.len;

    if (a.len > 0)
        memcpy(text, a.data, a.len);
    while (scope_next_pair(&b, &pair)) {
        if (pair.len == 0 || (a.len > 0 && says(a, pair)))
            continue;
        if (len > 0)
            text[len++] = '&';
        memcpy(text + len, pair.data, pair.len);
        len += pair.len;
    }
    return len > 0 ? (andiron_str){ text, len } : (andiron_str){ NULL, 0 };
}
