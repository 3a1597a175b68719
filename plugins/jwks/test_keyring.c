/*
 * States of keys by their times, and sealing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keyring.h"
#include "seal.h"

enum { SECOND = 1000000, LIFE = 300 };

static struct andiron_arena *arena;
static struct jose_private *keys[4];
static char kids[4][JOSE_THUMBPRINT + 1];

static int set_up(void **state)
{
    struct andiron_error err;
    (void)state;
    arena = andiron_arena_new(0);
    for (size_t i = 0; i < 4; i++) {
        if (jose_private_generate(jose_alg_find(ANDIRON_STR("ES256")), 0, &keys[i], &err) != 0 ||
            jose_thumbprint(jose_private_public(keys[i]), kids[i], &err) != 0)
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        jose_private_free(keys[i]);
    andiron_arena_free(arena);
    return 0;
}

/* Key i signs from then (microseconds); "revoked" or "usable". */
static void add(struct ring *ring, size_t i, int64_t from, const char *state)
{
    struct andiron_error err;
    struct ring_key *key;
    andiron_json row;
    andiron_str jwk;

    assert_int_equal(jose_jwk_write(arena, jose_private_public(keys[i]), andiron_str_of(kids[i]),
                                    jose_alg_find(ANDIRON_STR("ES256")), &jwk, &err),
                     0);
    andiron_str text = andiron_str_of(
        andiron_printf(arena,
                       "{\"state\":\"%s\",\"alg\":\"ES256\",\"created\":1,\"signsFrom\":%lld,"
                       "\"life\":%d,\"jwk\":%.*s}",
                       state, (long long)from, LIFE, (int)jwk.len, jwk.data));
    assert_int_equal(andiron_json_parse(arena, text, &row, &err), 0);
    assert_int_equal(ring_add_row(ring, andiron_str_of(kids[i]), 1, row, &key, &err), 0);
}

static enum key_state state_of(const struct ring *ring, size_t i, andiron_usec now)
{
    return ring_state(ring, ring_key_of(ring, andiron_str_of(kids[i])), now);
}

static bool publishes(const struct ring *ring, size_t i)
{
    return memmem(ring->document.data, ring->document.len, kids[i], JOSE_THUMBPRINT) != NULL;
}

static void states_follow_from_times_alone(void **state)
{
    (void)state;
    struct andiron_error err;
    struct ring *ring = ring_new();
    const andiron_usec turn = (andiron_usec)1000 * SECOND;
    const andiron_usec end = turn + (andiron_usec)(LIFE + 2 * KEYRING_AGREED_S) * SECOND;

    add(ring, 1, turn, "usable"); /* in any order */
    add(ring, 0, (andiron_usec)10 * SECOND, "usable");
    assert_int_equal(ring_finish(ring, 0, turn - 1, &err), 0);
    assert_true(publishes(ring, 0) && publishes(ring, 1));
    assert_int_equal(state_of(ring, 0, turn - 1), KEY_ACTIVE);
    assert_int_equal(state_of(ring, 1, turn - 1), KEY_NEXT);
    assert_int_equal(state_of(ring, 0, turn), KEY_RETIRED);
    assert_int_equal(state_of(ring, 1, turn), KEY_ACTIVE);
    /* A next key verifies, since a node whose clock is ahead signs with it already. */
    assert_non_null(ring_find(ring, andiron_str_of(kids[1]), turn - 1));
    /* A retired one until the last token that it may have signed has ended. */
    assert_non_null(ring_find(ring, andiron_str_of(kids[0]), end - 1));
    assert_null(ring_find(ring, andiron_str_of(kids[0]), end));
    assert_int_equal(state_of(ring, 0, end), KEY_ENDED);
    assert_ptr_equal(ring_newest(ring), ring_key_of(ring, andiron_str_of(kids[1])));
    ring_drop(ring);

    ring = ring_new();
    add(ring, 0, (andiron_usec)10 * SECOND, "usable");
    add(ring, 1, turn, "usable");
    assert_int_equal(ring_finish(ring, 0, end, &err), 0);
    assert_false(publishes(ring, 0));
    ring_drop(ring);
}

static void longest_life_that_any_node_knows_keeps_a_key(void **state)
{
    (void)state;
    struct andiron_error err;
    struct ring *ring = ring_new();
    const andiron_usec longer = (andiron_usec)(LIFE + 1000) * SECOND;

    add(ring, 0, SECOND, "usable");
    add(ring, 1, 2 * SECOND, "usable");
    assert_int_equal(ring_finish(ring, longer, 0, &err), 0);
    assert_non_null(ring_find(ring, andiron_str_of(kids[0]), longer));
    ring_drop(ring);
}

static void revoked_key_is_neither_published_nor_trusted(void **state)
{
    (void)state;
    struct andiron_error err;
    struct ring *before = ring_new(), *ring = ring_new();

    add(before, 0, SECOND, "usable");
    add(before, 1, 2 * SECOND, "usable");
    assert_int_equal(ring_finish(before, 0, 3 * SECOND, &err), 0);
    add(ring, 0, SECOND, "usable");
    add(ring, 1, 2 * SECOND, "revoked");
    assert_int_equal(ring_finish(ring, 0, 3 * SECOND, &err), 0);
    assert_false(publishes(ring, 1));
    assert_null(ring_find(ring, andiron_str_of(kids[1]), 3 * SECOND));
    assert_int_equal(state_of(ring, 1, 3 * SECOND), KEY_REVOKED);
    assert_true(ring_trusts_less(ring, before, 3 * SECOND));
    assert_false(ring_trusts_less(before, before, 3 * SECOND));
    ring_drop(before);
    ring_drop(ring);
}

static void clock_that_is_behind_leaves_a_key_to_sign(void **state)
{
    (void)state;
    struct andiron_error err;
    struct ring *ring = ring_new();
    add(ring, 0, (andiron_usec)10 * SECOND, "usable");
    assert_int_equal(ring_finish(ring, 0, SECOND, &err), 0);
    assert_non_null(ring_active(ring, SECOND));
    ring_drop(ring);
}

static void older_ring_never_replaces_a_newer_one(void **state)
{
    (void)state;
    struct keyring keyring = { .now = NULL };
    struct ring *one = ring_new(), *two = ring_new(), *old;
    one->ticket = 1;
    two->ticket = 2;
    assert_int_equal(pthread_mutex_init(&keyring.lock, NULL), 0);
    keyring_replace(&keyring, two, &old);
    assert_null(old);
    keyring_replace(&keyring, one, &old);
    assert_null(old);
    assert_ptr_equal(keyring.now, two);
    keyring_replace(&keyring, NULL, &old);
    ring_drop(old);
}

static void sealed_key_opens_with_its_secret_and_kid_only(void **state)
{
    (void)state;
    const andiron_str secret = ANDIRON_STR("0123456789abcdef0123456789abcdef");
    andiron_str kid = andiron_str_of(kids[0]), sealed, other;
    struct jose_private *key;
    struct andiron_error err;
    char again[JOSE_THUMBPRINT];

    assert_int_equal(seal_close(arena, secret, kid, keys[0], &sealed, &err), 0);
    assert_null(memmem(sealed.data, sealed.len, "PRIVATE", 7));
    assert_int_equal(seal_open(arena, secret, kid, sealed, &key, &err), 0);
    assert_int_equal(jose_thumbprint(jose_private_public(key), again, &err), 0);
    assert_memory_equal(again, kids[0], JOSE_THUMBPRINT);
    jose_private_free(key);

    assert_int_equal(seal_close(arena, secret, kid, keys[0], &other, &err), 0);
    assert_false(andiron_str_eq(sealed, other));
    assert_int_equal(
        seal_open(arena, ANDIRON_STR("0123456789abcdef0123456789abcdeF"), kid, sealed, &key, &err),
        -1);
    assert_int_equal(seal_open(arena, secret, andiron_str_of(kids[1]), sealed, &key, &err), -1);
    char *changed = andiron_copy(arena, sealed);
    changed[sealed.len / 2] = changed[sealed.len / 2] == 'A' ? 'B' : 'A';
    assert_int_equal(seal_open(arena, secret, kid, andiron_str_of(changed), &key, &err), -1);
    assert_int_equal(seal_open(arena, secret, kid, ANDIRON_STR("AAAA"), &key, &err), -1);
    assert_int_equal(seal_open(arena, secret, kid, ANDIRON_STR("no base64url!"), &key, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_follow_from_times_alone),
        cmocka_unit_test(longest_life_that_any_node_knows_keeps_a_key),
        cmocka_unit_test(revoked_key_is_neither_published_nor_trusted),
        cmocka_unit_test(clock_that_is_behind_leaves_a_key_to_sign),
        cmocka_unit_test(older_ring_never_replaces_a_newer_one),
        cmocka_unit_test(sealed_key_opens_with_its_secret_and_kid_only),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
