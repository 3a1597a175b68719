/*
 * Choosing candidates; see drive.h.
 */
#include "drive.h"

#include "common/store/rows.h"
#include "gather.h"
#include "iter.h"

enum {
    DRIVER_FEW = 64, /* entries of a list beside which nothing is gathered, */
    OTHERS_FEW = 64  /* and of those without a common code, to go by them whatever else there is */
};

/* ---- lists of conditions -------------------------------------------------------------------- */

static struct iter *of_token(struct run *run, const struct node *n)
{
    const struct hash_key *key = &run->store->key;
    andiron_str wide = { (const char *)n->wide.bytes, sizeof(n->wide.bytes) };
    struct iter *it = iter_lists(run, 1, "token");
    uint32_t part = n->term->part;

    if (n->kind == KEYS_OF_TYPE)
        iter_add_token(it, n->p, rows_hash_of_type(key, wide));
    else if (n->no_system)
        iter_add_token(it, n->p, rows_hash_unsystemed(key, part, n->text));
    else if (n->any_system)
        iter_add_token(it, n->p, rows_hash_code(key, part, n->text));
    else
        iter_add_token(it, n->p, rows_hash_coded(key, part, n->hash, n->text));
    return it;
}

static struct iter *of_references(struct run *run, const struct node *n)
{
    struct iter *it = iter_lists(run, n->rid_count, "reference");

    for (size_t i = 0; i < n->rid_count; i++)
        iter_add_ref(it, n->p, n->rids[i]);
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
    it = iter_lists(run, count, "uri");
    iter_add_token(it, n->p, rows_hash_uri(&run->store->key, n->term->part, n->text));
    for (size_t i = 1; i < n->text.len; i++) {
        andiron_str above = { n->text.data, i };
        if (n->text.data[i] == '/')
            iter_add_token(it, n->p, rows_hash_uri(&run->store->key, n->term->part, above));
        if (n->text.data[i - 1] == '/')
            iter_add_token(it, n->p, rows_hash_uri(&run->store->key, n->term->part, above));
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
        it = iter_lists(run, 1, "uri");
        iter_add_token(it, n->p,
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
    return iter_array(run, keys, count, "id");
}

/* ---- trees --------------------------------------------------------------------------------------- */

/* What the index lists directly. */
static struct iter *cheap(struct run *run, struct node *n);
/* What must be gathered first. */
static struct iter *costly(struct run *run, struct node *n, const struct node *all, size_t most);

/* Every alternative needs an iterator of its own; costly ones only if allowed. */
static struct iter *of_or(struct run *run, struct node *n, bool allow_costly)
{
    struct iter **args = andiron_alloc(run->arena, n->arg_count * sizeof(args[0]));

    for (size_t i = 0; i < n->arg_count; i++) {
        args[i] = cheap(run, n->args[i]);
        if (args[i] == NULL && allow_costly && !run->failed)
            args[i] = costly(run, n->args[i], NULL, 0);
        if (args[i] == NULL)
            return NULL;
    }
    return iter_merge(run, args, n->arg_count);
}

/* Whether gathering could make an iterator where the index has no list. */
static bool can_gather(const struct run *run, const struct node *n)
{
    if (n->walked && !run->counting)
        return false;
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

/* Conditions that it, gathered of argument i, takes care of; those need not be gathered. */
static size_t settle(struct node *n, size_t i, const struct iter *it)
{
    bool settled = it != NULL && iter_is_exact(it);
    bool is_range = n->args[i]->op == NODE_TERM && n->args[i]->kind != KEYS_STRING;
    size_t count = it != NULL ? 1 : 0;

    n->args[i]->settled = settled;
    for (size_t k = i + 1; k < n->arg_count && is_range; k++) {
        if (n->args[k]->listed || !gather_covers(n->args[i], n->args[k]))
            continue;
        n->args[k]->listed = true;
        n->args[k]->settled = settled;
        count += it != NULL ? 1 : 0;
    }
    return count;
}

static bool is_link(const struct node *n)
{
    return n->op == NODE_CHAIN || n->op == NODE_HAS;
}

/*
 * Adds those conditions that so few satisfy by their links to others that they should drive,
 * whatever else the index lists. The number of them.
 */
static size_t add_few(struct run *run, struct node *n, struct iter **args)
{
    size_t count = 0;

    for (size_t i = 0; i < n->arg_count && count == 0; i++) {
        struct iter *it = is_link(n->args[i]) ? gather_few(run, n->args[i]) : NULL;
        if (it == NULL)
            continue;
        n->args[i]->listed = true;
        (void)settle(n, i, it);
        args[count++] = it;
    }
    return count;
}

/* The lesser of two counts, of which -1 says nothing. */
static int64_t shorter(int64_t a, int64_t b)
{
    return b >= 0 && (a < 0 || b < a) ? b : a;
}

/* Whether the index lists exactly what satisfies it, but for equal hashes of other codes. */
static bool is_listed_exactly(const struct node *n)
{
    bool exactly = n->op == NODE_OR;

    for (size_t i = 0; i < n->arg_count && exactly; i++)
        exactly = n->args[i]->op == NODE_TERM && is_listed_exactly(n->args[i]);
    return exactly || (n->op == NODE_TERM && n->term->part == 0 && n->term->group == 0 &&
                       n->compare == ANDIRON_CMP_EQ &&
                       (n->kind == KEYS_TOKEN || n->kind == KEYS_URI || n->kind == KEYS_REFERENCE));
}

/*
 * What it brings without what the index lists of a negation: where most are left out, they are
 * not loaded to be judged. *count: grows by the conditions that this takes care of.
 */
static struct iter *leave_out(struct run *run, struct node *n, struct iter *it, size_t *count)
{
    struct iter *without;

    if (n->op != NODE_NOT || !is_listed_exactly(n->args[0]))
        return it;
    without = cheap(run, n->args[0]);
    if (without == NULL)
        return it;
    *count += iter_is_exact(without) ? 1 : 0;
    return iter_but(run, it, without);
}

/*
 * How many entries a range beside `driver` may have to be gathered; 0: none. Where nothing is short, what
 * counts as that; else to read an entry of the range costs a tenth of judging a resource of the list.
 */
static size_t worth_gathering(struct run *run, const struct node *n, int64_t driver, bool beside)
{
    if (driver < 0)
        return beside ? (size_t)run->store->config->short_list : SIZE_MAX;
    return n->op == NODE_TERM && driver > DRIVER_FEW ? (size_t)driver : 0;
}

/*
 * Several conditions: those that the index lists, joined; if none of these is short, those
 * that can be gathered as well, and ranges even beside a short one.
 */
static struct iter *of_and(struct run *run, struct node *n, bool allow_costly)
{
    struct iter **args = andiron_alloc(run->arena, n->arg_count * sizeof(args[0]));
    size_t listed, covered, count = 0;
    int64_t driver = -1; /* entries of a short one */
    bool gathers = false, exact = true;
    struct iter *it;

    for (size_t i = 0; i < n->arg_count; i++) {
        it = cheap(run, n->args[i]);
        n->args[i]->listed = it != NULL;
        n->args[i]->settled = false;
        if (it == NULL) {
            gathers |= can_gather(run, n->args[i]);
            exact = false;
            continue;
        }
        args[count++] = it;
        n->args[i]->settled = iter_is_exact(it) && n->args[i]->op != NODE_TERM;
    }
    listed = count;
    if (listed != 0 && gathers && allow_costly) {
        count += add_few(run, n, args + count);
        if (run->failed || run->stopped)
            return NULL;
        driver = count > listed ? 0 : -1;
    }
    for (size_t i = 0; i < listed && gathers && allow_costly && driver != 0; i++)
        driver = shorter(driver, iter_short(run, args[i]));
    covered = count;
    for (size_t i = 0; i < n->arg_count && gathers && allow_costly; i++) {
        size_t most = worth_gathering(run, n->args[i], driver, count != 0);
        if (n->args[i]->listed || most == 0)
            continue;
        if (run->trying && listed != 0 && is_link(n->args[i])) {
            run->refused = true;
            continue;
        }
        it = costly(run, n->args[i], n, most == SIZE_MAX ? 0 : most);
        if (run->failed || run->stopped)
            return NULL;
        covered += settle(n, i, it);
        if (it == NULL)
            continue;
        args[count++] = it;
        driver = shorter(driver, iter_short(run, it));
    }
    if (count == 0)
        return NULL;
    it = iter_all(run, args, count);
    for (size_t i = 0; i < n->arg_count; i++)
        it = leave_out(run, n->args[i], it, &covered);
    if (!exact && covered < n->arg_count)
        iter_set_exact(it, false); /* a single one is its own: it serves this conjunction only */
    return it;
}

static struct iter *cheap(struct run *run, struct node *n)
{
    if (run->failed)
        return NULL;
    switch (n->op) {
    case NODE_FALSE:
        return iter_array(run, NULL, 0, "nothing");
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
            iter_set_exact(it, false); /* says nothing of groups */
        return it;
    }
    default:
        return NULL;
    }
}

static struct iter *costly(struct run *run, struct node *n, const struct node *all, size_t most)
{
    if (run->failed || run->stopped || (n->walked && !run->counting))
        return NULL;
    switch (n->op) {
    case NODE_TERM:
        if (most == 0 && run->sort_count != 0 && !run->counting)
            most = (size_t)run->store->config->short_list;
        return gather_range(run, n, all, most);
    case NODE_CHAIN:
        return gather_chain(run, n);
    case NODE_HAS:
        return gather_has(run, n);
    case NODE_OR:
        return of_or(run, n, true);
    case NODE_AND:
        return of_and(run, n, true);
    default:
        return NULL;
    }
}

/*
 * Those that negations may find, where the index knows what else there is: the few that are not as
 * nearly all are. NULL: all of the type. While run->trying, they are only noted as refused.
 */
static struct iter *of_others(struct run *run, const struct node *n)
{
    struct iter *it = NULL;

    if (n->op == NODE_NOT && gather_others(run, n, &it) != 0)
        return NULL;
    for (size_t i = 0; n->op == NODE_AND && i < n->arg_count && it == NULL && !run->failed; i++)
        it = of_others(run, n->args[i]);
    if (it == NULL || !run->trying)
        return it;
    int64_t few = iter_short(run, it);
    if (few < 0 || few > OTHERS_FEW) {
        run->refused = true;
        return NULL;
    }
    return it;
}

/* All of the type, but for those that negations leave out by the index alone. */
static struct iter *of_type(struct run *run, const struct plan *plan)
{
    struct node *n = plan->filter;
    struct iter *it = of_others(run, n);
    size_t covered = 0, all = n->op == NODE_TRUE ? 0 : n->op == NODE_AND ? n->arg_count : 1;

    if (it == NULL)
        it = iter_of_type(run, plan->type, true);
    /* An index in sort order brings few of which it would have to be asked. */
    if (run->sort_count == 0 || run->counting) {
        if (n->op != NODE_AND)
            it = leave_out(run, n, it, &covered);
        for (size_t i = 0; n->op == NODE_AND && i < n->arg_count; i++)
            it = leave_out(run, n->args[i], it, &covered);
    }
    iter_set_exact(it, covered == all);
    return it;
}

int drive_plans(struct run *run)
{
    struct iter **args = andiron_alloc(run->arena, (run->plan_count + 1) * sizeof(args[0]));

    for (size_t i = 0; i < run->plan_count; i++) {
        struct plan *plan = &run->plans[i];
        plan->iter = plan->filter->op == NODE_TRUE ? NULL : drive_filter(run, plan->filter);
        if (run->failed)
            return -1;
        if (plan->iter == NULL)
            plan->iter = of_type(run, plan);
        if (run->failed)
            return -1;
        args[i] = plan->iter;
    }
    run->iter = iter_any(run, args, run->plan_count);
    /* What could not be gathered within the budget is judged one by one, with a budget of its own. */
    if (run->stopped && !run->place->brief)
        run_budget(run);
    return 0;
}

struct iter *drive_filter(struct run *run, struct node *n)
{
    n->settled = false;
    if (n->op == NODE_AND)
        return of_and(run, n, true);
    struct iter *it = cheap(run, n);
    if (it == NULL)
        it = costly(run, n, NULL, 0);
    /* Lists name hashes of what they hold, ranges the values themselves. */
    n->settled = it != NULL && iter_is_exact(it) && n->op != NODE_OR &&
                 (n->op != NODE_TERM || iter_is_array(it));
    return it;
}
