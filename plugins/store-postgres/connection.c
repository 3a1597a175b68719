/*
 * Connecting, sending and receiving; see connection.h. libpq's pipeline mode, non-blocking; touches
 * nothing but its own socket.
 */
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <event2/event.h>

#include "batch.h"
#include "prepared.h"

enum state { DOWN, CONNECTING, READY, BROKEN };
enum { BACKOFF_MIN = 20, BACKOFF_MAX = 500 /* ms: a failover should be over within two seconds */ };

/* What one sync ends, on its way. */
enum unit_kind { UNIT_BATCH, UNIT_SESSION, UNIT_PREPARE, UNIT_ROLLBACK, UNIT_DROP };
struct unit {
    struct unit *next;
    enum unit_kind kind;
    struct wire_work *work;
    struct wire_batch *batch;
    struct wire_statement *at; /* that gets the next result */
    unsigned before, after;    /* commands before and behind the statements that owe a result */
    bool commits, wants_lsn;
    uint64_t key;     /* PREPARE, DROP */
    const char *name; /* PREPARE: of the statement, for the log; NULL: composed */
};

struct connection {
    struct connection_settings settings;
    struct connection_owner owner;
    struct event_base *base;
    PGconn *pg;
    enum state state;
    struct event *reading, *writing, *timer, *turn;
    bool is_flushing, is_full, is_dirty; /* dirty: something waits for the end of the loop's turn */
    bool is_proven;                      /* the server has answered something over it */
    struct unit *first, **last, *spare;
    size_t load;         /* batches under way */
    int64_t heard_ms;    /* last sign of life, or when the server began to owe one */
    int64_t deadline_ms; /* CONNECTING */
    int64_t down_since_ms;
    unsigned attempt; /* number of the host to try */
    unsigned failures;
    uint32_t random;
    char reason[160]; /* BROKEN: why */
    struct prepared prepared;
};

int64_t connection_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wake(struct connection *c, int64_t ms)
{
    struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

    if (event_add(c->timer, &wait) != 0)
        abort(); /* out of memory */
}

/* ---- breaking ------------------------------------------------------------------------- */

void connection_break(struct connection *c, const char *reason)
{
    if (c->state == BROKEN || c->state == DOWN)
        return;
    c->state = BROKEN;
    (void)snprintf(c->reason, sizeof(c->reason), "%.*s", (int)strcspn(reason, "\n"), reason);
    wake(c, 0);
}

static void drop_events(struct connection *c)
{
    if (c->reading != NULL)
        event_free(c->reading);
    if (c->writing != NULL)
        event_free(c->writing);
    c->reading = c->writing = NULL;
    c->is_flushing = false;
}

static struct unit *pop(struct connection *c)
{
    struct unit *u = c->first;

    c->first = u->next;
    if (c->first == NULL)
        c->last = &c->first;
    if (u->kind == UNIT_BATCH)
        c->load--;
    return u;
}

static void give_back(struct connection *c, struct unit *u)
{
    u->next = c->spare;
    c->spare = u;
}

static void lose_units(struct connection *c)
{
    while (c->first != NULL) {
        struct unit *u = pop(c);
        struct wire_work *work = u->kind == UNIT_BATCH ? u->work : NULL;
        bool is_unknown = u->commits;
        give_back(c, u);
        if (work != NULL)
            c->owner.lost(c->owner.arg, work, is_unknown);
    }
}

static void close_it(struct connection *c)
{
    drop_events(c);
    PQfinish(c->pg);
    c->pg = NULL;
    c->is_full = false;
    memset(&c->prepared, 0, sizeof(c->prepared));
}

/* Between half of the time and all of it, so that nodes do not come back together. */
static int64_t backoff(struct connection *c)
{
    int64_t ms = BACKOFF_MIN;

    for (unsigned i = 1; i < c->failures && ms < BACKOFF_MAX; i++)
        ms *= 2;
    ms = ms < BACKOFF_MAX ? ms : BACKOFF_MAX;
    c->random = c->random * 1664525u + 1013904223u;
    return ms / 2 + (int64_t)(c->random >> 16) % (ms / 2 + 1);
}

/* Was up, and is no more. */
static void see_broken(struct connection *c)
{
    if (c->is_proven || c->failures == 0)
        store_log(c->settings.store, ANDIRON_LOG_WARN, "store.connection.lost",
                  "a connection to the database was lost: %s", c->reason);
    store_count(c->settings.store->metrics.lost, 1);
    c->state = DOWN;
    if (c->down_since_ms == 0)
        c->down_since_ms = connection_clock();
    close_it(c);
    lose_units(c);
    c->owner.down(c->owner.arg, c);
    /* Who takes connections and answers nothing is no better than who takes none. */
    c->failures = c->is_proven ? 0 : c->failures + 1;
    wake(c, c->is_proven ? backoff(c) / 4 : backoff(c));
}

/* ---- connecting -------------------------------------------------------------------------- */

static void go_on_connecting(struct connection *c);

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void watch_socket(struct connection *c, bool writing)
{
    int fd = PQsocket(c->pg);

    drop_events(c);
    c->reading = event_new(c->base, fd, EV_READ | EV_PERSIST, on_socket, c);
    c->writing = event_new(c->base, fd, EV_WRITE | EV_PERSIST, on_socket, c);
    if (c->reading == NULL || c->writing == NULL ||
        event_add(writing ? c->writing : c->reading, NULL) != 0)
        abort(); /* out of memory */
}

/* An attempt failed: the next host, at once within a round. */
static void fail_attempt(struct connection *c, const char *reason)
{
    struct host host;
    bool is_last;

    hosts_at(c->settings.hosts, c->attempt, &host, &is_last);
    c->attempt++;
    c->state = DOWN;
    /* The first round says it once; who waits is told by health. */
    if (is_last && c->failures == 0)
        store_log(c->settings.store, ANDIRON_LOG_WARN, "store.connection.refused",
                  "the database cannot be reached: %.*s", (int)strcspn(reason, "\n"), reason);
    close_it(c);
    if (c->down_since_ms == 0)
        c->down_since_ms = connection_clock();
    c->failures += is_last;
    c->owner.down(c->owner.arg, c);
    wake(c, is_last ? backoff(c) : 0);
}

static void begin_session(struct connection *c);

static void connected(struct connection *c)
{
    if (PQsetnonblocking(c->pg, 1) != 0 || PQenterPipelineMode(c->pg) != 1) {
        fail_attempt(c, PQerrorMessage(c->pg));
        return;
    }
    watch_socket(c, false);
    c->state = READY;
    c->is_proven = false;
    c->heard_ms = connection_clock();
    store_count(c->settings.store->metrics.reconnects, 1);
    begin_session(c);
    c->owner.up(c->owner.arg, c);
    c->owner.free(c->owner.arg, c);
}

/* libpq would print what the server remarks. */
static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

static void begin_connecting(struct connection *c)
{
    struct dsn dsn = *c->settings.dsn;
    struct host host;
    bool is_last;

    hosts_refresh(c->settings.hosts);
    hosts_at(c->settings.hosts, c->attempt, &host, &is_last);
    if (!host.is_known) {
        fail_attempt(c, "its name is not known");
        return;
    }
    dsn_set(&dsn, "host", host.name);
    dsn_set(&dsn, "hostaddr", host.address);
    dsn_set(&dsn, "port", host.port);
    dsn_set(&dsn, "target_session_attrs", host.attributes);
    c->state = CONNECTING;
    c->deadline_ms = connection_clock() + c->settings.connect_timeout;
    c->pg = PQconnectStartParams(dsn.keywords, dsn.values, 0);
    if (c->pg == NULL)
        abort(); /* out of memory */
    (void)PQsetNoticeReceiver(c->pg, ignore_notice, NULL);
    wake(c, c->settings.connect_timeout);
    if (PQstatus(c->pg) == CONNECTION_BAD)
        fail_attempt(c, PQerrorMessage(c->pg));
    else
        watch_socket(c, true);
}

static void go_on_connecting(struct connection *c)
{
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        watch_socket(c, false); /* the socket may be another one than before */
        break;
    case PGRES_POLLING_WRITING:
        watch_socket(c, true);
        break;
    case PGRES_POLLING_OK:
        connected(c);
        break;
    default:
        fail_attempt(c, PQerrorMessage(c->pg));
        break;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    switch (c->state) {
    case DOWN:
        begin_connecting(c);
        break;
    case CONNECTING:
        if (connection_clock() >= c->deadline_ms)
            fail_attempt(c, "it does not answer");
        break;
    case BROKEN:
        see_broken(c);
        break;
    case READY:
        break;
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

static void flush(struct connection *c)
{
    int left = PQflush(c->pg);

    if (left < 0) {
        connection_break(c, PQerrorMessage(c->pg));
    } else if ((left > 0) != c->is_flushing) {
        c->is_flushing = left > 0;
        if ((c->is_flushing ? event_add(c->writing, NULL) : event_del(c->writing)) != 0)
            abort(); /* out of memory */
    }
}

static struct unit *push_unit(struct connection *c, enum unit_kind kind)
{
    struct unit *u = c->spare;

    if (u != NULL)
        c->spare = u->next;
    else
        u = malloc(sizeof(*u));
    if (u == NULL)
        abort(); /* out of memory */
    *u = (struct unit){ .kind = kind };
    if (c->first == NULL)
        c->heard_ms = connection_clock();
    *c->last = u;
    c->last = &u->next;
    return u;
}

static const int binary[WIRE_PARAMS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                         1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

static const Oid *types_of(const struct wire_sql *sql)
{
    _Static_assert(sizeof(Oid) == sizeof(enum wire_type), "types are handed on as they are");
    return (const Oid *)sql->types;
}

static int send_sql(struct connection *c, const struct wire_sql *sql, uint64_t key,
                    const char *const *values, const int *lengths)
{
    char room[PREPARED_NAME];
    int count = wire_sql_params(sql);

    if (!c->settings.keep_prepared)
        return PQsendQueryParams(c->pg, sql->text, count, types_of(sql), values, lengths, binary,
                                 1);
    return PQsendQueryPrepared(c->pg, prepared_name(sql, key, room), count, values, lengths, binary,
                               1);
}

/* What has no parameters and is not kept. */
static int send_text(struct connection *c, const char *text)
{
    return PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 1);
}

/* The end of the loop's turn: all that came up in it goes out at once. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    c->is_dirty = false;
    if (c->state == READY)
        flush(c);
}

static void end_unit(struct connection *c, int is_sent)
{
    if (is_sent != 1 || PQpipelineSync(c->pg) != 1) {
        connection_break(c, PQerrorMessage(c->pg));
    } else if (!c->is_dirty) {
        c->is_dirty = true;
        event_active(c->turn, 0, 0);
    }
}

static void begin_session(struct connection *c)
{
    /* Where each transaction begins with it, this is to hear whether anybody answers. */
    push_unit(c, UNIT_SESSION)->before = 1;
    end_unit(c, send_text(c, c->settings.begin));
}

static void drop_oldest(struct connection *c)
{
    char name[PREPARED_NAME], text[PREPARED_NAME + 16];
    uint64_t key;

    if (!prepared_too_many(&c->prepared, name, &key))
        return;
    prepared_drop(&c->prepared, key);
    (void)snprintf(text, sizeof(text), "DEALLOCATE %s", name);
    push_unit(c, UNIT_DROP)->before = 1;
    end_unit(c, send_text(c, text));
}

/* In a unit of its own: if it cannot be prepared, only what needs it fails. */
static void prepare(struct connection *c, const struct wire_sql *sql, uint64_t key)
{
    char room[PREPARED_NAME];

    if (!c->settings.keep_prepared || prepared_has(&c->prepared, key))
        return;
    drop_oldest(c);
    prepared_add(&c->prepared, sql, key);
    struct unit *u = push_unit(c, UNIT_PREPARE);
    u->before = 1;
    u->key = key;
    u->name = sql->name;
    end_unit(c, PQsendPrepare(c->pg, prepared_name(sql, key, room), sql->text, wire_sql_params(sql),
                              types_of(sql)));
}

static const char lsn[] = "SELECT pg_current_wal_insert_lsn()";

static int send_around(struct connection *c, const struct wire_sql *sql, unsigned *count)
{
    if (sql == NULL)
        return 1;
    ++*count;
    return send_sql(c, sql, prepared_key(sql), NULL, NULL);
}

void connection_send(struct connection *c, struct wire_work *work, struct wire_batch *b,
                     struct around around)
{
    if (around.begin != NULL)
        prepare(c, around.begin, prepared_key(around.begin));
    if (around.commit != NULL)
        prepare(c, around.commit, prepared_key(around.commit));
    for (struct wire_statement *s = b->first; s != NULL; s = s->next) {
        s->key = prepared_key(s->sql);
        prepare(c, s->sql, s->key);
    }
    struct unit *u = push_unit(c, UNIT_BATCH);
    u->work = work;
    u->batch = b;
    u->at = b->first;
    u->commits = around.commit != NULL;
    c->load++;
    c->is_full = c->is_full || c->load >= c->settings.window;
    if (c->state != READY)
        return; /* broke meanwhile: it is lost with the others */
    int is_sent = send_around(c, around.begin, &u->before);
    if (is_sent == 1 && !c->settings.keep_prepared) {
        u->before++;
        is_sent = send_text(c, c->settings.begin);
    }
    for (const struct wire_statement *s = b->first; s != NULL && is_sent == 1; s = s->next)
        is_sent = send_sql(c, s->sql, s->key, s->values, s->lengths);
    if (is_sent == 1)
        is_sent = send_around(c, around.commit, &u->after);
    if (is_sent == 1 && around.wants_lsn) {
        u->after++;
        u->wants_lsn = true;
        is_sent = send_text(c, lsn);
    }
    end_unit(c, is_sent);
}

void connection_rollback(struct connection *c)
{
    if (c->state != READY)
        return;
    push_unit(c, UNIT_ROLLBACK)->before = 1;
    end_unit(c, send_text(c, "ROLLBACK"));
}

/* ---- receiving -------------------------------------------------------------------------------- */

/* PostgreSQL manual, appendix A. */
void connection_error(struct andiron_error *err, const char *sqlstate)
{
    static const struct {
        const char *state; /* or its class */
        enum andiron_code code;
        const char *message;
    } meanings[] = {
        { "57014", ANDIRON_E_TIMEOUT, "the database took too long" },
        { "55P03", ANDIRON_E_TIMEOUT, "the database took too long" },
        { "53100", ANDIRON_E_NO_SPACE, "the database has no space left" },
        { "53", ANDIRON_E_UNAVAILABLE, "the database is out of resources; try again later" },
        { "58030", ANDIRON_E_NO_SPACE, "the database cannot write to its disk" },
        { "40", ANDIRON_E_UNAVAILABLE, "another change was in the way; try again" },
        { "25006", ANDIRON_E_UNAVAILABLE, "the database cannot be written to; try again later" },
        { "57", ANDIRON_E_UNAVAILABLE, "the database is stopping; try again later" },
        { "08", ANDIRON_E_UNAVAILABLE, "the database is away; try again later" },
        { "22021", ANDIRON_E_VALUE, "text must be UTF-8 without NUL" },
        { "54", ANDIRON_E_TOO_LARGE, "a value is too large for the database" },
    };
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strncmp(sqlstate, meanings[i].state, strlen(meanings[i].state)) != 0)
            continue;
        andiron_error_set(err, meanings[i].code, "", "%s", meanings[i].message);
        return;
    }
    andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the database failed (%s)", sqlstate);
}

static void log_refusal(struct connection *c, const struct unit *u, const PGresult *r,
                        const char *sqlstate)
{
    const char *name = u->name != NULL ? u->name : "";
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    if (u->at != NULL && u->at->sql->name != NULL && u->before == 0)
        name = u->at->sql->name;
    /* Messages may quote values, but for those about the text of a statement and about the server. */
    if (strncmp(sqlstate, "42", 2) != 0 && strncmp(sqlstate, "5", 1) != 0 &&
        strncmp(sqlstate, "XX", 2) != 0 && strncmp(sqlstate, "26", 2) != 0)
        message = "";
    store_log(c->settings.store, ANDIRON_LOG_WARN, "store.statement.failed",
              "the database refused a statement: %s %s %s", sqlstate, name,
              message != NULL ? message : "");
}

/* What a failure is to the batch, and to the connection. */
static void take_error(struct connection *c, struct unit *u, const PGresult *r)
{
    const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (sqlstate == NULL || severity == NULL || strcmp(severity, "ERROR") != 0) {
        connection_break(c, PQresultErrorMessage(r)); /* of libpq, or the server's last words */
        return;
    }
    log_refusal(c, u, r, sqlstate);
    if (c->settings.writes && strcmp(sqlstate, "25006") == 0) /* it has become a standby */
        connection_break(c, "it cannot be written to");
    if (u->kind == UNIT_PREPARE)
        prepared_drop(&c->prepared, u->key);
    if (u->kind == UNIT_SESSION)
        connection_break(c, PQresultErrorMessage(r));
    if (u->kind != UNIT_BATCH || u->batch->reply.outcome != WIRE_OK)
        return;
    struct wire_reply *reply = &u->batch->reply;
    reply->outcome = WIRE_FAILED;
    (void)snprintf(reply->sqlstate, sizeof(reply->sqlstate), "%.5s", sqlstate);
    connection_error(&reply->error, sqlstate);
    for (const struct wire_statement *s = u->batch->first; s != NULL && s != u->at; s = s->next)
        reply->statement++;
}

/* The binary form of a pg_lsn. */
static uint64_t lsn_of(const PGresult *r)
{
    uint64_t value = 0;

    if (PQntuples(r) != 1 || PQgetlength(r, 0, 0) != 8)
        return 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | (uint8_t)PQgetvalue(r, 0, 0)[i];
    return value;
}

static void take_value(struct unit *u, PGresult *r)
{
    if (u->kind != UNIT_BATCH || u->before > 0) {
        PQclear(r);
    } else if (u->at != NULL) {
        batch_take(u->at, r);
    } else {
        if (u->wants_lsn && u->after == 1)
            u->batch->reply.lsn = lsn_of(r);
        PQclear(r);
    }
}

/* A command of the unit is over. */
static void step(struct unit *u)
{
    if (u->before > 0)
        u->before--;
    else if (u->at != NULL)
        u->at = u->at->next;
    else if (u->after > 0)
        u->after--;
}

/* Its first answer: it does what it is for. */
static void prove(struct connection *c)
{
    if (c->down_since_ms != 0)
        store_log(c->settings.store, ANDIRON_LOG_INFO, "store.connection.back",
                  "connected to the database after %lld ms",
                  (long long)(connection_clock() - c->down_since_ms));
    c->is_proven = true;
    c->failures = 0;
    c->down_since_ms = 0;
}

static void finish_unit(struct connection *c)
{
    struct unit *u = pop(c);
    struct wire_work *work = u->kind == UNIT_BATCH ? u->work : NULL;

    c->heard_ms = connection_clock();
    if (!c->is_proven && c->state == READY)
        prove(c);
    if (c->is_full && c->load <= c->settings.window / 2)
        c->is_full = false;
    give_back(c, u);
    if (work == NULL)
        return;
    store_count(c->settings.store->metrics.batches, 1);
    c->owner.done(c->owner.arg, work);
    if (c->state == READY)
        c->owner.free(c->owner.arg, c);
}

static void take_result(struct connection *c, PGresult *r)
{
    struct unit *u = c->first;

    switch (PQresultStatus(r)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(r);
        finish_unit(c);
        break;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        take_value(u, r);
        break;
    case PGRES_PIPELINE_ABORTED:
        if (u->kind == UNIT_PREPARE)
            prepared_drop(&c->prepared, u->key);
        PQclear(r);
        break;
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
        take_error(c, u, r);
        PQclear(r);
        break;
    default: /* none of our statements copies */
        PQclear(r);
        connection_break(c, "an answer that was not asked for");
        break;
    }
}

static void hear(struct connection *c)
{
    PGnotify *n;

    while (c->state == READY && (n = PQnotifies(c->pg)) != NULL) {
        c->owner.notified(c->owner.arg, n->extra);
        PQfreemem(n);
    }
}

static void receive(struct connection *c)
{
    if (PQconsumeInput(c->pg) != 1 && PQstatus(c->pg) != CONNECTION_BAD)
        connection_break(c, PQerrorMessage(c->pg));
    c->heard_ms = connection_clock();
    /* What came before the end is still good. */
    while (c->state == READY && c->first != NULL && PQisBusy(c->pg) == 0) {
        PGresult *r = PQgetResult(c->pg);
        if (r != NULL)
            take_result(c, r);
        else
            step(c->first);
    }
    hear(c);
    if (c->state == READY && PQstatus(c->pg) == CONNECTION_BAD)
        connection_break(c, PQerrorMessage(c->pg));
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    if (c->state == CONNECTING) {
        go_on_connecting(c);
        return;
    }
    if (c->state == READY && (what & EV_READ) != 0)
        receive(c);
    if (c->state == READY && (what & EV_WRITE) != 0) {
        c->heard_ms = connection_clock(); /* it takes what is sent */
        flush(c);
    }
}

/* ---- life ---------------------------------------------------------------------------------------- */

struct connection *connection_new(const struct connection_settings *settings,
                                  struct event_base *base, const struct connection_owner *owner)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->settings = *settings;
    c->owner = *owner;
    c->base = base;
    c->last = &c->first;
    c->random = (uint32_t)((uintptr_t)c >> 4) ^ (uint32_t)andiron_now();
    c->timer = event_new(base, -1, 0, on_timer, c);
    c->turn = event_new(base, -1, 0, on_turn, c);
    if (c->timer == NULL || c->turn == NULL)
        abort(); /* out of memory */
    wake(c, 0);
    return c;
}

void connection_free(struct connection *c)
{
    if (c == NULL)
        return;
    c->state = DOWN;
    close_it(c);
    lose_units(c);
    event_free(c->timer);
    event_free(c->turn);
    while (c->spare != NULL) {
        struct unit *next = c->spare->next;
        free(c->spare);
        c->spare = next;
    }
    free(c);
}

bool connection_is_ready(const struct connection *c)
{
    return c->state == READY;
}

size_t connection_load(const struct connection *c)
{
    return c->load;
}

bool connection_has_room(const struct connection *c)
{
    return c->state == READY && !c->is_full;
}

int64_t connection_down_since(const struct connection *c)
{
    return c->down_since_ms;
}

int64_t connection_silence(const struct connection *c, int64_t now_ms)
{
    return c->state == READY && c->first != NULL ? now_ms - c->heard_ms : 0;
}

void connection_look(struct connection *c, int64_t now_ms)
{
    if (connection_silence(c, now_ms) > c->settings.answer_timeout)
        connection_break(c, "it does not answer any more");
}
