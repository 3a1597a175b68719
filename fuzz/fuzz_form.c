/*
 * Parameters of the token endpoint: forms and JSON, and Basic credentials.
 */
#include "base/arena.h"
#include "plugins/auth/basic.h"
#include "plugins/auth/params.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const andiron_str types[] = { { "application/x-www-form-urlencoded", 33 },
                                         { "application/json", 16 } };
    struct andiron_arena *arena = arena_new();
    andiron_str body = { (const char *)data, size }, id, secret;
    struct andiron_error err;

    for (int i = 0; i < 2; i++) {
        struct oauth_params params;
        if (params_read(arena, types[i], body, PARAMS_OF_GRANT | PARAMS_OF_TOKEN, &params, &err) !=
            0) {
            FUZZ_CHECK(err.code == ANDIRON_E_INVALID);
            continue;
        }
        FUZZ_CHECK(params.scope.data == NULL || params.scope.len != 0);
        FUZZ_CHECK(params.scope.len == 0 ||
                   memchr(params.scope.data, '\0', params.scope.len) == NULL);
    }
    if (basic_read(arena, body, &id, &secret) == 0) {
        FUZZ_CHECK(id.len + secret.len < size);
        FUZZ_CHECK(id.len == 0 || memchr(id.data, ':', id.len) == NULL);
    }
    arena_free(arena);
    return 0;
}
