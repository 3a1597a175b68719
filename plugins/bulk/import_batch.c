#include "import_batch.h"

#include "import_report.h"

bool import_batch_cut(struct import_batch *b, struct upload *u,
                      const struct upload_batch *const *others, size_t other_count)
{
    b->arena = andiron_arena_new(0);
    b->status = 0;
    b->error = (struct andiron_error){ .code = ANDIRON_OK };
    b->is_done = b->is_again = false;
    b->ran_beside = other_count > 0;
    upload_take(u, b->arena, &b->bundle, others, other_count, &b->lines);
    if (!b->lines.is_kept)
        return true;
    import_batch_clear(b);
    return false;
}

static enum andiron_step finish(struct import_batch *b, int status)
{
    b->status = status;
    b->is_done = true;
    b->done(b->done_arg);
    return ANDIRON_DONE;
}

static void read_answer(void *arg)
{
    struct import_batch *b = arg;
    /* b->error says it */
    (void)import_answer_read(b->arena, &b->lines, andiron_reply_body(b->sub), &b->error);
}

static enum andiron_step answer_read(struct andiron_request *req, void *arg)
{
    struct import_batch *b = arg;
    (void)req;
    return finish(b, b->error.code == ANDIRON_OK ? 200 : 500);
}

static enum andiron_step ran(struct andiron_request *req, void *arg)
{
    struct import_batch *b = arg;
    int status = andiron_reply_status(b->sub);

    return status == 200 ? andiron_offload(req, read_answer, answer_read, b) : finish(b, status);
}

static enum andiron_step run(struct andiron_request *req, struct import_batch *b,
                             andiron_str bundle)
{
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("POST"),
                                   .target = ANDIRON_STR("/fhir"),
                                   .body = bundle,
                                   .content_type = ANDIRON_STR("application/fhir+json"),
                                   .arena = b->arena };

    return andiron_request_run(req, &inner, &b->sub, ran, b);
}

static void compose_again(void *arg)
{
    struct import_batch *b = arg;
    (void)upload_again(&b->lines, &b->again);
}

static enum andiron_step composed(struct andiron_request *req, void *arg)
{
    struct import_batch *b = arg;
    return run(req, b, (andiron_str){ b->again.data, b->again.len });
}

static enum andiron_step begin(struct andiron_request *req, void *arg)
{
    struct import_batch *b = arg;

    if (b->lines.sent == 0)
        return finish(b, 200);
    if (b->is_again)
        return andiron_offload(req, compose_again, composed, b);
    return run(req, b, b->lines.bundle);
}

void import_batch_start(struct andiron_request *req, struct import_batch *b)
{
    b->is_again = b->is_done;
    b->is_done = false;
    andiron_request_beside(req, "bulk.import", begin, b);
}

bool import_batch_is_early(const struct import_batch *b)
{
    if (!b->ran_beside || b->is_again || b->status != 200)
        return false;
    for (size_t i = 0; i < b->lines.count; i++)
        if (upload_is_open(&b->lines.lines[i]))
            return true;
    return false;
}

/* Giving back the pages of an arena takes longer than a loop has. */
static void bury(void *arg)
{
    andiron_arena_free(arg);
}

void import_batch_clear(struct import_batch *b)
{
    if (b->arena != NULL)
        andiron_pool_post(bury, b->arena);
    b->arena = NULL;
}

void import_batch_free(struct import_batch *b)
{
    andiron_arena_free(b->arena);
    bytes_free(&b->bundle);
    bytes_free(&b->again);
}
