/*
 * A server for tests: real sockets on a free loopback port, its loops in threads of their own,
 * and a few routes that use the calls of andiron/request.h as plugins do.
 */
#ifndef CORE_HTTP_TEST_SERVER_H
#define CORE_HTTP_TEST_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "http/route.h"
#include "http/server.h"
#include "loop/loop.h"
#include "loop/pool.h"

enum { TEST_LOOPS_MAX = 4 };

struct test_server {
    struct http_settings settings;
    struct http_app app;
    struct http_listener listener;
    struct http_server *server;
    struct andiron_loop *loops[TEST_LOOPS_MAX];
    pthread_t threads[TEST_LOOPS_MAX];
    size_t loop_count;
    uint16_t port;
};

static inline struct http_settings test_settings(void)
{
    return (struct http_settings){ .base_url = "http://test.example",
                                   .max_request_line = 8192,
                                   .max_header = 16384,
                                   .max_header_fields = 100,
                                   .max_body = 64 << 20,
                                   .max_body_anonymous = 64 << 10,
                                   .body_memory = 512 << 20,
                                   .request_memory = 256 << 20,
                                   .output_buffer = 1 << 20,
                                   .max_connections = 16384,
                                   .header_timeout = 10000,
                                   .body_timeout = 15000,
                                   .request_timeout = 30000,
                                   .idle_timeout = 60000,
                                   .write_timeout = 30000,
                                   .drain_timeout = 10000,
                                   .drain_grace = 1000,
                                   .access_log = HTTP_LOG_OFF };
}

static void *test_loop_thread(void *arg)
{
    loop_run(arg);
    arena_cache_drop();
    return NULL;
}

static inline int test_listen(uint16_t *ret_port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 512) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        abort();
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* s->settings, s->app (without settings) and s->loop_count are set by the caller. */
static inline void test_server_start(struct test_server *s)
{
    struct andiron_error err = { 0 };

    s->app.settings = &s->settings;
    s->listener.fd = test_listen(&s->port);
    for (size_t i = 0; i < s->loop_count; i++)
        s->loops[i] = loop_new((unsigned)i, &err);
    s->server = http_server_new(&s->app, s->loops, s->loop_count, &s->listener, 1, &err);
    if (s->server == NULL) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    for (size_t i = 0; i < s->loop_count; i++)
        (void)pthread_create(&s->threads[i], NULL, test_loop_thread, s->loops[i]);
    http_server_accept(s->server);
}

static inline void test_server_stop(struct test_server *s)
{
    for (size_t i = 0; i < s->loop_count; i++)
        loop_quit(s->loops[i]);
    for (size_t i = 0; i < s->loop_count; i++)
        (void)pthread_join(s->threads[i], NULL);
    pool_stop(); /* its jobs post to the loops */
    http_server_free(s->server);
    for (size_t i = 0; i < s->loop_count; i++)
        loop_free(s->loops[i]);
    (void)close(s->listener.fd);
    arena_cache_drop();
}

#endif
