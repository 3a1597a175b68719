/*
 * Choosing where candidates come from; see source.h.
 *
 * A list of the index that is short drives whatever stands beside it. Where all are long, or there
 * are none, what satisfies a chain, _has or a range is gathered if it is few (gather.c).
 */
#include "source.h"

#include <stdlib.h>

#include "common/store/rows.h"
#include "gather.h"

static struct source *source_new(struct run *run, const struct node *n, const char *name)
{
    struct source *s = andiron_new(run->arena, struct source);

    s->name = name;
    s->type = n->type;
    s->entries = -1;
    return s;
}

static struct source *of_lists(struct run *run, const struct node *n, size_t count,
                               const char *name)
{
    struct source *s = source_new(run, n, name);

    s->kind = SOURCE_LISTS;
    s->by = n;
    s->exact = true;
    s->lists = andiron_alloc(run->arena, (count + 1) * sizeof(s->lists[0]));
    return s;
}

static int compare_numbers(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

struct source *source_of_vids(struct run *run, const struct node *n, int64_t *vids, size_t count,
                              const char *name)
{
    struct source *s = source_new(run, n, name);
    size_t out = 0;

    if (count > 1)
        qsort(vids, count, sizeof(vids[0]), compare_numbers);
    for (size_t i = 0; i < count; i++) {
        if (out == 0 || vids[out - 1] != vids[i])
            vids[out++] = vids[i];
    }
    s->kind = SOURCE_ARRAY;
    s->by = n;
    s->exact = true;
    s->vids = vids;
    s->vid_count = out;
    s->entries = (int64_t)out;
    return s;
}

struct source *source_of_references(struct run *run, const struct node *n, const int64_t *rids,
                                    size_t count, const char *name)
{
    struct source *s = of_lists(run, n, count, name);

    for (size_t i = 0; i < count; i++)
        s->lists[s->list_count++] = (struct list_key){ .is_ref = true, .p = n->p, .key = rids[i] };
    if (count == 0)
        s->entries = 0;
    return s;
}

static struct source *of_type(struct run *run, const struct node *n)
{
    struct source *s = source_new(run, n, "type");

    s->kind = SOURCE_TYPE;
    s->exact = n->op == NODE_TRUE;
    return s;
}

/* ---- what the index lists directly ---------------------------------------------------------- */

/* A URI that is q or above it: q, and q cut at each '/'. */
static struct source *of_above(struct run *run, const struct node *n)
{
    size_t count = 2;

    for (size_t i = 0; i < n->text.len; i++)
        count += n->text.data[i] == '/' ? 2 : 0;
    if (count > 128)
        return NULL;
    struct source *s = of_lists(run, n, count, "uri");
    struct list_key key = { .p = n->p };
    for (size_t i = 1; i <= n->text.len; i++) {
        andiron_str above = { n->text.data, i };
        if (i < n->text.len && n->text.data[i] != '/' && n->text.data[i - 1] != '/')
            continue;
        key.key = rows_hash_uri(&run->store->key, n->term->part, above);
        s->lists[s->list_count++] = key;
    }
    s->exact = false;
    return s;
}

static struct source *of_term(struct run *run, const struct node *n)
{
    struct list_key key;

    if (n->kind == KEYS_URI && n->compare == ANDIRON_CMP_ABOVE)
        return of_above(run, n);
    if (n->kind == KEYS_REFERENCE && n->compare == ANDIRON_CMP_EQ && n->term->part == 0)
        return source_of_references(run, n, n->rids, n->rid_count, "reference");
    if (n->kind == KEYS_STRING || n->kind == KEYS_DATE || n->kind == KEYS_NUMBER ||
        n->kind == KEYS_QUANTITY || !source_list_of(run, n, &key))
        return NULL;
    struct source *s =
        of_lists(run, n, 1, n->kind == KEYS_URI || n->kind == KEYS_URL ? "uri" : "token");
    s->lists[s->list_count++] = key;
    return s;
}

static int of_id(struct run *run, struct node *n, struct source **ret)
{
    struct known_id *id;
    int64_t *vid;

    if (n->compare == ANDIRON_CMP_NE)
        return 0;
    id = known_id(run, n->type, n->text);
    if (id == NULL)
        return RUN_WAIT;
    vid = andiron_alloc(run->arena, sizeof(*vid));
    *vid = id->vid;
    *ret = source_of_vids(run, n, vid, id->vid != 0 ? 1 : 0, "id");
    return 0;
}

static int cheap(struct run *run, struct node *n, struct source **ret);
static int costly(struct run *run, struct node *n, const struct node *all, bool beside,
                  struct source **ret);

/* Sources of one kind as one; NULL: they are of several. */
static struct source *merge(struct run *run, struct node *n, struct source **args)
{
    size_t lists = 0, vids = 0;
    bool exact = true;

    for (size_t i = 0; i < n->arg_count; i++) {
        lists += args[i]->list_count;
        vids += args[i]->vid_count;
        exact = exact && args[i]->exact;
    }
    if (lists != 0 && vids != 0)
        return NULL;
    struct source *s;
    if (lists != 0) {
        s = of_lists(run, n, lists, args[0]->name);
        for (size_t i = 0; i < n->arg_count; i++) {
            if (args[i]->list_count != 0)
                memcpy(s->lists + s->list_count, args[i]->lists,
                       args[i]->list_count * sizeof(s->lists[0]));
            s->list_count += args[i]->list_count;
        }
    } else {
        int64_t *all = andiron_alloc(run->arena, (vids + 1) * sizeof(all[0]));
        vids = 0;
        for (size_t i = 0; i < n->arg_count; i++) {
            if (args[i]->vid_count != 0)
                memcpy(all + vids, args[i]->vids, args[i]->vid_count * sizeof(all[0]));
            vids += args[i]->vid_count;
        }
        s = source_of_vids(run, n, all, vids, args[0]->name);
    }
    s->exact = exact;
    return s;
}

/* Every alternative needs a source of its own. */
static int of_or(struct run *run, struct node *n, bool allow_costly, struct source **ret)
{
    struct source **args = andiron_alloc(run->arena, (n->arg_count + 1) * sizeof(args[0]));

    for (size_t i = 0; i < n->arg_count; i++) {
        int rc = cheap(run, n->args[i], &args[i]);
        if (rc == 0 && args[i] == NULL && allow_costly)
            rc = costly(run, n->args[i], NULL, false, &args[i]);
        if (rc != 0 || args[i] == NULL)
            return rc;
    }
    *ret = merge(run, n, args);
    return 0;
}

static bool is_short(const struct run *run, const struct source *s)
{
    return s->entries >= 0 && s->entries <= run->store->config->short_list;
}

/* It serves all of n, of which it was made by one condition; a source is of one use only. */
static struct source *serves(struct source *s, const struct node *n)
{
    s->exact = s->exact && n->arg_count == 1;
    return s;
}

static bool is_link(const struct node *n)
{
    return n->op == NODE_CHAIN || n->op == NODE_HAS;
}

/* Conditions whose resources are gathered: links only if so few that they drive anything. */
static int gathered(struct run *run, struct node *n, bool beside, struct source **ret)
{
    for (int links = 1; links >= 0; links--) {
        for (size_t i = 0; i < n->arg_count && *ret == NULL; i++) {
            if (is_link(n->args[i]) != (links == 1))
                continue;
            int rc = costly(run, n->args[i], n, beside, ret);
            if (rc != 0)
                return rc;
        }
    }
    if (*ret != NULL)
        *ret = serves(*ret, n);
    return 0;
}

/* Several conditions: the shortest of what the index lists; if none is short, what can be gathered. */
static int of_and(struct run *run, struct node *n, bool allow_costly, struct source **ret)
{
    struct source *best = NULL, *s;
    size_t listed = 0;
    bool waits = false;

    for (size_t i = 0; i < n->arg_count; i++) {
        s = NULL;
        int rc = cheap(run, n->args[i], &s);
        if (rc == RUN_FAILED)
            return rc;
        waits = waits || rc == RUN_WAIT;
        n->args[i]->listed = s != NULL;
        listed += s != NULL ? 1 : 0;
        if (s == NULL)
            continue;
        if (n->arg_count > 1 && source_count(run, s) == RUN_WAIT)
            waits = true;
        if (best == NULL || (s->entries >= 0 && s->entries < best->entries))
            best = s;
    }
    if (waits)
        return RUN_WAIT;
    if (best != NULL && (!allow_costly || is_short(run, best) || listed == n->arg_count)) {
        *ret = serves(best, n);
        return 0;
    }
    if (!allow_costly)
        return 0;
    int rc = gathered(run, n, best != NULL, ret);
    if (rc == 0 && *ret == NULL && best != NULL)
        *ret = serves(best, n);
    return rc;
}

static int cheap(struct run *run, struct node *n, struct source **ret)
{
    *ret = NULL;
    switch (n->op) {
    case NODE_FALSE:
        *ret = source_of_vids(run, n, NULL, 0, "nothing");
        return 0;
    case NODE_TERM:
        *ret = of_term(run, n);
        return 0;
    case NODE_ID:
        return of_id(run, n, ret);
    case NODE_OR:
        return of_or(run, n, false, ret);
    case NODE_AND:
        return of_and(run, n, false, ret);
    case NODE_TOGETHER: {
        int rc = of_and(run, n, false, ret);
        if (*ret != NULL) {
            (*ret)->exact = false; /* says nothing of groups */
            (*ret)->by = NULL;
        }
        return rc;
    }
    default:
        return 0;
    }
}

static int costly(struct run *run, struct node *n, const struct node *all, bool beside,
                  struct source **ret)
{
    *ret = NULL;
    if (n->walked)
        return 0; /* it bounds the walk along the index of the first sort key */
    switch (n->op) {
    case NODE_TERM:
    case NODE_UPDATED:
        return gather_range(run, n, all, beside, ret);
    case NODE_CHAIN:
        return gather_chain(run, n, beside, ret);
    case NODE_HAS:
        return gather_has(run, n, beside, ret);
    case NODE_OR:
        return of_or(run, n, true, ret);
    case NODE_AND:
        return of_and(run, n, true, ret);
    default:
        return 0;
    }
}

int source_find(struct run *run, struct node *n, struct source **ret)
{
    int rc = 0;

    *ret = NULL;
    if (n->op == NODE_AND) {
        rc = of_and(run, n, true, ret);
    } else {
        rc = cheap(run, n, ret);
        if (rc == 0 && *ret == NULL)
            rc = costly(run, n, NULL, false, ret);
    }
    if (rc == 0 && *ret == NULL)
        *ret = of_type(run, n);
    return rc;
}

/* ---- counting ---------------------------------------------------------------------------------- */

struct counted {
    struct counted *next;
    struct list_key key;
    bool is_asked;
    int64_t entries; /* -1: not there */
};

static void take_count(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct counted *counted = arg;

    counted->entries = wire_rows(b, at) == 1 ? wire_get_int(b, at, 0, 0) : 0;
    (void)run_spend(run, counted->entries / 16 + 1);
    lengths_note(run, &counted->key, counted->entries);
}

static struct counted *count_list(struct run *run, const struct list_key *key)
{
    struct counted *counted;
    int64_t entries;

    for (counted = run->counted; counted != NULL; counted = counted->next) {
        if (counted->key.is_ref == key->is_ref && counted->key.p == key->p &&
            counted->key.key == key->key)
            return counted;
    }
    counted = andiron_new(run->arena, struct counted);
    *counted = (struct counted){ .next = run->counted, .key = *key, .entries = -1 };
    run->counted = counted;
    if (lengths_find(run, key, &entries)) {
        counted->entries = entries;
        return counted;
    }
    struct compose *c = compose_new(run->arena);
    compose_put(c, "SELECT count(*) FROM (SELECT 1 FROM ");
    if (key->p < 0) { /* all of a type */
        compose_put(c, "resource WHERE type=$%d AND st=0", compose_int2(c, -key->p));
    } else {
        int p = compose_int4(c, key->p);
        compose_put(c, "%s WHERE p=$%d AND %s=$%d", key->is_ref ? "ix_ref" : "ix_token", p,
                    key->is_ref ? "tgt" : "h", compose_int8(c, key->key));
    }
    compose_put(c, " LIMIT $%d) t", compose_int8(c, run->store->config->short_list + 1));
    run_want(run, c, take_count, counted);
    return counted;
}

int source_count(struct run *run, struct source *s)
{
    int64_t max = run->store->config->short_list + 1, sum = 0;
    bool waits = false;

    if (s->entries >= 0)
        return 0;
    if (s->list_count > 32) {
        s->entries = max; /* as good as many */
        return 0;
    }
    struct list_key type = { .p = -s->type };
    size_t count = s->kind == SOURCE_TYPE ? 1 : s->list_count;
    for (size_t i = 0; i < count; i++) {
        struct counted *counted = count_list(run, s->kind == SOURCE_TYPE ? &type : &s->lists[i]);
        if (counted->entries < 0)
            waits = true;
        else
            sum += counted->entries;
    }
    if (waits)
        return RUN_WAIT;
    s->entries = sum < max ? sum : max;
    return 0;
}

/* ---- text ---------------------------------------------------------------------------------------- */

static void put_one(struct compose *c, const struct list_key *key, int64_t position, bool ascending,
                    int64_t limit)
{
    int p = compose_int4(c, key->p), k = compose_int8(c, key->key),
        from = compose_int8(c, position), n = compose_int8(c, limit);

    compose_put(c,
                "SELECT vid FROM %s WHERE p=$%d AND %s=$%d AND vid%s$%d ORDER BY vid%s LIMIT $%d",
                key->is_ref ? "ix_ref" : "ix_token", p, key->is_ref ? "tgt" : "h", k,
                ascending ? ">" : "<", from, ascending ? "" : " DESC", n);
}

/* The lists of one table, as much of each as is asked for of all. */
static void put_table(struct run *run, struct compose *c, const struct source *s, bool is_ref,
                      const char *tail)
{
    int64_t *p = andiron_alloc(run->arena, (s->list_count + 1) * sizeof(p[0])),
            *k = andiron_alloc(run->arena, (s->list_count + 1) * sizeof(k[0]));
    size_t count = 0;

    for (size_t i = 0; i < s->list_count; i++) {
        if (s->lists[i].is_ref != is_ref)
            continue;
        p[count] = s->lists[i].p;
        k[count++] = s->lists[i].key;
    }
    if (count == 0)
        return;
    int a = compose_ints(c, WIRE_INT4_ARRAY, p, count),
        b = compose_ints(c, WIRE_INT8_ARRAY, k, count);
    compose_put(c,
                "%sSELECT x.vid FROM unnest($%d,$%d) k(p,k),"
                " LATERAL (SELECT i.vid FROM %s i WHERE i.p=k.p AND i.%s=k.k AND i.vid%s) x",
                c->text[c->len - 1] == '(' ? "" : " UNION ALL ", a, b,
                is_ref ? "ix_ref" : "ix_token", is_ref ? "tgt" : "h", tail);
}

static void put_array(struct run *run, struct compose *c, const struct source *s, int64_t position,
                      bool ascending, int64_t limit)
{
    size_t low = 0, high = s->vid_count, from, count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->vids[middle] < position || (ascending && s->vids[middle] == position))
            low = middle + 1;
        else
            high = middle;
    }
    count = ascending ? s->vid_count - low : low;
    if (count > (size_t)limit)
        count = (size_t)limit;
    from = ascending ? low : low - count;
    (void)run;
    compose_put(c, "SELECT u.vid FROM unnest($%d) u(vid) ORDER BY u.vid%s",
                compose_ints(c, WIRE_INT8_ARRAY, s->vids + from, count), ascending ? "" : " DESC");
}

void source_put(struct run *run, struct compose *c, const struct source *s, int64_t position,
                bool ascending, int64_t limit)
{
    const char *order = ascending ? "" : " DESC";

    if (s->kind == SOURCE_ARRAY) {
        put_array(run, c, s, position, ascending, limit);
        return;
    }
    if (s->kind == SOURCE_LISTS && s->list_count == 1) {
        put_one(c, &s->lists[0], position, ascending, limit);
        return;
    }
    if (s->kind == SOURCE_LISTS && s->list_count == 0) {
        compose_put(c, "SELECT 0::bigint AS vid WHERE false");
        return;
    }
    if (s->kind == SOURCE_TYPE) {
        int type = compose_int2(c, s->type), from = compose_int8(c, position);
        compose_put(c,
                    "SELECT vid,rid FROM resource WHERE type=$%d AND st=0 AND vid%s$%d"
                    " ORDER BY vid%s LIMIT $%d",
                    type, ascending ? ">" : "<", from, order, compose_int8(c, limit));
        return;
    }
    int from = compose_int8(c, position), n = compose_int8(c, limit);
    const char *tail = andiron_printf(run->arena, "%s$%d ORDER BY i.vid%s LIMIT $%d",
                                      ascending ? ">" : "<", from, order, n);
    compose_put(c, "SELECT DISTINCT y.vid FROM (");
    put_table(run, c, s, false, tail);
    put_table(run, c, s, true, tail);
    compose_put(c, ") y ORDER BY y.vid%s LIMIT $%d", order, n);
}
