/*
 * A list under a lock, with two limits: of events that wait, and of refusals in a second, which
 * anybody can cause without being known.
 */
#include "queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "event.h"
#include "writer.h"

enum { SECOND_US = 1000000 };

struct audit_queue {
    struct audit *audit;
    pthread_mutex_t lock; /* guards what follows */
    struct audit_event *first, **end;
    size_t count;
    andiron_usec second; /* the one in which refusals are counted */
    int64_t refusals, passed_over;
};

struct audit_queue *audit_queue_new(struct audit *audit)
{
    struct audit_queue *queue = andiron_new(andiron_host_arena(audit->host), struct audit_queue);
    queue->audit = audit;
    queue->end = &queue->first;
    (void)pthread_mutex_init(&queue->lock, NULL); /* cannot fail for a default mutex */
    return queue;
}

void audit_queue_free(struct audit_queue *queue)
{
    struct audit_event *next;
    if (queue->count > 0)
        andiron_log(queue->audit->host, ANDIRON_LOG_ERROR, "audit.lost",
                    "%zu audit events could not be written before the end", queue->count);
    for (struct audit_event *e = queue->first; e != NULL; e = next) {
        next = e->next;
        event_drop(e);
    }
    (void)pthread_mutex_destroy(&queue->lock);
}

/* With the lock held. */
static bool is_one_too_many(struct audit_queue *queue, const struct audit_event *event)
{
    bool refused = event->kind == AUDIT_DENIED || (event->kind == AUDIT_TOKEN && event->status >= 400);
    andiron_usec second = event->at - event->at % SECOND_US;
    if (!refused)
        return false;
    if (second != queue->second) {
        queue->second = second;
        queue->refusals = 0;
    }
    return ++queue->refusals > queue->audit->config->max_refusals;
}

bool audit_queue_put(struct audit_queue *queue, struct audit_event *event)
{
    const struct config *config = queue->audit->config;
    (void)pthread_mutex_lock(&queue->lock);
    bool taken = queue->count < (size_t)config->queue && !is_one_too_many(queue, event);
    if (taken) {
        event->next = NULL;
        *queue->end = event;
        queue->end = &event->next;
        queue->count++;
    } else {
        queue->passed_over++;
    }
    bool is_first = taken && queue->count == 1, waits = event->waits != NULL;
    (void)pthread_mutex_unlock(&queue->lock);
    if (!taken) {
        andiron_count(queue->audit->lost, 1);
        event_drop(event);
        return false;
    }
    if (is_first || waits)
        audit_writer_wake(queue->audit->writer, waits);
    return true;
}

struct audit_event *audit_queue_take(struct audit_queue *queue, size_t max, size_t *ret_count)
{
    (void)pthread_mutex_lock(&queue->lock);
    struct audit_event *first = queue->first, **end = &queue->first;
    size_t count = 0;
    int64_t passed_over = queue->passed_over;
    for (; count < max && *end != NULL; count++)
        end = &(*end)->next;
    queue->first = *end;
    *end = NULL;
    if (queue->first == NULL)
        queue->end = &queue->first;
    queue->count -= count;
    if (count == 0)
        first = NULL;
    queue->passed_over = 0;
    (void)pthread_mutex_unlock(&queue->lock);
    if (passed_over > 0) {
        struct audit_event *lost = event_of_count(AUDIT_LOST, passed_over);
        lost->next = first;
        first = lost;
        count++;
    }
    *ret_count = count;
    return first;
}

void audit_queue_return(struct audit_queue *queue, struct audit_event *first, size_t count)
{
    struct audit_event **end = &first;
    if (first == NULL)
        return;
    while (*end != NULL)
        end = &(*end)->next;
    (void)pthread_mutex_lock(&queue->lock);
    *end = queue->first;
    if (queue->first == NULL)
        queue->end = end;
    queue->first = first;
    queue->count += count;
    (void)pthread_mutex_unlock(&queue->lock);
}

bool audit_queue_is_empty(struct audit_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    bool is_empty = queue->first == NULL && queue->passed_over == 0;
    (void)pthread_mutex_unlock(&queue->lock);
    return is_empty;
}
