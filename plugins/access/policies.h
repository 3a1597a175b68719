/*
 * The policies in force: loaded from the store, replaced whole at every change, and
 * handed to loops without a lock.
 *
 * A write on this node is in force before it is answered (policies_apply from the
 * resource type's stored()); one on another node follows by store/1 watch.
 */
#ifndef ACCESS_POLICIES_H
#define ACCESS_POLICIES_H

#include <andiron/plugin.h>
#include <andiron/store.h>

#include "set.h"

struct policies;

/* engines and store must outlive it. */
struct policies *policies_new(struct andiron_host *host, const struct engines *engines,
                              struct andiron_service_ref store);
/* Begins to load, and to follow changes on loop; from start(). */
int policies_start(struct policies *policies, struct andiron_loop *loop, struct andiron_error *err);
void policies_free(struct policies *policies);

/* Whether the decision at hand is one of the few that are timed. */
struct policies_local;
bool policies_sample(struct policies_local *local);

/* A loop's own reference to the set in force. */
struct policies_local;
struct policies_local *policies_local_new(void);
void policies_local_free(struct policies_local *local);

/*
 * The set in force; stays valid until the next call on this loop, or longer with set_hold().
 * NULL: what is in force is not known (yet, or any more), call policies_load().
 */
struct set *policies_current(struct policies *policies, struct policies_local *local);

/* Loads all policies from the store in the course of a request, then goes on. */
enum andiron_step policies_load(struct policies *policies, struct andiron_request *req,
                                andiron_step_fn then, void *state);

/*
 * Puts one written policy into force; resource is MISSING if it was deleted. What is warned of, in
 * arena, or NULL. Any thread.
 */
const char *policies_apply(struct policies *policies, struct andiron_arena *arena, andiron_str id,
                           andiron_json resource);

#endif
