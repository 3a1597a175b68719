/*
 * Public keys of a Client, or of an issuer, imported once and kept with its snapshot.
 */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include "clients.h"
#include "common/jose/jwk.h"

/* Holds what it gives: end with client_keys_drop(). One loop only. */
struct client_keys;

/*
 * The key of that kid for alg: from set, the text of a key set, or with an absent set from own, an
 * array of keys. *held is what was imported before, or NULL. Returns how many keys fit: 0 none,
 * 1 found, more: ambiguous. *ret_keys keeps the key alive.
 */
size_t keys_find(struct client_keys **held, andiron_json own, andiron_str set, andiron_str kid,
                 const struct jose_alg *alg, const struct jose_key **ret_key,
                 struct client_keys **ret_keys);

/* Of a Client: own is its jwks. */
static inline size_t client_key(struct client *client, andiron_str set, andiron_str kid,
                                const struct jose_alg *alg, const struct jose_key **ret_key,
                                struct client_keys **ret_keys)
{
    return keys_find(&client->keys, client->jwks, set, kid, alg, ret_key, ret_keys);
}

void client_keys_drop(struct client_keys *keys);
void client_keys_free(struct client_keys *keys); /* drop; NULL is allowed */

#endif
