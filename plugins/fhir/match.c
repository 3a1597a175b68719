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

/* What of a search matters for a match. */
static void set_shape(struct andiron_query *query)
{
    query->sort_count = 0;
    query->include_count = 0;
    query->limit = 2; /* one is a match, two are too many */
    query->total = ANDIRON_TOTAL_NONE;
    query->cursor = (andiron_str){ NULL, 0 };
}

int match_begin(const struct fhir *fhir, struct andiron_request *judged,
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
    set_shape(&ret->query);
    return 0;
}

int match_compile(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str criteria,
                  struct andiron_search_plan *ret, struct andiron_error *err)
{
    if (match_begin(fhir, judged, type, criteria, ret, err) != 0)
        return -1;
    if (ret->unread == NULL)
        return 0;
    return andiron_error_set(err, ANDIRON_E_INVALID, "",
                             "stored ValueSets and CodeSystems cannot be asked about by the "
                             "criteria of a transaction");
}

struct completing {
    struct andiron_search_plan *plan;
    struct andiron_error error;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step completed(struct andiron_request *req, void *state)
{
    struct completing *c = state;

    if (c->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &c->error);
    set_shape(&c->plan->query);
    return c->then(req, c->state);
}

enum andiron_step match_complete(const struct fhir *fhir, struct andiron_request *req,
                                 struct andiron_search_plan *plan, andiron_step_fn then,
                                 void *state)
{
    if (plan->unread == NULL)
        return then(req, state);
    struct completing *c = andiron_new(andiron_request_arena(req), struct completing);
    c->plan = plan;
    c->then = then;
    c->state = state;
    return fhir->search->complete(fhir->search_self, req, plan, &c->error, completed, c);
}
