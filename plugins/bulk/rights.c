#include "rights.h"

#include <andiron/auth.h>

enum { LIMITS_MAX = 64 };

static bool is_same_list(const char *const *a, const char *const *b)
{
    size_t i = 0;

    while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0)
        i++;
    return a[i] == NULL && b[i] == NULL;
}

static bool has_list(const char *const *const *lists, const char *const *list)
{
    for (size_t i = 0; lists != NULL && lists[i] != NULL; i++)
        if (is_same_list(lists[i], list))
            return true;
    return false;
}

bool rights_still_hold(const char *const *const *then, const char *const *const *now)
{
    for (size_t i = 0; now != NULL && now[i] != NULL; i++)
        if (!has_list(then, now[i]))
            return false;
    return true;
}

/* Adds what limits `who`; false if it hides the type, or if the limits are too many to keep. */
static bool add_limits(const struct andiron_request *who, andiron_str type,
                       enum andiron_access access, const char *const **lists, size_t *count)
{
    const struct andiron_limit *limit;

    for (size_t pos = 0; (limit = andiron_request_limit(who, &pos, type, access)) != NULL;) {
        if (limit->any_of[0] == NULL || *count == LIMITS_MAX)
            return false;
        if (!has_list(lists, limit->any_of))
            lists[(*count)++] = limit->any_of;
    }
    return true;
}

/* An export reads and searches, so both must be allowed, and what limits either limits it. */
static void judge(struct andiron_request *req, struct rights *r, struct rights_of_type *type)
{
    static const enum andiron_access both[] = { ANDIRON_ACCESS_SEARCH, ANDIRON_ACCESS_READ };
    const char *const **lists =
        andiron_alloc(andiron_request_arena(req), (LIMITS_MAX + 1) * sizeof(lists[0]));
    andiron_str name = andiron_str_of(type->name);
    size_t count = 0;
    bool seen = andiron_reply_status(r->sub) < 400;

    for (size_t i = 0; i < 2 && seen; i++)
        seen = add_limits(req, name, both[i], lists, &count) &&
               add_limits(r->sub, name, both[i], lists, &count);
    type->is_granted = seen;
    type->limits = lists;
}

static enum andiron_step asked(struct andiron_request *req, void *state)
{
    struct rights *r = state;

    if (r->sub != NULL)
        judge(req, r, &r->types[r->at - 1]);
    if (r->at == r->count)
        return r->then(req, r->state);
    struct andiron_inner inner = {
        .size = sizeof(inner),
        .method = ANDIRON_STR("GET"),
        .check_only = true,
        .target = andiron_str_of(
            andiron_printf(andiron_request_arena(req), "/fhir/%s", r->types[r->at].name)),
    };
    r->at++;
    return andiron_request_run(req, &inner, &r->sub, asked, r);
}

enum andiron_step rights_ask(struct andiron_request *req, struct rights *rights,
                             andiron_step_fn then, void *state)
{
    rights->at = 0;
    rights->sub = NULL;
    rights->then = then;
    rights->state = state;
    return asked(req, rights);
}

enum andiron_step rights_refuse(struct andiron_request *req, const struct rights *rights)
{
    if (andiron_request_principal(req)->scopes != NULL)
        andiron_reply_header(req, "WWW-Authenticate",
                             ANDIRON_STR("Bearer realm=\"andiron\", error=\"insufficient_scope\""));
    (void)rights;
    return andiron_fail(req, ANDIRON_E_FORBIDDEN, "Forbidden");
}

andiron_str rights_principal(struct andiron_request *req)
{
    const struct andiron_principal *p = andiron_request_principal(req);
    const char *kind = p->kind == ANDIRON_USER ? "User" : "Client";

    return p->id != NULL
               ? andiron_str_of(andiron_printf(andiron_request_arena(req), "%s/%s", kind, p->id))
               : ANDIRON_STR("");
}
