#include "access.h"

#include "answer.h"

/* Finer names of operations (seed-semantics 1.1): platform types have their own, below both bases. */
static const struct refinement {
    const char *route, *conditional, *platform;
} refinements[] = {
    { "FhirRead", NULL, "Read" },
    { "FhirVread", NULL, "History" },
    { "FhirCreate", "FhirConditionalCreate", "Create" },
    { "FhirUpdate", NULL, "Update" },
    { "FhirPatch", NULL, "Patch" },
    { "FhirDelete", NULL, "Delete" },
    { "FhirConditionalUpdate", NULL, "Update" },
    { "FhirConditionalPatch", NULL, "Patch" },
    { "FhirConditionalDelete", NULL, "Delete" },
    { "FhirSearch", NULL, "Search" },
    { "FhirHistory", NULL, "History" },
    { "FhirTypeHistory", NULL, "History" },
    { "FhirCompartmentSearch", NULL, NULL },
    { "FhirOperation", NULL, NULL },
};

enum andiron_step access_unknown_type(struct andiron_request *req)
{
    andiron_str type = andiron_request_var(req, "type");
    return andiron_fail(req, ANDIRON_E_NOT_FOUND,
                        "'%.*s' is not a resource type of this server; /fhir/metadata lists them",
                        (int)(type.len < 64 ? type.len : 64), type.len > 0 ? type.data : "");
}

static bool is_ours(const char *operation)
{
    static const char *const plain[] = { "Read",   "Create", "Update", "Patch",
                                         "Delete", "Search", "History" };
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (strcmp(operation, plain[i]) == 0)
            return true;
    return false;
}

/*
 * RECEIVE: an unknown type is a route that does not exist, whoever asks; policies see
 * what will really be done. Routes of other plugins pass.
 */
enum andiron_step fhir_receive(struct andiron_request *req, void *self)
{
    const struct fhir *fhir = self;
    const char *operation = andiron_request_operation(req);
    const struct refinement *found = NULL;

    if (operation == NULL)
        return ANDIRON_NEXT;
    for (size_t i = 0; found == NULL && i < sizeof(refinements) / sizeof(refinements[0]); i++)
        if (strcmp(operation, refinements[i].route) == 0)
            found = &refinements[i];
    if (found == NULL && !is_ours(operation))
        return ANDIRON_NEXT;
    andiron_str name = andiron_request_var(req, "type");
    if (name.data == NULL)
        return ANDIRON_NEXT;
    const struct resource_type *type = types_find(fhir->types, name);
    if (found != NULL && found->platform == NULL) /* "*": all types of a compartment */
        return (andiron_str_eq(name, ANDIRON_STR("*")) &&
                strcmp(operation, "FhirOperation") != 0) ||
                       (type != NULL && !type->platform)
                   ? ANDIRON_NEXT
                   : access_unknown_type(req);
    if (type == NULL || (!type->platform && fhir_base_of(req) == BASE_ROOT))
        return access_unknown_type(req);
    if (found != NULL && type->platform)
        andiron_request_refine_operation(req, found->platform);
    else if (found != NULL && found->conditional != NULL &&
             andiron_request_header(req, "if-none-exist").data != NULL)
        andiron_request_refine_operation(req, found->conditional);
    return ANDIRON_NEXT;
}

/* ---- asking for further types ---------------------------------------------------------- */

enum andiron_step access_type(struct andiron_request *req, const char *type,
                              struct andiron_request **ret_sub, andiron_step_fn then, void *state)
{
    struct andiron_inner inner = {
        .size = sizeof(inner),
        .method = ANDIRON_STR("GET"),
        .check_only = true,
        .target = andiron_str_of(andiron_printf(andiron_request_arena(req), "/fhir/%s", type)),
    };
    return andiron_request_run(req, &inner, ret_sub, then, state);
}

enum andiron_step access_insight(struct andiron_request *req, struct andiron_request **ret_sub,
                                 andiron_step_fn then, void *state)
{
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .check_only = true,
                                   .target = ANDIRON_STR("/fhir/$explain") };
    return andiron_request_run(req, &inner, ret_sub, then, state);
}

struct questions {
    const char *const *types; /* those that are left */
    struct andiron_request *sub;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step type_asked(struct andiron_request *req, void *state)
{
    struct questions *q = state;

    if (q->sub != NULL && andiron_reply_status(q->sub) >= 400)
        return andiron_fail(req, ANDIRON_E_FORBIDDEN, "Forbidden");
    if (*q->types == NULL)
        return q->then(req, q->state);
    return access_type(req, *q->types++, &q->sub, type_asked, q);
}

enum andiron_step access_types(struct andiron_request *req, const char *const *types,
                               andiron_step_fn then, void *state)
{
    if (types == NULL)
        return then(req, state);
    struct questions *q = andiron_new(andiron_request_arena(req), struct questions);
    *q = (struct questions){ .types = types, .then = then, .state = state };
    return type_asked(req, q);
}

bool access_is_hidden(const struct andiron_request *req, const struct resource_type *type)
{
    const char *const *any_of;
    for (size_t pos = 0; (any_of = andiron_request_narrowing(req, &pos, type->str)) != NULL;)
        if (any_of[0] == NULL)
            return true;
    return false;
}

bool access_is_narrowed(const struct andiron_request *req, const struct resource_type *type)
{
    size_t pos = 0;
    return andiron_request_narrowing(req, &pos, type->str) != NULL;
}

/* ---- asking the store ---------------------------------------------------------------- */

struct asking {
    const struct fhir *fhir;
    const struct resource_type *type;
    andiron_str id;
    andiron_step_fn then;
    void *state;
    struct andiron_search_plan plan;
    struct andiron_rows rows;
    struct andiron_ref ref;
    struct andiron_rows current;
};

static enum andiron_step ask(const struct fhir *fhir, struct andiron_request *req,
                             struct andiron_request *judged, struct asking *a, andiron_step_fn then)
{
    struct andiron_error err;
    andiron_str expression = andiron_str_of(andiron_printf(
        andiron_request_arena(req), "_id=%.*s&_count=1", (int)a->id.len, a->id.data));

    if (fhir->search->compile(fhir->search_self, judged, a->type->str, expression, true, &a->plan,
                              &err) != 0)
        return andiron_fail_with(req, &err);
    a->plan.query.total = ANDIRON_TOTAL_NONE;
    return fhir->store->search(fhir->store_self, req, &a->plan.query, &a->rows, then, a);
}

static struct asking *asking_new(const struct fhir *fhir, struct andiron_request *req,
                                 const struct resource_type *type, andiron_str id,
                                 andiron_step_fn then, void *state)
{
    struct asking *a = andiron_new(andiron_request_arena(req), struct asking);
    *a = (struct asking){ .fhir = fhir, .type = type, .id = id, .then = then, .state = state };
    return a;
}

static enum andiron_step seen(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    if (a->rows.count == 0)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", a->type->name,
                            (int)a->id.len, a->id.data);
    return a->then(req, a->state);
}

enum andiron_step access_see(const struct fhir *fhir, struct andiron_request *req,
                             const struct resource_type *type, andiron_str id, andiron_step_fn then,
                             void *state)
{
    if (!access_is_narrowed(req, type))
        return then(req, state);
    return ask(fhir, req, req, asking_new(fhir, req, type, id, then, state), seen);
}

static enum andiron_step current_read(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->current.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->current.error);
    const struct andiron_row *row = &a->current.rows[0];
    if (row->ref.id.len > 0 && !row->deleted)
        return andiron_fail(req, ANDIRON_E_FORBIDDEN, "Forbidden");
    return a->then(req, a->state);
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    if (a->rows.count > 0)
        return a->then(req, a->state);
    a->ref = (struct andiron_ref){ .type = a->type->str, .id = a->id };
    return a->fhir->store->read(a->fhir->store_self, req, &a->ref, 1, &a->current, current_read, a);
}

enum andiron_step access_change(const struct fhir *fhir, struct andiron_request *req,
                                struct andiron_request *judged, const struct resource_type *type,
                                andiron_str id, andiron_step_fn then, void *state)
{
    if (!access_is_narrowed(judged, type))
        return then(req, state);
    return ask(fhir, req, judged, asking_new(fhir, req, type, id, then, state), found);
}

int access_result(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str id,
                  const struct andiron_term *terms, size_t count, struct andiron_error *err)
{
    struct andiron_search_plan plan = { 0 };

    if (!access_is_narrowed(judged, type))
        return 0;
    if (fhir->search->compile(fhir->search_self, judged, type->str, ANDIRON_STR(""), true, &plan,
                              err) != 0)
        return -1;
    if (plan.query.filter == NULL ||
        fhir->search->matches(fhir->search_self, plan.query.filter, id, terms, count))
        return 0;
    return andiron_error_set(err, ANDIRON_E_FORBIDDEN, "", "Forbidden");
}
