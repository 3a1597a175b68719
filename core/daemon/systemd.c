/*
 * sd_listen_fds(3) and sd_notify(3), without their library: a few lines of text on a socket,
 * and readiness must not silently depend on what was installed at build time.
 */
#include "daemon/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/units.h"

enum { FIRST_FD = 3, FDS_MAX = 256 };

/* Number in a variable of the environment, or -1. */
static long number(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    if (text == NULL || *text == '\0')
        return -1;
    long n = strtol(text, &end, 10);
    return *end == '\0' ? n : -1;
}

/* How many sockets were passed, from FIRST_FD on; 0: none, or they are not for us. */
static int passed(void)
{
    long count = number("LISTEN_FDS");
    return number("LISTEN_PID") == (long)getpid() && count >= 1 && count <= FDS_MAX ? (int)count : 0;
}

/* fd, made close-on-exec and non-blocking, or -1. */
static int take(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    return fd;
}

int systemd_socket(const char *name)
{
    const char *names = getenv("LISTEN_FDNAMES");

    for (int i = 0; i < passed(); i++) {
        /* Without names each is called "unknown", as sd_listen_fds_with_names() does. */
        const char *this = names != NULL ? names : "unknown";
        size_t len = strcspn(this, ":");
        if (strlen(name) == len && strncmp(this, name, len) == 0)
            return take(FIRST_FD + i);
        if (names != NULL)
            names += len + (names[len] == ':');
    }
    return -1;
}

static bool is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return a->ss_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
           memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

int systemd_socket_at(const struct sockaddr_storage *address)
{
    for (int fd = FIRST_FD; fd < FIRST_FD + passed(); fd++) {
        struct sockaddr_storage bound;
        socklen_t len = sizeof(bound);
        memset(&bound, 0, sizeof(bound));
        if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0 && is_same(&bound, address))
            return take(fd);
    }
    return -1;
}

void systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path))
        return;
    size_t len = strlen(path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* an abstract socket */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    /* Nobody listens: then nobody waits for it either. */
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
    (void)close(fd);
}

void systemd_notify_reloading(void)
{
    char state[128];
    (void)snprintf(state, sizeof(state),
                   "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=Reloading configuration",
                   (long long)units_monotonic());
    systemd_notify(state);
}
