/*
 * policy-smart: the access-policy engine "smart-on-fhir", which matches what the scopes of a
 * token cover (seed-semantics 5.5).
 *
 * Asks scopes/1; keeps nothing. Without a server (andiron explain-policy) the scopes are those of the
 * request object.
 */
#include <stddef.h>

#include <andiron/auth.h>
#include <andiron/policy.h>

struct smart {
    struct andiron_service_ref scopes;
};

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)config;
    (void)err;
    *ret_self = andiron_new(andiron_host_arena(host), struct smart);
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct smart *smart = self;
    if (!andiron_service_find(host, ANDIRON_SCOPES, NULL, &smart->scopes, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no service scopes/1 was found");
    return 0;
}

/* One entry of a list of scopes: a text, or parsed as in the request object's "scope". */
static andiron_str scope_of(struct andiron_arena *arena, andiron_json entry)
{
    andiron_str context = andiron_json_str(andiron_json_get(entry, "context"));
    andiron_str type = andiron_json_str(andiron_json_get(entry, "type"));
    andiron_str perm = andiron_json_str(andiron_json_get(entry, "perm"));
    andiron_str params = andiron_json_str(andiron_json_get(entry, "params"));
    if (andiron_json_type(entry) != ANDIRON_JSON_OBJECT)
        return andiron_json_str(entry);
    return andiron_str_of(andiron_printf(
        arena, "%.*s/%.*s.%.*s%s%.*s", (int)context.len, context.data, (int)type.len, type.data,
        (int)perm.len, perm.data, params.len > 0 ? "?" : "", (int)params.len, params.data));
}

/* Scopes as a text, of a text or a list; absent: none. */
static andiron_str scopes_of(struct andiron_arena *arena, andiron_json value)
{
    struct andiron_json_iter it = { .of = value };
    andiron_str text = andiron_json_str(value);
    if (andiron_json_type(value) != ANDIRON_JSON_ARRAY)
        return text;
    while (andiron_json_next(&it)) {
        andiron_str scope = scope_of(arena, it.value);
        text = andiron_str_of(andiron_printf(arena, "%.*s%s%.*s", (int)text.len, text.data,
                                             text.len > 0 ? " " : "", (int)scope.len, scope.data));
    }
    return text;
}

/* By what the request object says: there is neither a token nor a route. */
static enum andiron_verdict evaluate_described(const struct smart *smart,
                                               struct andiron_policy_call *call)
{
    static const char *const places[] = { "session.scope", "jwt.scope", "scope" };
    const struct andiron_scopes *scopes = smart->scopes.table;
    struct andiron_arena *arena = andiron_request_arena(andiron_policy_request(call));
    andiron_json params = andiron_policy_input(call, "params");
    struct andiron_scoped_request what = {
        .context = andiron_policy_input(call, "jwt"),
        .operation = andiron_json_str(andiron_policy_input(call, "operation.id")),
        .path = andiron_json_str(andiron_policy_input(call, "uri")),
        .type = andiron_json_str(andiron_json_get(params, "resource/type")),
        .id = andiron_json_str(andiron_json_get(params, "resource/id"))
    };
    struct andiron_error err;
    bool covered = false;

    for (size_t i = 0; what.scopes.data == NULL && i < sizeof(places) / sizeof(places[0]); i++)
        what.scopes = scopes_of(arena, andiron_policy_input(call, places[i]));
    if (what.scopes.data == NULL)
        return andiron_policy_no_match(call, "the caller is not limited by scopes: the request has "
                                             "no jwt.scope, session.scope or scope");
    if (what.operation.data == NULL)
        return andiron_policy_fault(call, "scopes are judged by operation.id (\"FhirRead\") and "
                                          "params.resource/type, and the request has no operation");
    if (scopes->would_cover(smart->scopes.self, arena, &what, &covered, &err) != 0)
        return andiron_policy_no_match(call, "the scopes are malformed: %s", err.message);
    if (!covered)
        return andiron_policy_no_match(call, "the scopes do not cover %.*s of %.*s",
                                       (int)what.operation.len, what.operation.data,
                                       what.type.len > 0 ? (int)what.type.len : 10,
                                       what.type.len > 0 ? what.type.data : "everything");
    return ANDIRON_MATCH;
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    (void)compiled;
    const struct smart *smart = self;
    const struct andiron_scopes *scopes = smart->scopes.table;
    struct andiron_request *req = andiron_policy_request(call);

    if (scopes == NULL)
        return andiron_policy_fault(call, "no plugin provides scopes/1");
    if (andiron_request_loop(req) == NULL) /* explain-policy: no token */
        return scopes->size > offsetof(struct andiron_scopes, would_cover)
                   ? evaluate_described(smart, call)
                   : andiron_policy_fault(call, "scopes can only be judged by a running server");
    if (andiron_request_principal(req)->scopes == NULL)
        return andiron_policy_no_match(call, "the caller is not limited by scopes");
    if (!scopes->covered(smart->scopes.self, req))
        return andiron_policy_no_match(call, "the scopes do not cover this request");
    return ANDIRON_MATCH;
}

ANDIRON_POLICY_SERVICE(engine, "smart-on-fhir", .cost = 5, .evaluate = evaluate);

static const char *const needs[] = { ANDIRON_SCOPES, NULL };

ANDIRON_PLUGIN(.name = "policy-smart", .version = "0.1.0",
               .summary = "Access policies that match what scopes cover", .provides = engine,
               .needs = needs, .init = init, .start = start);
