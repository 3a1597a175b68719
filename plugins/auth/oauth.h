/*
 * Answers of the OAuth endpoints (RFC 6749 section 5, RFC 7662, RFC 7009).
 */
#ifndef AUTH_OAUTH_H
#define AUTH_OAUTH_H

#include "auth.h"

/* Headers of every answer, success or not (seed-semantics TK-3). */
void oauth_headers(struct andiron_request *req);

/* Counts an answer of the endpoint: an OAuth error, or NULL for success. */
void oauth_count(struct andiron_request *req, struct auth *auth, const char *error);

/* An error of RFC 6749 section 5.2: invalid_client with 401, the server's own with 5xx. */
enum andiron_step oauth_fail(struct andiron_request *req, struct auth *auth, const char *error,
                             const char *fmt, ...) ANDIRON_PRINTF(4, 5);

/* What a store or key service reported: temporarily_unavailable or server_error. */
enum andiron_step oauth_fail_with(struct andiron_request *req, struct auth *auth,
                                  const struct andiron_error *err);

#endif
