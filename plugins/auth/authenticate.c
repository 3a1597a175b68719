/*
 * The AUTHENTICATE hook: reads the Authorization header and hands on to the scheme.
 */
#include <strings.h>

#include "auth.h"
#include "bearer.h"

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

enum auth_scheme auth_scheme(andiron_str value, andiron_str *ret_rest)
{
    if (value.data == NULL)
        return AUTH_NONE;
    /* AU-1: one pair of quotes around the whole value, as the seed shows it. */
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
        value.data++;
        value.len -= 2;
    }
    enum auth_scheme scheme = takes_scheme(value, "Bearer", ret_rest)  ? AUTH_BEARER
                              : takes_scheme(value, "Basic", ret_rest) ? AUTH_BASIC
                                                                       : AUTH_UNKNOWN;
    /* Neither scheme has a comma: core has joined two headers. */
    if (scheme != AUTH_UNKNOWN && ret_rest->len != 0 &&
        memchr(ret_rest->data, ',', ret_rest->len) != NULL)
        return AUTH_SEVERAL;
    return scheme;
}

static enum andiron_step go_on(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    return ANDIRON_NEXT;
}

enum andiron_step auth_authenticate(struct andiron_request *req, void *self)
{
    struct auth *auth = self;
    andiron_str rest;

    /* Internal requests bring their principal along. */
    if (andiron_request_principal(req)->kind != ANDIRON_ANONYMOUS)
        return ANDIRON_NEXT;
    switch (auth_scheme(andiron_request_header(req, "authorization"), &rest)) {
    case AUTH_NONE:
        return ANDIRON_NEXT;
    case AUTH_BEARER:
        return bearer_prove(req, auth, rest, go_on, NULL);
    case AUTH_BASIC:
        return auth_basic(req, auth, rest);
    case AUTH_SEVERAL:
        return andiron_fail(req, ANDIRON_E_INVALID, "only one Authorization header may be sent");
    default:
        andiron_reply_header(req, "WWW-Authenticate",
                             ANDIRON_STR("Bearer realm=\"andiron\", Basic realm=\"andiron\""));
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "Unauthorized");
    }
}
