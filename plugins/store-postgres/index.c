/*
 * Terms of current versions, without new versions: added and replaced as a commit is (txn.h), or compared
 * with those stored.
 */
#include "common/store/compare.h"
#include "service.h"
#include "txn_life.h"

/* ---- adding and replacing -------------------------------------------------------------------- */

static struct andiron_commit *commit_of(struct andiron_arena *arena, struct andiron_indexing *items,
                                        size_t count)
{
    struct andiron_commit *commit = andiron_new(arena, struct andiron_commit);

    commit->count = count;
    commit->writes = andiron_alloc(arena, (count + 1) * sizeof(commit->writes[0]));
    for (size_t i = 0; i < count; i++)
        commit->writes[i] = (struct andiron_write){ .ref = items[i].ref,
                                                    .terms = items[i].terms,
                                                    .term_count = items[i].term_count };
    return commit;
}

/* ---- comparing ----------------------------------------------------------------------------------- */

static const struct wire_sql current = {
    "index_current",
    "SELECT u.n,v.keys FROM unnest($1,$2,$3) WITH ORDINALITY u(t,id,ver,n)"
    " JOIN resource r ON r.type=u.t AND r.id=u.id AND r.ver=u.ver AND r.st=0"
    " JOIN version v ON v.vid=r.vid",
    { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY, WIRE_INT8_ARRAY }
};
static const struct wire_sql numbers = {
    "index_targets",
    "SELECT u.n,r.rid FROM unnest($1,$2) WITH ORDINALITY u(t,id,n)"
    " JOIN resource r ON r.type=u.t AND r.id=u.id",
    { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY }
};
static const struct wire_sql params = { "index_params",
                                        "SELECT p,code FROM param WHERE type=ANY($1) ORDER BY p",
                                        { WIRE_INT2_ARRAY } };

struct comparing {
    struct store *store;
    struct local *local;
    struct andiron_request *req;
    struct andiron_arena *arena;
    struct andiron_indexing *items;
    size_t count;
    struct andiron_commit *commit;
    struct pack *pack;
    struct wire_batch *batch;
    struct andiron_indexing *item; /* at hand */
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static bool is_over(const struct andiron_indexing *item, andiron_str name)
{
    for (const char *const *over = item->pass_over; over != NULL && *over != NULL; over++) {
        if (andiron_str_eq(name, andiron_str_of(*over)))
            return true;
    }
    return false;
}

/* Name of a parameter; absent if it was forgotten: its entries mean nothing any more. */
static andiron_str name_of(const struct comparing *c, int64_t p)
{
    size_t low = 0, high = wire_rows(c->batch, 2);

    while (low < high) {
        size_t middle = (low + high) / 2;
        int64_t at = wire_get_int(c->batch, 2, middle, 0);
        if (at == p)
            return wire_get_str(c->batch, 2, middle, 1);
        if (at < p)
            low = middle + 1;
        else
            high = middle;
    }
    return (andiron_str){ NULL, 0 };
}

static int differs(void *arg, int64_t p)
{
    const struct comparing *c = arg;
    andiron_str name = name_of(c, p);

    if (name.data == NULL)
        return 0;
    /* "name#word" belongs to "name". */
    const char *hash = memchr(name.data, '#', name.len);
    if (hash != NULL)
        name.len = (size_t)(hash - name.data);
    if (is_over(c->item, name))
        return 0;
    c->item->differing = name;
    return 1;
}

/* A term whose param the database does not know at all, or not with terms of that kind. */
static void find_unknown(const struct comparing *c, struct andiron_indexing *item)
{
    int64_t type = names_type(c->store->names, item->ref.type);
    uint32_t kinds = 0;

    for (size_t i = 0; i < item->term_count && !item->differs; i++) {
        andiron_str name = andiron_str_of(item->terms[i].param);
        if (is_over(item, name) || (names_param(c->store->names, type, name, &kinds) != 0 &&
                                    (kinds & 1u << item->terms[i].kind) != 0))
            continue;
        item->differs = true;
        item->differing = name;
    }
}

static void compare_work(void *state)
{
    struct comparing *c = state;
    const struct wire_batch *b = c->batch;
    size_t targets;
    const struct pack_target *t = pack_targets(c->pack, &targets);
    int64_t *rids = andiron_alloc(c->arena, (targets + 1) * sizeof(rids[0]));

    (void)t;
    for (size_t i = 0; i < wire_rows(b, 1); i++)
        rids[(size_t)wire_get_int(b, 1, i, 0) - 1] = wire_get_int(b, 1, i, 1);
    for (size_t i = 0; i < wire_rows(b, 0); i++) {
        size_t n = (size_t)wire_get_int(b, 0, i, 0) - 1;
        struct andiron_indexing *item = &c->items[n];
        andiron_str given = pack_keys(c->pack, n, rids, c->arena);
        /* May be of an older format. */
        andiron_str stored =
            keys_join(c->arena, wire_get_str(b, 0, i, 1), (andiron_str){ NULL, 0 });
        if (!andiron_str_eq(stored, given)) {
            c->item = item;
            item->differs = compare_keys(stored, given, differs, c) != 0;
        }
        find_unknown(c, item);
    }
}

static enum andiron_step compared(struct andiron_request *req, void *state)
{
    const struct comparing *c = state;
    return c->then(req, c->state);
}

static enum andiron_step came(struct andiron_request *req, void *state)
{
    struct comparing *c = state;

    if (c->batch->reply.outcome != WIRE_OK) {
        *c->ret_error = c->batch->reply.error;
        return c->then(req, c->state);
    }
    return andiron_offload(req, compare_work, compared, c);
}

static void bind_items(struct comparing *c)
{
    int64_t *types = andiron_alloc(c->arena, (c->count + 1) * sizeof(types[0]));
    int64_t *versions = andiron_alloc(c->arena, (c->count + 1) * sizeof(versions[0]));
    andiron_str *ids = andiron_alloc(c->arena, (c->count + 1) * sizeof(ids[0]));

    for (size_t i = 0; i < c->count; i++) {
        types[i] = names_type(c->store->names, c->items[i].ref.type);
        versions[i] = (int64_t)c->items[i].ref.version;
        ids[i] = c->items[i].ref.id;
    }
    wire_add(c->batch, &current);
    wire_int_array(c->batch, types, c->count);
    wire_str_array(c->batch, ids, c->count);
    wire_int_array(c->batch, versions, c->count);
    size_t count;
    const struct pack_target *t = pack_targets(c->pack, &count);
    int64_t *target_types = andiron_alloc(c->arena, (count + 1) * sizeof(types[0]));
    andiron_str *target_ids = andiron_alloc(c->arena, (count + 1) * sizeof(ids[0]));
    for (size_t i = 0; i < count; i++) {
        target_types[i] = t[i].type;
        target_ids[i] = t[i].id;
    }
    wire_add(c->batch, &numbers);
    wire_int_array(c->batch, target_types, count);
    wire_str_array(c->batch, target_ids, count);
    wire_add(c->batch, &params);
    wire_int_array(c->batch, types, c->count);
}

static void pack_work(void *state)
{
    struct comparing *c = state;
    pack_run(c->pack); /* commit->error says it */
}

static enum andiron_step packed(struct andiron_request *req, void *state)
{
    struct comparing *c = state;

    if (c->commit->error.code != ANDIRON_OK) {
        *c->ret_error = c->commit->error;
        return c->then(req, c->state);
    }
    c->batch = wire_batch(c->arena);
    wire_snapshot(c->batch);
    bind_items(c);
    return wire_ask(c->local->wire, WIRE_READ, req, c->batch, came, c);
}

static enum andiron_step refreshed(struct andiron_request *req, void *state)
{
    struct comparing *c = state;

    if (c->ret_error->code != ANDIRON_OK)
        return c->then(req, c->state);
    return andiron_offload(req, pack_work, packed, c);
}

static void names_there(void *arg, const struct andiron_error *err)
{
    struct comparing *c = arg;

    if (err != NULL)
        *c->ret_error = *err;
    andiron_resume(c->req);
}

static enum andiron_step compare(struct comparing *c)
{
    enum andiron_step step = andiron_wait(c->req, refreshed, c);

    for (size_t i = 0; i < c->count; i++) {
        c->items[i].differs = false;
        c->items[i].differing = (andiron_str){ NULL, 0 };
    }
    c->commit = commit_of(c->arena, c->items, c->count);
    c->pack = pack_new(c->store, c->arena, c->commit, NULL);
    naming_refresh(c->local, c->arena, names_there, c);
    return step;
}

/* ---- the call -------------------------------------------------------------------------------------- */

enum andiron_step service_index(void *self, struct andiron_request *req, enum andiron_index_op op,
                                struct andiron_indexing *items, size_t count,
                                struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct local *local = store_local(self, andiron_request_loop(req));

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (op == ANDIRON_INDEX_COMPARE) {
        struct comparing *c = andiron_new(arena, struct comparing);
        *c = (struct comparing){ .store = self,
                                 .local = local,
                                 .req = req,
                                 .arena = arena,
                                 .items = items,
                                 .count = count,
                                 .ret_error = ret_error,
                                 .then = then,
                                 .state = state };
        return compare(c);
    }
    struct indexing_job *job = andiron_new(arena, struct indexing_job);
    *job = (struct indexing_job){ .ret_error = ret_error,
                                  .is_replacing = op == ANDIRON_INDEX_REPLACE };
    return writer_submit(local->writer, req, commit_of(arena, items, count), NULL, job, then,
                         state);
}
