/*
 * history of one resource, newest version first.
 */
#include "access.h"
#include "operations.h"
#include "searchset.h"
#include "text.h"

#include "common/fhir/dates.h"

struct historying {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    andiron_str id;
    const char *types[2];
    struct andiron_walk walk;
    andiron_usec at; /* _at: the version current then is the last; 0: all */
    struct andiron_rows rows;
    struct text query; /* of the links: what was applied */
};

/* Newest first: what comes behind the version that was current at the instant is too old. */
static void cut_at(struct historying *h)
{
    for (size_t i = 0; h->at != 0 && i < h->rows.count; i++) {
        if (h->rows.rows[i].updated > h->at)
            continue;
        h->rows.count = i + 1;
        h->rows.cursor = (andiron_str){ NULL, 0 };
        h->rows.total = -1;
    }
}

static enum andiron_step walked(struct andiron_request *req, void *state)
{
    struct historying *h = state;

    if (h->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &h->rows.error);
    if (h->rows.count == 0 && h->walk.cursor.len == 0 && h->walk.since == 0 && h->walk.until == 0 &&
        h->walk.limit > 0)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", h->type->name,
                            (int)h->id.len, h->id.data);
    cut_at(h);
    andiron_str url = answer_url(req, fhir_base_of(req), h->type, h->id, 0);
    struct links links = {
        .url = andiron_str_of(
            andiron_printf(andiron_request_arena(req), "%.*s/_history", (int)url.len, url.data)),
        .query = text_view(&h->query),
        .cursor = h->walk.cursor,
        .next = h->rows.cursor,
    };
    return answer_json(req, &h->wanted, 200, history_text(req, h->fhir, &h->rows, &links));
}

static void note(struct historying *h, andiron_str name, andiron_str value)
{
    if (h->query.len > 0)
        TEXT_LIT(&h->query, "&");
    text_str(&h->query, name);
    TEXT_LIT(&h->query, "=");
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '+')
            TEXT_LIT(&h->query, "%2B");
        else
            text_add(&h->query, &value.data[i], 1);
    }
}

static int take_count(struct andiron_request *req, struct historying *h, andiron_str value)
{
    int64_t count = value.len > 0 ? 0 : -1;
    for (size_t i = 0; i < value.len && count >= 0; i++)
        count = value.data[i] < '0' || value.data[i] > '9' || count > 1000000
                    ? -1
                    : count * 10 + (value.data[i] - '0');
    if (count < 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "_count must be a whole number from 0 to %lld",
                           (long long)h->fhir->config->max_count);
        return -1;
    }
    h->walk.limit =
        (size_t)(count < h->fhir->config->max_count ? count : h->fhir->config->max_count);
    note(h, ANDIRON_STR("_count"),
         andiron_str_of(andiron_printf(andiron_request_arena(req), "%zu", h->walk.limit)));
    return 0;
}

/* _since is an instant, inclusive; _at a dateTime: versions current at some point of it (http.html#history). */
static int take_time(struct andiron_request *req, struct historying *h, andiron_str name,
                     andiron_str value)
{
    struct fhir_date date;
    if (fhir_date_parse(value, &date) != 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "%.*s must be a date or an instant",
                           (int)name.len, name.data);
        return -1;
    }
    if (andiron_str_eq(name, ANDIRON_STR("_since"))) {
        h->walk.since = date.low;
    } else {
        h->at = date.low;
        h->walk.until = date.high - 1;
    }
    note(h, name, value);
    return 0;
}

static int parameters(struct andiron_request *req, struct historying *h)
{
    andiron_str name, value;

    text_init(&h->query, andiron_request_arena(req), 64);
    h->walk.limit = (size_t)h->fhir->config->default_count;
    for (size_t pos = 0; andiron_request_param(req, &pos, &name, &value);) {
        if (andiron_str_eq(name, ANDIRON_STR("_count"))) {
            if (take_count(req, h, value) != 0)
                return -1;
        } else if (andiron_str_eq(name, ANDIRON_STR("_since")) ||
                   andiron_str_eq(name, ANDIRON_STR("_at"))) {
            if (take_time(req, h, name, value) != 0)
                return -1;
        } else if (andiron_str_eq(name, ANDIRON_STR("_cursor"))) {
            h->walk.cursor = value;
        }
    }
    return 0;
}

static enum andiron_step visible(struct andiron_request *req, void *state)
{
    struct historying *h = state;
    return h->fhir->store->walk(h->fhir->store_self, req, &h->walk, &h->rows, walked, h);
}

enum andiron_step fhir_history_instance(struct andiron_request *req, void *self)
{
    struct historying *h = andiron_new(andiron_request_arena(req), struct historying);

    h->fhir = self;
    h->type = types_find(h->fhir->types, andiron_request_var(req, "type"));
    if (h->type == NULL)
        return access_unknown_type(req);
    if (negotiate(req, &h->wanted) != 0 || parameters(req, h) != 0)
        return ANDIRON_DONE;
    h->id = andiron_request_var(req, "id");
    if (!types_is_id(h->id) || h->type->virtual)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", h->type->name,
                            (int)h->id.len, h->id.data);
    h->types[0] = h->type->name;
    h->walk.types = h->types;
    h->walk.id = h->id;
    return access_see(h->fhir, req, h->type, h->id, visible, h);
}
