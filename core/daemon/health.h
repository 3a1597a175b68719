/*
 * Whether this worker is well: the checks of plugins and core's own, asked once a second, and
 * the routes /health, /health/live and /health/ready that show the last answers.
 */
#ifndef CORE_DAEMON_HEALTH_H
#define CORE_DAEMON_HEALTH_H

#include "host/settings.h"

struct health;

/* Lives in host's arena. Nothing is asked before health_start(); until then it is not ready. */
struct health *health_new(struct host *host, const struct settings *settings);

/* Asks for the first time and then each second, on the first of all loops. On its thread. */
void health_start(struct health *health, struct andiron_loop *const *loops, size_t loop_count);
/* On the same thread. */
void health_stop(struct health *health);

/* /health/ready says no from now on, or again what the checks say. Any thread. */
void health_withdraw(struct health *health, bool withdrawn);

/* Handlers of the three routes; state is the struct health. */
enum andiron_step health_get(struct andiron_request *req, void *state);
enum andiron_step health_live(struct andiron_request *req, void *state);
enum andiron_step health_ready(struct andiron_request *req, void *state);

/* The object of /health with all its details, for `status` too. In arena. */
andiron_str health_text(struct health *health, struct andiron_arena *arena, bool with_details);

#endif
