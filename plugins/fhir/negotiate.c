#include "negotiate.h"

#include <strings.h>

static const char fhir_json[] = "application/fhir+json";
static const char json[] = "application/json";

static andiron_str trim(andiron_str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s.data++, s.len--;
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool same_word(andiron_str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

/* The next part of *rest up to stop, outside of quotes; *rest moves behind it. */
static andiron_str next_part(andiron_str *rest, char stop)
{
    size_t at = 0;
    bool quoted = false;
    for (; at < rest->len && (quoted || rest->data[at] != stop); at++) {
        if (quoted && rest->data[at] == '\\' && at + 1 < rest->len)
            at++;
        else if (rest->data[at] == '"')
            quoted = !quoted;
    }
    andiron_str part = { rest->data, at };
    rest->data += at;
    rest->len -= at;
    if (rest->len > 0)
        rest->data++, rest->len--;
    return trim(part);
}

/* Splits "name=value", quotes taken off; value is absent without a '='. */
static void split_pair(andiron_str pair, andiron_str *ret_name, andiron_str *ret_value)
{
    const char *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
    *ret_name = pair;
    *ret_value = (andiron_str){ NULL, 0 };
    if (equals == NULL)
        return;
    size_t at = (size_t)(equals - pair.data);
    *ret_name = trim((andiron_str){ pair.data, at });
    andiron_str value = trim((andiron_str){ equals + 1, pair.len - at - 1 });
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
        value = (andiron_str){ value.data + 1, value.len - 2 };
    *ret_value = value;
}

/* "1", "0.5", "0.123" as thousandths; -1 for anything else (RFC 9110 section 12.4.2). */
static int quality(andiron_str q)
{
    if (q.len == 0 || q.len > 5 || (q.data[0] != '0' && q.data[0] != '1'))
        return -1;
    int value = (q.data[0] - '0') * 1000;
    if (q.len > 1 && q.data[1] != '.')
        return -1;
    int scale = 100;
    for (size_t i = 2; i < q.len; i++, scale /= 10) {
        if (q.data[i] < '0' || q.data[i] > '9')
            return -1;
        value += (q.data[i] - '0') * scale;
    }
    return value <= 1000 ? value : -1;
}

/* What the most specific range so far says of one of our media types. */
struct offer {
    int specific; /* 3: named, 2: application/\*, 1: *\/\*, 0: not there */
    int q;
};

static void offer_take(struct offer *offer, int specific, int q)
{
    if (specific > offer->specific || (specific == offer->specific && q > offer->q))
        *offer = (struct offer){ specific, q };
}

/* Reads one range of an Accept header into the offers. */
static void take_range(andiron_str range, struct offer *fhir, struct offer *plain)
{
    andiron_str type = next_part(&range, ';');
    int q = 1000;
    bool other_version = false;
    while (range.len > 0) {
        andiron_str name, value;
        split_pair(next_part(&range, ';'), &name, &value);
        if (same_word(name, "q"))
            q = quality(value);
        else if (same_word(name, "fhirVersion"))
            other_version = !same_word(value, "4.0") && !same_word(value, "4.0.1");
    }
    if (q < 0 || other_version)
        return;
    if (same_word(type, fhir_json) || same_word(type, "application/json+fhir"))
        offer_take(fhir, 3, q);
    else if (same_word(type, json) || same_word(type, "text/json"))
        offer_take(plain, 3, q);
    else if (same_word(type, "application/*"))
        offer_take(fhir, 2, q), offer_take(plain, 2, q);
    else if (same_word(type, "*/*"))
        offer_take(fhir, 1, q), offer_take(plain, 1, q);
}

static const char *default_type(enum fhir_base base)
{
    return base == BASE_FHIR ? fhir_json : json;
}

const char *negotiate_accept(andiron_str accept, enum fhir_base base)
{
    struct offer fhir = { 0 }, plain = { 0 };

    accept = trim(accept);
    if (accept.len == 0 || same_word(accept, "*/*"))
        return default_type(base);
    while (accept.len > 0)
        take_range(next_part(&accept, ','), &fhir, &plain);
    if (fhir.q == 0 && plain.q == 0)
        return NULL;
    if (fhir.q != plain.q)
        return fhir.q > plain.q ? fhir_json : json;
    if (fhir.specific != plain.specific)
        return fhir.specific > plain.specific ? fhir_json : json;
    return default_type(base);
}

const char *negotiate_format(andiron_str format, enum fhir_base base)
{
    andiron_str type = next_part(&format, ';');
    if (same_word(type, "json") || same_word(type, "text/json"))
        return default_type(base);
    if (same_word(type, json))
        return json;
    /* A '+' in a query that was not written as %2B has become a blank. */
    if (same_word(type, fhir_json) || same_word(type, "application/fhir json") ||
        same_word(type, "application/json+fhir") || same_word(type, "application/json fhir"))
        return fhir_json;
    return NULL;
}

bool negotiate_is_type(andiron_str type, const char *name)
{
    return same_word(trim(type), name);
}

bool negotiate_is_json(andiron_str content_type)
{
    if (content_type.len == 0)
        return true;
    andiron_str type = next_part(&content_type, ';');
    if (!same_word(type, fhir_json) && !same_word(type, json) && !same_word(type, "text/json") &&
        !same_word(type, "application/json+fhir"))
        return false;
    while (content_type.len > 0) {
        andiron_str name, value;
        split_pair(next_part(&content_type, ';'), &name, &value);
        if (same_word(name, "charset") && !same_word(value, "utf-8") && !same_word(value, "utf8"))
            return false;
        if (same_word(name, "fhirVersion") && !same_word(value, "4.0") &&
            !same_word(value, "4.0.1"))
            return false;
    }
    return true;
}

void negotiate_prefer(andiron_str prefer, struct wanted *ret)
{
    while (prefer.len > 0) {
        andiron_str some = next_part(&prefer, ',');
        while (some.len > 0) {
            andiron_str name, value;
            split_pair(next_part(&some, ';'), &name, &value);
            if (same_word(name, "return") && same_word(value, "minimal"))
                ret->give = RETURN_MINIMAL;
            else if (same_word(name, "return") && same_word(value, "representation"))
                ret->give = RETURN_REPRESENTATION;
            else if (same_word(name, "return") && same_word(value, "OperationOutcome"))
                ret->give = RETURN_OUTCOME;
            else if (same_word(name, "handling") &&
                     (same_word(value, "strict") || same_word(value, "lenient"))) {
                ret->has_handling = true;
                ret->handling = same_word(value, "strict") ? HANDLING_STRICT : HANDLING_LENIENT;
            }
        }
    }
}

int negotiate(struct andiron_request *req, struct wanted *ret)
{
    enum fhir_base base = fhir_base_of(req);
    andiron_str accept = andiron_request_header(req, "accept");
    bool has_format = false;

    *ret = (struct wanted){ .pretty = false };
    ret->content_type = negotiate_accept(accept, base);
    if (andiron_request_query(req).len > 0 ||
        andiron_request_body(req).len > 0) { /* a form's too */
        andiron_str name, value;
        for (size_t pos = 0; andiron_request_param(req, &pos, &name, &value);) {
            if (andiron_str_eq(name, ANDIRON_STR("_format")) && !has_format && value.len > 0) {
                has_format = true;
                ret->content_type = negotiate_format(value, base);
            } else if (andiron_str_eq(name, ANDIRON_STR("_pretty"))) {
                ret->pretty = andiron_str_eq(value, ANDIRON_STR("true"));
            }
        }
    }
    if (ret->content_type == NULL) {
        (void)andiron_fail(req, ANDIRON_E_NOT_ACCEPTABLE,
                           "%s allows neither application/fhir+json nor application/json",
                           has_format ? "_format" : "Accept");
        return -1;
    }
    andiron_str prefer = andiron_request_header(req, "prefer");
    if (prefer.len > 0)
        negotiate_prefer(prefer, ret);
    return 0;
}

/* The version in W/"3" or "3"; 0 for anything else. */
static uint64_t etag_version(andiron_str tag)
{
    if (tag.len > 2 && tag.data[0] == 'W' && tag.data[1] == '/')
        tag.data += 2, tag.len -= 2;
    if (tag.len < 3 || tag.len > 21 || tag.data[0] != '"' || tag.data[tag.len - 1] != '"')
        return 0;
    uint64_t version = 0;
    for (size_t i = 1; i + 1 < tag.len; i++) {
        if (tag.data[i] < '0' || tag.data[i] > '9')
            return 0;
        version = version * 10 + (uint64_t)(tag.data[i] - '0');
    }
    return tag.data[1] != '0' ? version : 0;
}

/*
 * Takes the next entity-tag of a list, whoever made it: RFC 9110 section 8.8.3. Commas may stand
 * between its quotes, and a '\\' there is one like any other character. 0 at the end; -1: something
 * else stands there.
 */
static int next_tag(andiron_str *list, andiron_str *ret)
{
    const char *at = list->data, *end = list->data + list->len;

    while (at < end && (*at == ' ' || *at == '\t' || *at == ',')) /* section 5.6.1.2: empty elements */
        at++;
    const char *tag = at;
    if (end - at > 2 && at[0] == 'W' && at[1] == '/')
        at += 2;
    if (at == end) {
        list->len = 0;
        return 0;
    }
    if (*at++ != '"')
        return -1;
    while (at < end && *at != '"' && (unsigned char)*at > ' ' && *at != 0x7f)
        at++;
    if (at == end || *at++ != '"')
        return -1;
    *ret = (andiron_str){ tag, (size_t)(at - tag) };
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (at < end && *at != ',')
        return -1;
    *list = (andiron_str){ at, (size_t)(end - at) };
    return 1;
}

bool negotiate_etag_matches(andiron_str if_none_match, uint64_t version)
{
    andiron_str tag;

    if (same_word(trim(if_none_match), "*"))
        return true;
    while (version > 0 && next_tag(&if_none_match, &tag) > 0)
        if (etag_version(tag) == version)
            return true;
    return false;
}

int negotiate_if_match(andiron_str if_match, uint64_t *ret_version)
{
    uint64_t version = 0;
    size_t count = 0;
    andiron_str tag;
    int more;

    if (same_word(trim(if_match), "*")) {
        *ret_version = NEGOTIATE_LOOK;
        return 0;
    }
    while ((more = next_tag(&if_match, &tag)) > 0) {
        version = etag_version(tag);
        count++;
    }
    if (more < 0 || count == 0)
        return -1;
    *ret_version = count > 1 ? NEGOTIATE_LOOK : version != 0 ? version : NEGOTIATE_FOREIGN;
    return 0;
}
