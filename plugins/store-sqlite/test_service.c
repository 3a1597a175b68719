/*
 * store/1 as plugins use it: requests on real loops, the pool and the writer's thread.
 */
#include "test_kit.h"

#include <semaphore.h>

#include "http/test_server.h"
#include "service.h"

enum { ROUNDS = 200 };

static struct test_server server;
static struct kit kit;
static sem_t over;

/* One client: writes its resource, then looks from the other loop whether it is there. */
struct client {
    unsigned loop, round;
    bool check_by_search;
    char id[32];
    struct andiron_term term;
    struct andiron_filter filter;
    struct andiron_query query;
    struct andiron_write write;
    struct andiron_commit commit;
    struct andiron_ref ref;
    struct andiron_rows rows;
    const char *failure;
};

static enum andiron_step end(struct client *c, const char *failure)
{
    c->failure = failure;
    sem_post(&over);
    return ANDIRON_DONE;
}

static enum andiron_step write_one(struct andiron_request *req, void *state);

static enum andiron_step looked(struct andiron_request *req, void *state)
{
    struct client *c = state;

    (void)req;
    if (c->rows.error.code != ANDIRON_OK)
        return end(c, c->rows.error.message);
    if (c->rows.count == 0 || c->rows.rows[0].ref.version != c->write.ref.version)
        return end(c, "a write was not visible after its answer");
    if (++c->round == ROUNDS)
        return end(c, NULL);
    andiron_job_start(server.loops[c->loop], "write", 20000, write_one, c);
    return ANDIRON_DONE;
}

static enum andiron_step look(struct andiron_request *req, void *state)
{
    struct client *c = state;

    c->query = (struct andiron_query){
        .type = "Patient", .filter = &c->filter, .limit = 1, .total = ANDIRON_TOTAL_ACCURATE
    };
    if (c->check_by_search)
        return service_store.search(&kit.store, req, &c->query, &c->rows, looked, c);
    return service_store.read(&kit.store, req, &c->ref, 1, &c->rows, looked, c);
}

static enum andiron_step written(struct andiron_request *req, void *state)
{
    struct client *c = state;

    (void)req;
    if (c->commit.error.code != ANDIRON_OK)
        return end(c, c->commit.error.message);
    c->ref = kit_ref("Patient", c->id);
    andiron_job_start(server.loops[1 - c->loop], "look", 20000, look, c);
    return ANDIRON_DONE;
}

static enum andiron_step write_one(struct andiron_request *req, void *state)
{
    struct client *c = state;

    c->write = (struct andiron_write){ .ref = kit_ref("Patient", c->id),
                                       .body = ANDIRON_STR("{}"),
                                       .terms = &c->term,
                                       .term_count = 1 };
    c->commit = (struct andiron_commit){ .writes = &c->write, .count = 1 };
    return service_store.commit(&kit.store, req, &c->commit, written, c);
}

static void start(void)
{
    struct andiron_error err;
    struct reader *readers[2];

    kit_open(&kit);
    if (store_start(&kit.store, &err) != 0)
        fail_msg("%s", err.message);
    server = (struct test_server){ .settings = test_settings(), .loop_count = 2 };
    server.app.settings = &server.settings;
    server.listener.fd = test_listen(&server.port);
    assert_int_equal(pool_start(2, &err), 0);
    for (unsigned i = 0; i < 2; i++) {
        server.loops[i] = loop_new(i, &err);
        readers[i] = reader_new(&kit.store, 10, &err);
        assert_int_equal(reader_attach(readers[i], server.loops[i], &err), 0);
        loop_set_state(server.loops[i], &kit.store, readers[i]);
    }
    server.server = http_server_new(&server.app, server.loops, 2, &server.listener, 1, &err);
    assert_non_null(server.server);
    for (unsigned i = 0; i < 2; i++)
        (void)pthread_create(&server.threads[i], NULL, test_loop_thread, server.loops[i]);
    sem_init(&over, 0, 0);
}

static void stop(void)
{
    struct reader *readers[2];

    for (unsigned i = 0; i < 2; i++) {
        readers[i] = andiron_loop_state(server.loops[i], &kit.store);
        loop_quit(server.loops[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        (void)pthread_join(server.threads[i], NULL);
    pool_stop();
    for (unsigned i = 0; i < 2; i++)
        reader_free(readers[i]); /* as loop_stop() does, before the loop's base is gone */
    kit_close(&kit);             /* the writer posts to the loops */
    http_server_free(server.server);
    for (unsigned i = 0; i < 2; i++)
        loop_free(server.loops[i]);
    (void)close(server.listener.fd);
    kit_end(&kit);
    arena_cache_drop();
}

static void run_clients(size_t count)
{
    struct client *clients = calloc(count, sizeof(clients[0]));

    for (size_t i = 0; i < count; i++) {
        struct client *c = &clients[i];
        c->loop = i % 2;
        c->check_by_search = i % 3 != 0;
        snprintf(c->id, sizeof(c->id), "client-%zu", i);
        c->term = kit_token("identifier", "s", c->id);
        c->filter = kit_filter(ANDIRON_CMP_EQ, c->term);
        andiron_job_start(server.loops[c->loop], "write", 20000, write_one, c);
    }
    for (size_t i = 0; i < count; i++)
        sem_wait(&over);
    for (size_t i = 0; i < count; i++)
        if (clients[i].failure != NULL)
            fail_msg("client %zu, round %u: %s", i, clients[i].round, clients[i].failure);
    free(clients);
}

static void write_is_visible_to_every_loop_once_answered(void **state)
{
    (void)state;
    start();
    run_clients(12);
    stop();
}

static void long_searches_run_on_the_pool(void **state)
{
    (void)state;
    start();
    kit.config.loop_budget = 0; /* everything is too long for a loop */
    run_clients(6);
    stop();
}

/* ---- claims and a missing store ----------------------------------------------------------- */

static struct andiron_error claim_error;
static bool taken;

static enum andiron_step claimed(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    sem_post(&over);
    return ANDIRON_DONE;
}

static enum andiron_step claim(struct andiron_request *req, void *state)
{
    return service_store.claim(&kit.store, req, andiron_str_of(state), andiron_now() + 60000000,
                               &taken, &claim_error, claimed, NULL);
}

static void claim_answers_through_the_writer(void **state)
{
    (void)state;
    static char name[] = "jti";
    start();
    for (int i = 0; i < 2; i++) {
        andiron_job_start(server.loops[0], "claim", 20000, claim, name);
        sem_wait(&over);
        assert_int_equal(claim_error.code, ANDIRON_OK);
        assert_int_equal(taken, i == 0);
    }
    struct andiron_error err;
    assert_int_equal(service_health.check(&kit.store, &err), 0);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_is_visible_to_every_loop_once_answered),
        cmocka_unit_test(long_searches_run_on_the_pool),
        cmocka_unit_test(claim_answers_through_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
