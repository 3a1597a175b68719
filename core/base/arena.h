/*
 * Arenas for core: how one is made and ended. What plugins may do with one is
 * in andiron/base.h.
 *
 * Blocks of the first size (8 KiB) are kept in a small cache of the thread that
 * released them, so a typical request needs no malloc.
 */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

#include <andiron/base.h>

/* An empty arena. Owned by the caller; any thread, but one at a time. Never NULL. */
struct andiron_arena *arena_new(void);

/* Runs the release hooks, last registered first, and gives all memory back. NULL is allowed. */
void arena_free(struct andiron_arena *arena);

/* Only runs the release hooks; memory is kept until arena_free(), which may be on another thread. */
void arena_release(struct andiron_arena *arena);

/* Bytes taken from the system, for the limit `request-memory`. */
size_t arena_bytes(const struct andiron_arena *arena);

/* Like andiron_alloc() without zeroing; for bytes that are written at once. */
void *arena_take(struct andiron_arena *arena, size_t bytes);

/* Gives back the calling thread's cached blocks; before a thread ends. */
void arena_cache_drop(void);

#endif
