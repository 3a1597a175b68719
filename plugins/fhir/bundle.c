/*
 * POST /fhir: reads the Bundle, then hands it to transaction.c.
 */
#include "bundle.h"

#include <stdio.h>

#include "prepare.h"

/* Entries that are wrong in themselves answer with what is wrong; the others go on. */
static void answer_wrong_entries(struct andiron_request *req, struct bundle *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct andiron_error own[ISSUES_MAX];
        char place[32];
        size_t count = 0;
        int len = snprintf(place, sizeof(place), "Bundle.entry[%zu]", i);

        if (b->entries[i].status == 0)
            continue;
        for (size_t j = 0; j < b->issues.count; j++)
            if (strncmp(b->issues.list[j].where, place, (size_t)len) == 0)
                own[count++] = b->issues.list[j];
        if (count == 0) { /* more issues than are kept */
            own[0] = (struct andiron_error){ .code = ANDIRON_E_INVALID };
            (void)snprintf(own[0].message, sizeof(own[0].message), "%s.request is not complete",
                           place);
            count = 1;
        }
        entries_fail(req, &b->entries[i], own, count);
    }
}

static enum andiron_step read_done(struct andiron_request *req, void *state)
{
    struct bundle *b = state;

    if (b->entries == NULL || (b->is_transaction && b->issues.count > 0))
        return prepare_fail(req, &b->issues);
    if (!b->is_transaction)
        answer_wrong_entries(req, b);
    return transaction_run(req, b);
}

struct reading {
    struct bundle *bundle;
    struct andiron_arena *arena;
    andiron_str base;
};

static void read_bundle(void *state)
{
    const struct reading *r = state;
    entries_read(r->bundle, r->arena, r->base);
}

static enum andiron_step bundle_read(struct andiron_request *req, void *state)
{
    struct reading *r = state;
    return read_done(req, r->bundle);
}

enum andiron_step fhir_bundle(struct andiron_request *req, void *self)
{
    struct bundle *b = andiron_new(andiron_request_arena(req), struct bundle);
    struct reading *r = andiron_new(andiron_request_arena(req), struct reading);

    b->fhir = self;
    if (negotiate(req, &b->wanted) != 0)
        return ANDIRON_DONE;
    if (!negotiate_is_json(andiron_request_header(req, "content-type")))
        return andiron_fail(req, ANDIRON_E_MEDIA_TYPE,
                            "Content-Type must be application/fhir+json or application/json");
    if (andiron_request_body(req).len == 0)
        return andiron_fail(req, ANDIRON_E_INVALID, "a Bundle is needed as the body");
    *r = (struct reading){ .bundle = b,
                           .arena = andiron_request_arena(req),
                           .base = andiron_request_base(req) };
    if (andiron_request_json(req, &b->root) != 0) /* core parses large bodies on the pool */
        return ANDIRON_DONE;
    if (andiron_request_body(req).len > FHIR_OFFLOAD_ABOVE)
        return andiron_offload(req, read_bundle, bundle_read, r);
    read_bundle(r);
    return read_done(req, b);
}
