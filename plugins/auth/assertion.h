/*
 * Client assertions (RFC 7523, SMART backend services): rules JA-1 to JA-12 of seed-semantics
 * 4.2 that need nothing but the assertion. Pure computation.
 */
#ifndef AUTH_ASSERTION_H
#define AUTH_ASSERTION_H

#include "common/jose/jws.h"

struct assertion_rules {
    const struct jose_alg *const *algs; /* NULL-terminated */
    size_t max_bytes;
    andiron_str audience, other_audience; /* other: absent unless the issuer is allowed too */
    double skew_s, life_s;
    double now_s;
};

struct assertion {
    struct jose_jws jws;
    const struct jose_alg *alg;
    andiron_str kid, jku; /* jku absent: none */
    andiron_str client;   /* iss and sub */
    andiron_str jti;
    double exp_s;
};

/* JA-1 to JA-4, and of JA-6 that iss and sub are equal strings. Nothing is trusted yet. */
ANDIRON_MUST_CHECK int assertion_read(struct andiron_arena *arena, andiron_str text,
                                      const struct assertion_rules *rules, struct assertion *ret,
                                      struct andiron_error *err);

/* JA-9 to JA-12 except the claim in the store, once the signature has been verified. */
ANDIRON_MUST_CHECK int assertion_check(struct assertion *assertion,
                                       const struct assertion_rules *rules,
                                       struct andiron_error *err);

/* Seconds of a NumericDate (RFC 7519 section 2); NAN if it is none. */
double assertion_date(andiron_json v);

#endif
