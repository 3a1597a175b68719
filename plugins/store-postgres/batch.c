/*
 * Building batches and reading their results: PostgreSQL's binary formats (manual, "Frontend/Backend
 * Protocol"; src/include/catalog/pg_type.dat for the OIDs). Touches nothing but the arena.
 */
#include "batch.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Microseconds from 1970 to 2000, where PostgreSQL's clock starts. */
static const int64_t epoch = 946684800000000;

struct shared_result {
    PGresult *result;
    atomic_size_t users;
};

struct shared_result *batch_share(PGresult *result, size_t batches)
{
    struct shared_result *s = malloc(sizeof(*s));

    if (s == NULL)
        abort(); /* out of memory */
    s->result = result;
    atomic_init(&s->users, batches);
    return s;
}

static void let_go(struct shared_result *s)
{
    if (s == NULL || atomic_fetch_sub(&s->users, 1) != 1)
        return;
    PQclear(s->result);
    free(s);
}

static void clear(void *arg)
{
    struct wire_batch *b = arg;

    for (struct wire_statement *s = b->first; s != NULL; s = s->next) {
        PQclear(s->result);
        s->result = NULL;
        let_go(s->shared);
        s->shared = NULL;
        s->row_count = 0;
    }
}

struct wire_batch *wire_batch(struct andiron_arena *arena)
{
    struct wire_batch *b = andiron_new(arena, struct wire_batch);

    b->arena = arena;
    andiron_at_release(arena, clear, b);
    return b;
}

void wire_snapshot(struct wire_batch *b)
{
    b->in_snapshot = true;
}

void wire_together(struct wire_batch *b, const struct wire_sql *many)
{
    assert(b->count == 1 && !b->in_snapshot);
    b->many = many;
}

int wire_sql_params(const struct wire_sql *sql)
{
    int n = 0;

    while (n < WIRE_PARAMS && sql->types[n] != 0)
        n++;
    return n;
}

void wire_add(struct wire_batch *b, const struct wire_sql *sql)
{
    struct wire_statement *s = andiron_new(b->arena, struct wire_statement);

    assert(b->last == NULL || b->last->count == wire_sql_params(b->last->sql));
    s->sql = sql;
    if (b->last == NULL)
        b->first = s;
    else
        b->last->next = s;
    b->last = s;
    b->count++;
}

void batch_take(struct wire_statement *s, PGresult *result)
{
    PQclear(s->result);
    s->result = result;
}

void wire_release(struct wire_batch *b)
{
    clear(b);
}

void batch_reset(struct wire_batch *b)
{
    clear(b);
    b->reply = (struct wire_reply){ .outcome = WIRE_OK };
}

void batch_done(struct wire_batch *b)
{
    size_t i = 0;

    if (b->by_number != NULL || b->count == 0)
        return;
    b->by_number = andiron_alloc(b->arena, b->count * sizeof(b->by_number[0]));
    for (struct wire_statement *s = b->first; s != NULL; s = s->next)
        b->by_number[i++] = s;
}

/* ---- parameters ------------------------------------------------------------------- */

static void put_bytes(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

/* Type of the parameter that comes next. */
static enum wire_type next_type(const struct wire_batch *b)
{
    const struct wire_statement *s = b->last;

    assert(s != NULL && s->count < WIRE_PARAMS);
    return s->sql->types[s->count];
}

static void push(struct wire_batch *b, const void *value, size_t len)
{
    struct wire_statement *s = b->last;

    s->values[s->count] = value;
    s->lengths[s->count] = (int)len;
    s->count++;
}

static void push_int(struct wire_batch *b, enum wire_type type, unsigned bytes, int64_t value)
{
    uint8_t *to = andiron_alloc(b->arena, bytes);

    assert(next_type(b) == type);
    (void)type;
    put_bytes(to, (uint64_t)value, bytes);
    push(b, to, bytes);
}

void wire_bool(struct wire_batch *b, bool value)
{
    push_int(b, WIRE_BOOL, 1, value);
}

void wire_int2(struct wire_batch *b, int64_t value)
{
    push_int(b, WIRE_INT2, 2, value);
}

void wire_int4(struct wire_batch *b, int64_t value)
{
    push_int(b, WIRE_INT4, 4, value);
}

void wire_int8(struct wire_batch *b, int64_t value)
{
    push_int(b, next_type(b) == WIRE_XID8 ? WIRE_XID8 : WIRE_INT8, 8, value);
}

void wire_instant(struct wire_batch *b, andiron_usec value)
{
    push_int(b, WIRE_TIMESTAMPTZ, 8, value - epoch);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void wire_float8(struct wire_batch *b, double value)
{
    push_int(b, WIRE_FLOAT8, 8, (int64_t)bits_of(value));
}

static void push_str(struct wire_batch *b, enum wire_type type, andiron_str value)
{
    assert(next_type(b) == type);
    (void)type;
    push(b, value.data, value.len);
}

void wire_text(struct wire_batch *b, andiron_str value)
{
    push_str(b, WIRE_TEXT, value);
}

void wire_bytea(struct wire_batch *b, andiron_str value)
{
    push_str(b, WIRE_BYTEA, value);
}

void wire_null(struct wire_batch *b)
{
    (void)next_type(b);
    push(b, NULL, 0);
}

/* ---- arrays ------------------------------------------------------------------------- */

enum {
    ARRAY_HEAD = BATCH_ARRAY_HEAD,
    ARRAY_MAX = 0x3fffffff /* bytes: PostgreSQL's limit of a message */
};

struct array {
    enum wire_type element;
    unsigned bytes; /* of an element; 0: its own */
};

static struct array array_of(enum wire_type type)
{
    switch (type) {
    case WIRE_BOOL_ARRAY:
        return (struct array){ WIRE_BOOL, 1 };
    case WIRE_INT2_ARRAY:
        return (struct array){ WIRE_INT2, 2 };
    case WIRE_INT4_ARRAY:
        return (struct array){ WIRE_INT4, 4 };
    case WIRE_INT8_ARRAY:
        return (struct array){ WIRE_INT8, 8 };
    case WIRE_FLOAT8_ARRAY:
        return (struct array){ WIRE_FLOAT8, 8 };
    case WIRE_TIMESTAMPTZ_ARRAY:
        return (struct array){ WIRE_TIMESTAMPTZ, 8 };
    case WIRE_TEXT_ARRAY:
        return (struct array){ WIRE_TEXT, 0 };
    case WIRE_BYTEA_ARRAY:
        return (struct array){ WIRE_BYTEA, 0 };
    default:
        break;
    }
    assert(type == WIRE_TEXT_ARRAY); /* else it is none */
    return (struct array){ WIRE_TEXT, 0 };
}

static void put_head(uint8_t *to, enum wire_type element, size_t count, bool has_nulls)
{
    put_bytes(to, count == 0 ? 0 : 1, 4); /* an empty one has no dimensions */
    put_bytes(to + 4, has_nulls, 4);
    put_bytes(to + 8, element, 4);
    put_bytes(to + 12, count, 4);
    put_bytes(to + 16, 1, 4); /* the first index */
}

uint8_t *batch_array_head(uint8_t *to, enum wire_type type, size_t count, bool has_nulls)
{
    put_head(to, array_of(type).element, count, has_nulls);
    return to + ARRAY_HEAD;
}

uint8_t *batch_array_element(uint8_t *to, const char *value, size_t len)
{
    put_bytes(to, value != NULL ? len : UINT32_MAX, 4);
    if (value != NULL && len != 0)
        memcpy(to + 4, value, len);
    return to + 4 + (value != NULL ? len : 0);
}

/* Room for an array with that much behind its head, which is filled in. */
static uint8_t *push_array(struct wire_batch *b, enum wire_type element, size_t count, size_t bytes,
                           bool has_nulls)
{
    assert(bytes <= ARRAY_MAX);
    uint8_t *to = andiron_alloc(b->arena, ARRAY_HEAD + bytes);
    size_t head = count == 0 ? 12 : ARRAY_HEAD;

    put_head(to, element, count, has_nulls);
    push(b, to, head + bytes);
    return to + ARRAY_HEAD;
}

void wire_int_array(struct wire_batch *b, const int64_t *values, size_t count)
{
    struct array a = array_of(next_type(b));
    int64_t shift = a.element == WIRE_TIMESTAMPTZ ? epoch : 0;

    assert(a.bytes != 0 && a.element != WIRE_FLOAT8 && a.element != WIRE_BOOL);
    uint8_t *to = push_array(b, a.element, count, count * (4 + a.bytes), false);
    for (size_t i = 0; i < count; i++, to += 4 + a.bytes) {
        put_bytes(to, a.bytes, 4);
        put_bytes(to + 4, (uint64_t)(values[i] - shift), a.bytes);
    }
}

void wire_float_array(struct wire_batch *b, const double *values, size_t count)
{
    assert(next_type(b) == WIRE_FLOAT8_ARRAY);
    uint8_t *to = push_array(b, WIRE_FLOAT8, count, count * 12, false);
    for (size_t i = 0; i < count; i++, to += 12) {
        put_bytes(to, 8, 4);
        put_bytes(to + 4, bits_of(values[i]), 8);
    }
}

void wire_bool_array(struct wire_batch *b, const bool *values, size_t count)
{
    assert(next_type(b) == WIRE_BOOL_ARRAY);
    uint8_t *to = push_array(b, WIRE_BOOL, count, count * 5, false);
    for (size_t i = 0; i < count; i++, to += 5) {
        put_bytes(to, 1, 4);
        to[4] = values[i];
    }
}

void wire_str_array(struct wire_batch *b, const andiron_str *values, size_t count)
{
    struct array a = array_of(next_type(b));
    size_t bytes = 0;
    bool has_nulls = false;

    assert(a.bytes == 0);
    for (size_t i = 0; i < count; i++) {
        bytes += 4 + (values[i].data != NULL ? values[i].len : 0);
        has_nulls = has_nulls || values[i].data == NULL;
    }
    uint8_t *to = push_array(b, a.element, count, bytes, has_nulls);
    for (size_t i = 0; i < count; i++)
        to = batch_array_element(to, values[i].data, values[i].len);
}

/* ---- results ---------------------------------------------------------------------------- */

static const struct wire_statement *statement_of(const struct wire_batch *b, size_t at)
{
    assert(at < b->count && b->by_number != NULL);
    return b->by_number[at];
}

/* Where a value is. */
struct cell {
    const PGresult *result;
    int row, column;
};

static struct cell cell_of(const struct wire_batch *b, size_t at, size_t row, unsigned column)
{
    const struct wire_statement *s = statement_of(b, at);

    if (s->shared == NULL)
        return (struct cell){ s->result, (int)row, (int)column };
    assert(row < s->row_count);
    return (struct cell){ s->shared->result, (int)s->rows[row], (int)column + 1 };
}

size_t wire_rows(const struct wire_batch *b, size_t at)
{
    const struct wire_statement *s = statement_of(b, at);

    return s->shared != NULL ? s->row_count : (size_t)PQntuples(s->result);
}

size_t wire_affected(const struct wire_batch *b, size_t at)
{
    /* PQcmdTuples() takes a pointer that is not const, and changes nothing. */
    const char *text = PQcmdTuples(b->by_number[at]->result);
    size_t n = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        n = n * 10 + (size_t)(*text - '0');
    return n;
}

bool wire_is_null(const struct wire_batch *b, size_t at, size_t row, unsigned column)
{
    struct cell c = cell_of(b, at, row, column);

    return PQgetisnull(c.result, c.row, c.column) != 0;
}

static uint64_t take_bytes(const char *from, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)from[i];
    return value;
}

static int64_t take_int(const char *from, size_t bytes)
{
    unsigned shift = (unsigned)(64 - 8 * bytes);

    return (int64_t)(take_bytes(from, bytes) << shift) >> shift;
}

static int64_t int_of(struct cell c)
{
    int len = PQgetlength(c.result, c.row, c.column);

    if (len <= 0 || len > 8)
        return 0;
    int64_t value = take_int(PQgetvalue(c.result, c.row, c.column), (size_t)len);
    return PQftype(c.result, c.column) == WIRE_TIMESTAMPTZ ? value + epoch : value;
}

int64_t batch_int(const PGresult *r, size_t row, unsigned column)
{
    return int_of((struct cell){ r, (int)row, (int)column });
}

int64_t wire_get_int(const struct wire_batch *b, size_t at, size_t row, unsigned column)
{
    return int_of(cell_of(b, at, row, column));
}

double wire_get_float(const struct wire_batch *b, size_t at, size_t row, unsigned column)
{
    struct cell c = cell_of(b, at, row, column);
    double value = 0;

    if (PQgetlength(c.result, c.row, c.column) == 8) {
        uint64_t bits = take_bytes(PQgetvalue(c.result, c.row, c.column), 8);
        memcpy(&value, &bits, sizeof(value));
    }
    return value;
}

andiron_str wire_get_str(const struct wire_batch *b, size_t at, size_t row, unsigned column)
{
    struct cell c = cell_of(b, at, row, column);

    if (PQgetisnull(c.result, c.row, c.column))
        return (andiron_str){ NULL, 0 };
    return (andiron_str){ PQgetvalue(c.result, c.row, c.column),
                          (size_t)PQgetlength(c.result, c.row, c.column) };
}

const int64_t *wire_get_ints(const struct wire_batch *b, size_t at, size_t row, unsigned column,
                             size_t *ret_count)
{
    andiron_str array = wire_get_str(b, at, row, column);
    size_t count = 0, used = ARRAY_HEAD;

    *ret_count = 0;
    if (array.len < ARRAY_HEAD || take_bytes(array.data, 4) != 1)
        return NULL;
    size_t most = take_bytes(array.data + 12, 4);
    if (most > array.len / 4)
        return NULL;
    int64_t *ret = andiron_alloc(b->arena, most * sizeof(ret[0]) + 1);
    while (count < most && array.len - used >= 4) {
        size_t len = take_bytes(array.data + used, 4);
        used += 4;
        if (len == 0 || len > 8 || len > array.len - used)
            break; /* a NULL: there are none in our arrays */
        ret[count++] = take_int(array.data + used, len);
        used += len;
    }
    *ret_count = count;
    return ret;
}
