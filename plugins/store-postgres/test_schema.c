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
                        "2");
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

/* As the release before left it: 5,000 resources that are referred to by two params, few listed. */
static void make_version_1(struct kit *k)
{
    (void)kit_sql(k,
                  "INSERT INTO restype VALUES(1,'Patient'),(2,'Observation');"
                  "INSERT INTO param VALUES(7,2,'subject',1),(8,2,'performer',1);"
                  "INSERT INTO resource SELECT n,1,'p'||n,n,1,0 FROM generate_series(1,5000) n;"
                  "INSERT INTO ix_ref(p,tgt,vid) SELECT p,n,n+v*10000 FROM generate_series(1,5000)"
                  " n, (VALUES(7),(8)) p(p), generate_series(1,3) v;"
                  "INSERT INTO ix_value(p,k,s,h) SELECT 7,3,convert_to('Patient/p'||n,'UTF8'),n"
                  " FROM generate_series(1,5000,9) n;"
                  "UPDATE meta SET v='1' WHERE k='schema'");
}

static const char listed[] =
    "SELECT string_agg(p||':'||n,' ' ORDER BY p) FROM (SELECT p,count(*) n FROM ix_value v JOIN"
    " resource r ON r.rid=v.h AND convert_from(v.s,'UTF8')='Patient/'||r.id WHERE k=3 GROUP BY p) "
    "x";

static void version_1_gets_the_names_that_it_left_out(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    store_close(&k.store);
    make_version_1(&k);
    kit_reopen(&k);
    assert_string_equal(kit_sql(&k, listed), "7:5000 8:5000");
    assert_string_equal(kit_sql(&k, "SELECT string_agg(k||'='||convert_from(v,'UTF8'),' ' ORDER BY"
                                    " k DESC) FROM meta WHERE k LIKE 'schema%'"),
                        "schema-least=1 schema=2");
    kit_end(&k);
}

static void step_goes_on_where_a_start_before_ended(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    store_close(&k.store);
    make_version_1(&k);
    (void)kit_sql(&k, "DELETE FROM ix_value; INSERT INTO meta VALUES('schema-progress','8 2990')");
    kit_reopen(&k);
    assert_string_equal(kit_sql(&k, listed), "8:2010");
    kit_end(&k);
}

static void several_nodes_may_share_a_step(void **state)
{
    struct kit k;
    pthread_t threads[3];

    (void)state;
    kit_open(&k);
    store_close(&k.store);
    make_version_1(&k);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_it, &k), 0);
    for (size_t i = 0; i < 3; i++) {
        void *code;
        pthread_join(threads[i], &code);
        assert_null(code);
    }
    assert_string_equal(kit_sql(&k, listed), "7:5000 8:5000");
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_database_gets_tables_and_a_key),
        cmocka_unit_test(second_start_keeps_the_key),
        cmocka_unit_test(newer_schema_is_used_if_it_says_so_and_refused_otherwise),
        cmocka_unit_test(several_nodes_may_start_at_once),
        cmocka_unit_test(version_1_gets_the_names_that_it_left_out),
        cmocka_unit_test(step_goes_on_where_a_start_before_ended),
        cmocka_unit_test(several_nodes_may_share_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
