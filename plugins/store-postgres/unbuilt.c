/*
 * What of the service is still to come; each function goes to a file of its own.
 */
#include "search.h"
#include "service.h"

static enum andiron_step refuse(struct andiron_request *req, struct andiron_error *ret,
                                const char *what, andiron_step_fn then, void *state)
{
    andiron_error_set(ret, ANDIRON_E_NOT_IMPLEMENTED, "", "store-postgres does not %s yet", what);
    return andiron_ready(req, then, state);
}

enum andiron_step service_search(void *self, struct andiron_request *req,
                                 const struct andiron_query *query, struct andiron_rows *ret,
                                 andiron_step_fn then, void *state)
{
    (void)self;
    (void)query;
    return refuse(req, &ret->error, "search", then, state);
}

void search_start(const struct search_place *place, const struct andiron_query *query,
                  struct andiron_rows *rows, void (*done)(void *arg), void *arg)
{
    (void)place;
    (void)query;
    andiron_error_set(&rows->error, ANDIRON_E_NOT_IMPLEMENTED, "",
                      "store-postgres does not search yet");
    done(arg);
}
