/*
 * A queue of questions and few threads that answer them; see questions.h.
 */
#include "questions.h"

#include <pthread.h>
#include <stdlib.h>

struct questions {
    struct questions_kind kind;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct question *first, **last;
    int64_t waiting;
    atomic_bool stopping;
    unsigned idle, thread_count;
    pthread_t threads[QUESTIONS_THREADS_MAX];
};

/* ---- threads ---------------------------------------------------------------------------------- */

static struct question *take(struct questions *r)
{
    struct question *q;
    (void)pthread_mutex_lock(&r->lock);
    r->idle++;
    while (r->first == NULL && !r->stopping)
        (void)pthread_cond_wait(&r->changed, &r->lock);
    r->idle--;
    q = r->stopping ? NULL : r->first;
    if (q != NULL) {
        r->first = q->next;
        r->waiting--;
        if (r->first == NULL)
            r->last = &r->first;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return q;
}

static void answer(struct questions *r, void **own, const struct question *q)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    bool truth = false;

    if (*own == NULL)
        *own = r->kind.open(r->kind.arg, &r->stopping, &err);
    if (*own != NULL && andiron_now() >= q->deadline)
        andiron_error_set(&err, ANDIRON_E_TIMEOUT, "", "the query waited too long to run");
    else if (*own != NULL)
        (void)r->kind.answer(*own, q, &truth, &err);
    q->done(q->arg, truth && err.code == ANDIRON_OK, err.code != ANDIRON_OK ? &err : NULL);
}

static void *thread_main(void *arg)
{
    struct questions *r = arg;
    void *own = NULL;
    for (struct question *q; (q = take(r)) != NULL;) {
        answer(r, &own, q);
        free(q);
    }
    if (own != NULL)
        r->kind.close(own);
    return NULL;
}

/* With the lock. */
static void add_thread(struct questions *r)
{
    unsigned most = (unsigned)r->kind.threads;
    if (r->idle > 0 || r->thread_count >= most || r->thread_count >= QUESTIONS_THREADS_MAX)
        return;
    if (pthread_create(&r->threads[r->thread_count], NULL, thread_main, r) == 0)
        r->thread_count++;
}

/* ---- life ---------------------------------------------------------------------------------------- */

struct questions *questions_new(const struct questions_kind *kind)
{
    struct questions *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->kind = *kind;
    r->last = &r->first;
    (void)pthread_mutex_init(&r->lock, NULL); /* cannot fail for default attributes */
    (void)pthread_cond_init(&r->changed, NULL);
    return r;
}

void questions_free(struct questions *r)
{
    const struct andiron_error err = { .code = ANDIRON_E_UNAVAILABLE,
                                       .message = "the server is stopping" };
    if (r == NULL)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->stopping = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->thread_count; i++)
        (void)pthread_join(r->threads[i], NULL);
    while (r->first != NULL) {
        struct question *q = r->first;
        r->first = q->next;
        q->done(q->arg, false, &err);
        free(q);
    }
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

void questions_ask(struct questions *r, andiron_str text, const andiron_str *params,
                   size_t param_count, int64_t limit_ms,
                   void (*done)(void *arg, bool truth, const struct andiron_error *err), void *arg)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    struct question *q = malloc(sizeof(*q));
    andiron_error_set(&err, ANDIRON_E_UNAVAILABLE, "", "too many queries wait; see %s",
                      r->kind.too_many);
    if (q == NULL) {
        done(arg, false, &err);
        return;
    }
    *q = (struct question){ .text = text,
                            .params = params,
                            .param_count = param_count,
                            .deadline = andiron_now() + limit_ms * 1000,
                            .done = done,
                            .arg = arg };
    (void)pthread_mutex_lock(&r->lock);
    add_thread(r);
    bool taken = r->thread_count > 0 && !r->stopping && r->waiting < r->kind.most;
    if (taken) {
        *r->last = q;
        r->last = &q->next;
        r->waiting++;
        (void)pthread_cond_signal(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (taken)
        return; /* cppcheck-suppress memleak ; it lies in the queue */
    free(q);
    done(arg, false, &err);
}
