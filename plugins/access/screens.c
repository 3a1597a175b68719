/*
 * Rows of policies, and asking engines about a whole row.
 */
#include "screens.h"

#include "common/policy/features.h"
#include "set.h"

enum gathered_state { NOT_YET, UNDER_WAY, GATHERED, NOT_WORTH_IT };

struct screened {
    struct set *set;
    struct policy *const *ranked;
    const uint32_t *ranks;
    uint32_t first, count; /* places in the list */
    const struct engine *engine;
    atomic_int state; /* enum gathered_state; what follows is read once it is GATHERED */
    struct andiron_arena *arena;
    const void *gathered;
};

/* ---- making ------------------------------------------------------------------------------ */

static bool can_screen(const struct engine *engine)
{
    const struct andiron_policy_engine *table = engine->ref.table;
    return POLICY_ENGINE_HAS(table, screen) && table->gather != NULL;
}

struct screens screens_find(struct set *set, struct andiron_arena *arena,
                            struct policy *const *ranked, const uint32_t *ranks, uint32_t count)
{
    struct screens screens = { NULL, 0 };
    if (count < SCREENED_MIN)
        return screens;
    screens.rows = andiron_alloc(arena, (count / SCREENED_MIN) * sizeof(*screens.rows));
    for (uint32_t first = 0, end; first < count; first = end) {
        const struct engine *engine = ranked[ranks[first]]->engine;
        for (end = first + 1; end < count && ranked[ranks[end]]->engine == engine;)
            end++;
        if (end - first < SCREENED_MIN || !can_screen(engine))
            continue;
        struct screened *row = &screens.rows[screens.count++];
        row->set = set;
        row->ranked = ranked;
        row->ranks = ranks;
        row->first = first;
        row->count = end - first;
        row->engine = engine;
        atomic_init(&row->state, NOT_YET);
    }
    return screens;
}

void screens_free(struct screens screens)
{
    for (unsigned i = 0; i < screens.count; i++)
        if (atomic_load(&screens.rows[i].state) == GATHERED)
            andiron_arena_free(screens.rows[i].arena);
}

/* On a pool thread. */
static void gather(void *arg)
{
    struct screened *row = arg;
    struct set *set = row->set;
    const struct andiron_policy_engine *table = row->engine->ref.table;
    struct andiron_arena *arena = andiron_arena_new(0), *own = andiron_arena_new(0);
    const void **compiled = andiron_alloc(own, row->count * sizeof(*compiled));

    for (uint32_t i = 0; i < row->count; i++)
        compiled[i] = row->ranked[row->ranks[row->first + i]]->compiled;
    row->gathered = table->gather(row->engine->ref.self, compiled, row->count, arena);
    row->arena = arena;
    if (row->gathered == NULL)
        andiron_arena_free(arena);
    andiron_arena_free(own);
    atomic_store_explicit(&row->state, row->gathered != NULL ? GATHERED : NOT_WORTH_IT,
                          memory_order_release);
    set_drop(set);
}

static bool is_gathered(struct screened *row)
{
    int state = atomic_load_explicit(&row->state, memory_order_acquire);
    if (state == NOT_YET && atomic_compare_exchange_strong(&row->state, &state, UNDER_WAY)) {
        set_hold(row->set);
        andiron_pool_post(gather, row);
    }
    return state == GATHERED;
}

/* ---- asking ------------------------------------------------------------------------------ */

static void screen(struct screened *row, struct screening *s, struct andiron_policy_call *call)
{
    const struct andiron_policy_engine *table = row->engine->ref.table;
    size_t words = (row->count + 63) / 64;

    s->is_open = !is_gathered(row);
    if (s->is_open)
        return;
    s->may_match = andiron_alloc(andiron_request_arena(andiron_policy_request(call)),
                                 words * sizeof(*s->may_match));
    memset(s->may_match, 0xff, words * sizeof(*s->may_match));
    table->screen(row->engine->ref.self, row->gathered, call, s->may_match);
}

/* The next one of the row whose bit is set, from `from` on; its count if there is none. */
static uint32_t next_bit(const struct screened *row, const struct screening *s, uint32_t from)
{
    while (from < row->count) {
        uint64_t left = s->may_match[from / 64] >> from % 64;
        if (left != 0) {
            from += (uint32_t)__builtin_ctzll(left);
            break;
        }
        from += 64 - from % 64;
    }
    return from < row->count ? from : row->count;
}

uint32_t screens_next(struct screens screens, struct screening *s, uint32_t at,
                      struct andiron_policy_call *call, unsigned *ret_passed)
{
    for (; s->row < screens.count; s->row++, s->is_open = false, s->may_match = NULL) {
        struct screened *row = &screens.rows[s->row];
        if (at < row->first)
            return at;
        if (at - row->first >= row->count)
            continue;
        if (s->may_match == NULL && !s->is_open)
            screen(row, s, call);
        if (s->is_open)
            return at;
        uint32_t next = row->first + next_bit(row, s, at - row->first);
        if (next > at) {
            andiron_count(row->engine->verdicts[ANDIRON_NO_MATCH], next - at);
            *ret_passed += next - at;
        }
        at = next;
        if (at - row->first < row->count)
            return at;
    }
    return at;
}
