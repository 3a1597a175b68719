/*
 * Reading ValueSets and CodeSystems from the store, one after the other, until the search that
 * asks about them can be compiled to the end. Nothing is kept: the next search sees what is stored
 * then.
 */
#include "reading.h"

#include <andiron/async.h>

#include "terminology.h"

/* Larger documents are parsed on the pool; of this size it takes some hundred microseconds. */
enum { PARSE_HERE_MAX = 64 * 1024 };

struct andiron_unread {
    const struct andiron_service_ref *store;
    andiron_str type, expression;
    bool is_strict;
    struct terminology terminology;

    /* Of complete(). */
    struct compiling c;
    struct andiron_search_plan *plan;
    andiron_step_fn then;
    void *state;
    struct document *document; /* being read */
    struct andiron_query query;
    struct andiron_rows rows;
};

int reading_compile(struct compiling *c, const struct andiron_service_ref *store, andiron_str type,
                    andiron_str expression, struct andiron_search_plan *ret)
{
    struct terminology terminology = { NULL };

    c->terminology = store != NULL ? &terminology : NULL;
    if (search_compile(c, type, expression, ret) != 0)
        return -1;
    if (!terminology.is_lacking)
        return 0;
    struct andiron_unread *unread = andiron_new(c->arena, struct andiron_unread);
    *unread = (struct andiron_unread){ .store = store,
                                       .type = type,
                                       .expression = expression,
                                       .is_strict = c->is_strict,
                                       .terminology = terminology };
    ret->unread = unread;
    ret->query.filter =
        filter_new(c, ANDIRON_FILTER_OR); /* whoever forgets complete() finds none */
    return 0;
}

static enum andiron_step read_next(struct andiron_request *req, struct andiron_unread *u);

static enum andiron_step failed(struct andiron_request *req, struct andiron_unread *u)
{
    return u->then(req, u->state);
}

/* All that was wanted has been read: this may show that more is wanted. */
static enum andiron_step compile_again(struct andiron_request *req, struct andiron_unread *u)
{
    struct compiling c = u->c;
    struct andiron_search_plan plan;

    u->terminology.is_lacking = false;
    c.terminology = &u->terminology;
    c.is_strict = u->is_strict;
    if (search_compile(&c, u->type, u->expression, &plan) != 0)
        return failed(req, u);
    if (u->terminology.is_lacking)
        return read_next(req, u);
    *u->plan = plan;
    u->c.err->code = ANDIRON_OK; /* it may tell of what lenient handling has passed over */
    return u->then(req, u->state);
}

static void parse(void *state)
{
    struct andiron_unread *u = state;
    struct document *d = u->document;

    if (andiron_json_parse(u->c.arena, u->rows.rows[0].body, &d->root, &d->error) != 0) {
        d->state = DOCUMENT_BROKEN;
        return;
    }
    if (strcmp(d->type, "CodeSystem") == 0)
        d->hierarchy = hierarchy_read(u->c.arena, d->root, &d->error);
    d->state = d->hierarchy != NULL || strcmp(d->type, "CodeSystem") != 0 ? DOCUMENT_READ
                                                                          : DOCUMENT_BROKEN;
}

static enum andiron_step parsed(struct andiron_request *req, void *state)
{
    return read_next(req, state);
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct andiron_unread *u = state;

    if (u->rows.error.code != ANDIRON_OK) {
        *u->c.err = u->rows.error;
        return failed(req, u);
    }
    if (u->rows.count != 1) {
        u->document->state = u->rows.count == 0 ? DOCUMENT_ABSENT : DOCUMENT_AMBIGUOUS;
        return read_next(req, u);
    }
    if (u->rows.rows[0].body.len > PARSE_HERE_MAX)
        return andiron_offload(req, parse, parsed, u);
    parse(u);
    return read_next(req, u);
}

static enum andiron_step read_next(struct andiron_request *req, struct andiron_unread *u)
{
    const struct andiron_store *store = u->store->table;
    struct document *d = u->terminology.first;
    struct compiling c = u->c;

    while (d != NULL && d->state != DOCUMENT_WANTED)
        d = d->next;
    if (d == NULL)
        return compile_again(req, u);
    u->document = d;
    if (terminology_query(&c, d, &u->query) != 0)
        return failed(req, u);
    return store->search(u->store->self, req, &u->query, &u->rows, found, u);
}

enum andiron_step reading_complete(const struct compiling *c, struct andiron_request *req,
                                   struct andiron_search_plan *plan, andiron_step_fn then,
                                   void *state)
{
    struct andiron_unread *u = andiron_new(c->arena, struct andiron_unread);

    *u = *plan->unread;
    u->c = *c;
    u->plan = plan;
    u->then = then;
    u->state = state;
    return read_next(req, u);
}
