/*
 * From a JSON value to index terms: one function for each data type.
 */
#include "values.h"

#include <math.h>

#include "dates.h"
#include "decimals.h"
#include "fold.h"
#include "references.h"

enum { FIRST_CAPACITY = 32 };

/* R4 search.html, 3.1.1.4.10: what a boolean's token counts as. */
#define BOOLEAN_SYSTEM "http://terminology.hl7.org/CodeSystem/special-values"
#define CURRENCY_SYSTEM "urn:iso:std:iso:4217"

struct andiron_term *fhir_term(const struct fhir_emitting *e, enum andiron_term_kind kind)
{
    struct fhir_terms *terms = e->terms;
    struct andiron_term *term = &terms->spare;

    if (terms->count == terms->max) {
        terms->is_over = true;
    } else {
        if (terms->count == terms->capacity) {
            size_t capacity = terms->capacity > 0 ? terms->capacity * 2 : FIRST_CAPACITY;
            struct andiron_term *list = andiron_alloc(terms->arena, capacity * sizeof(*list));
            if (terms->count > 0)
                memcpy(list, terms->list, terms->count * sizeof(*list));
            terms->list = list;
            terms->capacity = capacity;
        }
        term = &terms->list[terms->count++];
    }
    *term = (struct andiron_term){
        .param = e->param, .kind = kind, .group = e->group, .part = e->part
    };
    return term;
}

static bool is_text(andiron_str s)
{
    return s.len > 0;
}

/* ---- strings ----------------------------------------------------------------- */

static void string_term(const struct fhir_emitting *e, andiron_str text)
{
    char buffer[FHIR_FOLD_MAX];
    struct fhir_words words;

    if (!is_text(text))
        return;
    size_t len = fhir_fold_words(text, buffer, sizeof(buffer), &words);
    andiron_str whole = fhir_folded(e->terms->arena, text);
    struct andiron_term *term = fhir_term(e, ANDIRON_TERM_STRING);
    term->text = whole;
    term->exact = text;
    if (e->words == NULL || e->part != 0)
        return;
    struct fhir_emitting of_word = *e;
    of_word.param = e->words;
    for (size_t i = 0; i < words.count; i++)
        fhir_term(&of_word, ANDIRON_TERM_STRING)->text =
            (andiron_str){ whole.data + words.starts[i], len - words.starts[i] };
}

static void string_or_list(const struct fhir_emitting *e, andiron_json v)
{
    if (andiron_json_type(v) != ANDIRON_JSON_ARRAY) {
        string_term(e, andiron_json_str(v));
        return;
    }
    struct andiron_json_iter it = { .of = v };
    while (andiron_json_next(&it))
        string_term(e, andiron_json_str(it.value));
}

static bool is_among(andiron_str name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (andiron_str_eq(name, andiron_str_of(*names)))
            return true;
    return false;
}

/* Strings of some members of an object. */
static void string_members(const struct fhir_emitting *e, andiron_json v, const char *const *names)
{
    struct andiron_json_iter it = { .of = v };
    if (andiron_json_type(v) != ANDIRON_JSON_OBJECT)
        return;
    while (andiron_json_next(&it))
        if (is_among(it.name, names))
            string_or_list(e, it.value);
}

/* R4 search.html, 3.1.1.4.8: "any of the string fields". */
static const char *const name_members[] = { "text", "family", "given", "prefix", "suffix", NULL };
static const char *const address_members[] = { "text",  "line",       "city",    "district",
                                               "state", "postalCode", "country", NULL };

/* ---- tokens ------------------------------------------------------------------ */

static void token_term(const struct fhir_emitting *e, andiron_str system, andiron_str code)
{
    if (!is_text(code))
        return;
    struct andiron_term *term = fhir_term(e, ANDIRON_TERM_TOKEN);
    if (system.len > 0)
        term->system = system;
    term->text = code;
}

/* Of a Coding or Identifier; without code or value, too: "system|" finds it. */
static void pair_term(const struct fhir_emitting *e, andiron_json v, const char *member)
{
    andiron_str system = andiron_json_str(andiron_json_get(v, "system"));
    andiron_str code = andiron_json_str(andiron_json_get(v, member));

    token_term(e, system, code);
    if (is_text(code) || !is_text(system))
        return;
    struct andiron_term *term = fhir_term(e, ANDIRON_TERM_TOKEN);
    term->system = system;
    term->text = ANDIRON_STR("");
}

/* What :text looks at. */
static void token_text(const struct fhir_emitting *e, andiron_str text)
{
    if (!e->has_text || e->part != 0 || !is_text(text))
        return;
    struct andiron_term *term = fhir_term(e, ANDIRON_TERM_STRING);
    term->text = fhir_folded(e->terms->arena, text);
    term->exact = text;
}

static void coding_terms(const struct fhir_emitting *e, andiron_json v)
{
    pair_term(e, v, "code");
    token_text(e, andiron_json_str(andiron_json_get(v, "display")));
}

static void codeable_terms(const struct fhir_emitting *e, andiron_json v)
{
    struct andiron_json_iter it = { .of = andiron_json_get(v, "coding") };
    if (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY)
        while (andiron_json_next(&it))
            coding_terms(e, it.value);
    token_text(e, andiron_json_str(andiron_json_get(v, "text")));
}

/* R4 search.html, 3.1.1.4.10 ":of-type". */
static void of_type_terms(const struct fhir_emitting *e, andiron_json type, andiron_str value)
{
    struct andiron_json_iter it = { .of = andiron_json_get(type, "coding") };
    if (andiron_json_type(it.of) != ANDIRON_JSON_ARRAY)
        return;
    while (andiron_json_next(&it)) {
        andiron_str code = andiron_json_str(andiron_json_get(it.value, "code"));
        if (!is_text(code))
            continue;
        struct andiron_term *term = fhir_term(e, ANDIRON_TERM_TOKEN);
        term->system = andiron_json_str(andiron_json_get(it.value, "system"));
        term->text = code;
        term->exact = value;
    }
}

static void identifier_terms(const struct fhir_emitting *e, andiron_json v)
{
    andiron_str value = andiron_json_str(andiron_json_get(v, "value"));
    pair_term(e, v, "value");
    andiron_json type = andiron_json_get(v, "type");
    if (andiron_json_type(type) != ANDIRON_JSON_OBJECT || e->part != 0)
        return;
    if (is_text(value))
        of_type_terms(e, type, value);
    token_text(e, andiron_json_str(andiron_json_get(type, "text")));
}

static void boolean_term(const struct fhir_emitting *e, andiron_json v)
{
    if (andiron_json_type(v) == ANDIRON_JSON_BOOL)
        token_term(e, ANDIRON_STR(BOOLEAN_SYSTEM), andiron_json_raw(v));
}

static void text_token(const struct fhir_emitting *e, andiron_json v)
{
    enum andiron_json_type type = andiron_json_type(v);
    andiron_str none = { NULL, 0 };

    if (type == ANDIRON_JSON_STRING)
        token_term(e, none, andiron_json_str(v));
    else if (type == ANDIRON_JSON_NUMBER || type == ANDIRON_JSON_BOOL)
        token_term(e, none, andiron_json_raw(v));
}

/* R4 search.html, 3.1.1.4.10: where the data type is string, case does not matter. */
static void label_token(const struct fhir_emitting *e, andiron_json v)
{
    andiron_str none = { NULL, 0 }, text = andiron_json_str(v);
    token_term(e, none, fhir_caseless(e->terms->arena, text));
}

static void any_token(const struct fhir_emitting *e, andiron_json v)
{
    if (andiron_json_type(v) == ANDIRON_JSON_BOOL)
        boolean_term(e, v); /* as FHIR's own types have it, and Sessions are written with */
    else if (andiron_json_type(v) != ANDIRON_JSON_OBJECT)
        text_token(e, v);
    else if (andiron_json_type(andiron_json_get(v, "coding")) == ANDIRON_JSON_ARRAY)
        codeable_terms(e, v);
    else if (andiron_json_type(andiron_json_get(v, "code")) == ANDIRON_JSON_STRING)
        coding_terms(e, v);
    else
        identifier_terms(e, v);
}

/* ---- dates ------------------------------------------------------------------- */

static void date_term(const struct fhir_emitting *e, andiron_usec low, andiron_usec high)
{
    if (low >= high)
        return; /* a Period that ends before it starts */
    struct andiron_term *term = fhir_term(e, ANDIRON_TERM_DATE);
    term->range.date.low = low;
    term->range.date.high = high;
}

static void date_terms(const struct fhir_emitting *e, andiron_json v)
{
    struct fhir_date date;
    if (fhir_date_parse(andiron_json_str(v), &date) == 0)
        date_term(e, date.low, date.high);
}

/* "an effective width of 0" (R4 search.html, 3.1.1.4.7): whatever digits it has. */
static void instant_terms(const struct fhir_emitting *e, andiron_json v)
{
    struct fhir_date date;
    if (fhir_date_parse(andiron_json_str(v), &date) == 0)
        date_term(e, date.low, date.low + 1);
}

/* false if it has neither start nor end. */
static bool period_of(andiron_json v, andiron_usec *ret_low, andiron_usec *ret_high)
{
    struct fhir_date start, end;
    bool has_start = fhir_date_parse(andiron_json_str(andiron_json_get(v, "start")), &start) == 0;
    bool has_end = fhir_date_parse(andiron_json_str(andiron_json_get(v, "end")), &end) == 0;

    *ret_low = has_start ? start.low : FHIR_DATE_LOWEST;
    *ret_high = has_end ? end.high : FHIR_DATE_HIGHEST;
    return has_start || has_end;
}

static void period_terms(const struct fhir_emitting *e, andiron_json v)
{
    andiron_usec low, high;
    if (period_of(v, &low, &high))
        date_term(e, low, high);
}

/* By its outer limits: the first and the last of its events and bounds. */
static void timing_terms(const struct fhir_emitting *e, andiron_json v)
{
    andiron_usec low = INT64_MAX, high = INT64_MIN, start, end;
    struct andiron_json_iter it = { .of = andiron_json_get(v, "event") };
    struct fhir_date date;

    if (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY)
        while (andiron_json_next(&it)) {
            if (fhir_date_parse(andiron_json_str(it.value), &date) != 0)
                continue;
            low = date.low < low ? date.low : low;
            high = date.high > high ? date.high : high;
        }
    andiron_json repeat = andiron_json_get(v, "repeat");
    if (period_of(andiron_json_get(repeat, "boundsPeriod"), &start, &end)) {
        low = start < low ? start : low;
        high = end > high ? end : high;
    }
    date_term(e, low, high);
}

/* ---- numbers and quantities -------------------------------------------------- */

static bool number_of(andiron_json v, double *ret)
{
    *ret = andiron_json_double(v, NAN);
    return isfinite(*ret);
}

static struct andiron_term *number_term(const struct fhir_emitting *e, enum andiron_term_kind kind,
                                        double low, double high)
{
    struct andiron_term *term = fhir_term(e, kind);
    term->range.number.low = low;
    term->range.number.high = high;
    return term;
}

static void number_terms(const struct fhir_emitting *e, andiron_json v)
{
    double value;
    if (number_of(v, &value))
        (void)number_term(e, ANDIRON_TERM_NUMBER, value, value);
}

/* The range that a Quantity's comparator opens: "<" is everything below. */
static bool quantity_range(andiron_json v, double *ret_low, double *ret_high)
{
    double value;
    if (!number_of(andiron_json_get(v, "value"), &value))
        return false;
    andiron_str comparator = andiron_json_str(andiron_json_get(v, "comparator"));
    bool is_open = comparator.len == 1;
    char first = comparator.len > 0 ? comparator.data[0] : '\0';
    *ret_low = *ret_high = value;
    if (first == '<') {
        *ret_low = -INFINITY;
        *ret_high = is_open ? nextafter(value, -INFINITY) : value;
    } else if (first == '>') {
        *ret_high = INFINITY;
        *ret_low = is_open ? nextafter(value, INFINITY) : value;
    }
    return true;
}

static void unit_of(struct andiron_term *term, andiron_json v)
{
    term->system = andiron_json_str(andiron_json_get(v, "system"));
    term->text = andiron_json_str(andiron_json_get(v, "code"));
    term->exact = andiron_json_str(andiron_json_get(v, "unit"));
}

static void quantity_terms(const struct fhir_emitting *e, andiron_json v)
{
    double low, high;
    if (quantity_range(v, &low, &high))
        unit_of(number_term(e, ANDIRON_TERM_QUANTITY, low, high), v);
}

/* Takes the next value off *rest: "U" and "L" are the limits; false at the end. */
static bool next_sample(andiron_str *rest, andiron_json v, double *ret, bool *ret_is_number)
{
    size_t i = 0, end;
    while (i < rest->len && (uint8_t)rest->data[i] <= ' ')
        i++;
    for (end = i; end < rest->len && (uint8_t)rest->data[end] > ' ';)
        end++;
    andiron_str word = { rest->data + i, end - i };
    *rest = (andiron_str){ rest->data + end, rest->len - end };
    if (andiron_str_eq(word, ANDIRON_STR("U")))
        *ret_is_number = number_of(andiron_json_get(v, "upperLimit"), ret);
    else if (andiron_str_eq(word, ANDIRON_STR("L")))
        *ret_is_number = number_of(andiron_json_get(v, "lowerLimit"), ret);
    else
        *ret_is_number = fhir_decimal_value(word, ret) == 0;
    return word.len > 0;
}

/* "just search on the bounds of the values in sampled data" (Observation-value-quantity). */
static void sampled_terms(const struct fhir_emitting *e, andiron_json v)
{
    andiron_json origin = andiron_json_get(v, "origin");
    andiron_str rest = andiron_json_str(andiron_json_get(v, "data"));
    double low = INFINITY, high = -INFINITY, zero, sample;
    double factor = andiron_json_double(andiron_json_get(v, "factor"), 1);
    bool is_number;

    if (rest.len == 0 || !isfinite(factor) || !number_of(andiron_json_get(origin, "value"), &zero))
        return;
    while (next_sample(&rest, v, &sample, &is_number)) {
        if (!is_number)
            continue;
        low = fmin(low, sample * factor + zero);
        high = fmax(high, sample * factor + zero);
    }
    if (low <= high)
        unit_of(number_term(e, ANDIRON_TERM_QUANTITY, low, high), origin);
}

static void money_terms(const struct fhir_emitting *e, andiron_json v)
{
    double value;
    if (!number_of(andiron_json_get(v, "value"), &value))
        return;
    struct andiron_term *term = number_term(e, ANDIRON_TERM_QUANTITY, value, value);
    term->text = andiron_json_str(andiron_json_get(v, "currency"));
    if (is_text(term->text))
        term->system = ANDIRON_STR(CURRENCY_SYSTEM);
}

static void range_terms(const struct fhir_emitting *e, enum andiron_term_kind kind, andiron_json v)
{
    andiron_json low = andiron_json_get(v, "low"), high = andiron_json_get(v, "high");
    double from = -INFINITY, to = INFINITY, bound;
    bool has_low = quantity_range(low, &bound, &to);
    if (has_low)
        from = bound;
    bool has_high = quantity_range(high, &bound, &to);
    if (!has_high)
        to = INFINITY;
    if ((!has_low && !has_high) || from > to)
        return;
    struct andiron_term *term = number_term(e, kind, from, to);
    if (kind == ANDIRON_TERM_QUANTITY)
        unit_of(term, has_low ? low : high);
}

/* ---- references and URLs ----------------------------------------------------- */

/* A canonical URL counts with and without its version; a fragment of it never. */
static void canonical_terms(const struct fhir_emitting *e, enum andiron_term_kind kind,
                            andiron_str url)
{
    const char *hash = url.len > 0 ? memchr(url.data, '#', url.len) : NULL;
    if (hash != NULL)
        url.len = (size_t)(hash - url.data);
    if (!is_text(url))
        return;
    fhir_term(e, kind)->text = url;
    const char *bar = memchr(url.data, '|', url.len);
    if (bar != NULL && bar > url.data)
        fhir_term(e, kind)->text = (andiron_str){ url.data, (size_t)(bar - url.data) };
}

static void local_term(const struct fhir_emitting *e, andiron_str type, andiron_str id)
{
    struct andiron_term *term = fhir_term(e, ANDIRON_TERM_REFERENCE);
    term->system = type;
    term->text = id;
}

static void reference_string(const struct fhir_emitting *e, andiron_str text)
{
    struct fhir_reference ref = fhir_reference_parse(text, e->base);
    if (ref.kind == FHIR_REFERENCE_LOCAL)
        local_term(e, ref.type, ref.id);
    else if (ref.kind == FHIR_REFERENCE_URL)
        fhir_term(e, ANDIRON_TERM_REFERENCE)->text = ref.url;
}

static void resource_term(const struct fhir_emitting *e, andiron_json v)
{
    andiron_str type = andiron_json_str(andiron_json_get(v, "resourceType"));
    andiron_str id = andiron_json_str(andiron_json_get(v, "id"));
    if (is_text(type) && is_text(id))
        local_term(e, type, id);
}

static void reference_terms(const struct fhir_emitting *e, andiron_json v)
{
    if (andiron_json_type(v) == ANDIRON_JSON_STRING) {
        reference_string(e, andiron_json_str(v));
        return;
    }
    andiron_str text = andiron_json_str(andiron_json_get(v, "reference"));
    if (is_text(text))
        reference_string(e, text);
    else
        resource_term(e, v); /* {"resourceType": .., "id": ..}, as platform types have it */
    andiron_json identifier = andiron_json_get(v, "identifier");
    if (andiron_json_type(identifier) == ANDIRON_JSON_OBJECT)
        pair_term(e, identifier, "value");
}

andiron_str fhir_reference_type(andiron_json reference, andiron_str base)
{
    andiron_str text = andiron_json_str(andiron_json_get(reference, "reference"));
    struct fhir_reference ref = fhir_reference_parse(text, base);
    return is_text(ref.type) ? ref.type : andiron_json_str(andiron_json_get(reference, "type"));
}

/* ---- all --------------------------------------------------------------------- */

void fhir_position_terms(const struct fhir_emitting *e, andiron_json value)
{
    struct fhir_emitting part = *e;
    double latitude, longitude;

    if (!number_of(andiron_json_get(value, "latitude"), &latitude) ||
        !number_of(andiron_json_get(value, "longitude"), &longitude))
        return;
    part.part = 1;
    (void)number_term(&part, ANDIRON_TERM_NUMBER, latitude, latitude);
    part.part = 2;
    (void)number_term(&part, ANDIRON_TERM_NUMBER, longitude, longitude);
}

static void object_terms(const struct fhir_emitting *e, enum fhir_how how, andiron_json v)
{
    switch (how) {
    case FHIR_HOW_CODING:
        coding_terms(e, v);
        break;
    case FHIR_HOW_CODEABLE:
        codeable_terms(e, v);
        break;
    case FHIR_HOW_IDENTIFIER:
        identifier_terms(e, v);
        break;
    case FHIR_HOW_CONTACT:
        token_term(e, andiron_json_str(andiron_json_get(v, "system")),
                   andiron_json_str(andiron_json_get(v, "value")));
        break;
    case FHIR_HOW_HUMAN_NAME:
        string_members(e, v, name_members);
        break;
    case FHIR_HOW_ADDRESS:
        string_members(e, v, address_members);
        break;
    case FHIR_HOW_PERIOD:
        period_terms(e, v);
        break;
    case FHIR_HOW_TIMING:
        timing_terms(e, v);
        break;
    case FHIR_HOW_NUMBER_RANGE:
        range_terms(e, ANDIRON_TERM_NUMBER, v);
        break;
    case FHIR_HOW_QUANTITY:
        quantity_terms(e, v);
        break;
    case FHIR_HOW_MONEY:
        money_terms(e, v);
        break;
    case FHIR_HOW_RANGE:
        range_terms(e, ANDIRON_TERM_QUANTITY, v);
        break;
    case FHIR_HOW_SAMPLED:
        sampled_terms(e, v);
        break;
    case FHIR_HOW_RESOURCE:
        resource_term(e, v);
        break;
    case FHIR_HOW_ATTACHMENT:
        canonical_terms(e, ANDIRON_TERM_REFERENCE, andiron_json_str(andiron_json_get(v, "url")));
        break;
    default:
        break;
    }
}

void fhir_value_terms(const struct fhir_emitting *e, enum fhir_how how, andiron_json value)
{
    switch (how) {
    case FHIR_HOW_CODE:
        token_term(e, andiron_str_of(e->system), andiron_json_str(value));
        break;
    case FHIR_HOW_BOOLEAN:
        boolean_term(e, value);
        break;
    case FHIR_HOW_TEXT:
        text_token(e, value);
        break;
    case FHIR_HOW_ANY_TOKEN:
        any_token(e, value);
        break;
    case FHIR_HOW_LABEL:
        label_token(e, value);
        break;
    case FHIR_HOW_STRING:
        string_term(e, andiron_json_str(value));
        break;
    case FHIR_HOW_DATE:
        date_terms(e, value);
        break;
    case FHIR_HOW_INSTANT:
        instant_terms(e, value);
        break;
    case FHIR_HOW_NUMBER:
        number_terms(e, value);
        break;
    case FHIR_HOW_REFERENCE:
        reference_terms(e, value);
        break;
    case FHIR_HOW_CANONICAL:
        canonical_terms(e, ANDIRON_TERM_REFERENCE, andiron_json_str(value));
        break;
    case FHIR_HOW_URI:
        canonical_terms(e, ANDIRON_TERM_URI, andiron_json_str(value));
        break;
    default:
        if (andiron_json_type(value) == ANDIRON_JSON_OBJECT)
            object_terms(e, how, value);
        break;
    }
}
