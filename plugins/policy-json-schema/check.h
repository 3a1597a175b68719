/*
 * Checking a request, or any JSON, against a compiled schema.
 *
 * Allocates nothing and changes nothing but the matcher of its thread. Limited in time; what
 * exceeds a limit is a fault as a whole, never a part that "is not valid", which a "not" could
 * turn into a grant.
 */
#ifndef JSON_SCHEMA_CHECK_H
#define JSON_SCHEMA_CHECK_H

#include "common/policy/place.h"
#include "schema.h"

enum { CHECK_REASON_MAX = 160 };

enum check_result { CHECK_VALID, CHECK_INVALID, CHECK_GAVE_UP };

struct check {
    const struct schema *schema;
    struct pattern_matcher *regex;
    int64_t limit_us; /* of processor time, about */

    /* The value at a path of the request object: the name of a member, or "" for the whole. */
    andiron_json (*input)(void *arg, const char *path);
    void *arg;

    /* After CHECK_INVALID: the rule that does not hold at place; NULL is the schema false. */
    const struct rule *failed;
    andiron_str lacking; /* of RULE_REQUIRED: the first name that is not there */
    struct policy_place place;
};

/* Against the whole request object. */
enum check_result check_request(struct check *c);

/* Against a value; `input` is not used. */
enum check_result check_value(struct check *c, andiron_json v);

/* What the failed rule asks for: "does not have what \"required\" asks for: [\"user\"]". */
void check_reason(const struct check *c, char out[CHECK_REASON_MAX]);

#endif
