/*
 * Host names to addresses, off the loop.
 *
 * A thread for each look-up, at most `max` at a time: getaddrinfo() may hang for many seconds,
 * and on the pool it would keep signing from its threads.
 */
#ifndef JWKS_RESOLVE_H
#define JWKS_RESOLVE_H

#include <netdb.h>

#include <andiron/async.h>

struct resolution;

/* The look-ups of one loop; a member of its fetcher. */
struct resolver {
    struct andiron_loop *loop;
    unsigned max, count; /* count includes cancelled ones whose threads still run */
    struct resolution *pending;
};

/*
 * Calls found(arg, status, list) once on the loop; status as of getaddrinfo(), list lives for
 * the call. NULL if there are too many already or no thread can be started. On the loop.
 */
struct resolution *resolve_start(struct resolver *resolver, const char *host, uint16_t port,
                                 void (*found)(void *arg, int status, const struct addrinfo *list),
                                 void *arg);

/* found() will not be called. On the loop. */
void resolve_cancel(struct resolution *resolution);

/* Lets go of threads that still run; they end by themselves. When the loop ends. */
void resolver_stop(struct resolver *resolver);

#endif
