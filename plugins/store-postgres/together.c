/*
 * Reads of several requests as one statement; see together.h.
 */
#include "together.h"

#include <assert.h>
#include <stdlib.h>

enum { KEPT_MAX = 1 << 16 /* bytes kept for the next ones */ };

void together_begin(struct together *t, const struct wire_sql *many)
{
    if (t->room > KEPT_MAX) {
        free(t->bytes);
        t->bytes = NULL;
        t->room = 0;
    }
    t->count = 0;
    t->statement.sql = many;
    t->statement.count = 0;
    t->batch = (struct wire_batch){ .first = &t->statement, .last = &t->statement, .count = 1 };
}

void together_add(struct together *t, struct wire_batch *b)
{
    assert(t->count < TOGETHER_MAX && b->count == 1);
    t->members[t->count++] = b;
}

static size_t length_of(const struct together *t, size_t member, int param)
{
    const struct wire_statement *s = t->members[member]->first;

    return s->values[param] != NULL ? (size_t)s->lengths[param] : 0;
}

static uint8_t *put_array(const struct together *t, int param, uint8_t *to)
{
    bool has_nulls = false;

    for (size_t i = 0; i < t->count; i++)
        has_nulls = has_nulls || t->members[i]->first->values[param] == NULL;
    to = batch_array_head(to, t->statement.sql->types[param], t->count, has_nulls);
    for (size_t i = 0; i < t->count; i++) {
        const struct wire_statement *s = t->members[i]->first;
        to = batch_array_element(to, s->values[param], length_of(t, i, param));
    }
    return to;
}

void together_seal(struct together *t)
{
    struct wire_statement *s = &t->statement;
    int params = wire_sql_params(s->sql);
    size_t bytes = 0;

    for (int p = 0; p < params; p++) {
        bytes += BATCH_ARRAY_HEAD + t->count * 4;
        for (size_t i = 0; i < t->count; i++)
            bytes += length_of(t, i, p);
    }
    if (bytes > t->room) {
        free(t->bytes);
        t->bytes = malloc(bytes);
        if (t->bytes == NULL)
            abort(); /* out of memory */
        t->room = bytes;
    }
    uint8_t *to = t->bytes;
    for (int p = 0; p < params; p++) {
        uint8_t *from = to;
        to = put_array(t, p, to);
        s->values[p] = (const char *)from;
        s->lengths[p] = (int)(to - from);
    }
    s->count = params;
}

void together_share(struct together *t)
{
    PGresult *r = t->statement.result;
    size_t rows = r != NULL ? (size_t)PQntuples(r) : 0;

    t->statement.result = NULL;
    if (r == NULL)
        return;
    for (size_t i = 0; i < rows; i++) {
        int64_t n = batch_int(r, i, 0);
        if (n >= 1 && n <= (int64_t)t->count)
            t->members[n - 1]->first->row_count++;
    }
    struct shared_result *shared = batch_share(r, t->count);
    for (size_t i = 0; i < t->count; i++) {
        struct wire_batch *b = t->members[i];
        struct wire_statement *s = b->first;
        s->shared = shared;
        s->rows = andiron_alloc(b->arena, (s->row_count + 1) * sizeof(s->rows[0]));
        s->row_count = 0;
    }
    for (size_t i = 0; i < rows; i++) {
        int64_t n = batch_int(r, i, 0);
        if (n < 1 || n > (int64_t)t->count)
            continue;
        struct wire_statement *s = t->members[n - 1]->first;
        s->rows[s->row_count++] = (uint32_t)i;
    }
}

void together_end(struct together *t)
{
    PQclear(t->statement.result);
    free(t->bytes);
}
