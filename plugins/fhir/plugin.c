/*
 * The fhir plugin: FHIR R4's REST interface, and the platform types of other plugins.
 */
#include "fhir.h"
#include "interactions.h"

static const struct andiron_directive directives[] = {
    { .name = "search-handling",
      .type = ANDIRON_CHOICE,
      .offset = offsetof(struct fhir_config, search_handling),
      .fallback = "lenient",
      .choices = (const char *const[]){ "lenient", "strict", NULL },
      .help = "unknown search parameters without Prefer: handling: ignored, or refused" },
    { .name = "validation",
      .type = ANDIRON_CHOICE,
      .offset = offsetof(struct fhir_config, validation),
      .fallback = "strict",
      .choices = (const char *const[]){ "strict", "lenient", "off", NULL },
      .help = "resources must have R4's structure; lenient: may have more elements and codes" },
    { .name = "referential-integrity",
      .type = ANDIRON_BOOL,
      .offset = offsetof(struct fhir_config, referential_integrity),
      .fallback = "off",
      .help = "refuse references to what is not stored, and deleting what is referred to" },
    { .name = "created-at-url",
      .type = ANDIRON_STRING,
      .offset = offsetof(struct fhir_config, created_at_url),
      .fallback = "",
      .help = "url of an extension of meta with the time of creation; empty: none" },
    { .name = "max-bundle-entries",
      .type = ANDIRON_INT,
      .offset = offsetof(struct fhir_config, max_bundle_entries),
      .fallback = "5000",
      .min = 1,
      .max = 100000,
      .help = "entries of a batch or transaction" },
    { .name = "default-count",
      .type = ANDIRON_INT,
      .offset = offsetof(struct fhir_config, default_count),
      .fallback = "100",
      .min = 1,
      .max = 10000,
      .help = "versions on a page of a history without _count" },
    { .name = "max-count",
      .type = ANDIRON_INT,
      .offset = offsetof(struct fhir_config, max_count),
      .fallback = "1000",
      .min = 1,
      .max = 10000,
      .help = "versions on a page of a history at most" },
    { .name = "authorize-includes",
      .type = ANDIRON_BOOL,
      .offset = offsetof(struct fhir_config, authorize_includes),
      .fallback = "on",
      .help = "ask the policies for each included type as for a search" },
    { .name = "versioned-updates",
      .type = ANDIRON_CHOICE,
      .offset = offsetof(struct fhir_config, versioned_updates),
      .fallback = "off",
      .choices = (const char *const[]){ "off", "required", NULL },
      .help =
          "required: PUT and PATCH of what exists must name its version in If-Match (else 428)" },
    { .name = "conditional-delete-multiple",
      .type = ANDIRON_BOOL,
      .offset = offsetof(struct fhir_config, conditional_delete_multiple),
      .fallback = "off",
      .help = "a conditional delete removes all matches, not only a single one" },
    { .name = "max-patch-operations",
      .type = ANDIRON_INT,
      .offset = offsetof(struct fhir_config, max_patch_operations),
      .fallback = "1000",
      .min = 1,
      .max = 100000,
      .help = "operations of a JSON Patch or FHIRPath Patch" },
    { .name = "instantiates",
      .type = ANDIRON_LIST,
      .offset = offsetof(struct fhir_config, instantiates),
      .fallback = "",
      .help = "CapabilityStatement.instantiates" },
    { .name = "supported-profiles",
      .type = ANDIRON_LIST,
      .offset = offsetof(struct fhir_config, supported_profiles),
      .fallback = "",
      .help = "CapabilityStatement.rest.resource.supportedProfile, each as Type=URL" },
    { .name = NULL },
};

/*
 * Below /fhir every type, below / the platform types. The handlers are the same; what a
 * type is decides. See access.c for the names that operations have in the end.
 */
static const struct andiron_route routes[] = {
    { "POST", "/fhir", fhir_bundle, "FhirTransaction", 0, NULL },
    { "GET", "/fhir", fhir_search_system, "FhirSystemSearch", 0, NULL },
    { "POST", "/fhir/_search", fhir_search_system, "FhirSystemSearch", 0, NULL },
    { "GET", "/fhir/_history", fhir_history_system, "FhirSystemHistory", 0, NULL },
    { "GET", "/fhir/$explain", fhir_may_explain, "TestPolicy", 0, NULL },
    { "GET", "/fhir/metadata", fhir_capabilities, "FhirCapabilities", ANDIRON_ROUTE_PUBLIC, NULL },
    { "GET", "/fhir/{type}", fhir_search, "FhirSearch", 0, NULL },
    { "POST", "/fhir/{type}", fhir_create, "FhirCreate", 0, NULL },
    { "POST", "/fhir/{type}/_search", fhir_search, "FhirSearch", 0, NULL },
    { "PUT", "/fhir/{type}", fhir_conditional_update, "FhirConditionalUpdate", 0, NULL },
    { "PATCH", "/fhir/{type}", fhir_conditional_patch, "FhirConditionalPatch", 0, NULL },
    { "DELETE", "/fhir/{type}", fhir_conditional_delete, "FhirConditionalDelete", 0, NULL },
    { "GET", "/fhir/$versions", fhir_operation_versions, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/CapabilityStatement-versions" },
    { "POST", "/fhir/$versions", fhir_operation_versions, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/CapabilityStatement-versions" },
    { "GET", "/fhir/$meta", fhir_operation_meta_use, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta" },
    { "POST", "/fhir/$meta", fhir_operation_meta_use, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta" },
    { "GET", "/fhir/{type}/$meta", fhir_operation_meta_use, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta" },
    { "POST", "/fhir/{type}/$meta", fhir_operation_meta_use, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta" },
    { "GET", "/fhir/{type}/{id}/$meta", fhir_operation_meta, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta" },
    { "POST", "/fhir/{type}/{id}/$meta", fhir_operation_meta, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta" },
    { "POST", "/fhir/{type}/{id}/$meta-add", fhir_operation_meta_add, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta-add" },
    { "POST", "/fhir/{type}/{id}/$meta-delete", fhir_operation_meta_delete, "FhirOperation", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete" },
    { "GET", "/fhir/{type}/{id}/$everything", fhir_operation_everything, "FhirOperation", 0, NULL },
    { "POST", "/fhir/{type}/{id}/$everything", fhir_operation_everything, "FhirOperation", 0,
      NULL },
    { "POST", "/fhir/{type}/$validate", fhir_operation_validate, "FhirValidate", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-validate" },
    { "POST", "/fhir/{type}/{id}/$validate", fhir_operation_validate, "FhirValidate", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-validate" },
    { "GET", "/fhir/{type}/{id}/$validate", fhir_operation_validate, "FhirValidate", 0,
      "http://hl7.org/fhir/OperationDefinition/Resource-validate" },
    { "GET", "/fhir/{type}/{id}", fhir_read, "FhirRead", 0, NULL },
    { "PUT", "/fhir/{type}/{id}", fhir_update, "FhirUpdate", 0, NULL },
    { "PATCH", "/fhir/{type}/{id}", fhir_patch, "FhirPatch", 0, NULL },
    { "DELETE", "/fhir/{type}/{id}", fhir_delete, "FhirDelete", 0, NULL },
    { "GET", "/fhir/{type}/_history", fhir_history_type, "FhirTypeHistory", 0, NULL },
    { "GET", "/fhir/{compartment}/{id}/{type}", fhir_search_compartment, "FhirCompartmentSearch", 0,
      NULL },
    { "POST", "/fhir/{compartment}/{id}/{type}/_search", fhir_search_compartment,
      "FhirCompartmentSearch", 0, NULL },
    { "GET", "/fhir/{type}/{id}/_history", fhir_history_instance, "FhirHistory", 0, NULL },
    { "GET", "/fhir/{type}/{id}/_history/{vid}", fhir_vread, "FhirVread", 0, NULL },

    { "GET", "/{type}", fhir_search, "Search", 0, NULL },
    { "POST", "/{type}", fhir_create, "Create", 0, NULL },
    { "POST", "/{type}/_search", fhir_search, "Search", 0, NULL },
    { "GET", "/{type}/{id}", fhir_read, "Read", 0, NULL },
    { "PUT", "/{type}/{id}", fhir_update, "Update", 0, NULL },
    { "PATCH", "/{type}/{id}", fhir_patch, "Patch", 0, NULL },
    { "DELETE", "/{type}/{id}", fhir_delete, "Delete", 0, NULL },
    { "GET", "/{type}/_history", fhir_history_type, "History", 0, NULL },
    { "GET", "/{type}/{id}/_history", fhir_history_instance, "History", 0, NULL },
    { "GET", "/{type}/{id}/_history/{vid}", fhir_vread, "History", 0, NULL },
    { 0 },
};

static const struct andiron_hook hooks[] = {
    { ANDIRON_PHASE_RECEIVE, fhir_receive },
    { ANDIRON_PHASE_LOG, fhir_log },
    { 0 },
};

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)err;
    struct fhir *fhir = andiron_new(andiron_host_arena(host), struct fhir);
    fhir->config = config;
    fhir->host = host;
    fhir->started = andiron_now();
    (void)pthread_mutex_init(&fhir->capabilities_lock, NULL); /* cannot fail for a default mutex */
    fhir->interactions = interactions_new(host);
    fhir->created_at_url = andiron_str_of(fhir->config->created_at_url);
    *ret_self = fhir;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct fhir *fhir = self;
    struct andiron_service_ref ref;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &ref, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "service %s is missing",
                                 ANDIRON_STORE);
    fhir->store = ref.table;
    fhir->store_self = ref.self;
    if (!andiron_service_find(host, ANDIRON_SEARCH, NULL, &ref, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "service %s is missing",
                                 ANDIRON_SEARCH);
    fhir->search = ref.table;
    fhir->search_self = ref.self;
    return types_load(host, &fhir->types, err);
}

static void stop(void *self)
{
    struct fhir *fhir = self;
    fhir_capabilities_free(fhir);
    interactions_free(fhir->interactions);
    fhir->interactions = NULL;
}

ANDIRON_PLUGIN(.name = "fhir", .version = "0.1.0",
               .summary = "FHIR R4 REST: resources, searches, bundles, metadata",
               .directives = directives, .config_size = sizeof(struct fhir_config),
               .needs = (const char *const[]){ ANDIRON_STORE, ANDIRON_SEARCH, NULL },
               .wants = (const char *const[]){ ANDIRON_RESOURCE_TYPE, ANDIRON_DISCOVERY, NULL },
               .routes = routes, .hooks = hooks, .init = init, .start = start, .stop = stop);
