/*
 * Listeners: loop 0 accepts and deals connections to the loop that has the fewest.
 *
 * At the limit of connections the one that has been idle longest is closed for
 * a new one. Without descriptors accepting pauses: the kernel's queue holds
 * the rest meanwhile.
 */
#include "http/accept.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/conn.h"
#include "http/watch.h"

enum { MOST_PER_WAKEUP = 32, PAUSE_MS = 100, ADDRESS_SLOTS = 1024 };

struct acceptor {
    struct http_server *server;
    const struct http_listener *listener;
    struct event event;
};

/* ---- connections per address ------------------------------------------------------- */

struct address_count {
    struct address_count *next;
    struct in6_addr address;
    int64_t count;
};

/* Only there with http.max-connections-per-address. Every loop closes connections: locked. */
struct addresses {
    pthread_mutex_t lock;
    struct address_count *slots[ADDRESS_SLOTS];
};

static struct address_count **find_address(struct addresses *addresses,
                                           const struct in6_addr *address)
{
    uint32_t words[4], hash = 2166136261u;
    struct address_count **at;

    memcpy(words, address, sizeof(words));
    for (size_t i = 0; i < 4; i++)
        hash = (hash ^ words[i] ^ (words[i] >> 16)) * 16777619u;
    at = &addresses->slots[(hash ^ (hash >> 13)) % ADDRESS_SLOTS];
    while (*at != NULL && memcmp(&(*at)->address, address, sizeof(*address)) != 0)
        at = &(*at)->next;
    return at;
}

static bool address_enters(struct http_server *server, const struct in6_addr *address)
{
    struct addresses *addresses = server->addresses;
    struct address_count **at;
    bool allowed;

    (void)pthread_mutex_lock(&addresses->lock);
    at = find_address(addresses, address);
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        if (*at == NULL)
            abort();
        (*at)->address = *address;
    }
    allowed = (*at)->count < server->app->settings->max_connections_per_address;
    if (allowed)
        (*at)->count++;
    (void)pthread_mutex_unlock(&addresses->lock);
    return allowed;
}

static void address_leaves(struct http_server *server, const struct in6_addr *address)
{
    struct addresses *addresses = server->addresses;
    struct address_count **at, *gone = NULL;

    (void)pthread_mutex_lock(&addresses->lock);
    at = find_address(addresses, address);
    if (*at != NULL && --(*at)->count == 0) {
        gone = *at;
        *at = gone->next;
    }
    (void)pthread_mutex_unlock(&addresses->lock);
    free(gone);
}

/* ---- dealing ---------------------------------------------------------------------------- */

void server_conn_closed(struct http_server *server, const struct conn *conn)
{
    atomic_fetch_sub_explicit(&conn->home->conn_count, 1, memory_order_relaxed);
    if (conn->counted)
        address_leaves(server, &conn->address);
}

static struct http_loop *least_loaded(struct http_server *server, unsigned *ret_total)
{
    struct http_loop *least = &server->loops[0];
    unsigned fewest = UINT32_MAX;

    *ret_total = 0;
    for (size_t i = 0; i < server->loop_count; i++) {
        unsigned count = atomic_load_explicit(&server->loops[i].conn_count, memory_order_relaxed);

        *ret_total += count;
        if (count < fewest) {
            fewest = count;
            least = &server->loops[i];
        }
    }
    return least;
}

static void close_oldest(void *arg)
{
    conn_close_oldest_idle(arg);
}

/* Makes room by closing an idle connection; false if no loop has one. */
static bool make_room(struct http_server *server)
{
    struct http_loop *most = NULL;
    unsigned idlest = 0;

    for (size_t i = 0; i < server->loop_count; i++) {
        unsigned idle = atomic_load_explicit(&server->loops[i].idle_count, memory_order_relaxed);

        if (idle > idlest) {
            idlest = idle;
            most = &server->loops[i];
        }
    }
    if (most == NULL)
        return false;
    andiron_loop_post(most->loop, close_oldest, most);
    return true;
}

static void open_posted(void *arg)
{
    struct conn *conn = arg;

    conn_open(conn->home, conn);
}

static void reject(struct http_server *server, int fd, enum http_rejected reason)
{
    stats_add(&server->loops[0].stats.rejected[reason], 1);
    (void)close(fd); /* nothing was promised on it */
}

static void deal(struct http_server *server, const struct http_listener *listener, int fd,
                 const struct sockaddr *from)
{
    const struct http_settings *settings = server->app->settings;
    unsigned total;
    struct http_loop *home = least_loaded(server, &total);
    struct in6_addr address;
    struct conn *conn;

    remote_address(from, &address);
    /* The control socket must answer when all else is full. */
    if (listener->side != ROUTE_SIDE_CONTROL && settings->max_connections > 0 &&
        total >= (uint64_t)settings->max_connections && !make_room(server)) {
        reject(server, fd, HTTP_REJECTED_CONNECTIONS);
        return;
    }
    if (server->addresses != NULL && listener->side == ROUTE_SIDE_PUBLIC &&
        !address_enters(server, &address)) {
        reject(server, fd, HTTP_REJECTED_ADDRESS);
        return;
    }
    conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        abort();
    conn->home = home;
    conn->fd = fd;
    conn->listener = listener;
    conn->address = address;
    conn->counted = server->addresses != NULL && listener->side == ROUTE_SIDE_PUBLIC;
    remote_text(&address, conn->remote);
    atomic_fetch_add_explicit(&home->conn_count, 1, memory_order_relaxed);
    if (home->loop == loop_current()) {
        conn_open(home, conn);
    } else {
        conn->post = (struct loop_post){ .fn = open_posted, .arg = conn };
        loop_post_own(home->loop, &conn->post);
    }
}

/* ---- accepting ------------------------------------------------------------------------------ */

static void listen_all(struct http_server *server, bool on)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        if (on)
            (void)event_add(&server->acceptors[i].event, NULL); /* fails only without memory */
        else
            (void)event_del(&server->acceptors[i].event);
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;

    (void)fd;
    (void)what;
    server->paused = false;
    if (!http_server_draining(server))
        listen_all(server, true);
}

static void pause_accepting(struct http_server *server, int error)
{
    static const struct timeval after = { .tv_usec = PAUSE_MS * 1000 };

    if (!server->shortage_logged)
        log_event(ANDIRON_LOG_WARN, "http.accept", NULL,
                  "cannot accept connections (%s): trying again every %d ms", strerror(error),
                  PAUSE_MS);
    server->shortage_logged = true;
    server->paused = true;
    listen_all(server, false);
    (void)evtimer_add(&server->retry, &after); /* fails only without memory */
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *acceptor = arg;
    struct http_server *server = acceptor->server;

    (void)what;
    for (int i = 0; i < MOST_PER_WAKEUP && !server->paused; i++) {
        struct sockaddr_storage from = { 0 };
        socklen_t len = sizeof(from);
        int accepted = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (accepted >= 0) {
            server->shortage_logged = false;
            deal(server, acceptor->listener, accepted, (struct sockaddr *)&from);
        } else if (is_shortage(errno)) {
            pause_accepting(server, errno);
        } else if (errno == EAGAIN) {
            return;
        }
        /* Anything else is the fault of that one connection, gone before it was taken. */
    }
}

void accept_prepare(struct http_server *server)
{
    struct event_base *base = server->loops[0].base;
    static const int on = 1;

    server->acceptors = calloc(server->listener_count + 1, sizeof(*server->acceptors));
    if (server->acceptors == NULL)
        abort();
    for (size_t i = 0; i < server->listener_count; i++) {
        struct acceptor *acceptor = &server->acceptors[i];

        acceptor->server = server;
        acceptor->listener = &server->listeners[i];
        /* Inherited by accepted sockets; fails, without harm, on local ones. */
        (void)setsockopt(acceptor->listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)event_assign(&acceptor->event, base, acceptor->listener->fd, EV_READ | EV_PERSIST,
                           on_acceptable, acceptor);
    }
    (void)evtimer_assign(&server->retry, base, on_retry, server);
    if (server->app->settings->max_connections_per_address > 0) {
        server->addresses = calloc(1, sizeof(*server->addresses));
        if (server->addresses == NULL)
            abort();
        (void)pthread_mutex_init(&server->addresses->lock, NULL); /* default kind: cannot fail */
    }
}

static void start(void *arg)
{
    struct http_server *server = arg;

    if (!http_server_draining(server))
        listen_all(server, true);
}

void http_server_accept(struct http_server *server)
{
    watch_start(server);
    andiron_loop_post(server->loops[0].loop, start, server);
}

void accept_stop(struct http_server *server)
{
    listen_all(server, false);
    (void)evtimer_del(&server->retry);
}

void accept_free(struct http_server *server)
{
    if (server->acceptors != NULL)
        accept_stop(server);
    free(server->acceptors);
}

void accept_counts_free(struct http_server *server)
{
    struct addresses *addresses = server->addresses;

    if (addresses == NULL)
        return;
    for (size_t i = 0; i < ADDRESS_SLOTS; i++) {
        while (addresses->slots[i] != NULL) {
            struct address_count *next = addresses->slots[i]->next;

            free(addresses->slots[i]);
            addresses->slots[i] = next;
        }
    }
    (void)pthread_mutex_destroy(&addresses->lock);
    free(addresses);
}
