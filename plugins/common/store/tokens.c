/*
 * Sets of tokens; see tokens.h. Open addressing, at most half full.
 */
#include "tokens.h"

enum { TOKENS_MIN = 8 /* fewer are compared one by one */ };

struct token_set {
    int64_t p;
    size_t mask;
    const struct node **slots;
};

/* A token with its system: what the codes of ValueSets are. */
static bool is_plain(const struct node *n)
{
    return n->op == NODE_TERM && n->kind == KEYS_TOKEN && n->compare == ANDIRON_CMP_EQ &&
           !n->any_system && !n->no_system && n->term->group == 0 && n->term->part == 0;
}

/* FNV-1a over the text, begun with the system's hash, which is keyed. */
static uint64_t hash_of(uint64_t system, andiron_str text)
{
    uint64_t hash = system;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

/* The slot of a token, or the free one where it belongs. */
static size_t slot_of(const struct token_set *set, uint64_t system, andiron_str text)
{
    size_t i = hash_of(system, text) & set->mask;

    while (set->slots[i] != NULL &&
           (set->slots[i]->hash != system || !andiron_str_eq(set->slots[i]->text, text)))
        i = (i + 1) & set->mask;
    return i;
}

void tokens_set(struct andiron_arena *arena, struct node *n)
{
    size_t count = 0, size = 2 * TOKENS_MIN;
    int64_t p = 0;

    for (size_t i = 0; i < n->arg_count; i++) {
        if (!is_plain(n->args[i]) || (p != 0 && n->args[i]->p != p))
            continue;
        p = n->args[i]->p;
        count++;
    }
    if (count < TOKENS_MIN)
        return;
    while (size < 2 * count)
        size *= 2;
    struct token_set *set = andiron_new(arena, struct token_set);
    set->p = p;
    set->mask = size - 1;
    set->slots = andiron_alloc(arena, size * sizeof(const struct node *));
    for (size_t i = 0; i < n->arg_count; i++) {
        struct node *arg = n->args[i];
        if (!is_plain(arg) || arg->p != p)
            continue;
        arg->in_set = true;
        set->slots[slot_of(set, arg->hash, arg->text)] = arg;
    }
    n->set = set;
    n->set_is_all = count == n->arg_count;
}

bool tokens_match(const struct token_set *set, const struct keys_entry *e)
{
    return e->p == set->p && e->kind == KEYS_TOKEN && e->group == 0 &&
           (e->flags & KEYS_HAS_1) != 0 && set->slots[slot_of(set, e->hash[0], e->text)] != NULL;
}
