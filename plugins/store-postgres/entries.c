/*
 * From keys to columns; see entries.h.
 */
#include "entries.h"

#include <stdlib.h>

/* One row; what a, b and c are depends on the table. */
struct entry {
    enum entries_table table;
    int64_t p, a, b, c, vid;
    andiron_str text;
};

struct list {
    struct entry *entries;
    size_t count, cap;
};

struct entries {
    struct andiron_arena *arena;
    const struct hash_key *key;
    struct list rows, values;
    struct list *into; /* while keys are visited */
    int64_t vid;
    struct entries_marks
        *met; /* values that are in the list, most of them; NULL while it is short */
};

struct entries *entries_new(struct andiron_arena *arena, const struct hash_key *key)
{
    struct entries *e = andiron_new(arena, struct entries);

    e->arena = arena;
    e->key = key;
    return e;
}

/* ---- collecting ---------------------------------------------------------------------------- */

static void push(struct entries *e, struct list *l, struct entry entry)
{
    if (l->count == l->cap) {
        size_t cap = l->cap > 0 ? l->cap * 2 : 64;
        struct entry *more = andiron_alloc(e->arena, cap * sizeof(more[0]));
        if (l->count > 0)
            memcpy(more, l->entries, l->count * sizeof(more[0]));
        l->entries = more;
        l->cap = cap;
    }
    l->entries[l->count++] = entry;
}

static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static int on_token(void *arg, int64_t p, int64_t h)
{
    struct entries *e = arg;
    push(e, e->into, (struct entry){ ENTRIES_TOKEN, .p = p, .a = h, .vid = e->vid });
    return 0;
}

static int on_ref(void *arg, int64_t p, int64_t target)
{
    struct entries *e = arg;
    push(e, e->into, (struct entry){ ENTRIES_REF, .p = p, .a = target, .vid = e->vid });
    return 0;
}

static int on_date(void *arg, int64_t p, int64_t cls, andiron_usec low, andiron_usec high)
{
    struct entries *e = arg;
    push(e, e->into,
         (struct entry){ ENTRIES_DATE, .p = p, .a = cls, .b = low, .c = high, .vid = e->vid });
    return 0;
}

static int on_number(void *arg, int64_t p, int64_t unit, double low, double high)
{
    struct entries *e = arg;
    push(e, e->into,
         (struct entry){ ENTRIES_NUMBER, .p = p, .a = unit, .b = bits_of(low), .c = bits_of(high),
                         .vid = e->vid });
    return 0;
}

static int on_string(void *arg, int64_t p, andiron_str text)
{
    struct entries *e = arg;
    push(e, e->into, (struct entry){ ENTRIES_STRING, .p = p, .text = text, .vid = e->vid });
    return 0;
}

static int compare_numbers(int64_t x, int64_t y)
{
    return (x > y) - (x < y);
}

/* By what makes a row; the order within a table is that of its index, so that pages are met in turn. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = compare_numbers((int64_t)x->table, (int64_t)y->table);

    if (order == 0)
        order = compare_numbers(x->p, y->p);
    if (order == 0)
        order = compare_numbers(x->a, y->a);
    if (order == 0)
        order = compare_numbers(x->b, y->b);
    if (order == 0)
        order = compare_numbers(x->c, y->c);
    if (order != 0)
        return order;
    size_t len = x->text.len < y->text.len ? x->text.len : y->text.len;
    order = len > 0 ? memcmp(x->text.data, y->text.data, len) : 0;
    return order != 0 ? order : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static int collect(struct entries *e, struct list *l, andiron_str keys, int64_t vid)
{
    const struct rows_sink sink = { .token = on_token,
                                    .ref = on_ref,
                                    .date = on_date,
                                    .number = on_number,
                                    .string = on_string,
                                    .arg = e };

    e->into = l;
    e->vid = vid;
    return rows_each(e->key, keys, &sink);
}

/* Sorts the entries from `from` on and leaves each once. */
static void unique(struct list *l, size_t from)
{
    size_t kept = from;

    if (l->count - from < 2)
        return;
    qsort(l->entries + from, l->count - from, sizeof(l->entries[0]), compare_entries);
    for (size_t i = from + 1; i < l->count; i++) {
        if (compare_entries(&l->entries[kept], &l->entries[i]) != 0)
            l->entries[++kept] = l->entries[i];
    }
    l->count = kept + 1;
}

int entries_add(struct entries *e, andiron_str keys, andiron_str old, int64_t vid)
{
    struct list before = { .count = 0 };
    size_t from = e->rows.count, kept = from, j = 0;
    int rc = collect(e, &e->rows, keys, vid);

    unique(&e->rows, from);
    if (rc != 0 || old.len == 0)
        return rc;
    rc = collect(e, &before, old, vid);
    unique(&before, 0);
    for (size_t i = from; i < e->rows.count; i++) {
        int order = 1;
        while (j < before.count &&
               (order = compare_entries(&before.entries[j], &e->rows.entries[i])) < 0)
            j++;
        if (j == before.count || order != 0)
            e->rows.entries[kept++] = e->rows.entries[i];
    }
    e->rows.count = kept;
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

enum { LONG = 256 };

/* p; a is the kind, b the hash, or the number of the resource. */
static int on_value(void *arg, int64_t p, enum rows_value_kind kind, andiron_str text, int64_t h)
{
    struct entries *e = arg;
    uint64_t mark = rows_value_mark(p, kind, h);

    if (e->met == NULL && e->values.count > LONG)
        e->met = andiron_new(e->arena, struct entries_marks);
    if (e->met != NULL && e->met->marks[mark % ENTRIES_MARKS] == mark)
        return 0;
    if (e->met != NULL)
        e->met->marks[mark % ENTRIES_MARKS] = mark;
    struct entry entry = { kind == ROWS_RESOURCE ? ENTRIES_NAME : ENTRIES_VALUE, .p = p, .a = kind,
                           .b = h };
    if (kind != ROWS_RESOURCE)
        entry.text =
            (andiron_str){ andiron_copy(e->arena, text), text.len }; /* may be on a stack */
    push(e, &e->values, entry);
    return 0;
}

int entries_add_values(struct entries *e, andiron_str keys)
{
    return rows_each_value(e->key, keys, on_value, e);
}

void entries_mark(const struct entries *e, struct entries_marks *marks)
{
    for (size_t i = 0; i < e->values.count; i++) {
        const struct entry *v = &e->values.entries[i];
        uint64_t mark = rows_value_mark(v->p, (enum rows_value_kind)v->a, v->b);
        marks->marks[mark % ENTRIES_MARKS] = mark;
    }
}

/* ---- statements -------------------------------------------------------------------------------- */

static const struct wire_sql inserts[ENTRIES_TABLES] = {
    [ENTRIES_TOKEN] = { "token_add",
                        "INSERT INTO ix_token(p,h,vid) SELECT * FROM unnest($1,$2,$3)",
                        { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY } },
    [ENTRIES_REF] = { "ref_add",
                      "INSERT INTO ix_ref(p,tgt,vid) SELECT * FROM unnest($1,$2,$3)",
                      { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY } },
    [ENTRIES_DATE] = { "date_add",
                       "INSERT INTO ix_date(p,vid,cls,lo,hi) SELECT * FROM unnest($1,$2,$3,$4,$5)",
                       { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT2_ARRAY, WIRE_INT8_ARRAY,
                         WIRE_INT8_ARRAY } },
    [ENTRIES_NUMBER] = { "number_add",
                         "INSERT INTO ix_num(p,vid,g,lo,hi) SELECT * FROM unnest($1,$2,$3,$4,$5)",
                         { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_FLOAT8_ARRAY,
                           WIRE_FLOAT8_ARRAY } },
    [ENTRIES_STRING] = { "string_add",
                         "INSERT INTO ix_str(p,s,vid) SELECT * FROM unnest($1,$2,$3)",
                         { WIRE_INT4_ARRAY, WIRE_BYTEA_ARRAY, WIRE_INT8_ARRAY } },
};

static const struct wire_sql removals[ENTRIES_TABLES] = {
    [ENTRIES_TOKEN] = { "token_drop",
                        "DELETE FROM ix_token x USING unnest($1,$2,$3) u(p,h,vid)"
                        " WHERE x.p=u.p AND x.h=u.h AND x.vid=u.vid",
                        { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY } },
    [ENTRIES_REF] = { "ref_drop",
                      "DELETE FROM ix_ref x USING unnest($1,$2,$3) u(p,tgt,vid)"
                      " WHERE x.p=u.p AND x.tgt=u.tgt AND x.vid=u.vid",
                      { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY } },
    [ENTRIES_DATE] = { "date_drop",
                       "DELETE FROM ix_date x USING unnest($1,$2,$3,$4,$5) u(p,vid,cls,lo,hi)"
                       " WHERE x.p=u.p AND x.cls=u.cls AND x.lo=u.lo AND x.vid=u.vid AND x.hi=u.hi",
                       { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT2_ARRAY, WIRE_INT8_ARRAY,
                         WIRE_INT8_ARRAY } },
    [ENTRIES_NUMBER] = { "number_drop",
                         "DELETE FROM ix_num x USING unnest($1,$2,$3,$4,$5) u(p,vid,g,lo,hi)"
                         " WHERE x.p=u.p AND x.g=u.g AND x.lo=u.lo AND x.vid=u.vid AND x.hi=u.hi",
                         { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_FLOAT8_ARRAY,
                           WIRE_FLOAT8_ARRAY } },
    [ENTRIES_STRING] = { "string_drop",
                         "DELETE FROM ix_str x USING unnest($1,$2,$3) u(p,s,vid)"
                         " WHERE x.p=u.p AND x.s=u.s AND x.vid=u.vid",
                         { WIRE_INT4_ARRAY, WIRE_BYTEA_ARRAY, WIRE_INT8_ARRAY } },
};

/* In the order of the key: who adds the same at the same time then waits, and not in a circle. */
static const struct wire_sql add_values = {
    "values_add",
    "INSERT INTO ix_value(p,k,s,h) SELECT * FROM unnest($1,$2,$3,$4) u(p,k,s,h) ORDER BY p,k,s"
    " ON CONFLICT DO NOTHING",
    { WIRE_INT4_ARRAY, WIRE_INT2_ARRAY, WIRE_BYTEA_ARRAY, WIRE_INT8_ARRAY }
};
static const struct wire_sql add_names = {
    "values_add_names",
    "INSERT INTO ix_value(p,k,s,h) SELECT u.p,3,convert_to(t.name||'/'||r.id,'UTF8'),r.rid"
    " FROM unnest($1,$2) u(p,rid) JOIN resource r ON r.rid=u.rid JOIN restype t ON t.id=r.type"
    " ORDER BY 1,2,3 ON CONFLICT DO NOTHING",
    { WIRE_INT4_ARRAY, WIRE_INT8_ARRAY }
};
static const struct wire_sql drop_values = {
    "values_drop",
    "DELETE FROM ix_value v USING unnest($1,$2,$3,$4) u(p,k,s,h)"
    " WHERE v.p=u.p AND v.k=u.k AND v.s=u.s"
    " AND NOT EXISTS(SELECT FROM ix_token t WHERE t.p=u.p AND t.h=u.h)",
    { WIRE_INT4_ARRAY, WIRE_INT2_ARRAY, WIRE_BYTEA_ARRAY, WIRE_INT8_ARRAY }
};

static double double_of(int64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

enum column { COLUMN_P, COLUMN_A, COLUMN_B, COLUMN_C, COLUMN_VID };

static void ints(struct wire_batch *b, const struct entry *from, size_t count, enum column column)
{
    int64_t *values = andiron_alloc(b->arena, (count + 1) * sizeof(values[0]));

    for (size_t i = 0; i < count; i++) {
        const int64_t all[] = { from[i].p, from[i].a, from[i].b, from[i].c, from[i].vid };
        values[i] = all[column];
    }
    wire_int_array(b, values, count);
}

static void doubles(struct wire_batch *b, const struct entry *from, size_t count,
                    enum column column)
{
    double *values = andiron_alloc(b->arena, (count + 1) * sizeof(values[0]));

    for (size_t i = 0; i < count; i++)
        values[i] = double_of(column == COLUMN_B ? from[i].b : from[i].c);
    wire_float_array(b, values, count);
}

static void texts(struct wire_batch *b, const struct entry *from, size_t count)
{
    andiron_str *values = andiron_alloc(b->arena, (count + 1) * sizeof(values[0]));

    for (size_t i = 0; i < count; i++)
        values[i] = from[i].text.data != NULL ? from[i].text : (andiron_str){ "", 0 };
    wire_str_array(b, values, count);
}

static void bind(struct wire_batch *b, const struct entry *from, size_t count)
{
    enum entries_table table = from->table;

    ints(b, from, count, COLUMN_P);
    if (table == ENTRIES_TOKEN || table == ENTRIES_REF) {
        ints(b, from, count, COLUMN_A);
        ints(b, from, count, COLUMN_VID);
    } else if (table == ENTRIES_STRING) {
        texts(b, from, count);
        ints(b, from, count, COLUMN_VID);
    } else {
        ints(b, from, count, COLUMN_VID);
        ints(b, from, count, COLUMN_A);
        if (table == ENTRIES_DATE) {
            ints(b, from, count, COLUMN_B);
            ints(b, from, count, COLUMN_C);
        } else {
            doubles(b, from, count, COLUMN_B);
            doubles(b, from, count, COLUMN_C);
        }
    }
}

/* A statement for each table that has rows. */
static void each_table(struct list *l, struct wire_batch *b, const struct wire_sql *statements)
{
    qsort(l->entries, l->count, sizeof(l->entries[0]), compare_entries);
    for (size_t i = 0, n; i < l->count; i += n) {
        for (n = 1; i + n < l->count && l->entries[i + n].table == l->entries[i].table;)
            n++;
        wire_add(b, &statements[l->entries[i].table]);
        bind(b, &l->entries[i], n);
    }
}

void entries_insert(struct entries *e, struct wire_batch *b)
{
    if (e->rows.count > 0)
        each_table(&e->rows, b, inserts);
}

void entries_remove(struct entries *e, struct wire_batch *b)
{
    if (e->rows.count > 0)
        each_table(&e->rows, b, removals);
}

/* Codes and URLs come before names of resources. */
static size_t count_texts(const struct list *l)
{
    size_t n = 0;

    while (n < l->count && l->entries[n].table == ENTRIES_VALUE)
        n++;
    return n;
}

static void bind_texts(struct wire_batch *b, const struct entry *from, size_t count)
{
    ints(b, from, count, COLUMN_P);
    ints(b, from, count, COLUMN_A);
    texts(b, from, count);
    ints(b, from, count, COLUMN_B);
}

void entries_insert_values(struct entries *e, struct wire_batch *b,
                           const struct entries_marks *marks)
{
    struct list *l = &e->values;
    size_t kept = 0;

    for (size_t i = 0; marks != NULL && i < l->count; i++) {
        const struct entry *v = &l->entries[i];
        uint64_t mark = rows_value_mark(v->p, (enum rows_value_kind)v->a, v->b);
        if (marks->marks[mark % ENTRIES_MARKS] != mark)
            l->entries[kept++] = l->entries[i];
    }
    if (marks != NULL)
        l->count = kept;
    unique(l, 0);
    size_t n = count_texts(l);
    if (n > 0) {
        wire_add(b, &add_values);
        bind_texts(b, l->entries, n);
    }
    if (n < l->count) {
        wire_add(b, &add_names);
        ints(b, l->entries + n, l->count - n, COLUMN_P);
        ints(b, l->entries + n, l->count - n, COLUMN_B);
    }
}

void entries_remove_values(struct entries *e, struct wire_batch *b)
{
    struct list *l = &e->values;

    unique(l, 0);
    size_t n = count_texts(l);
    if (n > 0) {
        wire_add(b, &drop_values);
        bind_texts(b, l->entries, n);
    }
}
