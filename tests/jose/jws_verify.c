/*
 * andiron-jws-verify: public vector sets through the daemon's own verification.
 *
 *     andiron-jws-verify < vectors.ndjson
 *
 * Each line of standard input is {"jwk":{..},"alg":"..","msg":"<hex>","sig":"<hex>"}; msg are the bytes of the signing
 * input, sig those of the signature. For each line one line comes out: "valid" or "invalid". A line that is anything
 * else, and a key that Andiron would not take, is "invalid" as well. Ends with 0. Never part of a package.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "common/jose/jws.h"

static int nibble_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string of an even number of hex digits; "" is no bytes. */
static int read_hex(struct andiron_arena *arena, andiron_json v, andiron_str *ret)
{
    andiron_str text = andiron_json_str(v);

    if (andiron_json_type(v) != ANDIRON_JSON_STRING || text.len % 2 != 0)
        return -1;
    char *bytes = andiron_alloc(arena, text.len / 2 + 1);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = nibble_of(text.data[i]), low = nibble_of(text.data[i + 1]);
        if (high < 0 || low < 0)
            return -1;
        bytes[i / 2] = (char)(high << 4 | low);
    }
    *ret = (andiron_str){ bytes, text.len / 2 };
    return 0;
}

static bool is_valid(struct andiron_arena *arena, andiron_str line)
{
    struct andiron_error err;
    struct jose_key key;
    andiron_str msg, sig;
    andiron_json v;

    if (andiron_json_parse(arena, line, &v, &err) != 0 ||
        andiron_json_type(v) != ANDIRON_JSON_OBJECT)
        return false;
    const struct jose_alg *alg = jose_alg_find(andiron_json_str(andiron_json_get(v, "alg")));
    return alg != NULL && jose_jwk_read(arena, andiron_json_get(v, "jwk"), &key, &err) == 0 &&
           read_hex(arena, andiron_json_get(v, "msg"), &msg) == 0 &&
           read_hex(arena, andiron_json_get(v, "sig"), &sig) == 0 &&
           jose_verify(&key, alg, msg, sig);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;

    for (ssize_t len; (len = getline(&line, &capacity, stdin)) > 0;) {
        struct andiron_arena *arena = arena_new();
        if (line[len - 1] == '\n')
            len--;
        puts(is_valid(arena, (andiron_str){ line, (size_t)len }) ? "valid" : "invalid");
        arena_free(arena);
    }
    free(line);
    return 0;
}
