/*
 * Scopes granted to a Client: remembered, and never lost on the way into a token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "grant.h"

static size_t granted_bytes;
static unsigned asked;

/* Grants one scope of granted_bytes bytes. */
static int grant(void *self, struct andiron_arena *arena, andiron_str requested,
                 andiron_json allowed, struct andiron_scope_grant *ret, struct andiron_error *err)
{
    (void)self;
    (void)requested;
    (void)allowed;
    (void)err;
    char *text = andiron_alloc(arena, granted_bytes);
    memset(text, 's', granted_bytes);
    ret->scope = ret->claim = (andiron_str){ text, granted_bytes };
    asked++;
    return 0;
}

static const struct andiron_scopes scopes = { .size = sizeof(scopes), .grant = grant };
static struct auth auth = { .scopes = { .table = &scopes } };

static void grants_are_remembered_for_the_same_request(void **state)
{
    struct client client = { .grant = NULL };
    struct andiron_error err;
    (void)state;
    granted_bytes = 10;
    asked = 0;
    for (int i = 0; i < 2; i++) {
        struct client_grant_memo *memo = client_grant_ask(&auth, &client, ANDIRON_STR("a"), &err);
        assert_non_null(memo);
        assert_true(andiron_str_eq(memo->list, ANDIRON_STR("[\"ssssssssss\"]")));
        client_grant_free(memo);
    }
    assert_int_equal(asked, 1);
    client_grant_free(client.grant);
}

static void grants_too_long_to_be_stored_are_refused(void **state)
{
    struct client client = { .grant = NULL };
    struct andiron_error err;
    (void)state;
    granted_bytes = 1024 * 1024;
    assert_null(client_grant_ask(&auth, &client, ANDIRON_STR("a"), &err));
    assert_non_null(strstr(err.message, "ask for fewer"));
    assert_null(client.grant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_are_remembered_for_the_same_request),
        cmocka_unit_test(grants_too_long_to_be_stored_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
