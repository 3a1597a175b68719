/*
 * Questions in SQL, of policies: a queue, and few threads that answer them, so that a slow one delays
 * nothing else. Threads are made when they are first needed.
 */
#ifndef COMMON_STORE_QUESTIONS_H
#define COMMON_STORE_QUESTIONS_H

#include <stdatomic.h>

#include <andiron/error.h>

enum { QUESTIONS_THREADS_MAX = 16 };

/* As in andiron_sql.ask. */
struct question {
    struct question *next;
    andiron_str text;
    const andiron_str *params;
    size_t param_count;
    andiron_usec deadline;
    void (*done)(void *arg, bool truth, const struct andiron_error *err);
    void *arg;
};

/* How they are answered; on the threads. */
struct questions_kind {
    /* A thread's own connection; *stopping becomes true when it should end what it does. NULL: err,
     * and the next question tries again. */
    void *(*open)(void *arg, const atomic_bool *stopping, struct andiron_error *err);
    /* -1: err. */
    int (*answer)(void *own, const struct question *q, bool *ret_truth, struct andiron_error *err);
    void (*close)(void *own);
    void *arg;
    int64_t threads, most; /* threads, and questions that may wait */
    const char *too_many;  /* says which directive that is */
};

struct questions;

/* NULL: out of memory. */
struct questions *questions_new(const struct questions_kind *kind);
/* Interrupts what runs and fails what waits. NULL is allowed. */
void questions_free(struct questions *questions);

/* As andiron_sql.ask. Any thread. */
void questions_ask(struct questions *questions, andiron_str text, const andiron_str *params,
                   size_t param_count, int64_t limit_ms,
                   void (*done)(void *arg, bool truth, const struct andiron_error *err), void *arg);

#endif
