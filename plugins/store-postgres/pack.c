/*
 * Packing of a commit's terms; see pack.h.
 */
#include "pack.h"

enum {
    LATER_BIT = 47, /* of the six bytes of a number: what is below is an index into targets */
    RECENT = 8      /* targets that are compared before a new one is noted */
};

struct packed {
    andiron_str keys;
    int64_t type;
    bool whole;       /* nothing but placeholders is missing */
    bool settles;     /* has placeholders */
    bool passed_over; /* is not packed at all */
};

struct pack {
    struct store *store;
    struct andiron_arena *arena;
    struct andiron_commit *commit;
    const struct andiron_term_maker *maker; /* or NULL */
    struct packed *packed;
    struct pack_target *targets;
    size_t target_count, target_cap;
    struct naming_want *wanted;
    int64_t voids;    /* naming_seen().voids that numbers in keys belong to */
    andiron_str type; /* of the write at hand */
    bool settles;     /* likewise */
};

struct pack *pack_new(struct store *store, struct andiron_arena *arena,
                      struct andiron_commit *commit, const struct andiron_term_maker *maker)
{
    struct pack *pack = andiron_new(arena, struct pack);

    *pack = (struct pack){ .store = store, .arena = arena, .commit = commit, .maker = maker };
    pack->packed = andiron_alloc(arena, (commit->count + 1) * sizeof(pack->packed[0]));
    return pack;
}

/* Terms of a write, its own or made in arena. */
static int terms_of(const struct pack *pack, size_t which, struct andiron_arena *arena,
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

static void want(struct pack *pack, andiron_str type, andiron_str code, uint32_t kinds)
{
    struct naming_want *w;

    for (w = pack->wanted; w != NULL; w = w->next) {
        if (andiron_str_eq(w->type, type) && (w->code.data == NULL) == (code.data == NULL) &&
            andiron_str_eq(w->code, code))
            break;
    }
    if (w == NULL) {
        w = andiron_new(pack->arena, struct naming_want);
        *w = (struct naming_want){ .next = pack->wanted };
        w->type = (andiron_str){ andiron_copy(pack->arena, type), type.len }; /* terms go away */
        if (code.data != NULL)
            w->code = (andiron_str){ andiron_copy(pack->arena, code), code.len };
        pack->wanted = w;
    }
    w->kinds |= kinds;
}

/* ---- what keys are packed from ------------------------------------------------------------- */

static int find_type(void *arg, andiron_str name, int64_t *ret)
{
    struct pack *pack = arg;

    *ret = names_type(pack->store->names, name);
    if (*ret == 0)
        want(pack, name, (andiron_str){ NULL, 0 }, 0);
    return 0;
}

static int find_param(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret)
{
    struct pack *pack = arg;
    uint32_t kinds = 0;

    *ret = names_param(pack->store->names, type, code, &kinds);
    if (*ret != 0 && (kinds & kind) != 0)
        return 0;
    want(pack, pack->type, code, kind);
    *ret = 0;
    return 0;
}

static int find_resource(void *arg, int64_t type, andiron_str id, int64_t *ret)
{
    struct pack *pack = arg;
    size_t least = pack->target_count > RECENT ? pack->target_count - RECENT : 0;
    size_t at = pack->target_count;

    for (size_t i = pack->target_count; i > least && at == pack->target_count; i--) {
        const struct pack_target *t = &pack->targets[i - 1];
        if (t->type == type && andiron_str_eq(t->id, id))
            at = i - 1;
    }
    if (at == pack->target_cap) {
        size_t cap = pack->target_cap > 0 ? pack->target_cap * 2 : 8;
        struct pack_target *more = andiron_alloc(pack->arena, cap * sizeof(more[0]));
        if (pack->target_count > 0)
            memcpy(more, pack->targets, pack->target_count * sizeof(more[0]));
        pack->targets = more;
        pack->target_cap = cap;
    }
    if (at == pack->target_count)
        pack->targets[pack->target_count++] =
            (struct pack_target){ type, { andiron_copy(pack->arena, id), id.len } };
    *ret = (int64_t)1 << LATER_BIT | (int64_t)at;
    pack->settles = true;
    return 0;
}

/* ---- packing ---------------------------------------------------------------------------------- */

static int pack_one(struct pack *pack, struct keys_source *source, size_t which)
{
    const struct andiron_write *write = &pack->commit->writes[which];
    struct packed *packed = &pack->packed[which];
    struct andiron_arena *scratch = NULL;
    const struct andiron_term *terms;
    struct andiron_error err = { .code = ANDIRON_OK };
    size_t count;

    pack->type = write->ref.type;
    packed->type = names_type(pack->store->names, write->ref.type);
    if (write->remove) {
        packed->whole = true;
        return 0;
    }
    if (packed->type == 0)
        want(pack, write->ref.type, (andiron_str){ NULL, 0 }, 0);
    if (pack->maker != NULL)
        scratch = andiron_arena_new(0);
    source->incomplete = packed->type == 0;
    pack->settles = false;
    int rc = terms_of(pack, which, scratch, &terms, &count, &err);
    if (rc == 0)
        rc = keys_pack(source, pack->arena, packed->type, terms, count, &packed->keys, &err);
    andiron_arena_free(scratch);
    packed->whole = rc == 0 && !source->incomplete;
    packed->settles = pack->settles;
    if (rc == 0)
        return 0;
    pack->commit->error = err;
    pack->commit->failed = which;
    return -1;
}

void pack_again(struct pack *pack)
{
    for (size_t i = 0; i < pack->commit->count; i++)
        pack->packed[i] = (struct packed){ .type = pack->packed[i].type,
                                           .passed_over = pack->packed[i].passed_over };
    pack->target_count = 0;
}

void pack_pass_over(struct pack *pack, size_t which, bool passed_over)
{
    pack->packed[which].passed_over = passed_over;
}

void pack_run(struct pack *pack)
{
    struct keys_source source = { .key = &pack->store->key,
                                  .type = find_type,
                                  .param = find_param,
                                  .resource = find_resource,
                                  .arg = pack };

    int64_t voids = naming_seen(pack->store).voids;

    /* Of several rounds: another loop may have loaded names in between. */
    if (pack->voids != voids)
        pack_again(pack);
    pack->voids = voids;
    pack->wanted = NULL;
    for (size_t i = 0; i < pack->commit->count; i++) {
        if (!pack->packed[i].whole && !pack->packed[i].passed_over &&
            pack_one(pack, &source, i) != 0)
            return;
    }
}

void pack_types(struct pack *pack)
{
    pack->wanted = NULL;
    for (size_t i = 0; i < pack->commit->count; i++) {
        const struct andiron_write *write = &pack->commit->writes[i];
        pack->packed[i].type = names_type(pack->store->names, write->ref.type);
        if (pack->packed[i].type == 0 && !write->remove)
            want(pack, write->ref.type, (andiron_str){ NULL, 0 }, 0);
    }
}

const struct naming_want *pack_wanted(const struct pack *pack)
{
    return pack->wanted;
}

int64_t pack_voids(const struct pack *pack)
{
    return pack->voids;
}

/* ---- results ----------------------------------------------------------------------------------- */

int64_t pack_type(const struct pack *pack, size_t which)
{
    return pack->packed[which].type;
}

const struct pack_target *pack_targets(const struct pack *pack, size_t *ret_count)
{
    *ret_count = pack->target_count;
    return pack->targets;
}

static bool is_later(int64_t rid)
{
    return (rid >> LATER_BIT & 1) != 0;
}

static size_t target_of(int64_t rid)
{
    return (size_t)(rid & (((int64_t)1 << LATER_BIT) - 1));
}

struct keys_cursor pack_begin(const struct pack *pack, size_t which)
{
    const struct packed *packed = &pack->packed[which];

    return keys_begin(packed->settles ? packed->keys : (andiron_str){ NULL, 0 });
}

const struct pack_target *pack_next_target(const struct pack *pack, struct keys_cursor *at)
{
    struct keys_entry e;

    while (keys_next(at, &e)) {
        if (e.kind == KEYS_REFERENCE && is_later(e.rid))
            return &pack->targets[target_of(e.rid)];
    }
    return NULL;
}

struct settling {
    const int64_t *rids;
};

/* keys_settle_fn */
static int settle(void *arg, int64_t type, int64_t *rid)
{
    const struct settling *s = arg;

    (void)type;
    if (is_later(*rid))
        *rid = s->rids[target_of(*rid)];
    return 0;
}

andiron_str pack_keys(const struct pack *pack, size_t which, const int64_t *rids,
                      struct andiron_arena *arena)
{
    const struct packed *packed = &pack->packed[which];
    struct settling s = { rids };
    andiron_str keys = packed->keys;

    if (packed->settles && keys_settle(arena, packed->keys, settle, &s, &keys) != 0)
        return packed->keys; /* settle() does not fail */
    return keys;
}
