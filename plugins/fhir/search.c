/*
 * Searches of a type, of a compartment and of the whole system, by GET and by POST: compiles,
 * asks for every further type that the search looks at, runs it, and wraps the rows into a
 * searchset.
 */
#include <andiron/auth.h>

#include "access.h"
#include "common/fhir/compartments.h"
#include "common/fhir/types.h"
#include "operations.h"
#include "searchset.h"
#include "text.h"

struct searching {
    const struct fhir *fhir;
    const struct resource_type *type; /* NULL: several */
    andiron_str compartment;          /* "Patient/1"; absent: none */
    struct wanted wanted;
    andiron_str expression;
    struct andiron_search_plan plan;
    struct andiron_error unread; /* why the plan could not be completed */
    struct andiron_rows rows;
    bool suppressed;
    bool explain; /* the request may see how it is done */

    size_t includes_asked; /* in plan.query.visible */
    struct andiron_request *question;
    struct andiron_visible *visible; /* of plan.query.visible those that may be seen */
    size_t visible_count;
};

/* "http://host/fhir/Observation", ".../fhir/Patient/1/Observation", ".../fhir". */
static andiron_str own_url(struct andiron_request *req, const struct searching *s)
{
    andiron_str base = andiron_request_base(req);
    struct text t;

    text_init(&t, andiron_request_arena(req), base.len + s->compartment.len + 80);
    text_str(&t, base);
    if (fhir_base_of(req) == BASE_FHIR)
        TEXT_LIT(&t, "/fhir");
    if (s->compartment.data != NULL) {
        TEXT_LIT(&t, "/");
        text_str(&t, s->compartment);
    }
    if (s->type != NULL || s->compartment.data != NULL)
        TEXT_LIT(&t, "/");
    text_str(&t, s->type != NULL               ? s->type->str
                 : s->compartment.data != NULL ? ANDIRON_STR("*")
                                               : ANDIRON_STR(""));
    return text_view(&t);
}

/* What was applied, without the compartment, which the path says and which comes first. */
static andiron_str own_query(const struct searching *s)
{
    andiron_str query = s->plan.self;
    if (s->compartment.data == NULL)
        return query;
    const char *end = query.len > 0 ? memchr(query.data, '&', query.len) : NULL;
    size_t past = end != NULL ? (size_t)(end - query.data) + 1 : query.len;
    return (andiron_str){ query.data + past, query.len - past };
}

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    struct searching *s = state;

    if (s->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->rows.error);
    /* Said by what was asked for, never by what there is: that would tell of hidden resources. */
    s->rows.suppressed = false;
    for (size_t i = 0; i < s->plan.query.visible_count; i++)
        s->suppressed |= s->plan.query.visible[i].filter != NULL;
    struct searchset set = {
        .fhir = s->fhir,
        .plan = &s->plan,
        .rows = &s->rows,
        .suppressed = s->suppressed,
        .links = { .url = own_url(req, s),
                   .query = own_query(s),
                   .cursor = s->plan.query.cursor,
                   .next = s->rows.cursor,
                   .previous = s->rows.previous },
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

/* Whether the type is searched anyway, so that nobody need be asked. */
static bool is_searched(const struct searching *s, const char *type)
{
    const char *const *types = s->plan.query.types;

    if (s->type != NULL)
        return strcmp(type, s->type->name) == 0;
    while (types != NULL && *types != NULL)
        if (strcmp(*types++, type) == 0)
            return true;
    return false;
}

static enum andiron_step ask_next(struct andiron_request *req, struct searching *s)
{
    struct andiron_query *q = &s->plan.query;

    if (q->include_count > 0 && q->visible != NULL && asks_for_includes(req, s)) {
        if (s->visible == NULL)
            s->visible = andiron_alloc(andiron_request_arena(req),
                                       (q->visible_count + 1) * sizeof(s->visible[0]));
        while (s->includes_asked < q->visible_count) {
            if (!is_searched(s, q->visible[s->includes_asked].type))
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

static enum andiron_step completed(struct andiron_request *req, void *state)
{
    struct searching *s = state;

    if (s->unread.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->unread);
    s->plan.query.explain = s->explain;
    return ask_next(req, s);
}

static enum andiron_step chains_allowed(struct andiron_request *req, void *state)
{
    struct searching *s = state;

    if (s->plan.unread == NULL)
        return ask_next(req, s);
    return s->fhir->search->complete(s->fhir->search_self, req, &s->plan, &s->unread, completed, s);
}

static enum andiron_step compile(struct andiron_request *req, struct searching *s)
{
    struct andiron_error err;
    andiron_str none = { NULL, 0 };
    enum fhir_handling handling = s->wanted.has_handling
                                      ? s->wanted.handling
                                      : (enum fhir_handling)s->fhir->config->search_handling;

    if (s->fhir->search->compile(s->fhir->search_self, req, s->type != NULL ? s->type->str : none,
                                 s->expression, handling == HANDLING_STRICT, &s->plan, &err) != 0)
        return andiron_fail_with(req, &err);
    s->plan.query.explain = s->explain;
    return access_types(req, s->plan.types, chains_allowed, s);
}

static void put_part(struct text *t, andiron_str part)
{
    if (part.len == 0)
        return;
    if (t->len > 0)
        TEXT_LIT(t, "&");
    text_str(t, part);
}

/* ---- _explain=true ----------------------------------------------------------------------- */

/* What stands before and behind it in the expression; false if it is not asked for. */
static bool find_explain(andiron_str expression, andiron_str *ret_before, andiron_str *ret_behind)
{
    static const char wanted[] = "_explain=true";
    andiron_str rest = expression;

    while (rest.len > 0) {
        const char *end = memchr(rest.data, '&', rest.len);
        andiron_str pair = { rest.data, end != NULL ? (size_t)(end - rest.data) : rest.len };
        size_t taken = pair.len + (end != NULL ? 1 : 0);
        rest = (andiron_str){ rest.data + taken, rest.len - taken };
        if (!andiron_str_eq(pair, ANDIRON_STR(wanted)))
            continue;
        size_t before = (size_t)(pair.data - expression.data);
        *ret_before = (andiron_str){ expression.data, before > 0 ? before - 1 : 0 };
        *ret_behind = rest;
        return true;
    }
    return false;
}

/* For those who may not see it, it stays what it is for the search: an unknown parameter. */
static enum andiron_step insight_asked(struct andiron_request *req, void *state)
{
    struct searching *s = state;
    andiron_str before, behind;
    struct text t;

    if (andiron_reply_status(s->question) < 400 && find_explain(s->expression, &before, &behind)) {
        text_init(&t, andiron_request_arena(req), s->expression.len);
        text_str(&t, before);
        put_part(&t, behind);
        s->expression = text_view(&t);
        s->explain = true;
    }
    return compile(req, s);
}

static enum andiron_step search(struct andiron_request *req, struct searching *s)
{
    andiron_str before, behind;

    if (find_explain(s->expression, &before, &behind))
        return access_insight(req, &s->question, insight_asked, s);
    return compile(req, s);
}

/* ---- the expression ---------------------------------------------------------------------------- */

/* The query, and the form of a POST: both count alike (search.html#3.1.1.1.1). -1: failed. */
static int read_expression(struct andiron_request *req, struct searching *s)
{
    static const char form[] = "application/x-www-form-urlencoded";
    andiron_str type = andiron_request_header(req, "content-type"),
                body = andiron_request_body(req);
    struct text t; /* not printf: a body may hold NULs, and the compiler must see them */

    s->expression = andiron_request_query(req);
    if (!andiron_str_eq(andiron_request_method(req), ANDIRON_STR("POST")))
        body.len = 0;
    if (body.len > 0 &&
        (type.len < sizeof(form) - 1 || memcmp(type.data, form, sizeof(form) - 1) != 0)) {
        (void)andiron_fail(req, ANDIRON_E_MEDIA_TYPE, "Content-Type of a _search must be %s", form);
        return -1;
    }
    if (body.len == 0 && s->compartment.data == NULL)
        return 0;
    text_init(&t, andiron_request_arena(req),
              s->expression.len + body.len + s->compartment.len + 24);
    if (s->compartment.data != NULL) {
        TEXT_LIT(&t, "_compartment=");
        text_str(&t, s->compartment);
    }
    put_part(&t, s->expression);
    put_part(&t, body);
    s->expression = text_view(&t);
    return 0;
}

/* ---- several types ------------------------------------------------------------------------------ */

/* 0: no _type; 1: only types that the request may see; -1: refused, or there is no such type. */
static int check_named_types(struct andiron_request *req, const struct searching *s)
{
    andiron_str name, value;
    int named = 0;

    for (size_t pos = 0; andiron_request_param(req, &pos, &name, &value);) {
        if (!andiron_str_eq(name, ANDIRON_STR("_type")))
            continue;
        named = 1;
        while (value.len > 0) {
            const char *comma = memchr(value.data, ',', value.len);
            andiron_str one = { value.data,
                                comma != NULL ? (size_t)(comma - value.data) : value.len };
            const struct resource_type *type = types_find(s->fhir->types, one);
            if (type != NULL && access_is_hidden(req, type, ANDIRON_ACCESS_SEARCH)) {
                (void)access_refuse(req);
                return -1;
            }
            value.data += comma != NULL ? one.len + 1 : one.len;
            value.len -= comma != NULL ? one.len + 1 : one.len;
        }
    }
    return named;
}

/* Without _type those types are searched that the request may see: said only if some are hidden. */
static void add_visible_types(struct andiron_request *req, struct searching *s)
{
    const struct resource_type *type;
    bool any_hidden = false;
    struct text t, list;

    text_init(&list, andiron_request_arena(req), 4096);
    for (size_t i = 0; (type = types_at(s->fhir->types, i)) != NULL; i++) {
        if (type->platform)
            continue;
        if (access_is_hidden(req, type, ANDIRON_ACCESS_SEARCH)) {
            any_hidden = true;
            continue;
        }
        if (list.len > 0)
            TEXT_LIT(&list, ",");
        text_str(&list, type->str);
    }
    if (!any_hidden)
        return;
    text_init(&t, andiron_request_arena(req), s->expression.len + list.len + 16);
    text_str(&t, s->expression);
    put_part(&t, ANDIRON_STR("_type="));
    text_str(&t, text_view(&list));
    s->expression = text_view(&t);
}

static enum andiron_step search_several(struct andiron_request *req, struct searching *s)
{
    if (negotiate(req, &s->wanted) != 0 || read_expression(req, s) != 0)
        return ANDIRON_DONE;
    int named = check_named_types(req, s);
    if (named < 0)
        return ANDIRON_DONE;
    if (named == 0)
        add_visible_types(req, s);
    return search(req, s);
}

enum andiron_step fhir_search_system(struct andiron_request *req, void *self)
{
    struct searching *s = andiron_new(andiron_request_arena(req), struct searching);

    s->fhir = self;
    return search_several(req, s);
}

/* ---- one type ------------------------------------------------------------------------------------ */

enum andiron_step fhir_search(struct andiron_request *req, void *self)
{
    struct searching *s = andiron_new(andiron_request_arena(req), struct searching);

    s->fhir = self;
    s->type = types_find(s->fhir->types, andiron_request_var(req, "type"));
    if (s->type == NULL)
        return access_unknown_type(req);
    if (negotiate(req, &s->wanted) != 0)
        return ANDIRON_DONE;
    if (read_expression(req, s) != 0)
        return ANDIRON_DONE;
    if (s->type->virtual)
        return operations_list(s->fhir, req, &s->wanted);
    return search(req, s);
}

/* GET /fhir/Patient/1/Observation, or /fhir/Patient/1/ and a star for all types. */
enum andiron_step fhir_search_compartment(struct andiron_request *req, void *self)
{
    struct searching *s = andiron_new(andiron_request_arena(req), struct searching);
    andiron_str owner = andiron_request_var(req, "compartment"),
                id = andiron_request_var(req, "id"), type = andiron_request_var(req, "type");
    int compartment = fhir_type(owner);

    s->fhir = self;
    s->type = types_find(s->fhir->types, type);
    bool all = andiron_str_eq(type, ANDIRON_STR("*"));
    if (compartment < 0 || !fhir_is_compartment(compartment) || (s->type == NULL && !all))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "nothing is served under this path");
    if (!types_is_id(id))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%.*s/%.*s is not known", (int)owner.len,
                            owner.data, (int)id.len, id.data);
    s->compartment = andiron_str_of(andiron_printf(
        andiron_request_arena(req), "%.*s/%.*s", (int)owner.len, owner.data, (int)id.len, id.data));
    if (all)
        return search_several(req, s);
    if (negotiate(req, &s->wanted) != 0 || read_expression(req, s) != 0)
        return ANDIRON_DONE;
    return search(req, s);
}

/*
 * GET /fhir/$explain: 204 for those who may say _explain=true in a search. Mostly asked from
 * within: what counts is the route's operation, which policies see.
 */
enum andiron_step fhir_may_explain(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
}
