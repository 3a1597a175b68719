#include "match.h"

/* Parameters that shape a result and choose nothing (search.html#3.1.1.5). */
static bool is_result_parameter(andiron_str name)
{
    static const char *const names[] = { "_sort",    "_count",  "_include",       "_revinclude",
                                         "_summary", "_total",  "_elements",      "_contained",
                                         "_format",  "_pretty", "_containedType", "_cursor",
                                         "_score" };
    const char *colon = name.len > 0 ? memchr(name.data, ':', name.len) : NULL;
    if (colon != NULL)
        name.len = (size_t)(colon - name.data);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(names[i])))
            return true;
    return false;
}

static bool chooses(andiron_str criteria)
{
    while (criteria.len > 0) {
        const char *end = memchr(criteria.data, '&', criteria.len);
        andiron_str pair = { criteria.data,
                             end != NULL ? (size_t)(end - criteria.data) : criteria.len };
        const char *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
        if (equals != NULL && equals + 1 < pair.data + pair.len &&
            !is_result_parameter((andiron_str){ pair.data, (size_t)(equals - pair.data) }))
            return true;
        size_t past = end != NULL ? pair.len + 1 : pair.len;
        criteria.data += past;
        criteria.len -= past;
    }
    return false;
}

int match_compile(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str criteria,
                  struct andiron_search_plan *ret, struct andiron_error *err)
{
    if (criteria.len > type->str.len && criteria.data[type->str.len] == '?' &&
        memcmp(criteria.data, type->name, type->str.len) == 0) {
        criteria.data += type->str.len;
        criteria.len -= type->str.len;
    }
    if (criteria.len > 0 && criteria.data[0] == '?')
        criteria.data++, criteria.len--;
    if (!chooses(criteria))
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "the condition needs a search parameter with a value, such as "
                                 "identifier=system|value");
    if (fhir->search->compile(fhir->search_self, judged, type->str, criteria, true, ret, err) != 0)
        return -1;
    ret->query.sort_count = 0;
    ret->query.include_count = 0;
    ret->query.limit = 2; /* one is a match, two are too many */
    ret->query.total = ANDIRON_TOTAL_NONE;
    ret->query.cursor = (andiron_str){ NULL, 0 };
    return 0;
}
