/*
 * Request filter "read-only": while it is loaded nothing is written. For a migration, or a copy
 * that only answers.
 *
 * A filter is a hook. In RECEIVE it refuses before the body is read and before anybody is asked who
 * they are; an inner request (the entry of a Bundle) passes it too, so no write gets around it.
 */
#include <andiron/plugin.h>

struct config {
    const char *message;
    const char *const *except;
};

static const struct andiron_directive directives[] = {
    { .name = "message",
      .type = ANDIRON_STRING,
      .offset = offsetof(struct config, message),
      .fallback = "this server is read-only at the moment; try again later",
      .help = "what a refused client is told" },
    { .name = "except",
      .type = ANDIRON_LIST,
      .offset = offsetof(struct config, except),
      .fallback = "FhirSearch, FhirSystemSearch, FhirBatch, FhirTransaction",
      .help = "operations that may be asked for by POST: searches, and Bundles of reads" },
    { .name = NULL }
};

static bool is_excepted(const struct config *config, const char *operation)
{
    for (size_t i = 0; operation != NULL && config->except[i] != NULL; i++)
        if (strcmp(config->except[i], operation) == 0)
            return true;
    return false;
}

/* HEAD is given as GET. OPTIONS asks what may be done, and does nothing. */
static enum andiron_step refuse_writes(struct andiron_request *req, void *self)
{
    const struct config *config = self;
    andiron_str method = andiron_request_method(req);

    if (andiron_str_eq(method, ANDIRON_STR("GET")) ||
        andiron_str_eq(method, ANDIRON_STR("OPTIONS")))
        return ANDIRON_NEXT;
    if (is_excepted(config, andiron_request_operation(req)))
        return ANDIRON_NEXT;
    andiron_reply_header(req, "Retry-After", ANDIRON_STR("60"));
    return andiron_fail(req, ANDIRON_E_UNAVAILABLE, "%s", config->message);
}

static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_RECEIVE, refuse_writes }, { 0 } };

ANDIRON_PLUGIN(.name = "read-only", .version = "1.0.0", .summary = "Refuses whatever would write",
               .directives = directives, .config_size = sizeof(struct config), .hooks = hooks);
