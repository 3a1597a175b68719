/*
 * Composed statements; see compose.h.
 */
#include "compose.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_FIRST = 512 };

struct compose *compose_new(struct andiron_arena *arena)
{
    struct compose *c = andiron_new(arena, struct compose);

    c->arena = arena;
    c->cap = TEXT_FIRST;
    c->text = andiron_alloc(arena, c->cap);
    c->text[0] = '\0';
    return c;
}

struct compose *compose_fixed(struct andiron_arena *arena, const struct wire_sql *sql,
                              const struct wire_sql *many)
{
    struct compose *c = andiron_new(arena, struct compose);

    c->arena = arena;
    c->fixed = sql;
    c->many = many;
    return c;
}

void compose_put(struct compose *c, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(c->text + c->len, c->cap - c->len, fmt, args);
    va_end(args);
    assert(len >= 0);
    if ((size_t)len >= c->cap - c->len) {
        size_t cap = (c->cap + (size_t)len) * 2;
        char *text = andiron_alloc(c->arena, cap);
        memcpy(text, c->text, c->len);
        c->text = text;
        c->cap = cap;
        va_start(args, fmt);
        len = vsnprintf(c->text + c->len, c->cap - c->len, fmt, args);
        va_end(args);
    }
    c->len += (size_t)len;
}

static struct compose_value *add(struct compose *c, enum wire_type type)
{
    assert(c->count < WIRE_PARAMS);
    struct compose_value *v = &c->values[c->count++];

    *v = (struct compose_value){ .type = type };
    return v;
}

int compose_int2(struct compose *c, int64_t value)
{
    add(c, WIRE_INT2)->number = value;
    return (int)c->count;
}

int compose_int4(struct compose *c, int64_t value)
{
    add(c, WIRE_INT4)->number = value;
    return (int)c->count;
}

int compose_int8(struct compose *c, int64_t value)
{
    add(c, WIRE_INT8)->number = value;
    return (int)c->count;
}

int compose_float8(struct compose *c, double value)
{
    add(c, WIRE_FLOAT8)->real = value;
    return (int)c->count;
}

int compose_instant(struct compose *c, andiron_usec value)
{
    add(c, WIRE_TIMESTAMPTZ)->number = value;
    return (int)c->count;
}

int compose_text(struct compose *c, andiron_str value)
{
    add(c, WIRE_TEXT)->text = value;
    return (int)c->count;
}

int compose_bytea(struct compose *c, andiron_str value)
{
    add(c, WIRE_BYTEA)->text = value;
    return (int)c->count;
}

int compose_ints(struct compose *c, enum wire_type type, const int64_t *values, size_t count)
{
    struct compose_value *v = add(c, type);

    v->numbers = values;
    v->count = count;
    return (int)c->count;
}

int compose_texts(struct compose *c, const andiron_str *values, size_t count)
{
    struct compose_value *v = add(c, WIRE_TEXT_ARRAY);

    v->texts = values;
    v->count = count;
    return (int)c->count;
}

static void add_value(struct wire_batch *b, const struct compose_value *v)
{
    switch (v->type) {
    case WIRE_INT2:
        wire_int2(b, v->number);
        break;
    case WIRE_INT4:
        wire_int4(b, v->number);
        break;
    case WIRE_INT8:
        wire_int8(b, v->number);
        break;
    case WIRE_FLOAT8:
        wire_float8(b, v->real);
        break;
    case WIRE_TIMESTAMPTZ:
        wire_instant(b, v->number);
        break;
    case WIRE_TEXT:
        wire_text(b, v->text);
        break;
    case WIRE_BYTEA:
        wire_bytea(b, v->text);
        break;
    case WIRE_TEXT_ARRAY:
        wire_str_array(b, v->texts, v->count);
        break;
    default:
        wire_int_array(b, v->numbers, v->count);
        break;
    }
}

static const struct wire_sql *sql_of(const struct compose *c)
{
    struct wire_sql *sql;

    if (c->fixed != NULL)
        return c->fixed;
    sql = andiron_new(c->arena, struct wire_sql);
    sql->text = c->text;
    for (size_t i = 0; i < c->count; i++)
        sql->types[i] = c->values[i].type;
    return sql;
}

void compose_add(const struct compose *c, struct wire_batch *b, bool is_only)
{
    wire_add(b, sql_of(c));
    for (size_t i = 0; i < c->count; i++)
        add_value(b, &c->values[i]);
    if (is_only && c->many != NULL)
        wire_together(b, c->many);
}
