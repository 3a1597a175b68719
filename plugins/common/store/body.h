/*
 * What stands beside a stored body: its format in the lowest byte, above it a sum over its bytes;
 * no sum at all is 0.
 */
#ifndef COMMON_STORE_BODY_H
#define COMMON_STORE_BODY_H

#include <andiron/base.h>
#include <andiron/error.h>

int64_t body_encoding(andiron_str body);
/* -1 and err if it cannot be read, or is not what was stored. */
ANDIRON_MUST_CHECK int body_check(int64_t encoding, andiron_str body, struct andiron_error *err);

#endif
