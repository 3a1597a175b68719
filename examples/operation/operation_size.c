/*
 * Operation $size, at all three levels: how many resources the system or a type holds, and how
 * many bytes one resource has.
 *
 *     GET /fhir/$size    GET /fhir/Patient/$size    GET /fhir/Patient/1/$size
 *
 * An operation is a route. It asks the service store/1, without knowing which plugin that is,
 * and goes on in a step when the answer is there.
 */
#include <andiron/plugin.h>
#include <andiron/store.h>

struct sizes {
    const struct andiron_store *store;
    void *store_self;
};

struct asking {
    const struct sizes *sizes;
    char *type;
    struct andiron_ref ref;
    struct andiron_query query;
    struct andiron_rows rows;
};

static enum andiron_step answer(struct andiron_request *req, long long size)
{
    const char *text = andiron_printf(andiron_request_arena(req),
                                      "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":"
                                      "\"return\",\"valueInteger\":%lld}]}",
                                      size);
    return andiron_reply(req, 200, "application/fhir+json", andiron_str_of(text));
}

static enum andiron_step counted(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    return answer(req, (long long)a->rows.total);
}

/* Without a type: what the system may hold is said by the list. */
static enum andiron_step count(struct andiron_request *req, struct asking *a)
{
    static const char *const types[] = { "Patient", "Observation", NULL };

    a->query = (struct andiron_query){ .type = a->type,
                                       .types = a->type == NULL ? types : NULL,
                                       .total = ANDIRON_TOTAL_ACCURATE };
    return a->sizes->store->search(a->sizes->store_self, req, &a->query, &a->rows, counted, a);
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    if (a->rows.rows[0].ref.id.len == 0 || a->rows.rows[0].deleted)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", a->type,
                            (int)a->ref.id.len, a->ref.id.data);
    return answer(req, (long long)a->rows.rows[0].body.len);
}

/* One handler for the three routes: what is in the path decides. */
static enum andiron_step size(struct andiron_request *req, void *self)
{
    struct asking *a = andiron_new(andiron_request_arena(req), struct asking);
    andiron_str type = andiron_request_var(req, "type"), id = andiron_request_var(req, "id");

    a->sizes = self;
    if (type.data != NULL)
        a->type = andiron_copy(andiron_request_arena(req), type);
    if (id.data == NULL)
        return count(req, a);
    a->ref = (struct andiron_ref){ .type = type, .id = id };
    return a->sizes->store->read(a->sizes->store_self, req, &a->ref, 1, &a->rows, found, a);
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)config;
    (void)err;
    *ret_self = andiron_new(andiron_host_arena(host), struct sizes);
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct sizes *sizes = self;
    struct andiron_service_ref ref;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &ref, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "there is no store");
    sizes->store = ref.table;
    sizes->store_self = ref.self;
    return 0;
}

/* The definition makes an operation stand in /fhir/metadata; "Size" is what policies link to. */
#define DEFINITION "http://example.org/OperationDefinition/size"
static const struct andiron_route routes[] = {
    { "GET", "/fhir/$size", size, "Size", 0, DEFINITION },
    { "GET", "/fhir/{type}/$size", size, "Size", 0, DEFINITION },
    { "GET", "/fhir/{type}/{id}/$size", size, "Size", 0, DEFINITION },
    { 0 },
};

ANDIRON_PLUGIN(.name = "operation-size", .version = "1.0.0",
               .summary = "Operation $size: counts and lengths",
               .needs = (const char *const[]){ ANDIRON_STORE, NULL }, .routes = routes,
               .init = init, .start = start);
