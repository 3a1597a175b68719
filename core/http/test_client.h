/*
 * A client for tests: sends bytes as they are and reads responses as a strict client would.
 */
#ifndef CORE_HTTP_TEST_CLIENT_H
#define CORE_HTTP_TEST_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENT_WAIT_MS = 8000 };

struct client {
    int fd;
    char *data; /* received and not yet used */
    size_t len, room;
    bool eof;
};

struct answer {
    int status; /* 0: the connection ended without one */
    char *head; /* NUL-terminated */
    char *body;
    size_t body_len, body_room;
    unsigned chunks;
};

static inline int64_t client_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void client_pause(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL);
}

static inline struct client client_open(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct client c = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

    if (c.fd < 0 || connect(c.fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        abort();
    return c;
}

static inline void client_close(struct client *c)
{
    (void)close(c->fd);
    free(c->data);
    *c = (struct client){ .fd = -1 };
}

static inline void client_send_bytes(struct client *c, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len != 0) {
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the server has closed: the answer will tell */
        at += n;
        len -= (size_t)n;
    }
}

static inline void client_send(struct client *c, const char *text)
{
    client_send_bytes(c, text, strlen(text));
}

/* Receives something; false at the end of the connection or after `ms` milliseconds. */
static inline bool client_fill(struct client *c, int ms)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    ssize_t n;

    if (c->eof || poll(&p, 1, ms) <= 0)
        return false;
    if (c->room - c->len < 65536) {
        c->room = c->room * 2 + 131072;
        c->data = realloc(c->data, c->room);
    }
    n = recv(c->fd, c->data + c->len, c->room - c->len, 0);
    if (n <= 0) {
        c->eof = true;
        return false;
    }
    c->len += (size_t)n;
    return true;
}

static inline void client_use(struct client *c, size_t n)
{
    memmove(c->data, c->data + n, c->len - n);
    c->len -= n;
}

/* Value of a header in a head, or NULL; until the next call. */
static inline const char *head_value(const char *head, const char *name)
{
    static char value[1024];
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *from = line + len + 1, *end = strstr(from, "\r\n");

            while (*from == ' ')
                from++;
            snprintf(value, sizeof(value), "%.*s", (int)(end - from), from);
            return value;
        }
    }
    return NULL;
}

static inline void answer_free(struct answer *a)
{
    free(a->head);
    free(a->body);
    *a = (struct answer){ 0 };
}

static inline bool client_need(struct client *c, size_t n)
{
    while (c->len < n) {
        if (!client_fill(c, CLIENT_WAIT_MS))
            return false;
    }
    return true;
}

static inline bool client_line(struct client *c, char *out, size_t room)
{
    for (;;) {
        char *end = c->len != 0 ? memmem(c->data, c->len, "\r\n", 2) : NULL;

        if (end != NULL) {
            snprintf(out, room, "%.*s", (int)(end - c->data), c->data);
            client_use(c, (size_t)(end - c->data) + 2);
            return true;
        }
        if (!client_fill(c, CLIENT_WAIT_MS))
            return false;
    }
}

static inline void answer_chunks(struct client *c, struct answer *a)
{
    char line[64];

    while (client_line(c, line, sizeof(line))) {
        size_t size = strtoul(line, NULL, 16);

        if (!client_need(c, size + 2) || memcmp(c->data + size, "\r\n", 2) != 0)
            break;
        if (a->body == NULL || a->body_len + size + 1 > a->body_room) {
            a->body_room = 2 * a->body_room + size + 1;
            a->body = realloc(a->body, a->body_room);
        }
        memcpy(a->body + a->body_len, c->data, size);
        a->body_len += size;
        client_use(c, size + 2);
        if (size == 0)
            return;
        a->chunks++;
    }
    a->status = 0; /* cut off */
}

/* One response. body: whether its head announces one (not for HEAD). */
static inline struct answer client_read(struct client *c, bool body)
{
    struct answer a = { 0 };
    char *end;
    const char *value;

    while ((end = c->len != 0 ? memmem(c->data, c->len, "\r\n\r\n", 4) : NULL) == NULL) {
        if (!client_fill(c, CLIENT_WAIT_MS))
            return a;
    }
    a.head = strndup(c->data, (size_t)(end - c->data) + 2);
    client_use(c, (size_t)(end - c->data) + 4);
    if (sscanf(a.head, "HTTP/1.1 %d ", &a.status) != 1 || !body || a.status == 204 ||
        a.status == 304 || a.status == 100)
        return a;
    value = head_value(a.head, "content-length");
    if (value != NULL) {
        a.body_len = strtoul(value, NULL, 10);
        if (!client_need(c, a.body_len)) {
            a.status = 0;
            a.body_len = 0;
            return a;
        }
        a.body = malloc(a.body_len + 1);
        memcpy(a.body, c->data, a.body_len);
        client_use(c, a.body_len);
    } else if (head_value(a.head, "transfer-encoding") != NULL) {
        answer_chunks(c, &a);
    } else {
        while (client_fill(c, CLIENT_WAIT_MS))
            ;
        a.body = malloc(c->len + 1);
        memcpy(a.body, c->data, c->len);
        a.body_len = c->len;
        c->len = 0;
    }
    if (a.body != NULL)
        a.body[a.body_len] = '\0';
    return a;
}

/* The connection ends within `ms`, whatever is still received. */
static inline bool client_ends(struct client *c, int ms)
{
    int64_t until = client_now_ms() + ms;

    while (!c->eof && client_now_ms() < until)
        (void)client_fill(c, (int)(until - client_now_ms()));
    return c->eof;
}

#endif
