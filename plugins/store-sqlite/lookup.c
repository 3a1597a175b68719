/*
 * Names from the file; see lookup.h.
 */
#include "lookup.h"

static int load_types(struct names *names, struct db *db)
{
    sqlite3_stmt *s = db_statement(db, DB_NAME_OF_TYPE);
    int more = -1;

    if (s == NULL)
        return -1;
    while ((more = db_step(db, s)) == 1)
        names_put_type(names, sqlite3_column_int64(s, 0), db_str(s, 1));
    return more;
}

int names_load(struct names *names, struct db *db)
{
    sqlite3_stmt *s = db_statement(db, DB_PARAMS_OF_KIND);
    int more = -1;

    if (s == NULL || load_types(names, db) != 0)
        return -1;
    sqlite3_bind_int64(s, 1, -1);
    while ((more = db_step(db, s)) == 1)
        names_put_param(names, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), db_str(s, 2),
                        (uint32_t)sqlite3_column_int64(s, 3));
    return more;
}

int names_reload(struct names *names, struct db *db)
{
    names_forget_params(names);
    return names_load(names, db);
}

int names_find_type(struct names *names, struct db *db, andiron_str name, int64_t *ret)
{
    sqlite3_stmt *s;

    *ret = names_type(names, name);
    if (*ret != 0)
        return 0;
    s = db_statement(db, DB_TYPE_OF_NAME);
    if (s == NULL)
        return -1;
    db_bind_str(s, 1, name);
    int found = db_step(db, s);
    if (found == 1)
        *ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

int names_find_param(struct names *names, struct db *db, int64_t type, andiron_str code,
                     int64_t *ret, uint32_t *ret_kinds)
{
    sqlite3_stmt *s;

    *ret = names_param(names, type, code, ret_kinds);
    if (*ret != 0)
        return 0;
    *ret_kinds = 0;
    s = db_statement(db, DB_PARAM_FIND);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, code);
    int found = db_step(db, s);
    if (found == 1) {
        *ret = sqlite3_column_int64(s, 0);
        *ret_kinds = (uint32_t)sqlite3_column_int64(s, 1);
    }
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

int names_find_of_type(struct names *names, struct db *db, int64_t type, andiron_str *ret)
{
    *ret = names_of_type(names, type);
    if (ret->data != NULL)
        return 0;
    /* Another process added it: this connection sees it, and its row is committed. */
    if (sqlite3_db_readonly(db->handle, "main") == 1 && load_types(names, db) != 0)
        return -1;
    *ret = names_of_type(names, type);
    return 0;
}
