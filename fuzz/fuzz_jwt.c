/*
 * Tokens and key sets as others send them: JWS split, client assertions, JWK sets, verifying.
 *
 * The input is a key set and a compact JWS, with a line feed between them.
 */
#include "base/arena.h"
#include "common/jose/base64url.h"
#include "plugins/auth/assertion.h"
#include "target.h"

enum { MAX_BYTES = 16 * 1024, MAX_KEYS = 64 };

/* Every key that was taken must be strong, and come back from its own JWK with the same name. */
static void check_key(struct andiron_arena *arena, const struct jose_key *key)
{
    andiron_str text;
    andiron_json jwk;
    struct jose_key again;
    char one[JOSE_THUMBPRINT], two[JOSE_THUMBPRINT];
    struct andiron_error err;

    FUZZ_CHECK(key->kty != JOSE_RSA ||
               (key->bits >= JOSE_RSA_MIN_BITS && key->bits <= JOSE_RSA_MAX_BITS));
    FUZZ_CHECK(jose_jwk_write(arena, key->handle, key->kid, NULL, &text, &err) == 0);
    FUZZ_CHECK(andiron_json_parse(arena, text, &jwk, &err) == 0);
    FUZZ_CHECK(!jose_jwk_is_secret(jwk));
    FUZZ_CHECK(jose_jwk_read(arena, jwk, &again, &err) == 0);
    FUZZ_CHECK(jose_thumbprint(key->handle, one, &err) == 0);
    FUZZ_CHECK(jose_thumbprint(again.handle, two, &err) == 0);
    FUZZ_CHECK(memcmp(one, two, sizeof(one)) == 0);
}

static void read_set(struct andiron_arena *arena, andiron_str text, struct jose_set *ret)
{
    andiron_json root;
    struct andiron_error err;

    if (andiron_json_parse(arena, text, &root, &err) != 0 ||
        jose_set_check(jose_set_keys(root), MAX_KEYS, &err) != 0)
        return;
    FUZZ_CHECK(jose_set_read(arena, jose_set_keys(root), (andiron_str){ NULL, 0 }, ret, &err) == 0);
    for (size_t i = 0; i < ret->count; i++)
        check_key(arena, &ret->keys[i]);
}

/* No signature holds for two messages. Either may be the one it was made for: inputs are changed ones. */
static void verify_all(const struct jose_set *set, const struct jose_jws *jws)
{
    const struct jose_alg *alg =
        jose_alg_find(andiron_json_str(andiron_json_get(jws->header, "alg")));
    andiron_str changed = jws->signed_part;
    changed.len--;
    for (size_t i = 0; alg != NULL && i < set->count; i++) {
        FUZZ_CHECK(!jose_verify(&set->keys[i], alg, jws->signed_part, jws->signature) ||
                   !jose_verify(&set->keys[i], alg, changed, jws->signature));
    }
}

static void judge(struct andiron_arena *arena, andiron_str text)
{
    const struct jose_alg *const algs[] = { jose_alg_find(ANDIRON_STR("RS384")),
                                            jose_alg_find(ANDIRON_STR("ES384")), NULL };
    const struct assertion_rules rules = { .algs = algs,
                                           .max_bytes = MAX_BYTES,
                                           .audience = ANDIRON_STR("https://a.example/auth/token"),
                                           .skew_s = 5,
                                           .life_s = 300,
                                           .now_s = 1700000000 };
    struct assertion a;
    struct andiron_error err = { .code = ANDIRON_OK };

    if (assertion_read(arena, text, &rules, &a, &err) == 0) {
        FUZZ_CHECK(a.kid.len != 0 && a.client.len != 0 && a.alg != NULL);
        if (assertion_check(&a, &rules, &err) == 0)
            FUZZ_CHECK(a.jti.len != 0 && a.exp_s > rules.now_s - 5 && a.exp_s <= rules.now_s + 305);
    }
    FUZZ_CHECK(err.code == ANDIRON_OK || err.code == ANDIRON_E_CREDENTIALS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = arena_new();
    const uint8_t *line = size != 0 ? memchr(data, '\n', size) : NULL;
    size_t first = line != NULL ? (size_t)(line - data) : 0;
    size_t skip = line != NULL ? first + 1 : 0;
    andiron_str text = { (const char *)data + skip, size - skip };
    struct jose_set set = { .count = 0 };
    struct jose_jws jws;
    struct andiron_error err;

    read_set(arena, (andiron_str){ (const char *)data, first }, &set);
    if (jose_jws_split(arena, text, MAX_BYTES, &jws, &err) == 0) {
        FUZZ_CHECK(jws.signed_part.len < text.len);
        verify_all(&set, &jws);
    }
    judge(arena, text);
    arena_free(arena);
    return 0;
}
