/*
 * Timeouts of connections and requests on one loop.
 *
 * All timeouts of a class last equally long, so a list in the order of starting
 * is a list in the order of ending: start and stop are a few pointer writes, and
 * one timer watches the heads of all lists. On the loop's thread only.
 */
#ifndef CORE_HTTP_TIMEOUTS_H
#define CORE_HTTP_TIMEOUTS_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include <andiron/base.h>

enum timeout_class {
    TIMEOUT_HEADER,  /* a whole head, from accept or from its first byte */
    TIMEOUT_BODY,    /* between two reads of a body */
    TIMEOUT_IDLE,    /* between two requests */
    TIMEOUT_WRITE,   /* until the peer takes some bytes */
    TIMEOUT_LINGER,  /* reading and dropping before a close */
    TIMEOUT_REQUEST, /* from the whole request to its first answer byte */
    TIMEOUT_CLASSES
};

struct timeout {
    struct timeout *next, *prev; /* NULL: not started */
    int64_t ends_ms;
};

typedef void (*timeout_fn)(struct timeout *timeout, enum timeout_class class);

struct timeouts {
    struct timeout lists[TIMEOUT_CLASSES]; /* rings; oldest at next */
    int64_t length_ms[TIMEOUT_CLASSES];
    timeout_fn ended;
    struct event timer;
    int64_t armed_ms; /* when the timer fires; INT64_MAX: not armed */
};

/* Milliseconds of the monotonic clock, to about 4 ms: cheap enough for every request. */
int64_t timeouts_now(void);

/* The timeout is stopped before ended() is called. A length of 0 never ends, but keeps its order. */
void timeouts_init(struct timeouts *all, struct event_base *base,
                   const int64_t length_ms[TIMEOUT_CLASSES], timeout_fn ended);
/* Stops the timer; what is still started stays so. */
void timeouts_close(struct timeouts *all);

/* Starts, or starts again, the class's time from now. */
void timeout_start(struct timeouts *all, struct timeout *timeout, enum timeout_class class);
void timeout_stop(struct timeout *timeout);

/* The one of a class that ends first, or NULL. */
struct timeout *timeouts_first(struct timeouts *all, enum timeout_class class);

#endif
