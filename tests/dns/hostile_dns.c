/*
 * A name server that lies, for tests: loaded before the C library (LD_PRELOAD), it answers for names below
 * rebind.example, writes down who looks up and connects to what, and lets nothing leave this machine.
 *
 * The first label says what the name's addresses are, one word for each look-up, the last for all later ones:
 * "pub-loop.rebind.example" is public at first and 127.0.0.1 ever after. Connections to the public address end at
 * 127.0.0.1:HOSTILE_DNS_PORT; HOSTILE_DNS_LOG is the file of notes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

enum { NAMES = 64 };

static const char domain[] = ".rebind.example", public_address[] = "93.184.216.34";

static const struct {
    const char *word, *address, *second;
} words[] = {
    { "pub", public_address, NULL },        { "loop", "127.0.0.1", NULL },
    { "meta", "169.254.169.254", NULL },    { "six", "::1", NULL },
    { "mapped", "::ffff:127.0.0.1", NULL }, { "both", public_address, "127.0.0.1" },
    { "late", public_address, "10.0.0.1" },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char name[256];
    int count;
} names[NAMES];

static void note(const char *what, const char *text, int port)
{
    const char *path = getenv("HOSTILE_DNS_LOG");
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    if (file == NULL)
        return;
    fprintf(file, port < 0 ? "%s %s\n" : "%s %s %d\n", what, text, port);
    fclose(file);
}

/* How many times the name was looked up before. */
static int count_of(const char *name)
{
    int count = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < NAMES; i++) {
        if (names[i].name[0] == '\0')
            snprintf(names[i].name, sizeof(names[i].name), "%s", name);
        if (strcmp(names[i].name, name) == 0) {
            count = names[i].count++;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return count;
}

typedef int (*look_up)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int addresses_of(look_up real, const char *word, size_t len, const char *port,
                        const struct addrinfo *hints, struct addrinfo **ret)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) != len || memcmp(words[i].word, word, len) != 0)
            continue;
        int status = real(words[i].address, port, hints, ret);
        if (status != 0 || words[i].second == NULL)
            return status;
        struct addrinfo *last = *ret;
        while (last->ai_next != NULL)
            last = last->ai_next;
        return real(words[i].second, port, hints, &last->ai_next);
    }
    return EAI_NONAME;
}

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    look_up real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t len = name != NULL ? strlen(name) : 0;
    if (len < sizeof(domain) || strcmp(name + len - (sizeof(domain) - 1), domain) != 0)
        return real(name, port, hints, ret);
    note("lookup", name, -1);
    const char *word = name, *end = name + len - (sizeof(domain) - 1);
    for (int left = count_of(name); left > 0; left--) {
        const char *dash = memchr(word, '-', (size_t)(end - word));
        if (dash == NULL)
            break;
        word = dash + 1;
    }
    const char *dash = memchr(word, '-', (size_t)(end - word));
    return addresses_of(real, word, (size_t)((dash != NULL ? dash : end) - word), port, hints, ret);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int (*real)(int, const struct sockaddr *, socklen_t);
    char text[INET6_ADDRSTRLEN] = "";
    *(void **)&real = dlsym(RTLD_NEXT, "connect");
    if (address->sa_family == AF_INET) {
        struct sockaddr_in to;
        memcpy(&to, address, sizeof(to));
        inet_ntop(AF_INET, &to.sin_addr, text, sizeof(text));
        note("connect", text, ntohs(to.sin_port));
        const char *port = getenv("HOSTILE_DNS_PORT");
        if (strcmp(text, public_address) == 0 && port != NULL) {
            to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            to.sin_port = htons((uint16_t)strtol(port, NULL, 10));
            return real(fd, (const struct sockaddr *)(const void *)&to, sizeof(to));
        }
        if (ntohl(to.sin_addr.s_addr) >> 24 != 127) {
            errno = ECONNREFUSED;
            return -1;
        }
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *to = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &to->sin6_addr, text, sizeof(text));
        note("connect", text, ntohs(to->sin6_port));
        if (!IN6_IS_ADDR_LOOPBACK(&to->sin6_addr)) {
            errno = ECONNREFUSED;
            return -1;
        }
    }
    return real(fd, address, len);
}
