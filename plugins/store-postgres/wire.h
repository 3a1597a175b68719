/*
 * SQL over libpq without blocking a loop: statements, batches, transactions.
 *
 * Every loop has few connections of its own, in two pools: for reading and for writing. A
 * **batch** is one or several statements that are sent together and ended by one sync: one round
 * trip, and one transaction (all of it, or nothing). Several batches are under way on a connection
 * at once (`window`), so a batch should be short. A **lease** keeps a connection, for a transaction of
 * several batches that depend on each other.
 *
 *     struct wire_batch *b = wire_batch(arena);
 *     wire_add(b, &find_resource);            a const struct wire_sql
 *     wire_int2(b, type);                     its parameters, in order
 *     wire_text(b, id);
 *     return wire_ask(loop, WIRE_READ, req, b, found, state);
 *
 *     found:  if (b->reply.outcome != WIRE_OK) ... b->reply.error
 *             for (size_t i = 0; i < wire_rows(b, 0); i++) wire_get_int(b, 0, i, 1)
 *
 * All of this is called on the loop's own thread; results are views that live as long as the
 * batch's arena. Parameters and results are binary. Instants are andiron_usec on both sides.
 *
 * What is not done here: looking up what became of a commit whose outcome is unknown.
 */
#ifndef STORE_POSTGRES_WIRE_H
#define STORE_POSTGRES_WIRE_H

#include <andiron/async.h>
#include <andiron/error.h>

/* ---- statements ---------------------------------------------------------------- */

/* OIDs of pg_type, as they have been in every release. */
enum wire_type {
    WIRE_BOOL = 16,
    WIRE_BYTEA = 17,
    WIRE_INT8 = 20,
    WIRE_INT2 = 21,
    WIRE_INT4 = 23,
    WIRE_TEXT = 25,
    WIRE_FLOAT8 = 701,
    WIRE_BOOL_ARRAY = 1000,
    WIRE_BYTEA_ARRAY = 1001,
    WIRE_INT2_ARRAY = 1005,
    WIRE_INT4_ARRAY = 1007,
    WIRE_TEXT_ARRAY = 1009,
    WIRE_INT8_ARRAY = 1016,
    WIRE_FLOAT8_ARRAY = 1022,
    WIRE_TIMESTAMPTZ = 1184,
    WIRE_TIMESTAMPTZ_ARRAY = 1185,
    WIRE_XID8 = 5069
};

enum { WIRE_PARAMS = 24 };

/*
 * A statement: prepared on a connection when it is first sent there. Names of tables are written
 * without a schema.
 *
 * With a name: a constant of the plugin (`static const`), known by its address. Without: composed at
 * run time, in an arena; known by its text, so texts should differ in shape only, never in values.
 * A connection keeps the last few hundred of these.
 */
struct wire_sql {
    const char *name;                  /* "find_resource": letters, digits and _ */
    const char *text;                  /* with $1.. */
    enum wire_type types[WIRE_PARAMS]; /* of its parameters; the rest is 0 */
};

/* ---- batches ---------------------------------------------------------------------- */

enum wire_outcome {
    WIRE_OK,     /* done; of a transaction: it is committed */
    WIRE_FAILED, /* the server refused a statement: nothing of the batch is in force */
    WIRE_UNSENT, /* no connection in time, or the queue is full: nothing is in force */
    WIRE_LOST,   /* the connection died, and nothing is in force: there was nothing to commit, or it
                    had not got that far */
    WIRE_UNKNOWN /* it died after a commit was sent: what was written may be in force */
};

struct wire_reply {
    enum wire_outcome outcome;
    size_t statement; /* FAILED: which */
    char sqlstate[6]; /* FAILED: "23505"; else "" */
    uint64_t lsn;     /* after wire_finish(), where there are replicas; else 0 */
    /* Fit for clients: no SQL, no names of the database. Its code is OK if the outcome is. */
    struct andiron_error error;
};

struct wire_statement; /* batch.h */
struct wire_work;

struct wire_batch {
    struct wire_reply reply;
    struct andiron_arena *arena;

    /* Private, from here on. */
    struct wire_statement *first, *last, **by_number;
    size_t count;
    bool in_snapshot;
    const struct wire_sql *many;
};

/* An empty batch in arena, which must live until the batch is done. */
struct wire_batch *wire_batch(struct andiron_arena *arena);

/* All statements see one snapshot, and write nothing (REPEATABLE READ, READ ONLY). Not in a lease. */
void wire_snapshot(struct wire_batch *b);

/*
 * Of a read of one statement: it may be asked for together with others that wait on the loop, by `many`:
 * a statement whose parameters are arrays of this one's, and whose rows begin with the number, from 1 on,
 * of the element that they are for. The rows of each keep their order. Call it behind the parameters.
 */
void wire_together(struct wire_batch *b, const struct wire_sql *many);

/* Adds a statement. Its parameters follow, by the functions below; each must be of its type. */
void wire_add(struct wire_batch *b, const struct wire_sql *sql);

/* Parameters. Strings and arrays are not copied: they must live until the batch is done. */
void wire_bool(struct wire_batch *b, bool value);
void wire_int2(struct wire_batch *b, int64_t value);
void wire_int4(struct wire_batch *b, int64_t value);
void wire_int8(struct wire_batch *b, int64_t value);
void wire_float8(struct wire_batch *b, double value);
void wire_instant(struct wire_batch *b, andiron_usec value); /* timestamptz */
void wire_text(struct wire_batch *b, andiron_str value);     /* absent: NULL; no NUL bytes */
void wire_bytea(struct wire_batch *b, andiron_str value);    /* absent: NULL */
void wire_null(struct wire_batch *b);

/* Arrays, for `= ANY($1)` and `FROM unnest($1,$2)`. Elements are converted to the declared type. */
void wire_int_array(struct wire_batch *b, const int64_t *values,
                    size_t count); /* int2, 4, 8, timestamptz */
void wire_float_array(struct wire_batch *b, const double *values, size_t count);
void wire_bool_array(struct wire_batch *b, const bool *values, size_t count);
void wire_str_array(struct wire_batch *b, const andiron_str *values,
                    size_t count); /* text, bytea; absent: NULL */

/* Results of statement `at` (0..), once the outcome is WIRE_OK. */
size_t wire_rows(const struct wire_batch *b, size_t at);
size_t wire_affected(const struct wire_batch *b, size_t at); /* rows that it wrote */
bool wire_is_null(const struct wire_batch *b, size_t at, size_t row, unsigned column);
/* bool, int2, int4, int8, xid8, timestamptz; 0 for NULL. */
int64_t wire_get_int(const struct wire_batch *b, size_t at, size_t row, unsigned column);
double wire_get_float(const struct wire_batch *b, size_t at, size_t row, unsigned column);
/* text and bytea; absent for NULL. */
andiron_str wire_get_str(const struct wire_batch *b, size_t at, size_t row, unsigned column);
/* An array of int2, int4 or int8, in the batch's arena. */
const int64_t *wire_get_ints(const struct wire_batch *b, size_t at, size_t row, unsigned column,
                             size_t *ret_count);

/* Lets go of the results, which nobody looks at any more, before the arena does. */
void wire_release(struct wire_batch *b);

/* ---- sending ------------------------------------------------------------------------ */

enum wire_pool {
    WIRE_READ,   /* what fails with its connection is tried once more on another one */
    WIRE_WRITE,  /* each batch is a transaction, committed with its last statement */
    WIRE_LISTEN, /* the connection that listens, at once or not at all */
    WIRE_REPLICA /* reads that may lag behind (replica.h); by the primary if there is none */
};
enum { WIRE_POOLS = WIRE_REPLICA + 1 };

struct wire_loop; /* connections of a loop: struct local has it (store.h) */

/*
 * Sends a batch when a connection is free; done(arg, b) is called once, on the loop, never from
 * inside the call. Limits: queue-max batches wait at most connect-wait; the answer may take
 * statement-timeout and a little.
 */
void wire_send(struct wire_loop *loop, enum wire_pool pool, struct wire_batch *b,
               void (*done)(void *arg, struct wire_batch *b), void *arg);

/*
 * The same for a request that waits: `then` goes on whatever the outcome, unless the request has
 * ended meanwhile.
 */
enum andiron_step wire_ask(struct wire_loop *loop, enum wire_pool pool, struct andiron_request *req,
                           struct wire_batch *b, andiron_step_fn then, void *state);

/* ---- transactions of several batches --------------------------------------------------- */

enum wire_isolation {
    WIRE_COMMITTED, /* READ COMMITTED: each statement sees what was committed before it */
    WIRE_REPEATABLE /* one snapshot, and READ ONLY */
};

/*
 * A connection in a transaction, until wire_finish() or wire_abandon(). Nobody else uses it
 * meanwhile, so it should be over after few round trips: a pool may have no other. BEGIN travels with
 * the first batch. The server ends a transaction that is idle for idle-transaction-timeout.
 *
 * arena must outlive the lease, and abandons it when it is released: a request that ends
 * between two batches (its continuation is not called then) leaves nothing behind.
 */
struct wire_lease {
    struct andiron_error error; /* code OK: it is there; else UNSENT's */

    /* Private, from here on. */
    struct wire_work *work;
};

/* granted(arg, lease) is called once, on the loop, never from inside the call; see lease->error. */
struct wire_lease *wire_lease(struct wire_loop *loop, enum wire_pool pool,
                              enum wire_isolation isolation, struct andiron_arena *arena,
                              void (*granted)(void *arg, struct wire_lease *lease), void *arg);
enum andiron_step wire_lease_ask(struct wire_loop *loop, enum wire_pool pool,
                                 enum wire_isolation isolation, struct andiron_request *req,
                                 struct wire_lease **ret, andiron_step_fn then, void *state);

/*
 * One batch at a time. Anything but WIRE_OK has ended the transaction: nothing of it is in force
 * (LOST or FAILED); only wire_abandon() may follow.
 */
void wire_lease_send(struct wire_lease *lease, struct wire_batch *b,
                     void (*done)(void *arg, struct wire_batch *b), void *arg);
enum andiron_step wire_lease_go(struct wire_lease *lease, struct andiron_request *req,
                                struct wire_batch *b, andiron_step_fn then, void *state);

/*
 * Sends b (which may be empty) and COMMIT in one round trip, and gives the connection back. WIRE_OK:
 * committed. WIRE_UNKNOWN: look it up: the transaction's pg_current_xact_id(), read by an earlier
 * batch, tells by pg_xact_status(); after a failover also by the rows themselves.
 */
void wire_finish(struct wire_lease *lease, struct wire_batch *b,
                 void (*done)(void *arg, struct wire_batch *b), void *arg);
enum andiron_step wire_finish_go(struct wire_lease *lease, struct andiron_request *req,
                                 struct wire_batch *b, andiron_step_fn then, void *state);

/* ROLLBACK, without waiting; does nothing if it is over. NULL is allowed. */
void wire_abandon(struct wire_lease *lease);

/* ---- of the process --------------------------------------------------------------------- */

struct store;
struct wire;
struct dsn;

/* Takes the connection strings apart, looks their hosts up. Blocks. NULL: err. */
struct wire *wire_new(struct store *store, struct andiron_error *err);
void wire_free(struct wire *wire); /* NULL is allowed */

/* Connections of a loop, and their end: whatever is still under way is lost. On its thread. */
struct wire_loop *wire_loop_new(struct wire *wire, struct andiron_loop *loop,
                                struct andiron_error *err);
void wire_loop_free(struct wire_loop *loop); /* NULL is allowed */

/*
 * One of the read connections hears of NOTIFY, if it is told to LISTEN each time it comes up. From then on it
 * takes no transactions and nothing that may take long, unless it is the only one.
 */
struct wire_listener {
    void (*up)(void *arg);
    void (*notified)(void *arg, const char *payload);
    void *arg;
};
void wire_listen(struct wire_loop *loop, const struct wire_listener *listener);

/* What the replica has surely replayed (LSN); 0: there is none, or it does not answer. */
uint64_t wire_replayed(const struct wire_loop *loop);

/* A connection to the primary in the hands of the caller, for the start. Blocks. NULL: err. */
struct pg_conn *wire_connect(struct wire *wire, struct andiron_error *err);

/* Connections that are up, batches that wait and batches under way, of all loops. Any thread. */
struct wire_figures {
    int64_t ready[WIRE_POOLS], wanted[WIRE_POOLS]; /* by enum wire_pool */
    int64_t waiting, under_way;
};
struct wire_figures wire_figures(struct wire *wire);

#endif
