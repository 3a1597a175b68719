/*
 * Member names of one object: finding a repeated one, and the table by which large objects are
 * searched.
 *
 * Hashes are keyed with a random seed of the process, so that a client cannot choose names that
 * collide.
 */
#ifndef CORE_JSON_NAMES_H
#define CORE_JSON_NAMES_H

#include "json/tape.h"

/* SipHash-1-3. */
uint64_t names_hash(const uint64_t key[2], andiron_str name);

/* The key of this process, random. */
const uint64_t *names_key(void);

/* The second of two equal names in an object of at most NAMES_LINEAR members, or NULL. */
const struct json_node *names_repeated(const char *text, const struct json_node *object,
                                       const struct json_node *end);

/*
 * Table of an object's `count` names. NULL if a name comes twice; then *ret_repeated is the
 * second one. end is where the object's content ends.
 */
const struct json_names *names_index(struct andiron_arena *arena, const char *text,
                                     const struct json_node *object, const struct json_node *end,
                                     size_t count, const struct json_node **ret_repeated);

/* The name's node in a NODE_INDEXED object, or NULL. */
const struct json_node *names_find(const char *text, const struct json_node *object,
                                   andiron_str name);

#endif
