/*
 * Many requests at once, on two loops: what one was answered the others see, and nothing is lost, done
 * twice or done by halves.
 */
#include "kit.h"

enum { CLIENTS = 12, ROUNDS = 25 };

/* ---- each writes its own resource, and looks from the other loop ------------------------------ */

struct client {
    struct kit *k;
    unsigned loop, round;
    char id[32];
    struct andiron_term term;
    struct andiron_write write;
    struct andiron_commit commit;
    struct andiron_ref ref;
    struct andiron_rows rows;
    char failure[sizeof(((struct andiron_error *)0)->message)];
};

static enum andiron_step end(struct client *c, const char *failure)
{
    snprintf(c->failure, sizeof(c->failure), "%.*s", (int)sizeof(c->failure) - 1, failure);
    return kit_over(c->k);
}

static enum andiron_step write_own(struct andiron_request *req, void *state);

static enum andiron_step looked(struct andiron_request *req, void *state)
{
    struct client *c = state;

    (void)req;
    if (c->rows.error.code != ANDIRON_OK)
        return end(c, c->rows.error.message);
    if (c->rows.rows[0].ref.version != c->write.ref.version)
        return end(c, "a write was not visible after its answer");
    if (++c->round == ROUNDS)
        return end(c, "");
    kit_begin(c->k, c->loop, write_own, c);
    return ANDIRON_DONE;
}

static enum andiron_step look(struct andiron_request *req, void *state)
{
    struct client *c = state;
    return c->k->store->read(c->k->self, req, &c->ref, 1, &c->rows, looked, c);
}

static enum andiron_step written(struct andiron_request *req, void *state)
{
    struct client *c = state;

    (void)req;
    if (c->commit.error.code != ANDIRON_OK)
        return end(c, c->commit.error.message);
    if (c->write.ref.version != c->round + 1)
        return end(c, "a version was passed over");
    c->ref = kit_ref("Patient", c->id);
    kit_begin(c->k, 1 - c->loop, look, c);
    return ANDIRON_DONE;
}

static enum andiron_step write_own(struct andiron_request *req, void *state)
{
    struct client *c = state;

    c->write = (struct andiron_write){ .ref = kit_ref("Patient", c->id),
                                       .body = ANDIRON_STR("{}"),
                                       .terms = &c->term,
                                       .term_count = 1 };
    c->commit = (struct andiron_commit){ .writes = &c->write, .count = 1 };
    return c->k->store->commit(c->k->self, req, &c->commit, written, c);
}

static void write_is_visible_to_every_loop_once_answered(void **state)
{
    struct kit *k = *state;
    struct client *clients = calloc(CLIENTS, sizeof(clients[0]));

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->k = k;
        c->loop = i % 2;
        snprintf(c->id, sizeof(c->id), "client-%u", i);
        c->term = kit_token("identifier", "s", c->id);
        kit_begin(k, c->loop, write_own, c);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        kit_wait(k);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].failure[0] != '\0')
            fail_msg("client %u, round %u: %s", i, clients[i].round, clients[i].failure);
    }
    kit_expect(k, "SELECT count(*) FROM version", CLIENTS * ROUNDS);
    kit_expect(k, "SELECT count(*) FROM ix_token", CLIENTS * 2);
    free(clients);
}

/* ---- all write the same -------------------------------------------------------------------------- */

struct rival {
    struct kit *k;
    unsigned number;
    struct andiron_term terms[4];
    struct andiron_write writes[4];
    struct andiron_commit commit;
};

static enum andiron_step rival_over(struct andiron_request *req, void *state)
{
    struct rival *r = state;

    (void)req;
    return kit_over(r->k);
}

static enum andiron_step rival_commits(struct andiron_request *req, void *state)
{
    struct rival *r = state;
    return r->k->store->commit(r->k->self, req, &r->commit, rival_over, r);
}

static struct rival *rivals_new(struct kit *k, unsigned count)
{
    struct rival *rivals = calloc(count, sizeof(rivals[0]));

    for (unsigned i = 0; i < count; i++) {
        rivals[i].k = k;
        rivals[i].number = i;
        rivals[i].commit = (struct andiron_commit){ .writes = rivals[i].writes, .count = 1 };
    }
    return rivals;
}

static unsigned run_rivals(struct kit *k, struct rival *rivals, unsigned count)
{
    unsigned done = 0;

    for (unsigned i = 0; i < count; i++)
        kit_begin(k, i % 2, rival_commits, &rivals[i]);
    for (unsigned i = 0; i < count; i++)
        kit_wait(k);
    for (unsigned i = 0; i < count; i++)
        done += rivals[i].commit.error.code == ANDIRON_OK;
    return done;
}

static void one_of_many_creates_the_resource(void **state)
{
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 16);

    for (unsigned i = 0; i < 16; i++)
        rivals[i].writes[0] = (struct andiron_write){ .ref = kit_ref("Patient", "same"),
                                                      .body = ANDIRON_STR("{}"),
                                                      .if_absent = true };
    assert_int_equal(run_rivals(k, rivals, 16), 1);
    for (unsigned i = 0; i < 16; i++) {
        if (rivals[i].commit.error.code != ANDIRON_OK)
            assert_int_equal(rivals[i].commit.error.code, ANDIRON_E_PRECONDITION);
    }
    kit_expect(k, "SELECT count(*) FROM version", 1);
    free(rivals);
}

static void one_of_many_updates_the_version_that_all_saw(void **state)
{
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 16);

    assert_int_equal(kit_put(k, "Patient", "same", "{}", NULL, 0), 1);
    for (unsigned i = 0; i < 16; i++)
        rivals[i].writes[0] = (struct andiron_write){ .ref = kit_ref("Patient", "same"),
                                                      .body = ANDIRON_STR("{}"),
                                                      .if_version = 1 };
    assert_int_equal(run_rivals(k, rivals, 16), 1);
    kit_expect(k, "SELECT count(*) FROM version", 2);
    free(rivals);
}

static void updates_without_conditions_all_count(void **state)
{
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 24);
    bool seen[25] = { false };

    for (unsigned i = 0; i < 24; i++) {
        rivals[i].terms[0] = kit_token("code", "s", "x");
        rivals[i].writes[0] = (struct andiron_write){ .ref = kit_ref("Patient", "same"),
                                                      .body = ANDIRON_STR("{}"),
                                                      .terms = rivals[i].terms,
                                                      .term_count = 1 };
    }
    assert_int_equal(run_rivals(k, rivals, 24), 24);
    for (unsigned i = 0; i < 24; i++) {
        uint64_t version = rivals[i].writes[0].ref.version;
        assert_true(version >= 1 && version <= 24 && !seen[version]);
        seen[version] = true;
    }
    kit_expect(k, "SELECT count(*) FROM version", 24);
    kit_expect(k, "SELECT count(*) FROM ix_token", 2);
    /* Version numbers, version ids and instants grow together. */
    kit_expect(k,
               "SELECT count(*) FROM version a JOIN version b ON b.rid=a.rid"
               " WHERE a.ver<b.ver AND (a.vid>=b.vid OR a.ts>=b.ts)",
               0);
    free(rivals);
}

static void a_name_is_taken_by_one_of_many(void **state)
{
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 16);
    static char ids[16][16];

    for (unsigned i = 0; i < 16; i++) {
        snprintf(ids[i], sizeof(ids[i]), "s%u", i);
        rivals[i].writes[0] =
            (struct andiron_write){ .ref = kit_ref("Session", ids[i]), .body = ANDIRON_STR("{}") };
        rivals[i].commit.claim = ANDIRON_STR("jti");
        rivals[i].commit.claim_expires = andiron_now() + 60000000;
    }
    assert_int_equal(run_rivals(k, rivals, 16), 1);
    kit_expect(k, "SELECT count(*) FROM version", 1);
    kit_expect(k, "SELECT count(*) FROM resource", 1);
    free(rivals);
}

/* Transactions over the same resources, in every order, referring to each other in a circle. */
static void transactions_wait_for_each_other_in_no_circle(void **state)
{
    static const char *const ids[] = { "a", "b", "c", "d" };
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 24);

    for (unsigned i = 0; i < 24; i++) {
        rivals[i].commit.count = 4;
        for (unsigned j = 0; j < 4; j++) {
            unsigned at = i % 2 == 0 ? (i + j) % 4 : (i + 4 - j) % 4;
            rivals[i].terms[j] = kit_reference("link", "Device", ids[(at + i) % 4]);
            rivals[i].writes[j] =
                (struct andiron_write){ .ref = kit_ref(i % 3 == 0 ? "Device" : "Patient", ids[at]),
                                        .body = ANDIRON_STR("{}"),
                                        .terms = &rivals[i].terms[j],
                                        .term_count = 1 };
        }
    }
    unsigned done = run_rivals(k, rivals, 24);
    for (unsigned i = 0; i < 24; i++) {
        if (rivals[i].commit.error.code != ANDIRON_OK)
            fail_msg("%u: %s", i, rivals[i].commit.error.message);
    }
    assert_int_equal(done, 24);
    kit_expect(k, "SELECT count(*) FROM version", 96);
    kit_expect(k, "SELECT count(*) FROM ix_ref", 8);
    kit_expect(k, "SELECT count(*) FROM ix_ref x JOIN resource r ON r.rid=x.tgt", 8);
    free(rivals);
}

/* What fails takes nobody along that happens to share its transaction. */
static void a_refused_write_harms_no_other(void **state)
{
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 20);
    static char ids[20][16];

    assert_int_equal(kit_put(k, "Patient", "there", "{}", NULL, 0), 1);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(ids[i], sizeof(ids[i]), "p%u", i);
        rivals[i].writes[0] =
            (struct andiron_write){ .ref = kit_ref("Patient", i % 5 == 0 ? "there" : ids[i]),
                                    .body = ANDIRON_STR("{}"),
                                    .if_version = i % 5 == 0 ? 7 : 0 };
        if (i % 5 == 1) { /* adds one resource, and fails for another */
            rivals[i].commit.count = 2;
            rivals[i].writes[1] = (struct andiron_write){ .ref = kit_ref("Patient", "there"),
                                                          .body = ANDIRON_STR("{}"),
                                                          .if_absent = true };
        }
    }
    assert_int_equal(run_rivals(k, rivals, 20), 12);
    kit_expect(k, "SELECT count(*) FROM resource WHERE st=0", 13);
    kit_expect(k, "SELECT count(*) FROM version", 13);
    free(rivals);
}

/* Whoever refers and whoever removes: one of them is refused. */
static void checked_references_hold_against_removals(void **state)
{
    struct kit *k = *state;
    struct rival *rivals = rivals_new(k, 2);
    char id[16];

    for (int round = 0; round < 20; round++) {
        snprintf(id, sizeof(id), "p%d", round);
        assert_int_equal(kit_put(k, "Patient", id, "{}", NULL, 0), 1);
        rivals[0].terms[0] = kit_reference("subject", "Patient", id);
        rivals[0].writes[0] = (struct andiron_write){ .ref = kit_ref("Observation", id),
                                                      .body = ANDIRON_STR("{}"),
                                                      .terms = rivals[0].terms,
                                                      .term_count = 1 };
        rivals[1].writes[0] =
            (struct andiron_write){ .ref = kit_ref("Patient", id), .remove = true };
        for (unsigned i = 0; i < 2; i++)
            rivals[i].commit.check_references = true;
        assert_int_equal(run_rivals(k, rivals, 2), 1);
    }
    kit_expect(k,
               "SELECT count(*) FROM ix_ref x JOIN resource r ON r.rid=x.tgt"
               " WHERE r.st<>0",
               0);
    free(rivals);
}

/* ---- many writes at once -------------------------------------------------------------------------- */

static void stamp_body(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    (void)state;
    write->body =
        andiron_str_of(andiron_printf(arena, "{\"id\":\"%.*s\",\"v\":%d}", (int)write->ref.id.len,
                                      write->ref.id.data, (int)write->ref.version));
}

static void large_commits_are_whole(void **state)
{
    enum { MANY = 1300 };
    struct kit *k = *state;
    struct andiron_write *writes = calloc(MANY, sizeof(writes[0]));
    struct andiron_term *terms = calloc(MANY, 2 * sizeof(terms[0]));
    char(*ids)[16] = calloc(MANY, sizeof(ids[0]));
    struct andiron_commit commit = { .writes = writes, .count = MANY, .bodies_are_brief = true };

    for (int i = 0; i < MANY; i++)
        snprintf(ids[i], sizeof(ids[i]), "o%d", i);
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < MANY; i++) {
            terms[2 * i] = kit_token("code", "s", ids[i % 50]);
            terms[2 * i + 1] = kit_reference("member", "Observation", ids[(i + 1) % MANY]);
            writes[i] = (struct andiron_write){ .ref = kit_ref("Observation", ids[i]),
                                                .terms = &terms[2 * i],
                                                .term_count = 2,
                                                .stamp = stamp_body };
        }
        if (kit_commit(k, &commit) != 0)
            fail_msg("write %zu: %s", commit.failed, commit.error.message);
        assert_int_equal(writes[MANY - 1].ref.version, round);
        if (!kit_is_third()) /* it may let go of what nobody looks at, and need not */
            assert_null(writes[0].body.data);
        struct andiron_row row = kit_read_one(k, "Observation", "o777", 0);
        assert_true(andiron_str_eq(row.body, round == 1
                                                 ? ANDIRON_STR("{\"id\":\"o777\",\"v\":1}")
                                                 : ANDIRON_STR("{\"id\":\"o777\",\"v\":2}")));
    }
    kit_expect(k, "SELECT count(*) FROM resource", MANY);
    kit_expect(k, "SELECT count(*) FROM version", 2 * MANY);
    kit_expect(k, "SELECT count(*) FROM ix_token", 2 * MANY);
    kit_expect(k, "SELECT count(*) FROM ix_ref", MANY);
    /* The last write cannot be: none is. */
    writes[MANY - 1].if_version = 77;
    for (int i = 0; i < MANY; i++)
        writes[i].ref = kit_ref("Observation", ids[i]);
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_PRECONDITION);
    assert_int_equal(commit.failed, MANY - 1);
    kit_expect(k, "SELECT count(*) FROM version", 2 * MANY);
    free(writes);
    free(terms);
    free(ids);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(write_is_visible_to_every_loop_once_answered),
        KIT_TEST(one_of_many_creates_the_resource),
        KIT_TEST(one_of_many_updates_the_version_that_all_saw),
        KIT_TEST(updates_without_conditions_all_count),
        KIT_TEST(a_name_is_taken_by_one_of_many),
        KIT_TEST(transactions_wait_for_each_other_in_no_circle),
        KIT_TEST(a_refused_write_harms_no_other),
        KIT_TEST(checked_references_hold_against_removals),
        KIT_TEST(large_commits_are_whole),
    };
    return KIT_MAIN(argc, argv, tests);
}
