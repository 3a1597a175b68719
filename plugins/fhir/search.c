/*
 * Type-level search, by GET and by POST: compiles, asks for every further type that the
 * search looks at, runs it, and wraps the rows into a searchset.
 */
#include <andiron/auth.h>

#include "access.h"
#include "operations.h"
#include "searchset.h"
#include "text.h"

struct searching {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    andiron_str expression;
    struct andiron_search_plan plan;
    struct andiron_rows rows;
    bool suppressed;

    size_t includes_asked; /* in plan.query.visible */
    struct andiron_request *question;
    struct andiron_visible *visible; /* of plan.query.visible those that may be seen */
    size_t visible_count;
};

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    struct searching *s = state;

    if (s->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->rows.error);
    andiron_str url = answer_url(req, fhir_base_of(req), s->type, (andiron_str){ "", 0 }, 0);
    struct searchset set = {
        .fhir = s->fhir,
        .plan = &s->plan,
        .rows = &s->rows,
        .suppressed = s->suppressed,
        .links = { .url = { url.data, url.len - 1 },
                   .query = s->plan.self,
                   .cursor = s->plan.query.cursor,
                   .next = s->rows.cursor },
    };
    return answer_json(req, &s->wanted, 200, searchset_text(req, &set));
}

static enum andiron_step ask_next(struct andiron_request *req, struct searching *s);

static enum andiron_step include_asked(struct andiron_request *req, void *state)
{
    struct searching *s = state;

    if (andiron_reply_status(s->question) < 400)
        s->visible[s->visible_count++] = s->plan.query.visible[s->includes_asked];
    else
        s->suppressed = true;
    s->includes_asked++;
    return ask_next(req, s);
}

/* What scopes limit they limit in includes, too; whether policies do is a setting. */
static bool asks_for_includes(const struct andiron_request *req, const struct searching *s)
{
    return s->fhir->config->authorize_includes || andiron_request_principal(req)->scopes != NULL;
}

static enum andiron_step ask_next(struct andiron_request *req, struct searching *s)
{
    struct andiron_query *q = &s->plan.query;

    if (q->include_count > 0 && q->visible != NULL && asks_for_includes(req, s)) {
        if (s->visible == NULL)
            s->visible = andiron_alloc(andiron_request_arena(req),
                                       (q->visible_count + 1) * sizeof(s->visible[0]));
        while (s->includes_asked < q->visible_count) {
            if (strcmp(q->visible[s->includes_asked].type, s->type->name) != 0)
                return access_type(req, q->visible[s->includes_asked].type, &s->question,
                                   include_asked, s);
            s->visible[s->visible_count++] =
                q->visible[s->includes_asked++]; /* is being searched */
        }
        q->visible = s->visible;
        q->visible_count = s->visible_count;
    }
    return s->fhir->store->search(s->fhir->store_self, req, q, &s->rows, answer, s);
}

static enum andiron_step chains_allowed(struct andiron_request *req, void *state)
{
    return ask_next(req, state);
}

static enum andiron_step search_type(struct andiron_request *req, struct searching *s)
{
    struct andiron_error err;
    enum fhir_handling handling = s->wanted.has_handling
                                      ? s->wanted.handling
                                      : (enum fhir_handling)s->fhir->config->search_handling;

    if (s->fhir->search->compile(s->fhir->search_self, req, s->type->str, s->expression,
                                 handling == HANDLING_STRICT, &s->plan, &err) != 0)
        return andiron_fail_with(req, &err);
    return access_types(req, s->plan.types, chains_allowed, s);
}

/* NULL: the request has been answered. */
static struct searching *begin(struct andiron_request *req, const struct fhir *fhir)
{
    struct searching *s = andiron_new(andiron_request_arena(req), struct searching);

    s->fhir = fhir;
    s->type = types_find(fhir->types, andiron_request_var(req, "type"));
    if (s->type == NULL) {
        (void)access_unknown_type(req);
        return NULL;
    }
    if (negotiate(req, &s->wanted) != 0)
        return NULL;
    s->expression = andiron_request_query(req);
    return s;
}

enum andiron_step fhir_search(struct andiron_request *req, void *self)
{
    struct searching *s = begin(req, self);

    if (s == NULL)
        return ANDIRON_DONE;
    if (s->type->virtual)
        return operations_list(s->fhir, req, &s->wanted);
    return search_type(req, s);
}

/* POST _search: parameters of the query and of the form count alike (search.html#3.1.1.1.1). */
enum andiron_step fhir_search_post(struct andiron_request *req, void *self)
{
    static const char form[] = "application/x-www-form-urlencoded";
    struct searching *s = begin(req, self);
    andiron_str type = andiron_request_header(req, "content-type"),
                body = andiron_request_body(req);

    if (s == NULL)
        return ANDIRON_DONE;
    if (body.len > 0 &&
        (type.len < sizeof(form) - 1 || memcmp(type.data, form, sizeof(form) - 1) != 0))
        return andiron_fail(req, ANDIRON_E_MEDIA_TYPE, "Content-Type of a _search must be %s",
                            form);
    if (s->type->virtual)
        return operations_list(s->fhir, req, &s->wanted);
    if (body.len > 0) {
        struct text t; /* not printf: a body may hold NULs, and the compiler must see them */
        text_init(&t, andiron_request_arena(req), s->expression.len + 1 + body.len);
        text_str(&t, s->expression);
        if (s->expression.len > 0)
            TEXT_LIT(&t, "&");
        text_str(&t, body);
        s->expression = text_view(&t);
    }
    return search_type(req, s);
}
