/*
 * User and Role as resource types (seed-semantics US-1, US-2): who policies are linked to and what
 * they see of somebody whom a token of another issuer names. Nobody logs in here yet; a password
 * is kept as the slow hash it will be compared with.
 */
#include <stdio.h>

#include "auth.h"
#include "client.h"
#include "members.h"
#include "secret.h"

enum { PASSWORD_ROUNDS = 600000, MAX_BYTES = 256 * 1024 };

static const struct member user_members[] = {
    { "resourceType", ANDIRON_JSON_STRING }, { "id", ANDIRON_JSON_STRING },
    { "meta", ANDIRON_JSON_OBJECT },         { "userName", ANDIRON_JSON_STRING },
    { "email", ANDIRON_JSON_STRING },        { "password", ANDIRON_JSON_MISSING },
    { "active", ANDIRON_JSON_BOOL },         { "inactive", ANDIRON_JSON_BOOL },
    { "name", ANDIRON_JSON_OBJECT },         { "fhirUser", ANDIRON_JSON_OBJECT },
    { "data", ANDIRON_JSON_OBJECT },         { "roles", ANDIRON_JSON_ARRAY },
    { "securityLabel", ANDIRON_JSON_ARRAY }, { "twoFactor", ANDIRON_JSON_OBJECT },
};

static const struct member role_members[] = {
    { "resourceType", ANDIRON_JSON_STRING }, { "id", ANDIRON_JSON_STRING },
    { "meta", ANDIRON_JSON_OBJECT },         { "name", ANDIRON_JSON_STRING },
    { "description", ANDIRON_JSON_STRING },  { "user", ANDIRON_JSON_OBJECT },
    { "links", ANDIRON_JSON_OBJECT },        { "context", ANDIRON_JSON_OBJECT },
};

/* Role.links.<member> refers to that type. */
static const struct {
    char name[20], type[20];
} role_links[] = {
    { "patient", "Patient" },
    { "practitioner", "Practitioner" },
    { "practitionerRole", "PractitionerRole" },
    { "organization", "Organization" },
    { "person", "Person" },
    { "relatedPerson", "RelatedPerson" },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool refers_to(andiron_json reference, const char *type)
{
    return andiron_str_eq(andiron_json_str(andiron_json_get(reference, "resourceType")),
                          andiron_str_of(type)) &&
           client_is_id(andiron_json_str(andiron_json_get(reference, "id")));
}

/* Tokens in caches hold a User and its Roles as they were. */
static void stored(void *self, struct andiron_request *req, andiron_str id, andiron_json resource)
{
    struct auth *auth = self;
    (void)req;
    (void)id;
    (void)resource;
    atomic_fetch_add(&auth->issuer_epoch, 1);
}

/* ---- User --------------------------------------------------------------------------------- */

/* With this password instead of its own; absent: without. */
static andiron_str user_text(struct andiron_arena *arena, andiron_json user, andiron_str password)
{
    struct andiron_json_writer *w = andiron_json_write(arena, MAX_BYTES);
    struct andiron_json_iter it = { .of = user };

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it))
        if (!andiron_str_eq(it.name, ANDIRON_STR("password")))
            andiron_json_put_member(w, it.name, it.value);
    andiron_json_put_str(w, "password", password);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

/* As a Client's secret: left out it stays, null removes it, the same again keeps its hash. */
static int accept_password(struct auth *auth, struct andiron_arena *arena, andiron_json user,
                           andiron_json before, andiron_str *ret, struct andiron_error *err)
{
    andiron_json given = andiron_json_get(user, "password");
    andiron_str plain = andiron_json_str(given);
    andiron_str kept = andiron_json_str(andiron_json_get(before, "password"));
    unsigned rounds = (unsigned)auth->config->secret_rounds;
    struct secret old;

    *ret = (andiron_str){ NULL, 0 };
    if (andiron_json_type(given) == ANDIRON_JSON_NULL)
        return 0;
    if (andiron_json_type(given) == ANDIRON_JSON_MISSING) {
        *ret = kept;
        return 0;
    }
    if (plain.len < (size_t)auth->config->password_length)
        return andiron_error_set(err, ANDIRON_E_VALUE, "User.password",
                                 "is a string of at least %d bytes, or null to remove it",
                                 (int)auth->config->password_length);
    if (rounds < PASSWORD_ROUNDS)
        rounds = PASSWORD_ROUNDS;
    if (kept.len != 0 && secret_read(kept, &old) == 0 && old.rounds >= rounds &&
        secret_is(&old, plain)) {
        *ret = kept;
        return 0;
    }
    return secret_make(arena, plain, rounds, ret, err);
}

static int user_accept(void *self, struct andiron_request *req, andiron_json resource,
                       andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str password;

    if (members_check(resource, "User", user_members, COUNT(user_members),
                      "; free-form values belong into User.data", err) != 0 ||
        accept_password(self, arena, resource, before, &password, err) != 0)
        return -1;
    *ret_text = user_text(arena, resource, password);
    return ret_text->data != NULL ? 0
                                  : andiron_error_set(err, ANDIRON_E_TOO_LARGE, "User",
                                                      "is larger than %d bytes", MAX_BYTES);
}

static andiron_str user_present(void *self, struct andiron_request *req, andiron_json resource)
{
    (void)self;
    return user_text(andiron_request_arena(req), resource, (andiron_str){ NULL, 0 });
}

static const char *const user_search[] = { "userName:token:userName", "email:token:email",
                                           "active:token:active", NULL };
static const char *const user_references[] = { "fhirUser", NULL };

const struct andiron_resource_type auth_user_type = {
    .size = sizeof(struct andiron_resource_type),
    .accept = user_accept,
    .stored = stored,
    .present = user_present,
    .search = user_search,
    .references = user_references,
};

/* ---- Role --------------------------------------------------------------------------------- */

static int check_links(andiron_json links, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = links };
    char where[60];

    while (andiron_json_next(&it)) {
        size_t i = 0;
        while (i < COUNT(role_links) &&
               !andiron_str_eq(it.name, andiron_str_of(role_links[i].name)))
            i++;
        (void)snprintf(where, sizeof(where), "Role.links.%.*s",
                       (int)(it.name.len > 32 ? 32 : it.name.len), it.name.data);
        if (i == COUNT(role_links))
            return andiron_error_set(err, ANDIRON_E_ELEMENT, where,
                                     "is none of patient, practitioner, practitionerRole, "
                                     "organization, person and relatedPerson");
        if (!refers_to(it.value, role_links[i].type))
            return andiron_error_set(err, ANDIRON_E_VALUE, where, "refers to a %s",
                                     role_links[i].type);
    }
    return 0;
}

static int role_accept(void *self, struct andiron_request *req, andiron_json resource,
                       andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    (void)self;
    (void)req;
    (void)before;
    (void)ret_text;
    if (members_check(resource, "Role", role_members, COUNT(role_members), "", err) != 0)
        return -1;
    if (andiron_json_str(andiron_json_get(resource, "name")).len == 0)
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "Role.name",
                                 "is required: what AccessPolicy.roleName says");
    if (!refers_to(andiron_json_get(resource, "user"), "User"))
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "Role.user",
                                 "is required: the User who has the role, as "
                                 "{\"resourceType\":\"User\",\"id\":\"...\"}");
    return check_links(andiron_json_get(resource, "links"), err);
}

static const char *const role_search[] = { "user:reference:user", "name:token:name", NULL };
static const char *const role_references[] = { "user",
                                               "links.patient",
                                               "links.practitioner",
                                               "links.practitionerRole",
                                               "links.organization",
                                               "links.person",
                                               "links.relatedPerson",
                                               NULL };

const struct andiron_resource_type auth_role_type = {
    .size = sizeof(struct andiron_resource_type),
    .accept = role_accept,
    .stored = stored,
    .search = role_search,
    .references = role_references,
};
