/*
 * Events that wait to be written. Any thread.
 */
#ifndef AUDIT_QUEUE_H
#define AUDIT_QUEUE_H

#include "audit.h"

struct audit_queue *audit_queue_new(struct audit *audit);
void audit_queue_free(struct audit_queue *queue);

/*
 * Takes the event over and has the writer woken. false: there is no room, or it is one refusal too
 * many of this second; it was counted and freed. One with `waits` is written without delay.
 */
bool audit_queue_put(struct audit_queue *queue, struct audit_event *event);

/*
 * The oldest events, at most max, linked; NULL: none. What was counted instead comes as an event
 * of its own.
 */
struct audit_event *audit_queue_take(struct audit_queue *queue, size_t max, size_t *ret_count);

/* Puts events that could not be written back in front. */
void audit_queue_return(struct audit_queue *queue, struct audit_event *first, size_t count);

bool audit_queue_is_empty(struct audit_queue *queue);

#endif
