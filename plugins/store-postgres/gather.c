/*
 * Gathered candidates; see gather.h.
 */
#include "gather.h"

#include <math.h>
#include <stdlib.h>

#include "common/store/range.h"
#include "common/store/rows.h"
#include "judging.h"

enum {
    RANGE_MAX = 50000,  /* entries of a range that are gathered and sorted */
    RANGE_BRIEF = 2000, /* before the latest resources were looked at */
    TARGETS_MAX = 1000, /* targets of a chain, or referring resources */
    TARGETS_FEW = 128   /* and those that are gathered whatever else there is to go by */
};

static int refuse(struct note *note)
{
    note->is_refused = true;
    return 0;
}

/* ---- ranges ------------------------------------------------------------------------------- */

struct ranging {
    struct note *note;
    int64_t *vids;
    size_t count, max, asked;
    bool overflow;
};

/* lo and hi are columns, or their text; a number's bounds are both inclusive. */
static void put_compare(struct compose *c, const struct node *n)
{
    bool date = n->kind == KEYS_DATE;
    int l = date ? compose_int8(c, n->term->range.date.low)
                 : compose_float8(c, n->term->range.number.low),
        h = date ? compose_int8(c, n->term->range.date.high)
                 : compose_float8(c, n->term->range.number.high);

    switch (n->compare) {
    case ANDIRON_CMP_EQ:
        compose_put(c, "lo>=$%d AND hi<=$%d", l, h);
        break;
    case ANDIRON_CMP_NE:
        compose_put(c, "NOT (lo>=$%d AND hi<=$%d)", l, h);
        break;
    case ANDIRON_CMP_GT:
        compose_put(c, "hi>$%d AND $%d IS NOT NULL", h, l);
        break;
    case ANDIRON_CMP_LT:
        compose_put(c, "lo<$%d AND $%d IS NOT NULL", l, h);
        break;
    case ANDIRON_CMP_GE:
        compose_put(c, "(hi>$%d OR lo>=$%d AND hi<=$%d)", h, l, h);
        break;
    case ANDIRON_CMP_LE:
        compose_put(c, "(lo<$%d OR lo>=$%d AND hi<=$%d)", l, l, h);
        break;
    case ANDIRON_CMP_SA:
        compose_put(c, "lo>%s$%d AND $%d IS NOT NULL", date ? "=" : "", h, l);
        break;
    case ANDIRON_CMP_EB:
        compose_put(c, "hi<%s$%d AND $%d IS NOT NULL", date ? "=" : "", l, h);
        break;
    case ANDIRON_CMP_AP:
        compose_put(c, "lo<%s$%d AND hi>%s$%d", date ? "" : "=", h, date ? "" : "=", l);
        break;
    default:
        compose_put(c, "false AND $%d IS NULL AND $%d IS NULL", l, h);
        break;
    }
}

bool gather_covers(const struct node *n, const struct node *other)
{
    return other->op == NODE_TERM && other != n && n->single && other->p == n->p &&
           other->kind == n->kind && other->hash == n->hash && other->term->part == 0 &&
           other->compare != ANDIRON_CMP_NE;
}

enum { COVERED_MAX = 2 };

/* Bounds of lo and all that the conditions of `all` say of it, for a date of class cls or a number. */
void gather_put_range(struct compose *c, const struct node *n, const struct node *all, int64_t cls)
{
    int64_t from = INT64_MIN, to = INT64_MAX;
    double number_from = -INFINITY, number_to = INFINITY;
    size_t covered = 0;
    bool date = n->kind == KEYS_DATE;

    for (size_t i = 0; i <= (all != NULL ? all->arg_count : 0); i++) {
        const struct node *other = i == 0 ? n : all->args[i - 1];
        if (i != 0 && !gather_covers(n, other))
            continue;
        if (date)
            range_dates(other, cls, &from, &to);
        else
            range_numbers(other, &number_from, &number_to);
        if (++covered > COVERED_MAX)
            continue; /* judged by keys */
        compose_put(c, " AND ");
        put_compare(c, other);
    }
    int f = date ? compose_int8(c, from) : compose_float8(c, number_from),
        t = date ? compose_int8(c, to) : compose_float8(c, number_to);
    compose_put(c, " AND lo>=$%d AND lo<=$%d", f, t);
}

static void take_range(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct ranging *r = arg;
    size_t rows = wire_rows(b, at);
    int64_t *vids = andiron_alloc(run->arena, (r->count + rows + 1) * sizeof(vids[0]));

    if (r->count != 0)
        memcpy(vids, r->vids, r->count * sizeof(vids[0]));
    for (size_t i = 0; i < rows; i++)
        vids[r->count + i] = wire_get_int(b, at, i, 0);
    r->vids = vids;
    r->count += rows;
    r->overflow = r->overflow || r->count > r->max;
    r->asked--;
    (void)run_spend(run, (int64_t)(rows / 8) + 1);
}

static void ask_range(struct run *run, struct ranging *r, const struct compose *c)
{
    r->asked++;
    run_want(run, c, take_range, r);
}

static void ask_dates(struct run *run, struct ranging *r, const struct node *n,
                      const struct node *all)
{
    for (int64_t cls = 0; cls < 2; cls++) {
        struct compose *c = compose_new(run->arena);
        int p = compose_int4(c, n->p), k = compose_int2(c, cls);
        compose_put(c, "SELECT vid FROM ix_date WHERE p=$%d AND cls=$%d", p, k);
        gather_put_range(c, n, all, cls);
        compose_put(c, " LIMIT $%d", compose_int8(c, (int64_t)r->max + 1));
        ask_range(run, r, c);
    }
}

static void ask_numbers(struct run *run, struct ranging *r, const struct node *n,
                        const struct node *all)
{
    struct compose *c = compose_new(run->arena);
    int p = compose_int4(c, n->p), g = compose_int8(c, (int64_t)n->hash);

    compose_put(c, "SELECT vid FROM ix_num WHERE p=$%d AND g=$%d", p, g);
    gather_put_range(c, n, all, 0);
    compose_put(c, " LIMIT $%d", compose_int8(c, (int64_t)r->max + 1));
    ask_range(run, r, c);
}

static void ask_strings(struct run *run, struct ranging *r, const struct node *n)
{
    struct compose *c = compose_new(run->arena);
    andiron_str prefix = rows_string(n->text);
    char *end = andiron_copy(run->arena, prefix);
    size_t len = prefix.len;

    /* The first string behind all with this prefix: its last byte below 0xff, plus one. */
    while (len > 0 && (uint8_t)end[len - 1] == 0xff)
        len--;
    if (len > 0)
        end[len - 1] = (char)((uint8_t)end[len - 1] + 1);
    int p = compose_int4(c, n->p), f = compose_bytea(c, prefix);
    compose_put(c, "SELECT vid FROM ix_str WHERE p=$%d AND s>=$%d", p, f);
    if (len > 0)
        compose_put(c, " AND s<$%d", compose_bytea(c, (andiron_str){ end, len }));
    compose_put(c, " LIMIT $%d", compose_int8(c, (int64_t)r->max + 1));
    ask_range(run, r, c);
}

/* Instants of versions: in no order that numbers of versions have. */
static void ask_updated(struct run *run, struct ranging *r, const struct node *n)
{
    andiron_usec low = n->term->range.date.low, high = n->term->range.date.high;
    andiron_usec from = INT64_MIN, to = INT64_MAX; /* instants in [from, to) */
    struct compose *c = compose_new(run->arena);

    switch (n->compare) {
    case ANDIRON_CMP_EQ:
    case ANDIRON_CMP_AP:
        from = low;
        to = high;
        break;
    case ANDIRON_CMP_GT:
    case ANDIRON_CMP_SA:
        from = high;
        break;
    case ANDIRON_CMP_GE:
        from = low < high ? low : high;
        break;
    case ANDIRON_CMP_LT:
    case ANDIRON_CMP_EB:
        to = low;
        break;
    case ANDIRON_CMP_LE:
        to = low > high ? low : high;
        break;
    default:
        break;
    }
    compose_put(c,
                "SELECT v.vid FROM version v JOIN resource r ON r.rid=v.rid"
                " WHERE r.vid=v.vid AND r.st=0 AND v.type=$%d",
                compose_int2(c, n->type));
    /* Instants beyond these cannot be told to PostgreSQL, and nothing was written then. */
    if (from > INT64_MIN / 64)
        compose_put(c, " AND v.ts>=$%d", compose_instant(c, from));
    if (to < INT64_MAX / 64)
        compose_put(c, " AND v.ts<$%d", compose_instant(c, to));
    compose_put(c, " LIMIT $%d", compose_int8(c, (int64_t)r->max + 1));
    ask_range(run, r, c);
}

static bool can_range(const struct node *n)
{
    if (n->op == NODE_UPDATED)
        return n->compare != ANDIRON_CMP_NE;
    if (n->term->part != 0 || n->compare == ANDIRON_CMP_NE)
        return false;
    if (n->kind == KEYS_STRING)
        return n->text.len != 0 &&
               (n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_STARTS ||
                n->compare == ANDIRON_CMP_EXACT);
    return n->kind == KEYS_DATE || n->kind == KEYS_NUMBER || n->kind == KEYS_QUANTITY;
}

int gather_range(struct run *run, struct node *n, const struct node *all, bool beside,
                 struct source **ret)
{
    struct note *note = note_of(run, n);
    struct ranging *r = note->gathering;
    size_t max = beside               ? (size_t)run->store->config->short_list
                 : run->ranges_wanted ? RANGE_MAX
                                      : RANGE_BRIEF;

    if (!can_range(n) || (note->is_refused && max <= note->max))
        return 0;
    if (r == NULL || (r->overflow && r->asked == 0 && max > r->max)) {
        r = andiron_new(run->arena, struct ranging);
        *r = (struct ranging){ .note = note, .max = max };
        note->gathering = r;
        if (n->op == NODE_UPDATED)
            ask_updated(run, r, n);
        else if (n->kind == KEYS_DATE)
            ask_dates(run, r, n, all);
        else if (n->kind == KEYS_STRING)
            ask_strings(run, r, n);
        else
            ask_numbers(run, r, n, all);
    }
    if (r->asked != 0)
        return RUN_WAIT;
    if (r->overflow) {
        note->max = r->max;
        run->refused = run->refused || (!beside && !run->ranges_wanted);
        return refuse(note);
    }
    *ret = source_of_vids(run, n, r->vids, r->count,
                          n->op == NODE_UPDATED    ? "instants"
                          : n->kind == KEYS_DATE   ? "date range"
                          : n->kind == KEYS_STRING ? "string range"
                                                   : "number range");
    (*ret)->exact = n->kind != KEYS_STRING && n->op == NODE_TERM;
    return 0;
}

/* ---- links ------------------------------------------------------------------------------------- */

/* What satisfies an inner condition, while it is being gathered. */
struct linking {
    struct scan *scan;
    struct candidate *list;
    size_t count, max;
    bool has_ended;
};

/* All that satisfies n->args[0]: 0 and *ret, which is NULL if that is too many. */
static int gather_inner(struct run *run, struct node *n, bool beside, struct linking **ret)
{
    struct note *note = note_of(run, n);
    struct linking *l = note->gathering;
    struct source *source;
    struct candidate c;
    int rc;

    *ret = NULL;
    if (note->is_refused)
        return 0;
    if (l == NULL) {
        size_t max = beside ? TARGETS_FEW : TARGETS_MAX;
        rc = source_find(run, n->args[0], &source);
        if (rc != 0)
            return rc;
        if (source->kind == SOURCE_TYPE)
            return refuse(note);
        if (source_count(run, source) != 0)
            return RUN_WAIT;
        if (source->entries > (int64_t)max && !(source->exact && source->list_count > 32))
            return refuse(note);
        l = andiron_new(run->arena, struct linking);
        *l = (struct linking){ .max = max,
                               .scan = scan_new(run, source, n->args[0], false, INT64_MAX, max + 1,
                                                false),
                               .list = andiron_alloc(run->arena, (max + 1) * sizeof(c)) };
        note->gathering = l;
    }
    while (!l->has_ended) {
        rc = scan_next(run, l->scan, &c);
        if (rc == RUN_STOPPED)
            return refuse(note);
        if (rc < 0)
            return rc;
        if (rc == 0)
            l->has_ended = true;
        else if (l->count == l->max)
            return refuse(note);
        else
            l->list[l->count++] = c;
    }
    *ret = l;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void gathered(struct note *note, int64_t *numbers, size_t count)
{
    if (count > 1)
        qsort(numbers, count, sizeof(numbers[0]), compare_numbers);
    note->is_gathered = true;
    note->numbers = numbers;
    note->count = count;
}

int gather_chain(struct run *run, struct node *n, bool beside, struct source **ret)
{
    struct note *note = note_of(run, n);
    struct linking *l;

    if (!note->is_gathered) {
        int rc = gather_inner(run, n, beside, &l);
        if (rc != 0 || l == NULL)
            return rc;
        int64_t *rids = andiron_alloc(run->arena, (l->count + 1) * sizeof(rids[0]));
        for (size_t i = 0; i < l->count; i++)
            rids[i] = l->list[i].rid;
        gathered(note, rids, l->count);
    }
    *ret = source_of_references(run, n, note->numbers, note->count, "chain");
    return 0;
}

/* Current versions of resources of n->type that those in l refer to by n->p. */
static int referred(struct run *run, const struct node *n, const struct linking *l,
                    struct note *note)
{
    int64_t *vids = NULL;
    size_t count = 0, room = 0;
    bool waits = false;

    for (size_t i = 0; i < l->count; i++) {
        struct keys_cursor k = keys_begin(l->list[i].keys);
        struct keys_entry e;
        while (keys_next(&k, &e)) {
            if (e.kind != KEYS_REFERENCE || e.group != 0 || e.p != n->p || e.type != n->type)
                continue;
            struct known *target = known_resource(run, e.rid, false);
            if (target == NULL) {
                waits = true;
                continue;
            }
            if (target->now.vid == 0 || target->now.type != n->type)
                continue;
            if (count == room) {
                int64_t *more = andiron_alloc(run->arena, (room * 2 + 64) * sizeof(more[0]));
                if (count != 0)
                    memcpy(more, vids, count * sizeof(more[0]));
                vids = more;
                room = room * 2 + 64;
            }
            vids[count++] = target->now.vid;
        }
        if (k.broken)
            return run_damaged(run);
    }
    if (waits)
        return RUN_WAIT;
    gathered(note, vids, count);
    return 0;
}

int gather_has(struct run *run, struct node *n, bool beside, struct source **ret)
{
    struct note *note = note_of(run, n);
    struct linking *l;

    if (!note->is_gathered) {
        int rc = gather_inner(run, n, beside, &l);
        if (rc != 0 || l == NULL)
            return rc;
        rc = referred(run, n, l, note);
        if (rc != 0)
            return rc;
    }
    int64_t *vids = andiron_alloc(run->arena, (note->count + 1) * sizeof(vids[0]));
    if (note->count != 0)
        memcpy(vids, note->numbers, note->count * sizeof(vids[0]));
    *ret = source_of_vids(run, n, vids, note->count, "has");
    return 0;
}
