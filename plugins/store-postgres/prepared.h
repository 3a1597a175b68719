/*
 * Which statements a connection has prepared: named ones by their address, composed ones by their text.
 */
#ifndef STORE_POSTGRES_PREPARED_H
#define STORE_POSTGRES_PREPARED_H

#include "wire.h"

enum { PREPARED_SLOTS = 1024, PREPARED_COMPOSED = 200, PREPARED_NAME = 18 };

struct prepared {
    uint64_t keys[PREPARED_SLOTS]; /* open addressing; 0: free */
    uint32_t used[PREPARED_SLOTS]; /* when, in uses; of composed ones */
    uint32_t uses;
    size_t count, composed;
};

uint64_t prepared_key(const struct wire_sql *sql);
/* Its name on the server; room for it, if it has to be made. */
const char *prepared_name(const struct wire_sql *sql, uint64_t key, char name[PREPARED_NAME]);
bool prepared_has(struct prepared *p, uint64_t key);
void prepared_add(struct prepared *p, const struct wire_sql *sql, uint64_t key);
void prepared_drop(struct prepared *p, uint64_t key);
/* The composed statement that was not used for longest, if there are too many; its name. */
bool prepared_too_many(struct prepared *p, char name[PREPARED_NAME], uint64_t *ret_key);

#endif
