/*
 * Running a matcho program on a request, or on any JSON.
 *
 * Allocates nothing and changes nothing but the matcher of its thread. Limited in time; what
 * exceeds a limit is a fault as a whole, never a part that "does not match", which a $not
 * could turn into a grant.
 */
#ifndef MATCHO_MATCH_H
#define MATCHO_MATCH_H

#include "common/policy/budget.h"
#include "common/policy/place.h"
#include "program.h"

enum match_result { MATCH_YES, MATCH_NO, MATCH_GAVE_UP };

struct match {
    const struct program *program;
    struct pattern_matcher *regex;
    andiron_str fhir_base; /* "https://host/fhir/"; absent: references are relative */
    bool null_equal;       /* ".path" holds where both sides are missing */
    int64_t limit_us;      /* of processor time, about */

    /* The value at a dotted path of the request object ("" is the whole). */
    andiron_json (*input)(void *arg, const char *path);
    void *arg;

    /* After MATCH_NO: what differed. After MATCH_GAVE_UP: where, and failed is the op. */
    const struct op *failed;
    andiron_json found; /* what was there instead; MISSING also where it is no JSON */
    bool is_missing;    /* nothing was there */
    struct policy_place place;
};

/* Against the whole request object. */
enum match_result match_request(struct match *m);

/* Against a value; `input` is only for ".path" patterns. */
enum match_result match_value(struct match *m, andiron_json v);

/* The same of one op of the program, within a budget that may be shared. */
enum match_result match_op(struct match *m, const struct op *op, andiron_json v,
                           struct policy_budget *budget);

/*
 * What an op asks for, in words: "a value", "an element that matches {...}"; of $not, what must not
 * be.
 */
void match_expected(const struct op *op, struct policy_text *ret);

#endif
