/*
 * Iterators; see iter.h. Statements are run for a batch at a time and reset at once, so that
 * any number of lists shares one statement and nothing is left open.
 */
#include "iter.h"

#include <stdlib.h>

enum {
    LONGS = 512,        /* lists that are remembered as long, */
    LONGS_USES = 65536, /* until so many questions */
    BATCH_FIRST = ITER_WINDOW,
    BATCH_MAX = 1024,
    BATCH_EXPECTED = 256,
    PROBES_MAX = 16 /* lists that are asked one by one whether they have a key */
};

/* One index list: its statements and key; entries in [from, to] are known, none outside. */
struct list {
    int down, up, count, has; /* has: 0: none */
    int64_t p, key;
    int64_t *window;
    size_t filled, room, batch;
    int64_t from, to;
    int64_t head; /* its first entry >= the key last asked for, or something before that */
};

enum iter_kind { ITER_LISTS, ITER_ARRAY, ITER_ALL, ITER_ANY, ITER_BUT };

struct iter {
    enum iter_kind kind;
    bool exact, is_counted;
    int64_t counted; /* by iter_short() */
    const char *name;

    /* LISTS: a heap of several by their heads, which are true for keys from `sought` on */
    struct list *lists, **heap;
    size_t list_count;
    int64_t sought;

    /* ARRAY: keys, sorted */
    int64_t *keys;
    size_t key_count;

    /* ALL, ANY, BUT (the first without the second) */
    struct iter **args;
    size_t arg_count;
    int64_t *heads, *asked; /* heads: what an argument gave for a key >= asked[i] */
};

static struct iter *iter_new(struct run *run, enum iter_kind kind, const char *name)
{
    struct iter *it = andiron_new(run->arena, struct iter);

    it->kind = kind;
    it->name = name;
    return it;
}

void iter_set_exact(struct iter *it, bool exact)
{
    it->exact = exact;
}

bool iter_leaves_out(const struct iter *it)
{
    return it->kind == ITER_BUT;
}

bool iter_is_array(const struct iter *it)
{
    return it->kind == ITER_ARRAY;
}

bool iter_is_exact(const struct iter *it)
{
    return it->exact;
}

const char *iter_name(const struct iter *it)
{
    return it->name;
}

/* ---- lists ------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Makes the window begin at key. */
static int refill(struct run *run, struct list *list, int64_t key)
{
    sqlite3_stmt *s = db_statement(run->db, run->ascending ? list->up : list->down);
    bool follows = list->to >= list->from && key == list->to + 1;
    int more = 0;

    if (s == NULL)
        return run_fail(run);
    if (follows && list->batch < BATCH_MAX)
        list->batch *= 2;
    else if (!follows && list->batch > BATCH_FIRST)
        list->batch /= 2;
    if (list->room < list->batch) {
        list->room = list->batch;
        list->window = andiron_alloc(run->arena, list->room * sizeof(list->window[0]));
    }
    list->filled = 0;
    sqlite3_bind_int64(s, 1, list->p);
    sqlite3_bind_int64(s, 2, list->key);
    sqlite3_bind_int64(s, 3, iter_vid(run, key));
    sqlite3_bind_int64(s, 4, (int64_t)list->batch);
    while (list->filled < list->batch && (more = db_step(run->db, s)) == 1)
        list->window[list->filled++] = iter_key(run, sqlite3_column_int64(s, 0));
    if (list->filled == list->batch)
        sqlite3_reset(s);
    if (more < 0)
        return run_fail(run);
    list->from = key;
    list->to = list->filled == list->batch ? list->window[list->filled - 1] : ITER_END - 1;
    (void)run_spend(run, (int64_t)(list->filled / 8) + 1);
    return 0;
}

static size_t lower_bound(const int64_t *keys, size_t count, int64_t key)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t seek_list(struct run *run, struct list *list, int64_t key)
{
    for (;;) {
        if (key >= list->from && key <= list->to) {
            size_t i = lower_bound(list->window, list->filled, key);
            if (i < list->filled)
                return list->window[i];
            if (list->to >= ITER_END - 1)
                return ITER_END;
            key = list->to + 1;
        }
        if (refill(run, list, key) != 0 || run->stopped)
            return key;
    }
}

/* Moves the root of the heap down to its place. */
static void sink(struct iter *it)
{
    size_t i = 0;

    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < it->list_count && it->heap[left]->head < it->heap[least]->head)
            least = left;
        if (right < it->list_count && it->heap[right]->head < it->heap[least]->head)
            least = right;
        if (least == i)
            return;
        struct list *list = it->heap[i];
        it->heap[i] = it->heap[least];
        it->heap[least] = list;
        i = least;
    }
}

/* Of several lists, only those are looked at whose next entry is not known to lie behind key. */
static int64_t seek_lists(struct run *run, struct iter *it, int64_t key)
{
    if (it->list_count == 0)
        return ITER_END;
    if (it->list_count == 1)
        return seek_list(run, &it->lists[0], key);
    if (it->heap == NULL)
        it->heap = andiron_alloc(run->arena, it->list_count * sizeof(it->heap[0]));
    if (it->heap[0] == NULL || key < it->sought) {
        for (size_t i = 0; i < it->list_count; i++) {
            it->heap[i] = &it->lists[i];
            it->lists[i].head = INT64_MIN;
        }
    }
    it->sought = key;
    while (it->heap[0]->head < key) {
        int64_t head = seek_list(run, it->heap[0], key);
        if (run->failed || run->stopped)
            return key;
        it->heap[0]->head = head;
        sink(it);
    }
    return it->heap[0]->head;
}

void iter_expect(struct iter *it, size_t entries)
{
    size_t batch = 2 * entries; /* the first look takes half */

    if (it->kind != ITER_LISTS || it->list_count != 1 || batch <= BATCH_FIRST)
        return;
    it->lists[0].batch = batch < BATCH_EXPECTED ? batch : BATCH_EXPECTED;
}

/* ---- joins --------------------------------------------------------------------------- */

static int64_t seek_all(struct run *run, struct iter *it, int64_t key)
{
    size_t agree = 0, i = 0;

    while (agree < it->arg_count) {
        int64_t found = iter_seek(run, it->args[i], key);
        if (run->failed || run->stopped)
            return found > key ? found : key;
        if (found == ITER_END)
            return ITER_END;
        agree = found == key ? agree + 1 : 1;
        key = found;
        i = i + 1 < it->arg_count ? i + 1 : 0;
        if (run_spend(run, 1))
            return key;
    }
    return key;
}

static int64_t seek_any(struct run *run, struct iter *it, int64_t key)
{
    int64_t least = ITER_END;

    for (size_t i = 0; i < it->arg_count; i++) {
        if (it->asked[i] > key || it->heads[i] < key) {
            it->asked[i] = key;
            it->heads[i] = iter_seek(run, it->args[i], key);
            if (run->failed || run->stopped) {
                int64_t bound = it->heads[i] < least ? it->heads[i] : least;
                it->heads[i] = INT64_MIN; /* not what it says */
                return bound > key ? key : bound;
            }
        }
        if (it->heads[i] < least)
            least = it->heads[i];
    }
    return least;
}

/* What the first brings and the second does not. */
static int64_t seek_but(struct run *run, struct iter *it, int64_t key)
{
    for (;; key++) {
        key = iter_seek(run, it->args[0], key);
        if (key == ITER_END || run->failed || run->stopped)
            return key;
        int64_t other = iter_seek(run, it->args[1], key);
        if (other > key || run->failed || run->stopped)
            return key;
    }
}

int64_t iter_seek(struct run *run, struct iter *it, int64_t key)
{
    switch (it->kind) {
    case ITER_LISTS:
        return seek_lists(run, it, key);
    case ITER_ARRAY: {
        size_t i = lower_bound(it->keys, it->key_count, key);
        return i < it->key_count ? it->keys[i] : ITER_END;
    }
    case ITER_ALL:
        return seek_all(run, it, key);
    case ITER_ANY:
        return seek_any(run, it, key);
    case ITER_BUT:
        return seek_but(run, it, key);
    }
    return ITER_END;
}

static bool list_has(struct run *run, struct list *list, int64_t key)
{
    sqlite3_stmt *s;

    if (list->has == 0 || (key >= list->from && key <= list->to))
        return seek_list(run, list, key) == key;
    s = db_statement(run->db, list->has);
    if (s == NULL) {
        run_fail(run);
        return false;
    }
    sqlite3_bind_int64(s, 1, list->p);
    sqlite3_bind_int64(s, 2, list->key);
    sqlite3_bind_int64(s, 3, iter_vid(run, key));
    int found = db_step(run->db, s);
    if (found < 0)
        run_fail(run);
    if (found == 1)
        sqlite3_reset(s);
    (void)run_spend(run, 1);
    return found == 1;
}

bool iter_has(struct run *run, struct iter *it, int64_t key)
{
    switch (it->kind) {
    case ITER_ALL:
        for (size_t i = 0; i < it->arg_count; i++) {
            if (!iter_has(run, it->args[i], key))
                return false;
        }
        return true;
    case ITER_ANY:
        for (size_t i = 0; i < it->arg_count; i++) {
            if (iter_has(run, it->args[i], key))
                return true;
        }
        return false;
    case ITER_BUT:
        return iter_has(run, it->args[0], key); /* the rest is judged */
    case ITER_LISTS:
        for (size_t i = 0; i < it->list_count && iter_can_probe(it); i++) {
            if (list_has(run, &it->lists[i], key))
                return true;
        }
        return !iter_can_probe(it);
    default:
        return iter_seek(run, it, key) == key;
    }
}

bool iter_can_probe(const struct iter *it)
{
    for (size_t i = 0; i < it->arg_count; i++) {
        if (!iter_can_probe(it->args[i]))
            return false;
    }
    return it->kind != ITER_BUT && (it->kind != ITER_LISTS || it->list_count <= PROBES_MAX);
}

/* ---- making them ------------------------------------------------------------------------ */

struct iter *iter_lists(struct run *run, size_t count, const char *name)
{
    struct iter *it = iter_new(run, ITER_LISTS, name);

    it->lists = andiron_alloc(run->arena, count * sizeof(it->lists[0]));
    it->exact = true;
    return it;
}

static void add_list(struct iter *it, int down, int up, int count, int has, int64_t p, int64_t key)
{
    it->lists[it->list_count++] = (struct list){ .down = down,
                                                 .up = up,
                                                 .count = count,
                                                 .has = has,
                                                 .p = p,
                                                 .key = key,
                                                 .batch = BATCH_FIRST,
                                                 .from = 1,
                                                 .to = 0,
                                                 .head = INT64_MIN };
}

void iter_add_token(struct iter *it, int64_t p, int64_t hash)
{
    add_list(it, DB_POSTING_TOKEN_DOWN, DB_POSTING_TOKEN_UP, DB_COUNT_TOKEN, DB_HAS_TOKEN, p, hash);
}

void iter_add_ref(struct iter *it, int64_t p, int64_t rid)
{
    add_list(it, DB_POSTING_REF_DOWN, DB_POSTING_REF_UP, DB_COUNT_REF, DB_HAS_REF, p, rid);
}

struct iter *iter_of_type(struct run *run, int64_t type, bool exact)
{
    struct iter *it = iter_lists(run, 1, "type");

    it->exact = exact;
    add_list(it, DB_POSTING_TYPE_DOWN, DB_POSTING_TYPE_UP, DB_COUNT_TYPE, 0, type, 0);
    return it;
}

struct iter *iter_of_references(struct run *run, int64_t p)
{
    struct iter *it = iter_lists(run, 1, "reference");

    iter_add_ref(it, p, 0);
    return it;
}

void iter_set_target(struct iter *it, int64_t rid, size_t window)
{
    it->lists[0].key = rid;
    it->lists[0].from = 1;
    it->lists[0].to = 0;
    it->lists[0].batch = window;
}

struct iter *iter_any(struct run *run, struct iter **args, size_t count)
{
    struct iter *it;

    if (count == 1)
        return args[0];
    it = iter_new(run, ITER_ANY, "any");
    it->args = args;
    it->arg_count = count;
    it->exact = true;
    it->heads = andiron_alloc(run->arena, count * sizeof(it->heads[0]));
    it->asked = andiron_alloc(run->arena, count * sizeof(it->asked[0]));
    for (size_t i = 0; i < count; i++) {
        it->asked[i] = ITER_END;
        it->exact = it->exact && args[i]->exact;
    }
    return it;
}

struct iter *iter_all(struct run *run, struct iter **args, size_t count)
{
    struct iter *it;

    if (count == 1)
        return args[0];
    it = iter_new(run, ITER_ALL, "all");
    it->args = args;
    it->arg_count = count;
    it->exact = true;
    for (size_t i = 0; i < count; i++)
        it->exact = it->exact && args[i]->exact;
    return it;
}

struct iter *iter_but(struct run *run, struct iter *it, struct iter *without)
{
    struct iter *ret = iter_new(run, ITER_BUT, "without");

    ret->args = andiron_alloc(run->arena, 2 * sizeof(ret->args[0]));
    ret->args[ret->arg_count++] = it;
    ret->args[ret->arg_count++] = without;
    ret->exact = it->exact && without->exact;
    return ret;
}

struct iter *iter_array(struct run *run, int64_t *keys, size_t count, const char *name)
{
    struct iter *it = iter_new(run, ITER_ARRAY, name);
    size_t out = 0;

    if (count > 1)
        qsort(keys, count, sizeof(keys[0]), compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (out == 0 || keys[out - 1] != keys[i])
            keys[out++] = keys[i];
    }
    it->keys = keys;
    it->key_count = out;
    it->exact = true;
    return it;
}

static int64_t count_list(struct run *run, const struct list *list, int64_t max)
{
    sqlite3_stmt *s = db_statement(run->db, list->count);
    int64_t ret = -1;

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, list->p);
    sqlite3_bind_int64(s, 2, list->key);
    sqlite3_bind_int64(s, 3, max);
    int found = db_step(run->db, s);
    if (found < 0)
        return run_fail(run);
    ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return ret;
}

int64_t iter_count(struct run *run, const struct iter *it, int64_t max)
{
    if (it->kind == ITER_ARRAY)
        return (int64_t)it->key_count < max ? (int64_t)it->key_count : max;
    if (it->kind != ITER_LISTS || it->list_count != 1)
        return -1;
    return count_list(run, &it->lists[0], max);
}

/*
 * Whether a list is surely long, and that it is: to count up to a limit takes as long as a page. Lists
 * seldom become short, and if one does, only a worse way is taken for a while.
 */
static uint64_t *long_slot(struct run *run, const struct list *list, uint64_t *ret_mark)
{
    uint64_t mark = ((uint64_t)list->key ^ (uint64_t)list->p << 40) * 0x9e3779b97f4a7c15u;
    struct db *db = run->db;

    *ret_mark = mark | 1;
    if (db->longs == NULL)
        db->longs = calloc(LONGS + 1, sizeof(db->longs[0]));
    if (db->longs == NULL)
        return NULL;
    if (++db->longs[LONGS] > LONGS_USES)
        memset(db->longs, 0, (LONGS + 1) * sizeof(db->longs[0]));
    return &db->longs[mark >> 55];
}

static bool is_long(struct run *run, const struct list *list)
{
    uint64_t mark, *slot = long_slot(run, list, &mark);

    return slot != NULL && *slot == mark;
}

static void note_long(struct run *run, const struct list *list)
{
    uint64_t mark, *slot = long_slot(run, list, &mark);

    if (slot != NULL)
        *slot = mark;
}

/* Entries of all its lists; -1: they are not few. */
static int64_t count_lists(struct run *run, const struct iter *it)
{
    int64_t sum = 0, max = run->store->config->short_list;

    if (it->list_count > PROBES_MAX)
        return -1;
    for (size_t i = 0; i < it->list_count; i++) {
        if (is_long(run, &it->lists[i]))
            return -1;
    }
    for (size_t i = 0; i < it->list_count && sum <= max; i++) {
        int64_t n = count_list(run, &it->lists[i], max + 1);
        if (n < 0)
            return -1;
        if (n > max)
            note_long(run, &it->lists[i]);
        sum += n;
    }
    (void)run_spend(run, sum / 16 + 1);
    return sum <= max ? sum : -1;
}

/* The shortest of those that are joined. */
static int64_t shortest(struct run *run, struct iter *it)
{
    int64_t least = -1;

    for (size_t i = 0; i < it->arg_count; i++) {
        int64_t n = iter_short(run, it->args[i]);
        if (n >= 0 && (least < 0 || n < least))
            least = n;
    }
    return least;
}

int64_t iter_short(struct run *run, struct iter *it)
{
    if (it->is_counted)
        return it->counted;
    switch (it->kind) {
    case ITER_ARRAY:
        it->counted = (int64_t)it->key_count;
        if (it->counted > run->store->config->short_list)
            it->counted = -1;
        break;
    case ITER_ALL:
        it->counted = shortest(run, it);
        break;
    case ITER_BUT:
        it->counted = iter_short(run, it->args[0]);
        break;
    case ITER_LISTS:
        it->counted = count_lists(run, it);
        break;
    default:
        it->counted = -1;
        break;
    }
    it->is_counted = !run->failed;
    return it->counted;
}

bool iter_may_be_few(struct run *run, const struct iter *it, int64_t max)
{
    while (it->kind == ITER_BUT) /* as a rule, little is left out */
        it = it->args[0];
    int64_t n = iter_count(run, it, max + 1);

    return n <= max && !run->failed; /* -1: not known */
}

/* ---- explaining -------------------------------------------------------------------------- */

enum { EXPLAIN_ARGS = 16 };

/* Entries of its lists, counted up to what counts as short. */
static const char *explain_lists(struct run *run, const struct iter *it)
{
    int64_t sum = 0, max = run->store->config->short_list + 1;

    for (size_t i = 0; i < it->list_count && i < EXPLAIN_ARGS && sum < max; i++) {
        int64_t n = count_list(run, &it->lists[i], max);
        if (n > 0)
            sum += n;
    }
    return andiron_printf(run->arena, "{\"driver\":\"%s\",\"lists\":%zu,\"entries\":\"%s%lld\"}",
                          it->name, it->list_count,
                          sum >= max || it->list_count > EXPLAIN_ARGS ? "at least " : "",
                          (long long)sum);
}

const char *iter_explain(struct run *run, const struct iter *it)
{
    const char *of = "";

    if (it->kind == ITER_LISTS)
        return explain_lists(run, it);
    if (it->kind == ITER_ARRAY)
        return andiron_printf(run->arena, "{\"driver\":\"%s\",\"entries\":\"%zu\"}", it->name,
                              it->key_count);
    for (size_t i = 0; i < it->arg_count && i < EXPLAIN_ARGS; i++)
        of = andiron_printf(run->arena, "%s%s%s", of, i > 0 ? "," : "",
                            iter_explain(run, it->args[i]));
    return andiron_printf(run->arena, "{\"driver\":\"%s\",\"of\":[%s]}", it->name, of);
}

/* ---- merging ----------------------------------------------------------------------------- */

/* One list iterator out of several of one kind, so that they share their batches. */
static struct iter *merge_lists(struct run *run, struct iter **args, size_t count)
{
    struct iter *it;
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        if (args[i]->kind != ITER_LISTS)
            return NULL;
        total += args[i]->list_count;
    }
    it = iter_lists(run, total, args[0]->name);
    for (size_t i = 0; i < count; i++) {
        memcpy(&it->lists[it->list_count], args[i]->lists,
               args[i]->list_count * sizeof(it->lists[0]));
        it->list_count += args[i]->list_count;
        it->exact = it->exact && args[i]->exact;
    }
    return it;
}

static struct iter *merge_arrays(struct run *run, struct iter **args, size_t count)
{
    struct iter *it;
    int64_t *keys;
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        if (args[i]->kind != ITER_ARRAY)
            return NULL;
        total += args[i]->key_count;
    }
    keys = andiron_alloc(run->arena, (total + 1) * sizeof(keys[0]));
    total = 0;
    for (size_t i = 0; i < count; i++) {
        if (args[i]->key_count != 0)
            memcpy(keys + total, args[i]->keys, args[i]->key_count * sizeof(keys[0]));
        total += args[i]->key_count;
    }
    it = iter_array(run, keys, total, args[0]->name);
    for (size_t i = 0; i < count; i++)
        it->exact = it->exact && args[i]->exact;
    return it;
}

struct iter *iter_merge(struct run *run, struct iter **args, size_t count)
{
    struct iter *it = merge_lists(run, args, count);

    if (it == NULL)
        it = merge_arrays(run, args, count);
    return it != NULL ? it : iter_any(run, args, count);
}
