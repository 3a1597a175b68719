/*
 * Policy calls: what an engine is asked with. The public side is andiron/policy.h; this is for
 * `andiron explain-policy`, which judges a stored request without a server.
 */
#ifndef CORE_HTTP_POLICY_H
#define CORE_HTTP_POLICY_H

#include <stdatomic.h>

#include <andiron/policy.h>

/*
 * Asks an engine about a request object as seed-semantics 5.2 has it, and waits for a PENDING one
 * (at most limit_ms, then FAULT). *ret_reason is in arena; absent if none was given. The pool must
 * run if the engine uses it. *ret_answers (NULL: not wanted) counts answers, also those that come
 * when there has been one; in arena.
 */
enum andiron_verdict policy_explain(struct andiron_arena *arena, andiron_json request,
                                    const struct andiron_service_ref *engine, const void *compiled,
                                    int64_t limit_ms, andiron_str *ret_reason,
                                    const atomic_uint **ret_answers);

#endif
