/*
 * Removing all terms of a parameter, in slices.
 *
 * With the last rows the number goes too, while nobody writes: new terms of that name get another one, and
 * entries in keys that still hold the old number mean nothing from then on.
 */
#include "commit.h"
#include "naming.h"
#include "service.h"

enum { SLICE = 2000, TABLES = 6 };

#define FORGET(table)                                                                              \
    {                                                                                              \
        "forget_" table,                                                                           \
            "DELETE FROM " table " WHERE ctid=ANY(ARRAY(SELECT ctid FROM " table                   \
            " WHERE p=$1 LIMIT $2))",                                                              \
        {                                                                                          \
            WIRE_INT4, WIRE_INT8                                                                   \
        }                                                                                          \
    }
static const struct wire_sql slices[TABLES] = { FORGET("ix_token"), FORGET("ix_ref"),
                                                FORGET("ix_date"),  FORGET("ix_num"),
                                                FORGET("ix_str"),   FORGET("ix_value") };
static const struct wire_sql alone = { "forget_alone",
                                       "SELECT pg_advisory_xact_lock($1,$2)",
                                       { WIRE_INT4, WIRE_INT4 } };
static const struct wire_sql drop = { "forget_param",
                                      "DELETE FROM param WHERE p=$1 AND code=$2",
                                      { WIRE_INT4, WIRE_TEXT } };

struct forgetting {
    struct local *local;
    struct store *store;
    struct andiron_request *req;
    const char *type, *param;
    struct andiron_error *ret_error;
    struct wire_batch *batch;
    int64_t p;
    bool is_last;
    andiron_step_fn then;
    void *state;
};

static void add_slices(struct forgetting *f, int64_t most)
{
    for (size_t i = 0; i < TABLES; i++) {
        wire_add(f->batch, &slices[i]);
        wire_int4(f->batch, f->p);
        wire_int8(f->batch, most);
    }
}

static enum andiron_step next(struct andiron_request *req, struct forgetting *f);

static enum andiron_step sliced(struct andiron_request *req, void *state)
{
    struct forgetting *f = state;

    if (f->batch->reply.outcome != WIRE_OK) {
        *f->ret_error = f->batch->reply.error;
        return f->then(req, f->state);
    }
    if (f->is_last) {
        names_drop_param(f->store->names, names_type(f->store->names, andiron_str_of(f->type)),
                         andiron_str_of(f->param));
        return f->then(req, f->state);
    }
    f->is_last = true;
    for (size_t i = 0; i < TABLES; i++)
        f->is_last &= wire_affected(f->batch, i) < SLICE;
    return next(req, f);
}

static enum andiron_step next(struct andiron_request *req, struct forgetting *f)
{
    f->batch = wire_batch(andiron_request_arena(req));
    if (!f->is_last) {
        add_slices(f, SLICE);
    } else {
        wire_add(f->batch, &alone);
        wire_int4(f->batch, LOCK_SPACE);
        wire_int4(f->batch, LOCK_NAMES);
        add_slices(f, INT32_MAX); /* what was written meanwhile */
        wire_add(f->batch, &drop);
        wire_int4(f->batch, f->p);
        wire_text(f->batch, andiron_str_of(f->param));
        naming_bump(f->batch, true);
    }
    return wire_ask(f->local->wire, WIRE_WRITE, req, f->batch, sliced, f);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct forgetting *f = state;
    uint32_t kinds;
    int64_t type = names_type(f->store->names, andiron_str_of(f->type));

    f->p = names_param(f->store->names, type, andiron_str_of(f->param), &kinds);
    if (f->ret_error->code != ANDIRON_OK || type == 0 || f->p == 0)
        return f->then(req, f->state);
    return next(req, f);
}

static void refreshed(void *arg, const struct andiron_error *err)
{
    struct forgetting *f = arg;

    if (err != NULL)
        *f->ret_error = *err;
    andiron_resume(f->req);
}

enum andiron_step service_forget(void *self, struct andiron_request *req, const char *type,
                                 const char *param, struct andiron_error *ret_error,
                                 andiron_step_fn then, void *state)
{
    struct forgetting *f = andiron_new(andiron_request_arena(req), struct forgetting);

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    *f = (struct forgetting){ .local = store_local(self, andiron_request_loop(req)),
                              .store = self,
                              .req = req,
                              .type = type,
                              .param = param,
                              .ret_error = ret_error,
                              .then = then,
                              .state = state };
    /* Another node may have added the parameter, or given it another number. */
    enum andiron_step step = andiron_wait(req, begin, f);
    naming_refresh(f->local, andiron_request_arena(req), refreshed, f);
    return step;
}
