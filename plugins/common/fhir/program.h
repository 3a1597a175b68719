/*
 * Extraction programs: a tree over member names, in rows without pointers.
 *
 * A walk goes through a resource and down the tree together. Where a node has emits, the
 * JSON value there becomes index terms. The tables of R4 are generated; for other resource
 * types (and search parameters made at run time) the same rows are built in an arena.
 */
#ifndef FHIR_PROGRAM_H
#define FHIR_PROGRAM_H

#include <stdint.h>

/* How a value becomes terms: by kind of parameter and type of element; as in tools/fhir/kinds.js. */
enum fhir_how {
    FHIR_HOW_PRESENT,   /* only that there is a value */
    FHIR_HOW_COMPOSITE, /* arg: row of composites */
    FHIR_HOW_TRUTH,     /* arg: first row of truths */
    FHIR_HOW_CODE,      /* arg: system, in texts */
    FHIR_HOW_CODING,
    FHIR_HOW_CODEABLE,
    FHIR_HOW_IDENTIFIER,
    FHIR_HOW_CONTACT,
    FHIR_HOW_BOOLEAN,
    FHIR_HOW_TEXT,  /* a string, number or boolean as a token without system */
    FHIR_HOW_LABEL, /* a string as a token without case */
    FHIR_HOW_STRING,
    FHIR_HOW_HUMAN_NAME,
    FHIR_HOW_ADDRESS,
    FHIR_HOW_DATE,
    FHIR_HOW_INSTANT,
    FHIR_HOW_PERIOD,
    FHIR_HOW_TIMING,
    FHIR_HOW_NUMBER,
    FHIR_HOW_NUMBER_RANGE,
    FHIR_HOW_QUANTITY,
    FHIR_HOW_MONEY,
    FHIR_HOW_RANGE,
    FHIR_HOW_SAMPLED,
    FHIR_HOW_REFERENCE,
    FHIR_HOW_CANONICAL,
    FHIR_HOW_RESOURCE,
    FHIR_HOW_ATTACHMENT,
    FHIR_HOW_URI,
    FHIR_HOW_POSITION,
    FHIR_HOW_ANY_TOKEN /* by what the JSON looks like: for types without definitions */
};

struct fhir_node_row {
    uint16_t edges, guards, emits; /* first of each */
    uint8_t edge_count, guard_count, emit_count;
};

/* Member to node; within a node by length of the name. */
struct fhir_edge_row {
    uint16_t name, node; /* name: in names */
    uint8_t length;
};

enum fhir_guard_op {
    FHIR_GUARD_EQ,        /* where(a = 'b'): a and b in names */
    FHIR_GUARD_REFERENCE, /* where(resolve() is a): a in names */
    FHIR_GUARD_INDEX      /* [a] */
};

/* A node that looks at the same value, if the guard holds. */
struct fhir_guard_row {
    uint8_t op;
    uint16_t a, b;
    uint16_t node;
};

struct fhir_emit_row {
    uint16_t param; /* row of params */
    uint16_t arg;
    uint8_t how;
    uint8_t part; /* 1..3 in a composite */
};

struct fhir_composite_row {
    uint8_t count;         /* of parts */
    uint8_t from_resource; /* bit n: part n starts at the resource (%resource), not at the value */
    uint16_t parts[3];     /* nodes */
};

enum fhir_truth_op { FHIR_TRUTH_EXISTS, FHIR_TRUTH_NE };

/* One condition of a row of them, all of which must hold: a.exists() and a != b. */
struct fhir_truth_row {
    uint8_t op, member_count;
    uint16_t members; /* first in truth_members: the forms of a choice */
    uint16_t literal; /* in names */
    uint8_t is_last;
};

struct fhir_param_row;

struct fhir_program {
    const struct fhir_node_row *nodes;
    const struct fhir_edge_row *edges;
    const struct fhir_guard_row *guards;
    const struct fhir_emit_row *emits;
    const struct fhir_composite_row *composites;
    const struct fhir_truth_row *truths;
    const uint16_t *truth_members;
    const struct fhir_param_row *params;
    const char *names, *texts;
};

/* The program of all R4 resource types. */
const struct fhir_program *fhir_program_r4(void);

#endif
