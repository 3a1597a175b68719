/*
 * Iterators; see iter.h. Statements are run for a batch at a time and reset at once, so that
 * any number of lists shares one statement and nothing is left open.
 */
#include "iter.h"

#include <stdlib.h>

#include "filter.h"
#include "rows.h"

enum {
    BATCH_FIRST = 4,
    BATCH_MAX = 1024,
    RANGE_MAX = 10000,  /* entries of a range that are gathered and sorted */
    TARGETS_MAX = 1000, /* targets of a chain, or referring resources, that are gathered */
    GATHER_WORK = 20000 /* rows that gathering may look at */
};

/* One index list: a statement and its key. */
struct list {
    int down, up, count; /* statements */
    int64_t p, key;
};

struct iter {
    enum { ITER_LISTS, ITER_ARRAY, ITER_ALL, ITER_ANY } kind;
    bool exact;
    const char *name;

    /* LISTS: entries of all lists in [from, to], sorted; nothing is known outside */
    struct list *lists;
    size_t list_count;
    int64_t *window;
    size_t filled, room, batch;
    int64_t from, to;

    /* ARRAY: keys, sorted */
    int64_t *keys;
    size_t key_count;

    /* ALL, ANY; heads: what an argument gave for a key >= asked[i] */
    struct iter **args;
    size_t arg_count;
    int64_t *heads, *asked;
};

static struct iter *iter_new(struct run *run, int kind, const char *name)
{
    struct iter *it = andiron_new(run->arena, struct iter);

    it->kind = kind;
    it->name = name;
    it->from = 1;
    it->to = 0;
    it->batch = BATCH_FIRST;
    return it;
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

/* Reads up to batch entries from key on behind filled; *ret_last: the last one, if cut off. */
static int read_list(struct run *run, struct iter *it, const struct list *list, int64_t key,
                     int64_t *ret_last)
{
    sqlite3_stmt *s = db_statement(run->db, run->ascending ? list->up : list->down);
    size_t got = 0;
    int more = 0;

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, list->p);
    sqlite3_bind_int64(s, 2, list->key);
    sqlite3_bind_int64(s, 3, iter_vid(run, key));
    sqlite3_bind_int64(s, 4, (int64_t)it->batch);
    while (got < it->batch && (more = db_step(run->db, s)) == 1) {
        it->window[it->filled++] = iter_key(run, sqlite3_column_int64(s, 0));
        got++;
    }
    if (got == it->batch)
        sqlite3_reset(s);
    if (more < 0)
        return run_fail(run);
    *ret_last = got == it->batch ? it->window[it->filled - 1] : ITER_END - 1;
    (void)run_spend(run, (int64_t)(got / 8) + 1);
    return 0;
}

static void sort_window(struct iter *it)
{
    size_t out = 0;

    qsort(it->window, it->filled, sizeof(it->window[0]), compare_keys);
    for (size_t i = 0; i < it->filled && it->window[i] <= it->to; i++) {
        if (out == 0 || it->window[out - 1] != it->window[i])
            it->window[out++] = it->window[i];
    }
    it->filled = out;
}

/* Makes the window begin at key. */
static int refill(struct run *run, struct iter *it, int64_t key)
{
    bool follows = it->to >= it->from && key == it->to + 1;

    if (follows && it->batch < BATCH_MAX)
        it->batch *= 2;
    else if (!follows && it->batch > BATCH_FIRST)
        it->batch /= 2;
    if (it->room < it->batch * it->list_count) {
        it->room = it->batch * it->list_count;
        it->window = andiron_alloc(run->arena, it->room * sizeof(it->window[0]));
    }
    it->filled = 0;
    it->from = key;
    it->to = ITER_END - 1;
    for (size_t i = 0; i < it->list_count; i++) {
        int64_t last = key;
        if (read_list(run, it, &it->lists[i], key, &last) != 0)
            return -1;
        /* A list that was cut off may have more entries right behind: all ends there. */
        if (last < it->to)
            it->to = last;
    }
    if (it->list_count > 1)
        sort_window(it);
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

static int64_t seek_lists(struct run *run, struct iter *it, int64_t key)
{
    for (;;) {
        if (key >= it->from && key <= it->to) {
            size_t i = lower_bound(it->window, it->filled, key);
            if (i < it->filled)
                return it->window[i];
            if (it->to >= ITER_END - 1)
                return ITER_END;
            key = it->to + 1;
        }
        if (refill(run, it, key) != 0 || run->stopped)
            return key;
    }
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
    }
    return ITER_END;
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
    default:
        return iter_seek(run, it, key) == key;
    }
}

/* ---- making them ------------------------------------------------------------------------ */

static struct iter *lists_new(struct run *run, size_t count, const char *name)
{
    struct iter *it = iter_new(run, ITER_LISTS, name);

    it->lists = andiron_alloc(run->arena, count * sizeof(it->lists[0]));
    it->exact = true;
    return it;
}

static void add_token(struct iter *it, int64_t p, int64_t hash)
{
    it->lists[it->list_count++] =
        (struct list){ DB_POSTING_TOKEN_DOWN, DB_POSTING_TOKEN_UP, DB_COUNT_TOKEN, p, hash };
}

static void add_ref(struct iter *it, int64_t p, int64_t rid)
{
    it->lists[it->list_count++] =
        (struct list){ DB_POSTING_REF_DOWN, DB_POSTING_REF_UP, DB_COUNT_REF, p, rid };
}

struct iter *iter_of_type(struct run *run, int64_t type, bool exact)
{
    struct iter *it = lists_new(run, 1, "type");

    it->exact = exact;
    it->lists[it->list_count++] =
        (struct list){ DB_POSTING_TYPE_DOWN, DB_POSTING_TYPE_UP, DB_COUNT_TYPE, type, 0 };
    return it;
}

struct iter *iter_of_references(struct run *run, int64_t p)
{
    struct iter *it = lists_new(run, 1, "reference");

    add_ref(it, p, 0);
    return it;
}

void iter_set_target(struct iter *it, int64_t rid)
{
    it->lists[0].key = rid;
    it->from = 1;
    it->to = 0;
    it->batch = BATCH_FIRST;
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

static struct iter *iter_all(struct run *run, struct iter **args, size_t count)
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

static struct iter *array_of(struct run *run, int64_t *keys, size_t count, const char *name)
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

bool iter_is_short(struct run *run, const struct iter *it)
{
    int64_t sum = 0, max = run->store->config->short_list;

    if (it->kind == ITER_ARRAY)
        return (int64_t)it->key_count <= max;
    if (it->kind == ITER_ALL) {
        for (size_t i = 0; i < it->arg_count; i++) {
            if (iter_is_short(run, it->args[i]))
                return true;
        }
        return false;
    }
    if (it->kind != ITER_LISTS || it->list_count > 16)
        return false;
    for (size_t i = 0; i < it->list_count && sum <= max; i++) {
        int64_t n = count_list(run, &it->lists[i], max + 1);
        if (n < 0)
            return false;
        sum += n;
    }
    (void)run_spend(run, sum / 16 + 1);
    return sum <= max;
}

/* ---- lists of conditions -------------------------------------------------------------------- */

static struct iter *of_token(struct run *run, const struct node *n)
{
    const struct hash_key *key = &run->store->key;
    andiron_str wide = { (const char *)n->wide.bytes, sizeof(n->wide.bytes) };
    struct iter *it = lists_new(run, 1, "token");
    uint32_t part = n->term->part;

    if (n->kind == KEYS_OF_TYPE)
        add_token(it, n->p, rows_hash_of_type(key, wide));
    else if (n->no_system)
        add_token(it, n->p, rows_hash_unsystemed(key, part, n->text));
    else if (n->any_system)
        add_token(it, n->p, rows_hash_code(key, part, n->text));
    else
        add_token(it, n->p, rows_hash_coded(key, part, n->hash, n->text));
    return it;
}

static struct iter *of_references(struct run *run, const struct node *n)
{
    struct iter *it = lists_new(run, n->rid_count, "reference");

    for (size_t i = 0; i < n->rid_count; i++)
        add_ref(it, n->p, n->rids[i]);
    return it;
}

/* A URI that is q or above it: q, and q cut at each '/'. */
static struct iter *of_above(struct run *run, const struct node *n)
{
    size_t count = 2;
    struct iter *it;

    for (size_t i = 0; i < n->text.len; i++)
        count += n->text.data[i] == '/' ? 2 : 0;
    if (count > 128)
        return NULL;
    it = lists_new(run, count, "uri");
    add_token(it, n->p, rows_hash_uri(&run->store->key, n->term->part, n->text));
    for (size_t i = 1; i < n->text.len; i++) {
        andiron_str above = { n->text.data, i };
        if (n->text.data[i] == '/')
            add_token(it, n->p, rows_hash_uri(&run->store->key, n->term->part, above));
        if (n->text.data[i - 1] == '/')
            add_token(it, n->p, rows_hash_uri(&run->store->key, n->term->part, above));
    }
    return it;
}

/* Cheap ones: the entries of the index that the condition names. */
static struct iter *of_term(struct run *run, const struct node *n)
{
    struct iter *it;
    bool equal = n->compare != ANDIRON_CMP_NE && n->compare != ANDIRON_CMP_STARTS &&
                 n->compare != ANDIRON_CMP_CONTAINS && n->compare != ANDIRON_CMP_SYSTEM;

    if (n->kind == KEYS_URI && n->compare == ANDIRON_CMP_ABOVE)
        return of_above(run, n);
    if (!equal || (n->term->group != 0 && n->kind != KEYS_TOKEN && n->kind != KEYS_URI))
        return NULL;
    switch (n->kind) {
    case KEYS_TOKEN:
    case KEYS_OF_TYPE:
        return of_token(run, n);
    case KEYS_REFERENCE:
        return n->term->part == 0 ? of_references(run, n) : NULL;
    case KEYS_URL:
    case KEYS_URI:
        if (n->compare == ANDIRON_CMP_BELOW || n->compare == ANDIRON_CMP_ABOVE)
            return NULL;
        if (n->kind == KEYS_URL && n->term->part != 0)
            return NULL;
        it = lists_new(run, 1, "uri");
        add_token(it, n->p,
                  n->kind == KEYS_URI ? rows_hash_uri(&run->store->key, n->term->part, n->text)
                                      : rows_hash_url(&run->store->key, n->text));
        return it;
    default:
        return NULL;
    }
}

static struct iter *of_id(struct run *run, const struct node *n)
{
    sqlite3_stmt *s;
    int64_t *keys = andiron_alloc(run->arena, sizeof(*keys));
    size_t count = 0;

    if (n->compare == ANDIRON_CMP_NE)
        return NULL;
    s = db_statement(run->db, DB_BY_ID);
    if (s == NULL) {
        run_fail(run);
        return NULL;
    }
    sqlite3_bind_int64(s, 1, n->type);
    db_bind_str(s, 2, n->text);
    int found = db_step(run->db, s);
    if (found < 0) {
        run_fail(run);
        return NULL;
    }
    if (found == 1) {
        keys[count++] = iter_key(run, sqlite3_column_int64(s, 0));
        sqlite3_reset(s);
    }
    return array_of(run, keys, count, "id");
}

/* ---- gathered ones ----------------------------------------------------------------------------- */

/* Keys that are being gathered, up to a maximum. */
struct gather {
    int64_t *keys;
    size_t count, max;
    bool overflow;
};

static struct gather gather_new(struct run *run, size_t max)
{
    return (struct gather){ .keys = andiron_alloc(run->arena, max * sizeof(int64_t)), .max = max };
}

static void gather_add(struct gather *g, int64_t key)
{
    if (g->count < g->max)
        g->keys[g->count++] = key;
    else
        g->overflow = true;
}

/* Bounds of lo within which every date of a class lies that compares so. */
static void date_bounds(const struct node *n, int64_t class, int64_t *ret_from, int64_t *ret_to)
{
    andiron_usec low = n->term->range.date.low, high = n->term->range.date.high;
    int64_t from = INT64_MIN, to = INT64_MAX;
    int64_t reach = class == 0 ? ROWS_DAY : INT64_MAX; /* how far before its end a date begins */

    switch (n->compare) {
    case ANDIRON_CMP_EQ:
        from = low;
        to = high;
        break;
    case ANDIRON_CMP_AP:
        to = high;
        from = class == 0 && low > INT64_MIN + reach ? low - reach : INT64_MIN;
        break;
    case ANDIRON_CMP_GE:
        from = class == 0 && high > INT64_MIN + reach ? high - reach : INT64_MIN;
        if (low < from)
            from = low;
        break;
    case ANDIRON_CMP_GT:
        from = class == 0 && high > INT64_MIN + reach ? high - reach : INT64_MIN;
        break;
    case ANDIRON_CMP_LT:
    case ANDIRON_CMP_EB:
        to = low;
        break;
    case ANDIRON_CMP_LE:
        to = low > high ? low : high;
        break;
    case ANDIRON_CMP_SA:
        from = high;
        break;
    default:
        break;
    }
    *ret_from = from;
    *ret_to = to;
}

static int gather_rows(struct run *run, sqlite3_stmt *s, const struct node *n, struct gather *g)
{
    const struct andiron_term *t = n->term;
    bool date = n->kind == KEYS_DATE, string = n->kind == KEYS_STRING;
    int64_t rows = 0;
    int more;

    while ((more = db_step(run->db, s)) == 1) {
        bool matches = true;
        rows++;
        if (date)
            matches = filter_compares_date(n->compare, sqlite3_column_int64(s, 0),
                                           sqlite3_column_int64(s, 1), t->range.date.low,
                                           t->range.date.high);
        else if (!string)
            matches = filter_compares_number(n->compare, sqlite3_column_double(s, 0),
                                             sqlite3_column_double(s, 1), t->range.number.low,
                                             t->range.number.high);
        if (matches)
            gather_add(g, iter_key(run, sqlite3_column_int64(s, string ? 0 : 2)));
    }
    if (more < 0)
        return run_fail(run);
    (void)run_spend(run, rows / 8);
    if (rows > (int64_t)g->max)
        g->overflow = true;
    return 0;
}

static int gather_dates(struct run *run, const struct node *n, struct gather *g)
{
    for (int64_t class = 0; class < 2 && !g->overflow; class ++) {
        sqlite3_stmt *s = db_statement(run->db, DB_RANGE_DATE);
        int64_t from, to;
        if (s == NULL)
            return run_fail(run);
        date_bounds(n, class, &from, &to);
        sqlite3_bind_int64(s, 1, n->p);
        sqlite3_bind_int64(s, 2, class);
        sqlite3_bind_int64(s, 3, from);
        sqlite3_bind_int64(s, 4, to);
        sqlite3_bind_int64(s, 5, (int64_t)g->max + 1);
        if (gather_rows(run, s, n, g) != 0)
            return -1;
    }
    return 0;
}

static int gather_numbers(struct run *run, const struct node *n, struct gather *g)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RANGE_NUMBER);
    double low = n->term->range.number.low, high = n->term->range.number.high;
    double from = -1.0 / 0.0, to = 1.0 / 0.0;

    if (s == NULL)
        return run_fail(run);
    /* Only the lower end is in the index order; ranges may begin far below. */
    if (n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_SA)
        from = n->compare == ANDIRON_CMP_EQ ? low : high;
    if (n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_AP)
        to = high;
    if (n->compare == ANDIRON_CMP_LT || n->compare == ANDIRON_CMP_EB)
        to = low;
    if (n->compare == ANDIRON_CMP_LE)
        to = high > low ? high : low;
    sqlite3_bind_int64(s, 1, n->p);
    sqlite3_bind_int64(s, 2, (int64_t)n->hash);
    sqlite3_bind_double(s, 3, from);
    sqlite3_bind_double(s, 4, to);
    sqlite3_bind_int64(s, 5, (int64_t)g->max + 1);
    return gather_rows(run, s, n, g);
}

static int gather_strings(struct run *run, const struct node *n, struct gather *g)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RANGE_STRING);
    andiron_str prefix = rows_string(n->text);
    char *end;
    size_t len = prefix.len;

    if (s == NULL)
        return run_fail(run);
    /* The first string behind all with this prefix: its last byte below 0xff, plus one. */
    end = andiron_copy(run->arena, prefix);
    while (len > 0 && (uint8_t)end[len - 1] == 0xff)
        len--;
    if (len > 0)
        end[len - 1] = (char)((uint8_t)end[len - 1] + 1);
    sqlite3_bind_int64(s, 1, n->p);
    db_bind_str(s, 2, prefix);
    if (len > 0)
        db_bind_str(s, 3, (andiron_str){ end, len });
    else
        sqlite3_bind_null(s, 3);
    sqlite3_bind_int64(s, 4, (int64_t)g->max + 1);
    return gather_rows(run, s, n, g);
}

/*
 * Ranges of dates, numbers and strings, if they are short; beside another iterator, or an
 * index in sort order, only if they are so short as to be the better driver.
 */
static struct iter *of_range(struct run *run, const struct node *n, bool beside)
{
    struct gather g;
    struct iter *it;
    bool text = n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_STARTS ||
                n->compare == ANDIRON_CMP_EXACT;
    int rc = -1;

    if (n->term->part != 0 || n->compare == ANDIRON_CMP_NE)
        return NULL;
    if (n->kind == KEYS_STRING && (!text || n->text.len == 0))
        return NULL;
    if (n->kind != KEYS_DATE && n->kind != KEYS_NUMBER && n->kind != KEYS_QUANTITY &&
        n->kind != KEYS_STRING)
        return NULL;
    g = gather_new(run, beside ? (size_t)run->store->config->short_list : RANGE_MAX);
    if (n->kind == KEYS_DATE)
        rc = gather_dates(run, n, &g);
    else if (n->kind == KEYS_STRING)
        rc = gather_strings(run, n, &g);
    else
        rc = gather_numbers(run, n, &g);
    if (rc != 0 || g.overflow)
        return NULL;
    it = array_of(run, g.keys, g.count,
                  n->kind == KEYS_DATE     ? "date range"
                  : n->kind == KEYS_STRING ? "string range"
                                           : "number range");
    it->exact = n->kind != KEYS_STRING; /* strings are cut in the index */
    return it;
}

/*
 * Current versions that satisfy a filter of another type, if they are few; for chains and
 * _has. NULL: too many, or too much work.
 */
static struct gather *gather_matches(struct run *run, struct node *filter)
{
    struct gather *g = andiron_new(run->arena, struct gather);
    struct iter *it = iter_of_filter(run, filter);
    int64_t key = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);
    int64_t end_work = run->work + GATHER_WORK;

    if (run->failed || run->stopped || it == NULL)
        return NULL; /* everything of the type is a candidate: judge from this side instead */
    *g = gather_new(run, TARGETS_MAX);
    for (;;) {
        struct candidate c;
        key = iter_seek(run, it, key);
        if (run->failed || run->stopped || run->work > end_work)
            return NULL;
        if (key == ITER_END)
            return g;
        (void)run_spend(run, 1);
        int found = candidate_load(run, iter_vid(run, key), &c);
        if (found < 0)
            return NULL;
        if (found == 1) {
            /* Vids of this moment; what they belong to is looked up by the caller. */
            if (filter_matches(run, filter, &c, true))
                gather_add(g, key);
            candidate_end(run, &c);
        }
        if (g->overflow || run->failed)
            return NULL;
        key++;
    }
}

static int rid_of(struct run *run, int64_t vid, int64_t *ret)
{
    struct candidate c;
    int found = candidate_load(run, vid, &c);

    *ret = 0;
    if (found == 1) {
        *ret = c.rid;
        candidate_end(run, &c);
    }
    return found < 0 ? -1 : 0;
}

static struct iter *of_chain(struct run *run, struct node *n)
{
    struct gather *g = gather_matches(run, n->args[0]);
    struct iter *it;

    if (g == NULL)
        return NULL;
    it = lists_new(run, g->count + 1, "chain");
    for (size_t i = 0; i < g->count; i++) {
        int64_t rid;
        if (rid_of(run, iter_vid(run, g->keys[i]), &rid) != 0)
            return NULL;
        if (rid != 0)
            add_ref(it, n->p, rid);
    }
    if (it->list_count == 0)
        return array_of(run, NULL, 0, "chain");
    return it;
}

/* Resources of n->type that the version refers to by n->p. */
static int gather_referred(struct run *run, const struct node *n, int64_t vid, struct gather *g)
{
    sqlite3_stmt *s = db_statement(run->db, DB_REFERS);
    int more;

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, vid);
    sqlite3_bind_int64(s, 2, n->p);
    while ((more = db_step(run->db, s)) == 1) {
        int64_t type, current;
        if (resource_current(run, sqlite3_column_int64(s, 0), &type, &current, NULL) != 0) {
            sqlite3_reset(s);
            return -1;
        }
        if (current != 0 && type == n->type)
            gather_add(g, iter_key(run, current));
    }
    return more < 0 ? run_fail(run) : 0;
}

static struct iter *of_has(struct run *run, struct node *n)
{
    struct gather *sources = gather_matches(run, n->args[0]);
    struct gather g;

    if (sources == NULL)
        return NULL;
    g = gather_new(run, RANGE_MAX);
    for (size_t i = 0; i < sources->count; i++) {
        if (gather_referred(run, n, iter_vid(run, sources->keys[i]), &g) != 0)
            return NULL;
    }
    return g.overflow ? NULL : array_of(run, g.keys, g.count, "has");
}

/* ---- trees --------------------------------------------------------------------------------------- */

/* What the index lists directly. */
static struct iter *cheap(struct run *run, struct node *n);
/* What must be gathered first. */
static struct iter *costly(struct run *run, struct node *n, bool beside);

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
    it = lists_new(run, total, args[0]->name);
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
    it = array_of(run, keys, total, args[0]->name);
    for (size_t i = 0; i < count; i++)
        it->exact = it->exact && args[i]->exact;
    return it;
}

/* Every alternative needs an iterator of its own; costly ones only if allowed. */
static struct iter *of_or(struct run *run, struct node *n, bool allow_costly)
{
    struct iter **args = andiron_alloc(run->arena, n->arg_count * sizeof(args[0]));
    struct iter *it;

    for (size_t i = 0; i < n->arg_count; i++) {
        args[i] = cheap(run, n->args[i]);
        if (args[i] == NULL && allow_costly && !run->failed)
            args[i] = costly(run, n->args[i], false);
        if (args[i] == NULL)
            return NULL;
    }
    it = merge_lists(run, args, n->arg_count);
    if (it == NULL)
        it = merge_arrays(run, args, n->arg_count);
    return it != NULL ? it : iter_any(run, args, n->arg_count);
}

/* Whether gathering could make an iterator where the index has no list. */
static bool can_gather(const struct node *n)
{
    switch (n->op) {
    case NODE_TERM:
        return n->kind == KEYS_DATE || n->kind == KEYS_NUMBER || n->kind == KEYS_QUANTITY ||
               n->kind == KEYS_STRING;
    case NODE_CHAIN:
    case NODE_HAS:
    case NODE_AND:
    case NODE_OR:
        return true;
    default:
        return false;
    }
}

/*
 * Several conditions: those that the index lists, joined; if none of these is short, those
 * that can be gathered as well.
 */
static struct iter *of_and(struct run *run, struct node *n, bool allow_costly)
{
    struct iter **args = andiron_alloc(run->arena, n->arg_count * sizeof(args[0]));
    size_t listed, count = 0;
    bool driven = false, gathers = false, exact = true;
    struct iter *it;

    for (size_t i = 0; i < n->arg_count; i++) {
        it = cheap(run, n->args[i]);
        n->args[i]->listed = it != NULL;
        if (it == NULL) {
            gathers |= can_gather(n->args[i]);
            exact = false;
            continue;
        }
        args[count++] = it;
        n->args[i]->settled = it->exact && n->args[i]->op != NODE_TERM;
    }
    listed = count;
    for (size_t i = 0; i < listed && gathers && allow_costly && !driven; i++)
        driven = iter_is_short(run, args[i]);
    for (size_t i = 0; i < n->arg_count && gathers && allow_costly && !driven; i++) {
        if (n->args[i]->listed)
            continue;
        it = costly(run, n->args[i], count != 0);
        if (run->failed || run->stopped)
            return NULL;
        if (it == NULL)
            continue;
        args[count++] = it;
        n->args[i]->settled = it->exact;
        driven = iter_is_short(run, it);
    }
    if (count == 0)
        return NULL;
    it = iter_all(run, args, count);
    if (!exact && count < n->arg_count)
        it->exact = false; /* a single one is its own: it serves this conjunction only */
    return it;
}

static struct iter *cheap(struct run *run, struct node *n)
{
    if (run->failed)
        return NULL;
    switch (n->op) {
    case NODE_FALSE:
        return array_of(run, NULL, 0, "nothing");
    case NODE_TERM:
        return of_term(run, n);
    case NODE_ID:
        return of_id(run, n);
    case NODE_OR:
        return of_or(run, n, false);
    case NODE_AND:
        return of_and(run, n, false);
    case NODE_TOGETHER: {
        struct iter *it = of_and(run, n, false);
        if (it != NULL)
            it->exact = false; /* says nothing of groups */
        return it;
    }
    default:
        return NULL;
    }
}

static struct iter *costly(struct run *run, struct node *n, bool beside)
{
    if (run->failed || run->stopped)
        return NULL;
    switch (n->op) {
    case NODE_TERM:
        return of_range(run, n, beside || run->sort_count != 0);
    case NODE_CHAIN:
        return of_chain(run, n);
    case NODE_HAS:
        return of_has(run, n);
    case NODE_OR:
        return of_or(run, n, true);
    case NODE_AND:
        return of_and(run, n, true);
    default:
        return NULL;
    }
}

struct iter *iter_of_filter(struct run *run, struct node *n)
{
    if (n->op == NODE_AND)
        return of_and(run, n, true);
    struct iter *it = cheap(run, n);
    if (it == NULL)
        it = costly(run, n, false);
    if (it != NULL)
        n->settled = it->exact && n->op != NODE_TERM && n->op != NODE_OR;
    return it;
}
