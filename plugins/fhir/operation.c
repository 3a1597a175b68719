#include "operation.h"

#include "negotiate.h"

int operation_begin(struct andiron_request *req, struct operation *ret)
{
    andiron_json body;

    *ret = (struct operation){ .pos = 0 };
    if (andiron_request_body(req).len == 0)
        return 0;
    if (!negotiate_is_json(andiron_request_header(req, "content-type"))) {
        (void)andiron_fail(req, ANDIRON_E_MEDIA_TYPE,
                           "Content-Type must be application/fhir+json or application/json");
        return -1;
    }
    if (andiron_request_json(req, &body) != 0)
        return -1;
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(body, "resourceType")),
                        ANDIRON_STR("Parameters"))) {
        (void)andiron_fail(req, ANDIRON_E_INVALID,
                           "what is posted to an operation must be Parameters");
        return -1;
    }
    ret->posted = andiron_json_get(body, "parameter");
    ret->it = (struct andiron_json_iter){ .of = ret->posted };
    return 0;
}

/* The member value[x] as text: a string's content, else what stands there. */
static andiron_str primitive(andiron_json parameter)
{
    struct andiron_json_iter it = { .of = parameter };

    while (andiron_json_next(&it)) {
        if (it.name.len < 6 || memcmp(it.name.data, "value", 5) != 0)
            continue;
        switch (andiron_json_type(it.value)) {
        case ANDIRON_JSON_STRING:
            return andiron_json_str(it.value);
        case ANDIRON_JSON_OBJECT:
        case ANDIRON_JSON_ARRAY:
            break;
        default:
            return andiron_json_raw(it.value);
        }
    }
    return (andiron_str){ NULL, 0 };
}

bool operation_next(struct andiron_request *req, struct operation *op, andiron_str *ret_name,
                    andiron_str *ret_value)
{
    if (!op->url_done && andiron_request_param(req, &op->pos, ret_name, ret_value))
        return true;
    op->url_done = true;
    while (andiron_json_type(op->posted) == ANDIRON_JSON_ARRAY && andiron_json_next(&op->it)) {
        andiron_str value = primitive(op->it.value);
        if (value.data == NULL)
            continue;
        *ret_name = andiron_json_str(andiron_json_get(op->it.value, "name"));
        *ret_value = value;
        return true;
    }
    op->url_done = false;
    op->pos = 0;
    op->it = (struct andiron_json_iter){ .of = op->posted };
    return false;
}
