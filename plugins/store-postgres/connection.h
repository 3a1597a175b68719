/*
 * One connection of a loop: connecting, sending units in pipeline mode, receiving results.
 *
 * A unit is what one sync ends: a batch with what it needs around it, or something of the
 * connection's own. What failed is never handled inside a call that sends: the connection is marked
 * as broken, and the loop sees to it.
 */
#ifndef STORE_POSTGRES_CONNECTION_H
#define STORE_POSTGRES_CONNECTION_H

#include <libpq-fe.h>

#include "hosts.h"
#include "store.h"

struct event;
struct unit;
struct connection;

/* Who has connections; its functions are called on the loop. */
struct connection_owner {
    /* Has just been made. Before `free`. */
    void (*up)(void *arg, struct connection *c);
    /* NOTIFY was heard. */
    void (*notified)(void *arg, const char *payload);
    /* Has just become able to take units, or has taken one back. */
    void (*free)(void *arg, struct connection *c);
    /* A unit's results are there: b->reply says. */
    void (*done)(void *arg, struct wire_work *work);
    /* It broke with the unit under way. is_unknown: a commit had been sent. */
    void (*lost)(void *arg, struct wire_work *work, bool is_unknown);
    /* Broke, or could not be made; a lease on it is over. */
    void (*down)(void *arg, struct connection *c);
    void *arg;
};

/* To whom and how; the same for all connections of a pool. */
struct connection_settings {
    struct store *store;
    const struct dsn *dsn;
    struct hosts *hosts;
    const char *begin; /* SELECT set_config(..): what a session, or each transaction, begins with */
    bool writes;       /* a server that cannot be written to will not do */
    bool keep_prepared; /* prepared statements live as long as the connection */
    int64_t connect_timeout, answer_timeout; /* ms */
    size_t window;
};

/* What surrounds the statements of a batch. */
struct around {
    const struct wire_sql *begin, *commit; /* or NULL */
    bool wants_lsn;                        /* of the commit, behind it */
};

/* A connection that begins to connect soon; NULL: out of memory. */
struct connection *connection_new(const struct connection_settings *settings,
                                  struct event_base *base, const struct connection_owner *owner);
/* What is under way is lost. NULL is allowed. */
void connection_free(struct connection *c);

bool connection_is_ready(const struct connection *c);
/* Units under way, and whether another one may be sent. */
size_t connection_load(const struct connection *c);
bool connection_has_room(const struct connection *c);
/* When the last attempts to connect began to fail (monotonic ms); 0: it is up, or was a moment ago. */
int64_t connection_down_since(const struct connection *c);
/* Milliseconds since which the server owes an answer without a sign of life. */
int64_t connection_silence(const struct connection *c, int64_t now_ms);

void connection_send(struct connection *c, struct wire_work *work, struct wire_batch *b,
                     struct around around);
/* ROLLBACK, of which nobody is told. */
void connection_rollback(struct connection *c);
/* Ends what the server has not answered in time. */
void connection_look(struct connection *c, int64_t now_ms);
/* Ends the connection and makes a new one: the server does not do what it is for. */
void connection_break(struct connection *c, const char *reason);

/* Monotonic milliseconds. */
int64_t connection_clock(void);

/* What a failure that the server reported means to clients of the store. */
void connection_error(struct andiron_error *err, const char *sqlstate);

#endif
