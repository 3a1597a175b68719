/*
 * Batches, leases and what becomes of them, on a loop of its own against a real server.
 */
#include "test_loop.h"

static struct wired *wired_new(void)
{
    struct wired *w = calloc(1, sizeof(*w));

    kit_make(&w->kit);
    wired_open(w, andiron_arena_new(0));
    (void)kit_sql(&w->kit, "CREATE TABLE andiron.t(k text PRIMARY KEY, n bigint)");
    return w;
}

static void lease_there(void *arg, struct wire_lease *lease)
{
    (void)lease;
    ((struct wired *)arg)->over++;
}

static struct wire_batch *ask(struct wired *w, enum wire_pool pool, struct wire_batch *b)
{
    w->over = 0;
    wire_send(w->wire, pool, b, batch_over, w);
    assert_int_equal(w->over, 0); /* never from inside the call */
    run_until(w, 1);
    return b;
}

static const struct wire_sql echo = { .name = "echo",
                                      .text = "SELECT $1,$2,$3,$4,$5,$6,$7,$8,$9",
                                      .types = { WIRE_BOOL, WIRE_INT2, WIRE_INT4, WIRE_INT8,
                                                 WIRE_FLOAT8, WIRE_TIMESTAMPTZ, WIRE_TEXT,
                                                 WIRE_BYTEA, WIRE_TEXT } };
static const struct wire_sql put = { .name = "put",
                                     .text = "INSERT INTO t VALUES($1,$2)",
                                     .types = { WIRE_TEXT, WIRE_INT8 } };
static const struct wire_sql get = { .name = "get",
                                     .text = "SELECT n FROM t WHERE k=$1",
                                     .types = { WIRE_TEXT } };
static const struct wire_sql count = { .name = "count", .text = "SELECT count(*) FROM t" };
static const struct wire_sql pid = { .name = "pid", .text = "SELECT pg_backend_pid()" };
static const struct wire_sql slow = { .name = "slow",
                                      .text = "SELECT pg_sleep($1)::text",
                                      .types = { WIRE_FLOAT8 } };

static void values_come_back_as_they_went(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b = wire_batch(w->arena);
    const andiron_usec at = 1724946665117806;

    (void)state;
    wire_add(b, &echo);
    wire_bool(b, true);
    wire_int2(b, -3);
    wire_int4(b, 70000);
    wire_int8(b, -5000000000);
    wire_float8(b, -2.5);
    wire_instant(b, at);
    wire_text(b, ANDIRON_STR("h\xc3\xa9"));
    wire_bytea(b, ANDIRON_STR("a\0b"));
    wire_text(b, (andiron_str){ NULL, 0 });
    ask(w, WIRE_READ, b);
    assert_int_equal(b->reply.outcome, WIRE_OK);
    assert_int_equal(wire_rows(b, 0), 1);
    assert_int_equal(wire_get_int(b, 0, 0, 0), 1);
    assert_int_equal(wire_get_int(b, 0, 0, 1), -3);
    assert_int_equal(wire_get_int(b, 0, 0, 2), 70000);
    assert_true(wire_get_int(b, 0, 0, 3) == -5000000000);
    assert_true(wire_get_float(b, 0, 0, 4) == -2.5);
    assert_true(wire_get_int(b, 0, 0, 5) == at);
    assert_true(andiron_str_eq(wire_get_str(b, 0, 0, 6), ANDIRON_STR("h\xc3\xa9")));
    assert_true(andiron_str_eq(wire_get_str(b, 0, 0, 7), ANDIRON_STR("a\0b")));
    assert_true(wire_is_null(b, 0, 0, 8));
    wired_free(w);
}

static void arrays_go_and_come(void **state)
{
    static const struct wire_sql arrays = {
        .name = "arrays",
        .text = "SELECT $1::bigint[],$2::int[],cardinality($3),$4[2],$5[1],$6[2],$7[3] IS NULL",
        .types = { WIRE_INT8_ARRAY, WIRE_INT4_ARRAY, WIRE_TEXT_ARRAY, WIRE_FLOAT8_ARRAY,
                   WIRE_BOOL_ARRAY, WIRE_BYTEA_ARRAY, WIRE_TEXT_ARRAY }
    };
    struct wired *w = wired_new();
    struct wire_batch *b = wire_batch(w->arena);
    const int64_t big[3] = { INT64_MIN, 0, INT64_MAX }, small[2] = { -1, 7 };
    const double doubles[2] = { 1, 0.25 };
    const bool bools[1] = { true };
    const andiron_str strings[3] = { ANDIRON_STR(""), ANDIRON_STR("x\x01y"), { NULL, 0 } };
    size_t n;

    (void)state;
    wire_add(b, &arrays);
    wire_int_array(b, big, 3);
    wire_int_array(b, small, 2);
    wire_str_array(b, NULL, 0);
    wire_float_array(b, doubles, 2);
    wire_bool_array(b, bools, 1);
    wire_str_array(b, strings, 2);
    wire_str_array(b, strings, 3);
    ask(w, WIRE_READ, b);
    assert_int_equal(b->reply.outcome, WIRE_OK);
    assert_memory_equal(wire_get_ints(b, 0, 0, 0, &n), big, sizeof(big));
    assert_int_equal(n, 3);
    assert_memory_equal(wire_get_ints(b, 0, 0, 1, &n), small, sizeof(small));
    assert_int_equal(wire_get_int(b, 0, 0, 2), 0);
    assert_true(wire_get_float(b, 0, 0, 3) == 0.25);
    assert_int_equal(wire_get_int(b, 0, 0, 4), 1);
    assert_true(andiron_str_eq(wire_get_str(b, 0, 0, 5), strings[1]));
    assert_int_equal(wire_get_int(b, 0, 0, 6), 1);
    wired_free(w);
}

static struct wire_batch *putting(struct wired *w, const char *k, int64_t n)
{
    struct wire_batch *b = wire_batch(w->arena);

    wire_add(b, &put);
    wire_text(b, andiron_str_of(k));
    wire_int8(b, n);
    return b;
}

static void batch_is_all_or_nothing_and_harms_no_other(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *good = putting(w, "a", 1), *bad = putting(w, "b", 2),
                      *next = putting(w, "c", 3);

    (void)state;
    wire_add(bad, &put); /* "a" is there */
    wire_text(bad, ANDIRON_STR("a"));
    wire_int8(bad, 9);
    wire_send(w->wire, WIRE_WRITE, good, batch_over, w);
    wire_send(w->wire, WIRE_WRITE, bad, batch_over, w);
    wire_send(w->wire, WIRE_WRITE, next, batch_over, w);
    run_until(w, 3);
    assert_int_equal(good->reply.outcome, WIRE_OK);
    assert_int_equal(wire_affected(good, 0), 1);
    assert_int_equal(bad->reply.outcome, WIRE_FAILED);
    assert_int_equal(bad->reply.statement, 1);
    assert_string_equal(bad->reply.sqlstate, "23505");
    assert_int_equal(bad->reply.error.code, ANDIRON_E_INTERNAL);
    assert_int_equal(next->reply.outcome, WIRE_OK);
    assert_string_equal(kit_sql(&w->kit, "SELECT string_agg(k||n,',' ORDER BY k) FROM t"), "a1,c3");
    wired_free(w);
}

static void statement_that_cannot_be_prepared_fails_alone(void **state)
{
    static const struct wire_sql wrong = { .name = "wrong",
                                           .text = "SELECT nonsense FROM nowhere" };
    struct wired *w = wired_new();

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct wire_batch *b = wire_batch(w->arena);
        wire_add(b, &wrong);
        ask(w, WIRE_WRITE, b);
        assert_int_equal(b->reply.outcome, WIRE_FAILED);
        assert_int_equal(ask(w, WIRE_WRITE, putting(w, i == 0 ? "a" : "b", 1))->reply.outcome,
                         WIRE_OK);
    }
    wired_free(w);
}

static void composed_statements_do_not_pile_up_on_the_server(void **state)
{
    struct wired *w = wired_new();
    static const struct wire_sql prepared = { .name = "prepared",
                                              .text =
                                                  "SELECT count(*) FROM pg_prepared_statements" };

    (void)state;
    for (int64_t i = 0; i < 250; i++) {
        struct wire_sql *sql = andiron_new(w->arena, struct wire_sql);
        struct wire_batch *b = wire_batch(w->arena);
        sql->text = andiron_printf(w->arena, "SELECT $1+%d", (int)i);
        sql->types[0] = WIRE_INT8;
        for (int twice = 0; twice < 2; twice++) {
            wire_add(b, sql);
            wire_int8(b, 1000);
        }
        ask(w, WIRE_WRITE, b);
        assert_int_equal(b->reply.outcome, WIRE_OK);
        assert_int_equal(wire_get_int(b, 1, 0, 0), 1000 + i);
    }
    struct wire_batch *b = wire_batch(w->arena);
    wire_add(b, &prepared);
    ask(w, WIRE_WRITE, b);
    assert_in_range(wire_get_int(b, 0, 0, 0), 150, 210);
    wired_free(w);
}

static void many_batches_are_under_way_at_once(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *all[300];

    (void)state;
    for (int i = 0; i < 300; i++) {
        all[i] = wire_batch(w->arena);
        wire_add(all[i], &get);
        wire_text(all[i], ANDIRON_STR("nobody"));
        wire_send(w->wire, WIRE_READ, all[i], batch_over, w);
    }
    run_until(w, 300);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(all[i]->reply.outcome, WIRE_OK);
        assert_int_equal(wire_rows(all[i], 0), 0);
    }
    wired_free(w);
}

static void snapshot_reads_only_and_leaves_nothing_behind(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b = putting(w, "a", 1);

    (void)state;
    wire_snapshot(b);
    ask(w, WIRE_READ, b);
    assert_int_equal(b->reply.outcome, WIRE_FAILED);
    assert_string_equal(b->reply.sqlstate, "25006");
    for (int i = 0; i < 4; i++) {
        b = wire_batch(w->arena);
        wire_snapshot(b);
        wire_add(b, &count);
        wire_add(b, &count);
        ask(w, WIRE_READ, b);
        assert_int_equal(b->reply.outcome, WIRE_OK);
        assert_int_equal(wire_get_int(b, 1, 0, 0), 0);
    }
    wired_free(w);
}

static struct wire_lease *leased(struct wired *w, enum wire_pool pool,
                                 enum wire_isolation isolation)
{
    struct wire_lease *lease;

    w->over = 0;
    lease = wire_lease(w->wire, pool, isolation, w->arena, lease_there, w);
    assert_int_equal(w->over, 0);
    run_until(w, 1);
    assert_int_equal(lease->error.code, ANDIRON_OK);
    return lease;
}

static struct wire_batch *lease_do(struct wired *w, struct wire_lease *lease, struct wire_batch *b,
                                   bool finish)
{
    w->over = 0;
    if (finish)
        wire_finish(lease, b, batch_over, w);
    else
        wire_lease_send(lease, b, batch_over, w);
    run_until(w, 1);
    return b;
}

static void lease_is_one_transaction(void **state)
{
    struct wired *w = wired_new();
    struct wire_lease *lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);

    (void)state;
    assert_int_equal(lease_do(w, lease, putting(w, "a", 1), false)->reply.outcome, WIRE_OK);
    assert_string_equal(kit_sql(&w->kit, "SELECT count(*) FROM t"), "0");
    assert_int_equal(lease_do(w, lease, putting(w, "b", 1), true)->reply.outcome, WIRE_OK);
    assert_string_equal(kit_sql(&w->kit, "SELECT count(*) FROM t"), "2");
    /* The connection is back, and an empty last batch commits as well. */
    lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    assert_int_equal(lease_do(w, lease, putting(w, "c", 1), false)->reply.outcome, WIRE_OK);
    assert_int_equal(lease_do(w, lease, wire_batch(w->arena), true)->reply.outcome, WIRE_OK);
    assert_string_equal(kit_sql(&w->kit, "SELECT count(*) FROM t"), "3");
    wired_free(w);
}

static void failed_and_abandoned_leases_are_rolled_back(void **state)
{
    struct wired *w = wired_new();
    struct wire_lease *lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);

    (void)state;
    assert_int_equal(lease_do(w, lease, putting(w, "a", 1), false)->reply.outcome, WIRE_OK);
    assert_int_equal(lease_do(w, lease, putting(w, "a", 1), false)->reply.outcome, WIRE_FAILED);
    assert_int_equal(lease_do(w, lease, putting(w, "b", 1), true)->reply.outcome, WIRE_LOST);
    wire_abandon(lease);
    lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    assert_int_equal(lease_do(w, lease, putting(w, "c", 1), false)->reply.outcome, WIRE_OK);
    wire_abandon(lease);
    wire_abandon(lease);
    assert_int_equal(ask(w, WIRE_WRITE, putting(w, "d", 4))->reply.outcome, WIRE_OK);
    lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    assert_int_equal(lease_do(w, lease, putting(w, "d", 1), true)->reply.outcome, WIRE_FAILED);
    assert_int_equal(ask(w, WIRE_WRITE, putting(w, "e", 5))->reply.outcome, WIRE_OK);
    assert_string_equal(kit_sql(&w->kit, "SELECT string_agg(k||n,',' ORDER BY k) FROM t"), "d4,e5");
    wired_free(w);
}

static void lease_ends_with_its_arena(void **state)
{
    struct wired *w = wired_new();
    struct andiron_arena *own = andiron_arena_new(0), *whole = w->arena;

    (void)state;
    w->arena = own;
    struct wire_lease *lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    assert_int_equal(lease_do(w, lease, putting(w, "a", 1), false)->reply.outcome, WIRE_OK);
    w->arena = whole;
    andiron_arena_free(own);
    assert_int_equal(ask(w, WIRE_WRITE, putting(w, "a", 2))->reply.outcome, WIRE_OK);
    wired_free(w);
}

static void repeatable_lease_sees_one_snapshot(void **state)
{
    struct wired *w = wired_new();
    struct wire_lease *lease = leased(w, WIRE_READ, WIRE_REPEATABLE);

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct wire_batch *b = wire_batch(w->arena);
        wire_add(b, &count);
        assert_int_equal(lease_do(w, lease, b, i == 1)->reply.outcome, WIRE_OK);
        assert_int_equal(wire_get_int(b, 0, 0, 0), 0);
        (void)kit_sql(&w->kit, i == 0 ? "INSERT INTO t VALUES('x',1)" : "SELECT 1");
    }
    wired_free(w);
}

/* Ends the server's process of a connection of that pool. */
static void terminate(struct wired *w, enum wire_pool pool)
{
    struct wire_batch *b = wire_batch(w->arena);
    char sql[96];

    wire_add(b, &pid);
    ask(w, pool, b);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d,5000)",
             (int)wire_get_int(b, 0, 0, 0));
    (void)kit_sql(&w->kit, sql);
}

static void ended_connections_are_made_again(void **state)
{
    struct wired *w = wired_new();

    (void)state;
    for (int i = 0; i < 3; i++) {
        terminate(w, WIRE_WRITE);
        run_for(w, 50);
        char k[16];
        snprintf(k, sizeof(k), "k%d", i);
        assert_int_equal(ask(w, WIRE_WRITE, putting(w, k, 1))->reply.outcome, WIRE_OK);
    }
    assert_string_equal(kit_sql(&w->kit, "SELECT count(*) FROM t"), "3");
    wired_free(w);
}

static const char end_sleepers[] =
    "SELECT count(pg_terminate_backend(pid,5000)) FROM pg_stat_activity"
    " WHERE query LIKE '%pg_sleep%' AND state='active' AND pid<>pg_backend_pid()"
    " AND datname=current_database()";

static struct wire_batch *sleeping(struct wired *w, double seconds)
{
    struct wire_batch *b = wire_batch(w->arena);

    wire_add(b, &slow);
    wire_float8(b, seconds);
    return b;
}

static void read_is_tried_once_more_on_another_connection(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b = sleeping(w, 1);

    (void)state;
    wire_send(w->wire, WIRE_READ, b, batch_over, w);
    run_for(w, 300);
    assert_string_equal(kit_sql(&w->kit, end_sleepers), "1");
    run_until(w, 1);
    assert_int_equal(b->reply.outcome, WIRE_OK);
    /* Not for ever. */
    b = sleeping(w, 3);
    w->over = 0;
    wire_send(w->wire, WIRE_READ, b, batch_over, w);
    run_for(w, 300);
    assert_string_equal(kit_sql(&w->kit, end_sleepers), "1");
    run_for(w, 300);
    assert_string_equal(kit_sql(&w->kit, end_sleepers), "1");
    run_until(w, 1);
    assert_int_equal(b->reply.outcome, WIRE_LOST);
    assert_int_equal(b->reply.error.code, ANDIRON_E_UNAVAILABLE);
    wired_free(w);
}

static void outcome_is_unknown_only_where_a_commit_was_sent(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b = sleeping(w, 3);

    (void)state;
    wire_send(w->wire, WIRE_WRITE, b, batch_over, w);
    run_for(w, 300);
    assert_string_equal(kit_sql(&w->kit, end_sleepers), "1");
    run_until(w, 1);
    assert_int_equal(b->reply.outcome, WIRE_UNKNOWN);

    struct wire_lease *lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    b = sleeping(w, 3);
    w->over = 0;
    wire_lease_send(lease, b, batch_over, w);
    run_for(w, 300);
    assert_string_equal(kit_sql(&w->kit, end_sleepers), "1");
    run_until(w, 1);
    assert_int_equal(b->reply.outcome, WIRE_LOST);
    assert_int_equal(lease_do(w, lease, wire_batch(w->arena), true)->reply.outcome, WIRE_LOST);

    lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    b = sleeping(w, 3);
    w->over = 0;
    wire_finish(lease, b, batch_over, w);
    run_for(w, 300);
    assert_string_equal(kit_sql(&w->kit, end_sleepers), "1");
    run_until(w, 1);
    assert_int_equal(b->reply.outcome, WIRE_UNKNOWN);
    wired_free(w);
}

static void long_statement_is_ended_by_the_server(void **state)
{
    struct wired *w = wired_new();

    (void)state;
    w->kit.config.statement_timeout = 200;
    wired_again(w);
    struct wire_batch *b = ask(w, WIRE_WRITE, sleeping(w, 5));
    assert_int_equal(b->reply.outcome, WIRE_FAILED);
    assert_string_equal(b->reply.sqlstate, "57014");
    assert_int_equal(b->reply.error.code, ANDIRON_E_TIMEOUT);
    wired_free(w);
}

static void queue_has_an_end_and_waiting_too(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *all[80];
    int unsent = 0, ok = 0;

    (void)state;
    w->kit.config.queue_max = 20;
    w->kit.config.connect_wait = 300;
    wired_again(w);
    ask(w, WIRE_WRITE, putting(w, "a", 1));
    w->over = 0;
    for (int i = 0; i < 80; i++) {
        all[i] = i == 0 ? sleeping(w, 1) : wire_batch(w->arena);
        if (i > 0)
            wire_add(all[i], &count);
        wire_send(w->wire, WIRE_WRITE, all[i], batch_over, w);
    }
    run_until(w, 80);
    for (int i = 0; i < 80; i++) {
        ok += all[i]->reply.outcome == WIRE_OK;
        unsent += all[i]->reply.outcome == WIRE_UNSENT;
    }
    assert_int_equal(ok, 16); /* the window: behind the one that sleeps */
    assert_int_equal(unsent, 64);
    wired_free(w);
}

static void without_prepared_statements_nothing_is_kept_on_the_server(void **state)
{
    static const struct wire_sql settings = {
        .name = "settings",
        .text = "SELECT current_setting('search_path'),current_setting('jit'),"
                "(SELECT count(*) FROM pg_prepared_statements)"
    };
    struct wired *w = wired_new();

    (void)state;
    w->kit.config.prepare = false;
    wired_again(w);
    assert_int_equal(ask(w, WIRE_WRITE, putting(w, "a", 1))->reply.outcome, WIRE_OK);
    struct wire_batch *b = wire_batch(w->arena);
    wire_snapshot(b);
    wire_add(b, &settings);
    ask(w, WIRE_READ, b);
    assert_int_equal(b->reply.outcome, WIRE_OK);
    assert_true(andiron_str_eq(wire_get_str(b, 0, 0, 0), ANDIRON_STR("andiron,pg_temp")));
    assert_true(andiron_str_eq(wire_get_str(b, 0, 0, 1), ANDIRON_STR("off")));
    assert_int_equal(wire_get_int(b, 0, 0, 2), 0);
    struct wire_lease *lease = leased(w, WIRE_WRITE, WIRE_COMMITTED);
    assert_int_equal(lease_do(w, lease, putting(w, "b", 1), false)->reply.outcome, WIRE_OK);
    assert_int_equal(lease_do(w, lease, putting(w, "c", 1), true)->reply.outcome, WIRE_OK);
    assert_string_equal(kit_sql(&w->kit, "SELECT count(*) FROM t"), "3");
    wired_free(w);
}

static void what_is_under_way_at_the_end_is_told(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b = sleeping(w, 3);

    (void)state;
    ask(w, WIRE_READ, putting(w, "a", 1));
    w->over = 0;
    wire_send(w->wire, WIRE_READ, b, batch_over, w);
    run_for(w, 100);
    wire_loop_free(w->wire);
    w->wire = NULL;
    assert_int_equal(w->over, 1);
    assert_int_equal(b->reply.outcome, WIRE_LOST);
    wired_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_went),
        cmocka_unit_test(arrays_go_and_come),
        cmocka_unit_test(batch_is_all_or_nothing_and_harms_no_other),
        cmocka_unit_test(statement_that_cannot_be_prepared_fails_alone),
        cmocka_unit_test(composed_statements_do_not_pile_up_on_the_server),
        cmocka_unit_test(many_batches_are_under_way_at_once),
        cmocka_unit_test(snapshot_reads_only_and_leaves_nothing_behind),
        cmocka_unit_test(lease_is_one_transaction),
        cmocka_unit_test(failed_and_abandoned_leases_are_rolled_back),
        cmocka_unit_test(lease_ends_with_its_arena),
        cmocka_unit_test(repeatable_lease_sees_one_snapshot),
        cmocka_unit_test(ended_connections_are_made_again),
        cmocka_unit_test(read_is_tried_once_more_on_another_connection),
        cmocka_unit_test(outcome_is_unknown_only_where_a_commit_was_sent),
        cmocka_unit_test(long_statement_is_ended_by_the_server),
        cmocka_unit_test(queue_has_an_end_and_waiting_too),
        cmocka_unit_test(without_prepared_statements_nothing_is_kept_on_the_server),
        cmocka_unit_test(what_is_under_way_at_the_end_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
