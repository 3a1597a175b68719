/*
 * Commits on the writer's thread; see commit.h.
 *
 * check: settles conditional writes by their searches, looks up what each write applies to,
 * tests conditions, fixes version and instant, lets stamp() make the bodies, follows references.
 * apply: rows. Nothing is changed before everything is known to be possible.
 */
#include "commit.h"

#include <stdlib.h>

#include "batch.h"
#include "common/store/body.h"
#include "jobs.h"
#include "lookup.h"
#include "marks.h"
#include "pack.h"
#include "page.h"
#include "rows.h"
#include "search.h"
#include "watch.h"

enum {
    OWN_OF_ONE = 1024, /* bytes, about: items and keys of a single write */
    OWN_IS_LARGE = 64  /* writes, for what is theirs to be freed before the request ends */
};

/* What one write applies to. */
struct item {
    struct andiron_ref given;    /* as the caller had it, for a second run */
    bool skip;                   /* nothing to write */
    bool matched;                /* its condition found a resource */
    int64_t type, rid;           /* 0: not known yet */
    int64_t vid, version, state; /* current ones; vid 0: none */
    andiron_usec updated;
    andiron_str old_keys;
};

struct commit_job {
    struct job job;
    struct store *store;
    struct andiron_arena *arena; /* of results */
    struct andiron_arena *own;   /* of what ends with the commit; or NULL */
    struct andiron_commit *commit;
    struct item *items;
    const struct andiron_write **sorted; /* those that write, by type and id; for count > 1 */
    size_t sorted_count;
    bool stamps_late; /* bodies are made one at a time, when they are stored */
    struct pack *pack;
    int64_t first_vid, last_vid;
};

/* ---- check ------------------------------------------------------------------------- */

static int refuse(struct commit_job *c, size_t which)
{
    c->commit->failed = which;
    return -1;
}

static int compare_refs(const struct andiron_ref *a, const struct andiron_ref *b)
{
    const andiron_str x[] = { a->type, a->id }, y[] = { b->type, b->id };

    for (int i = 0; i < 2; i++) {
        size_t len = x[i].len < y[i].len ? x[i].len : y[i].len;
        int c = len != 0 ? memcmp(x[i].data, y[i].data, len) : 0;
        if (c != 0)
            return c;
        if (x[i].len != y[i].len)
            return x[i].len < y[i].len ? -1 : 1;
    }
    return 0;
}

static int compare_writes(const void *a, const void *b)
{
    const struct andiron_write *const *x = a, *const *y = b;
    return compare_refs(&(*x)->ref, &(*y)->ref);
}

static int compare_ref_write(const void *key, const void *element)
{
    const struct andiron_write *const *y = element;
    return compare_refs(key, &(*y)->ref);
}

/* The write of this commit to that resource, or NULL. After sort_writes(). */
static const struct andiron_write *write_to(const struct commit_job *c,
                                            const struct andiron_ref *ref)
{
    const struct andiron_write *const *found;

    if (c->sorted_count == 0)
        return NULL;
    found = bsearch(ref, c->sorted, c->sorted_count, sizeof(c->sorted[0]), compare_ref_write);
    return found != NULL ? *found : NULL;
}

static void sort_writes(struct commit_job *c)
{
    if (c->sorted == NULL)
        c->sorted = andiron_alloc(c->own, c->commit->count * sizeof(c->sorted[0]));
    c->sorted_count = 0;
    for (size_t i = 0; i < c->commit->count; i++) {
        if (!c->items[i].skip && c->commit->writes[i].ref.id.len != 0)
            c->sorted[c->sorted_count++] = &c->commit->writes[i];
    }
    qsort(c->sorted, c->sorted_count, sizeof(c->sorted[0]), compare_writes);
}

static int refuse_twice(struct commit_job *c)
{
    for (size_t i = 1; i < c->sorted_count; i++) {
        const struct andiron_write *a = c->sorted[i - 1], *b = c->sorted[i];
        if (compare_writes(&a, &b) != 0)
            continue;
        andiron_error_set(&c->commit->error, ANDIRON_E_INVALID, "",
                          "%.*s/%.*s is written twice in one transaction", (int)b->ref.type.len,
                          b->ref.type.data, (int)b->ref.id.len, b->ref.id.data);
        return refuse(c, (size_t)((a > b ? a : b) - c->commit->writes));
    }
    return 0;
}

/* Runs the search of a conditional write, in scratch; ref becomes its single match. */
static int settle_in(struct writer *w, struct commit_job *c, size_t which, size_t removes,
                     struct andiron_arena *scratch)
{
    struct writer_view v = writer_view(w);
    struct andiron_write *write = &c->commit->writes[which];
    struct andiron_query query = *write->match;
    struct andiron_rows rows = { .total = -1 };
    struct search_place place = {
        .store = v.store, .db = v.db, .arena = scratch, .refs_only = true, .hurried = true
    };
    size_t matches = 0;

    if (batch_flush(v.db) != 0)
        return -1;
    query.limit = 2 + removes;
    query.include_count = 0;
    query.total = ANDIRON_TOTAL_NONE;
    query.cursor = (andiron_str){ NULL, 0 };
    if (search_run(&place, &query, &rows) != 0) {
        c->commit->error = rows.error;
        return refuse(c, which);
    }
    for (size_t i = 0; i < rows.count; i++) {
        const struct andiron_write *other = write_to(c, &rows.rows[i].ref);
        if (other != NULL && other->remove && other->match == NULL && other != write)
            continue; /* removed by this commit, so it is not there any more */
        if (matches++ == 0) {
            const struct andiron_ref *found = &rows.rows[i].ref;
            write->ref.type.data = andiron_copy(c->arena, found->type);
            write->ref.type.len = found->type.len;
            write->ref.id.data = andiron_copy(c->arena, found->id);
            write->ref.id.len = found->id.len;
        }
    }
    if (matches > 1) {
        andiron_error_set(&c->commit->error, ANDIRON_E_MULTIPLE_MATCHES, "",
                          "several resources match the condition; it must select at most one");
        return refuse(c, which);
    }
    if (rows.cursor.data != NULL && matches == 0) {
        andiron_error_set(&c->commit->error, ANDIRON_E_UNPROCESSABLE, "",
                          "looking for a match takes too long; use a more selective condition");
        return refuse(c, which);
    }
    c->items[which].matched = matches == 1;
    if (matches == 1 && write->match_is_ref &&
        !andiron_str_eq(write->ref.id, c->items[which].given.id)) {
        andiron_error_set(&c->commit->error, ANDIRON_E_CONFLICT, "",
                          "the condition matches %.*s/%.*s, not the resource that is meant",
                          (int)write->ref.type.len, write->ref.type.data, (int)write->ref.id.len,
                          write->ref.id.data);
        return refuse(c, which);
    }
    if (matches == 1 && write->if_none_exist)
        c->items[which].skip = true;
    if (matches == 0 && write->remove)
        c->items[which].skip = true;
    return 0;
}

/* What searches need would be most of the memory of thousands of conditional writes. */
static int settle(struct writer *w, struct commit_job *c, size_t which, size_t removes)
{
    struct andiron_arena *scratch = andiron_arena_new(0);
    int rc = settle_in(w, c, which, removes, scratch);

    andiron_arena_free(scratch);
    return rc;
}

/* What the write applies to, as it is now. -1: db->rc. */
static int locate(struct writer *w, struct commit_job *c, struct item *item,
                  const struct andiron_ref *ref)
{
    struct writer_view v = writer_view(w);
    sqlite3_stmt *s;
    int found;

    item->rid = item->vid = item->version = 0;
    item->state = STATE_STUB;
    item->updated = 0;
    item->old_keys = (andiron_str){ NULL, 0 };
    if (names_find_type(v.store->names, v.db, ref->type, &item->type) != 0)
        return -1;
    if (item->type == 0)
        return 0;
    s = db_statement(v.db, DB_FIND);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, item->type);
    db_bind_str(s, 2, ref->id);
    found = db_step(v.db, s);
    if (found == 1) {
        item->rid = sqlite3_column_int64(s, 0);
        item->vid = sqlite3_column_int64(s, 1);
        item->version = sqlite3_column_int64(s, 2);
        item->state = sqlite3_column_int64(s, 3);
    }
    sqlite3_reset(s);
    if (found != 1 || item->vid == 0)
        return found < 0 ? -1 : 0;
    s = db_statement(v.db, DB_VERSION);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, item->vid);
    found = db_step(v.db, s);
    if (found == 1) {
        andiron_str keys = db_str(s, 6);
        item->updated = sqlite3_column_int64(s, 3);
        if (keys.len != 0)
            item->old_keys = (andiron_str){ andiron_copy(c->own, keys), keys.len };
    }
    sqlite3_reset(s);
    if (found == 0)
        v.db->rc = SQLITE_CORRUPT;
    return found == 1 ? 0 : -1;
}

static int test_conditions(struct commit_job *c, size_t which)
{
    struct andiron_write *write = &c->commit->writes[which];
    struct item *item = &c->items[which];
    bool live = item->state == STATE_LIVE;
    andiron_str type = write->ref.type, id = write->ref.id;

    write->created = false;
    if (write->if_version != 0 && (!live || (uint64_t)item->version != write->if_version)) {
        andiron_error_set(&c->commit->error, ANDIRON_E_PRECONDITION, "",
                          live ? "%.*s/%.*s has version %lld, not the one in If-Match"
                               : "%.*s/%.*s does not exist, so no version can match",
                          (int)type.len, type.data, (int)id.len, id.data, (long long)item->version);
        return refuse(c, which);
    }
    if (write->if_absent && live && !item->matched) {
        andiron_error_set(&c->commit->error, ANDIRON_E_PRECONDITION, "", "%.*s/%.*s exists already",
                          (int)type.len, type.data, (int)id.len, id.data);
        return refuse(c, which);
    }
    if (write->remove && !live)
        item->skip = true;
    if (item->skip) {
        write->ref.version = (uint64_t)item->version;
        write->updated = item->updated;
    }
    return 0;
}

/* References to nothing, and removing what is referred to. */
static int test_targets(struct writer *w, struct commit_job *c, size_t which)
{
    struct andiron_arena *scratch = andiron_arena_new(0); /* terms that are made */
    const struct andiron_term *terms;
    size_t count;
    int rc = pack_terms(c->pack, which, scratch, &terms, &count, &c->commit->error);

    if (rc != 0)
        (void)refuse(c, which);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct andiron_term *t = &terms[i];
        struct andiron_ref ref = { .type = t->system, .id = t->text };
        struct item target = { .rid = 0 };
        if (t->kind != ANDIRON_TERM_REFERENCE || t->system.len == 0)
            continue;
        const struct andiron_write *other = write_to(c, &ref);
        if (other != NULL && !other->remove)
            continue;
        rc = other == NULL ? locate(w, c, &target, &ref) : 0;
        if (rc == 0 && other == NULL && target.rid != 0 && target.state == STATE_LIVE)
            continue;
        if (rc != 0)
            break;
        andiron_error_set(&c->commit->error, ANDIRON_E_UNPROCESSABLE, "",
                          "refers to %.*s/%.*s, which does not exist", (int)ref.type.len,
                          ref.type.data, (int)ref.id.len, ref.id.data);
        rc = refuse(c, which);
    }
    andiron_arena_free(scratch);
    return rc;
}

/* Whether this commit removes or rewrites the resource with that current version. */
static bool is_leaving(const struct commit_job *c, int64_t vid)
{
    for (size_t i = 0; i < c->commit->count; i++) {
        if (!c->items[i].skip && c->items[i].vid == vid)
            return true;
    }
    return false;
}

static int test_referred(struct writer *w, struct commit_job *c, size_t which)
{
    struct writer_view v = writer_view(w);
    const struct item *item = &c->items[which];
    sqlite3_stmt *params = db_statement(v.db, DB_PARAMS_OF_KIND);
    sqlite3_stmt *s = db_statement(v.db, DB_REFERRED);
    bool referred = false;
    int param = 1, more = 0;

    if (params == NULL || s == NULL || batch_flush(v.db) != 0)
        return -1;
    sqlite3_bind_int64(params, 1, 1 << ANDIRON_TERM_REFERENCE);
    while (!referred && more >= 0 && (param = db_step(v.db, params)) == 1) {
        sqlite3_bind_int64(s, 1, sqlite3_column_int64(params, 0));
        sqlite3_bind_int64(s, 2, item->rid);
        while (!referred && (more = db_step(v.db, s)) == 1)
            referred = !is_leaving(c, sqlite3_column_int64(s, 0));
        sqlite3_reset(s);
    }
    sqlite3_reset(params);
    if (param < 0 || more < 0)
        return -1; /* what cannot be looked up is not known to be unused */
    if (!referred)
        return 0;
    andiron_error_set(&c->commit->error, ANDIRON_E_CONFLICT, "",
                      "other resources refer to it; remove or change them first");
    return refuse(c, which);
}

/* Settles every conditional write of the commit before anything depends on it. */
static int settle_all(struct writer *w, struct commit_job *c)
{
    size_t removes = 0;
    bool conditional = false;

    for (size_t i = 0; i < c->commit->count; i++) {
        struct andiron_write *write = &c->commit->writes[i];
        write->ref = c->items[i].given;
        c->items[i].skip = c->items[i].matched = false;
        conditional |= write->match != NULL;
        removes += write->remove && write->match == NULL;
    }
    if (c->commit->count > 1)
        sort_writes(c);
    for (size_t i = 0; conditional && i < c->commit->count; i++) {
        if (c->commit->writes[i].match != NULL && settle(w, c, i, removes) != 0)
            return -1;
    }
    if (c->commit->count == 1)
        return 0;
    if (conditional)
        sort_writes(c);
    return 0;
}

/* Version and instant of each write, then its body. */
static void stamp_all(struct writer *w, struct commit_job *c)
{
    struct writer_view v = writer_view(w);
    andiron_usec now = andiron_now();

    if (now < v.counters->updated)
        now = v.counters->updated;
    for (size_t i = 0; i < c->commit->count; i++) {
        struct andiron_write *write = &c->commit->writes[i];
        const struct item *item = &c->items[i];
        if (item->skip)
            continue;
        if (item->vid != 0 && now < item->updated + 1000)
            now = item->updated + 1000;
        write->ref.version = (uint64_t)item->version + 1;
        write->updated = now;
        write->created = !write->remove && item->state != STATE_LIVE;
    }
    for (size_t i = 0; !c->stamps_late && i < c->commit->count; i++) {
        struct andiron_write *write = &c->commit->writes[i];
        if (!c->items[i].skip && write->stamp != NULL)
            write->stamp(write->stamp_state, c->arena, write);
    }
}

/* The last check, and the first change: nothing may refuse the commit behind it. */
static int take_name(struct writer *w, struct commit_job *c)
{
    struct andiron_commit *commit = c->commit;
    bool taken = false;

    if (claim_take(w, commit->claim, commit->claim_expires, &taken, &commit->error) != 0)
        return refuse(c, commit->count);
    if (taken)
        return 0;
    (void)andiron_error_set(&commit->error, ANDIRON_E_CONFLICT, "", "the name is taken");
    return refuse(c, commit->count);
}

static int check(struct writer *w, struct job *job)
{
    struct commit_job *c = (struct commit_job *)job;
    struct andiron_commit *commit = c->commit;

    if (settle_all(w, c) != 0)
        return -1;
    for (size_t i = 0; i < commit->count; i++) {
        if (c->items[i].skip && commit->writes[i].ref.id.len == 0)
            continue; /* nothing matched, and there is nothing to do */
        if (locate(w, c, &c->items[i], &commit->writes[i].ref) != 0)
            return -1;
        if (test_conditions(c, i) != 0)
            return -1;
    }
    if (commit->count > 1) {
        sort_writes(c);
        if (refuse_twice(c) != 0)
            return -1;
    }
    stamp_all(w, c);
    for (size_t i = 0; commit->check_references && i < commit->count; i++) {
        if (c->items[i].skip)
            continue;
        int rc = commit->writes[i].remove ? test_referred(w, c, i) : test_targets(w, c, i);
        if (rc != 0)
            return -1;
    }
    return commit->claim.data != NULL ? take_name(w, c) : 0;
}

/* ---- apply --------------------------------------------------------------------------- */

/* The row of resource; gives a new one its number. */
static int put_resource(struct writer *w, const struct andiron_write *write, struct item *item,
                        int64_t vid)
{
    struct writer_view v = writer_view(w);
    sqlite3_stmt *s;

    if (item->type == 0 && writer_type(w, write->ref.type, &item->type) != 0)
        return -1;
    if (item->rid == 0) {
        s = db_statement(v.db, DB_RESOURCE_ADD);
        if (s == NULL)
            return -1;
        sqlite3_bind_int64(s, 1, v.counters->rid + 1);
        sqlite3_bind_int64(s, 2, item->type);
        db_bind_str(s, 3, write->ref.id);
        sqlite3_bind_int64(s, 4, vid);
        sqlite3_bind_int64(s, 5, (int64_t)write->ref.version);
        sqlite3_bind_int64(s, 6, STATE_LIVE);
        if (db_do(v.db, s) != 0)
            return -1;
        item->rid = ++v.counters->rid;
        return 0;
    }
    s = db_statement(v.db, DB_RESOURCE_SET);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, item->rid);
    sqlite3_bind_int64(s, 2, vid);
    sqlite3_bind_int64(s, 3, (int64_t)write->ref.version);
    sqlite3_bind_int64(s, 4, write->remove ? STATE_DELETED : STATE_LIVE);
    return db_do(v.db, s);
}

/* Index rows of the version that stops being current, and its keys. */
static int retire(struct writer *w, const struct item *item)
{
    struct writer_view v = writer_view(w);
    sqlite3_stmt *s;

    if (item->old_keys.len == 0)
        return 0;
    if (rows_drop(v.db, &v.store->key, item->old_keys, item->vid) != 0)
        return -1;
    s = db_statement(v.db, DB_VERSION_KEYS);
    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, item->vid);
    sqlite3_bind_null(s, 2);
    return db_do(v.db, s);
}

static int put_version(struct writer *w, const struct andiron_write *write, const struct item *item,
                       andiron_str keys, int64_t vid)
{
    struct writer_view v = writer_view(w);
    sqlite3_stmt *s = db_statement(v.db, DB_VERSION_ADD);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, vid);
    sqlite3_bind_int64(s, 2, item->rid);
    sqlite3_bind_int64(s, 3, item->type);
    sqlite3_bind_int64(s, 4, (int64_t)write->ref.version);
    sqlite3_bind_int64(s, 5, write->updated);
    sqlite3_bind_int64(s, 6, write->remove ? OP_DELETE : write->created ? OP_CREATE : OP_UPDATE);
    if (write->remove) {
        sqlite3_bind_null(s, 7);
        sqlite3_bind_null(s, 8);
        sqlite3_bind_int64(s, 9, 0);
        return db_do(v.db, s);
    }
    db_bind_blob(s, 7, keys);
    db_bind_blob(s, 8, write->body);
    sqlite3_bind_int64(s, 9, body_encoding(write->body));
    if (db_do(v.db, s) != 0)
        return -1;
    return rows_add(v.db, &v.store->key, keys, vid) != 0 ? -1 : marks_note(v.db, item->type, keys);
}

static int apply_one(struct writer *w, struct commit_job *c, size_t which, int64_t vid)
{
    struct andiron_write *write = &c->commit->writes[which];
    struct item *item = &c->items[which];
    struct andiron_arena *scratch = andiron_arena_new(0);
    andiron_str keys = { NULL, 0 };
    int rc = retire(w, item);

    if (rc == 0 && !write->remove)
        rc = pack_keys(c->pack, w, which, item->type, scratch, &keys);
    if (rc == 0) {
        if (c->stamps_late && write->stamp != NULL)
            write->stamp(write->stamp_state, scratch, write);
        rc = put_version(w, write, item, keys, vid);
        if (c->stamps_late)
            write->body = (andiron_str){ NULL, 0 };
    } else if (c->commit->error.code != ANDIRON_OK) {
        c->commit->failed = which;
    }
    andiron_arena_free(scratch);
    return rc;
}

static int apply(struct writer *w, struct job *job)
{
    struct commit_job *c = (struct commit_job *)job;
    struct writer_view v = writer_view(w);
    int64_t vid = v.counters->vid;

    pack_again(c->pack);
    /* All resources first: references between them then find their numbers. */
    for (size_t i = 0; i < c->commit->count; i++) {
        if (!c->items[i].skip && put_resource(w, &c->commit->writes[i], &c->items[i], ++vid) != 0)
            return -1;
    }
    vid = v.counters->vid;
    for (size_t i = 0; i < c->commit->count; i++) {
        if (c->items[i].skip)
            continue;
        if (apply_one(w, c, i, ++vid) != 0)
            return -1;
        v.counters->updated = c->commit->writes[i].updated;
    }
    c->first_vid = v.counters->vid + 1;
    c->last_vid = vid;
    v.counters->vid = vid;
    return 0;
}

static void done(struct writer *w, struct job *job)
{
    struct commit_job *c = (struct commit_job *)job;
    struct writer_view v = writer_view(w);
    size_t written = 0;

    watch_own(v.store->watches, c->first_vid, c->last_vid);
    for (size_t i = 0; i < c->commit->count; i++) {
        if (c->items[i].skip)
            continue;
        watch_note(v.store->watches, c->commit->writes[i].ref.type, c->commit->writes[i].ref.id);
        written++;
    }
    store_count(v.store->metrics.commits, 1);
    store_count(v.store->metrics.resources, written);
}

static void drop_own(void *arg)
{
    struct commit_job *c = arg;

    andiron_arena_free(c->own);
    c->own = NULL;
}

/* On the writer's thread: a loop has no time for giving back megabytes. */
static void tidy(struct job *job)
{
    drop_own(job);
}

struct job *commit_job(struct store *store, struct db *db, struct andiron_arena *arena,
                       struct andiron_commit *commit, const struct andiron_term_maker *maker)
{
    struct commit_job *c = andiron_new(arena, struct commit_job);

    c->job.check = check;
    c->job.apply = apply;
    c->job.done = done;
    c->job.tidy = commit->count > OWN_IS_LARGE ? tidy : NULL;
    c->job.error = &commit->error;
    c->store = store;
    c->arena = arena;
    c->commit = commit;
    c->own = andiron_arena_new(commit->count > 1 ? 0 : OWN_OF_ONE);
    andiron_at_release(arena, drop_own, c);
    c->pack = pack_new(store, c->own, commit, maker);
    c->items = andiron_alloc(c->own, (commit->count + 1) * sizeof(c->items[0]));
    for (size_t i = 0; i < commit->count; i++)
        c->items[i].given = commit->writes[i].ref;
    /* A stamp may put matches into the terms that writes have, but not into those that are made. */
    bool is_open = false, has_terms = false;
    for (size_t i = 0; i < commit->count; i++) {
        is_open |= commit->writes[i].match != NULL && !commit->writes[i].match_is_ref;
        has_terms |= commit->writes[i].terms != NULL;
    }
    c->stamps_late = commit->bodies_are_brief && !(is_open && has_terms);
    return db != NULL && pack_early(c->pack, db) != 0 ? NULL : &c->job;
}
