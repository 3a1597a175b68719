/*
 * The JSON parser, its views and the writer.
 *
 * jansson is the oracle: both accept the same texts, but for numbers that jansson cannot hold,
 * names with U+0000, and our limits.
 */
#include <jansson.h>

#include "base/arena.h"
#include "target.h"
#include "json/parse.h"

enum { MAX_DEPTH = 64, MAX_STRING = 1000 };

/* Whether jansson's refusal is one of its own limits and not a broken text. */
static bool is_jansson_limit(const json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow ||
           json_error_code(error) == json_error_null_byte_in_key;
}

static bool is_our_limit(const struct andiron_error *err)
{
    return strstr(err->message, "nested deeper") != NULL || strstr(err->message, "longer") != NULL;
}

/* Reads all that can be read; returns the number of values. */
static size_t walk(andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    size_t values = 1, count = 0;
    const char *last = andiron_json_raw(v).data;

    while (andiron_json_next(&it)) {
        andiron_str raw = andiron_json_raw(it.value);
        FUZZ_CHECK(raw.data > last);
        last = raw.data + raw.len - 1;
        if (it.name.data != NULL)
            FUZZ_CHECK(andiron_json_member(v, it.name).at == it.value.at);
        else
            FUZZ_CHECK(andiron_json_at(v, count).at == it.value.at);
        values += walk(it.value);
        count++;
    }
    FUZZ_CHECK(count == andiron_json_count(v));
    if (andiron_json_type(v) == ANDIRON_JSON_NUMBER) {
        int64_t whole = andiron_json_int(v, 77);
        double nearest = andiron_json_double(v, 0);
        FUZZ_CHECK(whole == 77 || (double)whole == nearest);
    }
    return values;
}

/* Writes v anew, every string unescaped and escaped again. */
static void rebuild(struct andiron_json_writer *w, const char *name, andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_ARRAY:
        andiron_json_put_array(w, name);
        while (andiron_json_next(&it))
            rebuild(w, NULL, it.value);
        andiron_json_put_end(w);
        break;
    case ANDIRON_JSON_OBJECT:
        andiron_json_put_object(w, name);
        while (andiron_json_next(&it))
            andiron_json_put_member(w, it.name, it.value);
        andiron_json_put_end(w);
        break;
    case ANDIRON_JSON_STRING:
        andiron_json_put_str(w, name, andiron_json_str(v));
        break;
    default:
        andiron_json_put_raw(w, name, andiron_json_raw(v));
    }
}

static andiron_json parse_again(struct andiron_arena *arena, struct andiron_json_writer *w)
{
    static const struct json_limits wide = { .max_depth = MAX_DEPTH, .max_string = 1 << 30 };
    andiron_json root;
    andiron_str text = andiron_json_written(w);
    FUZZ_CHECK(text.data != NULL);
    FUZZ_CHECK(json_parse(arena, text, &wide, &root, NULL) == 0);
    return root;
}

static void check_written(struct andiron_arena *arena, andiron_json root, size_t size)
{
    struct andiron_json_writer *w = andiron_json_write(arena, size);
    andiron_json_put(w, NULL, root);
    andiron_json compact = parse_again(arena, w);
    FUZZ_CHECK(andiron_json_equal(root, compact));
    FUZZ_CHECK(walk(root) == walk(compact));

    struct andiron_json_writer *again = andiron_json_write(arena, size);
    andiron_json_put(again, NULL, compact);
    FUZZ_CHECK(andiron_str_eq(andiron_json_written(w), andiron_json_written(again)));

    w = andiron_json_write(arena, size * 6);
    rebuild(w, NULL, root);
    FUZZ_CHECK(andiron_json_equal(parse_again(arena, w), root));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits = { .max_depth = MAX_DEPTH, .max_string = MAX_STRING };
    struct andiron_arena *arena = arena_new();
    andiron_str text = { (const char *)data, size };
    andiron_json root;
    struct andiron_error err = { .code = ANDIRON_OK };
    json_error_t error;

    bool accepted = json_parse(arena, text, &limits, &root, &err) == 0;
    json_t *other = json_loadb(text.data != NULL ? text.data : "", size,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (accepted) {
        FUZZ_CHECK(other != NULL || is_jansson_limit(&error));
        check_written(arena, root, size);
    } else {
        /* jansson loses a NUL that stands behind a number or word. */
        bool comparable = size == 0 || memchr(data, '\0', size) == NULL;
        FUZZ_CHECK(other == NULL || is_our_limit(&err) || !comparable);
        FUZZ_CHECK(err.code == ANDIRON_E_STRUCTURE && err.where[0] != '\0');
    }
    json_decref(other);
    arena_free(arena);
    return 0;
}
