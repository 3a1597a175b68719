/*
 * A client of a Bulk Data server: requests with credentials, which go to no other origin than the
 * server's own, and access tokens by signed assertions (SMART Backend Services), renewed in time.
 */
#ifndef CORE_CLI_BULK_CLIENT_H
#define CORE_CLI_BULK_CLIENT_H

#include "cli/remote.h"

struct bulk_login {
    const char *client; /* NULL: remote's id:secret, or nobody */
    const char *key_path, *kid, *scope;
    const char *token_url; /* NULL: as the server's SMART configuration says */
};

struct bulk_client {
    struct remote *remote;
    const char *fhir; /* base URL of FHIR, without a final '/' */
    struct bulk_login login;
    const char *const *origins; /* URLs whose origins get credentials, too; NULL-terminated */
    struct buffer token;
    int64_t token_ends; /* monotonic, microseconds */
};

/* 0, or an exit status with the error printed: a token where one is needed, made anew if forced. */
int bulk_client_token(struct bulk_client *c, bool anew);
void bulk_client_close(struct bulk_client *c);

/* Whether url has the origin of the server, or of those that were allowed. */
bool bulk_client_trusts(const struct bulk_client *c, const char *url);

/* Sets url, limits and, where is_secret and the origin is trusted, credentials. */
void bulk_client_prepare(const struct bulk_client *c, CURL *curl, const char *url, bool is_secret,
                         struct remote_answer *answer);

/*
 * One request, without a body; headers may be NULL. The answer's headers are those of
 * remote->curl. CURLE_OK, or why there is no answer.
 */
CURLcode bulk_client_call(struct bulk_client *c, const char *method, const char *url,
                          struct curl_slist *headers, struct remote_answer *answer);

/* A header of the answer of a handle, or NULL; good until its next request. */
const char *bulk_client_header(CURL *curl, const char *name);

/* Seconds of Retry-After; otherwise fallback. */
int64_t bulk_client_retry_after(CURL *curl, int64_t fallback);

/* url, which may be relative to base, in arena; NULL if it is none. */
const char *bulk_client_resolve(struct andiron_arena *arena, const char *base, const char *url);

#endif
