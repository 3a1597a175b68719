#include "operations.h"

#include "answer.h"
#include "text.h"

/* Names that routes do not have but requests get: see access.c. */
static const struct andiron_route refined[] = {
    { .method = "POST", .pattern = "/fhir/{type}", .operation = "FhirConditionalCreate" },
};

static const struct andiron_route *route_at(const struct fhir *fhir, size_t index,
                                            const char **ret_plugin)
{
    size_t count = sizeof(refined) / sizeof(refined[0]);
    if (index >= count)
        return andiron_host_route(fhir->host, index - count, ret_plugin);
    *ret_plugin = "fhir";
    return &refined[index];
}

/* The first route of an operation stands for it; index of the next such route from `from`. */
static const struct andiron_route *next_operation(const struct fhir *fhir, size_t *index,
                                                  const char **ret_plugin)
{
    const struct andiron_route *route, *earlier;
    const char *plugin;

    while ((route = route_at(fhir, (*index)++, ret_plugin)) != NULL) {
        if (route->operation == NULL)
            continue;
        bool repeated = false;
        for (size_t i = 0; !repeated && i + 1 < *index; i++) {
            earlier = route_at(fhir, i, &plugin);
            repeated =
                earlier->operation != NULL && strcmp(earlier->operation, route->operation) == 0;
        }
        if (!repeated)
            return route;
    }
    return NULL;
}

static void put_operation(struct text *t, const struct andiron_route *route, const char *plugin)
{
    TEXT_LIT(t, "{\"resourceType\":\"Operation\",\"id\":");
    text_json(t, andiron_str_of(route->operation));
    TEXT_LIT(t, ",\"request\":[");
    text_json(t, andiron_str_of(route->method));
    TEXT_LIT(t, ",");
    text_json(t, andiron_str_of(route->pattern));
    TEXT_LIT(t, "],\"public\":");
    if (route->flags & ANDIRON_ROUTE_PUBLIC)
        TEXT_LIT(t, "true");
    else
        TEXT_LIT(t, "false");
    TEXT_LIT(t, ",\"module\":");
    text_json(t, andiron_str_of(plugin));
    TEXT_LIT(t, "}");
}

enum andiron_step operations_read(const struct fhir *fhir, struct andiron_request *req,
                                  const struct wanted *wanted, andiron_str id)
{
    const struct andiron_route *route;
    const char *plugin;
    struct text t;

    for (size_t i = 0; (route = next_operation(fhir, &i, &plugin)) != NULL;) {
        if (!andiron_str_eq(andiron_str_of(route->operation), id))
            continue;
        text_init(&t, andiron_request_arena(req), 256);
        put_operation(&t, route, plugin);
        return answer_json(req, wanted, 200, text_view(&t));
    }
    return andiron_fail(req, ANDIRON_E_NOT_FOUND, "Operation/%.*s is not known", (int)id.len,
                        id.data);
}

enum andiron_step operations_list(const struct fhir *fhir, struct andiron_request *req,
                                  const struct wanted *wanted)
{
    enum fhir_base base = fhir_base_of(req);
    const struct resource_type *type = types_find(fhir->types, ANDIRON_STR("Operation"));
    const struct andiron_route *route;
    const char *plugin;
    struct text entries, t;
    uint64_t count = 0;

    text_init(&entries, andiron_request_arena(req), 16384);
    for (size_t i = 0; (route = next_operation(fhir, &i, &plugin)) != NULL; count++) {
        if (count > 0)
            TEXT_LIT(&entries, ",");
        TEXT_LIT(&entries, "{\"fullUrl\":");
        text_json(&entries, answer_url(req, base, type, andiron_str_of(route->operation), 0));
        TEXT_LIT(&entries, ",\"resource\":");
        put_operation(&entries, route, plugin);
        TEXT_LIT(&entries, ",\"search\":{\"mode\":\"match\"}}");
    }
    text_init(&t, andiron_request_arena(req), entries.len + 256);
    TEXT_LIT(&t, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":");
    text_uint(&t, count);
    TEXT_LIT(&t, ",\"link\":[{\"relation\":\"self\",\"url\":");
    andiron_str self = answer_url(req, base, type, (andiron_str){ "", 0 }, 0);
    text_json(&t, (andiron_str){ self.data, self.len - 1 }); /* without the final '/' */
    TEXT_LIT(&t, "}],\"entry\":[");
    text_str(&t, text_view(&entries));
    TEXT_LIT(&t, "]}");
    return answer_json(req, wanted, 200, text_view(&t));
}
