/*
 * Reads every event of the chain by its number and makes its hash again, a page at a time, each in a
 * job of its own, so that its memory goes back. With ?expect=NUMBER:HASH the event of that number
 * must have that hash: whoever notes one elsewhere can tell whether all was made anew since.
 */
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/jose/base64url.h"
#include "record.h"
#include "writer.h"

enum { PAGE = 256, DEADLINE_MS = 60000, LISTED_MAX = 100, OUT_MAX = 256 * 1024, HASH_TEXT = 43 };

struct verifying {
    struct audit *audit;
    struct andiron_request *req; /* waits meanwhile */
    struct andiron_loop *loop;
    struct andiron_error error;
    bool found, skips;
    struct audit_head head;
    struct head_reading reading;
    uint64_t next;   /* number */
    uint64_t singly; /* up to this number one at a time: one of them cannot be read */
    uint8_t hash[AUDIT_HASH];
    uint64_t expect; /* 0: nothing */
    uint8_t expected[AUDIT_HASH];
    int64_t verified, problems;
    struct andiron_json_writer *out;
};

struct page {
    struct verifying *v;
    struct andiron_arena *arena;
    char ids[PAGE][RECORD_ID + 1];
    struct andiron_ref refs[PAGE];
    size_t count;
    struct andiron_rows rows;
    bool is_over;
};

static void add_problem(struct verifying *v, uint64_t number, const char *what)
{
    char id[RECORD_ID + 1];
    if (++v->problems > LISTED_MAX)
        return;
    record_id(number, id);
    andiron_json_put_object(v->out, NULL);
    andiron_json_put_str(v->out, "event", andiron_str_of(id));
    andiron_json_put_str(v->out, "problem", andiron_str_of(what));
    andiron_json_put_end(v->out);
}

/* ---- a page ------------------------------------------------------------------------------- */

static void verify_one(struct verifying *v, struct andiron_arena *arena,
                       const struct andiron_row *row)
{
    uint64_t number = v->next++;
    uint8_t stored[AUDIT_HASH], made[AUDIT_HASH];
    andiron_str content;

    if (row->ref.id.len == 0) {
        add_problem(v, number, "is missing");
        v->skips = true;
        return;
    }
    if (row->deleted || row->ref.version != 1)
        add_problem(v, number, row->deleted ? "has been deleted" : "has more than one version");
    if (row->deleted || record_read(arena, row->body, &content, stored) != 0) {
        if (!row->deleted)
            add_problem(v, number, "is no event of the chain any more");
        return;
    }
    record_hash(audit_key(v->audit), v->hash, number, content, made);
    if (v->skips) /* what it follows from is not known */
        v->skips = false;
    else if (memcmp(made, stored, AUDIT_HASH) != 0)
        add_problem(v, number, "does not follow from the event before it: one of them was changed, "
                               "or the chain was made with another chain-key");
    else
        v->verified++;
    if (number == v->expect && memcmp(stored, v->expected, AUDIT_HASH) != 0)
        add_problem(v, number, "has another hash than the expected one: the chain was made anew");
    memcpy(v->hash, stored, AUDIT_HASH); /* so that one change is one problem */
}

/* On the pool. */
static void verify_page(void *state)
{
    struct page *page = state;
    for (size_t i = 0; i < page->count; i++)
        verify_one(page->v, page->arena, &page->rows.rows[i]);
}

static enum andiron_step page_done(struct andiron_request *req, void *state)
{
    struct page *page = state;
    (void)req;
    page->is_over = true;
    return ANDIRON_DONE;
}

static enum andiron_step page_read(struct andiron_request *req, void *state)
{
    struct page *page = state;
    struct verifying *v = page->v;
    if (page->rows.error.code == ANDIRON_E_INTERNAL && page->count > 1) {
        v->singly = v->next + page->count - 1;
        return page_done(req, page);
    }
    if (page->rows.error.code == ANDIRON_E_INTERNAL) {
        add_problem(v, v->next++, "cannot be read: the store finds it damaged");
        v->skips = true;
        return page_done(req, page);
    }
    if (page->rows.error.code != ANDIRON_OK) {
        v->error = page->rows.error;
        return page_done(req, page);
    }
    return andiron_offload(req, verify_page, page_done, page);
}

static void next_page(struct verifying *v);

static void page_over(void *arg)
{
    struct page *page = arg;
    struct verifying *v = page->v;
    if (!page->is_over)
        (void)andiron_error_set(&v->error, ANDIRON_E_TIMEOUT, "", "the store does not answer");
    next_page(v);
}

static enum andiron_step read_page(struct andiron_request *req, void *state)
{
    struct verifying *v = state;
    struct page *page = andiron_new(andiron_request_arena(req), struct page);

    page->v = v;
    page->arena = andiron_request_arena(req);
    andiron_at_release(page->arena, page_over, page);
    while (page->count < (v->next <= v->singly ? 1 : PAGE) && v->next + page->count <= v->head.last) {
        record_id(v->next + page->count, page->ids[page->count]);
        page->refs[page->count] =
            (struct andiron_ref){ .type = ANDIRON_STR(AUDIT_TYPE),
                                  .id = andiron_str_of(page->ids[page->count]) };
        page->count++;
    }
    return audit_store(v->audit)->read(v->audit->store.self, req, page->refs, page->count,
                                       &page->rows, page_read, page);
}

static void next_page(struct verifying *v)
{
    if (v->error.code == ANDIRON_OK && v->next <= v->head.last)
        andiron_job_start(v->loop, "audit.verify", DEADLINE_MS, read_page, v);
    else
        andiron_resume(v->req);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    struct verifying *v = state;
    char hash[HASH_TEXT + 1] = "";

    if (v->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &v->error);
    if (v->head.last > 0 && memcmp(v->hash, v->head.hash, AUDIT_HASH) != 0)
        add_problem(v, v->head.last, "is not where the chain is said to end");
    if (v->expect > v->head.last)
        add_problem(v, v->expect, "was expected, but the chain ends before it");
    andiron_json_put_end(v->out);
    (void)jose_base64url_encode(v->hash, AUDIT_HASH, hash);
    andiron_json_put_int(v->out, "verified", v->verified);
    andiron_json_put_int(v->out, "problem-count", v->problems);
    andiron_json_put_int(v->out, "forgotten", (int64_t)v->head.forgotten);
    andiron_json_put_int(v->out, "last", (int64_t)v->head.last);
    andiron_json_put_str(v->out, "hash", andiron_str_of(hash));
    andiron_json_put_end(v->out);
    return andiron_reply(req, 200, "application/json", andiron_json_written(v->out));
}

static enum andiron_step head_found(struct andiron_request *req, void *state)
{
    struct verifying *v = state;
    if (v->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &v->error);
    if (!v->found)
        v->head = (struct audit_head){ 0 };
    v->next = v->head.forgotten + 1;
    memcpy(v->hash, v->head.forgotten_hash, AUDIT_HASH);
    if (v->next > v->head.last)
        return answer(req, v);
    enum andiron_step step = andiron_wait(req, answer, v);
    next_page(v);
    return step;
}

/* "expect=12:HASH"; -1: it is not. */
static int read_expected(struct andiron_request *req, struct verifying *v)
{
    andiron_str name, value;
    size_t pos = 0, len = 0;
    uint8_t bytes[AUDIT_HASH + 1];

    while (andiron_request_param(req, &pos, &name, &value)) {
        if (!andiron_str_eq(name, ANDIRON_STR("expect")))
            continue;
        char *end, *text = andiron_copy(andiron_request_arena(req), value);
        v->expect = strtoull(text, &end, 10);
        andiron_str hash = andiron_str_of(*end == ':' ? end + 1 : "");
        if (v->expect == 0 || hash.len != HASH_TEXT ||
            jose_base64url_decode(hash, bytes, &len) != 0 || len != AUDIT_HASH)
            return -1;
        memcpy(v->expected, bytes, AUDIT_HASH);
    }
    return 0;
}

enum andiron_step audit_verify(struct andiron_request *req, void *self)
{
    struct verifying *v = andiron_new(andiron_request_arena(req), struct verifying);

    v->audit = self;
    v->req = req;
    v->loop = andiron_request_loop(req);
    if (read_expected(req, v) != 0)
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "expect must be NUMBER:HASH, as an earlier verification printed it");
    v->out = andiron_json_write(andiron_request_arena(req), OUT_MAX);
    andiron_json_put_object(v->out, NULL);
    andiron_json_put_array(v->out, "problems");
    v->reading = (struct head_reading){ .ret = &v->head,
                                        .ret_found = &v->found,
                                        .ret_error = &v->error,
                                        .then = head_found,
                                        .state = v };
    return audit_head_find(v->audit, req, &v->reading);
}
