/*
 * One event loop: a libevent base and what other threads hand to it.
 *
 * Posts go onto a lock-free stack; the loop takes the whole stack at once and
 * runs it in the order of posting. Only the post that finds the stack empty
 * wakes the loop, so a burst of them costs one wake-up.
 */
#include "loop/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "loop/priority.h"

struct local_state {
    const void *self;
    void *local;
};

/* A post that loop.c allocated, for andiron_loop_post(). */
struct owned_post {
    struct loop_post post;
    void (*fn)(void *arg);
    void *arg;
};

struct andiron_loop {
    struct event_base *base;
    struct event *wake; /* by other threads, through wake_fd */
    struct event *soon; /* by the loop's own thread */
    bool is_posting;    /* runs posts: those that they make wait until I/O had its turn */
    int wake_fd;
    unsigned index;
    _Atomic(struct loop_post *) posts; /* newest first */
    struct local_state *states;
    size_t state_count;
    void *http;
};

static _Thread_local struct andiron_loop *current;

/* Oldest first, by turning the stack around. */
static struct loop_post *posts_take(struct andiron_loop *loop)
{
    struct loop_post *newest = atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire);
    struct loop_post *oldest = NULL;

    while (newest != NULL) {
        struct loop_post *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void run_owned(void *arg);

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct andiron_loop *loop = arg;
    struct loop_post *post;

    (void)fd;
    (void)what;
    /* The eventfd is edge-triggered: every write is an edge, so it is never read. */
    post = posts_take(loop);
    loop->is_posting = true;
    while (post != NULL) {
        struct loop_post *next = post->next; /* fn may reuse or free the post */

        post->fn(post->arg);
        post = next;
    }
    loop->is_posting = false;
}

struct andiron_loop *loop_new(unsigned index, struct andiron_error *err)
{
    struct andiron_loop *loop = calloc(1, sizeof(*loop));
    struct event_config *config = event_config_new();

    if (loop == NULL || config == NULL)
        abort(); /* out of memory: as in base/arena.c */
    loop->index = index;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "", "eventfd: %s", strerror(errno));
        goto fail;
    }
    /*
     * Each base belongs to one thread. No changelist: it would speak of descriptors after they
     * were closed, and perhaps opened again by another loop.
     */
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    if (loop->base == NULL) {
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no event loop: %s", strerror(errno));
        goto fail;
    }
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, loop);
    if (loop->wake == NULL || event_add(loop->wake, NULL) != 0) {
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "", "event loop cannot be woken");
        goto fail;
    }
    loop->soon = evtimer_new(loop->base, on_wake, loop);
    if (loop->soon == NULL)
        abort();
    event_config_free(config);
    return loop;

fail:
    event_config_free(config);
    loop_free(loop);
    return NULL;
}

void loop_free(struct andiron_loop *loop)
{
    if (loop == NULL)
        return;
    loop_flush(loop);
    if (loop->wake != NULL)
        event_free(loop->wake);
    if (loop->soon != NULL)
        event_free(loop->soon);
    if (loop->base != NULL)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        (void)close(loop->wake_fd); /* nothing was written that could be lost */
    free(loop->states);
    free(loop);
}

void loop_flush(struct andiron_loop *loop)
{
    struct loop_post *post = posts_take(loop);

    while (post != NULL) {
        struct loop_post *next = post->next;

        if (post->fn == run_owned)
            free(post->arg); /* of a plugin that has stopped: what it would touch may be gone */
        else
            post->fn(post->arg);
        post = next;
    }
}

void loop_run(struct andiron_loop *loop)
{
    struct andiron_loop *outer = current;

    current = loop;
    priority_loop();
    (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    current = outer;
}

static void quit(void *arg)
{
    struct andiron_loop *loop = arg;

    (void)event_base_loopbreak(loop->base);
}

void loop_quit(struct andiron_loop *loop)
{
    andiron_loop_post(loop, quit, loop);
}

unsigned loop_index(const struct andiron_loop *loop)
{
    return loop->index;
}

struct andiron_loop *loop_current(void)
{
    return current;
}

/* ---- posts ------------------------------------------------------------------ */

static void wake(struct andiron_loop *loop)
{
    static const uint64_t one = 1;
    static const struct timeval now = { 0, 0 };
    ssize_t written;

    if (loop == current && loop->is_posting) {
        (void)evtimer_add(loop->soon, &now); /* fails only without memory for a heap of timers */
        return;
    }
    if (loop == current) { /* in this turn, which needs no system call */
        event_active(loop->soon, 0, 0);
        return;
    }
    do
        written = write(loop->wake_fd, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
}

void loop_post_own(struct andiron_loop *loop, struct loop_post *post)
{
    struct loop_post *newest = atomic_load_explicit(&loop->posts, memory_order_relaxed);

    do
        post->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&loop->posts, &newest, post, memory_order_release,
                                                  memory_order_relaxed));
    /* After the exchange the post is the loop's: only `newest`, a value, may be looked at. */
    if (newest == NULL)
        wake(loop);
}

static void run_owned(void *arg)
{
    struct owned_post *owned = arg;
    void (*fn)(void *) = owned->fn;
    void *fn_arg = owned->arg;

    free(owned);
    fn(fn_arg);
}

void andiron_loop_post(struct andiron_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct owned_post *owned = malloc(sizeof(*owned));

    if (owned == NULL)
        abort();
    *owned = (struct owned_post){ .post = { .fn = run_owned, .arg = owned }, .fn = fn, .arg = arg };
    loop_post_own(loop, &owned->post);
}

/* ---- state of plugins and of the HTTP layer ----------------------------------- */

struct event_base *andiron_loop_base(struct andiron_loop *loop)
{
    return loop->base;
}

void loop_set_state(struct andiron_loop *loop, const void *self, void *local)
{
    struct local_state *grown;

    for (size_t i = 0; i < loop->state_count; i++) {
        if (loop->states[i].self == self) {
            loop->states[i].local = local;
            return;
        }
    }
    grown = realloc(loop->states, (loop->state_count + 1) * sizeof(*grown));
    if (grown == NULL)
        abort();
    grown[loop->state_count++] = (struct local_state){ .self = self, .local = local };
    loop->states = grown;
}

void *andiron_loop_state(struct andiron_loop *loop, const void *self)
{
    /* A dozen plugins at most: walking them beats hashing. */
    for (size_t i = 0; i < loop->state_count; i++) {
        if (loop->states[i].self == self)
            return loop->states[i].local;
    }
    return NULL;
}

void loop_set_http(struct andiron_loop *loop, void *http)
{
    loop->http = http;
}

void *loop_http(const struct andiron_loop *loop)
{
    return loop->http;
}
