/*
 * Names that are taken once, until they expire.
 */
#include "commit.h"
#include "service.h"

enum { SWEEP_EVERY = 128, SWEEP_ROWS = 1000 };

static const struct wire_sql take = { "claim_take",
                                      "INSERT INTO claim AS c(name,exp) VALUES($1,$2) ON "
                                      "CONFLICT(name) DO UPDATE SET exp=excluded.exp"
                                      " WHERE c.exp<=clock_timestamp()",
                                      { WIRE_TEXT, WIRE_TIMESTAMPTZ } };
/* Others may be at it: what they hold is left to them. */
static const struct wire_sql sweep = {
    "claim_sweep",
    "DELETE FROM claim WHERE name IN (SELECT name FROM claim WHERE exp<=clock_timestamp()"
    " ORDER BY exp LIMIT $1 FOR UPDATE SKIP LOCKED)",
    { WIRE_INT8 }
};

bool claim_is_name(andiron_str name, struct andiron_error *err)
{
    if (name.len > 0 && name.len <= CLAIM_NAME_MAX && memchr(name.data, '\0', name.len) == NULL)
        return true;
    andiron_error_set(err, ANDIRON_E_INVALID, "",
                      "the name of a claim must have 1 to %d bytes, and no NUL", CLAIM_NAME_MAX);
    return false;
}

struct claiming {
    struct wire_batch *batch;
    bool *ret_taken;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

/* Of an outcome that is not known nothing is said but that: the name may be taken, by nobody. */
static enum andiron_step claimed(struct andiron_request *req, void *state)
{
    struct claiming *c = state;

    if (c->batch->reply.outcome != WIRE_OK)
        *c->ret_error = c->batch->reply.error;
    else
        *c->ret_taken = wire_affected(c->batch, 0) != 0;
    return c->then(req, c->state);
}

enum andiron_step service_claim(void *self, struct andiron_request *req, andiron_str name,
                                andiron_usec expires, bool *ret_taken,
                                struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    struct local *local = store_local(self, andiron_request_loop(req));
    struct claiming *c = andiron_new(andiron_request_arena(req), struct claiming);

    *ret_taken = false;
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (!claim_is_name(name, ret_error))
        return andiron_ready(req, then, state);
    *c = (struct claiming){ wire_batch(andiron_request_arena(req)), ret_taken, ret_error, then,
                            state };
    wire_add(c->batch, &take);
    wire_text(c->batch, name);
    wire_instant(c->batch, expires);
    if (local->claims++ % SWEEP_EVERY == 0) {
        wire_add(c->batch, &sweep);
        wire_int8(c->batch, SWEEP_ROWS);
    }
    return wire_ask(local->wire, WIRE_WRITE, req, c->batch, claimed, c);
}
