/*
 * Purging on the writer's thread; see purge.h.
 *
 * Index rows and the row of the resource go together with its current version, after all older
 * ones: whatever a crash leaves is a whole resource. Numbers of resources are packed into keys
 * before they reach the writer, so counters.names makes such keys void.
 */
#include "purge.h"

#include <stdlib.h>

#include "batch.h"
#include "commit.h"
#include "lookup.h"
#include "rows.h"

struct purge_job {
    struct job job;
    struct purging *purging;
    size_t at, purged; /* results */
    int64_t rids[PURGE_SLICE];
    size_t rid_count;
};

/* A resource as it is now. */
struct found {
    int64_t rid, vid, version, state;
};

static int check(struct writer *w, struct job *job)
{
    (void)w;
    (void)job;
    return 0;
}

/* 1; 0: there is none, or only a stub. -1: db->rc. */
static int find(struct writer_view v, const struct andiron_ref *ref, struct found *ret)
{
    int64_t type;
    sqlite3_stmt *s;

    if (names_find_type(v.store->names, v.db, ref->type, &type) != 0)
        return -1;
    if (type == 0)
        return 0;
    s = db_statement(v.db, DB_FIND);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, ref->id);
    int found = db_step(v.db, s);
    if (found != 1)
        return found;
    *ret = (struct found){ .rid = sqlite3_column_int64(s, 0),
                           .vid = sqlite3_column_int64(s, 1),
                           .version = sqlite3_column_int64(s, 2),
                           .state = sqlite3_column_int64(s, 3) };
    sqlite3_reset(s);
    return ret->state != STATE_STUB;
}

/* Versions before the current one, oldest first, as many as *budget has room for. */
static int drop_old(struct writer_view v, const struct found *f, size_t *budget)
{
    sqlite3_stmt *s = db_statement(v.db, DB_VERSION_DROP_OLD);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, f->rid);
    sqlite3_bind_int64(s, 2, f->vid);
    sqlite3_bind_int64(s, 3, (int64_t)*budget);
    if (db_do(v.db, s) != 0)
        return -1;
    *budget -= (size_t)sqlite3_changes(v.db->handle);
    return 0;
}

/* The current version with its index rows. */
static int drop_current(struct writer_view v, const struct found *f)
{
    sqlite3_stmt *s = db_statement(v.db, DB_VERSION);
    struct andiron_arena *scratch = NULL;
    andiron_str keys;
    int rc = -1;

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, f->vid);
    int found = db_step(v.db, s);
    if (found != 1) {
        if (found == 0)
            v.db->rc = SQLITE_CORRUPT;
        return -1;
    }
    keys = db_str(s, 6);
    scratch = andiron_arena_new(keys.len);
    if (keys.len != 0)
        keys.data = andiron_copy(scratch, keys);
    sqlite3_reset(s);
    if (keys.len != 0 && (rows_drop(v.db, &v.store->key, keys, f->vid) != 0 ||
                          rows_drop_values(v.db, &v.store->key, keys) != 0))
        goto out;
    s = db_statement(v.db, DB_VERSION_DROP);
    if (s == NULL)
        goto out;
    sqlite3_bind_int64(s, 1, f->vid);
    rc = db_do(v.db, s);
out:
    andiron_arena_free(scratch);
    return rc;
}

/* ---- rows of resources ------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Marks those that p refers to: the list of targets and ours leap over each other. */
static int mark_referred(struct writer_view v, int64_t p, const struct purge_job *j, bool *referred)
{
    sqlite3_stmt *s = db_statement(v.db, DB_REFERRED_FROM);
    size_t i = 0;

    if (s == NULL)
        return -1;
    while (i < j->rid_count) {
        sqlite3_bind_int64(s, 1, p);
        sqlite3_bind_int64(s, 2, j->rids[i]);
        int found = db_step(v.db, s);
        if (found != 1)
            return found;
        int64_t target = sqlite3_column_int64(s, 0);
        sqlite3_reset(s);
        while (i < j->rid_count && j->rids[i] < target)
            i++;
        if (i < j->rid_count && j->rids[i] == target)
            referred[i++] = true;
    }
    return 0;
}

/* Rows of resources that lost their versions: gone, or a stub where keys of others hold it. */
static int drop_resources(struct writer_view v, struct purge_job *j)
{
    sqlite3_stmt *params = db_statement(v.db, DB_PARAMS_OF_KIND);
    bool referred[PURGE_SLICE] = { false };
    int more;

    if (params == NULL)
        return -1;
    qsort(j->rids, j->rid_count, sizeof(j->rids[0]), compare_numbers);
    sqlite3_bind_int64(params, 1, 1 << ANDIRON_TERM_REFERENCE);
    while ((more = db_step(v.db, params)) == 1) {
        if (mark_referred(v, sqlite3_column_int64(params, 0), j, referred) != 0) {
            sqlite3_reset(params);
            return -1;
        }
    }
    if (more != 0)
        return -1;
    for (size_t i = 0; i < j->rid_count; i++) {
        sqlite3_stmt *s = db_statement(v.db, referred[i] ? DB_RESOURCE_SET : DB_RESOURCE_DROP);
        if (s == NULL)
            return -1;
        sqlite3_bind_int64(s, 1, j->rids[i]);
        if (referred[i]) {
            sqlite3_bind_null(s, 2);
            sqlite3_bind_int64(s, 3, 0);
            sqlite3_bind_int64(s, 4, STATE_STUB);
        }
        if (db_do(v.db, s) != 0)
            return -1;
    }
    return 0;
}

/* ---- a slice ----------------------------------------------------------------------------- */

/* Named twice: its row is still there, its versions are not. */
static bool is_gone(const struct purge_job *j, int64_t rid)
{
    for (size_t i = 0; i < j->rid_count; i++) {
        if (j->rids[i] == rid)
            return true;
    }
    return false;
}

static int apply(struct writer *w, struct job *job)
{
    struct purge_job *j = (struct purge_job *)job;
    const struct andiron_purge *purge = j->purging->purge;
    struct writer_view v = writer_view(w);
    size_t budget = PURGE_SLICE;

    j->purged = j->rid_count = 0;
    if (batch_flush(v.db) != 0)
        return -1;
    for (j->at = j->purging->at; j->at < purge->count && budget != 0; j->at++) {
        const struct andiron_ref *ref = &purge->refs[j->at];
        struct found f = { .rid = 0 };
        int found = find(v, ref, &f);
        if (found < 0)
            return -1;
        if (found == 0 || (ref->version != 0 && (uint64_t)f.version != ref->version) ||
            is_gone(j, f.rid))
            continue;
        if (drop_old(v, &f, &budget) != 0)
            return -1;
        if (budget == 0)
            break; /* the current one, too, in the next slice */
        if (drop_current(v, &f) != 0)
            return -1;
        j->rids[j->rid_count++] = f.rid;
        j->purged++;
        budget--;
    }
    if (j->rid_count == 0)
        return 0;
    v.counters->names++;
    return drop_resources(v, j);
}

struct purge_job *purge_slice(struct andiron_arena *arena, struct purging *p)
{
    struct purge_job *j = andiron_new(arena, struct purge_job);

    j->job.check = check;
    j->job.apply = apply;
    j->job.error = &p->purge->error;
    j->job.is_patient = true;
    j->purging = p;
    return j;
}

struct job *purge_slice_job(struct purge_job *slice)
{
    return &slice->job;
}

void purge_slice_done(struct purge_job *slice)
{
    slice->purging->at = slice->at;
    slice->purging->purge->purged += slice->purged;
}
