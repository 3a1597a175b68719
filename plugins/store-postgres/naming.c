/*
 * Names from the database; see naming.h.
 */
#include "naming.h"

#include <stdlib.h>

/* ---- statements ------------------------------------------------------------------------ */

static const struct wire_sql counts = {
    "names_counts",
    "SELECT (SELECT convert_from(v,'UTF8')::bigint FROM meta WHERE k='names'),"
    "(SELECT convert_from(v,'UTF8')::bigint FROM meta WHERE k='names-void')",
    { 0 }
};
static const struct wire_sql bump = {
    "names_bump",
    "UPDATE meta SET v=convert_to((convert_from(v,'UTF8')::bigint+1)::text,'UTF8')"
    " WHERE k='names' OR ($1 AND k='names-void')",
    { WIRE_BOOL }
};
static const struct wire_sql all_types = { "names_types", "SELECT id,name FROM restype", { 0 } };
static const struct wire_sql all_params = { "names_params",
                                            "SELECT p,type,code,kind FROM param",
                                            { 0 } };

/* Numbers are not drawn for what is there: types have few. */
static const struct wire_sql add_types = {
    "names_add_types",
    "INSERT INTO restype(name) SELECT u FROM unnest($1) u"
    " WHERE NOT EXISTS(SELECT FROM restype r WHERE r.name=u) ORDER BY u ON CONFLICT DO NOTHING",
    { WIRE_TEXT_ARRAY }
};
static const struct wire_sql add_params = {
    "names_add_params",
    "INSERT INTO param AS p(type,code,kind) SELECT r.id,u.code,u.kind"
    " FROM unnest($1,$2,$3) u(type,code,kind) JOIN restype r ON r.name=u.type ORDER BY r.id,u.code"
    " ON CONFLICT(type,code) DO UPDATE SET kind=p.kind|excluded.kind",
    { WIRE_TEXT_ARRAY, WIRE_TEXT_ARRAY, WIRE_INT4_ARRAY }
};
static const struct wire_sql some_types = { "names_some_types",
                                            "SELECT id,name FROM restype WHERE name=ANY($1)",
                                            { WIRE_TEXT_ARRAY } };
static const struct wire_sql some_params = {
    "names_some_params",
    "SELECT p.p,p.type,p.code,p.kind FROM unnest($1,$2) u(type,code)"
    " JOIN restype r ON r.name=u.type JOIN param p ON p.type=r.id AND p.code=u.code",
    { WIRE_TEXT_ARRAY, WIRE_TEXT_ARRAY }
};

struct naming_counts naming_seen(const struct store *store)
{
    return (struct naming_counts){ atomic_load(&store->names_seen),
                                   atomic_load(&store->voids_seen) };
}

void naming_ask(struct wire_batch *b)
{
    wire_add(b, &counts);
}

void naming_bump(struct wire_batch *b, bool voids)
{
    wire_add(b, &bump);
    wire_bool(b, voids);
}

/* ---- loading ----------------------------------------------------------------------------- */

struct task {
    struct local *local;
    struct store *store;
    struct andiron_arena *arena;
    bool loads_all;
    void (*done)(void *arg, const struct andiron_error *err);
    void *arg;
};

static void put_types(struct names *names, const struct wire_batch *b, size_t at)
{
    for (size_t i = 0; i < wire_rows(b, at); i++)
        names_put_type(names, wire_get_int(b, at, i, 0), wire_get_str(b, at, i, 1));
}

static void put_params(struct names *names, const struct wire_batch *b, size_t at)
{
    for (size_t i = 0; i < wire_rows(b, at); i++)
        names_put_param(names, wire_get_int(b, at, i, 0), wire_get_int(b, at, i, 1),
                        wire_get_str(b, at, i, 2), (uint32_t)wire_get_int(b, at, i, 3));
}

static void loaded(void *arg, struct wire_batch *b)
{
    struct task *task = arg;
    struct store *store = task->store;
    size_t count = b->count;

    if (b->reply.outcome != WIRE_OK) {
        task->done(task->arg, &b->reply.error);
        return;
    }
    if (task->loads_all && wire_get_int(b, 0, 0, 1) != atomic_load(&store->voids_seen))
        names_forget_params(store->names);
    put_types(store->names, b, count - 2);
    put_params(store->names, b, count - 1);
    if (task->loads_all) {
        atomic_store(&store->names_seen, wire_get_int(b, 0, 0, 0));
        atomic_store(&store->voids_seen, wire_get_int(b, 0, 0, 1));
    }
    task->done(task->arg, NULL);
}

static struct task *task_new(struct local *local, struct andiron_arena *arena, bool loads_all,
                             void (*done)(void *, const struct andiron_error *), void *arg)
{
    struct task *task = andiron_new(arena, struct task);

    *task = (struct task){ local, local->store, arena, loads_all, done, arg };
    return task;
}

void naming_load(struct local *local, struct andiron_arena *arena,
                 void (*done)(void *arg, const struct andiron_error *err), void *arg)
{
    struct wire_batch *b = wire_batch(arena);

    /* From the primary, and the counts first: what is committed in between is read, and read again. */
    naming_ask(b);
    wire_add(b, &all_types);
    wire_add(b, &all_params);
    wire_send(local->wire, WIRE_READ, b, loaded, task_new(local, arena, true, done, arg));
}

static void refreshed(void *arg, struct wire_batch *b)
{
    struct task *task = arg;

    if (b->reply.outcome != WIRE_OK)
        task->done(task->arg, &b->reply.error);
    else if (wire_get_int(b, 0, 0, 0) == atomic_load(&task->store->names_seen))
        task->done(task->arg, NULL);
    else
        naming_load(task->local, task->arena, task->done, task->arg);
}

void naming_refresh(struct local *local, struct andiron_arena *arena,
                    void (*done)(void *arg, const struct andiron_error *err), void *arg)
{
    struct wire_batch *b = wire_batch(arena);

    naming_ask(b);
    wire_send(local->wire, WIRE_READ, b, refreshed, task_new(local, arena, false, done, arg));
}

/* ---- adding ------------------------------------------------------------------------------- */

static int compare_strs(andiron_str a, andiron_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_wants(const void *a, const void *b)
{
    const struct naming_want *const *x = a, *const *y = b;
    int order = compare_strs((*x)->type, (*y)->type);
    return order != 0 ? order : compare_strs((*x)->code, (*y)->code);
}

void naming_add(struct local *local, struct andiron_arena *arena, const struct naming_want *wanted,
                void (*done)(void *arg, const struct andiron_error *err), void *arg)
{
    struct wire_batch *b = wire_batch(arena);
    size_t count = 0, types = 0, params = 0;

    for (const struct naming_want *w = wanted; w != NULL; w = w->next)
        count++;
    const struct naming_want **sorted = andiron_alloc(arena, (count + 1) * sizeof(sorted[0]));
    andiron_str *type = andiron_alloc(arena, (count + 1) * sizeof(type[0]));
    andiron_str *of = andiron_alloc(arena, (count + 1) * sizeof(of[0]));
    andiron_str *code = andiron_alloc(arena, (count + 1) * sizeof(code[0]));
    int64_t *kinds = andiron_alloc(arena, (count + 1) * sizeof(kinds[0]));
    for (const struct naming_want *w = wanted; w != NULL; w = w->next)
        sorted[types++] = w;
    /* In one order everywhere: two nodes that add the same wait for each other, not in a circle. */
    qsort(sorted, count, sizeof(sorted[0]), compare_wants);
    types = 0;
    for (size_t i = 0; i < count; i++) {
        if (types == 0 || !andiron_str_eq(type[types - 1], sorted[i]->type))
            type[types++] = sorted[i]->type;
        if (sorted[i]->code.data == NULL)
            continue;
        of[params] = sorted[i]->type;
        code[params] = sorted[i]->code;
        kinds[params++] = sorted[i]->kinds;
    }
    wire_add(b, &add_types);
    wire_str_array(b, type, types);
    wire_add(b, &add_params);
    wire_str_array(b, of, params);
    wire_str_array(b, code, params);
    wire_int_array(b, kinds, params);
    naming_bump(b, false);
    wire_add(b, &some_types);
    wire_str_array(b, type, types);
    wire_add(b, &some_params);
    wire_str_array(b, of, params);
    wire_str_array(b, code, params);
    wire_send(local->wire, WIRE_WRITE, b, loaded, task_new(local, arena, false, done, arg));
}
