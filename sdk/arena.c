/*
 * Arenas of the test kit: the same functions as core/base/arena.c, but every allocation is a block
 * of malloc's own, with nothing behind it that a sanitizer would not notice.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct block {
    struct block *next;
    size_t bytes;
    _Alignas(16) char data[];
};

struct release {
    struct release *next;
    void (*fn)(void *arg);
    void *arg;
};

struct andiron_arena {
    struct block *blocks;
    struct release *releases;
    size_t bytes;
};

static void *must_calloc(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (p == NULL) {
        (void)fputs("andiron-test: out of memory\n", stderr);
        abort();
    }
    return p;
}

struct andiron_arena *arena_new(void)
{
    return must_calloc(sizeof(struct andiron_arena));
}

struct andiron_arena *andiron_arena_new(size_t expected)
{
    (void)expected;
    return arena_new();
}

void arena_free(struct andiron_arena *arena)
{
    if (arena == NULL)
        return;
    for (struct release *r = arena->releases; r != NULL; r = r->next)
        r->fn(r->arg);
    for (struct block *b = arena->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

void andiron_arena_free(struct andiron_arena *arena)
{
    arena_free(arena);
}

void andiron_arena_wipe(struct andiron_arena *arena)
{
    (void)arena; /* nothing of a test is secret */
}

size_t arena_bytes(const struct andiron_arena *arena)
{
    return arena->bytes;
}

void arena_cache_drop(void)
{
}

void *andiron_alloc(struct andiron_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        (void)fputs("andiron-test: allocation of an impossible size\n", stderr);
        abort();
    }
    struct block *b = must_calloc(sizeof(*b) + bytes);
    b->next = arena->blocks;
    b->bytes = bytes;
    arena->blocks = b;
    arena->bytes += bytes;
    return b->data;
}

void *arena_take(struct andiron_arena *arena, size_t bytes)
{
    return andiron_alloc(arena, bytes);
}

char *andiron_copy(struct andiron_arena *arena, andiron_str s)
{
    char *p = andiron_alloc(arena, s.len + 1);
    if (s.len > 0)
        memcpy(p, s.data, s.len);
    return p;
}

char *andiron_printf(struct andiron_arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t room = len > 0 ? (size_t)len + 1 : 1;
    char *p = andiron_alloc(arena, room);
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
