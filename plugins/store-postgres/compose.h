/*
 * Statements composed at run time: text in pieces, parameters as they come.
 *
 * Only names and numbers of the program get into the text; values are parameters, so that texts differ
 * in shape only, and few are prepared.
 */
#ifndef STORE_POSTGRES_COMPOSE_H
#define STORE_POSTGRES_COMPOSE_H

#include "wire.h"

struct compose_value {
    enum wire_type type;
    int64_t number;
    double real;
    andiron_str text;
    const int64_t *numbers;
    const andiron_str *texts;
    size_t count;
};

struct compose {
    struct andiron_arena *arena;
    char *text;
    size_t len, cap;
    const struct wire_sql *fixed, *many; /* compose_fixed() */
    size_t count;
    struct compose_value values[WIRE_PARAMS];
};

struct compose *compose_new(struct andiron_arena *arena);
/* One whose text is there; many: as of wire_together(), or NULL. */
struct compose *compose_fixed(struct andiron_arena *arena, const struct wire_sql *sql,
                              const struct wire_sql *many);
/* How many parameters may still be added. */
static inline size_t compose_room(const struct compose *c)
{
    return WIRE_PARAMS - c->count;
}

/* Adds text. */
void compose_put(struct compose *c, const char *fmt, ...) ANDIRON_PRINTF(2, 3);

/* Each adds a parameter and returns its number, for the text: $%d. There must be room. */
int compose_int2(struct compose *c, int64_t value);
int compose_int4(struct compose *c, int64_t value);
int compose_int8(struct compose *c, int64_t value);
int compose_float8(struct compose *c, double value);
int compose_instant(struct compose *c, andiron_usec value);
int compose_text(struct compose *c, andiron_str value);
int compose_bytea(struct compose *c, andiron_str value);
/* Arrays are not copied. */
int compose_ints(struct compose *c, enum wire_type type, const int64_t *values, size_t count);
int compose_texts(struct compose *c, const andiron_str *values, size_t count);

/*
 * Adds the statement with its parameters to a batch of the same arena. is_only: it is all of a batch that
 * nothing else depends on, so that it may be asked for together with others.
 */
void compose_add(const struct compose *c, struct wire_batch *b, bool is_only);

#endif
