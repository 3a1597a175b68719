/*
 * Paths and parameters. A path that is accepted is canonical: decoding it again changes
 * nothing, and no other rule of paths is broken by what was decoded.
 */
#include <string.h>

#include "base/arena.h"
#include "http/target.h"
#include "target.h"

enum { PAIRS_MAX = 100 };

static void check_path(struct andiron_arena *arena, andiron_str raw)
{
    andiron_str path = { NULL, 0 };
    const char *reason = NULL;
    size_t segment = 0;

    if (target_path(arena, raw, &path, &reason) != 0) {
        FUZZ_CHECK(reason != NULL && path.data == NULL);
        return;
    }
    FUZZ_CHECK(reason == NULL && path.len > 0 && path.len <= raw.len && path.data[0] == '/');
    for (size_t i = 1; i <= path.len; i++) {
        if (i < path.len && path.data[i] != '/') {
            unsigned char c = (unsigned char)path.data[i];
            FUZZ_CHECK(c >= 0x20 && c != 0x7f && memchr("\\;%?#", c, 5) == NULL);
            segment++;
            continue;
        }
        FUZZ_CHECK(segment > 0 || path.len == 1);
        FUZZ_CHECK(segment != 1 || path.data[i - 1] != '.');
        FUZZ_CHECK(segment != 2 || memcmp(path.data + i - 2, "..", 2) != 0);
        segment = 0;
    }
    if (memchr(raw.data, '%', raw.len) == NULL)
        FUZZ_CHECK(path.data == raw.data); /* a view */
}

/* Escapes every byte of text behind what is there. */
static size_t escape(andiron_str text, char *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        out[len++] = '%';
        out[len++] = hex[c >> 4];
        out[len++] = hex[c & 15];
    }
    return len;
}

/* name=value, escaped anew, must be read as the same. */
static void check_pair(struct andiron_arena *arena, andiron_str name, andiron_str value)
{
    char *text = arena_take(arena, (name.len + value.len) * 3 + 1);
    size_t len = escape(name, text);
    struct target_params again;
    andiron_str name_again, value_again;

    text[len++] = '=';
    len += escape(value, text + len);
    target_params_init(&again, (andiron_str){ text, len }, 1);
    FUZZ_CHECK(target_params_next(&again, arena, &name_again, &value_again) == TARGET_PARAM);
    FUZZ_CHECK(andiron_str_eq(name, name_again) && andiron_str_eq(value, value_again));
    FUZZ_CHECK(target_params_next(&again, arena, &name_again, &value_again) == TARGET_PARAM_END);
}

static void check_params(struct andiron_arena *arena, andiron_str text)
{
    struct target_params params;
    andiron_str name, value;
    enum target_param result;
    size_t count = 0;

    target_params_init(&params, text, PAIRS_MAX);
    while ((result = target_params_next(&params, arena, &name, &value)) == TARGET_PARAM) {
        FUZZ_CHECK(name.data != NULL && value.data != NULL);
        FUZZ_CHECK(memchr(name.data, '\0', name.len) == NULL);
        FUZZ_CHECK(value.len == 0 || memchr(value.data, '\0', value.len) == NULL);
        check_pair(arena, name, value);
        count++;
    }
    FUZZ_CHECK(count <= PAIRS_MAX);
    FUZZ_CHECK((result == TARGET_PARAM_ERROR) == (params.reason != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = arena_new();
    andiron_str text = { (const char *)data, size };

    check_path(arena, text);
    check_params(arena, text);
    arena_free(arena);
    return 0;
}
