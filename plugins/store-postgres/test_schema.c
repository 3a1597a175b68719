/*
 * Schema: made once, kept, and refused where it is of the future.
 */
#include "test_kit.h"

#include <pthread.h>

#include "schema.h"

static void new_database_gets_tables_and_a_key(void **state)
{
    struct kit k;
    static const uint8_t none[16];

    (void)state;
    kit_open(&k);
    assert_memory_not_equal(k.store.hash_key, none, 16);
    assert_string_equal(kit_sql(&k, "SELECT count(*) FROM pg_tables WHERE schemaname='andiron'"),
                        "12");
    assert_string_equal(kit_sql(&k, "SELECT convert_from(v,'UTF8') FROM meta WHERE k='schema'"),
                        "1");
    kit_end(&k);
}

static void second_start_keeps_the_key(void **state)
{
    struct kit k;
    uint8_t before[16];

    (void)state;
    kit_open(&k);
    memcpy(before, k.store.hash_key, 16);
    store_close(&k.store);
    kit_reopen(&k);
    assert_memory_equal(k.store.hash_key, before, 16);
    kit_end(&k);
}

static void newer_schema_is_used_if_it_says_so_and_refused_otherwise(void **state)
{
    struct kit k;
    struct andiron_error err;

    (void)state;
    kit_open(&k);
    store_close(&k.store);
    (void)kit_sql(&k, "UPDATE meta SET v='99' WHERE k='schema'");
    kit_reopen(&k);
    store_close(&k.store);
    (void)kit_sql(&k, "UPDATE meta SET v='99' WHERE k='schema-least'");
    assert_int_equal(store_open(&k.store, &err), -1);
    assert_int_equal(err.code, ANDIRON_E_INVALID);
    assert_non_null(strstr(err.message, "install the newer andiron"));
    kit_end(&k);
}

static void *open_it(void *arg)
{
    struct kit *k = arg;
    struct store store = { .config = &k->config };
    struct andiron_error err = { .code = ANDIRON_OK };

    if (store_open(&store, &err) != 0)
        printf("%s\n", err.message);
    store_close(&store);
    return (void *)(intptr_t)err.code;
}

static void several_nodes_may_start_at_once(void **state)
{
    struct kit k;
    pthread_t threads[4];

    (void)state;
    kit_make(&k);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_it, &k), 0);
    for (size_t i = 0; i < 4; i++) {
        void *code;
        pthread_join(threads[i], &code);
        assert_null(code);
    }
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_database_gets_tables_and_a_key),
        cmocka_unit_test(second_start_keeps_the_key),
        cmocka_unit_test(newer_schema_is_used_if_it_says_so_and_refused_otherwise),
        cmocka_unit_test(several_nodes_may_start_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
