/*
 * Who watches which types, and the messages on their way to loops. Thread-safe.
 *
 * A loop that has ended delivers none of its messages any more, so they are kept in a list until
 * they have arrived.
 */
#ifndef COMMON_STORE_WATCHERS_H
#define COMMON_STORE_WATCHERS_H

#include <andiron/async.h>
#include <andiron/error.h>

struct watchers;

struct watchers *watchers_new(void);           /* NULL: out of memory */
void watchers_free(struct watchers *watchers); /* NULL is allowed */

/* As andiron_store.watch. */
ANDIRON_MUST_CHECK int watchers_add(struct watchers *watchers, struct andiron_loop *loop,
                                    const char *type,
                                    void (*changed)(void *arg, andiron_str type, andiron_str id),
                                    void *arg, struct andiron_error *err);

/* Tells those who watch type of id; an empty id is "any of them". */
void watchers_tell(struct watchers *watchers, andiron_str type, andiron_str id);
/* Says "any of them" to everybody. */
void watchers_tell_all(struct watchers *watchers);

/* Whether somebody watches type. */
bool watchers_want(struct watchers *watchers, andiron_str type);
/* The types that are watched, each once, in arena. */
size_t watchers_types(struct watchers *watchers, struct andiron_arena *arena, andiron_str **ret);

#endif
