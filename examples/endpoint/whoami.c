/*
 * Endpoint GET /whoami: tells whoever asks as whom they are known, and why they may know it.
 *
 * An endpoint is a route. "WhoAmI" is what AccessPolicies link to: without a policy that lets them,
 * nobody gets here, and core answers 403 (401 if they are anonymous).
 */
#include <andiron/auth.h>
#include <andiron/plugin.h>

enum { ANSWER_MAX = 64 * 1024 };

static const char *kind_of(const struct andiron_principal *who)
{
    switch (who->kind) {
    case ANDIRON_CLIENT:
        return "Client";
    case ANDIRON_USER:
        return "User";
    case ANDIRON_SYSTEM:
        return "System";
    case ANDIRON_ANONYMOUS:
    default: /* kinds that a later andiron may have */
        return "anonymous";
    }
}

static enum andiron_step whoami(struct andiron_request *req, void *self)
{
    (void)self;
    const struct andiron_principal *who = andiron_request_principal(req);
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), ANSWER_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "kind", andiron_str_of(kind_of(who)));
    andiron_json_put_str(w, "id", andiron_str_of(who->id)); /* NULL puts nothing */
    andiron_json_put_str(w, "granted-by", andiron_str_of(andiron_request_granted(req)));
    if (who->scopes != NULL) {
        andiron_json_put_array(w, "scopes");
        for (size_t i = 0; who->scopes[i] != NULL; i++)
            andiron_json_put_str(w, NULL, andiron_str_of(who->scopes[i]));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        return andiron_fail(req, ANDIRON_E_TOO_LARGE, "the answer would be above %d bytes",
                            ANSWER_MAX);
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    return andiron_reply(req, 200, "application/json", text);
}

static const struct andiron_route routes[] = { { "GET", "/whoami", whoami, "WhoAmI", 0, NULL },
                                               { 0 } };

ANDIRON_PLUGIN(.name = "whoami", .version = "1.0.0", .summary = "GET /whoami", .routes = routes);
