#include "part.h"

#include "subset.h"
#include "text.h"

struct part {
    struct part *next;
    const struct resource_type *type;
    struct andiron_search_plan plan;
};

struct parts {
    const struct fhir *fhir;
    struct andiron_request *req;
    andiron_str expression;
    struct part *first; /* of the types so far */
};

/* The parameters that matter, as they were sent; absent: none of them. */
static andiron_str pick(struct andiron_request *req)
{
    andiron_str query = andiron_request_query(req);
    struct text t = { .arena = NULL };

    while (query.len > 0) {
        const char *end = memchr(query.data, '&', query.len);
        andiron_str pair = { query.data, end != NULL ? (size_t)(end - query.data) : query.len };
        if ((pair.len > 9 && memcmp(pair.data, "_summary=", 9) == 0) ||
            (pair.len > 10 && memcmp(pair.data, "_elements=", 10) == 0)) {
            if (t.arena == NULL)
                text_init(&t, andiron_request_arena(req), query.len + 1);
            else
                TEXT_LIT(&t, "&");
            text_str(&t, pair);
        }
        size_t past = pair.len + (end != NULL ? 1 : 0);
        query.data += past;
        query.len -= past;
    }
    return t.arena != NULL ? text_view(&t) : (andiron_str){ NULL, 0 };
}

/* NULL and err. */
static struct part *part_of(struct parts *parts, const struct resource_type *type,
                            struct andiron_error *err)
{
    const struct fhir *fhir = parts->fhir;

    for (struct part *p = parts->first; p != NULL; p = p->next)
        if (p->type == type)
            return p;
    struct part *made = andiron_new(andiron_request_arena(parts->req), struct part);
    made->type = type;
    if (fhir->search->compile(fhir->search_self, parts->req, type->str, parts->expression, true,
                              &made->plan, err) != 0)
        return NULL;
    made->next = parts->first;
    parts->first = made;
    return made;
}

int parts_read(const struct fhir *fhir, struct andiron_request *req, struct parts **ret,
               struct andiron_error *err)
{
    andiron_str expression = pick(req);
    const struct resource_type *type = types_find(fhir->types, andiron_request_var(req, "type"));

    *ret = NULL;
    if (expression.len == 0)
        return 0;
    struct parts *parts = andiron_new(andiron_request_arena(req), struct parts);
    *parts = (struct parts){ .fhir = fhir, .req = req, .expression = expression };
    /* What is wrong with it is so for any type. */
    if (part_of(parts, type != NULL ? type : types_at(fhir->types, 0), err) == NULL)
        return -1;
    *ret = parts;
    return 0;
}

andiron_str parts_query(const struct parts *parts)
{
    return parts->expression;
}

andiron_str parts_text(struct parts *parts, const struct resource_type *type, andiron_str text)
{
    struct andiron_error err;
    struct part *part = parts != NULL ? part_of(parts, type, &err) : NULL;

    if (part == NULL || part->plan.subset == ANDIRON_SUBSET_NONE ||
        part->plan.subset == ANDIRON_SUBSET_COUNT) /* nothing is counted here */
        return text;
    return subset_text(andiron_request_arena(parts->req), type, &part->plan, text);
}
