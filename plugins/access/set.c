/*
 * Sets of policies and their index.
 */
#include "set.h"

#include <stdlib.h>

/* Policies of one key, by rank. */
struct list {
    const struct policy **all;
    size_t count;
};

struct key {
    struct link link;     /* id absent: a free place */
    struct list lists[2]; /* those that allow, those that deny */
};

struct set {
    atomic_uint references;
    struct andiron_arena *arena;
    struct policy **policies; /* by id */
    size_t count;
    struct key *keys; /* open addressing, key_mask + 1 places */
    size_t key_mask;
    struct list global[2];
};

enum { ALLOWING, DENYING };

static uint64_t hash_of(const struct link *link)
{
    uint64_t h = UINT64_C(14695981039346656037) ^ (uint64_t)link->kind; /* FNV-1a */
    for (size_t i = 0; i < link->id.len; i++)
        h = (h ^ (unsigned char)link->id.data[i]) * UINT64_C(1099511628211);
    return h;
}

static size_t place_of(const struct set *set, const struct link *link)
{
    size_t at = (size_t)hash_of(link) & set->key_mask;
    while (set->keys[at].link.id.data != NULL && (set->keys[at].link.kind != link->kind ||
                                                  !andiron_str_eq(set->keys[at].link.id, link->id)))
        at = (at + 1) & set->key_mask;
    return at;
}

static void list_add(struct andiron_arena *arena, struct list *list, const struct policy *policy)
{
    if (list->count > 0 && list->all[list->count - 1] == policy)
        return; /* linked twice to the same */
    /* Room grows by doubling: at every power of two. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count != 0 ? list->count * 2 : 1;
        const struct policy **all = andiron_alloc(arena, room * sizeof(struct policy *));
        for (size_t i = 0; i < list->count; i++)
            all[i] = list->all[i];
        list->all = all;
    }
    list->all[list->count++] = policy;
}

static int by_id(const void *a, const void *b)
{
    const struct policy *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

/* AP-3: cheap engines first, then by id. */
static int by_cost(const void *a, const void *b)
{
    const struct policy *const *x = a, *const *y = b;
    if ((*x)->engine->cost != (*y)->engine->cost)
        return (*x)->engine->cost < (*y)->engine->cost ? -1 : 1;
    return strcmp((*x)->id, (*y)->id);
}

static void index_policy(struct set *set, const struct policy *policy)
{
    int effect = policy->denies ? DENYING : ALLOWING;
    if (policy->link_count == 0)
        list_add(set->arena, &set->global[effect], policy);
    for (size_t i = 0; i < policy->link_count; i++) {
        struct key *key = &set->keys[place_of(set, &policy->links[i])];
        key->link = policy->links[i];
        list_add(set->arena, &key->lists[effect], policy);
    }
}

struct set *set_new(struct policy *const *policies, size_t count)
{
    struct andiron_arena *arena = andiron_arena_new(count * 64 + 1024);
    struct set *set = andiron_new(arena, struct set);
    struct policy **ranked = andiron_alloc(arena, (count + 1) * sizeof(*ranked));
    size_t links = 0, ranked_count = 0, places = 16;

    atomic_init(&set->references, 1);
    set->arena = arena;
    set->count = count;
    set->policies = andiron_alloc(arena, (count + 1) * sizeof(*set->policies));
    for (size_t i = 0; i < count; i++) {
        policy_hold(policies[i]);
        set->policies[i] = policies[i];
        if (!policies[i]->applies)
            continue;
        ranked[ranked_count++] = policies[i];
        links += policies[i]->link_count;
    }
    while (places < links * 2)
        places *= 2;
    set->keys = andiron_alloc(arena, places * sizeof(*set->keys));
    set->key_mask = places - 1;
    qsort(set->policies, count, sizeof(*set->policies), by_id);
    qsort(ranked, ranked_count, sizeof(*ranked), by_cost);
    for (size_t i = 0; i < ranked_count; i++)
        index_policy(set, ranked[i]);
    return set;
}

void set_hold(struct set *set)
{
    (void)atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
}

void set_drop(struct set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        policy_drop(set->policies[i]);
    andiron_arena_free(set->arena);
}

struct policy *const *set_policies(const struct set *set, size_t *ret_count)
{
    *ret_count = set->count;
    return set->policies;
}

struct policy *set_find(const struct set *set, andiron_str id)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct policy *p = set->policies[middle];
        size_t len = strlen(p->id);
        int order = memcmp(p->id, id.data, len < id.len ? len : id.len);
        if (order == 0 && len == id.len)
            return p;
        if (order < 0 || (order == 0 && len < id.len))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- walking ------------------------------------------------------------------ */

enum { PASS_DENY, PASS_LINKED, PASS_GLOBAL, PASS_END };

void set_walk_start(const struct set *set, const struct link *links, size_t count,
                    struct set_walk *walk)
{
    *walk = (struct set_walk){ .set = set };
    for (size_t i = 0; i < count && walk->key_count < WALK_LISTS_MAX; i++) {
        size_t at = place_of(set, &links[i]);
        if (set->keys[at].link.id.data != NULL)
            walk->keys[walk->key_count++] = at;
    }
}

/* Lists of the pass, the global one last. */
static const struct list *list_of(const struct set_walk *walk, size_t i, int effect)
{
    if (i == walk->key_count)
        return &walk->set->global[effect];
    return &walk->set->keys[walk->keys[i]].lists[effect];
}

static size_t *position_of(struct set_walk *walk, size_t i)
{
    return i == walk->key_count ? &walk->global_at : &walk->at[i];
}

/* Merges lists first..last by cost and id: a policy linked in several ways comes once. */
static const struct policy *merge_next(struct set_walk *walk, size_t first, size_t last, int effect)
{
    const struct policy *best = NULL;
    for (size_t i = first; i <= last; i++) {
        const struct list *list = list_of(walk, i, effect);
        size_t at = *position_of(walk, i);
        if (at < list->count && (best == NULL || by_cost(&list->all[at], &best) < 0))
            best = list->all[at];
    }
    for (size_t i = first; best != NULL && i <= last; i++) {
        const struct list *list = list_of(walk, i, effect);
        size_t *at = position_of(walk, i);
        if (*at < list->count && list->all[*at] == best)
            (*at)++;
    }
    return best;
}

const struct policy *set_walk_next(struct set_walk *walk)
{
    const struct policy *next = NULL;
    while (next == NULL && walk->pass < PASS_END) {
        if (walk->pass == PASS_DENY)
            next = merge_next(walk, 0, walk->key_count, DENYING);
        else if (walk->pass == PASS_LINKED && walk->key_count > 0)
            next = merge_next(walk, 0, walk->key_count - 1, ALLOWING);
        else if (walk->pass == PASS_GLOBAL)
            next = merge_next(walk, walk->key_count, walk->key_count, ALLOWING);
        if (next != NULL)
            return next;
        walk->pass++;
        memset(walk->at, 0, sizeof(walk->at));
        walk->global_at = 0;
    }
    return NULL;
}
