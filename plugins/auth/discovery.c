/*
 * What auth adds to smart-configuration and to the CapabilityStatement (seed-semantics DS-1, DS-3).
 */
#include "auth.h"

static void put_all(struct andiron_json_writer *w, const char *name, const char *const *values)
{
    andiron_json_put_array(w, name);
    for (; *values != NULL; values++)
        andiron_json_put_str(w, NULL, andiron_str_of(*values));
    andiron_json_put_end(w);
}

static void put_url(struct andiron_json_writer *w, struct andiron_arena *arena, const char *name,
                    andiron_str base, const char *path)
{
    andiron_json_put_str(
        w, name, andiron_str_of(andiron_printf(arena, "%.*s%s", (int)base.len, base.data, path)));
}

static andiron_str smart_configuration(void *self, struct andiron_arena *arena, andiron_str base)
{
    static const char *const methods[] = { "private_key_jwt", "client_secret_basic",
                                           "client_secret_post", NULL };
    static const char *const grants[] = { "client_credentials", NULL };
    static const char *const capabilities[] = { "client-confidential-asymmetric",
                                                "client-confidential-symmetric", NULL };
    const struct auth *auth = self;
    struct andiron_json_writer *w = andiron_json_write(arena, 16 * 1024);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "issuer", base);
    put_url(w, arena, "token_endpoint", base, "/auth/token");
    put_url(w, arena, "introspection_endpoint", base, "/auth/introspect");
    put_url(w, arena, "revocation_endpoint", base, "/auth/revoke");
    put_all(w, "token_endpoint_auth_methods_supported", methods);
    andiron_json_put_array(w, "token_endpoint_auth_signing_alg_values_supported");
    for (size_t i = 0; auth->algs[i] != NULL; i++)
        andiron_json_put_str(w, NULL, andiron_str_of(auth->algs[i]->name));
    andiron_json_put_end(w);
    put_all(w, "grant_types_supported", grants);
    put_all(w, "capabilities", capabilities);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static void put_uri(struct andiron_json_writer *w, struct andiron_arena *arena, const char *name,
                    andiron_str base, const char *path)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "url", andiron_str_of(name));
    put_url(w, arena, "valueUri", base, path);
    andiron_json_put_end(w);
}

static void put_oauth_uris(struct andiron_json_writer *w, struct andiron_arena *arena,
                           andiron_str base)
{
    andiron_json_put_array(w, "extension");
    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "extension");
    put_uri(w, arena, "token", base, "/auth/token");
    put_uri(w, arena, "introspect", base, "/auth/introspect");
    put_uri(w, arena, "revoke", base, "/auth/revoke");
    andiron_json_put_end(w);
    andiron_json_put_str(w, "url",
                         ANDIRON_STR("http://fhir-registry.smarthealthit.org/StructureDefinition/"
                                     "oauth-uris"));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

/* SMART-on-FHIR is what plugin smart makes of OAuth; cors is true where that plugin is. */
static void put_service(struct andiron_json_writer *w, bool is_smart)
{
    andiron_json_put_array(w, "service");
    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "coding");
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "system",
                         ANDIRON_STR("http://terminology.hl7.org/CodeSystem/"
                                     "restful-security-service"));
    andiron_json_put_str(w, "code", is_smart ? ANDIRON_STR("SMART-on-FHIR") : ANDIRON_STR("OAuth"));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_json_put_str(w, "text",
                         is_smart ? ANDIRON_STR("OAuth2 using SMART backend services")
                                  : ANDIRON_STR("OAuth2 with client credentials"));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

/* DS-3 */
static andiron_str capability_rest(void *self, struct andiron_arena *arena, andiron_str base)
{
    const struct auth *auth = self;
    struct andiron_json_writer *w = andiron_json_write(arena, 16 * 1024);

    andiron_json_put_object(w, NULL);
    andiron_json_put_object(w, "security");
    put_oauth_uris(w, arena, base);
    andiron_json_put_bool(w, "cors", auth->has_cors);
    put_service(w, auth->scopes.table != NULL);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

const struct andiron_discovery auth_discovery = { .size = sizeof(struct andiron_discovery),
                                                  .smart_configuration = smart_configuration,
                                                  .capability_rest = capability_rest };
