/*
 * Connections that die while they write: what was answered is there, once, and what was refused is not.
 */
#include "kit.h"

enum { CLIENTS = 8, ROUNDS = 60 };

struct client {
    struct kit *k;
    unsigned loop, number;
    unsigned sent, acknowledged, refused;
    char id[32];
    struct andiron_term term;
    struct andiron_write writes[2];
    struct andiron_commit commit;
};

static enum andiron_step next(struct andiron_request *req, void *state);

static enum andiron_step written(struct andiron_request *req, void *state)
{
    struct client *c = state;

    (void)req;
    if (c->commit.error.code == ANDIRON_OK) {
        c->acknowledged++;
        /* The other one of the pair was written by the same commit, and by no other. */
        if (c->writes[0].ref.version != 1 || c->writes[1].ref.version != c->acknowledged)
            fail_msg("client %u wrote version %d", c->number, (int)c->writes[1].ref.version);
    } else {
        c->refused++;
    }
    if (c->sent == ROUNDS)
        return kit_over(c->k);
    kit_begin(c->k, c->loop, next, c);
    return ANDIRON_DONE;
}

/* Adds a resource, and counts it in another. */
static enum andiron_step next(struct andiron_request *req, void *state)
{
    struct client *c = state;
    struct andiron_arena *arena = andiron_request_arena(req);

    c->writes[0] = (struct andiron_write){
        .ref = { ANDIRON_STR("Basic"),
                 andiron_str_of(andiron_printf(arena, "b%u-%u", c->number, c->sent)) },
        .body = ANDIRON_STR("{}"),
        .terms = &c->term,
        .term_count = 1,
        .if_absent = true
    };
    c->writes[1] =
        (struct andiron_write){ .ref = kit_ref("Patient", c->id), .body = ANDIRON_STR("{}") };
    c->commit = (struct andiron_commit){ .writes = c->writes, .count = 2 };
    c->sent++;
    return c->k->store->commit(c->k->self, req, &c->commit, written, c);
}

static void what_was_answered_is_there_once(void **state)
{
    struct kit *k = *state;
    struct client clients[CLIENTS] = { { .sent = 0 } };
    unsigned acknowledged = 0, refused = 0;
    int64_t killed = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->k = k;
        c->loop = i % 2;
        c->number = i;
        snprintf(c->id, sizeof(c->id), "p%u", i);
        c->term = kit_token("code", "s", "x");
        kit_begin(k, c->loop, next, c);
    }
    for (unsigned i = 0; i < 12; i++) {
        usleep(50000);
        killed += kit_number(k, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                " WHERE datname=current_database() AND pid<>pg_backend_pid()"
                                " AND state<>'idle'");
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        kit_wait(k);
    for (unsigned i = 0; i < CLIENTS; i++) {
        acknowledged += clients[i].acknowledged;
        refused += clients[i].refused;
    }
    printf("%d connections ended, %u writes answered, %u refused\n", (int)killed, acknowledged,
           refused);
    assert_true(acknowledged > 0);
    assert_int_equal(kit_number(k, "SELECT count(*) FROM resource WHERE id LIKE 'b%'"),
                     acknowledged);
    assert_int_equal(kit_number(k, "SELECT sum(ver) FROM resource WHERE id LIKE 'p%'"),
                     acknowledged);
    assert_int_equal(kit_number(k, "SELECT count(*) FROM version"), 2 * acknowledged);
    assert_int_equal(kit_number(k, "SELECT count(*) FROM ix_token"), 2 * acknowledged);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { KIT_TEST(what_was_answered_is_there_once) };
    return KIT_MAIN(argc, argv, tests);
}
