/*
 * Reading resources; see read.h. The current version takes one statement of three index steps.
 */
#include "read.h"

#include "commit.h"
#include "lookup.h"
#include "page.h"

static int fail(struct search_place *place, struct andiron_rows *rows)
{
    struct andiron_error error;

    db_error(place->db, &error);
    *rows = (struct andiron_rows){ .error = error, .total = -1 };
    return -1;
}

/* Fills in the row from columns ver, ts, op, enc, body. -1: err. */
static int fill(struct search_place *place, sqlite3_stmt *s, const struct andiron_ref *ref,
                struct andiron_row *row, struct andiron_error *err)
{
    row->ref = *ref;
    row->ref.version = (uint64_t)sqlite3_column_int64(s, 0);
    row->updated = sqlite3_column_int64(s, 1);
    row->deleted = sqlite3_column_int64(s, 2) == OP_DELETE;
    if (row->deleted || place->refs_only)
        return 0;
    return page_body(place->arena, sqlite3_column_int64(s, 3), s, 4, &row->body, err);
}

static int read_current(struct search_place *place, int64_t type, const struct andiron_ref *ref,
                        struct andiron_row *row, struct andiron_error *err)
{
    sqlite3_stmt *s = db_statement(place->db, DB_READ);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, ref->id);
    int found = db_step(place->db, s);
    if (found == 1) {
        if (sqlite3_column_type(s, 1) != SQLITE_NULL) {
            found = fill(place, s, ref, row, err) == 0 ? 1 : -1;
        } else if (sqlite3_column_int64(s, 5) != STATE_STUB) {
            place->db->rc = SQLITE_CORRUPT; /* its version is gone: a fault, never "not found" */
            found = -1;
        }
        sqlite3_reset(s);
    }
    return found < 0 ? -1 : 0;
}

/* Number of the version with that version id; 0: there is none. */
static int find_version(struct search_place *place, int64_t type, const struct andiron_ref *ref,
                        int64_t *ret_vid)
{
    struct db *db = place->db;
    sqlite3_stmt *s = db_statement(db, DB_FIND);
    int64_t rid, current;

    *ret_vid = 0;
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, ref->id);
    int found = db_step(db, s);
    rid = found == 1 ? sqlite3_column_int64(s, 0) : 0;
    current = found == 1 ? sqlite3_column_int64(s, 2) : 0;
    sqlite3_reset(s);
    if (found != 1 || ref->version > (uint64_t)current)
        return found < 0 ? -1 : 0;
    /* Versions of a resource are numbered without gaps, so the place tells the number. */
    s = db_statement(db, DB_VERSION_AT);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, rid);
    sqlite3_bind_int64(s, 2, current - (int64_t)ref->version);
    found = db_step(db, s);
    if (found == 1)
        *ret_vid = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

static int read_version(struct search_place *place, int64_t type, const struct andiron_ref *ref,
                        struct andiron_row *row, struct andiron_error *err)
{
    int64_t vid;
    sqlite3_stmt *s = db_statement(place->db, DB_READ_VERSION);

    if (s == NULL || find_version(place, type, ref, &vid) != 0)
        return -1;
    if (vid == 0)
        return 0;
    sqlite3_bind_int64(s, 1, vid);
    int found = db_step(place->db, s);
    if (found == 1) {
        if (sqlite3_column_int64(s, 0) == (int64_t)ref->version &&
            fill(place, s, ref, row, err) != 0)
            found = -1;
        sqlite3_reset(s);
    }
    return found < 0 ? -1 : 0;
}

int read_run(struct search_place *place, const struct andiron_ref *refs, size_t count,
             struct andiron_rows *rows)
{
    *rows = (struct andiron_rows){ .total = -1 };
    rows->rows = andiron_alloc(place->arena, (count + 1) * sizeof(rows->rows[0]));
    rows->count = count;
    for (size_t i = 0; i < count; i++) {
        int64_t type = 0;
        struct andiron_error error = { .code = ANDIRON_OK };
        if (names_find_type(place->store->names, place->db, refs[i].type, &type) != 0)
            return fail(place, rows);
        if (type == 0 || refs[i].version > INT64_MAX)
            continue;
        int rc = refs[i].version == 0 ? read_current(place, type, &refs[i], &rows->rows[i], &error)
                                      : read_version(place, type, &refs[i], &rows->rows[i], &error);
        if (rc == 0)
            continue;
        if (error.code == ANDIRON_OK)
            return fail(place, rows);
        *rows = (struct andiron_rows){ .error = error, .total = -1 };
        return -1;
    }
    return 0;
}
