/*
 * Names of servers to addresses; see hosts.h.
 */
#include "hosts.h"

#include <andiron/async.h>

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERVERS = 16, ADDRESSES = 8, FRESH_US = 3000000 };

struct server {
    char name[256], port[8];
    char addresses[ADDRESSES][64];
    size_t count; /* of addresses; 0 with a name that is none: not known yet */
    bool is_name; /* to be looked up */
};

struct hosts {
    pthread_mutex_t lock;
    struct server servers[SERVERS];
    size_t count;
    const char *attributes[2]; /* of the first and of the second half of a round; NULL: no second */
    int64_t looked_at;
    bool is_looking;
    int users; /* whoever made it, and a look-up on its way */
};

/* Copies the item of that number of a list; false: there is none. */
static bool item(const char *list, size_t number, char *to, size_t max)
{
    const char *at = list;

    to[0] = '\0';
    for (; at != NULL && number > 0; number--) {
        at = strchr(at, ',');
        if (at != NULL)
            at++;
    }
    if (at == NULL)
        return false;
    (void)snprintf(to, max, "%.*s", (int)strcspn(at, ","), at);
    return true;
}

static bool is_address(const char *text)
{
    struct in6_addr space;

    return inet_pton(AF_INET, text, &space) == 1 || inet_pton(AF_INET6, text, &space) == 1;
}

static void add_server(struct hosts *hosts, const struct dsn *dsn, size_t i)
{
    struct server *s = &hosts->servers[hosts->count++];
    const char *ports = dsn_value(dsn, "port");
    char address[sizeof(s->addresses[0])];

    (void)item(dsn_value(dsn, "host"), i, s->name, sizeof(s->name));
    (void)item(dsn_value(dsn, "hostaddr"), i, address, sizeof(address));
    /* One port serves for all hosts. */
    if (ports != NULL && !item(ports, i, s->port, sizeof(s->port)))
        (void)item(ports, 0, s->port, sizeof(s->port));
    if (address[0] != '\0' || is_address(s->name)) {
        (void)snprintf(s->addresses[0], sizeof(address), "%.63s",
                       address[0] != '\0' ? address : s->name);
        s->count = 1;
    } else {
        s->is_name = s->name[0] != '\0' && s->name[0] != '/' && s->name[0] != '@';
    }
}

struct hosts *hosts_new(const struct dsn *dsn, const char *attributes, struct andiron_error *err)
{
    struct hosts *hosts = calloc(1, sizeof(*hosts));
    const char *own = dsn_value(dsn, "target_session_attrs");
    char text[256];

    if (hosts == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    pthread_mutex_init(&hosts->lock, NULL);
    hosts->users = 1;
    hosts->attributes[0] = own != NULL ? own : attributes;
    if (strcmp(hosts->attributes[0], "prefer-standby") == 0) {
        hosts->attributes[0] = "standby";
        hosts->attributes[1] = "any";
    }
    for (size_t i = 0; i < SERVERS; i++) {
        if (i > 0 && !item(dsn_value(dsn, "host"), i, text, sizeof(text)) &&
            !item(dsn_value(dsn, "hostaddr"), i, text, sizeof(text)))
            break;
        add_server(hosts, dsn, i);
    }
    return hosts;
}

static void let_go(struct hosts *hosts)
{
    pthread_mutex_lock(&hosts->lock);
    int users = --hosts->users;
    pthread_mutex_unlock(&hosts->lock);
    if (users > 0)
        return;
    pthread_mutex_destroy(&hosts->lock);
    free(hosts);
}

void hosts_free(struct hosts *hosts)
{
    if (hosts != NULL)
        let_go(hosts);
}

/* ---- looking up ---------------------------------------------------------------------- */

static void look_up(struct hosts *hosts, struct server *s)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    char found[ADDRESSES][64];
    size_t count = 0;

    if (getaddrinfo(s->name, NULL, &hints, &list) != 0)
        return; /* the addresses of last time stay; the attempt to connect tells */
    for (struct addrinfo *a = list; a != NULL && count < ADDRESSES; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, found[count], sizeof(found[0]), NULL, 0,
                        NI_NUMERICHOST) == 0)
            count++;
    }
    freeaddrinfo(list);
    pthread_mutex_lock(&hosts->lock);
    memcpy(s->addresses, found, sizeof(found[0]) * count);
    s->count = count;
    pthread_mutex_unlock(&hosts->lock);
}

void hosts_look_up(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (hosts->servers[i].is_name)
            look_up(hosts, &hosts->servers[i]);
    }
    pthread_mutex_lock(&hosts->lock);
    hosts->is_looking = false;
    hosts->looked_at = andiron_now();
    pthread_mutex_unlock(&hosts->lock);
}

static void look_up_later(void *arg)
{
    hosts_look_up(arg);
    let_go(arg);
}

void hosts_refresh(struct hosts *hosts)
{
    bool needs = false;

    for (size_t i = 0; i < hosts->count; i++)
        needs = needs || hosts->servers[i].is_name;
    if (!needs)
        return;
    pthread_mutex_lock(&hosts->lock);
    needs = !hosts->is_looking && andiron_now() - hosts->looked_at > FRESH_US;
    if (needs) {
        hosts->is_looking = true;
        hosts->users++;
    }
    pthread_mutex_unlock(&hosts->lock);
    if (needs)
        andiron_pool_post(look_up_later, hosts);
}

/* ---- choosing ---------------------------------------------------------------------------- */

static size_t places(const struct server *s)
{
    return s->count > 0 ? s->count : 1;
}

void hosts_at(struct hosts *hosts, unsigned attempt, struct host *ret, bool *ret_last)
{
    size_t all = 0;

    pthread_mutex_lock(&hosts->lock);
    for (size_t i = 0; i < hosts->count; i++)
        all += places(&hosts->servers[i]);
    assert(all > 0); /* a string that names no server names libpq's own choice */
    size_t round = hosts->attributes[1] != NULL ? 2 * all : all;
    size_t at = attempt % round;
    *ret_last = at + 1 == round;
    ret->attributes = hosts->attributes[at / all];
    at %= all;
    for (const struct server *s = hosts->servers;; s++) {
        if (at >= places(s)) {
            at -= places(s);
            continue;
        }
        memcpy(ret->name, s->name, sizeof(ret->name));
        memcpy(ret->port, s->port, sizeof(ret->port));
        memcpy(ret->address, s->addresses[at], sizeof(ret->address));
        ret->is_known = !s->is_name || s->count > 0;
        break;
    }
    pthread_mutex_unlock(&hosts->lock);
}

/* libpq would print what the server remarks. */
static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

PGconn *hosts_connect(struct hosts *hosts, const struct dsn *dsn, struct andiron_error *err)
{
    struct host host;
    bool is_last = false;

    for (unsigned attempt = 0; !is_last; attempt++) {
        struct dsn one = *dsn;
        hosts_at(hosts, attempt, &host, &is_last);
        dsn_set(&one, "host", host.name);
        dsn_set(&one, "hostaddr", host.address);
        dsn_set(&one, "port", host.port);
        dsn_set(&one, "target_session_attrs", host.attributes);
        if (!host.is_known) {
            andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                              "database: no address is known for host %.200s", host.name);
            continue;
        }
        PGconn *pg = PQconnectdbParams(one.keywords, one.values, 0);
        (void)PQsetNoticeReceiver(pg, ignore_notice, NULL);
        if (PQstatus(pg) == CONNECTION_OK)
            return pg;
        const char *text = PQerrorMessage(pg);
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "database: %.*s",
                          (int)strcspn(text, "\n"), text);
        PQfinish(pg);
    }
    return NULL;
}
