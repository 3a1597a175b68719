/*
 * Marks of params; see marks.h. What has no mark yet is known in memory, for each connection that
 * writes, so that a resource costs one walk through its keys and, as a rule, no look into the file.
 */
#include "marks.h"

#include <stdlib.h>

#include "common/store/keys.h"

/* A param that lacks a mark. */
struct unmarked {
    int64_t type;
    bool single, present; /* not MARK_SEVERAL_REFERENCES; not MARK_LACKING */
    bool met;             /* in the keys at hand */
};

struct marks {
    int64_t last;            /* greatest p in the file when it was read */
    struct unmarked *params; /* by p, from 0 to last */
    int64_t *present, count; /* those that all resources of their type have */
};

void marks_forget(struct db *db)
{
    if (db->marks != NULL) {
        free(db->marks->params);
        free(db->marks->present);
        free(db->marks);
    }
    db->marks = NULL;
}

int marks_find(struct db *db, int64_t p, int64_t mark)
{
    sqlite3_stmt *s = db_statement(db, DB_PARAM_MARKS);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    int found = db_step(db, s);
    if (found == 1) {
        found = (sqlite3_column_int64(s, 0) & mark) != 0;
        sqlite3_reset(s);
    }
    return found;
}

static int no_memory(struct db *db)
{
    marks_forget(db);
    db->rc = SQLITE_NOMEM;
    return -1;
}

static int last_param(struct db *db, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_PARAM_LAST);

    if (s == NULL || db_step(db, s) != 1)
        return -1;
    *ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return 0;
}

/* What is in the file, if it has other params than are known: another process may have added one. */
static int load(struct db *db)
{
    sqlite3_stmt *s = db_statement(db, DB_PARAMS_OF_KIND);
    struct marks *m;
    int64_t last;
    int more;

    if (s == NULL || last_param(db, &last) != 0)
        return -1;
    if (db->marks != NULL && db->marks->last == last)
        return 0;
    marks_forget(db);
    m = db->marks = calloc(1, sizeof(*m));
    if (m == NULL)
        return no_memory(db);
    m->last = last;
    m->params = calloc((size_t)last + 1, sizeof(m->params[0]));
    m->present = calloc((size_t)last + 1, sizeof(m->present[0]));
    if (m->params == NULL || m->present == NULL)
        return no_memory(db);
    sqlite3_bind_int64(s, 1, -1);
    while ((more = db_step(db, s)) == 1) {
        int64_t p = sqlite3_column_int64(s, 0), kind = sqlite3_column_int64(s, 3);
        if (p < 0 || p > last)
            continue;
        m->params[p] = (struct unmarked){ .type = sqlite3_column_int64(s, 1),
                                          .single = (kind & MARK_SEVERAL_REFERENCES) == 0,
                                          .present = (kind & MARK_LACKING) == 0 };
        if (m->params[p].present)
            m->present[m->count++] = p;
    }
    return more;
}

static int set(struct db *db, int64_t p, int64_t mark)
{
    sqlite3_stmt *s = db_statement(db, DB_PARAM_KIND);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    sqlite3_bind_int64(s, 2, mark);
    return db_do(db, s);
}

/* Notes which params the keys have, and those by which they refer to several resources. */
static int meet(struct db *db, andiron_str keys)
{
    struct marks *m = db->marks;
    struct keys_cursor c = keys_begin(keys);
    struct keys_entry e, last = { .p = 0 };

    while (keys_next(&c, &e)) {
        if (e.p < 0 || e.p > m->last || e.group != 0)
            continue;
        struct unmarked *u = &m->params[e.p];
        u->met = u->met || e.kind == KEYS_TOKEN;
        if (u->single && e.kind == KEYS_REFERENCE && last.kind == KEYS_REFERENCE && last.p == e.p) {
            u->single = false;
            if (set(db, e.p, MARK_SEVERAL_REFERENCES) != 0)
                return -1;
        }
        last = e;
    }
    if (c.broken)
        db->rc = SQLITE_CORRUPT;
    return c.broken ? -1 : 0;
}

int marks_note(struct db *db, int64_t type, andiron_str keys)
{
    int64_t kept = 0;

    if (load(db) != 0 || meet(db, keys) != 0)
        return -1;
    struct marks *m = db->marks;
    for (int64_t i = 0; i < m->count; i++) {
        int64_t p = m->present[i];
        struct unmarked *u = &m->params[p];
        if (u->type == type && !u->met) {
            u->present = false;
            if (set(db, p, MARK_LACKING) != 0)
                return -1;
            continue;
        }
        u->met = false;
        m->present[kept++] = p;
    }
    m->count = kept;
    return 0;
}

int marks_note_added(struct db *db, andiron_str keys)
{
    if (load(db) != 0 || meet(db, keys) != 0)
        return -1;
    for (int64_t i = 0; i < db->marks->count; i++)
        db->marks->params[db->marks->present[i]].met = false;
    return 0;
}

int marks_of_new(struct db *db, int64_t type, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_TYPE_BEGUN);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    int found = db_step(db, s);
    if (found < 0)
        return -1;
    if (found == 1)
        sqlite3_reset(s);
    *ret = found == 1 ? MARK_LACKING : 0; /* those before have none of it */
    return 0;
}
