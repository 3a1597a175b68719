/*
 * Binding of sockets. Touches the network only to bind; listen() is the worker's call.
 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/systemd.h"
#include "host/privileges.h"

#define FAIL(err, ...) andiron_error_set((err), ANDIRON_E_INVALID, "", __VA_ARGS__)

static int set_options(int fd, const struct address *a)
{
    int on = 1, off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -1;
    if (a->address.ss_family != AF_INET6)
        return 0;
    /* "*:8080" takes both families, whatever the system's default is. */
    return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
}

/* "*:80" on a machine without IPv6: the same port on all IPv4 addresses. */
static void use_ipv4(struct address *a)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = ((struct sockaddr_in6 *)&a->address)->sin6_port };
    memcpy(&a->address, &in, sizeof(in));
    a->len = sizeof(in);
}

static int cannot_listen(const char *text, int error, struct andiron_error *err)
{
    enum andiron_code code = error == EADDRINUSE ? ANDIRON_E_UNAVAILABLE : ANDIRON_E_INVALID;
    return andiron_error_set(err, code, "", "cannot listen on %s: %s%s", text, strerror(error),
                             error == EADDRINUSE ? "; another program listens there"
                             : error == EACCES   ? "; ports below 1024 need root or a socket unit"
                                                 : "");
}

int listen_begin(int fd, int backlog, struct andiron_error *err)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    char host[INET6_ADDRSTRLEN + NI_MAXSERV + 3] = "its socket", port[NI_MAXSERV];

    if (listen(fd, backlog) == 0)
        return 0;
    int error = errno;
    /* Two that start at once can both bind: only here is the second one told. */
    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
        getnameinfo((struct sockaddr *)&bound, len, host, INET6_ADDRSTRLEN, port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        (void)snprintf(host + strlen(host), sizeof(port) + 1, ":%s", port);
    return cannot_listen(host, error, err);
}

int listen_open(const struct address *address, const char *text, struct andiron_error *err)
{
    struct address a = *address;

    if (a.fd_name != NULL) {
        int given = systemd_socket(a.fd_name);
        if (given < 0)
            return FAIL(err,
                        "cannot listen on \"%s\": systemd passed no socket of that name; set "
                        "FileDescriptorName=%s in the socket unit",
                        text, a.fd_name);
        return given;
    }
    int held = systemd_socket_at(&a.address);
    if (held >= 0)
        return held;
    int fd = socket(a.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 && errno == EAFNOSUPPORT && strchr(text, '*') != NULL) {
        use_ipv4(&a);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    if (fd >= 0 && set_options(fd, &a) == 0 &&
        bind(fd, (const struct sockaddr *)&a.address, a.len) == 0)
        return fd;

    int error = errno;
    if (fd >= 0)
        (void)close(fd); /* never bound */
    return cannot_listen(text, error, err);
}

/* ---- the control socket ---------------------------------------------------------------- */

static bool is_served(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* A full backlog, EAGAIN, is served too. */
    bool served =
        fd >= 0 &&
        (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
    if (fd >= 0)
        (void)close(fd); /* only asked whether somebody is there */
    return served;
}

int listen_open_control(const char *path, struct andiron_error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;

    if (privileges_parents(path, err) != 0)
        return -1;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return FAIL(err, "cannot make the control socket %s: there is a file of that name",
                        path);
        if (is_served(&address))
            return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                     "another andiron serves the control socket %s; set "
                                     "admin.control-socket for this one",
                                     path);
        (void)unlink(path); /* if it stays, bind() says why */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Mode by umask, not chmod: no moment in which others could connect. */
    mode_t before = umask(0117);
    int status = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof(address));
    int error = errno;
    (void)umask(before);
    if (status == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd); /* never bound */
    return FAIL(err, "cannot make the control socket %s: %s", path, strerror(error));
}
