/*
 * Other resources that a search looks at, by number and by id: each asked for once; see run.h.
 */
#include "run.h"

static size_t slot_of(const struct run *run, int64_t rid)
{
    size_t i = ((uint64_t)rid * 0x9e3779b97f4a7c15u >> 20) & run->known.mask;

    while (run->known.slots[i] != NULL && run->known.slots[i]->rid != rid)
        i = (i + 1) & run->known.mask;
    return i;
}

static void grow(struct run *run)
{
    size_t old = run->known.mask == 0 ? 0 : run->known.mask + 1;
    struct known **slots = run->known.slots;

    if (old != 0 && run->known.used * 2 < old)
        return;
    run->known.mask = (old == 0 ? 64 : old * 2) - 1;
    run->known.slots =
        andiron_alloc(run->arena, (run->known.mask + 1) * sizeof(run->known.slots[0]));
    for (size_t i = 0; i < old; i++) {
        if (slots[i] != NULL)
            run->known.slots[slot_of(run, slots[i]->rid)] = slots[i];
    }
}

static void ask_rid(struct run *run, int64_t rid)
{
    if (run->asked_count == run->asked_room) {
        size_t room = run->asked_room * 2 + 64;
        int64_t *rids = andiron_alloc(run->arena, room * sizeof(rids[0]));
        if (run->asked_count != 0)
            memcpy(rids, run->asked_rids, run->asked_count * sizeof(rids[0]));
        run->asked_rids = rids;
        run->asked_room = room;
    }
    run->asked_rids[run->asked_count++] = rid;
}

struct known *known_resource(struct run *run, int64_t rid, bool body)
{
    grow(run);
    size_t i = slot_of(run, rid);
    struct known *k = run->known.slots[i];

    if (k == NULL) {
        k = andiron_new(run->arena, struct known);
        k->rid = rid;
        run->known.slots[i] = k;
        run->known.used++;
    }
    if (k->is_there && (!body || k->has_body || k->now.vid == 0))
        return k;
    if (!k->is_asked) {
        k->is_asked = true;
        ask_rid(run, rid);
    }
    run->asks_bodies = run->asks_bodies || body;
    return NULL;
}

struct known_id *known_id(struct run *run, int64_t type, andiron_str id)
{
    size_t h = (size_t)type;

    for (size_t i = 0; i < id.len; i++)
        h = h * 31 + (uint8_t)id.data[i];
    struct known_id **list = &run->ids[h % (sizeof(run->ids) / sizeof(run->ids[0]))], *k;
    for (k = *list; k != NULL; k = k->next) {
        if (k->type == type && andiron_str_eq(k->id, id))
            return k->is_there ? k : NULL;
    }
    k = andiron_new(run->arena, struct known_id);
    *k = (struct known_id){ .type = type, .id = id, .next = *list };
    *list = k;
    if (memchr(id.data != NULL ? id.data : "", '\0', id.len) != NULL) {
        k->is_there = true; /* no id has it, and no text may */
        return k;
    }
    if (run->asked_id_count % 64 == 0) {
        struct known_id **more =
            andiron_alloc(run->arena, (run->asked_id_count + 64) * sizeof(more[0]));
        if (run->asked_id_count != 0)
            memcpy(more, run->asked_ids, run->asked_id_count * sizeof(more[0]));
        run->asked_ids = more;
    }
    run->asked_ids[run->asked_id_count++] = k;
    return NULL;
}

/* ---- asking ---------------------------------------------------------------------------- */

struct asked {
    int64_t *rids;
    struct known_id **ids;
    size_t count;
    bool bodies;
};

static void take_resources(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    const struct asked *asked = arg;

    for (size_t i = 0; i < asked->count; i++) {
        struct known *k = run->known.slots[slot_of(run, asked->rids[i])];
        k->is_there = true;
        k->is_asked = false;
        k->has_body = asked->bodies;
        k->now = (struct candidate){ .vid = 0 };
    }
    for (size_t i = 0; i < wire_rows(b, at); i++) {
        struct known *k = run->known.slots[slot_of(run, wire_get_int(b, at, i, 0))];
        if (k == NULL)
            continue;
        k->now = candidate_of(b, at, i, 2, true, asked->bodies);
        if (wire_is_null(b, at, i, 2))
            k->now = (struct candidate){ .id = wire_get_str(b, at, i, 1) }; /* not live */
    }
    (void)run_spend(run, (int64_t)asked->count);
}

static void ask_resources(struct run *run)
{
    struct asked *asked = andiron_new(run->arena, struct asked);
    struct compose *c = compose_new(run->arena);

    *asked = (struct asked){ .rids = run->asked_rids,
                             .count = run->asked_count,
                             .bodies = run->asks_bodies };
    compose_put(c, "SELECT r.rid,r.id,");
    candidate_columns(c, true, asked->bodies);
    compose_put(c,
                " FROM unnest($%d) t(rid) JOIN resource r ON r.rid=t.rid"
                " LEFT JOIN version v ON v.vid=r.vid AND r.st=0",
                compose_ints(c, WIRE_INT8_ARRAY, asked->rids, asked->count));
    run_want(run, c, take_resources, asked);
    run->asked_rids = NULL;
    run->asked_count = run->asked_room = 0;
    run->asks_bodies = false;
}

static void take_ids(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    const struct asked *asked = arg;

    for (size_t i = 0; i < asked->count; i++)
        asked->ids[i]->is_there = true;
    for (size_t i = 0; i < wire_rows(b, at); i++) {
        size_t n = (size_t)wire_get_int(b, at, i, 0) - 1;
        if (n >= asked->count)
            continue;
        asked->ids[n]->rid = wire_get_int(b, at, i, 1);
        asked->ids[n]->vid = wire_get_int(b, at, i, 3) == 0 ? wire_get_int(b, at, i, 2) : 0;
    }
    (void)run_spend(run, (int64_t)asked->count);
}

static void ask_ids(struct run *run)
{
    struct asked *asked = andiron_new(run->arena, struct asked);
    size_t count = run->asked_id_count;
    int64_t *types = andiron_alloc(run->arena, count * sizeof(types[0]));
    andiron_str *ids = andiron_alloc(run->arena, count * sizeof(ids[0]));
    struct compose *c = compose_new(run->arena);

    *asked = (struct asked){ .ids = run->asked_ids, .count = count };
    for (size_t i = 0; i < count; i++) {
        types[i] = run->asked_ids[i]->type;
        ids[i] = run->asked_ids[i]->id;
    }
    int t = compose_ints(c, WIRE_INT2_ARRAY, types, count), n = compose_texts(c, ids, count);
    compose_put(c,
                "SELECT t.n,r.rid,r.vid,r.st FROM unnest($%d,$%d) WITH ORDINALITY t(type,id,n)"
                " JOIN resource r ON r.type=t.type AND r.id=t.id",
                t, n);
    run_want(run, c, take_ids, asked);
    run->asked_ids = NULL;
    run->asked_id_count = 0;
}

void known_ask(struct run *run)
{
    if (run->asked_count != 0)
        ask_resources(run);
    if (run->asked_id_count != 0)
        ask_ids(run);
}
