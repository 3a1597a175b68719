/*
 * What the files of the expression compiler share: syntax trees, and paths. See expression.h.
 */
#ifndef FHIR_EXPRESSION_TREE_H
#define FHIR_EXPRESSION_TREE_H

#include <andiron/error.h>

#include "params.h"
#include "program.h"

enum fhir_tree_op {
    FHIR_TREE_START,  /* what the expression is evaluated on */
    FHIR_TREE_MEMBER, /* of.text */
    FHIR_TREE_UNION,  /* of | with */
    FHIR_TREE_AND,    /* of and with */
    FHIR_TREE_EQ,     /* of = 'text' */
    FHIR_TREE_NE,     /* of != 'text' */
    FHIR_TREE_AS,     /* of as text */
    FHIR_TREE_IS,     /* of is text */
    FHIR_TREE_INDEX,  /* of[index] */
    FHIR_TREE_WHERE,  /* of.where(with) */
    FHIR_TREE_EXISTS, /* of.exists() */
    FHIR_TREE_RESOLVE /* of.resolve() */
};

struct fhir_tree {
    enum fhir_tree_op op;
    const struct fhir_tree *of, *with;
    andiron_str text; /* in the expression */
    uint16_t index;
};

/* Tree of a text of at most FHIR_EXPRESSION_MAX bytes; NULL and err. */
const struct fhir_tree *fhir_expression_parse(struct andiron_arena *arena, andiron_str text,
                                              struct andiron_error *err);

/* One step of a path: to a member, or a guard. */
struct fhir_path_step {
    const struct fhir_path_step *before; /* NULL: the first */
    andiron_str member;                  /* absent: a guard */
    enum fhir_guard_op guard;
    andiron_str a, b; /* GUARD_EQ: member and value; GUARD_REFERENCE: type */
    uint16_t index;   /* GUARD_INDEX */
    int depth;        /* steps before it, and itself */
};

/* A way from the start to a value. */
struct fhir_path {
    const struct fhir_path_step *last; /* NULL: the start itself */
    int structure;                     /* of what is there */
    int owner;                         /* of the last member; -1: none */
    bool from_resource;                /* it started at %resource */
    struct fhir_path *next;
};

struct fhir_paths {
    struct fhir_path *first, **end; /* end is not set while first is NULL */
    size_t count;
};

/* What an expression is resolved in. */
struct fhir_resolving {
    struct andiron_arena *arena;
    int base;      /* structure that it starts from */
    int resource;  /* the resource's, for %resource */
    size_t made;   /* paths so far */
    bool is_other; /* some part was about another type */
    struct andiron_error *err;
};

/* All paths of a tree, in the order in which it names them. -1 and err. */
int fhir_expression_paths(struct fhir_resolving *r, const struct fhir_tree *tree,
                          struct fhir_paths *ret);

/* Whether a structure is, or is derived from, the type named. */
bool fhir_structure_is(int structure, andiron_str wanted);

/* How values of a type are indexed by a kind of parameter; false: they cannot be. */
bool fhir_how_of(enum fhir_param_kind kind, int structure, enum fhir_how *ret);

#endif
