/*
 * One event loop: a libevent base, run by one thread, with posts from other
 * threads and the local state of plugins. Knows nothing of HTTP.
 */
#ifndef CORE_LOOP_LOOP_H
#define CORE_LOOP_LOOP_H

#include <andiron/async.h>
#include <andiron/error.h>

/* A loop that does not run yet; index counts from 0. NULL and err on failure. */
struct andiron_loop *loop_new(unsigned index, struct andiron_error *err);
/*
 * Runs what was posted and not yet run. No other thread may post any more: stop the pool, whose
 * jobs post to loops, first.
 */
void loop_free(struct andiron_loop *loop);

/* Runs on the calling thread until loop_quit(). */
void loop_run(struct andiron_loop *loop);
/* Ends loop_run() soon. Any thread. */
void loop_quit(struct andiron_loop *loop);

unsigned loop_index(const struct andiron_loop *loop);
/* The loop of the calling thread, or NULL. */
struct andiron_loop *loop_current(void);

/* Remembers what andiron_loop_state(loop, self) gives. On the loop's thread, or before it runs. */
void loop_set_state(struct andiron_loop *loop, const void *self, void *local);

/*
 * A post whose memory is the caller's: fn(arg) runs on the loop's thread, soon, and the post may be
 * used again from then on. What andiron_loop_post() does without an allocation. Any thread.
 */
struct loop_post {
    struct loop_post *next; /* private to loop.c */
    void (*fn)(void *arg);
    void *arg;
};
void loop_post_own(struct andiron_loop *loop, struct loop_post *post);

/*
 * At the end of a loop that runs no more, when plugins have stopped: runs what core posted with
 * loop_post_own(), and drops what was posted with andiron_loop_post().
 */
void loop_flush(struct andiron_loop *loop);

/* The HTTP layer's own state of this loop. */
void loop_set_http(struct andiron_loop *loop, void *http);
void *loop_http(const struct andiron_loop *loop);

#endif
