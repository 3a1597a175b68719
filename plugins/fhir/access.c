#include "access.h"

#include <andiron/auth.h>

#include "answer.h"
#include "versions.h"

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

void access_challenge(struct andiron_request *req)
{
    if (andiron_request_principal(req)->scopes != NULL)
        andiron_reply_header(req, "WWW-Authenticate",
                             ANDIRON_STR("Bearer realm=\"andiron\", error=\"insufficient_scope\""));
}

enum andiron_step access_refuse(struct andiron_request *req)
{
    access_challenge(req);
    return andiron_fail(req, ANDIRON_E_FORBIDDEN, "Forbidden");
}

enum andiron_code access_passed_on(struct andiron_request *req, struct andiron_request *sub)
{
    static const char *const names[] = { "WWW-Authenticate", "Retry-After" };
    int status = andiron_reply_status(sub);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        andiron_str value = andiron_replied_header(sub, names[i]);
        if (value.data != NULL) /* sub may have an arena of its own */
            value.data = andiron_copy(andiron_request_arena(req), value);
        andiron_reply_header(req, names[i], value);
    }
    for (int code = ANDIRON_E_INVALID; code <= ANDIRON_E_CODE; code++)
        if (andiron_code_http((enum andiron_code)code) == status)
            return (enum andiron_code)code;
    return status < 500 ? ANDIRON_E_INVALID : ANDIRON_E_UNAVAILABLE;
}

enum andiron_step access_refuse_as(struct andiron_request *req, struct andiron_request *sub)
{
    enum andiron_code code = access_passed_on(req, sub);
    bool is_for_now = code == ANDIRON_E_THROTTLED || andiron_code_http(code) >= 500;

    return andiron_fail(req, is_for_now ? code : ANDIRON_E_FORBIDDEN,
                        is_for_now ? "whether this is allowed cannot be said now; try again later"
                                   : "Forbidden");
}

static enum andiron_step type_asked(struct andiron_request *req, void *state)
{
    struct questions *q = state;

    if (q->sub != NULL && andiron_reply_status(q->sub) >= 400)
        return access_refuse_as(req, q->sub);
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

bool access_is_hidden(const struct andiron_request *req, const struct resource_type *type,
                      enum andiron_access access)
{
    const struct andiron_limit *limit;
    for (size_t pos = 0; (limit = andiron_request_limit(req, &pos, type->str, access)) != NULL;)
        if (limit->any_of[0] == NULL)
            return true;
    return false;
}

bool access_is_narrowed(const struct andiron_request *req, const struct resource_type *type,
                        enum andiron_access access)
{
    size_t pos = 0;
    return andiron_request_limit(req, &pos, type->str, access) != NULL;
}

/* ---- asking the store ---------------------------------------------------------------- */

/* Whether a resource is within the narrowing: a search for its id. */
struct access_asking {
    const struct fhir *fhir;
    const struct resource_type *type;
    andiron_str id;
    struct access_bound *bound;
    andiron_step_fn then;
    void *state;
    struct andiron_query query;
    struct andiron_rows rows;
    struct andiron_ref ref;
    struct andiron_rows current;
};

static enum andiron_step ask(struct andiron_request *req, struct andiron_request *judged,
                             struct access_asking *a, enum andiron_access access,
                             andiron_step_fn then)
{
    struct andiron_error err;
    andiron_str criteria = andiron_str_of(
        andiron_printf(andiron_request_arena(req), "_id=%.*s", (int)a->id.len, a->id.data));

    a->query = (struct andiron_query){ .type = a->type->name, .limit = 1 };
    if (a->fhir->search->select(a->fhir->search_self, judged, a->type->str, criteria, access,
                                &a->query.filter, &err) != 0)
        return andiron_fail_with(req, &err);
    return a->fhir->store->search(a->fhir->store_self, req, &a->query, &a->rows, then, a);
}

static struct access_asking *asking_new(const struct fhir *fhir, struct andiron_request *req,
                                        const struct resource_type *type, andiron_str id,
                                        andiron_step_fn then, void *state)
{
    struct access_asking *a = andiron_new(andiron_request_arena(req), struct access_asking);
    *a = (struct access_asking){
        .fhir = fhir, .type = type, .id = id, .then = then, .state = state
    };
    return a;
}

static enum andiron_step read_current(struct andiron_request *req, struct access_asking *a,
                                      andiron_step_fn then)
{
    a->ref = (struct andiron_ref){ .type = a->type->str, .id = a->id };
    return a->fhir->store->read(a->fhir->store_self, req, &a->ref, 1, &a->current, then, a);
}

static enum andiron_step deletion_judged(struct andiron_request *req, void *state)
{
    struct access_asking *a = state;

    if (a->current.count == 0)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", a->type->name,
                            (int)a->id.len, a->id.data);
    return a->then(req, a->state);
}

/* A search finds no deleted resource: was it one that could be seen? */
static enum andiron_step unseen_read(struct andiron_request *req, void *state)
{
    struct access_asking *a = state;

    if (a->current.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->current.error);
    if (!a->current.rows[0].deleted)
        a->current.count = 0; /* none, or one that may not be seen */
    return versions_keep(a->fhir, req, ANDIRON_ACCESS_READ, &a->current, deletion_judged, a);
}

static enum andiron_step seen(struct andiron_request *req, void *state)
{
    struct access_asking *a = state;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    if (a->rows.count == 0)
        return read_current(req, a, unseen_read);
    return a->then(req, a->state);
}

enum andiron_step access_see(const struct fhir *fhir, struct andiron_request *req,
                             const struct resource_type *type, andiron_str id, andiron_step_fn then,
                             void *state)
{
    if (!access_is_narrowed(req, type, ANDIRON_ACCESS_READ))
        return then(req, state);
    return ask(req, req, asking_new(fhir, req, type, id, then, state), ANDIRON_ACCESS_READ, seen);
}

static enum andiron_step current_read(struct andiron_request *req, void *state)
{
    struct access_asking *a = state;

    if (a->current.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->current.error);
    const struct andiron_row *row = &a->current.rows[0];
    if (row->ref.id.len > 0 && !row->deleted)
        return access_refuse(req);
    return a->then(req, a->state);
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct access_asking *a = state;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    if (a->rows.count == 0)
        return read_current(req, a, current_read);
    a->bound->version = a->rows.rows[0].ref.version;
    return a->then(req, a->state);
}

enum andiron_step access_change(const struct fhir *fhir, struct andiron_request *req,
                                struct andiron_request *judged, const struct resource_type *type,
                                andiron_str id, enum andiron_access access,
                                struct access_bound *ret_bound, struct access_asking **memory,
                                andiron_step_fn then, void *state)
{
    *ret_bound = (struct access_bound){ .is_bound = access_is_narrowed(judged, type, access) };
    if (!ret_bound->is_bound)
        return then(req, state);
    struct access_asking *a = memory != NULL ? *memory : NULL;
    if (a == NULL)
        a = andiron_new(andiron_request_arena(req), struct access_asking);
    *a = (struct access_asking){
        .fhir = fhir, .type = type, .id = id, .bound = ret_bound, .then = then, .state = state
    };
    if (memory != NULL)
        *memory = a;
    return ask(req, judged, a, access, found);
}

int access_result(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str id, enum andiron_access access,
                  struct andiron_arena *arena, const struct andiron_term *terms, size_t count,
                  struct andiron_error *err)
{
    const struct andiron_filter *filter;

    if (!access_is_narrowed(judged, type, access))
        return 0;
    if (fhir->search->select(fhir->search_self, judged, type->str, (andiron_str){ NULL, 0 }, access,
                             &filter, err) != 0)
        return -1;
    terms = versions_with_time(arena, terms, count, andiron_now());
    if (filter == NULL || fhir->search->matches(fhir->search_self, filter, id, terms, count + 1))
        return 0;
    access_challenge(judged);
    return andiron_error_set(err, ANDIRON_E_FORBIDDEN, "", "Forbidden");
}
