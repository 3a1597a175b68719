/*
 * Places of the request object by which policies are looked up: which of those that policies ask
 * about are worth it, and what a request has there.
 */
#ifndef ACCESS_PLACES_H
#define ACCESS_PLACES_H

#include "policy.h"

enum {
    PLACES_MAX = 32, /* looked at for a request */
    PLACE_VALUES_MAX =
        64, /* of one place that are looked up; behind that all of its policies are asked */
    LINK_PLACE_ALL = LINK_PLACE + PLACES_MAX,    /* + place: whatever policy is looked up by it */
    LINK_FRAGMENT = LINK_PLACE_ALL + PLACES_MAX, /* + place: what a string there holds */
    LINK_SEARCHED = LINK_FRAGMENT + PLACES_MAX,  /* + place: of a request, a string to search */
    LINK_END = LINK_SEARCHED + PLACES_MAX
};

struct place {
    const char *path;
    uint64_t hash;
    uint32_t policies;         /* that ask about it */
    const char *const *pieces; /* path, cut at its "*"; "" where two meet. Only of places in use */
    size_t piece_count;
    bool is_used;                  /* requests are looked at there, */
    bool is_compared, is_searched; /* for whole values, and for what strings hold */
};

struct places {
    struct place all[PLACES_MAX];
    unsigned count;
};

/* Those that most of the policies linked to nobody ask about. */
void places_choose(struct places *places, struct policy *const *policies, size_t count);

/* The place of a literal, or -1. */
int places_find(const struct places *places, const struct literal *literal);

/* From now on requests are looked at there; for what strings hold if is_searched. */
void places_use(struct places *places, int place, bool is_searched, struct andiron_arena *arena);

/* Most links that places_links() makes. */
size_t places_links_max(const struct places *places);

/*
 * What the request of call has at the places in use: links of the kinds LINK_PLACE + place and
 * LINK_SEARCHED + place (where nothing is: LINK_FRAGMENT + place), or LINK_PLACE_ALL + place where
 * that is too much. Their number.
 */
size_t places_links(const struct places *places, struct andiron_policy_call *call,
                    struct link *ret);

#endif
