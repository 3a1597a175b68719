#include "shared.h"

#include "directory.h"
#include "job.h"

enum { DEADLINE_MS = 60000, ROW_MAX = 1024 };

/* A folder that nobody has named for so long is forgotten. */
static const andiron_usec lately = INT64_C(3600) * 1000000;
static const andiron_str row_id = { "files", 5 };

struct checking {
    struct bulk *bulk;
    struct andiron_ref ref;
    struct andiron_rows rows;
    struct andiron_commit commit;
    struct andiron_write write;
};

static enum andiron_step written(struct andiron_request *req, void *arg)
{
    (void)req;
    (void)arg; /* another node was first: the next look compares with what it wrote */
    return ANDIRON_DONE;
}

static enum andiron_step name_ours(struct andiron_request *req, struct checking *c)
{
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), ROW_MAX);
    const struct andiron_row *row = &c->rows.rows[0];

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR(BULK_DIRECTORY));
    andiron_json_put_str(w, "id", row_id);
    andiron_json_put_str(w, "token", andiron_str_of(directory_token(c->bulk->directory)));
    andiron_json_put_int(w, "seen", andiron_now());
    andiron_json_put_end(w);
    c->write =
        job_write(andiron_request_arena(req), BULK_DIRECTORY, row_id, andiron_json_written(w));
    c->write.if_absent = row->ref.id.len == 0;
    c->write.if_version = row->ref.id.len > 0 ? row->ref.version : 0;
    c->commit = (struct andiron_commit){ .writes = &c->write, .count = 1 };
    return c->bulk->store->commit(c->bulk->store_self, req, &c->commit, written, c);
}

static enum andiron_step read(struct andiron_request *req, void *arg)
{
    struct checking *c = arg;
    const struct andiron_row *row = &c->rows.rows[0];
    andiron_json known;

    if (c->rows.error.code != ANDIRON_OK)
        return ANDIRON_DONE; /* the runner says that the store cannot be read */
    if (row->ref.id.len == 0 || row->deleted ||
        andiron_json_parse(andiron_request_arena(req), row->body, &known, NULL) != 0)
        return name_ours(req, c);
    andiron_str token = andiron_json_str(andiron_json_get(known, "token"));
    andiron_usec seen = andiron_json_int(andiron_json_get(known, "seen"), 0);
    bool is_ours = andiron_str_eq(token, andiron_str_of(directory_token(c->bulk->directory)));
    if (!is_ours && seen > andiron_now() - lately) {
        andiron_log(c->bulk->host, ANDIRON_LOG_ERROR, "bulk.directory.foreign",
                    "the directory of exports is not the one that another node of this store has "
                    "used within the hour: all nodes need one shared folder; until then downloads "
                    "fail on the node that does not have the files");
        return ANDIRON_DONE;
    }
    /* Seldom, since each is a version. */
    return is_ours && seen > andiron_now() - lately / 2 ? ANDIRON_DONE : name_ours(req, c);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct checking *c = andiron_new(andiron_request_arena(req), struct checking);

    c->bulk = state;
    c->ref = (struct andiron_ref){ .type = ANDIRON_STR(BULK_DIRECTORY), .id = row_id };
    return c->bulk->store->read(c->bulk->store_self, req, &c->ref, 1, &c->rows, read, c);
}

void shared_check(struct bulk *bulk, struct andiron_loop *loop)
{
    andiron_job_start(loop, "bulk.directory", DEADLINE_MS, begin, bulk);
}
