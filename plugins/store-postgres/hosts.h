/*
 * The servers that a connection string names, as addresses: libpq itself would look names up on the
 * thread that connects, and would wait for each silent host.
 *
 * Thread-safe. Names are looked up on the pool; until the answer is there, the last one serves.
 */
#ifndef STORE_POSTGRES_HOSTS_H
#define STORE_POSTGRES_HOSTS_H

#include "dsn.h"

struct hosts;

/* One attempt to connect: to an address, for sessions of these attributes. */
struct host {
    char name[256], address[64], port[8]; /* empty: libpq's own choice */
    const char *attributes;               /* of target_session_attrs; lives as long as hosts */
    bool is_known;                        /* false: its name has no address yet; do not try */
};

/* attributes if the string does not say: "read-write". Keeps dsn. NULL: err. */
struct hosts *hosts_new(const struct dsn *dsn, const char *attributes, struct andiron_error *err);
void hosts_free(struct hosts *hosts); /* NULL is allowed */

/* Looks all names up, now. Blocks; what cannot be found is tried again later. */
void hosts_look_up(struct hosts *hosts);
/* Looks them up on the pool if the last time was seconds ago. */
void hosts_refresh(struct hosts *hosts);

/* The attempt of that number, which goes around all of them; *ret_last: it ends a round. */
void hosts_at(struct hosts *hosts, unsigned attempt, struct host *ret, bool *ret_last);

/* Connects to the first that will do. Blocks; dsn has a connect_timeout. NULL: err. */
PGconn *hosts_connect(struct hosts *hosts, const struct dsn *dsn, struct andiron_error *err);

#endif
