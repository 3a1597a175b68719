/*
 * A filter as stores judge it: the tree with all names, hashes and numbers looked up once, for
 * the resources of one type. What decides nothing is left out.
 */
#ifndef COMMON_STORE_NODE_H
#define COMMON_STORE_NODE_H

#include <andiron/store.h>

#include "keys.h"

enum node_op {
    NODE_TRUE,
    NODE_FALSE,
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_TERM,
    NODE_UPDATED, /* _lastUpdated */
    NODE_ID,
    NODE_CHAIN,
    NODE_HAS,
    NODE_TOGETHER
};

struct memo;
struct iter;
struct note;
struct token_set;

struct node {
    enum node_op op;
    enum andiron_compare compare;
    const struct andiron_term *term;
    int64_t type;               /* of the resources that are judged */
    int64_t p;                  /* number of the param; of the other type for HAS */
    enum keys_kind kind;        /* of entries that can satisfy it */
    bool any_system, no_system; /* TOKEN */
    uint64_t hash;              /* of system, exact or unit; 0: not compared */
    struct hash128 wide;        /* OF_TYPE */
    andiron_str text;           /* as keys hold it */
    const int64_t *rids;        /* REFERENCE: numbers of the targets */
    size_t rid_count;
    int64_t other; /* CHAIN, HAS: the other type; REFERENCE by SYSTEM: target type */
    struct node **args;
    size_t arg_count;
    struct token_set *set; /* OR: arguments that are judged together, by judge_tokens(); or NULL */
    bool set_is_all;       /* there are no others */
    bool in_set;           /* it is one of those */
    bool single;           /* a range: no resource has several values of the param */

    /* What a store notes for itself. */
    bool walked;             /* bounds the walk along the index of the first sort key */
    bool listed;             /* the index lists its resources */
    bool settled;            /* candidates are only resources that satisfy it */
    struct memo *memo;       /* CHAIN: targets judged so far */
    int64_t judged;          /* CHAIN: the version last judged, */
    int64_t missed;          /* the target it refers to in vain, */
    bool missed_again;       /* whether the one judged before did so, too, */
    bool lie_together;       /* and whether many did, where that was last asked */
    struct iter *references; /* HAS, CHAIN: where a resource is referred to */
    struct iter *inner;      /* HAS, CHAIN: candidates for args[0], or NULL */
    struct note *note;       /* whatever else */
};

/* Where building finds what a filter names. Each gives 0; -1: failed, and node_build() with it. */
struct node_source {
    const struct hash_key *key;
    struct andiron_arena *arena;
    /* Numbers; 0: unknown. */
    int (*type)(void *arg, andiron_str name, int64_t *ret);
    int (*param)(void *arg, int64_t type, andiron_str param, int64_t *ret);
    /* Whether no resource has several values of a param. */
    int (*single)(void *arg, int64_t type, andiron_str param, bool *ret);
    /* rids and rid_count of a REFERENCE by type and id, or by id alone in every type. */
    int (*targets)(void *arg, struct node *n);
    void *arg;
    struct andiron_error *err; /* set only for filters that are not known here */
};

/* The tree for resources of `type`, in source->arena; filter NULL: all of them. NULL: failed. */
struct node *node_build(const struct node_source *source, int64_t type,
                        const struct andiron_filter *filter);

#endif
