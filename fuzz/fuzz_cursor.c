/*
 * Cursors of stores, as clients send them back, and packed keys, as a damaged file could
 * hold them: nothing is read past the end, and only what was sealed is accepted.
 */
#include "common/store/cursor.h"
#include "common/store/keys.h"
#include "target.h"

static const struct hash_key seal = { 1, 2 };

static bool lies_within(andiron_str part, const uint8_t *data, size_t size)
{
    return part.len <= size &&
           (part.len == 0 || ((const uint8_t *)part.data >= data &&
                              (const uint8_t *)part.data + part.len <= data + size));
}

/* Whoever does not know the key cannot make a cursor. */
static void try_cursor(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    struct cursor c;

    for (int mode = CURSOR_BY_VID; mode <= CURSOR_BACK; mode++) {
        if (cursor_read(&seal, arena, (andiron_str){ (const char *)data, size }, mode, 7, &c,
                        &err) == 0) {
            andiron_str again = cursor_write(&seal, arena, &c);
            FUZZ_CHECK(andiron_str_eq(again, (andiron_str){ (const char *)data, size }));
        }
    }
    andiron_arena_free(arena);
}

static void try_keys(const uint8_t *data, size_t size)
{
    struct keys_cursor c = keys_begin((andiron_str){ (const char *)data, size });
    struct keys_entry e;

    while (keys_next(&c, &e)) {
        bool has_text = e.kind == KEYS_TOKEN || e.kind == KEYS_STRING || e.kind == KEYS_URL ||
                        e.kind == KEYS_URI || e.kind == KEYS_OF_TYPE;
        FUZZ_CHECK(!has_text || lies_within(e.text, data, size));
    }
    FUZZ_CHECK(c.at == c.end);
}

/* Lists that can be read stay the same when they are joined with themselves once they are sorted. */
static void try_join(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    andiron_str list = { (const char *)data, size };
    andiron_str once = keys_join(arena, list, list);
    andiron_str twice = keys_join(arena, once, list);

    FUZZ_CHECK(andiron_str_eq(once, twice));
    andiron_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_cursor(data, size);
    try_keys(data, size);
    try_join(data, size);
    return 0;
}
