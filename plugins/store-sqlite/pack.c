/*
 * Packing of a commit's terms; see pack.h.
 *
 * A reference to a resource that is not stored yet (most often one of the same commit) gets a
 * placeholder instead of its number. The writer looks each of them up once, when the resources
 * of the commit have their numbers, and puts these in.
 */
#include "pack.h"

enum {
    LATER_BIT = 47, /* of the six bytes of a number: what is below is an index into targets */
    RECENT = 8      /* targets that are compared before a new one is noted */
};

/* What references of several writes may lead to. */
struct target {
    int64_t type, rid; /* rid 0: not known */
    bool is_early;     /* rid was known before the job was queued */
    andiron_str id;
};

struct packed {
    andiron_str keys;
    bool whole;   /* nothing but placeholders is missing */
    bool settles; /* has placeholders */
};

struct pack {
    struct store *store;
    struct andiron_arena *arena;
    struct andiron_commit *commit;
    const struct andiron_term_maker *maker; /* or NULL */
    int64_t names;                          /* counters.names when keys were packed */
    struct packed *packed;
    struct target *targets;
    size_t target_count, target_cap;

    struct db *db;         /* while packing early */
    struct writer *writer; /* while settling */
    bool settles;          /* of the write at hand */
};

struct pack *pack_new(struct store *store, struct andiron_arena *arena,
                      struct andiron_commit *commit, const struct andiron_term_maker *maker)
{
    struct pack *pack = andiron_new(arena, struct pack);

    *pack = (struct pack){ .store = store, .arena = arena, .commit = commit, .maker = maker };
    pack->packed = andiron_alloc(arena, (commit->count + 1) * sizeof(pack->packed[0]));
    return pack;
}

int pack_terms(const struct pack *pack, size_t which, struct andiron_arena *arena,
               const struct andiron_term **ret, size_t *ret_count, struct andiron_error *err)
{
    const struct andiron_write *write = &pack->commit->writes[which];

    *ret = write->terms;
    *ret_count = write->term_count;
    err->code = ANDIRON_OK;
    if (write->terms != NULL || pack->maker == NULL)
        return 0;
    return pack->maker->make(pack->maker->state, which, arena, ret, ret_count, err);
}

/* ---- before the queue ----------------------------------------------------------------- */

static int early_type(void *arg, andiron_str name, int64_t *ret)
{
    const struct pack *pack = arg;

    *ret = names_type(pack->store->names, name);
    return 0;
}

static int early_param(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    const struct pack *pack = arg;
    uint32_t kinds = 0;

    *ret = names_param(pack->store->names, type, code, &kinds);
    if ((kinds & kind) == 0)
        *ret = 0; /* the writer notes the new kind */
    return 0;
}

static int look_up(struct db *db, int64_t type, andiron_str id, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_FIND);
    int found;

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, id);
    found = db_step(db, s);
    *ret = found == 1 ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

static struct target *recent_target(struct pack *pack, int64_t type, andiron_str id)
{
    size_t least = pack->target_count > RECENT ? pack->target_count - RECENT : 0;

    for (size_t i = pack->target_count; i > least; i--) {
        struct target *t = &pack->targets[i - 1];
        if (t->type == type && andiron_str_eq(t->id, id))
            return t;
    }
    return NULL;
}

static struct target *add_target(struct pack *pack, int64_t type, andiron_str id)
{
    if (pack->target_count == pack->target_cap) {
        size_t cap = pack->target_cap > 0 ? pack->target_cap * 2 : 16;
        struct target *more = andiron_alloc(pack->arena, cap * sizeof(more[0]));
        if (pack->target_count > 0)
            memcpy(more, pack->targets, pack->target_count * sizeof(more[0]));
        pack->targets = more;
        pack->target_cap = cap;
    }
    struct target *t = &pack->targets[pack->target_count++];
    *t = (struct target){ .type = type,
                          .id = { andiron_copy(pack->arena, id), id.len } }; /* terms go away */
    return t;
}

static int early_resource(void *arg, int64_t type, andiron_str id, int64_t *ret)
{
    struct pack *pack = arg;
    struct target *t = recent_target(pack, type, id);

    if (t == NULL) {
        t = add_target(pack, type, id);
        if (look_up(pack->db, type, id, &t->rid) != 0)
            return -1;
        t->is_early = t->rid != 0;
    }
    *ret = t->rid;
    if (t->rid != 0)
        return 0;
    *ret = (int64_t)1 << LATER_BIT | (t - pack->targets);
    pack->settles = true;
    return 0;
}

/* -1: commit->error. What fails for another reason is left to the writer, which tells it. */
static int pack_one(struct pack *pack, struct keys_source *source, size_t which)
{
    const struct andiron_write *write = &pack->commit->writes[which];
    struct packed *packed = &pack->packed[which];
    struct andiron_arena *scratch = NULL;
    const struct andiron_term *terms;
    struct andiron_error err;
    size_t count;
    int64_t type = names_type(pack->store->names, write->ref.type);
    int rc;

    if (type == 0 || write->remove)
        return 0;
    if (pack->maker != NULL)
        scratch = andiron_arena_new(0);
    source->incomplete = pack->settles = false;
    rc = pack_terms(pack, which, scratch, &terms, &count, &err);
    if (rc == 0)
        rc = keys_pack(source, pack->arena, type, terms, count, &packed->keys, &err);
    andiron_arena_free(scratch);
    packed->whole = rc == 0 && !source->incomplete;
    packed->settles = pack->settles;
    if (rc == 0 || err.code == ANDIRON_OK)
        return 0;
    pack->commit->error = err;
    pack->commit->failed = which;
    return -1;
}

int pack_early(struct pack *pack, struct db *db)
{
    struct keys_source source = { .key = &pack->store->key,
                                  .type = early_type,
                                  .param = early_param,
                                  .resource = early_resource,
                                  .arg = pack };

    pack->names = db->names;
    pack->db = db;
    for (size_t i = 0; i < pack->commit->count; i++) {
        if (pack->commit->writes[i].match != NULL && !pack->commit->writes[i].match_is_ref)
            return 0; /* stamp() may put another id into any write's terms */
    }
    for (size_t i = 0; i < pack->commit->count; i++) {
        if (pack_one(pack, &source, i) != 0)
            return -1;
    }
    return 0;
}

/* ---- on the writer's thread --------------------------------------------------------------- */

static int late_type(void *arg, andiron_str name, int64_t *ret)
{
    return writer_type(arg, name, ret);
}

static int late_param(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    return writer_param(arg, type, code, kind, ret);
}

static int late_resource(void *arg, int64_t type, andiron_str id, int64_t *ret)
{
    return writer_resource(arg, type, id, ret);
}

void pack_again(struct pack *pack)
{
    for (size_t i = 0; i < pack->target_count; i++)
        if (!pack->targets[i].is_early)
            pack->targets[i].rid = 0;
}

/* keys_settle_fn */
static int settle(void *arg, int64_t type, int64_t *rid)
{
    struct pack *pack = arg;

    if ((*rid >> LATER_BIT & 1) == 0)
        return 0;
    struct target *t = &pack->targets[*rid & (((int64_t)1 << LATER_BIT) - 1)];
    if (t->rid == 0 && writer_resource(pack->writer, type, t->id, &t->rid) != 0)
        return -1;
    *rid = t->rid;
    return 0;
}

static int pack_late(struct pack *pack, struct writer *w, size_t which, int64_t type,
                     struct andiron_arena *arena, andiron_str *ret)
{
    struct writer_view v = writer_view(w);
    struct keys_source source = { .key = &v.store->key,
                                  .type = late_type,
                                  .param = late_param,
                                  .resource = late_resource,
                                  .arg = w };
    const struct andiron_term *terms;
    size_t count;

    if (pack_terms(pack, which, arena, &terms, &count, &pack->commit->error) != 0)
        return -1;
    return keys_pack(&source, arena, type, terms, count, ret, &pack->commit->error);
}

int pack_keys(struct pack *pack, struct writer *w, size_t which, int64_t type,
              struct andiron_arena *arena, andiron_str *ret)
{
    const struct packed *packed = &pack->packed[which];

    /* Once void, void: numbers given in this run may be rolled back. */
    if (!packed->whole || pack->names != writer_view(w).counters->names)
        return pack_late(pack, w, which, type, arena, ret);
    *ret = packed->keys;
    if (!packed->settles)
        return 0;
    pack->writer = w;
    return keys_settle(arena, packed->keys, settle, pack, ret);
}
