#include "answer.h"

#include "common/fhir/dates.h"
#include "platform.h"
#include "text.h"

andiron_str answer_text(const struct fhir *fhir, struct andiron_request *req,
                        const struct resource_type *type, enum fhir_base base, andiron_str stored)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    bool presents = type->hooks != NULL && type->hooks->present != NULL;
    andiron_json resource;
    struct andiron_error err;

    if (!type->platform || (base == BASE_ROOT && !presents))
        return stored;
    /* What accept() and compose() made is JSON; were it not, nothing of it may be shown. */
    if (andiron_json_parse(arena, stored, &resource, &err) != 0)
        return ANDIRON_STR("{}");
    if (presents) {
        stored = type->hooks->present(type->hooks_self, req, resource);
        if (base == BASE_ROOT)
            return stored;
        if (andiron_json_parse(arena, stored, &resource, &err) != 0)
            return ANDIRON_STR("{}");
    }
    return platform_shown(arena, type, fhir->created_at_url, resource);
}

andiron_str answer_etag(struct andiron_request *req, uint64_t version)
{
    struct text t;
    text_init(&t, andiron_request_arena(req), 26);
    TEXT_LIT(&t, "W/\"");
    text_uint(&t, version);
    TEXT_LIT(&t, "\"");
    return text_view(&t);
}

void answer_version(struct andiron_request *req, uint64_t version, andiron_usec updated)
{
    char *date = andiron_alloc(andiron_request_arena(req), ANDIRON_HTTP_DATE_LEN);
    andiron_http_date(updated, date);
    andiron_reply_header(req, "ETag", answer_etag(req, version));
    andiron_reply_header(req, "Last-Modified", (andiron_str){ date, ANDIRON_HTTP_DATE_LEN });
}

void answer_add_url(struct text *t, const struct andiron_request *req, enum fhir_base base,
                    const struct resource_type *type, andiron_str id, uint64_t version)
{
    text_str(t, andiron_request_base(req));
    if (base == BASE_FHIR)
        TEXT_LIT(t, "/fhir/");
    else
        TEXT_LIT(t, "/");
    text_str(t, type->str);
    TEXT_LIT(t, "/");
    text_str(t, id);
    if (version > 0) {
        TEXT_LIT(t, "/_history/");
        text_uint(t, version);
    }
}

andiron_str answer_url(struct andiron_request *req, enum fhir_base base,
                       const struct resource_type *type, andiron_str id, uint64_t version)
{
    struct text t;

    text_init(&t, andiron_request_arena(req),
              andiron_request_base(req).len + type->str.len + id.len + 40);
    answer_add_url(&t, req, base, type, id, version);
    return text_view(&t);
}

static void new_line(struct text *t, size_t depth)
{
    static const char blanks[] = "                                ";
    TEXT_LIT(t, "\n");
    for (size_t left = depth * 2; left > 0;) {
        size_t some = left < sizeof(blanks) - 1 ? left : sizeof(blanks) - 1;
        text_add(t, blanks, some);
        left -= some;
    }
}

/* End of the string that begins at json[at]. */
static size_t string_end(andiron_str json, size_t at)
{
    for (at++; at < json.len && json.data[at] != '"'; at++)
        if (json.data[at] == '\\')
            at++;
    return at + 1;
}

andiron_str answer_pretty(struct andiron_arena *arena, andiron_str json)
{
    struct text t;
    size_t depth = 0;

    text_init(&t, arena, json.len * 2);
    for (size_t i = 0; i < json.len; i++) {
        char c = json.data[i];
        if (c == '"') {
            size_t end = string_end(json, i);
            text_add(&t, json.data + i, end - i);
            i = end - 1;
        } else if (c == '{' || c == '[') {
            text_add(&t, &c, 1);
            if (i + 1 < json.len && json.data[i + 1] != '}' && json.data[i + 1] != ']')
                new_line(&t, ++depth);
            else if (i + 1 < json.len)
                text_add(&t, &json.data[++i], 1); /* {} and [] stay together */
        } else if (c == '}' || c == ']') {
            new_line(&t, --depth);
            text_add(&t, &c, 1);
        } else if (c == ',') {
            text_add(&t, &c, 1);
            new_line(&t, depth);
        } else if (c == ':') {
            TEXT_LIT(&t, ": ");
        } else if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            text_add(&t, &c, 1);
        }
    }
    TEXT_LIT(&t, "\n");
    return text_view(&t);
}

enum andiron_step answer_json(struct andiron_request *req, const struct wanted *wanted, int status,
                              andiron_str body)
{
    if (wanted->pretty)
        body = answer_pretty(andiron_request_arena(req), body);
    andiron_reply_header(req, "Vary", ANDIRON_STR("Accept"));
    return andiron_reply(req, status, wanted->content_type, body);
}

/* RFC 9110 section 13.2.2: If-Modified-Since counts only without If-None-Match. */
bool answer_is_current(struct andiron_request *req, uint64_t version, andiron_usec updated)
{
    andiron_str none = andiron_request_header(req, "if-none-match");
    if (none.len > 0)
        return negotiate_etag_matches(none, version);
    andiron_str since = andiron_request_header(req, "if-modified-since");
    if (since.len == 0)
        return false;
    andiron_usec at = andiron_http_date_read(since);
    if (at >= 0)
        return updated / 1000000 <= at / 1000000;
    struct fhir_date instant; /* as entries of Bundles have it, to the microsecond */
    return fhir_is_instant(since) && fhir_date_parse(since, &instant) == 0 &&
           updated < instant.high;
}

enum andiron_step answer_read(const struct fhir *fhir, struct andiron_request *req,
                              const struct wanted *wanted, const struct shown *shown,
                              struct parts *parts)
{
    enum fhir_base base = fhir_base_of(req);

    answer_version(req, shown->version, shown->updated);
    /* RFC 9110 section 8.7: what is sent is that of the version's own URL. */
    andiron_reply_header(req, "Content-Location",
                         answer_url(req, base, shown->type, shown->id, shown->version));
    if (answer_is_current(req, shown->version, shown->updated))
        return andiron_reply(req, 304, NULL, (andiron_str){ NULL, 0 });
    andiron_str text = answer_text(fhir, req, shown->type, base, shown->body);
    return answer_json(req, wanted, 200, parts_text(parts, shown->type, text));
}

void answer_add_outcome(struct text *t, int status, const struct shown *shown, andiron_str warning)
{
    TEXT_LIT(t, "{\"resourceType\":\"OperationOutcome\",\"issue\":[");
    if (shown != NULL) {
        TEXT_LIT(t, "{\"severity\":\"information\",\"code\":\"informational\",\"diagnostics\":\"");
        text_str(t, shown->type->str);
        TEXT_LIT(t, "/");
        text_str(t, shown->id);
        if (status == 201)
            TEXT_LIT(t, " was created as version ");
        else
            TEXT_LIT(t, " is stored as version ");
        text_uint(t, shown->version);
        TEXT_LIT(t, "\"}");
    }
    if (warning.len > 0) {
        if (shown != NULL)
            TEXT_LIT(t, ",");
        TEXT_LIT(t, "{\"severity\":\"warning\",\"code\":\"informational\",\"diagnostics\":");
        text_json(t, warning);
        TEXT_LIT(t, "}");
    }
    TEXT_LIT(t, "]}");
}

static andiron_str outcome_of_write(struct andiron_request *req, int status,
                                    const struct shown *shown)
{
    struct text t;
    text_init(&t, andiron_request_arena(req), 256);
    answer_add_outcome(&t, status, shown, andiron_request_noted(req, ANSWER_WARNING));
    return text_view(&t);
}

enum andiron_step answer_write(const struct fhir *fhir, struct andiron_request *req,
                               const struct wanted *wanted, int status, const struct shown *shown)
{
    enum fhir_base base = fhir_base_of(req);
    andiron_str url = answer_url(req, base, shown->type, shown->id, shown->version);

    answer_version(req, shown->version, shown->updated);
    andiron_reply_header(req, "Location", url);
    switch (wanted->give) {
    case RETURN_MINIMAL:
        return andiron_reply(req, status, NULL, (andiron_str){ NULL, 0 });
    case RETURN_OUTCOME:
        return answer_json(req, wanted, status, outcome_of_write(req, status, shown));
    default:
        andiron_reply_header(req, "Content-Location", url);
        return answer_json(req, wanted, status,
                           answer_text(fhir, req, shown->type, base, shown->body));
    }
}
