/*
 * Base64url: what is accepted comes back as exactly the same text, so every value has one spelling.
 */
#include "base/arena.h"
#include "common/jose/base64url.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = arena_new();
    andiron_str text = { (const char *)data, size }, bytes;

    /* The input as bytes: always there and back. */
    andiron_str encoded = jose_base64url_text(arena, data, size);
    FUZZ_CHECK(encoded.len == jose_base64url_length(size));
    FUZZ_CHECK(jose_base64url_read(arena, encoded, &bytes) == 0);
    FUZZ_CHECK(bytes.len == size && (size == 0 || memcmp(bytes.data, data, size) == 0));

    /* The input as text. */
    if (jose_base64url_read(arena, text, &bytes) == 0) {
        FUZZ_CHECK(bytes.len == jose_base64url_bytes(size));
        FUZZ_CHECK(andiron_str_eq(jose_base64url_text(arena, bytes.data, bytes.len), text));
    }
    arena_free(arena);
    return 0;
}
