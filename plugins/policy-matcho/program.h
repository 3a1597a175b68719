/*
 * A matcho pattern as a flat program: one op per pattern, in the order of the source, each
 * followed by the ops of the patterns inside it.
 *
 * Made once from an AccessPolicy, read-only after that. Knows nothing of requests.
 */
#ifndef MATCHO_PROGRAM_H
#define MATCHO_PROGRAM_H

#include <andiron/json.h>

#include "common/pattern/pattern.h"

enum op_code {
    OP_EQUAL,       /* a number, boolean or string */
    OP_NIL,         /* null, "nil?" */
    OP_PRESENT,     /* "present?" */
    OP_NOT_BLANK,   /* "not-blank?" */
    OP_REGEX,       /* "#..." */
    OP_PATH,        /* ".a.b" */
    OP_OBJECT,      /* {k: p}; inside: one named op per member */
    OP_ARRAY,       /* [p0, p1]; inside: one op per element */
    OP_ENUM,        /* $enum: `pattern` is the array of scalars */
    OP_ONE_OF,      /* $one-of; inside: the alternatives */
    OP_NOT,         /* $not; inside: one op, as in all below unless it says otherwise */
    OP_CONTAINS,    /* $contains */
    OP_EVERY,       /* $every */
    OP_PRESENT_ALL, /* $present-all; inside: one op per element asked for */
    OP_LENGTH,      /* $length; inside: an op for a number */
    OP_REFERENCE,   /* $reference */
    OP_ALL          /* several $keys on one value; inside: an op for each */
};

struct op {
    enum op_code code;
    uint32_t next;        /* index of the op behind this one and all inside */
    uint32_t index;       /* place in the array that this op stands in */
    andiron_str name;     /* member this op is for, or the $key it was written as */
    andiron_json pattern; /* as written: to compare with and to name in a reason */
    union {
        const struct pattern *regex;
        const char *path; /* OP_PATH: without the first dot */
    };
};

struct program {
    const struct op *ops;
    uint32_t count;
    const char *warning; /* what is allowed but hardly meant, or NULL (ML-3) */
};

/*
 * Compiles the pattern in arena; it must live as long. -1 and what is wrong; err.where is the
 * place inside the pattern, appended to `where` ("AccessPolicy.matcho"). Any thread.
 */
ANDIRON_MUST_CHECK int program_compile(struct andiron_arena *arena, andiron_json pattern,
                                       const char *where, struct program *ret,
                                       struct andiron_error *err);

#endif
