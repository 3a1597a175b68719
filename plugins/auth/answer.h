/*
 * Answers of introspection endpoints of others (RFC 7662 section 2.2). Pure computation.
 */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include <andiron/json.h>

enum answer {
    ANSWER_BROKEN,   /* not an answer to what was asked; err says why */
    ANSWER_INACTIVE, /* no token that may be presented here */
    ANSWER_ACTIVE    /* *ret_claims is all of it; its dates and audience are still to be judged */
};

/* Memory from arena; *ret_claims lives as long as body. */
enum answer answer_read(struct andiron_arena *arena, andiron_str body, andiron_json *ret_claims,
                        struct andiron_error *err);

#endif
