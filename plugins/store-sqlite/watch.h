/*
 * Watches: tells loops of committed changes, of this process at once, of others by polling.
 */
#ifndef STORE_SQLITE_WATCH_H
#define STORE_SQLITE_WATCH_H

#include "store.h"

struct watches;

struct watches *watches_new(void);
void watches_free(struct watches *watches);

/* As andiron_store.watch. Any thread. */
ANDIRON_MUST_CHECK int watch_add(struct watches *watches, struct andiron_loop *loop,
                                 const char *type,
                                 void (*changed)(void *arg, andiron_str type, andiron_str id),
                                 void *arg, struct andiron_error *err);

/* From here on, on the writer's thread alone. */

/* Changes up to now are known to everybody. -1: db->rc. */
ANDIRON_MUST_CHECK int watch_begin(struct watches *watches, struct db *db);
/* This process committed a change. */
void watch_note(struct watches *watches, andiron_str type, andiron_str id);
/* This process committed these versions, and has told of them. */
void watch_own(struct watches *watches, int64_t first_vid, int64_t last_vid);
/* Looks whether another process committed something. */
void watch_poll(struct watches *watches, struct names *names, struct db *db);

#endif
