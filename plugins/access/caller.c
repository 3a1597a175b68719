/*
 * Links and tests of a request.
 */
#include "caller.h"

#include <andiron/auth.h>

enum { OTHERS = 3 + ANDIRON_FEATURE_USER + 1 }; /* links that are no roles, and features */

static andiron_str client_of(const struct andiron_principal *p)
{
    andiron_str id = andiron_json_str(andiron_json_get(p->client, "id"));
    return p->kind == ANDIRON_CLIENT && id.data == NULL ? andiron_str_of(p->id) : id;
}

static void add_roles(const struct andiron_principal *p, struct link *links, size_t *count)
{
    struct andiron_json_iter it = { .of = p->roles };
    while (andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "name"));
        if (name.len > 0)
            links[(*count)++] = (struct link){ LINK_ROLE, name };
    }
}

static andiron_str method_of(struct andiron_request *req)
{
    andiron_str method = andiron_request_method(req);
    char *lower = andiron_copy(andiron_request_arena(req), method);
    for (size_t i = 0; i < method.len; i++)
        if (lower[i] >= 'A' && lower[i] <= 'Z')
            lower[i] = (char)(lower[i] + ('a' - 'A'));
    return (andiron_str){ lower, method.len };
}

/* What the request object has, from where it has it: there it would be made for every request. */
static andiron_str feature_of(struct andiron_request *req, struct andiron_policy_call *call,
                              unsigned feature)
{
    const struct andiron_principal *p = andiron_request_principal(req);
    andiron_str value = { NULL, 0 };

    switch (feature) {
    case ANDIRON_FEATURE_METHOD:
        value = method_of(req);
        break;
    case ANDIRON_FEATURE_URI: /* not always the path */
        value = andiron_json_str(andiron_policy_input(call, "uri"));
        break;
    case ANDIRON_FEATURE_TYPE:
        value = andiron_request_var(req, "type");
        break;
    case ANDIRON_FEATURE_OPERATION:
        value = andiron_str_of(andiron_request_operation(req));
        break;
    case ANDIRON_FEATURE_CLIENT:
        value = andiron_json_str(andiron_json_get(p->client, "id"));
        break;
    default: /* ANDIRON_FEATURE_USER */
        value = andiron_json_str(andiron_json_get(p->user, "id"));
        break;
    }
    return value.data != NULL ? value : ANDIRON_STR("");
}

const struct link *caller_links(struct andiron_request *req, struct andiron_policy_call *call,
                                const struct set *set, size_t *ret_count)
{
    static const struct places none;
    const struct places *places = set != NULL ? set_places(set) : &none;
    unsigned features = set != NULL ? set_features(set) : 0;
    const struct andiron_principal *p = andiron_request_principal(req);
    const char *operation = andiron_request_operation(req);
    andiron_str client = client_of(p);
    size_t count = 0;
    size_t most = andiron_json_count(p->roles) + OTHERS + places_links_max(places);
    struct link *links = andiron_alloc(andiron_request_arena(req), most * sizeof(*links));

    if (client.len > 0)
        links[count++] = (struct link){ LINK_CLIENT, client };
    if (p->kind == ANDIRON_USER && p->id != NULL)
        links[count++] = (struct link){ LINK_USER, andiron_str_of(p->id) };
    if (operation != NULL)
        links[count++] = (struct link){ LINK_OPERATION, andiron_str_of(operation) };
    add_roles(p, links, &count);
    for (unsigned f = 0; f <= ANDIRON_FEATURE_USER; f++)
        if ((features >> f & 1) != 0 && f != ANDIRON_FEATURE_URI_PREFIX)
            links[count++] = (struct link){ LINK_TEST + f, feature_of(req, call, f) };
    *ret_count = count + places_links(places, call, links + count);
    return links;
}
