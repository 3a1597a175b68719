/*
 * Client assertions (RFC 7523) for the command line: claims, and the signature of a key file.
 */
#ifndef CORE_CLI_ASSERTION_H
#define CORE_CLI_ASSERTION_H

#include <andiron/base.h>

struct assertion_of {
    const char *client;   /* iss and sub */
    const char *audience; /* the token endpoint */
    const char *key_path; /* PEM */
    const char *kid;      /* NULL: the key's RFC 7638 thumbprint */
    int64_t ttl_s;
};

/* A compact JWS in arena. 0, or an exit status with the error printed. */
int assertion_sign(struct andiron_arena *arena, const struct assertion_of *of, andiron_str *ret);

#endif
