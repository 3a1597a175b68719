/*
 * smart: SMART on FHIR scopes and discovery.
 *
 * Provides scopes/1 (granting, preparing and enforcing scopes), refuses in AUTHORIZE what a
 * token's scopes do not cover, and serves smart-configuration. Keeps no state.
 */
#include <stdlib.h>

#include <andiron/plugin.h>

#include "common/fhir/types.h"
#include "discovery.h"
#include "enforce.h"
#include "grant.h"
#include "scope.h"
#include "set.h"

struct config {
    int wildcard; /* index into wildcard_choices */
    const char *const *wildcard_types;
    const char *const *shared_types;
    int64_t max_scopes;
};

struct smart {
    struct grant_settings settings;
    struct set_settings set;
    struct query_search search;
    struct discovery *discovery;
};

static const char *const wildcard_choices[] = { "expand", "keep", NULL };

#define SEED_TYPES                                                                                 \
    "AllergyIntolerance CarePlan CareTeam Condition Device DiagnosticReport DocumentReference "    \
    "Encounter Goal Group Immunization Location MedicationRequest Observation Organization "       \
    "Patient Practitioner Procedure Provenance"

static const struct andiron_directive directives[] = {
    { .name = "wildcard",
      .type = ANDIRON_CHOICE,
      .offset = offsetof(struct config, wildcard),
      .fallback = "expand",
      .choices = wildcard_choices,
      .help =
          "what a granted system/*.read becomes: one scope for each of wildcard-types, or itself" },
    { .name = "wildcard-types",
      .type = ANDIRON_LIST,
      .offset = offsetof(struct config, wildcard_types),
      .fallback = SEED_TYPES,
      .help = "types that a wildcard stands for; \"all\" is every FHIR R4 type" },
    { .name = "patient-shared-types",
      .type = ANDIRON_LIST,
      .offset = offsetof(struct config, shared_types),
      .fallback = "Organization Practitioner PractitionerRole Location Medication",
      .help = "types outside of every Patient's compartment that patient/ scopes may let read" },
    { .name = "max-scopes",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_scopes),
      .fallback = "256",
      .min = 1,
      .max = 4096,
      .help = "most scopes that one token request may name, and most with a query that it gets" },
    { .name = NULL }
};

static int compare_ints(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* "smart.<directive>" names a type that there is not. */
static int no_type(const char *directive, const char *name, struct andiron_error *err)
{
    return andiron_error_set(err, ANDIRON_E_INVALID, directive,
                             "\"%s\" is no FHIR R4 resource type", name);
}

static int shared_types(const struct config *config, struct andiron_arena *arena,
                        struct set_settings *settings, struct andiron_error *err)
{
    bool *is_shared = andiron_alloc(arena, (size_t)FHIR_TYPE_COUNT * sizeof(is_shared[0]));

    for (const char *const *name = config->shared_types; *name != NULL; name++) {
        int type = fhir_type(andiron_str_of(*name));
        if (type < 0)
            return no_type("smart.patient-shared-types", *name, err);
        is_shared[type] = true;
    }
    settings->is_shared = is_shared;
    return 0;
}

/* Types are indexed by name order, so sorting the indexes sorts the names (SC-6: ascending). */
static int wildcard_types(const struct config *config, struct andiron_arena *arena,
                          struct grant_settings *settings, struct andiron_error *err)
{
    size_t named = 0, count = 0;
    while (config->wildcard_types[named] != NULL)
        named++;
    bool all = named == 1 && strcmp(config->wildcard_types[0], "all") == 0;
    if (all)
        named = (size_t)FHIR_TYPE_COUNT;
    int *types = andiron_alloc(arena, (named + 1) * sizeof(*types));
    for (size_t i = 0; i < named; i++) {
        int type = all ? (int)i : fhir_type(andiron_str_of(config->wildcard_types[i]));
        if (type < 0)
            return no_type("smart.wildcard-types", config->wildcard_types[i], err);
        types[count++] = type;
    }
    qsort(types, count, sizeof(*types), compare_ints);
    settings->wildcard_types = types;
    settings->wildcard_count = count;
    return 0;
}

static int init(struct andiron_host *host, const void *values, void **ret_self,
                struct andiron_error *err)
{
    const struct config *config = values;
    struct andiron_arena *arena = andiron_host_arena(host);
    struct smart *smart = andiron_new(arena, struct smart);

    smart->settings.expand = config->wildcard == 0;
    smart->settings.max_scopes = (size_t)config->max_scopes;
    smart->settings.search = smart->set.search = &smart->search;
    const char *base = andiron_host_setting(host, "http.base-url");
    smart->set.base = andiron_str_of(base != NULL && base[0] != '\0' ? base : NULL);
    if (wildcard_types(config, arena, &smart->settings, err) != 0 ||
        shared_types(config, arena, &smart->set, err) != 0)
        return -1;
    *ret_self = smart;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct smart *smart = self;
    struct andiron_service_ref search;
    const char *name;
    size_t pos = 0;

    if (andiron_service_find(host, ANDIRON_SEARCH, &pos, &search, &name))
        smart->search = (struct query_search){ .table = search.table, .self = search.self };
    smart->discovery = discovery_new(host, err);
    return smart->discovery != NULL ? 0 : -1;
}

/* ---- scopes/1 ---------------------------------------------------------------- */

static bool covered(void *self, const struct andiron_request *req)
{
    (void)self;
    return enforce_covered(req);
}

static int check_query(const struct smart *smart, const struct scope *scope,
                       struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error why;
    int failed = query_check(&smart->search, arena, scope->type, scope->query, &why);
    andiron_arena_free(arena);
    return failed == 0 ? 0
                       : andiron_error_set(err, ANDIRON_E_VALUE, "", "\"?%.*s\": %s",
                                           (int)(scope->query.len < 100 ? scope->query.len : 100),
                                           scope->query.data, why.message);
}

static int check(void *self, andiron_str text, struct andiron_error *err)
{
    struct scope scope;
    const char *why = NULL;
    switch (scope_parse(text, &scope, &why)) {
    case SCOPE_MALFORMED:
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "\"%.*s\" cannot be granted: %s",
                                 (int)(text.len < 100 ? text.len : 100), text.data, why);
    case SCOPE_RESOURCE:
        return scope.query.data != NULL ? check_query(self, &scope, err) : 0;
    case SCOPE_OTHER:
    default:
        return 0;
    }
}

static int grant(void *self, struct andiron_arena *arena, andiron_str requested,
                 andiron_json allowed, struct andiron_scope_grant *ret, struct andiron_error *err)
{
    const struct smart *smart = self;
    return grant_scopes(&smart->settings, arena, requested, allowed, ret, err);
}

static int compile_in(void *self, struct andiron_arena *arena, const char *const *scopes,
                      andiron_json context, const void **ret_set, struct andiron_error *err)
{
    const struct smart *smart = self;
    const struct scope_set *set;

    if (set_compile(&smart->set, arena, scopes, context, &set, err) != 0)
        return -1;
    *ret_set = set;
    return 0;
}

static int compile(void *self, struct andiron_arena *arena, const char *const *scopes,
                   const void **ret_set, struct andiron_error *err)
{
    return compile_in(self, arena, scopes, (andiron_json){ NULL, 0 }, ret_set, err);
}

static const char *const *list_of(struct andiron_arena *arena, andiron_str scopes)
{
    const char **list = andiron_alloc(arena, (scopes.len / 2 + 2) * sizeof(*list));
    andiron_str token;
    for (size_t i = 0; scope_next_token(&scopes, &token); i++)
        list[i] = andiron_copy(arena, token);
    return list;
}

static int would_cover(void *self, struct andiron_arena *arena,
                       const struct andiron_scoped_request *request, bool *ret_covered,
                       struct andiron_error *err)
{
    const struct smart *smart = self;
    struct set_settings settings = { .is_shared = smart->set.is_shared, .base = smart->set.base };
    struct enforce_question question = { request->operation, request->path, request->type,
                                         request->id };
    const struct scope_set *set;

    if (set_compile(&settings, arena, list_of(arena, request->scopes), request->context, &set,
                    err) != 0)
        return -1;
    *ret_covered = enforce_would_cover(set, &question);
    return 0;
}

static const struct andiron_scopes scopes_service = {
    .size = sizeof(scopes_service),
    .covered = covered,
    .check = check,
    .grant = grant,
    .compile = compile,
    .compile_in = compile_in,
    .would_cover = would_cover,
};

static enum andiron_step serve_configuration(struct andiron_request *req, void *self)
{
    const struct smart *smart = self;
    return discovery_serve(smart->discovery, req);
}

static const struct andiron_service provides[] = { { ANDIRON_SCOPES, &scopes_service },
                                                   { NULL, NULL } };
static const char *const wants[] = { ANDIRON_DISCOVERY, NULL };
static const char *const uses[] = { ANDIRON_SEARCH, NULL }; /* once requests run */
static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_AUTHORIZE, enforce_authorize },
                                             { 0, NULL } };
static const struct andiron_route routes[] = { { .method = "GET",
                                                 .pattern = "/.well-known/smart-configuration",
                                                 .handle = serve_configuration,
                                                 .operation = "SmartConfiguration",
                                                 .flags = ANDIRON_ROUTE_PUBLIC },
                                               { .method = "GET",
                                                 .pattern = "/fhir/.well-known/smart-configuration",
                                                 .handle = serve_configuration,
                                                 .operation = "SmartConfiguration",
                                                 .flags = ANDIRON_ROUTE_PUBLIC },
                                               { .method = NULL } };

ANDIRON_PLUGIN(.name = "smart", .version = "0.1.0",
               .summary = "SMART scopes: granting, enforcement, smart-configuration",
               .directives = directives, .config_size = sizeof(struct config), .provides = provides,
               .wants = wants, .uses = uses, .routes = routes, .hooks = hooks, .init = init,
               .start = start);
