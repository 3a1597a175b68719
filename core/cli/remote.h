/*
 * For commands that talk to a running server over HTTP: where it is, who asks, one request at
 * a time (libcurl), and errors as two lines with exit statuses.
 */
#ifndef CORE_CLI_REMOTE_H
#define CORE_CLI_REMOTE_H

#include <curl/curl.h>

#include <andiron/json.h>

#include "base/buffer.h"
#include "base/exits.h"

struct remote {
    const char *url;   /* base URL without a final '/' */
    const char *admin; /* "id:secret", or NULL: anonymous */
    struct andiron_arena *arena;
    CURL *curl;
};

struct remote_answer {
    long status;
    struct buffer body; /* owned by the caller: buffer_free() */
};

/*
 * admin_file holds "id:secret"; NULL: the environment's ANDIRON_ADMIN, or nobody. url NULL: the
 * environment's ANDIRON_URL, or http://127.0.0.1:8080. 0, or an exit status with the error printed.
 */
int remote_open(struct remote *remote, const char *url, const char *admin_file);
void remote_close(struct remote *remote);

/* Sets what every request of a handle needs: limits, credentials, where the answer goes. */
void remote_prepare(const struct remote *remote, CURL *curl, struct remote_answer *answer);

/*
 * One request; content_type goes with body (absent: none). 0 whatever the answer's status is, or an exit
 * status with the error printed.
 */
int remote_call(struct remote *remote, const char *method, const char *path,
                const char *content_type, andiron_str body, struct remote_answer *answer);

/*
 * Prints an answer that is not a success: what was refused, the outcome's own words, and what to
 * do. what is "PUT /Client/lab". Returns the exit status that fits.
 */
int remote_refused(struct remote *remote, const char *what, const struct remote_answer *answer);

/* The first issue's diagnostics of an OperationOutcome, or error_description, in arena; or absent. */
andiron_str remote_words(struct andiron_arena *arena, andiron_str body);

/* A whole file of at most max bytes; "-" is standard input. ret is the caller's to free. */
int remote_read_file(const char *path, size_t max, struct buffer *ret);

#endif
