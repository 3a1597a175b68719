/*
 * The AUTHENTICATE hook: reads the Authorization header and hands on to the scheme.
 */
#include <strings.h>

#include "auth.h"

static bool takes_scheme(andiron_str value, const char *scheme, andiron_str *ret_rest)
{
    size_t len = strlen(scheme);
    if (value.len < len || strncasecmp(value.data, scheme, len) != 0 ||
        (value.len > len && value.data[len] != ' '))
        return false;
    while (len < value.len && value.data[len] == ' ')
        len++;
    *ret_rest = (andiron_str){ value.data + len, value.len - len };
    return true;
}

enum andiron_step auth_authenticate(struct andiron_request *req, void *self)
{
    struct auth *auth = self;
    andiron_str value = andiron_request_header(req, "authorization"), rest;

    /* Internal requests bring their principal along. */
    if (value.data == NULL || andiron_request_principal(req)->kind != ANDIRON_ANONYMOUS)
        return ANDIRON_NEXT;
    /* AU-1: one pair of quotes around the whole value, as the seed shows it. */
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
        value.data++;
        value.len -= 2;
    }
    bool is_bearer = takes_scheme(value, "Bearer", &rest);
    if (!is_bearer && !takes_scheme(value, "Basic", &rest)) {
        andiron_reply_header(req, "WWW-Authenticate",
                             ANDIRON_STR("Bearer realm=\"andiron\", Basic realm=\"andiron\""));
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "Unauthorized");
    }
    /* Neither scheme has a comma: core has joined two headers. */
    if (rest.len != 0 && memchr(rest.data, ',', rest.len) != NULL)
        return andiron_fail(req, ANDIRON_E_INVALID, "only one Authorization header may be sent");
    return is_bearer ? auth_bearer(req, auth, rest) : auth_basic(req, auth, rest);
}
