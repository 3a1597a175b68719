#include "bundle.h"

#include <stdio.h>

#include "base64.h"
#include "interactions.h"
#include "patch.h"
#include "text.h"

/* ---- reading -------------------------------------------------------------------------------- */

static const char *const verbs[] = { [VERB_DELETE] = "DELETE",
                                     [VERB_POST] = "POST",
                                     [VERB_PUT] = "PUT",
                                     [VERB_PATCH] = "PATCH",
                                     [VERB_GET] = "GET" };

static const struct entry_conditions no_conditions;
static const struct entry_patch no_patch;
static const struct entry_told nothing_told;

static enum verb verb_of(andiron_str method)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (andiron_str_eq(method, andiron_str_of(verbs[i])))
            return (enum verb)i;
    return VERB_NONE;
}

andiron_str entries_method(const struct entry *e)
{
    return e->is_head ? ANDIRON_STR("HEAD") : andiron_str_of(verbs[e->verb]);
}

static bool strip(andiron_str *s, andiron_str prefix)
{
    if (prefix.len == 0 || s->len < prefix.len || memcmp(s->data, prefix.data, prefix.len) != 0)
        return false;
    s->data += prefix.len;
    s->len -= prefix.len;
    return true;
}

/* The url relative to /fhir: our own absolute URLs and a '/' in front are taken too. */
static andiron_str relative_url(andiron_str url, andiron_str base)
{
    if (strip(&url, base)) {
        (void)strip(&url, ANDIRON_STR("/fhir/"));
        return url;
    }
    if (!strip(&url, ANDIRON_STR("/fhir/")))
        (void)strip(&url, ANDIRON_STR("/"));
    return url;
}

/* Splits "Patient", "Patient/1" and "Patient?x=y"; longer paths have neither type nor id here. */
static void split_url(struct entry *e, andiron_str url)
{
    const char *mark = memchr(url.data, '?', url.len);
    andiron_str path = { url.data, mark != NULL ? (size_t)(mark - url.data) : url.len };
    if (mark != NULL)
        e->query = (andiron_str){ mark + 1, url.len - path.len - 1 };
    const char *slash = path.len > 0 ? memchr(path.data, '/', path.len) : NULL;
    if (slash == NULL) {
        e->type = path;
        return;
    }
    andiron_str id = { slash + 1, path.len - (size_t)(slash - path.data) - 1 };
    if (id.len > 0 && memchr(id.data, '/', id.len) != NULL)
        return;
    e->type = (andiron_str){ path.data, (size_t)(slash - path.data) };
    e->id = id;
}

/* The status says so even where more issues were found than are kept. */
static void refuse(struct bundle *b, struct entry *e, const char *member, const char *message)
{
    char where[64];
    (void)snprintf(where, sizeof(where), ".entry[%zu]%s", e->index, member);
    issues_add(&b->issues, ANDIRON_E_INVALID, where, "%s", message);
    e->status = 400;
}

/* http.html#jsonpatch-transaction: a JSON Patch comes as Binary, a FHIRPath Patch as Parameters. */
static void read_patch(struct bundle *b, struct andiron_arena *arena, struct entry *e)
{
    andiron_str type = andiron_json_str(andiron_json_get(e->resource, "resourceType"));
    struct entry_patch *patch = andiron_new(arena, struct entry_patch);
    struct andiron_error err;

    e->patch = patch;
    if (andiron_str_eq(type, ANDIRON_STR("Parameters"))) {
        patch->body = andiron_json_raw(e->resource);
        patch->content_type = ANDIRON_STR("application/fhir+json");
        patch->doc = e->resource;
        return;
    }
    patch->content_type = andiron_json_str(andiron_json_get(e->resource, "contentType"));
    enum patch_kind kind = patch_kind(patch->content_type);
    andiron_json data = andiron_json_get(e->resource, "data");
    if (!andiron_str_eq(type, ANDIRON_STR("Binary")) || (kind != PATCH_JSON && kind != PATCH_MERGE))
        refuse(b, e, ".resource",
               "of a PATCH must be a Binary with contentType application/json-patch+json or "
               "application/merge-patch+json, or Parameters with a FHIRPath Patch");
    else if (base64_decode(arena, andiron_json_str(data), &patch->body) != 0 ||
             patch->body.len == 0)
        refuse(b, e, ".resource.data", "must be the patch in base64");
    else if (andiron_json_parse(arena, patch->body, &patch->doc, &err) != 0)
        refuse(b, e, ".resource.data", err.message);
}

static const struct entry_conditions *conditions_of(struct andiron_arena *arena,
                                                    andiron_json request)
{
    struct entry_conditions given = {
        .if_match = andiron_json_str(andiron_json_get(request, "ifMatch")),
        .if_none_match = andiron_json_str(andiron_json_get(request, "ifNoneMatch")),
        .if_modified_since = andiron_json_str(andiron_json_get(request, "ifModifiedSince")),
    };
    if (given.if_match.data == NULL && given.if_none_match.data == NULL &&
        given.if_modified_since.data == NULL)
        return &no_conditions;
    struct entry_conditions *conditions = andiron_new(arena, struct entry_conditions);
    *conditions = given;
    return conditions;
}

static void read_entry(struct bundle *b, struct andiron_arena *arena, andiron_str base,
                       andiron_json json, struct entry *e)
{
    andiron_json request = andiron_json_get(json, "request");
    andiron_str url = relative_url(andiron_json_str(andiron_json_get(request, "url")), base);

    e->resource = andiron_json_get(json, "resource");
    e->full_url = andiron_json_str(andiron_json_get(json, "fullUrl"));
    andiron_str method = andiron_json_str(andiron_json_get(request, "method"));
    e->is_head = andiron_str_eq(method, ANDIRON_STR("HEAD"));
    e->verb = e->is_head ? VERB_GET : verb_of(method);
    e->if_none_exist = andiron_json_str(andiron_json_get(request, "ifNoneExist"));
    e->conditions = conditions_of(arena, request);
    e->patch = &no_patch;
    e->told = &nothing_told;
    if (e->verb == VERB_NONE)
        refuse(b, e, ".request.method", "must be GET, POST, PUT, PATCH or DELETE");
    if (url.len == 0)
        refuse(b, e, ".request.url", "must be a URL relative to the base, such as Patient/1");
    bool needs = e->verb == VERB_POST || e->verb == VERB_PUT || e->verb == VERB_PATCH;
    bool has = andiron_json_type(e->resource) == ANDIRON_JSON_OBJECT;
    if (needs && !has)
        refuse(b, e, ".resource", "is needed for this method");
    else if (e->verb == VERB_PATCH)
        read_patch(b, arena, e);
    if (e->status != 0)
        return;
    split_url(e, url);
    e->url = url;
}

void entries_read(struct bundle *b, struct andiron_arena *arena, andiron_str base)
{
    andiron_str type = andiron_json_str(andiron_json_get(b->root, "type"));
    andiron_json list = andiron_json_get(b->root, "entry");
    struct andiron_json_iter it = { .of = list };

    issues_init(&b->issues, arena, ANDIRON_STR("Bundle"));
    b->is_transaction = andiron_str_eq(type, ANDIRON_STR("transaction"));
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(b->root, "resourceType")),
                        ANDIRON_STR("Bundle")))
        issues_add(&b->issues, ANDIRON_E_INVALID, ".resourceType", "must be 'Bundle'");
    else if (!b->is_transaction && !andiron_str_eq(type, ANDIRON_STR("batch")))
        issues_add(&b->issues, ANDIRON_E_INVALID, ".type", "must be 'transaction' or 'batch'");
    enum andiron_json_type list_type = andiron_json_type(list);
    if (list_type != ANDIRON_JSON_ARRAY && list_type != ANDIRON_JSON_MISSING)
        issues_add(&b->issues, ANDIRON_E_STRUCTURE, ".entry", "must be an array");
    size_t count = list_type == ANDIRON_JSON_ARRAY ? andiron_json_count(list) : 0;
    if (count > (size_t)b->fhir->config->max_bundle_entries)
        issues_add(&b->issues, ANDIRON_E_TOO_LARGE, ".entry",
                   "has %zu entries, at most %lld are allowed", count,
                   (long long)b->fhir->config->max_bundle_entries);
    if (b->issues.count > 0)
        return;
    b->entries = andiron_alloc(arena, (count > 0 ? count : 1) * sizeof(b->entries[0]));
    b->count = count;
    for (size_t i = 0; i < count && andiron_json_next(&it); i++) {
        b->entries[i].index = i;
        read_entry(b, arena, base, it.value, &b->entries[i]);
    }
}

struct andiron_inner entries_inner(const struct bundle *b, const struct entry *e,
                                   struct andiron_arena *arena)
{
    /* The answer becomes a part of the Bundle, so that of a Binary must not be its content. */
    static const struct andiron_inner_header headers[] = {
        { "prefer", { "return=OperationOutcome", sizeof("return=OperationOutcome") - 1 } },
        { "accept", { "application/fhir+json", sizeof("application/fhir+json") - 1 } },
        { NULL, { NULL, 0 } },
    };
    bool has_body = e->verb == VERB_POST || e->verb == VERB_PUT;
    return (struct andiron_inner){
        .size = sizeof(struct andiron_inner),
        .method = entries_method(e),
        .target = andiron_str_of(andiron_printf(arena, "/fhir/%.*s", (int)e->url.len, e->url.data)),
        .body = has_body ? andiron_json_raw(e->resource) : e->patch->body,
        .content_type = e->patch->content_type,
        .if_match = e->conditions->if_match,
        .if_none_match = e->conditions->if_none_match,
        .if_none_exist = e->if_none_exist,
        .if_modified_since = e->conditions->if_modified_since,
        .bundle_type = b->is_transaction ? "transaction" : "batch",
        .bundle_index = e->index,
        .headers = headers + (b->wanted.give == RETURN_OUTCOME ? 0 : 1),
    };
}

/* ---- answers ---------------------------------------------------------------------------------- */

static andiron_str instant_text(struct andiron_request *req, andiron_usec at)
{
    char *text = andiron_alloc(andiron_request_arena(req), ANDIRON_INSTANT_LEN);
    andiron_instant(at, text);
    return (andiron_str){ text, ANDIRON_INSTANT_LEN };
}

/* Whether an answer can stand in a Bundle: what other plugins serve need not be JSON. */
static bool is_resource(const struct bundle *b, const struct entry *e, andiron_str answer)
{
    struct andiron_arena *scratch;
    struct andiron_error err;
    andiron_json root;

    if (answer.len == 0 || (types_find(b->fhir->types, e->type) != NULL &&
                            memchr(e->url.data, '$', e->url.len) == NULL))
        return true; /* made here */
    scratch = andiron_arena_new(0);
    bool is = andiron_json_parse(scratch, answer, &root, &err) == 0 &&
              andiron_json_type(root) == ANDIRON_JSON_OBJECT;
    andiron_arena_free(scratch);
    return is;
}

void entries_take(struct andiron_request *req, const struct bundle *b, struct entry *e,
                  struct andiron_request *sub)
{
    andiron_str modified = andiron_replied_header(sub, "Last-Modified");
    andiron_usec at = andiron_http_date_read(modified);
    struct entry_told *told = andiron_new(andiron_request_arena(req), struct entry_told);
    struct andiron_error err;

    if (!is_resource(b, e, andiron_reply_body(sub))) {
        (void)andiron_error_set(&err, ANDIRON_E_NOT_IMPLEMENTED, "",
                                "the answer is no resource, and cannot stand in a Bundle");
        entries_fail(req, e, &err, 1);
        return;
    }
    e->status = andiron_reply_status(sub);
    told->location = andiron_replied_header(sub, "Location");
    told->etag = andiron_replied_header(sub, "ETag");
    if (at >= 0)
        told->last_modified = instant_text(req, at);
    told->warning = andiron_request_noted(sub, ANSWER_WARNING);
    e->told = told;
    bool wrote = told->location.len > 0; /* an operation that is posted to answers as a GET does */
    e->answer_is_outcome = e->status >= 400 || (wrote && b->wanted.give == RETURN_OUTCOME);
    if (e->answer_is_outcome || (!wrote && !e->is_head) || b->wanted.give == RETURN_REPRESENTATION)
        e->answer = andiron_reply_body(sub);
}

void entries_warn(struct andiron_request *req, struct entry *e, andiron_str warning)
{
    if (warning.len == 0)
        return;
    struct entry_told *told = andiron_new(andiron_request_arena(req), struct entry_told);
    told->warning = warning;
    e->told = told;
}

void entries_fail(struct andiron_request *req, struct entry *e, const struct andiron_error *errors,
                  size_t count)
{
    size_t leading = issues_leading(errors, count);
    struct text t;

    text_init(&t, andiron_request_arena(req), 128 + 256 * count);
    TEXT_LIT(&t, "{\"resourceType\":\"OperationOutcome\",\"issue\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            TEXT_LIT(&t, ",");
        TEXT_LIT(&t, "{\"severity\":\"error\",\"code\":\"");
        text_str(&t, andiron_str_of(andiron_code_issue(errors[i].code)));
        TEXT_LIT(&t, "\",\"diagnostics\":");
        text_json(&t, andiron_str_of(errors[i].message));
        if (errors[i].where[0] != '\0') {
            TEXT_LIT(&t, ",\"expression\":[");
            text_json(&t, andiron_str_of(errors[i].where));
            TEXT_LIT(&t, "]");
        }
        TEXT_LIT(&t, "}");
    }
    TEXT_LIT(&t, "]}");
    e->status = andiron_code_http(errors[leading].code);
    e->answer = text_view(&t);
    e->answer_is_outcome = true;
}

void entries_version(struct entry *e, int status, const struct resource_type *type, andiron_str id,
                     uint64_t version, andiron_usec updated)
{
    e->status = status;
    e->written = type;
    e->answer_id = id;
    e->version = version;
    e->updated = updated;
}

static void put_member(struct text *t, const char *name, andiron_str value)
{
    if (value.len == 0)
        return;
    TEXT_LIT(t, ",\"");
    text_str(t, andiron_str_of(name));
    TEXT_LIT(t, "\":");
    text_json(t, value);
}

/* Put together only here: for thousands of entries these would take more memory than the answer. */
static void put_written(struct text *t, struct text *url, const struct entry *e,
                        struct andiron_request *req)
{
    if (e->verb != VERB_DELETE) {
        url->len = 0;
        answer_add_url(url, req, BASE_FHIR, e->written, e->answer_id, e->version);
        put_member(t, "location", text_view(url));
    }
    if (e->version == 0)
        return;
    TEXT_LIT(t, ",\"etag\":\"W/\\\"");
    text_uint(t, e->version);
    TEXT_LIT(t, "\\\"\",\"lastModified\":\"");
    andiron_instant(e->updated, text_room(t, ANDIRON_INSTANT_LEN));
    t->len += ANDIRON_INSTANT_LEN;
    TEXT_LIT(t, "\"");
}

/* What went wrong, or is to be said of what was written. */
static void put_outcome(struct text *t, const struct bundle *b, const struct entry *e)
{
    bool is_made = e->answer.len > 0 && e->answer_is_outcome;
    bool is_told = b->wanted.give == RETURN_OUTCOME && e->written != NULL && e->verb != VERB_DELETE;
    struct shown shown = { .type = e->written, .id = e->answer_id, .version = e->version };

    if (!is_made && !is_told && e->told->warning.len == 0)
        return;
    TEXT_LIT(t, ",\"outcome\":");
    if (is_made)
        text_str(t, e->answer);
    else
        answer_add_outcome(t, e->status, is_told ? &shown : NULL, e->told->warning);
}

static void put_entry(struct text *t, struct text *url, const struct bundle *b,
                      const struct entry *e, struct andiron_request *req)
{
    TEXT_LIT(t, "{");
    if (e->answer.len > 0 && !e->answer_is_outcome) {
        TEXT_LIT(t, "\"resource\":");
        text_str(t, e->answer);
        TEXT_LIT(t, ",");
    }
    TEXT_LIT(t, "\"response\":{\"status\":\"");
    text_uint(t, (uint64_t)e->status);
    TEXT_LIT(t, "\"");
    if (e->written != NULL)
        put_written(t, url, e, req);
    put_member(t, "location", e->told->location);
    put_member(t, "etag", e->told->etag);
    put_member(t, "lastModified", e->told->last_modified);
    put_outcome(t, b, e);
    TEXT_LIT(t, "}}");
}

/* A Bundle's entries count as what they do, as requests do. */
static void count(const struct bundle *b)
{
    static const char *const operations[] = { [VERB_DELETE] = "FhirDelete",
                                              [VERB_POST] = "FhirCreate",
                                              [VERB_PUT] = "FhirUpdate",
                                              [VERB_PATCH] = "FhirPatch" };
    for (size_t i = 0; i < b->count; i++) {
        const struct entry *e = &b->entries[i];
        const char *operation = e->verb < VERB_GET     ? operations[e->verb]
                                : e->verb != VERB_GET  ? NULL
                                : e->id.data != NULL   ? "FhirRead"
                                : e->type.data != NULL ? "FhirSearch"
                                                       : NULL;
        if (operation != NULL)
            interactions_count(b->fhir->interactions, operation, e->type, e->status);
    }
}

andiron_str entries_compose(struct andiron_request *req, const struct bundle *b)
{
    struct text t, url;
    size_t size = 256;

    count(b);
    for (size_t i = 0; i < b->count; i++)
        size += 256 + b->entries[i].answer.len + b->entries[i].told->location.len;
    text_init(&t, andiron_request_arena(req), size);
    text_init(&url, andiron_request_arena(req), 256);
    TEXT_LIT(&t, "{\"resourceType\":\"Bundle\",\"type\":\"");
    if (b->is_transaction)
        TEXT_LIT(&t, "transaction-response\"");
    else
        TEXT_LIT(&t, "batch-response\"");
    for (size_t i = 0; i < b->count; i++) {
        if (i == 0)
            TEXT_LIT(&t, ",\"entry\":[");
        else
            TEXT_LIT(&t, ",");
        put_entry(&t, &url, b, &b->entries[i], req);
    }
    if (b->count > 0)
        TEXT_LIT(&t, "]");
    TEXT_LIT(&t, "}");
    return text_view(&t);
}
