/*
 * Conditions in SQL; see source.h. Each is a probe of an index by its full key in a query of its own
 * with LIMIT 1: the database cannot make a join of it, whose order it would choose.
 */
#include "common/store/rows.h"
#include "source.h"

/* Parameters of conditions in a statement; the rest of it has others. The same in each statement, so
 * that `settled` of a node says the same of all of them. */
enum { CONDITION_PARAMS = 10 };

bool source_list_of(const struct run *run, const struct node *n, struct list_key *ret)
{
    const struct hash_key *key = &run->store->key;
    andiron_str wide = { (const char *)n->wide.bytes, sizeof(n->wide.bytes) };
    uint32_t part = n->term->part;

    *ret = (struct list_key){ .p = n->p };
    if (n->compare != ANDIRON_CMP_EQ && n->compare != ANDIRON_CMP_OF_TYPE &&
        n->compare != ANDIRON_CMP_EXACT)
        return false;
    switch (n->kind) {
    case KEYS_OF_TYPE:
        ret->key = rows_hash_of_type(key, wide);
        return true;
    case KEYS_TOKEN:
        ret->key = n->no_system    ? rows_hash_unsystemed(key, part, n->text)
                   : n->any_system ? rows_hash_code(key, part, n->text)
                                   : rows_hash_coded(key, part, n->hash, n->text);
        return true;
    case KEYS_URI:
        ret->key = rows_hash_uri(key, part, n->text);
        return true;
    case KEYS_URL:
        ret->key = rows_hash_url(key, n->text);
        return part == 0;
    case KEYS_REFERENCE:
        ret->is_ref = true;
        ret->key = n->rid_count == 1 ? n->rids[0] : 0;
        return part == 0 && n->rid_count == 1;
    default:
        return false;
    }
}

static bool is_reference(const struct node *n)
{
    return n->kind == KEYS_REFERENCE && n->compare == ANDIRON_CMP_EQ && n->term->part == 0;
}

bool condition_is_whole(const struct run *run, const struct node *n)
{
    struct list_key key;

    switch (n->op) {
    case NODE_TRUE:
    case NODE_FALSE:
        return true;
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT:
        for (size_t i = 0; i < n->arg_count; i++) {
            if (!condition_is_whole(run, n->args[i]))
                return false;
        }
        return true;
    case NODE_TERM:
        return n->term->part == 0 && n->term->group == 0 &&
               (is_reference(n) || source_list_of(run, n, &key));
    case NODE_HAS:
        return condition_is_whole(run, n->args[0]);
    default:
        return false;
    }
}

static size_t params_of(const struct node *n)
{
    size_t count = n->op == NODE_TERM ? 2 : n->op == NODE_HAS ? 1 : 0;

    for (size_t i = 0; i < n->arg_count; i++)
        count += params_of(n->args[i]);
    return count;
}

static void put_term(struct run *run, struct compose *c, const struct node *n, const char *vid)
{
    struct list_key key;
    int p = compose_int4(c, n->p);

    if (source_list_of(run, n, &key)) {
        int k = compose_int8(c, key.key);
        compose_put(c, "(SELECT true FROM %s WHERE p=$%d AND %s=$%d AND vid=%s LIMIT 1) IS TRUE",
                    key.is_ref ? "ix_ref" : "ix_token", p, key.is_ref ? "tgt" : "h", k, vid);
        return;
    }
    int k = compose_ints(c, WIRE_INT8_ARRAY, n->rids, n->rid_count);
    compose_put(c,
                "(SELECT true FROM ix_ref WHERE p=$%d AND tgt=ANY($%d) AND vid=%s LIMIT 1)"
                " IS TRUE",
                p, k, vid);
}

/* A whole condition. depth: makes names of nested queries differ. */
static void put_whole(struct run *run, struct compose *c, struct node *n, const char *vid,
                      const char *rid, int depth)
{
    switch (n->op) {
    case NODE_TRUE:
    case NODE_FALSE:
        compose_put(c, n->op == NODE_TRUE ? "true" : "false");
        break;
    case NODE_AND:
    case NODE_OR:
        compose_put(c, "(");
        for (size_t i = 0; i < n->arg_count; i++) {
            compose_put(c, "%s", i == 0 ? "" : n->op == NODE_AND ? " AND " : " OR ");
            put_whole(run, c, n->args[i], vid, rid, depth);
        }
        compose_put(c, ")");
        break;
    case NODE_NOT:
        compose_put(c, "NOT (");
        put_whole(run, c, n->args[0], vid, rid, depth);
        compose_put(c, ")");
        break;
    case NODE_HAS: {
        const char *inner = andiron_printf(run->arena, "f%d.vid", depth);
        const char *inner_rid =
            andiron_printf(run->arena, "(SELECT rid FROM version WHERE vid=f%d.vid)", depth);
        compose_put(c, "(SELECT true FROM ix_ref f%d WHERE f%d.p=$%d AND f%d.tgt=%s AND ", depth,
                    depth, compose_int4(c, n->p), depth, rid);
        put_whole(run, c, n->args[0], inner, inner_rid, depth + 1);
        compose_put(c, " LIMIT 1) IS TRUE");
        break;
    }
    default:
        put_term(run, c, n, vid);
        break;
    }
}

static bool fits(const struct run *run, size_t used, const struct node *n)
{
    return condition_is_whole(run, n) && used + params_of(n) <= CONDITION_PARAMS;
}

bool condition_is_put(const struct run *run, const struct node *n)
{
    return fits(run, 0, n);
}

bool condition_put(struct run *run, struct compose *c, struct node *n, const struct node *by,
                   const char *vid, const char *rid, const char *before)
{
    bool whole = true;
    size_t used = 0;

    n->settled = fits(run, 0, n);
    if (n->op == NODE_TRUE || n == by)
        return true;
    if (n->settled && (by == NULL || n->op != NODE_AND)) {
        compose_put(c, "%s", before);
        put_whole(run, c, n, vid, rid, 0);
        return true;
    }
    for (size_t i = 0; n->op == NODE_AND && i < n->arg_count; i++) {
        struct node *arg = n->args[i];
        arg->settled = fits(run, used, arg);
        whole = whole && arg->settled;
        if (!arg->settled)
            continue;
        used += params_of(arg);
        if (arg == by)
            continue;
        compose_put(c, "%s", before);
        put_whole(run, c, arg, vid, rid, 0);
        before = " AND ";
    }
    return whole && n->op == NODE_AND;
}
