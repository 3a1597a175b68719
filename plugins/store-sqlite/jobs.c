/*
 * Claims, index maintenance and forgetting; see jobs.h.
 */
#include "jobs.h"

#include "batch.h"
#include "common/store/compare.h"

#include "commit.h"
#include "common/store/keys.h"
#include "lookup.h"
#include "marks.h"
#include "rows.h"

enum { CLAIM_NAME_MAX = 512, FORGET_SLICE = 2000 };

static int nothing_to_check(struct writer *w, struct job *job)
{
    (void)w;
    (void)job;
    return 0;
}

/* ---- claims ------------------------------------------------------------------------ */

struct claim_job {
    struct job job;
    andiron_str name;
    andiron_usec expires;
    bool *ret_taken;
};

int claim_take(struct writer *w, andiron_str name, andiron_usec expires, bool *ret_taken,
               struct andiron_error *err)
{
    struct writer_view v = writer_view(w);

    if (name.len == 0 || name.len > CLAIM_NAME_MAX)
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "the name of a claim must have 1 to %d bytes", CLAIM_NAME_MAX);
    sqlite3_stmt *s = db_statement(v.db, DB_CLAIM);
    if (s == NULL)
        return -1;
    db_bind_str(s, 1, name);
    sqlite3_bind_int64(s, 2, expires);
    sqlite3_bind_int64(s, 3, andiron_now());
    if (db_do(v.db, s) != 0)
        return -1;
    *ret_taken = sqlite3_changes(v.db->handle) != 0;
    return 0;
}

/* Nothing can refuse it once the statement has run, so it does all in its check. */
static int claim_check(struct writer *w, struct job *job)
{
    struct claim_job *c = (struct claim_job *)job;
    return claim_take(w, c->name, c->expires, c->ret_taken, job->error);
}

static int claim_apply(struct writer *w, struct job *job)
{
    (void)w;
    (void)job;
    return 0;
}

struct job *claim_job(struct andiron_arena *arena, andiron_str name, andiron_usec expires,
                      bool *ret_taken, struct andiron_error *ret_error)
{
    struct claim_job *c = andiron_new(arena, struct claim_job);

    *ret_taken = false;
    c->job.check = claim_check;
    c->job.apply = claim_apply;
    c->job.error = ret_error;
    c->name = name;
    c->expires = expires;
    c->ret_taken = ret_taken;
    return &c->job;
}

/* ---- index maintenance ---------------------------------------------------------------- */

struct index_job {
    struct job job;
    struct store *store;
    struct andiron_arena *arena;
    struct andiron_indexing *items;
    size_t count;
    bool is_replacing;
};

/* Current version of a resource and its keys, in arena. 1; 0: it has another version; -1. */
static int current_keys(struct store *store, struct db *db, struct andiron_arena *arena,
                        const struct andiron_ref *ref, int64_t *ret_type, int64_t *ret_vid,
                        andiron_str *ret_keys)
{
    sqlite3_stmt *s;
    int found;

    *ret_keys = (andiron_str){ NULL, 0 };
    if (names_find_type(store->names, db, ref->type, ret_type) != 0)
        return -1;
    s = db_statement(db, DB_FIND);
    if (s == NULL || *ret_type == 0)
        return s == NULL ? -1 : 0;
    sqlite3_bind_int64(s, 1, *ret_type);
    db_bind_str(s, 2, ref->id);
    found = db_step(db, s);
    bool wanted = found == 1 && sqlite3_column_int64(s, 3) == STATE_LIVE &&
                  (uint64_t)sqlite3_column_int64(s, 2) == ref->version;
    *ret_vid = found == 1 ? sqlite3_column_int64(s, 1) : 0;
    sqlite3_reset(s);
    if (found < 0 || !wanted)
        return found < 0 ? -1 : 0;
    s = db_statement(db, DB_VERSION);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, *ret_vid);
    found = db_step(db, s);
    if (found == 1) {
        andiron_str keys = db_str(s, 6);
        *ret_keys = (andiron_str){ andiron_copy(arena, keys), keys.len };
    }
    sqlite3_reset(s);
    return found;
}

static int writer_type_of(void *arg, andiron_str name, int64_t *ret)
{
    return writer_type(arg, name, ret);
}

static int writer_param_of(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    return writer_param(arg, type, code, kind, ret);
}

static int writer_resource_of(void *arg, int64_t type, andiron_str id, int64_t *ret)
{
    return writer_resource(arg, type, id, ret);
}

static int add_terms(struct writer *w, struct index_job *x, const struct andiron_indexing *item)
{
    struct writer_view v = writer_view(w);
    struct keys_source source = { .key = &v.store->key,
                                  .type = writer_type_of,
                                  .param = writer_param_of,
                                  .resource = writer_resource_of,
                                  .arg = w };
    int64_t type, vid;
    andiron_str old, added, all;
    sqlite3_stmt *s;
    int found = current_keys(v.store, v.db, x->arena, &item->ref, &type, &vid, &old);

    if (found <= 0)
        return found;
    if (keys_pack(&source, x->arena, type, item->terms, item->term_count, &added, x->job.error) !=
        0)
        return -1;
    if (x->is_replacing && rows_drop(v.db, &v.store->key, old, vid) != 0)
        return -1;
    all = x->is_replacing ? added : keys_join(x->arena, old, added);
    if (rows_add(v.db, &v.store->key, added, vid) != 0 ||
        (x->is_replacing ? marks_note(v.db, type, added) : marks_note_added(v.db, added)) != 0)
        return -1;
    s = db_statement(v.db, DB_VERSION_KEYS);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, vid);
    db_bind_blob(s, 2, all);
    return db_do(v.db, s);
}

static int index_apply(struct writer *w, struct job *job)
{
    struct index_job *x = (struct index_job *)job;

    for (size_t i = 0; i < x->count; i++) {
        if (add_terms(w, x, &x->items[i]) != 0)
            return -1;
    }
    return 0;
}

struct job *index_job(struct store *store, struct andiron_arena *arena, enum andiron_index_op op,
                      struct andiron_indexing *items, size_t count, struct andiron_error *ret_error)
{
    struct index_job *x = andiron_new(arena, struct index_job);

    x->job.check = nothing_to_check;
    x->job.apply = index_apply;
    x->job.error = ret_error;
    x->store = store;
    x->arena = arena;
    x->items = items;
    x->count = count;
    x->is_replacing = op == ANDIRON_INDEX_REPLACE;
    return &x->job;
}

/* Packing for a comparison: what is not in the file gets no number, so the lists differ. */
struct comparing {
    struct store *store;
    struct db *db;
};

static int find_type(void *arg, andiron_str name, int64_t *ret)
{
    const struct comparing *c = arg;
    return names_find_type(c->store->names, c->db, name, ret);
}

static int find_param(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    const struct comparing *c = arg;
    uint32_t kinds;

    (void)kind;
    return names_find_param(c->store->names, c->db, type, code, ret, &kinds);
}

static int find_resource(void *arg, int64_t type, andiron_str id, int64_t *ret)
{
    const struct comparing *c = arg;
    sqlite3_stmt *s = db_statement(c->db, DB_FIND);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, id);
    int found = db_step(c->db, s);
    *ret = found == 1 ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

/* Whether an entry that one list lacks counts, and then its param's name. -1: db->rc. */
static int counts(struct db *db, struct andiron_arena *arena, const struct andiron_indexing *item,
                  int64_t p, andiron_str *ret_name)
{
    sqlite3_stmt *s = db_statement(db, DB_PARAM_NAME);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    int found = db_step(db, s);
    if (found == 1) {
        andiron_str name = db_str(s, 0);
        *ret_name = (andiron_str){ andiron_copy(arena, name), name.len };
    }
    sqlite3_reset(s);
    if (found <= 0)
        return found; /* forgotten: its entries mean nothing any more */
    /* "name#word" belongs to "name". */
    const char *hash = memchr(ret_name->data, '#', ret_name->len);
    if (hash != NULL)
        ret_name->len = (size_t)(hash - ret_name->data);
    for (const char *const *over = item->pass_over; over != NULL && *over != NULL; over++)
        if (andiron_str_eq(*ret_name, andiron_str_of(*over)))
            return 0;
    return 1;
}

struct difference {
    struct db *db;
    struct andiron_arena *arena;
    struct andiron_indexing *item;
};

static int note_difference(void *arg, int64_t p)
{
    const struct difference *d = arg;
    andiron_str name;
    int does = counts(d->db, d->arena, d->item, p, &name);

    if (does > 0)
        d->item->differing = name;
    return does;
}

/* Up to the first entry that only one of them has and that counts. */
static int compare_lists(struct db *db, struct andiron_arena *arena, struct andiron_indexing *item,
                         andiron_str stored, andiron_str given)
{
    struct difference d = { db, arena, item };
    int rc = compare_keys(stored, given, note_difference, &d);

    item->differs = rc > 0;
    return rc < 0 ? -1 : 0;
}

/* The first term whose param the file does not know at all; absent: there is none. */
static int unknown_param(struct store *store, struct db *db, int64_t type,
                         const struct andiron_indexing *item, andiron_str *ret)
{
    for (size_t i = 0; i < item->term_count; i++) {
        andiron_str name = andiron_str_of(item->terms[i].param);
        bool is_over = false;
        uint32_t kinds;
        int64_t p;

        if (i > 0 && item->terms[i].param == item->terms[i - 1].param)
            continue;
        if (names_find_param(store->names, db, type, name, &p, &kinds) != 0)
            return -1;
        for (const char *const *over = item->pass_over; over != NULL && *over != NULL; over++)
            is_over = is_over || strcmp(*over, item->terms[i].param) == 0;
        if (p == 0 && !is_over) {
            *ret = name;
            return 0;
        }
    }
    return 0;
}

int index_compare(struct store *store, struct db *db, struct andiron_arena *arena,
                  struct andiron_indexing *items, size_t count, struct andiron_error *err)
{
    struct comparing c = { store, db };
    struct keys_source source = { .key = &store->key,
                                  .type = find_type,
                                  .param = find_param,
                                  .resource = find_resource,
                                  .arg = &c };

    for (size_t i = 0; i < count; i++) {
        int64_t type, vid;
        andiron_str stored, given;
        items[i].differs = false;
        source.incomplete = false;
        int found = current_keys(store, db, arena, &items[i].ref, &type, &vid, &stored);
        if (found < 0)
            return db_error(db, err);
        if (found == 0)
            continue;
        if (keys_pack(&source, arena, type, items[i].terms, items[i].term_count, &given, err) != 0)
            return err->code != ANDIRON_OK ? -1 : db_error(db, err);
        stored = keys_join(arena, stored, (andiron_str){ NULL, 0 }); /* may be of an older format */
        items[i].differing = (andiron_str){ NULL, 0 };
        if (andiron_str_eq(stored, given) && !source.incomplete)
            continue;
        if (compare_lists(db, arena, &items[i], stored, given) != 0 ||
            (!items[i].differs &&
             unknown_param(store, db, type, &items[i], &items[i].differing) != 0))
            return db_error(db, err);
        items[i].differs = items[i].differs || items[i].differing.data != NULL;
    }
    return 0;
}

/* ---- forgetting ------------------------------------------------------------------------- */

struct forget_job {
    struct job job;
    const char *type, *param;
    bool *ret_more;
};

/* Removes a slice of each table's rows; *ret_more: a slice was full. */
static int forget_rows(struct db *db, int64_t p, bool *ret_more)
{
    *ret_more = false;
    rows_unsee(db);
    if (batch_flush(db) != 0)
        return -1;
    for (int which = DB_FORGET_TOKEN; which <= DB_FORGET_VALUE; which++) {
        sqlite3_stmt *s = db_statement(db, which);
        if (s == NULL)
            return -1;
        sqlite3_bind_int64(s, 1, p);
        sqlite3_bind_int64(s, 2, FORGET_SLICE);
        if (db_do(db, s) != 0)
            return -1;
        if (sqlite3_changes(db->handle) == FORGET_SLICE)
            *ret_more = true;
    }
    return 0;
}

/*
 * With the last rows the number goes too: new terms of that name get another one, and entries
 * in keys that still hold the old number mean nothing from then on.
 */
static int forget_apply(struct writer *w, struct job *job)
{
    struct forget_job *f = (struct forget_job *)job;
    struct writer_view v = writer_view(w);
    int64_t type, p = 0;
    uint32_t kinds;
    sqlite3_stmt *s;

    *f->ret_more = false;
    if (names_find_type(v.store->names, v.db, andiron_str_of(f->type), &type) != 0 ||
        names_find_param(v.store->names, v.db, type, andiron_str_of(f->param), &p, &kinds) != 0)
        return -1;
    if (p == 0)
        return 0;
    if (forget_rows(v.db, p, f->ret_more) != 0)
        return -1;
    if (*f->ret_more)
        return 0;
    s = db_statement(v.db, DB_PARAM_DROP);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, p);
    if (db_do(v.db, s) != 0)
        return -1;
    v.counters->names++;
    /* At once, for what follows in this transaction; if it fails, the file still has the name. */
    names_drop_param(v.store->names, type, andiron_str_of(f->param));
    return 0;
}

struct job *forget_job(struct andiron_arena *arena, const char *type, const char *param,
                       bool *ret_more, struct andiron_error *ret_error)
{
    struct forget_job *f = andiron_new(arena, struct forget_job);

    f->job.check = nothing_to_check;
    f->job.apply = forget_apply;
    f->job.error = ret_error;
    f->type = type;
    f->param = param;
    f->ret_more = ret_more;
    return &f->job;
}
