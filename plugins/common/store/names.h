/*
 * Numbers of resource types and search parameters, as committed in restype and param.
 *
 * Only grows, so that readers on any thread look up without a lock; numbers are never used
 * twice. What is not here may still be in the database (another process added it): a store asks
 * it then.
 */
#ifndef COMMON_STORE_NAMES_H
#define COMMON_STORE_NAMES_H

#include "hash.h"

enum { NAMES_TYPES_MAX = 1024 };

/*
 * Beside the kinds of a param: some resource had several dates, numbers or quantities in it.
 * Without it, a resource that satisfies conditions on the param does so by its only value.
 */
enum { NAMES_SEVERAL = 1 << 16 };

struct names;

struct names *names_new(const struct hash_key *key);
void names_free(struct names *names);

/* Adds or widens, after the commit that stored it. Any thread. */
void names_put_type(struct names *names, int64_t type, andiron_str name);
void names_put_param(struct names *names, int64_t p, int64_t type, andiron_str code,
                     uint32_t kinds);
/* The parameter is gone; its number means nothing any more. */
void names_drop_param(struct names *names, int64_t type, andiron_str code);
/* All parameters are: before they are read again. */
void names_forget_params(struct names *names);

/* Numbers; 0: unknown. */
int64_t names_type(const struct names *names, andiron_str name);
/* ret_kinds: a bit for each enum andiron_term_kind that was ever stored. */
int64_t names_param(const struct names *names, int64_t type, andiron_str code, uint32_t *ret_kinds);
/* Name of a type; absent if unknown. Lives as long as names. */
andiron_str names_of_type(const struct names *names, int64_t type);
/* Highest type number known. */
int64_t names_last_type(const struct names *names);

#endif
