/*
 * From keys to rows of ix_token, ix_ref, ix_date, ix_num, ix_str and ix_value; see rows.h.
 *
 * Values of composites have rows for their tokens and URIs only, enough to find candidates;
 * the part is in the hash.
 */
#include "rows.h"

#include <stdlib.h>

enum form { FORM_CODE = 1, FORM_CODED, FORM_UNSYSTEMED, FORM_OF_TYPE, FORM_URL, FORM_URI };

static int64_t hash_form(const struct hash_key *key, enum form form, uint32_t part, uint64_t system,
                         andiron_str text)
{
    struct hash h;
    uint8_t head[2] = { (uint8_t)form, (uint8_t)part };
    uint8_t word[8];

    hash_begin64(&h, key);
    hash_add(&h, head, sizeof(head));
    for (unsigned i = 0; i < sizeof(word); i++)
        word[i] = (uint8_t)(system >> (8 * i));
    hash_add(&h, word, sizeof(word));
    hash_add(&h, text.data, text.len);
    return (int64_t)hash_end64(&h);
}

int64_t rows_hash_code(const struct hash_key *key, uint32_t part, andiron_str code)
{
    return hash_form(key, FORM_CODE, part, 0, code);
}

int64_t rows_hash_coded(const struct hash_key *key, uint32_t part, uint64_t system,
                        andiron_str code)
{
    return hash_form(key, FORM_CODED, part, system, code);
}

int64_t rows_hash_unsystemed(const struct hash_key *key, uint32_t part, andiron_str code)
{
    return hash_form(key, FORM_UNSYSTEMED, part, 0, code);
}

int64_t rows_hash_of_type(const struct hash_key *key, andiron_str hash128)
{
    return hash_form(key, FORM_OF_TYPE, 0, 0, hash128);
}

int64_t rows_hash_url(const struct hash_key *key, andiron_str url)
{
    return hash_form(key, FORM_URL, 0, 0, url);
}

int64_t rows_hash_uri(const struct hash_key *key, uint32_t part, andiron_str uri)
{
    return hash_form(key, FORM_URI, part, 0, uri);
}

andiron_str rows_string(andiron_str text)
{
    if (text.len <= ROWS_STRING_MAX)
        return text;
    text.len = ROWS_STRING_MAX;
    while (text.len > 0 && ((uint8_t)text.data[text.len] & 0xc0) == 0x80)
        text.len--; /* do not end inside a character */
    return text;
}

andiron_str rows_url(const struct hash_key *key, andiron_str url, char space[ROWS_STRING_MAX])
{
    struct hash128 whole;

    if (url.len <= ROWS_STRING_MAX)
        return url;
    whole = hash_of128(key, url);
    memcpy(space, url.data, ROWS_STRING_MAX - sizeof(whole.bytes));
    memcpy(space + ROWS_STRING_MAX - sizeof(whole.bytes), whole.bytes, sizeof(whole.bytes));
    return (andiron_str){ space, ROWS_STRING_MAX };
}

/* ---- values ---------------------------------------------------------------------- */

enum { SEEN = 4096 };

void rows_unsee(struct db *db)
{
    if (db->seen != NULL)
        memset(db->seen, 0, SEEN * sizeof(db->seen[0]));
}

static uint64_t mark_of(int64_t p, enum rows_value_kind kind, int64_t h)
{
    uint64_t mark = ((uint64_t)h ^ ((uint64_t)p << 2 | (uint64_t)kind)) * 0x9e3779b97f4a7c15u;
    return mark != 0 ? mark : 1;
}

/* Most values come again and again: a look into a table saves the look into the file. */
static bool is_seen(struct db *db, int64_t p, enum rows_value_kind kind, int64_t h)
{
    uint64_t mark = mark_of(p, kind, h);
    bool seen;

    if (db->seen == NULL)
        db->seen = calloc(SEEN, sizeof(db->seen[0]));
    if (db->seen == NULL)
        return false;
    seen = db->seen[mark % SEEN] == mark;
    db->seen[mark % SEEN] = mark;
    return seen;
}

static int row_value(struct db *db, int64_t p, enum rows_value_kind kind, andiron_str text,
                     int64_t h)
{
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
static int drop_value(struct db *db, int64_t p, enum rows_value_kind kind, andiron_str text,
                      int64_t h)
{
    if (kind == ROWS_RESOURCE)
        return 0;
    uint64_t mark = mark_of(p, kind, h);
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

typedef int (*value_fn)(struct db *db, int64_t p, enum rows_value_kind kind, andiron_str text,
                        int64_t h);

static int value_of(struct db *db, const struct hash_key *key, const struct keys_entry *e,
                    value_fn fn)
{
    andiron_str none = { NULL, 0 };
    char space[ROWS_STRING_MAX];

    if (e->group != 0)
        return 0; /* nothing is sorted by a composite */
    switch (e->kind) {
    case KEYS_TOKEN:
        return fn(db, e->p, ROWS_CODE, e->text, rows_hash_code(key, 0, e->text));
    case KEYS_URL:
        return fn(db, e->p, ROWS_URL, rows_url(key, e->text, space), rows_hash_url(key, e->text));
    case KEYS_URI:
        return fn(db, e->p, ROWS_URL, rows_url(key, e->text, space),
                  rows_hash_uri(key, 0, e->text));
    case KEYS_REFERENCE:
        return fn(db, e->p, ROWS_RESOURCE, none, e->rid);
    default:
        return 0;
    }
}

static int values_all(struct db *db, const struct hash_key *key, andiron_str keys, value_fn fn)
{
    struct keys_cursor c = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&c, &e)) {
        if (value_of(db, key, &e, fn) != 0)
            return -1;
    }
    if (!c.broken)
        return 0;
    db->rc = SQLITE_CORRUPT;
    return -1;
}

int rows_add_values(struct db *db, const struct hash_key *key, andiron_str keys)
{
    return values_all(db, key, keys, row_value);
}

int rows_drop_values(struct db *db, const struct hash_key *key, andiron_str keys)
{
    return values_all(db, key, keys, drop_value);
}

/* ---- rows of versions ------------------------------------------------------------ */

/* What is done to each row. */
struct action {
    struct db *db;
    const struct hash_key *key;
    int64_t vid;
    int token, ref, date, number, string; /* statements */
};

static int row_token(const struct action *a, int64_t p, int64_t h)
{
    sqlite3_stmt *s = db_statement(a->db, a->token);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, h);
    sqlite3_bind_int64(s, 3, a->vid);
    return db_do(a->db, s);
}

static int row_ref(const struct action *a, int64_t p, int64_t target)
{
    sqlite3_stmt *s = db_statement(a->db, a->ref);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, target);
    sqlite3_bind_int64(s, 3, a->vid);
    return db_do(a->db, s);
}

static int row_date(const struct action *a, const struct keys_entry *e)
{
    sqlite3_stmt *s = db_statement(a->db, a->date);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, e->p);
    sqlite3_bind_int64(s, 2, rows_date_class(e->low, e->high));
    sqlite3_bind_int64(s, 3, e->low);
    sqlite3_bind_int64(s, 4, e->high);
    sqlite3_bind_int64(s, 5, a->vid);
    return db_do(a->db, s);
}

static int row_number(const struct action *a, const struct keys_entry *e, uint64_t unit)
{
    sqlite3_stmt *s = db_statement(a->db, a->number);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, e->p);
    sqlite3_bind_int64(s, 2, (int64_t)unit);
    sqlite3_bind_double(s, 3, e->number_low);
    sqlite3_bind_double(s, 4, e->number_high);
    sqlite3_bind_int64(s, 5, a->vid);
    return db_do(a->db, s);
}

static int row_string(const struct action *a, const struct keys_entry *e)
{
    sqlite3_stmt *s = db_statement(a->db, a->string);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, e->p);
    db_bind_str(s, 2, rows_string(e->text));
    sqlite3_bind_int64(s, 3, a->vid);
    return db_do(a->db, s);
}

static int rows_of_token(const struct action *a, const struct keys_entry *e)
{
    int64_t h = (e->flags & KEYS_HAS_1) != 0 ? rows_hash_coded(a->key, e->part, e->hash[0], e->text)
                                             : rows_hash_unsystemed(a->key, e->part, e->text);

    if (row_token(a, e->p, h) != 0)
        return -1;
    return row_token(a, e->p, rows_hash_code(a->key, e->part, e->text));
}

static int rows_of_quantity(const struct action *a, const struct keys_entry *e)
{
    if (row_number(a, e, 0) != 0)
        return -1;
    for (unsigned i = 0; i < 3; i++) {
        if ((e->flags & ((unsigned)KEYS_HAS_1 << i)) != 0 && row_number(a, e, e->hash[i]) != 0)
            return -1;
    }
    return 0;
}

static int rows_of(const struct action *a, const struct keys_entry *e)
{
    if (e->group != 0 && e->kind != KEYS_TOKEN && e->kind != KEYS_URI)
        return 0;
    switch (e->kind) {
    case KEYS_TOKEN:
        return rows_of_token(a, e);
    case KEYS_OF_TYPE:
        return row_token(a, e->p, rows_hash_of_type(a->key, e->text));
    case KEYS_STRING:
        return row_string(a, e);
    case KEYS_REFERENCE:
        return row_ref(a, e->p, e->rid);
    case KEYS_URL:
        return row_token(a, e->p, rows_hash_url(a->key, e->text));
    case KEYS_DATE:
        return row_date(a, e);
    case KEYS_NUMBER:
        return row_number(a, e, 0);
    case KEYS_QUANTITY:
        return rows_of_quantity(a, e);
    case KEYS_URI:
        return row_token(a, e->p, rows_hash_uri(a->key, e->part, e->text));
    case KEYS_PRESENT:
        break;
    }
    return 0;
}

static int rows_all(const struct action *a, andiron_str keys)
{
    struct keys_cursor c = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&c, &e)) {
        if (rows_of(a, &e) != 0)
            return -1;
    }
    if (c.broken) {
        a->db->rc = SQLITE_CORRUPT;
        return -1;
    }
    return 0;
}

int rows_add(struct db *db, const struct hash_key *key, andiron_str keys, int64_t vid)
{
    struct action a = { db,         key,         vid,           DB_TOKEN_ADD,
                        DB_REF_ADD, DB_DATE_ADD, DB_NUMBER_ADD, DB_STRING_ADD };
    return rows_all(&a, keys) != 0 ? -1 : rows_add_values(db, key, keys);
}

int rows_drop(struct db *db, const struct hash_key *key, andiron_str keys, int64_t vid)
{
    struct action a = {
        db, key, vid, DB_TOKEN_DROP, DB_REF_DROP, DB_DATE_DROP, DB_NUMBER_DROP, DB_STRING_DROP
    };
    return rows_all(&a, keys);
}
