/*
 * Insert-only hash table; see names.h. Writers take a mutex, readers read slots that were
 * published with release order. A grown table keeps the old one until the end, since a reader
 * may still be in it; sizes double, so that costs no more than the last.
 */
#include "names.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct name {
    uint64_t hash;
    int64_t type;           /* of a parameter; 0: a type's own name */
    _Atomic int64_t number; /* 0: dropped */
    _Atomic uint32_t kinds;
    size_t len;
    char text[];
};

struct table {
    struct table *older;
    size_t mask;
    _Atomic(struct name *) slots[];
};

struct names {
    pthread_mutex_t lock;
    struct hash_key key;
    size_t used;
    _Atomic(struct table *) table;
    _Atomic(struct name *) types[NAMES_TYPES_MAX];
    _Atomic int64_t last_type;
};

static void *need(void *memory)
{
    if (memory == NULL)
        abort(); /* out of memory: the worker ends and is restarted */
    return memory;
}

static struct table *table_new(size_t slots, struct table *older)
{
    struct table *t = need(calloc(1, sizeof(*t) + slots * sizeof(t->slots[0])));

    t->mask = slots - 1;
    t->older = older;
    return t;
}

struct names *names_new(const struct hash_key *key)
{
    struct names *names = need(calloc(1, sizeof(*names)));

    pthread_mutex_init(&names->lock, NULL);
    names->key = *key;
    atomic_init(&names->table, table_new(1024, NULL));
    return names;
}

void names_free(struct names *names)
{
    if (names == NULL)
        return;
    struct table *t = atomic_load(&names->table);
    for (size_t i = 0; i <= t->mask; i++)
        free(atomic_load(&t->slots[i]));
    while (t != NULL) {
        struct table *older = t->older;
        free(t);
        t = older;
    }
    pthread_mutex_destroy(&names->lock);
    free(names);
}

static uint64_t hash_name(const struct names *names, int64_t type, andiron_str text)
{
    struct hash h;

    hash_begin64(&h, &names->key);
    hash_add(&h, &type, sizeof(type));
    hash_add(&h, text.data, text.len);
    return hash_end64(&h);
}

static struct name *look_up(const struct names *names, int64_t type, andiron_str text,
                            uint64_t hash)
{
    const struct table *t = atomic_load_explicit(&names->table, memory_order_acquire);

    for (size_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        struct name *n = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (n == NULL)
            return NULL;
        if (n->hash == hash && n->type == type && n->len == text.len &&
            memcmp(n->text, text.data, text.len) == 0)
            return n;
    }
}

static void put_slot(struct table *t, struct name *n)
{
    size_t i = n->hash & t->mask;

    while (atomic_load_explicit(&t->slots[i], memory_order_relaxed) != NULL)
        i = (i + 1) & t->mask;
    atomic_store_explicit(&t->slots[i], n, memory_order_release);
}

static void grow(struct names *names)
{
    struct table *t = atomic_load(&names->table);

    if (names->used * 2 <= t->mask)
        return;
    struct table *bigger = table_new((t->mask + 1) * 2, t);
    for (size_t i = 0; i <= t->mask; i++) {
        struct name *n = atomic_load(&t->slots[i]);
        if (n != NULL)
            put_slot(bigger, n);
    }
    atomic_store_explicit(&names->table, bigger, memory_order_release);
}

/* Under the lock. */
static struct name *put(struct names *names, int64_t type, andiron_str text, int64_t number,
                        uint32_t kinds)
{
    uint64_t hash = hash_name(names, type, text);
    struct name *n = look_up(names, type, text, hash);

    if (n != NULL) {
        atomic_store(&n->number, number);
        atomic_fetch_or(&n->kinds, kinds);
        return n;
    }
    grow(names);
    n = need(calloc(1, sizeof(*n) + text.len + 1));
    n->hash = hash;
    n->type = type;
    atomic_init(&n->number, number);
    atomic_init(&n->kinds, kinds);
    n->len = text.len;
    memcpy(n->text, text.data, text.len);
    put_slot(atomic_load(&names->table), n);
    names->used++;
    return n;
}

void names_put_type(struct names *names, int64_t type, andiron_str text)
{
    if (type <= 0 || type >= NAMES_TYPES_MAX)
        return;
    pthread_mutex_lock(&names->lock);
    struct name *n = put(names, 0, text, type, 0);
    atomic_store_explicit(&names->types[type], n, memory_order_release);
    if (type > atomic_load(&names->last_type))
        atomic_store(&names->last_type, type);
    pthread_mutex_unlock(&names->lock);
}

void names_put_param(struct names *names, int64_t p, int64_t type, andiron_str code, uint32_t kinds)
{
    pthread_mutex_lock(&names->lock);
    put(names, type, code, p, kinds);
    pthread_mutex_unlock(&names->lock);
}

void names_drop_param(struct names *names, int64_t type, andiron_str code)
{
    struct name *n = look_up(names, type, code, hash_name(names, type, code));

    if (n != NULL) {
        atomic_store(&n->number, 0);
        atomic_store(&n->kinds, 0);
    }
}

int64_t names_type(const struct names *names, andiron_str text)
{
    const struct name *n = look_up(names, 0, text, hash_name(names, 0, text));
    return n != NULL ? atomic_load(&n->number) : 0;
}

int64_t names_param(const struct names *names, int64_t type, andiron_str code, uint32_t *ret_kinds)
{
    const struct name *n = look_up(names, type, code, hash_name(names, type, code));

    if (n == NULL)
        return 0;
    *ret_kinds = atomic_load(&n->kinds);
    return atomic_load(&n->number);
}

andiron_str names_of_type(const struct names *names, int64_t type)
{
    if (type <= 0 || type >= NAMES_TYPES_MAX)
        return (andiron_str){ NULL, 0 };
    const struct name *n = atomic_load_explicit(&names->types[type], memory_order_acquire);
    return n != NULL ? (andiron_str){ n->text, n->len } : (andiron_str){ NULL, 0 };
}

int64_t names_last_type(const struct names *names)
{
    return atomic_load(&names->last_type);
}

void names_forget_params(struct names *names)
{
    struct table *t = atomic_load(&names->table);

    pthread_mutex_lock(&names->lock);
    for (size_t i = 0; i <= t->mask; i++) {
        struct name *n = atomic_load(&t->slots[i]);
        if (n != NULL && n->type != 0) {
            atomic_store(&n->number, 0);
            atomic_store(&n->kinds, 0);
        }
    }
    pthread_mutex_unlock(&names->lock);
}
