/*
 * Batches from the inside: statements with their encoded parameters and their results.
 */
#ifndef STORE_POSTGRES_BATCH_H
#define STORE_POSTGRES_BATCH_H

#include <libpq-fe.h>

#include "wire.h"

struct wire_statement {
    struct wire_statement *next;
    const struct wire_sql *sql;
    PGresult *result; /* the batch's; cleared with its arena */
    int count;
    int lengths[WIRE_PARAMS];
    const char *values[WIRE_PARAMS];
};

/* Takes a result for a statement. */
void batch_take(struct wire_statement *s, PGresult *result);
/* Forgets results and the reply, to be sent again. */
void batch_reset(struct wire_batch *b);
/* Results can be looked at from here on. */
void batch_done(struct wire_batch *b);

/* How many parameters a statement has. */
int wire_sql_params(const struct wire_sql *sql);

#endif
