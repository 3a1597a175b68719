#include "searchset.h"

#include "subset.h"
#include "text.h"

/* ---- links ------------------------------------------------------------------------------- */

void links_encode(struct text *t, andiron_str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };
        if (plain)
            text_add(t, &s.data[i], 1);
        else
            text_add(t, escaped, sizeof(escaped));
    }
}

static void put_link(struct text *t, const char *relation, const struct links *links,
                     andiron_str cursor)
{
    TEXT_LIT(t, "{\"relation\":\"");
    text_str(t, andiron_str_of(relation));
    TEXT_LIT(t, "\",\"url\":\"");
    text_escaped(t, links->url);
    if (links->query.len > 0 || cursor.len > 0)
        TEXT_LIT(t, "?");
    text_escaped(t, links->query);
    if (cursor.len > 0) {
        if (links->query.len > 0)
            TEXT_LIT(t, "&");
        TEXT_LIT(t, "_cursor=");
        links_encode(t, cursor);
    }
    TEXT_LIT(t, "\"}");
}

void links_put(struct text *t, const struct links *links)
{
    andiron_str none = { NULL, 0 };

    TEXT_LIT(t, "\"link\":[");
    put_link(t, "self", links, links->cursor);
    if (links->cursor.len > 0) {
        TEXT_LIT(t, ",");
        put_link(t, "first", links, none);
    }
    if (links->previous.len > 0) {
        TEXT_LIT(t, ",");
        put_link(t, "prev", links, links->previous);
    }
    if (links->next.len > 0) {
        TEXT_LIT(t, ",");
        put_link(t, "next", links, links->next);
    }
    TEXT_LIT(t, "]");
}

/* ---- entries ------------------------------------------------------------------------------ */

static void put_entry_url(struct text *t, andiron_str base, const struct andiron_row *row)
{
    text_str(t, base);
    text_str(t, row->ref.type);
    TEXT_LIT(t, "/");
    text_str(t, row->ref.id);
}

/* Part of every fullUrl: "http://host/fhir/", or without "fhir/" for platform types at the root. */
static andiron_str url_base(struct andiron_request *req)
{
    andiron_str root = andiron_request_base(req);
    bool fhir = fhir_base_of(req) == BASE_FHIR;
    return andiron_str_of(andiron_printf(andiron_request_arena(req), "%.*s%s", (int)root.len,
                                         root.data, fhir ? "/fhir/" : "/"));
}

static void put_match(struct text *t, struct andiron_request *req, const struct searchset *set,
                      andiron_str base, const struct resource_type *type,
                      const struct andiron_row *row)
{
    andiron_str shown = answer_text(set->fhir, req, type, fhir_base_of(req), row->body);
    if (set->plan->subset != ANDIRON_SUBSET_NONE)
        shown = subset_text(andiron_request_arena(req), type, set->plan, shown);

    TEXT_LIT(t, "{\"fullUrl\":\"");
    put_entry_url(t, base, row);
    TEXT_LIT(t, "\",\"link\":[{\"relation\":\"self\",\"url\":\"");
    put_entry_url(t, base, row);
    TEXT_LIT(t, "\"}],\"resource\":");
    text_str(t, shown);
    if (row->included)
        TEXT_LIT(t, ",\"search\":{\"mode\":\"include\"}}");
    else
        TEXT_LIT(t, ",\"search\":{\"mode\":\"match\"}}");
}

static void put_issue(struct text *t, bool *first, const char *severity, const char *code,
                      andiron_str diagnostics)
{
    if (*first)
        TEXT_LIT(t, "{\"resource\":{\"resourceType\":\"OperationOutcome\",\"issue\":[");
    else
        TEXT_LIT(t, ",");
    *first = false;
    TEXT_LIT(t, "{\"severity\":\"");
    text_str(t, andiron_str_of(severity));
    TEXT_LIT(t, "\",\"code\":\"");
    text_str(t, andiron_str_of(code));
    TEXT_LIT(t, "\",\"diagnostics\":");
    text_json(t, diagnostics);
    TEXT_LIT(t, "}");
}

/* What the client should know beside the matches: parameters left out, includes left out. */
static bool put_outcome(struct text *t, struct andiron_request *req, const struct searchset *set,
                        bool first_entry)
{
    const char *const *ignored = set->plan->ignored;
    bool first = true;
    size_t mark = t->len;

    if (!first_entry)
        TEXT_LIT(t, ",");
    for (size_t i = 0; ignored != NULL && ignored[i] != NULL; i++)
        put_issue(
            t, &first, "warning", "not-supported",
            andiron_str_of(andiron_printf(
                andiron_request_arena(req),
                "parameter '%s' is not known, or not ready yet, and was ignored", ignored[i])));
    if (set->suppressed || set->rows->suppressed)
        put_issue(t, &first, "information", "suppressed",
                  ANDIRON_STR("resources that this request may not see were not included"));
    if (set->rows->includes_cut)
        put_issue(t, &first, "warning", "incomplete",
                  ANDIRON_STR("there are more resources to include than a page may have"));
    if (set->rows->explain.data != NULL)
        put_issue(t, &first, "information", "informational", set->rows->explain);
    if (first) {
        t->len = mark;
        return false;
    }
    TEXT_LIT(t, "]},\"search\":{\"mode\":\"outcome\"}}");
    return true;
}

static size_t size_of(const struct andiron_rows *rows, andiron_str base, const struct links *links)
{
    size_t size = 1024 + 4 * (links->url.len + links->query.len) + 12 * links->next.len;
    for (size_t i = 0; i < rows->count; i++)
        size += rows->rows[i].body.len + 160 +
                2 * (base.len + rows->rows[i].ref.type.len + rows->rows[i].ref.id.len + 1);
    return size;
}

andiron_str searchset_text(struct andiron_request *req, const struct searchset *set)
{
    const struct andiron_rows *rows = set->rows;
    const struct resource_type *type = NULL;
    andiron_str base = url_base(req);
    struct text t;
    bool first = true;

    text_init(&t, andiron_request_arena(req), size_of(rows, base, &set->links));
    TEXT_LIT(&t, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",");
    if (rows->total >= 0 && !rows->total_is_least) {
        TEXT_LIT(&t, "\"total\":");
        text_uint(&t, (uint64_t)rows->total);
        TEXT_LIT(&t, ",");
    }
    links_put(&t, &set->links);
    size_t mark = t.len;
    TEXT_LIT(&t, ",\"entry\":[");
    for (size_t i = 0; i < rows->count; i++) {
        const struct andiron_row *row = &rows->rows[i];
        if (type == NULL || !andiron_str_eq(type->str, row->ref.type))
            type = types_find(set->fhir->types, row->ref.type);
        if (type == NULL)
            continue; /* of a plugin that is no longer loaded */
        if (!first)
            TEXT_LIT(&t, ",");
        first = false;
        put_match(&t, req, set, base, type, row);
    }
    first = !put_outcome(&t, req, set, first) && first;
    if (first)
        t.len = mark; /* an empty array is not allowed */
    else
        TEXT_LIT(&t, "]");
    TEXT_LIT(&t, "}");
    return text_view(&t);
}

/* ---- history --------------------------------------------------------------------------------- */

static void put_version(struct text *t, struct andiron_request *req, const struct fhir *fhir,
                        andiron_str base, const struct resource_type *type,
                        const struct andiron_row *row, struct parts *parts)
{
    char instant[ANDIRON_INSTANT_LEN];

    andiron_instant(row->updated, instant);
    TEXT_LIT(t, "{\"fullUrl\":\"");
    put_entry_url(t, base, row);
    TEXT_LIT(t, "\"");
    if (!row->deleted) {
        TEXT_LIT(t, ",\"resource\":");
        text_str(
            t, parts_text(parts, type, answer_text(fhir, req, type, fhir_base_of(req), row->body)));
    }
    TEXT_LIT(t, ",\"request\":{\"method\":\"");
    text_str(t, row->deleted ? ANDIRON_STR("DELETE") : ANDIRON_STR("PUT"));
    TEXT_LIT(t, "\",\"url\":\"");
    put_entry_url(t, (andiron_str){ "", 0 }, row);
    TEXT_LIT(t, "\"},\"response\":{\"status\":\"");
    text_str(t, row->deleted            ? ANDIRON_STR("204")
                : row->ref.version == 1 ? ANDIRON_STR("201")
                                        : ANDIRON_STR("200"));
    TEXT_LIT(t, "\",\"etag\":\"W/\\\"");
    text_uint(t, row->ref.version);
    TEXT_LIT(t, "\\\"\",\"lastModified\":\"");
    text_add(t, instant, sizeof(instant));
    TEXT_LIT(t, "\"}}");
}

andiron_str history_text(struct andiron_request *req, const struct fhir *fhir,
                         const struct andiron_rows *rows, const struct links *links,
                         struct parts *parts)
{
    andiron_str base = url_base(req);
    struct text t;
    bool first = true;

    text_init(&t, andiron_request_arena(req), size_of(rows, base, links) + 256 * rows->count);
    TEXT_LIT(&t, "{\"resourceType\":\"Bundle\",\"type\":\"history\",");
    if (rows->total >= 0 && !rows->total_is_least) {
        TEXT_LIT(&t, "\"total\":");
        text_uint(&t, (uint64_t)rows->total);
        TEXT_LIT(&t, ",");
    }
    links_put(&t, links);
    size_t mark = t.len;
    TEXT_LIT(&t, ",\"entry\":[");
    for (size_t i = 0; i < rows->count; i++) {
        const struct resource_type *type = types_find(fhir->types, rows->rows[i].ref.type);
        if (type == NULL)
            continue;
        if (!first)
            TEXT_LIT(&t, ",");
        first = false;
        put_version(&t, req, fhir, base, type, &rows->rows[i], parts);
    }
    if (first)
        t.len = mark;
    else
        TEXT_LIT(&t, "]");
    TEXT_LIT(&t, "}");
    return text_view(&t);
}
