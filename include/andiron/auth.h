/*
 * andiron/auth.h - who asks, and the keys that prove it.
 *
 * A new way to authenticate is a hook in ANDIRON_PHASE_AUTHENTICATE that calls
 * andiron_request_set_principal(). Bad credentials fail the request there; no
 * credentials leave it anonymous, for policies and public routes to judge.
 */
#ifndef ANDIRON_AUTH_H
#define ANDIRON_AUTH_H

#include <andiron/async.h>
#include <andiron/json.h>

enum andiron_principal_kind {
    ANDIRON_ANONYMOUS,
    ANDIRON_CLIENT, /* a Client resource: Basic, or a client_credentials token */
    ANDIRON_USER,   /* a person, through a Client */
    ANDIRON_SYSTEM  /* the server itself: init bundle and jobs; needs no grant */
};

struct andiron_principal {
    size_t size; /* sizeof(struct andiron_principal) */
    enum andiron_principal_kind kind;
    const char *id;            /* Client or User id; NULL if anonymous */
    andiron_json client;       /* the Client resource, or MISSING */
    andiron_json user;         /* the User resource, or MISSING */
    andiron_json roles;        /* array of the User's Role resources, or MISSING */
    andiron_json session;      /* the Session resource, or MISSING */
    andiron_json jwt;          /* claims of the access token, or MISSING */
    const char *const *scopes; /* granted SMART scopes, NULL-terminated; NULL: not scoped */
    andiron_usec expires;      /* end of the credential; 0: none */
    const void *scope_set;     /* what scopes/1 compile() made of scopes, or NULL */
};

/*
 * Service "keys/1", provided by jwks: the server's own signing keys, and the key
 * sets of clients at their jwks_uri. Private
 * keys never leave it. Signing runs on the pool; verifying too where it is slow
 * (RSA above 3072 bits, ES384). Which key signs: `token-alg` of jwks.
 */
#define ANDIRON_KEYS "keys/1"

struct andiron_keys {
    size_t size;

    /* Compact JWS (RFC 7515) over claims with the active key. *ret_jws in the request's arena. */
    enum andiron_step (*sign)(void *self, struct andiron_request *req, andiron_str claims_json,
                              andiron_str *ret_jws, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state);

    /* Checks a JWS made by sign(), with any key that is still published and not revoked. */
    enum andiron_step (*verify)(void *self, struct andiron_request *req, andiron_str jws,
                                andiron_json *ret_claims, struct andiron_error *ret_error,
                                andiron_step_fn then, void *state);

    /* The public key set as served at /.well-known/jwks.json; lives as long as the request. */
    andiron_str (*public_set)(void *self, struct andiron_request *req);

    /* 0 if a Client may name this jwks_uri, else -1 and why. For its validation. */
    int (*allowed)(void *self, andiron_str url, struct andiron_error *err);

    /*
     * The JWK set at url, from the cache or the network (our own without either);
     * renew asks for an early fetch because of an unknown kid. In the request's arena.
     */
    enum andiron_step (*fetch)(void *self, struct andiron_request *req, andiron_str url, bool renew,
                               andiron_str *ret_set, struct andiron_error *ret_error,
                               andiron_step_fn then, void *state);

    /*
     * Says how long what is made by sign() lives at most: a retired key stays published for as
     * long. From start(). Check size before use, as for watch().
     */
    void (*token_life)(void *self, int64_t longest_ms);

    /*
     * Calls revoked(arg), from any thread, when a key is no longer trusted: whoever keeps what
     * verify() said must ask again. At most 8 watchers; from start().
     */
    void (*watch)(void *self, void (*revoked)(void *arg), void *arg);
};

/*
 * Service "scopes/1", provided by smart. Scopes only ever take away: a request
 * they do not cover is refused, one they cover still needs a grant.
 */
#define ANDIRON_SCOPES "scopes/1"

/* What a token request is granted. Both texts are space-separated. */
struct andiron_scope_grant {
    andiron_str scope; /* for the response and the Session; empty: nothing is left */
    andiron_str claim; /* for the token: the same, or a shorter form that means it (SC-8) */
};

/* A request as scopes look at it, members as in the request object of policies. */
struct andiron_scoped_request {
    andiron_str scopes;    /* space-separated */
    andiron_json context;  /* as for compile_in() */
    andiron_str operation; /* "FhirRead" */
    andiron_str path;      /* "/fhir/Patient/a/$meta": its last part, of an operation */
    andiron_str type, id;  /* absent: none */
};

struct andiron_scopes {
    size_t size;

    /* The principal is limited by scopes, and they cover this request. */
    bool (*covered)(void *self, const struct andiron_request *req);

    /* 0 if a Client may list this scope, else -1 and why. Any thread. */
    int (*check)(void *self, andiron_str scope, struct andiron_error *err);

    /*
     * What of `requested` (space-separated, as sent) `allowed` covers: intersected, wildcards
     * expanded, duplicates gone, in the order requested. allowed is an array of strings
     * (Client.scope). Scopes that are not understood are dropped. In arena. Any thread.
     */
    int (*grant)(void *self, struct andiron_arena *arena, andiron_str requested,
                 andiron_json allowed, struct andiron_scope_grant *ret, struct andiron_error *err);

    /*
     * The form in which covered() can look a type up at once, in arena; for principals that
     * are kept over many requests. -1 if a resource scope is malformed: the token is void then.
     */
    int (*compile)(void *self, struct andiron_arena *arena, const char *const *scopes,
                   const void **ret_set, struct andiron_error *err);

    /*
     * compile() for a token with a launch context: context is an object with the member
     * "patient" or "context.patient" (claims of a JWT, the answer of an introspection), or
     * MISSING. Without a patient, scopes in patient/ context cover nothing.
     */
    int (*compile_in)(void *self, struct andiron_arena *arena, const char *const *scopes,
                      andiron_json context, const void **ret_set, struct andiron_error *err);

    /*
     * covered() of a request that is only described; look whether size reaches it. Conditions of
     * scopes, which narrow what is seen, are not looked at. -1 and err if a scope is malformed. Like
     * check(), grant() and compile(), it works once init() has run, without a server.
     */
    int (*would_cover)(void *self, struct andiron_arena *arena,
                       const struct andiron_scoped_request *request, bool *ret_covered,
                       struct andiron_error *err);
};

#endif
