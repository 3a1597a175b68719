/*
 * Reads that are asked for together, against a real server.
 */
#include "test_loop.h"

enum { READS = 40 };

/* The second column tells by which statement a row came. */
static const struct wire_sql one = { .name = "one",
                                     .text = "SELECT n,1,20/(n-13) FROM t WHERE k=$1 AND n>$2"
                                             " ORDER BY n DESC",
                                     .types = { WIRE_TEXT, WIRE_INT8 } };
static const struct wire_sql many = {
    .name = "many",
    .text = "SELECT x.i,t.n,(SELECT max(i) FROM unnest($1) WITH ORDINALITY a(k,i))::int,20/(t.n-13)"
            " FROM unnest($1,$2) WITH ORDINALITY x(k,n,i) JOIN t ON t.k=x.k AND t.n>x.n"
            " ORDER BY x.i,t.n DESC",
    .types = { WIRE_TEXT_ARRAY, WIRE_INT8_ARRAY }
};

static struct wired *wired_new(void)
{
    struct wired *w = calloc(1, sizeof(*w));

    kit_make(&w->kit);
    wired_open(w, andiron_arena_new(0));
    (void)kit_sql(&w->kit,
                  "CREATE TABLE andiron.t(k text, n bigint);"
                  "INSERT INTO andiron.t SELECT 'k'||g,g FROM generate_series(0,50) g;"
                  "INSERT INTO andiron.t SELECT 'k'||g,g+100 FROM generate_series(0,50) g");
    return w;
}

static struct wire_batch *reading(struct andiron_arena *arena, const char *k)
{
    struct wire_batch *b = wire_batch(arena);

    wire_add(b, &one);
    wire_text(b, k != NULL ? andiron_str_of(k) : (andiron_str){ NULL, 0 });
    wire_int8(b, -1);
    wire_together(b, &many);
    return b;
}

static void send_all(struct wired *w, struct wire_batch *b[READS])
{
    w->over = 0;
    for (int i = 0; i < READS; i++) {
        b[i] = reading(w->arena, andiron_printf(w->arena, "k%d", i));
        wire_send(w->wire, WIRE_READ, b[i], batch_over, w);
    }
    assert_int_equal(w->over, 0); /* never from inside the call */
}

static void assert_rows(const struct wire_batch *b, int n)
{
    assert_int_equal(b->reply.outcome, WIRE_OK);
    assert_int_equal(wire_rows(b, 0), 2);
    assert_int_equal(wire_get_int(b, 0, 0, 0), n + 100);
    assert_int_equal(wire_get_int(b, 0, 1, 0), n);
}

static void each_gets_its_own_rows(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b[READS];
    int64_t most = 0;

    (void)state;
    (void)kit_sql(&w->kit, "DELETE FROM andiron.t WHERE n=13");
    send_all(w, b);
    run_until(w, READS);
    for (int i = 0; i < READS; i++) {
        if (i == 13) {
            assert_int_equal(b[i]->reply.outcome, WIRE_OK);
            assert_int_equal(wire_rows(b[i], 0), 1);
            continue;
        }
        assert_rows(b[i], i);
        int64_t together = wire_get_int(b[i], 0, 0, 1);
        most = together > most ? together : most;
    }
    assert_int_equal(most, 32); /* as many as go together */
    wired_free(w);
}

static void one_that_fails_fails_alone(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b[READS];

    (void)state;
    send_all(w, b);
    run_until(w, READS);
    for (int i = 0; i < READS; i++) {
        if (i != 13)
            assert_rows(b[i], i);
    }
    assert_int_equal(b[13]->reply.outcome, WIRE_FAILED);
    assert_string_equal(b[13]->reply.sqlstate, "22012");
    wired_free(w);
}

static void results_live_as_long_as_the_last_of_them(void **state)
{
    struct wired *w = wired_new();
    struct andiron_arena *arenas[2] = { andiron_arena_new(0), andiron_arena_new(0) };
    struct wire_batch *b[2];

    (void)state;
    w->over = 0;
    for (int i = 0; i < 2; i++) {
        b[i] = reading(arenas[i], i == 0 ? "k1" : "k2");
        wire_send(w->wire, WIRE_READ, b[i], batch_over, w);
    }
    run_until(w, 2);
    andiron_arena_free(arenas[0]);
    assert_rows(b[1], 2);
    assert_int_equal(wire_get_int(b[1], 0, 0, 1), 2);
    andiron_arena_free(arenas[1]);
    wired_free(w);
}

static void absent_values_stay_absent(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b[3];
    const char *k[3] = { "k1", NULL, "" };

    (void)state;
    w->over = 0;
    for (int i = 0; i < 3; i++) {
        b[i] = reading(w->arena, k[i]);
        wire_send(w->wire, WIRE_READ, b[i], batch_over, w);
    }
    run_until(w, 3);
    assert_rows(b[0], 1);
    assert_int_equal(wire_get_int(b[0], 0, 0, 1), 3);
    assert_int_equal(wire_rows(b[1], 0), 0);
    assert_int_equal(wire_rows(b[2], 0), 0);
    wired_free(w);
}

/* Waits for a lock that the test has. */
static const struct wire_sql locked = {
    .name = "locked",
    .text = "SELECT 1::bigint,1,pg_advisory_xact_lock_shared(7)::text WHERE $1<>'' AND $2<0",
    .types = { WIRE_TEXT, WIRE_INT8 }
};
static const struct wire_sql lockeds = {
    .name = "lockeds",
    .text = "SELECT i,1::bigint,2,pg_advisory_xact_lock_shared(7)::text"
            " FROM unnest($1,$2) WITH ORDINALITY x(k,n,i)",
    .types = { WIRE_TEXT_ARRAY, WIRE_INT8_ARRAY }
};

static struct wire_batch *locking(struct wired *w)
{
    struct wire_batch *b = wire_batch(w->arena);

    wire_add(b, &locked);
    wire_text(b, ANDIRON_STR("x"));
    wire_int8(b, -1);
    wire_together(b, &lockeds);
    wire_send(w->wire, WIRE_READ, b, batch_over, w);
    return b;
}

/* Until the server does what `sql` counts once. */
static void run_until_sql(struct wired *w, const char *sql)
{
    for (int64_t end = connection_clock() + 10000; connection_clock() < end;) {
        run(w, 20, INT_MAX);
        if (strcmp(kit_sql(&w->kit, sql), "1") == 0)
            return;
    }
    fail_msg("not seen: %s", sql);
}

#define LOCKED " FROM pg_stat_activity WHERE wait_event='advisory' AND datname=current_database()"

/* Their connection dies under all of them: each is tried once more. */
static void lost_ones_are_asked_for_again(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *b[3];

    (void)state;
    w->over = 0;
    (void)kit_sql(&w->kit, "SELECT pg_advisory_lock(7)");
    for (int i = 0; i < 3; i++)
        b[i] = locking(w);
    run_until_sql(w, "SELECT count(pg_terminate_backend(pid,5000))" LOCKED);
    assert_int_equal(w->over, 0);
    (void)kit_sql(&w->kit, "SELECT pg_advisory_unlock(7)");
    run_until(w, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(b[i]->reply.outcome, WIRE_OK);
        assert_int_equal(wire_rows(b[i], 0), 1);
    }
    wired_free(w);
}

/* One that takes long keeps those that come later for a moment, not until it is done. */
static void late_ones_do_not_wait_for_a_slow_one(void **state)
{
    struct wired *w = wired_new();
    struct wire_batch *slow, *later;

    (void)state;
    w->over = 0;
    (void)kit_sql(&w->kit, "SELECT pg_advisory_lock(7)");
    slow = locking(w);
    run_until_sql(w, "SELECT count(*)" LOCKED);
    later = reading(w->arena, "k1");
    wire_send(w->wire, WIRE_READ, later, batch_over, w);
    run_until(w, 1);
    assert_rows(later, 1);
    (void)kit_sql(&w->kit, "SELECT pg_advisory_unlock(7)");
    run_until(w, 2);
    assert_int_equal(slow->reply.outcome, WIRE_OK);
    wired_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_own_rows),
        cmocka_unit_test(one_that_fails_fails_alone),
        cmocka_unit_test(results_live_as_long_as_the_last_of_them),
        cmocka_unit_test(absent_values_stay_absent),
        cmocka_unit_test(lost_ones_are_asked_for_again),
        cmocka_unit_test(late_ones_do_not_wait_for_a_slow_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
