/*
 * Services store/1 and health/1:store: the tables. Each function is in the file of its concept.
 */
#ifndef STORE_POSTGRES_SERVICE_H
#define STORE_POSTGRES_SERVICE_H

#include "store.h"

extern const struct andiron_store service_store;
extern const struct andiron_health service_health;

/* As in andiron/store.h. */
enum andiron_step service_read(void *self, struct andiron_request *req,
                               const struct andiron_ref *refs, size_t count,
                               struct andiron_rows *ret, andiron_step_fn then, void *state);
enum andiron_step service_search(void *self, struct andiron_request *req,
                                 const struct andiron_query *query, struct andiron_rows *ret,
                                 andiron_step_fn then, void *state);
enum andiron_step service_walk(void *self, struct andiron_request *req,
                               const struct andiron_walk *walk, struct andiron_rows *ret,
                               andiron_step_fn then, void *state);
enum andiron_step service_visit(void *self, struct andiron_request *req,
                                const struct andiron_walk *walk,
                                const struct andiron_visitor *visitor, struct andiron_rows *ret,
                                andiron_step_fn then, void *state);
enum andiron_step service_commit(void *self, struct andiron_request *req,
                                 struct andiron_commit *commit, andiron_step_fn then, void *state);
enum andiron_step service_commit_making(void *self, struct andiron_request *req,
                                        struct andiron_commit *commit,
                                        const struct andiron_term_maker *maker,
                                        andiron_step_fn then, void *state);
enum andiron_step service_claim(void *self, struct andiron_request *req, andiron_str name,
                                andiron_usec expires, bool *ret_taken,
                                struct andiron_error *ret_error, andiron_step_fn then, void *state);
enum andiron_step service_index(void *self, struct andiron_request *req, enum andiron_index_op op,
                                struct andiron_indexing *items, size_t count,
                                struct andiron_error *ret_error, andiron_step_fn then, void *state);
enum andiron_step service_forget(void *self, struct andiron_request *req, const char *type,
                                 const char *param, struct andiron_error *ret_error,
                                 andiron_step_fn then, void *state);
enum andiron_step service_purge(void *self, struct andiron_request *req,
                                struct andiron_purge *purge, andiron_step_fn then, void *state);
enum andiron_step service_in_use(void *self, struct andiron_request *req, const char *const *types,
                                 const char *const *params, size_t limit,
                                 const struct andiron_visitor *visitor, struct andiron_rows *ret,
                                 andiron_step_fn then, void *state);
int service_watch(void *self, struct andiron_loop *loop, const char *type,
                  void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
                  struct andiron_error *err);

#endif
