/*
 * What the three files of the store share: versions in memory, and how a filter judges one.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <andiron/plugin.h>
#include <andiron/store.h>

struct resource;

/* Never changed once it stands in the list, and never freed: rows may show its body to anybody. */
struct version {
    struct resource *of;
    struct version *older; /* of the same resource */
    uint64_t number;
    andiron_usec updated;
    bool deleted;
    andiron_str body;
    struct andiron_term *terms;
    size_t term_count;
};

struct resource {
    struct resource *next; /* in its bucket */
    andiron_str type, id;
    struct version *latest;
};

enum { BUCKETS = 65536 };

struct memory {
    struct andiron_arena *arena; /* of all that is stored */
    struct resource *buckets[BUCKETS];
    struct version **versions; /* in the order of commits */
    size_t count, room;
};

struct resource *memory_find(const struct memory *m, andiron_str type, andiron_str id);
bool memory_is_type(const struct version *v, const char *type);
/* Whether the filter (NULL: all) holds for v, which is a latest version and not deleted. */
bool memory_matches(const struct memory *m, const struct version *v,
                    const struct andiron_filter *f);

#endif
