/*
 * Members of an AccessPolicy: which are every policy's, and which belong to an engine
 * (seed-semantics 5.1). For access, which checks policies, and complex, which checks their items.
 */
#ifndef COMMON_POLICY_MEMBERS_H
#define COMMON_POLICY_MEMBERS_H

#include <andiron/base.h>

/* "link", "effect", "id": what every policy may have beside its engine's own. */
bool policy_member_is_common(andiron_str member);

/*
 * Whether `member` may stand in a policy of `engine` as the engine's own. An engine that is not
 * listed owns whatever no other owns. *ret_owner is the engine it belongs to, or NULL.
 */
bool policy_member_fits(const char *engine, andiron_str member, const char **ret_owner);

#endif
