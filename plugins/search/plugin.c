/*
 * Plugin search: FHIR's search parameters as service "search/1".
 */
#include <andiron/plugin.h>
#include <andiron/resource.h>
#include <andiron/search.h>

#include "builder.h"
#include "common/fhir/types.h"
#include "compile.h"
#include "custom.h"
#include "matches.h"
#include "model.h"
#include "reading.h"
#include "search.h"

struct config {
    struct search_limits limits;
    int64_t max_terms, max_custom, index_pause;
    bool token_text;
};

static const struct andiron_directive directives[] = {
    { .name = "max-params",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.max_params),
      .fallback = "256",
      .min = 1,
      .max = 4096,
      .help = "parameters in one search" },
    { .name = "max-values",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.max_values),
      .fallback = "256",
      .min = 1,
      .max = 4096,
      .help = "values of one parameter, separated by commas" },
    { .name = "max-conditions",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.max_conditions),
      .fallback = "4000",
      .min = 100,
      .max = 1000000,
      .help =
          "comparisons that one search may come to: an id alone is one for each type it may mean" },
    { .name = "chain-depth",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.chain_depth),
      .fallback = "3",
      .min = 0,
      .max = 8,
      .help = "references that a chain or _has may pass through" },
    { .name = "sort-keys",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.sort_keys),
      .fallback = "3",
      .min = 1,
      .max = 8,
      .help = "keys in _sort" },
    { .name = "max-count",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.max_count),
      .fallback = "1000",
      .min = 1,
      .max = 10000,
      .help = "largest _count; a larger one is cut to it" },
    { .name = "default-count",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.default_count),
      .fallback = "100",
      .min = 1,
      .max = 10000,
      .help = "matches on a page when _count is not given" },
    { .name = "total-limit",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.total_limit),
      .fallback = "1000",
      .min = 1,
      .max = 1000000,
      .help = "matches counted for Bundle.total unless _total=accurate" },
    { .name = "max-codes",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.max_codes),
      .fallback = "1000",
      .min = 1,
      .max = 100000,
      .help = "codes that a ValueSet of :in, or the hierarchy of :above and :below, may come to" },
    { .name = "max-sets",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, limits.max_sets),
      .fallback = "32",
      .min = 0,
      .max = 256,
      .help = "ValueSets and CodeSystems that a search may ask about" },
    { .name = "max-terms",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_terms),
      .fallback = "100000",
      .min = 100,
      .max = 10000000,
      .help = "index terms of one resource; one with more is refused" },
    { .name = "max-custom",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_custom),
      .fallback = "200",
      .min = 0,
      .max = 10000,
      .help = "active SearchParameters beside those of R4; each has an index of its own" },
    { .name = "index-pause",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, index_pause),
      .fallback = "5ms",
      .min = 0,
      .max = 60000,
      .help = "pause after each slice of the background work on a new search parameter" },
    { .name = "token-text",
      .type = ANDIRON_BOOL,
      .offset = offsetof(struct config, token_text),
      .fallback = "on",
      .help = "index displays and texts of codes, for :text" },
    { .name = NULL },
};

/* ---- the service ------------------------------------------------------------- */

static const struct andiron_limit *narrowing_of(const void *req, size_t *pos, andiron_str type,
                                                enum andiron_access access)
{
    return andiron_request_limit(req, pos, type, access);
}

/* The parameters that stored SearchParameters define must be known, or a write would lack terms. */
static int check_loaded(const struct search *search, struct andiron_error *err)
{
    if (models_are_loaded(search->models))
        return 0;
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                             "the search parameters could not be read from the store yet; try "
                             "again");
}

/* req NULL: outside of requests, where only a configured base-url is known. */
static struct compiling begin(const struct search *search, struct andiron_request *req,
                              struct andiron_arena *arena, struct andiron_error *err)
{
    return (struct compiling){
        .model = &models_now(search->models, arena)->model,
        .limits = &search->limits,
        .arena = arena,
        .base = req != NULL ? andiron_request_base(req) : search->extract.base,
        .err = err,
        .narrowing = req != NULL ? narrowing_of : NULL,
        .narrowing_of = req,
    };
}

static int compile(void *self, struct andiron_request *req, andiron_str type,
                   andiron_str expression, bool strict, struct andiron_search_plan *ret,
                   struct andiron_error *err)
{
    const struct search *search = self;
    struct compiling c = begin(search, req, andiron_request_arena(req), err);
    c.is_strict = strict;
    if (check_loaded(search, err) != 0)
        return -1;
    return reading_compile(&c, search->store.table != NULL ? &search->store : NULL, type,
                           expression, ret);
}

static enum andiron_step complete(void *self, struct andiron_request *req,
                                  struct andiron_search_plan *plan, struct andiron_error *ret_error,
                                  andiron_step_fn then, void *state)
{
    struct compiling c = begin(self, req, andiron_request_arena(req), ret_error);
    return reading_complete(&c, req, plan, then, state);
}

static const struct andiron_prepared *prepare(void *self, struct andiron_arena *arena,
                                              andiron_str type, const char *const *any_of,
                                              struct andiron_error *err)
{
    struct andiron_error unread;
    struct compiling c = begin(self, NULL, arena, err != NULL ? err : &unread);
    return narrow_prepare(&c, type, any_of);
}

static int select_by(void *self, struct andiron_request *req, andiron_str type,
                     andiron_str criteria, enum andiron_access access,
                     const struct andiron_filter **ret, struct andiron_error *err)
{
    struct compiling c = begin(self, req, andiron_request_arena(req), err);
    c.is_strict = true;
    c.access = access;
    if (check_loaded(self, err) != 0)
        return -1;
    return narrow_select(&c, type, criteria, ret);
}

static int extract(void *self, struct andiron_arena *arena, andiron_json resource,
                   const struct andiron_term **ret_terms, size_t *ret_count,
                   struct andiron_error *err)
{
    const struct search *search = self;
    bool is_known;

    if (check_loaded(search, err) != 0)
        return -1;
    return search_extract(search, &models_now(search->models, arena)->model, arena, NULL, resource,
                          ret_terms, ret_count, &is_known, err);
}

static int check_parameter(void *self, struct andiron_arena *arena, andiron_json resource,
                           struct andiron_error *err)
{
    const struct search *search = self;
    const struct custom *custom;

    if (custom_read(arena, resource, NULL, &custom, err) != 0)
        return -1;
    return custom == NULL
               ? 0
               : models_check(search->models, arena,
                              andiron_json_str(andiron_json_get(resource, "id")), custom, err);
}

static bool parameter(void *self, struct andiron_arena *arena, andiron_str type, size_t *pos,
                      struct andiron_search_parameter *ret)
{
    const struct search *search = self;
    return search_parameter(models_now(search->models, arena), arena, type, pos, ret);
}

static uint64_t generation(void *self)
{
    const struct search *search = self;
    return models_generation(search->models);
}

static bool matches(void *self, const struct andiron_filter *filter, andiron_str id,
                    const struct andiron_term *terms, size_t count)
{
    (void)self;
    return matches_filter(filter, NULL, id, terms, count);
}

static const struct andiron_search service = {
    .size = sizeof(service),
    .compile = compile,
    .extract = extract,
    .matches = matches,
    .prepare = prepare,
    .select = select_by,
    .check_parameter = check_parameter,
    .complete = complete,
    .parameter = parameter,
    .generation = generation,
};

static const struct andiron_service provides[] = {
    { ANDIRON_SEARCH, &service },
    { NULL, NULL },
};

/*
 * Not "wants": of the types only their constant tables are read here, and they may themselves want
 * search/1; the store is asked while requests and jobs run.
 */
static const char *const uses[] = { ANDIRON_RESOURCE_TYPE, ANDIRON_STORE, NULL };

static const struct andiron_route routes[] = {
    { .method = "POST",
      .pattern = "/control/check",
      .handle = search_check,
      .flags = ANDIRON_ROUTE_CONTROL | ANDIRON_ROUTE_STREAM },
    { .method = "GET",
      .pattern = "/fhir/SearchParameter/$index-status",
      .handle = search_status,
      .operation = "SearchIndexStatus" },
    { .method = NULL },
};

static enum andiron_step receive(struct andiron_request *req, void *self)
{
    const struct search *search = self;
    return models_receive(req, search->models);
}

static const struct andiron_hook hooks[] = {
    { ANDIRON_PHASE_RECEIVE, receive },
    { .run = NULL },
};

/* ---- life -------------------------------------------------------------------- */

static andiron_str without_slash(andiron_str url)
{
    while (url.len > 0 && url.data[url.len - 1] == '/')
        url.len--;
    return url;
}

static double count_ready(void *self)
{
    const struct search *search = self;
    return (double)models_count(search->models, true);
}

static double count_building(void *self)
{
    const struct search *search = self;
    return (double)models_count(search->models, false);
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    const struct config *cfg = config;
    struct search *search = andiron_new(andiron_host_arena(host), struct search);

    (void)err;
    search->host = host;
    search->models = models_new(search, (size_t)cfg->max_custom);
    search->builder = builder_new(search);
    search->index_pause_ms = cfg->index_pause;
    search->limits = cfg->limits;
    if (search->limits.default_count > search->limits.max_count)
        search->limits.default_count = search->limits.max_count;
    search->extract = (struct fhir_extract_options){
        .base = without_slash(andiron_str_of(andiron_host_setting(host, "http.base-url"))),
        .has_text = cfg->token_text,
        .max_terms = (size_t)cfg->max_terms,
    };
    andiron_gauge(host, "andiron_search_parameters", "state=\"ready\"",
                  "Parameters that SearchParameters define", count_ready, search);
    andiron_gauge(host, "andiron_search_parameters", "state=\"building\"",
                  "Parameters that SearchParameters define", count_building, search);
    *ret_self = search;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct search *search = self;
    struct andiron_service_ref ref;
    const char *name;

    (void)andiron_service_find(host, ANDIRON_STORE, NULL, &search->store, NULL);
    for (size_t pos = 0; andiron_service_find(host, ANDIRON_RESOURCE_TYPE, &pos, &ref, &name);) {
        const struct andiron_resource_type *type = ref.table;
        andiron_str type_name = andiron_str_of(name + strlen(ANDIRON_RESOURCE_TYPE));
        if (fhir_type(type_name) >= 0)
            return andiron_error_set(err, ANDIRON_E_INTERNAL, name,
                                     "FHIR R4 has this type already");
        if (model_add_platform(&search->base, andiron_host_arena(host), type_name, type->search,
                               err) != 0)
            return -1;
    }
    return models_watch(search->models, &search->base, andiron_host_loop(host, 0), builder_kick,
                        search->builder, err);
}

/* SearchParameters are followed, and their indexes built, on the first loop. */
static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct search *search = self;

    *ret_local = NULL;
    if (search->store.table == NULL || loop != andiron_host_loop(search->host, 0))
        return 0;
    if (builder_loop_start(search->builder, loop, err) != 0)
        return -1;
    return models_loop_start(search->models, err);
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    struct search *search = self;

    (void)local;
    if (search->store.table == NULL || loop != andiron_host_loop(search->host, 0))
        return;
    models_loop_stop(search->models);
    builder_loop_stop(search->builder);
}

static void stop(void *self)
{
    struct search *search = self;
    models_free(search->models);
}

ANDIRON_PLUGIN(.name = "search", .version = "0.1.0",
               .summary = "FHIR search: parameters, modifiers, chains, index terms",
               .directives = directives, .config_size = sizeof(struct config), .provides = provides,

               .uses = uses, .routes = routes, .hooks = hooks, .init = init, .start = start,
               .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
