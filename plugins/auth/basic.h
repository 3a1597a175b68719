/*
 * Basic credentials (RFC 7617), taken apart.
 */
#ifndef AUTH_BASIC_H
#define AUTH_BASIC_H

#include <andiron/base.h>

/* What stands behind "Basic ": id and secret in arena. -1 if it is no base64 of "id:secret". */
ANDIRON_MUST_CHECK int basic_read(struct andiron_arena *arena, andiron_str credentials,
                                  andiron_str *ret_id, andiron_str *ret_secret);

#endif
