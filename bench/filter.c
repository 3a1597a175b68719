/*
 * The smallest request filter, for what a plugin adds to a request: built once for each of many
 * plugins (bench/chain.mjs) with NAME defined.
 */
#include <andiron/plugin.h>

static enum andiron_step pass(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_str_eq(andiron_request_method(req), ANDIRON_STR("TRACE")) ? ANDIRON_DONE
                                                                             : ANDIRON_NEXT;
}

static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_RECEIVE, pass }, { 0 } };

ANDIRON_PLUGIN(.name = NAME, .version = "1.0.0", .summary = "Lets everything pass", .hooks = hooks);
