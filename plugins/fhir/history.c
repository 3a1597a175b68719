/*
 * history of one resource, of a type and of the whole system, newest version first.
 *
 * With _at it has two parts: the versions made within the time, and behind them, of each
 * resource, the one that was current when it began. A cursor of the second part begins with
 * "at.".
 */
#include "access.h"
#include "operations.h"
#include "searchset.h"
#include "text.h"
#include "versions.h"

#include "common/fhir/dates.h"

struct historying {
    const struct fhir *fhir;
    const struct resource_type *type; /* NULL: all */
    struct wanted wanted;
    andiron_str id; /* absent: all */
    const char *types[2];
    andiron_str cursor; /* as sent */
    struct andiron_walk walk;
    andiron_usec since, at; /* 0: not given */
    bool in_second;
    enum andiron_access access;
    size_t limit;             /* of the page */
    struct andiron_rows rows; /* of the page so far */

    bool is_narrowed; /* some of the versions may be left out */
    struct andiron_rows walked, place;
    const struct andiron_row *all; /* of walked, before some were left out */
    unsigned walks;
    size_t bytes;      /* of what was walked */
    struct text query; /* of the links: what was applied */
    struct parts *parts;
};

static const char second_part[] = "at.";

/*
 * Where a narrowing leaves versions out, a page is made of several walks, each twice as long as the
 * one before: so a page whose versions may all be seen costs little, and one behind thousands
 * that may not is still full, unless they are large.
 */
enum { WALKS_MAX = 8, WALK_MORE = 16, WALK_MOST = 1000, WALK_BYTES = 8 * 1024 * 1024 };

/* ---- answer --------------------------------------------------------------------------------- */

static andiron_str own_url(struct andiron_request *req, const struct historying *h)
{
    andiron_str base = andiron_request_base(req);
    struct text t;

    text_init(&t, andiron_request_arena(req), base.len + h->id.len + 96);
    text_str(&t, base);
    if (fhir_base_of(req) == BASE_FHIR)
        TEXT_LIT(&t, "/fhir");
    if (h->type != NULL) {
        TEXT_LIT(&t, "/");
        text_str(&t, h->type->str);
    }
    if (h->id.data != NULL) {
        TEXT_LIT(&t, "/");
        text_str(&t, h->id);
    }
    TEXT_LIT(&t, "/_history");
    return text_view(&t);
}

static enum andiron_step answer(struct andiron_request *req, struct historying *h)
{
    struct links links = {
        .url = own_url(req, h),
        .query = text_view(&h->query),
        .cursor = h->cursor,
        .next = h->rows.cursor,
    };
    return answer_json(req, &h->wanted, 200,
                       history_text(req, h->fhir, &h->rows, &links, h->parts));
}

/* A cursor of the second part, or its beginning. */
static andiron_str second_cursor(struct andiron_request *req, andiron_str cursor)
{
    return andiron_str_of(andiron_printf(andiron_request_arena(req), "%s%.*s", second_part,
                                         (int)cursor.len, cursor.len > 0 ? cursor.data : ""));
}

/* Adds what has been walked to the page. */
static void join(struct andiron_request *req, struct historying *h)
{
    size_t count = h->rows.count + h->walked.count;
    struct andiron_row *rows = h->walked.rows;

    if (h->rows.count > 0 && h->walked.count > 0) {
        rows = andiron_alloc(andiron_request_arena(req), count * sizeof(rows[0]));
        memcpy(rows, h->rows.rows, h->rows.count * sizeof(rows[0]));
        memcpy(rows + h->rows.count, h->walked.rows, h->walked.count * sizeof(rows[0]));
    }
    if (h->walked.count > 0)
        h->rows.rows = rows;
    h->rows.count = count;
    h->rows.cursor = h->walked.cursor;
}

static enum andiron_step walk_on(struct andiron_request *req, struct historying *h);

/* Of each resource the version that was current when the time began. */
static enum andiron_step walk_second(struct andiron_request *req, struct historying *h)
{
    h->in_second = true;
    h->walk.since = h->since;
    h->walk.until = h->at - 1;
    h->walk.latest_only = true;
    return walk_on(req, h);
}

static enum andiron_step part_done(struct andiron_request *req, struct historying *h)
{
    andiron_str none = { NULL, 0 };

    if (h->in_second) {
        if (h->rows.cursor.data != NULL)
            h->rows.cursor = second_cursor(req, h->rows.cursor);
        return answer(req, h);
    }
    if (h->rows.count == 0 && h->id.data != NULL && h->cursor.len == 0 && h->since == 0 &&
        h->at == 0 && h->limit > 0 && h->rows.cursor.data == NULL)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", h->type->name,
                            (int)h->id.len, h->id.data);
    if (h->at == 0 || h->rows.cursor.data != NULL || h->limit == 0)
        return answer(req, h);
    if (h->rows.count == h->limit) {
        h->rows.cursor = second_cursor(req, none);
        return answer(req, h);
    }
    h->walk.cursor = none;
    return walk_second(req, h);
}

/* A page from which much was left out is filled up, within bounds: it may be short, and go on. */
static enum andiron_step page_grown(struct andiron_request *req, struct historying *h)
{
    join(req, h);
    if (h->rows.cursor.data == NULL || h->rows.count >= h->limit || ++h->walks >= WALKS_MAX ||
        h->bytes > WALK_BYTES)
        return part_done(req, h);
    h->walk.cursor = h->rows.cursor;
    return walk_on(req, h);
}

static enum andiron_step place_found(struct andiron_request *req, void *state)
{
    struct historying *h = state;

    if (h->place.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &h->place.error);
    h->walked.cursor = h->place.cursor;
    return page_grown(req, h);
}

static bool is_version(const struct andiron_row *a, const struct andiron_row *b)
{
    return a->ref.version == b->ref.version && andiron_str_eq(a->ref.id, b->ref.id) &&
           andiron_str_eq(a->ref.type, b->ref.type);
}

/* More was walked than the page takes: the same walk once more, as far as its last row. */
static enum andiron_step kept(struct andiron_request *req, void *state)
{
    struct historying *h = state;
    size_t room = h->limit - h->rows.count, last = 0;

    if (h->walked.count <= room)
        return page_grown(req, h);
    while (!is_version(&h->all[last], &h->walked.rows[room - 1]))
        last++;
    h->walked.count = room;
    h->walk.limit = last + 1;
    return h->fhir->store->walk(h->fhir->store_self, req, &h->walk, &h->place, place_found, h);
}

static enum andiron_step walked(struct andiron_request *req, void *state)
{
    struct historying *h = state;

    if (h->walked.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &h->walked.error);
    h->all = h->walked.rows;
    for (size_t i = 0; i < h->walked.count; i++)
        h->bytes += h->walked.rows[i].body.len;
    return versions_keep(h->fhir, req, h->access, &h->walked, kept, h);
}

static enum andiron_step walk_on(struct andiron_request *req, struct historying *h)
{
    h->walk.limit = h->limit - h->rows.count;
    if (h->is_narrowed && h->walk.limit > 0) {
        size_t longer = (h->walk.limit + WALK_MORE) << h->walks;
        size_t most = h->walk.limit > WALK_MOST ? h->walk.limit : WALK_MOST;
        h->walk.limit = longer < most ? longer : most;
    }
    return h->fhir->store->walk(h->fhir->store_self, req, &h->walk, &h->walked, walked, h);
}

/* ---- parameters ------------------------------------------------------------------------------- */

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
    h->limit = (size_t)(count < h->fhir->config->max_count ? count : h->fhir->config->max_count);
    note(h, ANDIRON_STR("_count"),
         andiron_str_of(andiron_printf(andiron_request_arena(req), "%zu", h->limit)));
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
        h->since = date.low;
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
    struct andiron_error err;

    text_init(&h->query, andiron_request_arena(req), 64);
    h->limit = (size_t)h->fhir->config->default_count;
    for (size_t pos = 0; andiron_request_param(req, &pos, &name, &value);) {
        if (andiron_str_eq(name, ANDIRON_STR("_count"))) {
            if (take_count(req, h, value) != 0)
                return -1;
        } else if (andiron_str_eq(name, ANDIRON_STR("_since")) ||
                   andiron_str_eq(name, ANDIRON_STR("_at"))) {
            if (take_time(req, h, name, value) != 0)
                return -1;
        } else if (andiron_str_eq(name, ANDIRON_STR("_cursor"))) {
            h->cursor = value;
        }
    }
    if (parts_read(h->fhir, req, &h->parts, &err) != 0) {
        (void)andiron_fail_with(req, &err);
        return -1;
    }
    if (h->parts != NULL) {
        if (h->query.len > 0)
            TEXT_LIT(&h->query, "&");
        text_str(&h->query, parts_query(h->parts));
    }
    return 0;
}

/* ---- beginnings ------------------------------------------------------------------------------- */

static void take_cursor(struct historying *h)
{
    size_t len = sizeof(second_part) - 1;

    h->walk.cursor = h->cursor;
    h->in_second =
        h->at != 0 && h->cursor.len >= len && memcmp(h->cursor.data, second_part, len) == 0;
    if (!h->in_second)
        return;
    andiron_str rest = { h->cursor.data + len, h->cursor.len - len };
    h->walk.cursor = rest.len > 0 ? rest : (andiron_str){ NULL, 0 };
}

static enum andiron_step walk(struct andiron_request *req, void *state)
{
    struct historying *h = state;

    take_cursor(h);
    if (h->in_second)
        return walk_second(req, h);
    h->walk.since = h->at > h->since ? h->at : h->since;
    return walk_on(req, h);
}

static struct historying *begin(struct andiron_request *req, const struct fhir *fhir)
{
    struct historying *h = andiron_new(andiron_request_arena(req), struct historying);

    h->fhir = fhir;
    h->rows.total = -1;
    h->access = ANDIRON_ACCESS_SEARCH;
    return negotiate(req, &h->wanted) == 0 && parameters(req, h) == 0 ? h : NULL;
}

/* The type of the path; -1: the request has been failed. */
static int take_type(struct andiron_request *req, struct historying *h)
{
    h->type = types_find(h->fhir->types, andiron_request_var(req, "type"));
    if (h->type == NULL) {
        (void)access_unknown_type(req);
        return -1;
    }
    if (h->type->virtual) {
        (void)andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s has no history", h->type->name);
        return -1;
    }
    h->types[0] = h->type->name;
    h->walk.types = h->types;
    return 0;
}

enum andiron_step fhir_history_instance(struct andiron_request *req, void *self)
{
    struct historying *h = begin(req, self);

    if (h == NULL || take_type(req, h) != 0)
        return ANDIRON_DONE;
    h->id = andiron_request_var(req, "id");
    if (!types_is_id(h->id))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", h->type->name,
                            (int)h->id.len, h->id.data);
    h->walk.id = h->id;
    h->access = ANDIRON_ACCESS_READ;
    h->is_narrowed = access_is_narrowed(req, h->type, h->access);
    return access_see(h->fhir, req, h->type, h->id, walk, h);
}

enum andiron_step fhir_history_type(struct andiron_request *req, void *self)
{
    struct historying *h = begin(req, self);

    if (h == NULL || take_type(req, h) != 0)
        return ANDIRON_DONE;
    h->is_narrowed = access_is_narrowed(req, h->type, h->access);
    return walk(req, h);
}

/* FHIR's own types, without those that the request may not see. */
enum andiron_step fhir_history_system(struct andiron_request *req, void *self)
{
    struct historying *h = begin(req, self);
    const struct resource_type *type;
    size_t count = 0;

    if (h == NULL)
        return ANDIRON_DONE;
    while (types_at(h->fhir->types, count) != NULL)
        count++;
    const char **names = andiron_alloc(andiron_request_arena(req), (count + 1) * sizeof(names[0]));
    count = 0;
    for (size_t i = 0; (type = types_at(h->fhir->types, i)) != NULL; i++) {
        if (type->platform || access_is_hidden(req, type, h->access))
            continue;
        h->is_narrowed |= access_is_narrowed(req, type, h->access);
        names[count++] = type->name;
    }
    h->walk.types = names;
    return walk(req, h);
}
