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

enum andiron_step service_read(void *self, struct andiron_request *req,
                               const struct andiron_ref *refs, size_t count,
                               struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    (void)self;
    (void)refs;
    (void)count;
    return refuse(req, &ret->error, "read", then, state);
}

enum andiron_step service_search(void *self, struct andiron_request *req,
                                 const struct andiron_query *query, struct andiron_rows *ret,
                                 andiron_step_fn then, void *state)
{
    (void)self;
    (void)query;
    return refuse(req, &ret->error, "search", then, state);
}

enum andiron_step service_walk(void *self, struct andiron_request *req,
                               const struct andiron_walk *walk, struct andiron_rows *ret,
                               andiron_step_fn then, void *state)
{
    (void)self;
    (void)walk;
    return refuse(req, &ret->error, "walk", then, state);
}

enum andiron_step service_commit(void *self, struct andiron_request *req,
                                 struct andiron_commit *commit, andiron_step_fn then, void *state)
{
    (void)self;
    return refuse(req, &commit->error, "write", then, state);
}

enum andiron_step service_commit_making(void *self, struct andiron_request *req,
                                        struct andiron_commit *commit,
                                        const struct andiron_term_maker *maker,
                                        andiron_step_fn then, void *state)
{
    (void)self;
    (void)maker;
    return refuse(req, &commit->error, "write", then, state);
}

enum andiron_step service_claim(void *self, struct andiron_request *req, andiron_str name,
                                andiron_usec expires, bool *ret_taken,
                                struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    (void)self;
    (void)name;
    (void)expires;
    *ret_taken = false;
    return refuse(req, ret_error, "claim", then, state);
}

enum andiron_step service_index(void *self, struct andiron_request *req, enum andiron_index_op op,
                                struct andiron_indexing *items, size_t count,
                                struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    (void)self;
    (void)op;
    (void)items;
    (void)count;
    return refuse(req, ret_error, "index", then, state);
}

enum andiron_step service_forget(void *self, struct andiron_request *req, const char *type,
                                 const char *param, struct andiron_error *ret_error,
                                 andiron_step_fn then, void *state)
{
    (void)self;
    (void)type;
    (void)param;
    return refuse(req, ret_error, "forget", then, state);
}

enum andiron_step service_purge(void *self, struct andiron_request *req,
                                struct andiron_purge *purge, andiron_step_fn then, void *state)
{
    (void)self;
    return refuse(req, &purge->error, "purge", then, state);
}
