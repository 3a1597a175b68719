/*
 * One look-up of a name in a thread of its own.
 */
#include "resolve.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { STACK = 256 * 1024 };

struct resolution {
    struct resolution *next; /* in resolver->pending; on the loop */
    struct resolver *resolver;
    pthread_mutex_t lock;
    struct andiron_loop *loop; /* guarded by lock, as is_posted; NULL: it has ended */
    bool is_posted;
    void (*found)(void *arg, int status, const struct addrinfo *list);
    void *arg;
    int status;
    struct addrinfo *list;
    char port[8];
    char host[256];
};

static void resolution_free(struct resolution *r)
{
    if (r->list != NULL)
        freeaddrinfo(r->list);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

/* On the loop. */
static void deliver(void *arg)
{
    struct resolution *r = arg;
    /* The thread posts while it holds the lock: having had it, we know that it has let go of r. */
    (void)pthread_mutex_lock(&r->lock);
    (void)pthread_mutex_unlock(&r->lock);
    struct resolution **at = &r->resolver->pending;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->resolver->count--;
    if (r->found != NULL)
        r->found(r->arg, r->status, r->list);
    resolution_free(r);
}

static void *look_up(void *arg)
{
    struct resolution *r = arg;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_NUMERICSERV };

    r->status = getaddrinfo(r->host, r->port, &hints, &r->list);
    (void)pthread_mutex_lock(&r->lock);
    r->is_posted = r->loop != NULL;
    bool is_ours = !r->is_posted;
    if (r->is_posted)
        andiron_loop_post(r->loop, deliver, r);
    (void)pthread_mutex_unlock(&r->lock);
    if (is_ours)
        resolution_free(r);
    return NULL;
}

static bool start_thread(struct resolution *r)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK);
    /* Signals are for the threads that expect them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&thread, &attributes, look_up, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return status == 0;
}

struct resolution *resolve_start(struct resolver *resolver, const char *host, uint16_t port,
                                 void (*found)(void *arg, int status, const struct addrinfo *list),
                                 void *arg)
{
    struct resolution *r = resolver->count < resolver->max ? calloc(1, sizeof(*r)) : NULL;
    if (r == NULL)
        return NULL;
    (void)pthread_mutex_init(&r->lock, NULL); /* cannot fail with default attributes */
    r->resolver = resolver;
    r->loop = resolver->loop;
    r->found = found;
    r->arg = arg;
    (void)snprintf(r->host, sizeof(r->host), "%s", host);
    (void)snprintf(r->port, sizeof(r->port), "%u", (unsigned)port);
    if (!start_thread(r)) {
        resolution_free(r);
        return NULL;
    }
    r->next = resolver->pending;
    resolver->pending = r;
    resolver->count++;
    return r;
}

void resolve_cancel(struct resolution *r)
{
    r->found = NULL;
}

void resolver_stop(struct resolver *resolver)
{
    while (resolver->pending != NULL) {
        struct resolution *r = resolver->pending;
        resolver->pending = r->next;
        (void)pthread_mutex_lock(&r->lock);
        r->loop = NULL;
        bool is_ours = r->is_posted; /* to a loop that runs no more posts */
        (void)pthread_mutex_unlock(&r->lock);
        if (is_ours)
            resolution_free(r);
    }
}
