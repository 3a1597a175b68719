/*
 * Reads of several requests as one statement: their parameters become arrays, and each gets the rows
 * that are its own. Touches nothing but batches.
 */
#ifndef STORE_POSTGRES_TOGETHER_H
#define STORE_POSTGRES_TOGETHER_H

#include "batch.h"

enum { TOGETHER_MAX = 32 };

struct together {
    struct wire_batch batch; /* to be sent in place of the others */
    struct wire_statement statement;
    struct wire_batch *members[TOGETHER_MAX];
    size_t count;
    uint8_t *bytes; /* of the arrays */
    size_t room;
};

/* Begins anew: `many` is what each member's batch allows (wire_together()). */
void together_begin(struct together *t, const struct wire_sql *many);
/* At most TOGETHER_MAX, which must live until together_share(). */
void together_add(struct together *t, struct wire_batch *b);
/* Makes the parameters; t->batch may be sent. */
void together_seal(struct together *t);
/* Gives each member its rows, once t->batch was answered. */
void together_share(struct together *t);
/* Frees what it owns. */
void together_end(struct together *t);

#endif
