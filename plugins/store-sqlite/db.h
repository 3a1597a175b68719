/*
 * One SQLite connection with its prepared statements, and what its errors mean to others.
 * A connection belongs to one thread at a time; nothing here takes a lock.
 */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <sqlite3.h>

#include <andiron/error.h>

enum {
    DB_PAGE = 8192, /* bytes of a page of the file */
    DB_DEPTH = 6    /* versions looked at at once: a candidate, and those of nested chains */
};

/* Every statement of the plugin; the texts are in db.c. */
enum db_statement {
    DB_BEGIN,
    DB_BEGIN_WRITE,
    DB_COMMIT,
    DB_ROLLBACK,
    DB_META,
    DB_META_SET,
    DB_TYPE_OF_NAME,
    DB_NAME_OF_TYPE,
    DB_TYPE_ADD,
    DB_PARAM_FIND,
    DB_PARAM_ADD,
    DB_PARAM_KIND,
    DB_PARAM_MARKS,
    DB_PARAM_LAST,
    DB_TYPE_BEGUN, /* is there a version of a type */
    DB_TYPE_KEYS,  /* of all current versions, with their types */
    DB_PARAM_NAME,
    DB_PARAM_DROP,
    DB_PARAMS_OF_KIND,
    DB_FIND,
    DB_RESOURCE,
    DB_READ,
    DB_READ_VERSION,
    DB_VERSION_AT,
    DB_BY_ID,
    DB_POSTING_TOKEN_DOWN,
    DB_POSTING_TOKEN_UP,
    DB_POSTING_REF_DOWN,
    DB_POSTING_REF_UP,
    DB_POSTING_TYPE_DOWN,
    DB_POSTING_TYPE_UP,
    DB_RANGE_DATE,
    DB_RANGE_NUMBER,
    DB_RANGE_STRING,
    DB_ORDER_DATE_DOWN,
    DB_ORDER_DATE_UP,
    DB_ORDER_NUMBER_DOWN,
    DB_ORDER_NUMBER_UP,
    DB_ORDER_STRING_DOWN,
    DB_ORDER_STRING_UP,
    DB_ORDER_ID_DOWN,
    DB_ORDER_ID_UP,
    DB_VALUES_DOWN,
    DB_VALUES_UP,
    DB_TOKEN_BELOW, /* the latest version with the next smaller number */
    DB_RESOURCE_AT,
    DB_HAS_TOKEN,
    DB_HAS_REF,
    DB_COUNT_TOKEN,
    DB_COUNT_REF,
    DB_COUNT_TYPE,
    DB_REFERRED,      /* is there any reference to tgt by p */
    DB_REFERRED_FROM, /* the first that is referred to by p, from tgt on */
    DB_VID_LAST,
    DB_VID_SINCE,
    DB_WALK_ALL_DOWN,
    DB_WALK_ALL_UP,
    DB_WALK_TYPE_DOWN,
    DB_WALK_TYPE_UP,
    DB_WALK_ONE_DOWN,
    DB_WALK_ONE_UP,
    DB_WALK_LATER,
    DB_VISIT, /* versions of a type upwards, with what their resource is now */
    DB_CHANGES,
    DB_DATA_VERSION,
    DB_RESOURCE_ADD,
    DB_RESOURCE_SET,
    DB_RESOURCE_DROP,
    DB_VERSION_ADD,
    DB_VERSION_KEYS,
    DB_VERSION_DROP,
    DB_VERSION_DROP_OLD, /* the oldest of a resource, before a version */
    DB_TOKEN_ADD,        /* this and the other four: of the batch */
    DB_TOKEN_DROP,
    DB_REF_ADD,
    DB_REF_DROP,
    DB_DATE_ADD,
    DB_DATE_DROP,
    DB_NUMBER_ADD,
    DB_NUMBER_DROP,
    DB_STRING_ADD,
    DB_STRING_DROP,
    DB_VALUE_ADD,
    DB_VALUE_ADD_REF,
    DB_VALUE_DROP, /* unless there is a row with it */
    DB_FORGET_TOKEN,
    DB_FORGET_REF,
    DB_FORGET_DATE,
    DB_FORGET_NUMBER,
    DB_FORGET_STRING,
    DB_FORGET_VALUE,
    DB_CLAIM,
    DB_CLAIM_SWEEP,
    DB_VERSION_ROW, /* DB_VERSION, and what its resource is now */
    DB_VERSION,     /* DB_DEPTH instances, one for each depth */
    DB_STATEMENTS = DB_VERSION + DB_DEPTH
};

struct marks;

struct db {
    sqlite3 *handle;
    sqlite3_stmt *statements[DB_STATEMENTS];
    int rc;              /* of the last failure: an SQLite result code; 0: none */
    int64_t names;       /* of a reader: writer_names() as it was before the snapshot was taken */
    uint64_t *longs;     /* lists that were long when they were counted last (iter.c) */
    struct marks *marks; /* what is known of params (marks.c); NULL: nothing */
    uint64_t *seen;      /* values that ix_value surely has (rows.c); NULL: none known */
    struct batch *batch; /* index rows that wait (batch.h); NULL: there never were any */
};

struct db_settings {
    const char *path;
    bool writable;
    bool normal; /* synchronous=NORMAL */
    int64_t cache_bytes, mmap_bytes, busy_ms;
};

/* Opens the file (writable: makes it if absent). -1 and err; db is then closed. */
ANDIRON_MUST_CHECK int db_open(struct db *db, const struct db_settings *settings,
                               struct andiron_error *err);
void db_close(struct db *db);

/* Text of one or several statements without results. -1: db->rc. */
int db_run(struct db *db, const char *sql);

/* The prepared statement, ready for binding; NULL: db->rc says why. */
sqlite3_stmt *db_statement(struct db *db, int which);

/* Steps: 1 a row, 0 the end (the statement is reset), -1 failed (reset; db->rc). */
int db_step(struct db *db, sqlite3_stmt *s);
/* Runs a prepared statement that gives no rows: 0 or -1. */
int db_do(struct db *db, sqlite3_stmt *s);

/*
 * What db->rc means to the caller of the store: no file name, no SQL. where is left empty.
 * Returns -1.
 */
int db_error(struct db *db, struct andiron_error *err);
/* Whether rc is a fault of the file or the disk that the operator must look at. */
bool db_is_damage(int rc);

/* Column as a view that ends with the next step or reset; absent for NULL. */
static inline andiron_str db_str(sqlite3_stmt *s, int column)
{
    const char *data = sqlite3_column_blob(s, column);
    andiron_str ret = { data, (size_t)sqlite3_column_bytes(s, column) };

    if (data == NULL && sqlite3_column_type(s, column) != SQLITE_NULL)
        ret.data = ""; /* an empty value: SQLite gives NULL for it */
    return ret;
}

static inline void db_bind_str(sqlite3_stmt *s, int at, andiron_str text)
{
    sqlite3_bind_text(s, at, text.data != NULL ? text.data : "", (int)text.len, SQLITE_STATIC);
}

static inline void db_bind_blob(sqlite3_stmt *s, int at, andiron_str bytes)
{
    sqlite3_bind_blob(s, at, bytes.data != NULL ? bytes.data : "", (int)bytes.len, SQLITE_STATIC);
}

#endif
