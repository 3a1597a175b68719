/*
 * What conditional writes mean, before anything depends on it; see txn.h. Two that ask for the same take
 * turns, on all nodes, so that both cannot find nothing and add it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "search.h"
#include "txn.h"

static const struct wire_sql lock = { "lock_matches",
                                      "SELECT pg_advisory_xact_lock_shared($1,$2),"
                                      "(SELECT count(pg_advisory_xact_lock(k)) FROM unnest($3) k)",
                                      { WIRE_INT4, WIRE_INT4, WIRE_INT8_ARRAY } };

/* ---- names of conditions ------------------------------------------------------------------ */

static void add_str(struct hash *h, andiron_str s)
{
    uint64_t len = s.data != NULL ? (uint64_t)s.len + 1 : 0;

    hash_add(h, &len, sizeof(len));
    hash_add(h, s.data, s.len);
}

static uint64_t hash_filter(const struct hash_key *key, const struct andiron_filter *f)
{
    struct hash h;
    uint64_t args = 0;
    uint32_t head[] = { f->op, f->compare, f->term.kind, f->term.part };
    bool is_number = f->term.kind == ANDIRON_TERM_NUMBER || f->term.kind == ANDIRON_TERM_QUANTITY;

    for (size_t i = 0; i < f->arg_count; i++) {
        uint64_t arg = hash_filter(key, f->args[i]);
        /* The order of what is joined by AND and OR does not matter. */
        args = f->op == ANDIRON_FILTER_AND || f->op == ANDIRON_FILTER_OR ? args + arg
                                                                         : args * 31 + arg;
    }
    hash_begin64(&h, key);
    hash_add(&h, head, sizeof(head));
    add_str(&h, f->term.param != NULL ? andiron_str_of(f->term.param) : (andiron_str){ NULL, 0 });
    add_str(&h, f->term.system);
    add_str(&h, f->term.text);
    add_str(&h, f->term.exact);
    if (is_number)
        hash_add(&h, &f->term.range.number, sizeof(f->term.range.number));
    else if (f->term.kind == ANDIRON_TERM_DATE)
        hash_add(&h, &f->term.range.date, sizeof(f->term.range.date));
    add_str(&h, f->type != NULL ? andiron_str_of(f->type) : (andiron_str){ NULL, 0 });
    hash_add(&h, &args, sizeof(args));
    return hash_end64(&h);
}

static int64_t name_of(const struct hash_key *key, const struct andiron_query *query)
{
    struct hash h;
    uint64_t filter = query->filter != NULL ? hash_filter(key, query->filter) : 0;

    hash_begin64(&h, key);
    add_str(&h, query->type != NULL ? andiron_str_of(query->type) : (andiron_str){ NULL, 0 });
    hash_add(&h, &filter, sizeof(filter));
    return (int64_t)hash_end64(&h);
}

static int compare_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- searching ------------------------------------------------------------------------------ */

static void settle_next(struct txn *txn);

static void refuse(struct txn *txn, enum andiron_code code, const char *message)
{
    struct item *item = &txn->items[txn->settling];

    andiron_error_set(&item->job->commit->error, code, "", "%s", message);
    txn_refuse(item->job, item->which);
    (void)txn_weed(txn, true);
}

/* The write of this commit that removes what was found, without a condition of its own. */
static bool is_leaving(const struct txn *txn, const struct item *item,
                       const struct andiron_ref *ref)
{
    int64_t type = names_type(txn->store->names, ref->type);
    const struct item *other = txn_item(txn, item->job, type, ref->id);

    return other != NULL && other != item && other->write->remove && other->write->match == NULL;
}

static void settled(void *arg)
{
    struct txn *txn = arg;
    struct item *item = &txn->items[txn->settling];
    struct andiron_write *write = item->write;
    size_t matches = 0;

    if (txn->rows.error.code != ANDIRON_OK) {
        item->job->commit->error = txn->rows.error;
        txn_refuse(item->job, item->which);
        (void)txn_weed(txn, true);
        return;
    }
    for (size_t i = 0; i < txn->rows.count; i++) {
        const struct andiron_ref *ref = &txn->rows.rows[i].ref;
        if (is_leaving(txn, item, ref))
            continue;
        if (matches++ != 0)
            continue;
        write->ref.type = (andiron_str){ andiron_copy(item->job->arena, ref->type), ref->type.len };
        write->ref.id = (andiron_str){ andiron_copy(item->job->arena, ref->id), ref->id.len };
        item->seen_version = ref->version;
    }
    if (matches > 1) {
        refuse(txn, ANDIRON_E_MULTIPLE_MATCHES,
               "several resources match the condition; it must select at most one");
        return;
    }
    if (txn->rows.cursor.data != NULL && matches == 0) {
        refuse(txn, ANDIRON_E_UNPROCESSABLE,
               "looking for a match takes too long; use a more selective condition");
        return;
    }
    item->matched = matches == 1;
    if (item->matched && write->match_is_ref &&
        !andiron_str_eq(write->ref.id, item->job->given[item->which].id)) {
        char text[200];
        snprintf(text, sizeof(text),
                 "the condition matches %.*s/%.*s, not the resource that is meant",
                 (int)write->ref.type.len, write->ref.type.data, (int)write->ref.id.len,
                 write->ref.id.data);
        refuse(txn, ANDIRON_E_CONFLICT, text);
        return;
    }
    item->skip = item->matched ? write->if_none_exist : write->remove;
    txn->settling++;
    settle_next(txn);
}

static void settle_next(struct txn *txn)
{
    while (txn->settling < txn->count && txn->items[txn->settling].write->match == NULL)
        txn->settling++;
    if (txn->settling == txn->count) {
        txn_locate(txn);
        return;
    }
    andiron_arena_free(txn->scratch);
    txn->scratch = andiron_arena_new(0);
    struct search_place place = {
        .local = txn->local, .arena = txn->scratch, .lease = txn->lease, .refs_only = true
    };
    txn->query = *txn->items[txn->settling].write->match;
    txn->query.limit = 2 + txn->removes;
    txn->query.include_count = 0;
    txn->query.total = ANDIRON_TOTAL_NONE;
    txn->query.cursor = (andiron_str){ NULL, 0 };
    txn->rows = (struct andiron_rows){ .total = -1 };
    search_start(&place, &txn->query, &txn->rows, settled, txn);
}

static void locked(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;

    if (b->reply.outcome != WIRE_OK) {
        txn_failed(txn, b);
        return;
    }
    /* What another has just added, under names that are new here, must be found. */
    struct naming_counts seen = naming_seen(txn->store);
    if (wire_get_int(b, 1, 0, 0) != seen.names || wire_get_int(b, 1, 0, 1) != seen.voids) {
        txn_renamed(txn);
        return;
    }
    txn_sort(txn);
    settle_next(txn);
}

void txn_settle(struct txn *txn)
{
    struct wire_batch *b = wire_batch(txn->arena);
    int64_t *names = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(names[0]));
    size_t count = 0;

    for (size_t i = 0; i < txn->count; i++) {
        const struct andiron_write *write = txn->items[i].write;
        if (write->match != NULL)
            names[count++] = name_of(&txn->store->key, write->match);
        txn->removes += write->remove && write->match == NULL;
    }
    qsort(names, count, sizeof(names[0]), compare_int64);
    wire_add(b, &lock);
    wire_int4(b, LOCK_SPACE);
    wire_int4(b, LOCK_NAMES);
    wire_int_array(b, names, count);
    naming_ask(b);
    wire_lease_send(txn->lease, b, locked, txn);
}
