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

static andiron_str capability_rest(void *self, struct andiron_arena *arena, andiron_str base)
{
    (void)self;
    /* base is an URL: it holds nothing that JSON would escape. */
    return andiron_str_of(andiron_printf(
        arena,
        "{\"security\":{\"extension\":[{\"extension\":[{\"url\":\"token\",\"valueUri\":"
        "\"%.*s/auth/token\"},{\"url\":\"introspect\",\"valueUri\":\"%.*s/auth/introspect\"},"
        "{\"url\":\"revoke\",\"valueUri\":\"%.*s/auth/revoke\"}],\"url\":\"http://"
        "fhir-registry.smarthealthit.org/"
        "StructureDefinition/oauth-uris\"}],\"cors\":true,\"service\":[{\"coding\":[{\"system\":"
        "\"http://terminology.hl7.org/CodeSystem/restful-security-service\",\"code\":"
        "\"SMART-on-FHIR\"}],\"text\":\"OAuth2 using SMART backend services\"}]}}",
        (int)base.len, base.data, (int)base.len, base.data, (int)base.len, base.data));
}

const struct andiron_discovery auth_discovery = { .size = sizeof(struct andiron_discovery),
                                                  .smart_configuration = smart_configuration,
                                                  .capability_rest = capability_rest };
