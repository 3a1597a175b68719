/*
 * Gathering index rows; see batch.h.
 */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 16384,      /* that wait, of all tables: those of 500 resources and more */
    TEXT_MAX = 256 * 1024, /* bytes of theirs */
    ROWS_FIRST = 64,       /* room that a table begins with */
    COLUMN_P = 0,
    COLUMN_VID,
    COLUMN_FIRST /* of those that differ */
};

struct list {
    struct batch *batch;
    enum batch_table table;
    struct batch_row *rows;
    size_t count, room;
};

struct batch {
    struct list lists[BATCH_TABLES];
    char *text; /* TEXT_MAX bytes, once there is some */
    size_t text_len;
    size_t count;
    int64_t lowest; /* vid of what waits */
};

/* ---- virtual tables --------------------------------------------------------------- */

struct table {
    sqlite3_vtab base; /* SQLite's; must be the first */
    struct list *list;
};

struct cursor {
    sqlite3_vtab_cursor base; /* SQLite's; must be the first */
    const struct list *list;
    size_t at;
};

static int connect_table(sqlite3 *handle, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **ret, char **ret_message)
{
    (void)argc;
    (void)argv;
    (void)ret_message;
    int rc = sqlite3_declare_vtab(handle, "CREATE TABLE x(p,vid,a,b,c)");
    if (rc != SQLITE_OK)
        return rc;
    struct table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return SQLITE_NOMEM;
    table->list = aux;
    *ret = &table->base;
    return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *base)
{
    free(base);
    return SQLITE_OK;
}

/* There is one way: all of them, as they lie. */
static int choose(sqlite3_vtab *base, sqlite3_index_info *info)
{
    (void)base;
    info->estimatedCost = ROWS_MAX;
    info->estimatedRows = ROWS_MAX;
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
    struct cursor *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return SQLITE_NOMEM;
    c->list = ((struct table *)base)->list;
    *ret = &c->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    free(base);
    return SQLITE_OK;
}

static int begin(sqlite3_vtab_cursor *base, int number, const char *name, int argc,
                 sqlite3_value **argv)
{
    (void)number;
    (void)name;
    (void)argc;
    (void)argv;
    ((struct cursor *)base)->at = 0;
    return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *base)
{
    ((struct cursor *)base)->at++;
    return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *base)
{
    const struct cursor *c = (const struct cursor *)base;
    return c->at >= c->list->count;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *to, int which)
{
    const struct cursor *c = (const struct cursor *)base;
    const struct list *list = c->list;
    const struct batch_row *row = &list->rows[c->at];

    if (which == COLUMN_P)
        sqlite3_result_int64(to, row->p);
    else if (which == COLUMN_VID)
        sqlite3_result_int64(to, row->vid);
    else if (list->table == BATCH_STRING) /* of which SQLite makes its record before the next row */
        sqlite3_result_text(to, list->batch->text + row->of.text.at, (int)row->of.text.len,
                            SQLITE_STATIC);
    else if (list->table == BATCH_NUMBER && which > COLUMN_FIRST)
        sqlite3_result_double(to,
                              which == COLUMN_FIRST + 1 ? row->of.number.low : row->of.number.high);
    else
        sqlite3_result_int64(to, row->of.whole[which - COLUMN_FIRST]);
    return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)((const struct cursor *)base)->at;
    return SQLITE_OK;
}

static const sqlite3_module module = { .xConnect = connect_table,
                                       .xBestIndex = choose,
                                       .xDisconnect = disconnect_table,
                                       .xOpen = open_cursor,
                                       .xClose = close_cursor,
                                       .xFilter = begin,
                                       .xNext = next,
                                       .xEof = at_end,
                                       .xColumn = column,
                                       .xRowid = rowid };

/* ---- batches ------------------------------------------------------------------------ */

/* By enum batch_table: the name in the statement, and the statement. */
static const struct {
    const char *name;
    int statement;
} tables[BATCH_TABLES] = {
    [BATCH_TOKEN] = { "new_token", DB_TOKEN_ADD }, [BATCH_REF] = { "new_ref", DB_REF_ADD },
    [BATCH_DATE] = { "new_date", DB_DATE_ADD },    [BATCH_NUMBER] = { "new_num", DB_NUMBER_ADD },
    [BATCH_STRING] = { "new_str", DB_STRING_ADD },
};

struct batch *batch_new(struct db *db)
{
    struct batch *batch = calloc(1, sizeof(*batch));

    if (batch == NULL) {
        db->rc = SQLITE_NOMEM;
        return NULL;
    }
    for (int i = 0; i < BATCH_TABLES; i++) {
        batch->lists[i].batch = batch;
        batch->lists[i].table = (enum batch_table)i;
        db->rc = sqlite3_create_module(db->handle, tables[i].name, &module, &batch->lists[i]);
        if (db->rc != SQLITE_OK) {
            batch_free(batch);
            return NULL;
        }
    }
    return batch;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    for (int i = 0; i < BATCH_TABLES; i++)
        free(batch->lists[i].rows);
    free(batch->text);
    free(batch);
}

static void empty(struct batch *batch)
{
    for (int i = 0; i < BATCH_TABLES; i++)
        batch->lists[i].count = 0;
    batch->count = batch->text_len = 0;
}

void batch_drop(struct db *db)
{
    if (db->batch != NULL)
        empty(db->batch);
}

/* ---- order -------------------------------------------------------------------------- */

static int order_of(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_of_numbers(double a, double b)
{
    return (a > b) - (a < b);
}

/* As the keys of tables: p, what is looked for, vid. What comes behind vid orders nothing. */
static int by_whole(const void *left, const void *right)
{
    const struct batch_row *a = left, *b = right;
    int ret = order_of(a->p, b->p);

    if (ret == 0)
        ret = order_of(a->of.whole[0], b->of.whole[0]);
    return ret != 0 ? ret : order_of(a->vid, b->vid);
}

static int by_date(const void *left, const void *right)
{
    const struct batch_row *a = left, *b = right;
    int ret = order_of(a->p, b->p);

    if (ret == 0)
        ret = order_of(a->of.whole[0], b->of.whole[0]);
    if (ret == 0)
        ret = order_of(a->of.whole[1], b->of.whole[1]);
    return ret != 0 ? ret : order_of(a->vid, b->vid);
}

static int by_number(const void *left, const void *right)
{
    const struct batch_row *a = left, *b = right;
    int ret = order_of(a->p, b->p);

    if (ret == 0)
        ret = order_of(a->of.number.unit, b->of.number.unit);
    if (ret == 0)
        ret = order_of_numbers(a->of.number.low, b->of.number.low);
    return ret != 0 ? ret : order_of(a->vid, b->vid);
}

static int by_text(const void *left, const void *right, void *arg)
{
    const struct batch_row *a = left, *b = right;
    const char *text = arg;
    size_t shorter = a->of.text.len < b->of.text.len ? a->of.text.len : b->of.text.len;
    int ret = order_of(a->p, b->p);

    if (ret == 0)
        ret = memcmp(text + a->of.text.at, text + b->of.text.at, shorter);
    if (ret == 0)
        ret = order_of((int64_t)a->of.text.len, (int64_t)b->of.text.len);
    return ret != 0 ? ret : order_of(a->vid, b->vid);
}

/*
 * Rows of a transaction that belong to one page follow each other: it is read once, changed and,
 * if the cache is full, written once. In a large store nearly each row has a page of its own, and
 * one that comes back after it was written makes SQLite write and sum up its part of the log anew.
 */
static void sort(struct list *list)
{
    static int (*const orders[BATCH_TABLES])(const void *, const void *) = {
        [BATCH_TOKEN] = by_whole,
        [BATCH_REF] = by_whole,
        [BATCH_DATE] = by_date,
        [BATCH_NUMBER] = by_number,
    };

    if (list->table == BATCH_STRING)
        qsort_r(list->rows, list->count, sizeof(list->rows[0]), by_text, list->batch->text);
    else
        qsort(list->rows, list->count, sizeof(list->rows[0]), orders[list->table]);
}

int batch_flush(struct db *db)
{
    struct batch *batch = db->batch;

    if (batch == NULL || batch->count == 0)
        return 0;
    for (int i = 0; i < BATCH_TABLES; i++) {
        struct list *list = &batch->lists[i];
        if (list->count == 0)
            continue;
        sort(list);
        if (db_do(db, db_statement(db, tables[i].statement)) != 0)
            return -1;
    }
    empty(batch);
    return 0;
}

int batch_flush_of(struct db *db, int64_t vid)
{
    struct batch *batch = db->batch;

    return batch != NULL && batch->count != 0 && vid >= batch->lowest ? batch_flush(db) : 0;
}

/* Room for one more row, and for its text. */
static int make_room(struct batch *batch, struct list *list)
{
    if (batch->text == NULL && list->table == BATCH_STRING) {
        batch->text = malloc(TEXT_MAX);
        if (batch->text == NULL)
            return -1;
    }
    if (list->count < list->room)
        return 0;
    size_t room = list->room != 0 ? 2 * list->room : ROWS_FIRST;
    struct batch_row *rows = realloc(list->rows, room * sizeof(rows[0]));
    if (rows == NULL)
        return -1;
    list->rows = rows;
    list->room = room;
    return 0;
}

int batch_add(struct db *db, enum batch_table table, struct batch_row row, andiron_str text)
{
    struct batch *batch = db->batch;

    if (batch == NULL && (batch = db->batch = batch_new(db)) == NULL)
        return -1;
    struct list *list = &batch->lists[table];
    if ((batch->count >= ROWS_MAX || text.len > TEXT_MAX - batch->text_len) && batch_flush(db) != 0)
        return -1;
    if (text.len > TEXT_MAX || make_room(batch, list) != 0) {
        db->rc = text.len > TEXT_MAX ? SQLITE_TOOBIG : SQLITE_NOMEM;
        return -1;
    }
    if (table == BATCH_STRING) {
        row.of.text.at = batch->text_len;
        row.of.text.len = text.len;
        if (text.len != 0)
            memcpy(batch->text + batch->text_len, text.data, text.len);
        batch->text_len += text.len;
    }
    if (batch->count == 0 || row.vid < batch->lowest)
        batch->lowest = row.vid;
    list->rows[list->count++] = row;
    batch->count++;
    return 0;
}
