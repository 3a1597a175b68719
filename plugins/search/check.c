/*
 * POST /control/check: whether the index terms stored are those that the resources have. All
 * current versions are read and extracted again, while everything is served. With ?repair what
 * differs is put right.
 */
#include "sweep.h"

enum { LISTED_MAX = 1000, LIST_BYTES = 512 * 1024 };

struct checking {
    struct andiron_request *req;
    struct sweep sweep;
    struct andiron_json_writer *list;
    int64_t listed;
};

static void found(void *arg, const struct andiron_ref *ref, andiron_str what)
{
    struct checking *c = arg;

    if (c->listed == LISTED_MAX)
        return;
    c->listed++;
    andiron_json_put_object(c->list, NULL);
    andiron_json_put_str(c->list, "type", ref->type);
    andiron_json_put_str(c->list, "id", ref->id);
    andiron_json_put_int(c->list, "version", (int64_t)ref->version);
    if (what.data != NULL)
        andiron_json_put_str(c->list, "parameter", what);
    andiron_json_put_end(c->list);
}

static void next(void *arg)
{
    struct checking *c = arg;

    if (c->sweep.error.code == ANDIRON_OK && !c->sweep.is_done)
        sweep_slice(&c->sweep);
    else
        andiron_resume(c->req);
}

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    struct checking *c = state;
    struct sweep *sweep = &c->sweep;

    if (sweep->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &sweep->error);
    andiron_json_put_end(c->list);
    andiron_json_put_int(c->list, "checked", sweep->seen);
    andiron_json_put_int(c->list, "differing", sweep->differing);
    andiron_json_put_int(c->list, "repaired", sweep->repaired);
    andiron_json_put_end(c->list);
    if (sweep->differing > 0)
        andiron_log(sweep->search->host, ANDIRON_LOG_ERROR, "search.index.differs",
                    "%lld of %lld resources have other index terms than they should; %lld repaired",
                    (long long)sweep->differing, (long long)sweep->seen,
                    (long long)sweep->repaired);
    return andiron_reply(req, 200, "application/json", andiron_json_written(c->list));
}

enum andiron_step search_check(struct andiron_request *req, void *self)
{
    struct search *search = self;
    struct checking *c = andiron_new(andiron_request_arena(req), struct checking);

    if (search->store.table == NULL)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "there is no store to check");
    c->req = req;
    c->list = andiron_json_write(andiron_request_arena(req), LIST_BYTES);
    andiron_json_put_object(c->list, NULL);
    andiron_json_put_array(c->list, "differences");
    c->sweep = (struct sweep){ .search = search,
                               .loop = andiron_request_loop(req),
                               .op = ANDIRON_INDEX_COMPARE,
                               .is_repairing = andiron_str_eq(andiron_request_query(req),
                                                              ANDIRON_STR("repair")),
                               .found = found,
                               .next = next,
                               .arg = c };
    sweep_slice(&c->sweep);
    return andiron_wait(req, answer, c);
}
