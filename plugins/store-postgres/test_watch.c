/*
 * Watches and the horizon: what another node commits is told, once, whatever happens in between.
 */
#include "test_loop.h"

#include "horizon.h"
#include "pool.h"
#include "watch.h"

/* What was told; counted apart from batches, since either may come first, or both in one turn. */
struct seen {
    struct wired *w;
    char text[512];
    int count;
};

static void changed(void *arg, andiron_str type, andiron_str id)
{
    struct seen *seen = arg;
    size_t len = strlen(seen->text);

    snprintf(seen->text + len, sizeof(seen->text) - len, "%.*s/%.*s ", (int)type.len, type.data,
             (int)id.len, id.data);
    seen->count++;
}

static void run_until_told(struct seen *seen, int count)
{
    int64_t end = connection_clock() + 15000;

    while (seen->count < count && connection_clock() < end)
        run_for(seen->w, 10);
    assert_true(seen->count >= count);
}

static struct wired *watching(struct seen *seen, int64_t poll_interval)
{
    struct wired *w = calloc(1, sizeof(*w));
    struct andiron_error err = { .code = ANDIRON_OK };

    kit_make(&w->kit);
    w->kit.config.poll_interval = poll_interval;
    wired_open(w, andiron_arena_new(0));
    (void)kit_sql(&w->kit,
                  "SET search_path=andiron; INSERT INTO restype VALUES(1,'Client'),(2,'Patient')");
    *seen = (struct seen){ .w = w };
    assert_int_equal(watch_add(w->kit.store.watches, w->loop, "Client", changed, seen, &err), 0);
    assert_int_equal(watches_start(w->kit.store.watches, w->loop, w->wire, &err), 0);
    while (watches_silence_ms(w->kit.store.watches) < 0)
        run_for(w, 20);
    run_for(w, 50);
    return w;
}

static void watching_end(struct wired *w)
{
    wire_loop_free(w->wire);
    w->wire = NULL;
    watches_stop(w->kit.store.watches, w->loop);
    wired_free(w);
}

/* A version as another node would write it. */
static const char *version(const char *id, int type)
{
    static char sql[512];

    snprintf(
        sql, sizeof(sql),
        "WITH x AS MATERIALIZED (SELECT pg_current_xact_id()),"
        "r AS (INSERT INTO resource SELECT nextval('rid'),%d,'%s',nextval('vid'),1,0 FROM x"
        " RETURNING *) INSERT INTO version SELECT vid,rid,now(),1,type,0,0,NULL,NULL,NULL FROM r",
        type, id);
    return sql;
}

static void changes_by_others_are_found_by_looking(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 50);

    (void)state;
    (void)kit_sql(&w->kit, version("a", 1));
    (void)kit_sql(&w->kit, version("p", 2));
    (void)kit_sql(&w->kit, version("b", 1));
    run_until_told(&seen, 2);
    run_for(w, 200);
    assert_string_equal(seen.text, "Client/a Client/b ");
    watching_end(w);
}

static void change_of_a_slow_transaction_is_not_passed_over(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 30);
    PGconn *slow = PQconnectdb(w->kit.dsn);

    (void)state;
    (void)kit_sql_on(slow, "SET search_path=andiron");
    (void)kit_sql_on(slow, "BEGIN");
    (void)kit_sql_on(slow, version("slow", 1));
    (void)kit_sql(&w->kit, version("fast", 1));
    run_for(w, 200);
    assert_true(horizon_lag_ms(w->kit.store.horizon) > 100);
    (void)kit_sql_on(slow, "COMMIT");
    run_until_told(&seen, 2);
    assert_string_equal(seen.text, "Client/slow Client/fast ");
    PQfinish(slow);
    watching_end(w);
}

static void told(struct wired *w, struct watches *node, const char *id, int64_t vid)
{
    struct wire_batch *b = wire_batch(w->arena);
    int before = w->over;

    watch_notify(node, b, ANDIRON_STR("Client"), andiron_str_of(id), vid);
    wire_send(w->wire, WIRE_WRITE, b, batch_over, w);
    run_until(w, before + 1);
}

static void lease_over(void *arg, struct wire_lease *lease)
{
    assert_int_equal(lease->error.code, ANDIRON_OK);
    ((struct wired *)arg)->over++;
}

static void other_nodes_tell_at_once(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 60000);
    struct store node = { .config = &w->kit.config };
    struct watches *other = watches_new(&node);

    (void)state;
    assert_true(watch_wants(w->kit.store.watches, ANDIRON_STR("Client")));
    assert_false(watch_wants(w->kit.store.watches, ANDIRON_STR("Patient")));
    told(w, other, "x y", 7);
    run_until_told(&seen, 1);
    told(w, other, "x y", 7);                /* again */
    told(w, w->kit.store.watches, "own", 8); /* of this process: it has told itself */
    watch_note(w->kit.store.watches, ANDIRON_STR("Client"), ANDIRON_STR("own"), 8);
    told(w, other, "", 9);
    run_until_told(&seen, 3);
    run_for(w, 100);
    assert_string_equal(seen.text, "Client/x y Client/own Client/ ");
    watches_free(other);
    watching_end(w);
}

static void nothing_is_lost_while_the_connection_is_away(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 60000);

    (void)state;
    (void)kit_sql(&w->kit, "SELECT count(pg_terminate_backend(pid,5000)) FROM pg_stat_activity"
                           " WHERE datname=current_database() AND pid<>pg_backend_pid()");
    (void)kit_sql(&w->kit, version("meanwhile", 1));
    run_until_told(&seen, 1);
    assert_string_equal(seen.text, "Client/meanwhile ");
    watching_end(w);
}

/* A look that is under way when the connection comes up may have been before what is to be found. */
static void nothing_is_lost_behind_a_look_that_is_under_way(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 60000);
    const struct wire_listener *listener = &w->wire->listener;

    (void)state;
    listener->up(listener->arg);
    for (int i = 0; i < 4; i++)
        event_base_loop(andiron_loop_base(w->loop), EVLOOP_NONBLOCK);
    usleep(200000); /* its answer waits in the socket */
    (void)kit_sql(&w->kit, version("behind", 1));
    listener->up(listener->arg);
    run_until_told(&seen, 1);
    assert_string_equal(seen.text, "Client/behind ");
    watching_end(w);
}

/* An open transaction hides what was committed while nobody listened: it is looked for until it is seen. */
static void nothing_is_lost_behind_an_open_transaction(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 60000);
    PGconn *slow = PQconnectdb(w->kit.dsn);
    char sql[256];

    (void)state;
    (void)kit_sql_on(slow, "BEGIN");
    (void)kit_sql_on(slow, "SELECT pg_current_xact_id()");
    snprintf(sql, sizeof(sql),
             "SELECT count(pg_terminate_backend(pid,5000)) FROM pg_stat_activity WHERE"
             " datname=current_database() AND pid NOT IN (pg_backend_pid(),%d)",
             PQbackendPID(slow));
    (void)kit_sql(&w->kit, sql);
    (void)kit_sql(&w->kit, version("hidden", 1));
    int64_t end = connection_clock() + 15000;
    do
        run_for(w, 20);
    while (horizon_lag_ms(w->kit.store.horizon) == 0 && connection_clock() < end);
    assert_int_equal(seen.count, 0);
    (void)kit_sql_on(slow, "COMMIT");
    run_until_told(&seen, 1);
    assert_string_equal(seen.text, "Client/hidden ");
    PQfinish(slow);
    watching_end(w);
}

/* No connection of its own, and the loop's transactions leave it alone. */
static void one_of_the_read_connections_listens(void **state)
{
    struct seen seen;
    struct wired *w = watching(&seen, 60000);
    struct watches *other = watches_new(&(struct store){ .config = &w->kit.config });
    struct wire_lease *leases[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        leases[i] = wire_lease(w->wire, WIRE_READ, WIRE_REPEATABLE, w->arena, lease_over, w);
    run_until(w, 1); /* the second one waits for the connection of the first */
    told(w, other, "x", 7);
    run_until_told(&seen, 1);
    assert_string_equal(seen.text, "Client/x ");
    assert_string_equal(kit_sql(&w->kit, "SELECT count(*) FROM pg_stat_activity WHERE"
                                         " datname=current_database() AND pid<>pg_backend_pid()"),
                        "3"); /* two for reading, one for writing */
    wire_abandon(leases[0]);
    run_until(w, 3);
    wire_abandon(leases[1]);
    watches_free(other);
    watching_end(w);
}

static void horizon_waits_for_what_was_open_when_it_looked(void **state)
{
    struct horizon *h = horizon_new();
    andiron_usec time;

    (void)state;
    assert_int_equal(horizon_vid(h, NULL), 0);
    horizon_take(h, 1000, 10, 100, 95);
    assert_int_equal(horizon_vid(h, NULL), 0);
    horizon_take(h, 2000, 12, 103, 99); /* one of the first look is open still */
    assert_int_equal(horizon_vid(h, NULL), 0);
    assert_int_equal(horizon_vid(h, &time), 0);
    assert_int_equal(time, 0);
    horizon_take(h, 3000, 15, 110, 101);
    assert_int_equal(horizon_vid(h, &time), 10);
    assert_int_equal(time, 1000); /* what was drawn behind 10 may be of later than that */
    horizon_take(h, 4000, 20, 120, 120);
    assert_int_equal(horizon_vid(h, NULL), 20);
    assert_int_equal(horizon_lag_ms(h), 0);
    for (int64_t i = 0; i < 1000; i++)
        horizon_take(h, 5000 + i, 21 + i, 200 + i, 150);
    assert_int_equal(horizon_vid(h, NULL), 20);
    horizon_take(h, 9000, 2000, 2000, 1199);
    assert_int_equal(horizon_vid(h, NULL), 1020);
    horizon_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_by_others_are_found_by_looking),
        cmocka_unit_test(change_of_a_slow_transaction_is_not_passed_over),
        cmocka_unit_test(other_nodes_tell_at_once),
        cmocka_unit_test(nothing_is_lost_while_the_connection_is_away),
        cmocka_unit_test(nothing_is_lost_behind_a_look_that_is_under_way),
        cmocka_unit_test(nothing_is_lost_behind_an_open_transaction),
        cmocka_unit_test(one_of_the_read_connections_listens),
        cmocka_unit_test(horizon_waits_for_what_was_open_when_it_looked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
