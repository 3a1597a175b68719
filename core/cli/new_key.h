/*
 * Key pairs for clients: the private half in a new file, the public half as a JWK set.
 */
#ifndef CORE_CLI_NEW_KEY_H
#define CORE_CLI_NEW_KEY_H

#include <andiron/base.h>
#include <andiron/json.h>

/*
 * Makes a P-384 key, writes it as PKCS#8 PEM to path, which must not exist (mode 0600), and gives
 * {"keys":[..]} in arena; its kid is the thumbprint, as andiron token expects. 0, or an exit
 * status with the error printed.
 */
int new_key_write(struct andiron_arena *arena, const char *path, andiron_json *ret_set);

#endif
