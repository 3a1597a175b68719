/*
 * Writing rows of ix_token, ix_ref, ix_date, ix_num, ix_str and ix_value; see rows.h.
 */
#include "rows.h"

#include <stdlib.h>

#include "batch.h"

/* ---- values ---------------------------------------------------------------------- */

enum { SEEN = 4096 };

void rows_unsee(struct db *db)
{
    if (db->seen != NULL)
        memset(db->seen, 0, SEEN * sizeof(db->seen[0]));
}

/* Most values come again and again: a look into a table saves the look into the file. */
static bool is_seen(struct db *db, int64_t p, enum rows_value_kind kind, int64_t h)
{
    uint64_t mark = rows_value_mark(p, kind, h);
    bool seen;

    if (db->seen == NULL)
        db->seen = calloc(SEEN, sizeof(db->seen[0]));
    if (db->seen == NULL)
        return false;
    seen = db->seen[mark % SEEN] == mark;
    db->seen[mark % SEEN] = mark;
    return seen;
}

static int row_value(void *arg, int64_t p, enum rows_value_kind kind, andiron_str text, int64_t h)
{
    struct db *db = arg;
    bool is_ref = kind == ROWS_RESOURCE;

    if (is_seen(db, p, kind, h))
        return 0;
    sqlite3_stmt *s = db_statement(db, is_ref ? DB_VALUE_ADD_REF : DB_VALUE_ADD);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, kind);
    sqlite3_bind_int64(s, is_ref ? 3 : 4, h);
    if (!is_ref)
        db_bind_str(s, 3, text);
    return db_do(db, s);
}

/* Names of resources stay: whoever refers to them may have others do so, too. */
static int drop_value(void *arg, int64_t p, enum rows_value_kind kind, andiron_str text, int64_t h)
{
    struct db *db = arg;

    if (kind == ROWS_RESOURCE)
        return 0;
    uint64_t mark = rows_value_mark(p, kind, h);
    if (db->seen != NULL && db->seen[mark % SEEN] == mark)
        db->seen[mark % SEEN] = 0;
    sqlite3_stmt *s = db_statement(db, DB_VALUE_DROP);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, kind);
    db_bind_str(s, 3, text);
    sqlite3_bind_int64(s, 4, h);
    return db_do(db, s);
}

/* What a walk through keys came to. */
static int ended(struct db *db, int rc)
{
    if (rc == ROWS_DAMAGED)
        db->rc = SQLITE_CORRUPT;
    return rc == 0 ? 0 : -1;
}

int rows_add_values(struct db *db, const struct hash_key *key, andiron_str keys)
{
    return ended(db, rows_each_value(key, keys, row_value, db));
}

int rows_drop_values(struct db *db, const struct hash_key *key, andiron_str keys)
{
    return ended(db, rows_each_value(key, keys, drop_value, db));
}

/* ---- rows of versions ------------------------------------------------------------ */

struct action {
    struct db *db;
    int64_t vid;
};

static int add(const struct action *a, enum batch_table table, struct batch_row row)
{
    row.vid = a->vid;
    return batch_add(a->db, table, row, (andiron_str){ NULL, 0 });
}

static int add_token(void *arg, int64_t p, int64_t h)
{
    return add(arg, BATCH_TOKEN, (struct batch_row){ .p = p, .of.whole = { h } });
}

static int add_ref(void *arg, int64_t p, int64_t target)
{
    return add(arg, BATCH_REF, (struct batch_row){ .p = p, .of.whole = { target } });
}

static int add_date(void *arg, int64_t p, int64_t cls, andiron_usec low, andiron_usec high)
{
    return add(arg, BATCH_DATE, (struct batch_row){ .p = p, .of.whole = { cls, low, high } });
}

static int add_number(void *arg, int64_t p, int64_t unit, double low, double high)
{
    return add(arg, BATCH_NUMBER, (struct batch_row){ .p = p, .of.number = { unit, low, high } });
}

static int add_string(void *arg, int64_t p, andiron_str text)
{
    const struct action *a = arg;
    return batch_add(a->db, BATCH_STRING, (struct batch_row){ .p = p, .vid = a->vid }, text);
}

static int drop_token(void *arg, int64_t p, int64_t h)
{
    const struct action *a = arg;
    sqlite3_stmt *s = db_statement(a->db, DB_TOKEN_DROP);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, h);
    sqlite3_bind_int64(s, 3, a->vid);
    return db_do(a->db, s);
}

static int drop_ref(void *arg, int64_t p, int64_t target)
{
    const struct action *a = arg;
    sqlite3_stmt *s = db_statement(a->db, DB_REF_DROP);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, target);
    sqlite3_bind_int64(s, 3, a->vid);
    return db_do(a->db, s);
}

static int drop_date(void *arg, int64_t p, int64_t cls, andiron_usec low, andiron_usec high)
{
    const struct action *a = arg;
    sqlite3_stmt *s = db_statement(a->db, DB_DATE_DROP);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, cls);
    sqlite3_bind_int64(s, 3, low);
    sqlite3_bind_int64(s, 4, high);
    sqlite3_bind_int64(s, 5, a->vid);
    return db_do(a->db, s);
}

static int drop_number(void *arg, int64_t p, int64_t unit, double low, double high)
{
    const struct action *a = arg;
    sqlite3_stmt *s = db_statement(a->db, DB_NUMBER_DROP);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, unit);
    sqlite3_bind_double(s, 3, low);
    sqlite3_bind_double(s, 4, high);
    sqlite3_bind_int64(s, 5, a->vid);
    return db_do(a->db, s);
}

static int drop_string(void *arg, int64_t p, andiron_str text)
{
    const struct action *a = arg;
    sqlite3_stmt *s = db_statement(a->db, DB_STRING_DROP);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    db_bind_str(s, 2, text);
    sqlite3_bind_int64(s, 3, a->vid);
    return db_do(a->db, s);
}

int rows_add(struct db *db, const struct hash_key *key, andiron_str keys, int64_t vid)
{
    struct action a = { db, vid };
    struct rows_sink to = { .token = add_token,
                            .ref = add_ref,
                            .date = add_date,
                            .number = add_number,
                            .string = add_string,
                            .arg = &a };

    return ended(db, rows_each(key, keys, &to)) != 0 ? -1 : rows_add_values(db, key, keys);
}

int rows_drop(struct db *db, const struct hash_key *key, andiron_str keys, int64_t vid)
{
    struct action a = { db, vid };
    struct rows_sink to = { .token = drop_token,
                            .ref = drop_ref,
                            .date = drop_date,
                            .number = drop_number,
                            .string = drop_string,
                            .arg = &a };

    return batch_flush_of(db, vid) != 0 ? -1 : ended(db, rows_each(key, keys, &to));
}
