/*
 * Virtual tables over the current versions, and the fence around SQL of others.
 */
#include "sql_tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/fhir/types.h"

enum {
    TEXT_MAX = 16 * 1024,        /* bytes of a statement */
    VALUE_MAX = 64 * 1024 * 1024, /* bytes of a value it makes */
    LOOK_EVERY = 1000,           /* instructions between looks at the clock */
    NAME_MAX_LEN = 64
};

enum column { COLUMN_ID, COLUMN_VERSION_ID, COLUMN_LAST_UPDATED, COLUMN_RESOURCE };
enum strategy { SCAN, BY_ID };

static const char by_id[] =
    "SELECT r.id,v.ver,v.ts,v.body,r.rid FROM resource r INDEXED BY resource_id "
    "JOIN version v ON v.vid=r.vid "
    "WHERE r.type=(SELECT id FROM restype WHERE name=?1) AND r.id=?2 AND r.st=0";
static const char scan[] =
    "SELECT r.id,v.ver,v.ts,v.body,r.rid FROM resource r INDEXED BY resource_tv "
    "JOIN version v ON v.vid=r.vid "
    "WHERE r.type=(SELECT id FROM restype WHERE name=?1) AND r.st=0 ORDER BY r.vid";

/* What one of the modules is about. */
struct table {
    sqlite3_vtab base; /* SQLite's; must be the first */
    struct sql_tables *tables;
    int type;
};

struct cursor {
    sqlite3_vtab_cursor base; /* SQLite's; must be the first */
    sqlite3_stmt *rows;
    bool at_end;
};

struct module {
    struct sql_tables *tables;
    int type;
};

/* ---- virtual tables ------------------------------------------------------------------------ */

static int connect_table(sqlite3 *handle, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **ret, char **ret_message)
{
    const struct module *module = aux;
    (void)argc;
    (void)argv;
    (void)ret_message;
    module->tables->declaring = true;
    int rc = sqlite3_declare_vtab(
        handle, "CREATE TABLE x(id TEXT, version_id TEXT, last_updated TEXT, resource TEXT)");
    module->tables->declaring = false;
    if (rc != SQLITE_OK)
        return rc;
    struct table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return SQLITE_NOMEM;
    table->tables = module->tables;
    table->type = module->type;
    *ret = &table->base;
    return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *base)
{
    free(base);
    return SQLITE_OK;
}

static int choose(sqlite3_vtab *base, sqlite3_index_info *info)
{
    (void)base;
    info->idxNum = SCAN;
    info->estimatedCost = 1e7;
    info->estimatedRows = 100000;
    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *c = &info->aConstraint[i];
        if (!c->usable || c->iColumn != COLUMN_ID || c->op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        info->aConstraintUsage[i].argvIndex = 1;
        info->idxNum = BY_ID;
        info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
        info->estimatedCost = 10;
        info->estimatedRows = 1;
        break;
    }
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
    (void)base;
    struct cursor *cursor = calloc(1, sizeof(*cursor));
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *ret = &cursor->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *cursor = (struct cursor *)base;
    sqlite3_finalize(cursor->rows);
    free(cursor);
    return SQLITE_OK;
}

static int next_row(sqlite3_vtab_cursor *base)
{
    struct cursor *cursor = (struct cursor *)base;
    int rc = sqlite3_step(cursor->rows);
    cursor->at_end = rc != SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int find_rows(sqlite3_vtab_cursor *base, int strategy, const char *name, int argc,
                     sqlite3_value **argv)
{
    struct cursor *cursor = (struct cursor *)base;
    const struct table *table = (const struct table *)base->pVtab;
    sqlite3 *data = table->tables->data.handle;
    (void)name;
    (void)argc;
    sqlite3_finalize(cursor->rows);
    cursor->rows = NULL;
    cursor->at_end = true;
    if (data == NULL)
        return SQLITE_MISUSE; /* only for checking */
    int rc = sqlite3_prepare_v2(data, strategy == BY_ID ? by_id : scan, -1, &cursor->rows, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_bind_text(cursor->rows, 1, fhir_type_name(table->type), -1, SQLITE_STATIC);
    if (strategy == BY_ID)
        (void)sqlite3_bind_value(cursor->rows, 2, argv[0]);
    return next_row(base);
}

static int is_at_end(sqlite3_vtab_cursor *base)
{
    return ((const struct cursor *)base)->at_end;
}

static void put_instant(sqlite3_context *context, int64_t at)
{
    char text[ANDIRON_INSTANT_LEN];
    andiron_instant(at, text);
    sqlite3_result_text(context, text, ANDIRON_INSTANT_LEN, SQLITE_TRANSIENT);
}

static int put_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    sqlite3_stmt *rows = ((const struct cursor *)base)->rows;
    char number[24];
    switch (column) {
    case COLUMN_ID:
        sqlite3_result_value(context, sqlite3_column_value(rows, 0));
        break;
    case COLUMN_VERSION_ID:
        (void)snprintf(number, sizeof(number), "%lld", (long long)sqlite3_column_int64(rows, 1));
        sqlite3_result_text(context, number, -1, SQLITE_TRANSIENT);
        break;
    case COLUMN_LAST_UPDATED:
        put_instant(context, sqlite3_column_int64(rows, 2));
        break;
    case COLUMN_RESOURCE:
    default:
        sqlite3_result_text(context, sqlite3_column_blob(rows, 3), sqlite3_column_bytes(rows, 3),
                            SQLITE_TRANSIENT);
        break;
    }
    return SQLITE_OK;
}

static int put_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
    *ret = sqlite3_column_int64(((const struct cursor *)base)->rows, 4);
    return SQLITE_OK;
}

/* No xCreate: the table is there under the module's name. */
static const sqlite3_module methods = {
    .iVersion = 1,
    .xConnect = connect_table,
    .xDisconnect = disconnect_table,
    .xBestIndex = choose,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = find_rows,
    .xNext = next_row,
    .xEof = is_at_end,
    .xColumn = put_column,
    .xRowid = put_rowid,
};

/* ---- the fence --------------------------------------------------------------------------------- */

/* Functions without effects, and that make nothing large of something small. */
static bool is_function_allowed(const char *name)
{
    static const char *const names[] = {
        "->",         "->>",          "abs",          "avg",        "ceil",      "ceiling",
        "char",       "coalesce",     "concat",       "count",      "date",      "datetime",
        "floor",      "glob",         "group_concat", "hex",        "ifnull",    "iif",
        "instr",      "json",         "json_array",   "json_array_length",       "json_extract",
        "json_group_array",           "json_object",  "json_quote", "json_type", "json_valid",
        "julianday",  "length",       "like",         "likely",     "lower",     "ltrim",
        "max",        "min",          "mod",          "nullif",     "quote",     "replace",
        "round",      "rtrim",        "sign",         "strftime",   "substr",    "substring",
        "sum",        "time",         "timediff",     "total",      "trim",      "typeof",
        "unicode",    "unixepoch",    "unlikely",     "upper",      "octet_length",
        "current_timestamp",          "current_date", "current_time",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sqlite3_stricmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Reading is of the tables above, json_each and json_tree; there is nothing else on the connection but its own schema. */
static bool is_table_allowed(const char *name)
{
    char lower[NAME_MAX_LEN];
    if (name == NULL || name[0] == '\0')
        return true; /* a subquery */
    (void)sqlite3_snprintf(sizeof(lower), lower, "%s", name);
    return sqlite3_strnicmp(lower, "sqlite_", 7) != 0 && sqlite3_strnicmp(lower, "pragma_", 7) != 0;
}

static int authorize(void *arg, int action, const char *first, const char *second,
                     const char *database, const char *trigger)
{
    (void)database;
    (void)trigger;
    if (((const struct sql_tables *)arg)->declaring)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_READ:
        return is_table_allowed(first) ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION:
        return is_function_allowed(second) ? SQLITE_OK : SQLITE_DENY;
    default:
        return SQLITE_DENY;
    }
}

static int look(void *arg)
{
    const struct sql_tables *t = arg;
    return andiron_now() >= t->deadline ||
           (t->stopping != NULL && atomic_load_explicit(t->stopping, memory_order_relaxed));
}

static void fence(struct sql_tables *t)
{
    static const struct {
        int limit, value;
    } limits[] = {
        { SQLITE_LIMIT_LENGTH, VALUE_MAX },     { SQLITE_LIMIT_SQL_LENGTH, TEXT_MAX },
        { SQLITE_LIMIT_COLUMN, 64 },            { SQLITE_LIMIT_EXPR_DEPTH, 100 },
        { SQLITE_LIMIT_COMPOUND_SELECT, 20 },   { SQLITE_LIMIT_VDBE_OP, 50000 },
        { SQLITE_LIMIT_FUNCTION_ARG, 16 },      { SQLITE_LIMIT_ATTACHED, 0 },
        { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200 }, { SQLITE_LIMIT_VARIABLE_NUMBER, 100 },
        { SQLITE_LIMIT_TRIGGER_DEPTH, 0 },      { SQLITE_LIMIT_WORKER_THREADS, 0 },
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        (void)sqlite3_limit(t->handle, limits[i].limit, limits[i].value);
    (void)sqlite3_db_config(t->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(t->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(t->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_set_authorizer(t->handle, authorize, t);
    sqlite3_progress_handler(t->handle, LOOK_EVERY, look, t);
}

/* ---- connections -------------------------------------------------------------------------------- */

static int add_tables(struct sql_tables *t)
{
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        const char *name = fhir_type_name(type);
        char lower[NAME_MAX_LEN] = "";
        struct module *module = malloc(sizeof(*module));
        if (module == NULL)
            return -1;
        *module = (struct module){ t, type };
        for (size_t i = 0; i < sizeof(lower) - 1 && name[i] != '\0'; i++)
            lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
        /* Frees the module also where it fails. */
        if (sqlite3_create_module_v2(t->handle, lower, &methods, module, free) != SQLITE_OK)
            return -1;
    }
    return 0;
}

int sql_tables_open(struct sql_tables *t, const struct db_settings *data, struct andiron_error *err)
{
    *t = (struct sql_tables){ .deadline = INT64_MAX };
    if (sqlite3_open_v2(":memory:", &t->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
            SQLITE_OK ||
        add_tables(t) != 0 ||
        /* Declares them, which the fence would not let them do. */
        sqlite3_exec(t->handle, "SELECT 1 FROM json_each('[]'), json_tree('[]')", NULL, NULL,
                     NULL) != SQLITE_OK) {
        sql_tables_close(t);
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    }
    fence(t);
    if (data != NULL && db_open(&t->data, data, err) != 0) {
        t->data.handle = NULL;
        sql_tables_close(t);
        return -1;
    }
    if (data != NULL)
        sqlite3_progress_handler(t->data.handle, LOOK_EVERY, look, t);
    return 0;
}

void sql_tables_close(struct sql_tables *t)
{
    (void)sqlite3_close(t->handle);
    t->handle = NULL;
    if (t->data.handle != NULL)
        db_close(&t->data);
}

/* ---- statements ---------------------------------------------------------------------------------- */

static int refuse_text(struct sql_tables *t, struct andiron_error *err)
{
    if (sqlite3_errcode(t->handle) == SQLITE_AUTH)
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "may only read the tables of FHIR types, with functions that have no "
                                 "effects: %s",
                                 sqlite3_errmsg(t->handle));
    return andiron_error_set(err, ANDIRON_E_VALUE, "", "is no SQL statement that runs here: %s",
                             sqlite3_errmsg(t->handle));
}

static bool is_blank(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == ';' || (*text >= '\t' && *text <= '\r')))
        text++;
    return text == end;
}

/* Its parameters are $1 .. $n. */
static bool are_params_known(sqlite3_stmt *s, size_t param_count)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
        const char *name = sqlite3_bind_parameter_name(s, i);
        long number = name != NULL && name[0] == '$' ? strtol(name + 1, NULL, 10) : 0;
        if (number < 1 || (size_t)number > param_count)
            return false;
    }
    return true;
}

static int check_statement(sqlite3_stmt *s, const char *tail, const char *end, size_t param_count,
                           struct andiron_error *err)
{
    if (s == NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is empty: a SELECT is needed");
    if (!is_blank(tail, end))
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is more than one statement");
    if (!sqlite3_stmt_readonly(s) || sqlite3_stmt_isexplain(s) || sqlite3_column_count(s) == 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is not a SELECT");
    if (!are_params_known(s, param_count))
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "has a parameter of its own; values of the request are written "
                                 "{{path}}");
    return 0;
}

sqlite3_stmt *sql_tables_prepare(struct sql_tables *t, andiron_str text, size_t param_count,
                                 struct andiron_error *err)
{
    sqlite3_stmt *s = NULL;
    const char *tail = NULL;
    if (text.len > TEXT_MAX || memchr(text.data, '\0', text.len) != NULL) {
        andiron_error_set(err, ANDIRON_E_VALUE, "", "is longer than %d bytes, or has a NUL", TEXT_MAX);
        return NULL;
    }
    if (sqlite3_prepare_v2(t->handle, text.data, (int)text.len, &s, &tail) != SQLITE_OK) {
        refuse_text(t, err);
        return NULL;
    }
    if (check_statement(s, tail, text.data + text.len, param_count, err) != 0) {
        sqlite3_finalize(s);
        return NULL;
    }
    return s;
}
