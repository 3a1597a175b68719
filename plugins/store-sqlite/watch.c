/*
 * Watches; see watch.h.
 *
 * All versions up to `seen` have been told. Own commits move it on if they follow it directly;
 * if another process wrote in between, the next poll tells of both once more, which does no
 * harm: to be told means to look again.
 */
#include "watch.h"

#include <stdlib.h>

#include "common/store/watchers.h"

enum { TELL_MAX = 1000 };

struct watches {
    struct watchers *watchers;
    int64_t seen, data_version;
};

struct watches *watches_new(void)
{
    struct watches *watches = calloc(1, sizeof(*watches));

    if (watches == NULL)
        return NULL;
    watches->watchers = watchers_new();
    if (watches->watchers != NULL)
        return watches;
    free(watches);
    return NULL;
}

void watches_free(struct watches *watches)
{
    if (watches == NULL)
        return;
    watchers_free(watches->watchers);
    free(watches);
}

int watch_add(struct watches *watches, struct andiron_loop *loop, const char *type,
              void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
              struct andiron_error *err)
{
    return watchers_add(watches->watchers, loop, type, changed, arg, err);
}

void watch_note(struct watches *watches, andiron_str type, andiron_str id)
{
    if (watches != NULL)
        watchers_tell(watches->watchers, type, id);
}

void watch_own(struct watches *watches, int64_t first_vid, int64_t last_vid)
{
    if (watches != NULL && first_vid == watches->seen + 1)
        watches->seen = last_vid;
}

static int data_version(struct db *db, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_DATA_VERSION);

    if (s == NULL || db_step(db, s) != 1)
        return -1;
    *ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return 0;
}

static int last_vid(struct db *db, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_VID_LAST);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, INT64_MAX);
    int found = db_step(db, s);
    *ret = found == 1 ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

int watch_begin(struct watches *watches, struct db *db)
{
    /* In this order: what is committed in between is then told twice, not never. */
    if (data_version(db, &watches->data_version) != 0)
        return -1;
    return last_vid(db, &watches->seen);
}

/* Tells of all versions in (seen, last]. */
static int tell_changes(struct watches *watches, struct db *db, struct names *names, int64_t last)
{
    sqlite3_stmt *s = db_statement(db, DB_CHANGES);
    int more, count = 0;

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, watches->seen);
    sqlite3_bind_int64(s, 2, last);
    sqlite3_bind_int64(s, 3, TELL_MAX + 1);
    bool whole = true;
    while ((more = db_step(db, s)) == 1 && whole) {
        andiron_str type = names_of_type(names, sqlite3_column_int64(s, 0));
        whole = type.len != 0 && ++count <= TELL_MAX;
        if (whole)
            watch_note(watches, type, db_str(s, 1));
    }
    sqlite3_reset(s);
    /* Too many to tell one by one, or of a type that was made by the other process. */
    if (!whole)
        watchers_tell_all(watches->watchers);
    return more < 0 ? -1 : 0;
}

void watch_poll(struct watches *watches, struct names *names, struct db *db)
{
    int64_t version, last;

    if (watches == NULL || data_version(db, &version) != 0 || version == watches->data_version)
        return; /* a failure is met again at the next poll */
    if (last_vid(db, &last) != 0)
        return;
    if (last > watches->seen && tell_changes(watches, db, names, last) != 0)
        return;
    watches->data_version = version;
    if (last > watches->seen)
        watches->seen = last;
}
