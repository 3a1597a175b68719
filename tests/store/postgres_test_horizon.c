/*
 * Feeds while a transaction of anybody stays open: what is not shown is of later than the feed says it is of.
 */
#include "kit.h"

#include <libpq-fe.h>

#include <stdlib.h>

static void sql(PGconn *connection, const char *text)
{
    PGresult *r = PQexec(connection, text);
    ExecStatusType status = PQresultStatus(r);

    PQclear(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(connection));
}

static struct andiron_rows settled(struct kit *k, andiron_usec since)
{
    struct andiron_walk w = { .settled = true, .oldest_first = true, .since = since, .limit = 0 };
    struct andiron_rows rows;

    assert_int_equal(kit_walk(k, &w, &rows), 0);
    w = (struct andiron_walk){
        .horizon = rows.horizon, .oldest_first = true, .since = since, .limit = 10
    };
    andiron_usec time = rows.horizon_time;
    assert_int_equal(kit_walk(k, &w, &rows), 0);
    assert_true(rows.horizon_time == time);
    return rows;
}

static bool shows(const struct andiron_rows *rows, const char *id)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (andiron_str_eq(rows->rows[i].ref.id, andiron_str_of(id)))
            return true;
    }
    return false;
}

static void since_the_time_of_a_feed_nothing_is_missed(void **state)
{
    struct kit *k = *state;
    /* Of another database: numbers of transactions are the cluster's. */
    PGconn *other = PQconnectdb(getenv("ANDIRON_TEST_POSTGRES"));

    assert_int_equal(kit_put(k, "Patient", "before", "1", NULL, 0), 1);
    (void)settled(k, 0);
    sql(other, "BEGIN");
    sql(other, "SELECT pg_current_xact_id()");
    assert_int_equal(kit_put(k, "Patient", "behind", "1", NULL, 0), 1);
    struct andiron_rows rows = settled(k, 0);
    assert_false(shows(&rows, "behind"));
    assert_true(rows.horizon_time < kit_read_one(k, "Patient", "behind", 0).updated);
    sql(other, "COMMIT");
    andiron_usec since = rows.horizon_time;
    rows = settled(k, since);
    assert_true(shows(&rows, "behind"));
    PQfinish(other);
}

/* Drawn before the moment of a feed, and dated after it: it is the next one's. */
static void nothing_that_a_feed_shows_is_of_later(void **state)
{
    struct kit *k = *state;

    assert_int_equal(kit_put(k, "Patient", "before", "1", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "ahead", "1", NULL, 0), 1);
    (void)kit_number(k, "UPDATE version v SET ts=now()+interval '1 hour' FROM resource r"
                        " WHERE r.vid=v.vid AND r.id='ahead'");
    struct andiron_rows rows = settled(k, 0);
    assert_true(shows(&rows, "before"));
    assert_false(shows(&rows, "ahead"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { KIT_TEST(since_the_time_of_a_feed_nothing_is_missed),
                                        KIT_TEST(nothing_that_a_feed_shows_is_of_later) };
    return KIT_MAIN(argc, argv, tests);
}
