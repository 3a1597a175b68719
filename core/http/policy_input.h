/*
 * The request object that policies see (seed-semantics 5.2), built member by member on
 * first use. Secrets and raw tokens never get into it.
 */
#ifndef CORE_HTTP_POLICY_INPUT_H
#define CORE_HTTP_POLICY_INPUT_H

#include <andiron/json.h>
#include <andiron/request.h>

struct policy_input;

/* Of a request; or, with req NULL, of an object that is given whole. In arena. */
struct policy_input *policy_input_new(struct andiron_arena *arena, struct andiron_request *req,
                                      andiron_json whole);

/* As andiron_policy_input(). */
andiron_json policy_input_get(struct policy_input *input, const char *path);

#endif
