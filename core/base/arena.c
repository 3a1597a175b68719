/*
 * Arenas: memory with one lifetime.
 *
 * A chain of blocks; allocation moves a pointer. The first block (8 KiB, with the
 * arena itself at its start) comes from a small cache of the calling thread;
 * later blocks double up to 256 KiB. C library only.
 */
#include "base/arena.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#    define ARENA_POISON 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define ARENA_POISON 1
#    endif
#endif
#ifdef ARENA_POISON
#    include <sanitizer/asan_interface.h>
#else
#    define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#    define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
    FIRST_BLOCK = 8 * 1024,
    LARGEST_BLOCK = 256 * 1024,
    CACHED_BLOCKS = 64, /* per thread: 512 KiB at most */
    ALIGNMENT = 16
};

struct block {
    struct block *next; /* the one allocated before */
    size_t size;        /* of the whole block */
};

struct release {
    struct release *next;
    void (*fn)(void *arg);
    void *arg;
};

struct andiron_arena {
    struct block *blocks; /* newest first; the last one holds this struct */
    char *at, *end;       /* free part of the newest block */
    struct release *releases;
    size_t bytes, next_size;
    bool is_secret; /* see andiron_arena_wipe() */
};

static _Thread_local struct block *cache;
static _Thread_local unsigned cache_count;

/* Threads that plugins start know nothing of the cache: it is given back when they end. */
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit_key;
static _Thread_local bool at_exit_set;

static void drop_at_exit(void *arg)
{
    (void)arg;
    arena_cache_drop();
}

static void make_at_exit(void)
{
    /* Without a key the blocks of ended threads are lost: a leak of at most 512 KiB each. */
    if (pthread_key_create(&at_exit_key, drop_at_exit) != 0)
        at_exit_set = true;
}

static void watch_exit(void)
{
    (void)pthread_once(&at_exit_once, make_at_exit);
    if (!at_exit_set)
        (void)pthread_setspecific(at_exit_key, &cache); /* any value but NULL */
    at_exit_set = true;
}

/* Out of memory is not survivable here: the supervisor starts a new worker. */
static void *must_malloc(size_t bytes)
{
    void *p = malloc(bytes);
    if (p == NULL) {
        fputs("andiron: out of memory\n", stderr);
        abort();
    }
    return p;
}

static struct block *block_new(size_t size)
{
    struct block *b;
    if (size == FIRST_BLOCK && cache != NULL) {
        b = cache;
        ASAN_UNPOISON_MEMORY_REGION(b, FIRST_BLOCK);
        cache = b->next;
        cache_count--;
    } else {
        b = must_malloc(size);
    }
    b->next = NULL;
    b->size = size;
    return b;
}

static void block_free(struct block *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b, b->size);
    if (b->size != FIRST_BLOCK || cache_count >= CACHED_BLOCKS) {
        free(b);
        return;
    }
    if (!at_exit_set)
        watch_exit();
    b->next = cache;
    cache = b;
    cache_count++;
}

void arena_cache_drop(void)
{
    while (cache != NULL) {
        struct block *b = cache;
        cache = b->next;
        free(b);
    }
    cache_count = 0;
}

static size_t aligned(size_t n)
{
    return (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static struct andiron_arena *arena_of(size_t first)
{
    struct block *b = block_new(first);
    char *start = (char *)b + aligned(sizeof(*b));
    struct andiron_arena *arena = (struct andiron_arena *)(void *)start;

    *arena = (struct andiron_arena){ .blocks = b,
                                     .at = start + aligned(sizeof(*arena)),
                                     .end = (char *)b + first,
                                     .bytes = first,
                                     .next_size = 2 * first };
    ASAN_POISON_MEMORY_REGION(arena->at, (size_t)(arena->end - arena->at));
    return arena;
}

struct andiron_arena *arena_new(void)
{
    return arena_of(FIRST_BLOCK);
}

struct andiron_arena *andiron_arena_new(size_t expected)
{
    size_t overhead = aligned(sizeof(struct block)) + aligned(sizeof(struct andiron_arena));
    if (expected == 0 || expected >= FIRST_BLOCK - overhead)
        return arena_new();
    return arena_of(aligned(expected < 256 ? 256 : expected) + overhead);
}

void andiron_arena_free(struct andiron_arena *arena)
{
    arena_free(arena);
}

void andiron_arena_wipe(struct andiron_arena *arena)
{
    arena->is_secret = true;
}

/* All that was given out; the rest has been given to nobody, or been wiped by whom it was. */
static void wipe_blocks(struct andiron_arena *arena)
{
    for (struct block *b = arena->blocks; b != NULL; b = b->next) {
        char *start = (char *)b + aligned(sizeof(*b)), *end = (char *)b + b->size;
        if (start == (char *)arena)
            start += aligned(sizeof(*arena));
        if (arena->at >= start && arena->at <= end)
            end = arena->at;
        ASAN_UNPOISON_MEMORY_REGION(b, b->size);
        explicit_bzero(start, (size_t)(end - start));
    }
}

void arena_release(struct andiron_arena *arena)
{
    for (struct release *r = arena->releases; r != NULL; r = r->next)
        r->fn(r->arg);
    arena->releases = NULL;
}

void arena_free(struct andiron_arena *arena)
{
    if (arena == NULL)
        return;
    arena_release(arena);
    if (arena->is_secret)
        wipe_blocks(arena);
    /* The oldest block holds the arena itself, so it is the last that the walk gives back. */
    struct block *b = arena->blocks;
    while (b != NULL) {
        struct block *next = b->next;
        block_free(b);
        b = next;
    }
}

size_t arena_bytes(const struct andiron_arena *arena)
{
    return arena->bytes;
}

/* A block of its own for what would waste most of a shared one; put behind the newest. */
static void *alloc_large(struct andiron_arena *arena, size_t bytes)
{
    struct block *b = block_new(aligned(sizeof(*b)) + bytes);
    b->next = arena->blocks->next;
    /* The first block stays last in the chain: it holds the arena. */
    if (arena->blocks->next == NULL) {
        b->next = arena->blocks;
        arena->blocks = b;
    } else {
        arena->blocks->next = b;
    }
    arena->bytes += b->size;
    return (char *)b + aligned(sizeof(*b));
}

static void *alloc_slow(struct andiron_arena *arena, size_t bytes)
{
    if (bytes > LARGEST_BLOCK / 4)
        return alloc_large(arena, bytes);
    while (arena->next_size < bytes + aligned(sizeof(struct block)))
        arena->next_size *= 2;
    struct block *b = block_new(arena->next_size);
    b->next = arena->blocks;
    arena->blocks = b;
    arena->at = (char *)b + aligned(sizeof(*b));
    arena->end = (char *)b + b->size;
    arena->bytes += b->size;
    if (arena->next_size < LARGEST_BLOCK)
        arena->next_size *= 2;
    ASAN_POISON_MEMORY_REGION(arena->at, (size_t)(arena->end - arena->at));
    void *p = arena->at;
    arena->at += bytes;
    return p;
}

void *arena_take(struct andiron_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        fputs("andiron: allocation of an impossible size\n", stderr);
        abort();
    }
    size_t n = aligned(bytes != 0 ? bytes : 1);
    void *p;
    if (n <= (size_t)(arena->end - arena->at)) {
        p = arena->at;
        arena->at += n;
    } else {
        p = alloc_slow(arena, n);
    }
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
    return p;
}

void *andiron_alloc(struct andiron_arena *arena, size_t bytes)
{
    return memset(arena_take(arena, bytes), 0, bytes);
}

char *andiron_copy(struct andiron_arena *arena, andiron_str s)
{
    char *p = arena_take(arena, s.len + 1);
    if (s.len != 0)
        memcpy(p, s.data, s.len);
    p[s.len] = '\0';
    return p;
}

char *andiron_printf(struct andiron_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t room = len > 0 ? (size_t)len + 1 : 1;
    char *p = arena_take(arena, room);
    p[0] = '\0';
    if (len > 0)
        (void)vsnprintf(p, room, fmt, again); /* measured just before: it fits */
    va_end(again);
    return p;
}

void andiron_at_release(struct andiron_arena *arena, void (*fn)(void *arg), void *arg)
{
    struct release *r = andiron_new(arena, struct release);
    *r = (struct release){ .next = arena->releases, .fn = fn, .arg = arg };
    arena->releases = r;
}
