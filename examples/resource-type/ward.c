/*
 * Resource type Ward: one that FHIR does not have, stored, versioned and searched as its own are.
 *
 *     { "resourceType": "Ward", "name": "3 North", "beds": 24,
 *       "site": { "reference": "Organization/main" } }
 *
 * A type is a service: what may be stored, and what can be searched. GET, PUT, search and history of
 * /Ward and /fhir/Ward come with it, and so do policies.
 */
#include <andiron/plugin.h>
#include <andiron/resource.h>

enum { BEDS_MAX = 10000 };

static bool is_known(andiron_str name)
{
    static const char *const names[] = { "resourceType", "id", "meta", "name", "beds", "site" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(names[i])))
            return true;
    return false;
}

/* Every element that is stored is one that was checked. Runs on a pool thread. */
static int accept(void *self, struct andiron_request *req, andiron_json ward, andiron_json before,
                  andiron_str *ret_text, struct andiron_error *err)
{
    (void)self;
    (void)req;
    (void)before;
    (void)ret_text; /* stored as sent */
    struct andiron_json_iter it = { .of = ward };
    andiron_json site = andiron_json_get(ward, "site");
    int64_t beds = andiron_json_int(andiron_json_get(ward, "beds"), -1);

    while (andiron_json_next(&it))
        if (!is_known(it.name))
            return andiron_error_set(err, ANDIRON_E_ELEMENT, "Ward",
                                     "has no element '%.*s'; it has name, beds and site",
                                     (int)(it.name.len < 60 ? it.name.len : 60), it.name.data);
    if (andiron_json_str(andiron_json_get(ward, "name")).len == 0)
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "Ward.name", "a ward has a name");
    if (beds < 0 || beds > BEDS_MAX)
        return andiron_error_set(err, ANDIRON_E_VALUE, "Ward.beds",
                                 "must be a whole number from 0 to %d", BEDS_MAX);
    if (andiron_json_type(site) != ANDIRON_JSON_MISSING &&
        !andiron_str_eq(andiron_json_str(andiron_json_get(site, "resourceType")),
                        ANDIRON_STR("Organization")))
        return andiron_error_set(err, ANDIRON_E_VALUE, "Ward.site",
                                 "must refer to an Organization");
    return 0;
}

/* GET /Ward?name=north&site=Organization/main */
static const char *const search[] = { "name:string:name", "site:reference:site", NULL };
static const char *const references[] = { "site", NULL };

static const struct andiron_resource_type ward = {
    .size = sizeof(ward), .accept = accept, .search = search, .references = references
};

static const struct andiron_service provides[] = { { ANDIRON_RESOURCE_TYPE "Ward", &ward },
                                                   { NULL, NULL } };

ANDIRON_PLUGIN(.name = "ward", .version = "1.0.0", .summary = "Resource type Ward",
               .provides = provides);
