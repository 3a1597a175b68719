/*
 * Batches from the inside: statements with their encoded parameters and their results.
 */
#ifndef STORE_POSTGRES_BATCH_H
#define STORE_POSTGRES_BATCH_H

#include <libpq-fe.h>

#include "wire.h"

struct shared_result;

struct wire_statement {
    struct wire_statement *next;
    const struct wire_sql *sql;
    PGresult *result; /* the batch's; cleared with its arena */

    /* Or, of a result that several batches share: the numbers of its own rows, behind whose first column
     * its columns are (together.h). */
    struct shared_result *shared;
    uint32_t *rows;
    size_t row_count;

    uint64_t key; /* as prepared; set when it is sent */
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

/* A result for that many batches: each lets go of it with its arena, on whatever thread. */
struct shared_result *batch_share(PGresult *result, size_t batches);
/* As wire_get_int(), of a result. */
int64_t batch_int(const PGresult *r, size_t row, unsigned column);

/* The binary form of an array: its head, then each element (NULL if there are no bytes). */
enum { BATCH_ARRAY_HEAD = 20 };
uint8_t *batch_array_head(uint8_t *to, enum wire_type type, size_t count, bool has_nulls);
uint8_t *batch_array_element(uint8_t *to, const char *value, size_t len);

#endif
