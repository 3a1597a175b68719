/*
 * Sets of policies and their index.
 */
#include "set.h"

#include <stdlib.h>

#include "hash.h"

/* Ranks of policies, ascending. */
struct list {
    uint32_t *all;
    uint32_t count;
    struct screens screens;
};

enum { ALLOWING, DENYING };

struct key {
    struct link link;     /* id absent: a free place */
    struct list lists[2]; /* those that allow, those that deny */
};

/* What is looked up of the strings of a place that is searched. */
struct grams {
    uint64_t first[4]; /* bytes that they begin with: a bit for each */
    unsigned lengths;  /* bit i: of i + 1 bytes */
};

struct set {
    atomic_uint references;
    struct andiron_arena *arena;
    struct policy **policies; /* by id */
    struct policy **ranked;   /* those that apply, by cost and id */
    size_t count, ranked_count;
    struct key *keys; /* open addressing, key_mask + 1 places */
    size_t key_mask;
    struct list unlinked[2]; /* linked to nobody */
    struct list global[2];   /* of these, those of which nothing is known */
    unsigned features;       /* that are in the index: a bit for each */
    struct places places;    /* some of them are, too */
    struct grams grams[PLACES_MAX];
    unsigned prefixes; /* lengths of beginnings that are: bit i for (i + 1) * PREFIX_STEP */
    bool is_searched;  /* some place is */
    bool denies;       /* some policy does */
};

enum { PREFIX_STEP = 4, PREFIX_MAX = PREFIX_STEP * WALK_PREFIXES };

/* ---- keys ----------------------------------------------------------------------------- */

static uint64_t hash_start(unsigned kind)
{
    return HASH_START ^ kind;
}

static uint64_t hash_of(const struct link *link)
{
    uint64_t h = hash_bytes(hash_start(link->kind), link->id.data, link->id.len);
    return h ^ h >> 29;
}

static size_t place_at(const struct set *set, const struct link *link, uint64_t hash)
{
    size_t at = (size_t)hash & set->key_mask;
    while (set->keys[at].link.id.data != NULL && (set->keys[at].link.kind != link->kind ||
                                                  !andiron_str_eq(set->keys[at].link.id, link->id)))
        at = (at + 1) & set->key_mask;
    return at;
}

/* A beginning is cut to a length that is looked up; one that is too short says nothing. */
static bool key_of_test(const struct andiron_policy_test *test, struct link *ret)
{
    andiron_str value = test->value;
    if (test->feature == ANDIRON_FEATURE_URI_PREFIX) {
        value.len = value.len < PREFIX_MAX ? value.len - value.len % PREFIX_STEP : PREFIX_MAX;
        if (value.len == 0)
            return false;
    }
    if (value.data == NULL) /* where it is missing */
        value = ANDIRON_STR("");
    *ret = (struct link){ .kind = LINK_TEST + (unsigned)test->feature, .id = value };
    return true;
}

static void list_add(struct andiron_arena *arena, struct list *list, uint32_t rank)
{
    if (list->count > 0 && list->all[list->count - 1] == rank)
        return; /* linked twice to the same */
    /* Room grows by doubling: at every power of two. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count != 0 ? (size_t)list->count * 2 : 1;
        uint32_t *all = andiron_alloc(arena, room * sizeof(*all));
        if (list->count > 0)
            memcpy(all, list->all, list->count * sizeof(*all));
        list->all = all;
    }
    list->all[list->count++] = rank;
}

static void add_under(struct set *set, const struct link *link, uint32_t rank)
{
    struct key *key = &set->keys[place_at(set, link, hash_of(link))];
    key->link = *link;
    list_add(set->arena, &key->lists[set->ranked[rank]->denies ? DENYING : ALLOWING], rank);
}

/* ---- choosing what a global policy is looked up by ---------------------------------------- */

/* How many policies share a value, about: values with the same hash are counted together. */
struct counts {
    uint32_t *all;
    size_t mask;
};

enum { COUNTS_MAX = 1 << 20 };

/* What a policy may be looked up by: a feature, a place's value, what a string of a place holds. */
enum {
    GROUP_PLACES = ANDIRON_FEATURE_USER + 1,
    GROUP_FRAGMENTS = GROUP_PLACES + PLACES_MAX,
    GROUPS = GROUP_FRAGMENTS + PLACES_MAX
};

static int group_of_test(const struct andiron_policy_test *test)
{
    if ((int)test->feature > ANDIRON_FEATURE_USER)
        return -1; /* of a newer header */
    return test->feature == ANDIRON_FEATURE_URI_PREFIX ? ANDIRON_FEATURE_URI : (int)test->feature;
}

static int group_of_literal(const struct places *places, const struct literal *literal)
{
    int place = places_find(places, literal);
    return place < 0 ? -1 : GROUP_PLACES + place;
}

static struct link key_of_literal(const struct literal *literal, int group)
{
    return (struct link){ .kind = LINK_PLACE + (unsigned)(group - GROUP_PLACES),
                          .id = literal->value.data != NULL ? literal->value : ANDIRON_STR("") };
}

/*
 * A fragment is looked up by a part of it, a gram: of those at its end, where texts differ most,
 * the one that fewest others have.
 */
enum { GRAM_MAX = 8, GRAMS_MAX = 32 };

static size_t gram_count(andiron_str fragment)
{
    size_t count = fragment.len > GRAM_MAX ? fragment.len - GRAM_MAX + 1 : 1;
    return count < GRAMS_MAX ? count : GRAMS_MAX;
}

static struct link key_of_gram(const struct literal *literal, int place, size_t i)
{
    andiron_str text = literal->value.data != NULL ? literal->value : ANDIRON_STR("");
    size_t len = text.len < GRAM_MAX ? text.len : GRAM_MAX;
    return (struct link){ .kind = LINK_FRAGMENT + (unsigned)place,
                          .id = { text.data + text.len - len - i, len } };
}

static uint32_t *count_of(const struct counts *counts, const struct link *link)
{
    return &counts->all[(size_t)hash_of(link) & counts->mask];
}

static struct link key_of_fragment(const struct counts *counts, const struct literal *literal,
                                   int place)
{
    struct link rarest = key_of_gram(literal, place, 0);
    for (size_t i = 1; i < gram_count(literal->value); i++) {
        struct link link = key_of_gram(literal, place, i);
        if (*count_of(counts, &link) < *count_of(counts, &rarest))
            rarest = link;
    }
    return rarest;
}

static void count_values(const struct set *set, const struct counts *counts,
                         const struct policy *policy)
{
    struct link link;
    for (size_t i = 0; i < policy->test_count; i++)
        if (key_of_test(&policy->tests[i], &link))
            (*count_of(counts, &link))++;
    for (size_t i = 0; i < policy->literal_count; i++) {
        int group = group_of_literal(&set->places, &policy->literals[i]);
        if (group < 0)
            continue;
        link = key_of_literal(&policy->literals[i], group);
        (*count_of(counts, &link))++;
    }
    for (size_t i = 0; i < policy->fragment_count; i++) {
        const struct literal *fragment = &policy->fragments[i];
        int place = places_find(&set->places, fragment);
        for (size_t g = 0; place >= 0 && g < gram_count(fragment->value); g++) {
            link = key_of_gram(fragment, place, g);
            (*count_of(counts, &link))++;
        }
    }
}

/* What it is looked up by: whose values fewest other policies share; -1: nothing. */
static int best_group(const struct set *set, const struct counts *counts,
                      const struct policy *policy)
{
    uint32_t worst[GROUPS] = { 0 }; /* the most shared value of each */
    int best = -1;
    struct link link;

    for (size_t i = 0; i < policy->test_count; i++) {
        int group = group_of_test(&policy->tests[i]);
        if (group < 0)
            continue;
        uint32_t shared =
            key_of_test(&policy->tests[i], &link) ? *count_of(counts, &link) : UINT32_MAX;
        if (worst[group] < shared)
            worst[group] = shared;
    }
    for (size_t i = 0; i < policy->literal_count; i++) {
        int group = group_of_literal(&set->places, &policy->literals[i]);
        if (group < 0)
            continue;
        link = key_of_literal(&policy->literals[i], group);
        if (worst[group] < *count_of(counts, &link))
            worst[group] = *count_of(counts, &link);
    }
    for (size_t i = 0; i < policy->fragment_count; i++) {
        int place = places_find(&set->places, &policy->fragments[i]);
        if (place < 0)
            continue;
        link = key_of_fragment(counts, &policy->fragments[i], place);
        if (worst[GROUP_FRAGMENTS + place] < *count_of(counts, &link))
            worst[GROUP_FRAGMENTS + place] = *count_of(counts, &link);
    }
    for (int g = 0; g < GROUPS; g++) /* features first: they are looked at for nothing */
        if (worst[g] != 0 && worst[g] != UINT32_MAX && (best < 0 || worst[g] < worst[best]))
            best = g;
    return best;
}

static void index_by_tests(struct set *set, int group, uint32_t rank)
{
    const struct policy *policy = set->ranked[rank];
    struct link link;
    for (size_t i = 0; i < policy->test_count; i++) {
        const struct andiron_policy_test *test = &policy->tests[i];
        if (group_of_test(test) != group || !key_of_test(test, &link))
            continue;
        set->features |= 1u << group;
        if (test->feature == ANDIRON_FEATURE_URI_PREFIX)
            set->prefixes |= 1u << (link.id.len / PREFIX_STEP - 1);
        add_under(set, &link, rank);
    }
}

/* Also asked where a request has too much at the place. */
static void use_place(struct set *set, int place, bool is_searched, uint32_t rank)
{
    const struct link all = { LINK_PLACE_ALL + (unsigned)place, ANDIRON_STR("") };
    add_under(set, &all, rank);
    places_use(&set->places, place, is_searched, set->arena);
}

static void index_by_place(struct set *set, int group, uint32_t rank)
{
    const struct policy *policy = set->ranked[rank];
    for (size_t i = 0; i < policy->literal_count; i++) {
        if (group_of_literal(&set->places, &policy->literals[i]) != group)
            continue;
        struct link link = key_of_literal(&policy->literals[i], group);
        add_under(set, &link, rank);
    }
    use_place(set, group - GROUP_PLACES, false, rank);
}

static void index_by_fragment(struct set *set, const struct counts *counts, int place,
                              uint32_t rank)
{
    const struct policy *policy = set->ranked[rank];
    struct grams *grams = &set->grams[place];
    for (size_t i = 0; i < policy->fragment_count; i++) {
        if (places_find(&set->places, &policy->fragments[i]) != place)
            continue;
        struct link link = key_of_fragment(counts, &policy->fragments[i], place);
        add_under(set, &link, rank);
        if (link.id.len == 0) /* where nothing is there */
            continue;
        unsigned char first = (unsigned char)link.id.data[0];
        grams->first[first / 64] |= UINT64_C(1) << first % 64;
        grams->lengths |= 1u << (link.id.len - 1);
    }
    set->is_searched = true;
    use_place(set, place, true, rank);
}

static void index_global(struct set *set, const struct counts *counts, uint32_t rank)
{
    const struct policy *policy = set->ranked[rank];
    int group = best_group(set, counts, policy);
    if (group < 0)
        list_add(set->arena, &set->global[policy->denies ? DENYING : ALLOWING], rank);
    else if (group < GROUP_PLACES)
        index_by_tests(set, group, rank);
    else if (group < GROUP_FRAGMENTS)
        index_by_place(set, group, rank);
    else
        index_by_fragment(set, counts, group - GROUP_FRAGMENTS, rank);
}

/* ---- making sets ---------------------------------------------------------------------------- */

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

static size_t power_above(size_t n)
{
    size_t places = 16;
    while (places < n)
        places *= 2;
    return places;
}

/* How many values are counted, about. */
static size_t values_of(const struct policy *policy)
{
    size_t values = policy->test_count + policy->literal_count + 1;
    for (size_t i = 0; i < policy->fragment_count; i++)
        values += gram_count(policy->fragments[i].value);
    return values;
}

static void for_lists(struct set *set, void (*call)(struct set *set, struct list *list))
{
    for (size_t i = 0; set->keys != NULL && i <= set->key_mask; i++) {
        call(set, &set->keys[i].lists[ALLOWING]);
        call(set, &set->keys[i].lists[DENYING]);
    }
    call(set, &set->global[ALLOWING]);
    call(set, &set->global[DENYING]);
}

static void find_screens(struct set *set, struct list *list)
{
    list->screens = screens_find(set, set->arena, set->ranked, list->all, list->count);
}

static void free_screens(struct set *set, struct list *list)
{
    (void)set;
    screens_free(list->screens);
}

void set_index(struct set *set)
{
    size_t links = 0, values = 0;
    if (set->keys != NULL)
        return;
    for (size_t i = 0; i < set->ranked_count; i++) {
        const struct policy *policy = set->ranked[i];
        links += policy->link_count;
        if (policy->link_count == 0) {
            links += policy->test_count + policy->literal_count + policy->fragment_count + 1;
            values += values_of(policy);
        }
        set->denies |= policy->denies;
    }
    set->key_mask = power_above(links * 2) - 1;
    set->keys = andiron_alloc(set->arena, (set->key_mask + 1) * sizeof(*set->keys));
    struct counts counts = { .mask =
                                 power_above(values < COUNTS_MAX ? values * 2 : COUNTS_MAX) - 1 };
    counts.all = calloc(counts.mask + 1, sizeof(*counts.all));
    if (counts.all == NULL)
        abort(); /* out of memory: the supervisor starts a new worker */
    places_choose(&set->places, set->ranked, set->ranked_count);
    for (size_t i = 0; i < set->ranked_count; i++)
        if (set->ranked[i]->link_count == 0)
            count_values(set, &counts, set->ranked[i]);
    for (uint32_t i = 0; i < set->ranked_count; i++) {
        const struct policy *policy = set->ranked[i];
        for (size_t l = 0; l < policy->link_count; l++)
            add_under(set, &policy->links[l], i);
        if (policy->link_count > 0)
            continue;
        list_add(set->arena, &set->unlinked[policy->denies ? DENYING : ALLOWING], i);
        index_global(set, &counts, i);
    }
    free(counts.all);
    for_lists(set, find_screens);
}

static struct set *set_make(size_t count)
{
    struct andiron_arena *arena = andiron_arena_new(count * 64 + 1024);
    struct set *set = andiron_new(arena, struct set);
    atomic_init(&set->references, 1);
    set->arena = arena;
    set->policies = andiron_alloc(arena, (count + 1) * sizeof(*set->policies));
    set->ranked = andiron_alloc(arena, (count + 1) * sizeof(*set->ranked));
    return set;
}

struct set *set_new(struct policy *const *policies, size_t count)
{
    struct set *set = set_make(count);
    for (size_t i = 0; i < count; i++) {
        policy_hold(policies[i]);
        set->policies[set->count++] = policies[i];
        if (policies[i]->applies)
            set->ranked[set->ranked_count++] = policies[i];
    }
    if (count > 1) {
        qsort(set->policies, set->count, sizeof(struct policy *), by_id);
        qsort(set->ranked, set->ranked_count, sizeof(struct policy *), by_cost);
    }
    return set;
}

/* Copies all but the one of policy's id, with policy (NULL: without) where `order` puts it. */
static size_t copy_with(struct policy **to, struct policy *const *from, size_t count,
                        const char *id, struct policy *policy,
                        int (*order)(const void *, const void *))
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (policy != NULL && order(&policy, &from[i]) < 0) {
            to[kept++] = policy;
            policy = NULL;
        }
        if (strcmp(from[i]->id, id) != 0)
            to[kept++] = from[i];
    }
    if (policy != NULL)
        to[kept++] = policy;
    return kept;
}

struct set *set_with(const struct set *old, struct policy *policy)
{
    if (old == NULL)
        return set_new(&policy, 1);
    struct set *set = set_make(old->count + 1);
    set->count = copy_with(set->policies, old->policies, old->count, policy->id, policy, by_id);
    set->ranked_count = copy_with(set->ranked, old->ranked, old->ranked_count, policy->id,
                                  policy->applies ? policy : NULL, by_cost);
    for (size_t i = 0; i < set->count; i++)
        policy_hold(set->policies[i]);
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
    for_lists(set, free_screens);
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

unsigned set_features(const struct set *set)
{
    return set->features;
}

const struct places *set_places(const struct set *set)
{
    return &set->places;
}

/* ---- walking ------------------------------------------------------------------ */

enum { PASS_DENY, PASS_LINKED, PASS_GLOBAL, PASS_END };

static void look_up(struct set_walk *walk, const struct link *link, uint64_t hash)
{
    size_t at = place_at(walk->set, link, hash);
    if (walk->set->keys[at].link.id.data != NULL)
        walk->keys[walk->key_count++] = (uint32_t)at;
}

/* Every beginning of a length that is in use, hashing each byte once. */
static void look_up_prefixes(struct set_walk *walk, andiron_str uri)
{
    struct link link = { .kind = LINK_TEST + ANDIRON_FEATURE_URI_PREFIX, .id = { uri.data, 0 } };
    uint64_t h = hash_start(link.kind);
    for (unsigned i = 0; i < WALK_PREFIXES && (walk->set->prefixes >> i) != 0; i++) {
        if (uri.len < (i + 1) * PREFIX_STEP)
            return;
        h = hash_bytes(h, uri.data + link.id.len, PREFIX_STEP);
        link.id.len += PREFIX_STEP;
        if ((walk->set->prefixes >> i & 1) != 0)
            look_up(walk, &link, h ^ h >> 29);
    }
}

/* Each gram once, so that nobody makes work by repeating one. false: more than are looked up. */
static bool look_up_gram(struct set_walk *walk, const struct link *link, uint64_t hash)
{
    size_t at = place_at(walk->set, link, hash);
    if (walk->set->keys[at].link.id.data == NULL)
        return true;
    for (unsigned i = 0; i < walk->key_count; i++)
        if (walk->keys[i] == at)
            return true;
    if (walk->gram_count == WALK_GRAMS)
        return false;
    walk->gram_count++;
    walk->keys[walk->key_count++] = (uint32_t)at;
    return true;
}

/* All grams of lengths that are in use that begin at a byte, hashing each byte once. */
static bool look_up_grams(struct set_walk *walk, unsigned place, andiron_str text)
{
    struct link link = { .kind = LINK_FRAGMENT + place, .id = { text.data, 0 } };
    unsigned lengths = walk->set->grams[place].lengths;
    uint64_t h = hash_start(link.kind);
    while (link.id.len < text.len && (lengths >> link.id.len) != 0) {
        h = hash_bytes(h, text.data + link.id.len, 1);
        link.id.len++;
        if ((lengths >> (link.id.len - 1) & 1) != 0 && !look_up_gram(walk, &link, h ^ h >> 29))
            return false;
    }
    return true;
}

static void look_up_fragments(struct set_walk *walk, unsigned place, andiron_str text)
{
    const struct link all = { LINK_PLACE_ALL + place, ANDIRON_STR("") };
    const uint64_t *first = walk->set->grams[place].first;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if ((first[byte / 64] >> byte % 64 & 1) == 0 ||
            look_up_grams(walk, place, (andiron_str){ text.data + i, text.len - i }))
            continue;
        look_up(walk, &all, hash_of(&all));
        return;
    }
}

/* Lists that the pass walks; -1: of this key none. */
static int effect_of(unsigned pass, unsigned kind)
{
    if (pass == PASS_DENY)
        return DENYING;
    return (pass == PASS_LINKED) == (kind < LINK_TEST) ? ALLOWING : -1;
}

static void add_cursor(struct set_walk *walk, const struct list *list)
{
    if (list->count > 0)
        walk->cursors[walk->cursor_count++] = (struct set_cursor){ .list = list->all,
                                                                   .count = list->count,
                                                                   .screens = list->screens };
}

static void begin_pass(struct set_walk *walk)
{
    walk->cursor_count = 0;
    if (walk->pass == PASS_END || (walk->pass == PASS_DENY && !walk->set->denies))
        return;
    for (unsigned i = 0; i < walk->key_count; i++) {
        const struct key *key = &walk->set->keys[walk->keys[i]];
        int effect = effect_of(walk->pass, key->link.kind);
        if (effect >= 0)
            add_cursor(walk, &key->lists[effect]);
    }
    if (walk->pass != PASS_LINKED) {
        int effect = walk->pass == PASS_DENY ? DENYING : ALLOWING;
        add_cursor(walk,
                   walk->is_whole ? &walk->set->unlinked[effect] : &walk->set->global[effect]);
    }
}

static void start(const struct set *set, struct andiron_arena *arena, const struct link *links,
                  size_t count, struct set_walk *walk)
{
    walk->set = set;
    walk->screened_by = NULL;
    walk->walked = walk->passed = 0;
    walk->pass = PASS_DENY;
    walk->key_count = 0;
    walk->gram_count = 0;
    size_t room = count + WALK_PREFIXES + (set->is_searched ? WALK_GRAMS : 0);
    walk->keys = andiron_alloc(arena, room * sizeof(*walk->keys));
    for (size_t i = 0; i < count; i++) {
        if (links[i].kind >= LINK_SEARCHED) {
            look_up_fragments(walk, links[i].kind - LINK_SEARCHED, links[i].id);
            continue;
        }
        look_up(walk, &links[i], hash_of(&links[i]));
        if (links[i].kind == LINK_TEST + ANDIRON_FEATURE_URI)
            look_up_prefixes(walk, links[i].id);
    }
    walk->cursors = andiron_alloc(arena, (walk->key_count + 1) * sizeof(*walk->cursors));
    begin_pass(walk);
}

void set_walk_start(const struct set *set, struct andiron_arena *arena, const struct link *links,
                    size_t count, struct set_walk *walk)
{
    walk->is_whole = false;
    start(set, arena, links, count, walk);
}

void set_walk_screen(struct set_walk *walk, struct andiron_policy_call *call)
{
    walk->screened_by = call;
}

void set_walk_all(const struct set *set, struct andiron_arena *arena, const struct link *links,
                  size_t count, struct set_walk *walk)
{
    walk->is_whole = true;
    start(set, arena, links, count, walk);
}

/* Merges the lists by rank: a policy that is in several comes once. */
static const struct policy *merge_next(struct set_walk *walk)
{
    bool is_screened = walk->screened_by != NULL && walk->walked >= WALK_UNSCREENED;
    uint32_t best = UINT32_MAX;
    for (unsigned i = 0; i < walk->cursor_count; i++) {
        struct set_cursor *c = &walk->cursors[i];
        if (is_screened)
            c->at =
                screens_next(c->screens, &c->screening, c->at, walk->screened_by, &walk->passed);
        if (c->at < c->count && c->list[c->at] < best)
            best = c->list[c->at];
    }
    if (best == UINT32_MAX)
        return NULL;
    for (unsigned i = 0; i < walk->cursor_count; i++) {
        struct set_cursor *c = &walk->cursors[i];
        if (c->at < c->count && c->list[c->at] == best)
            c->at++;
    }
    walk->walked++;
    return walk->set->ranked[best];
}

const struct policy *set_walk_next(struct set_walk *walk)
{
    while (walk->pass < PASS_END) {
        const struct policy *next = merge_next(walk);
        if (next != NULL)
            return next;
        walk->pass++;
        begin_pass(walk);
    }
    return NULL;
}
