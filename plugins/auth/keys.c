/*
 * Imported keys. Belongs to one loop; counted without atomics.
 */
#include "keys.h"

enum { MAX_KIDS = 8 };

struct client_keys {
    unsigned references;
    struct andiron_arena *arena;
    andiron_str text; /* of the set; absent: the Client's own jwks */
    andiron_json list;
    size_t count;
    struct {
        andiron_str kid;
        struct jose_set set;
    } kids[MAX_KIDS];
};

void client_keys_drop(struct client_keys *keys)
{
    if (--keys->references == 0)
        andiron_arena_free(keys->arena);
}

void client_keys_free(struct client_keys *keys)
{
    if (keys != NULL)
        client_keys_drop(keys);
}

static struct client_keys *keys_new(andiron_json own, andiron_str set)
{
    struct andiron_arena *arena = andiron_arena_new(set.len * 2 + 1024);
    struct client_keys *keys = andiron_new(arena, struct client_keys);
    andiron_str text = set.data != NULL ? set : andiron_json_raw(own);
    andiron_json root;

    keys->arena = arena;
    keys->references = 1;
    text = (andiron_str){ andiron_copy(arena, text), text.len };
    if (set.data != NULL)
        keys->text = text;
    if (text.len != 0 && andiron_json_parse(arena, text, &root, NULL) == 0)
        keys->list = jose_set_keys(root);
    return keys;
}

/* The keys of one kid; imported at its first use. NULL: the set must not be used, or is full. */
static const struct jose_set *keys_of(struct client_keys *keys, andiron_str kid)
{
    for (size_t i = 0; i < keys->count; i++)
        if (andiron_str_eq(keys->kids[i].kid, kid))
            return &keys->kids[i].set;
    struct jose_set set;
    if (keys->count == MAX_KIDS || jose_set_read(keys->arena, keys->list, kid, &set, NULL) != 0 ||
        set.count + set.skipped == 0)
        return NULL;
    /* Also a key that cannot be used is kept: reading it again would take memory each time. */
    keys->kids[keys->count].kid = (andiron_str){ andiron_copy(keys->arena, kid), kid.len };
    keys->kids[keys->count].set = set;
    return &keys->kids[keys->count++].set;
}

size_t keys_find(struct client_keys **held, andiron_json own, andiron_str set, andiron_str kid,
                 const struct jose_alg *alg, const struct jose_key **ret_key,
                 struct client_keys **ret_keys)
{
    struct client_keys *keys = *held;
    const struct jose_set *found = NULL;

    if (keys != NULL && andiron_str_eq(keys->text, set))
        found = keys_of(keys, kid);
    if (keys == NULL || !andiron_str_eq(keys->text, set) ||
        (found == NULL && keys->count == MAX_KIDS)) {
        client_keys_free(keys);
        keys = *held = keys_new(own, set);
        found = keys_of(keys, kid);
    }
    if (found == NULL)
        return 0;
    keys->references++;
    *ret_keys = keys;
    size_t count = jose_set_find(found, kid, alg, ret_key);
    if (count == 0)
        client_keys_drop(keys);
    return count;
}
