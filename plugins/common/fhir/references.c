/*
 * Reference strings: relative, absolute, below our own base, fragments.
 */
#include "references.h"

#include "ids.h"

static bool is_type_name(andiron_str s)
{
    if (s.len == 0 || s.data[0] < 'A' || s.data[0] > 'Z')
        return false;
    for (size_t i = 1; i < s.len; i++) {
        char c = s.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

static andiron_str sub(andiron_str s, size_t from, size_t to)
{
    return (andiron_str){ s.data + from, to - from };
}

/* Where the segment that ends at `end` starts. */
static size_t segment_start(andiron_str s, size_t end)
{
    while (end > 0 && s.data[end - 1] != '/')
        end--;
    return end;
}

/* "Type/id" or "Type/id/_history/version" at the end of text; *ret_start is where Type starts. */
static bool split(andiron_str text, struct fhir_reference *ref, size_t *ret_start)
{
    size_t end = text.len;
    size_t last = segment_start(text, end);
    andiron_str version = { NULL, 0 };

    if (last > 0) {
        size_t before = segment_start(text, last - 1);
        if (andiron_str_eq(sub(text, before, last - 1), ANDIRON_STR("_history")) && before > 0) {
            version = sub(text, last, end);
            end = before - 1;
            last = segment_start(text, end);
        }
    }
    if (last == 0)
        return false;
    size_t start = segment_start(text, last - 1);
    andiron_str type = sub(text, start, last - 1);
    andiron_str id = sub(text, last, end);
    if (!is_type_name(type) || !fhir_is_id(id))
        return false;
    ref->type = type;
    ref->id = id;
    ref->version = version;
    *ret_start = start;
    return true;
}

/* "http:", "urn:": a scheme before the first slash. */
static bool has_scheme(andiron_str s)
{
    for (size_t i = 0; i < s.len && s.data[i] != '/' && s.data[i] != '?'; i++)
        if (s.data[i] == ':')
            return i > 0;
    return false;
}

/* Whether a URL's part before Type is our own base, with or without /fhir. */
static bool is_own(andiron_str prefix, andiron_str base)
{
    static const char fhir[] = "fhir/";
    if (base.len == 0 || prefix.len <= base.len || memcmp(prefix.data, base.data, base.len) != 0 ||
        prefix.data[base.len] != '/')
        return false;
    andiron_str rest = sub(prefix, base.len + 1, prefix.len);
    return rest.len == 0 || andiron_str_eq(rest, ANDIRON_STR(fhir));
}

struct fhir_reference fhir_reference_parse(andiron_str text, andiron_str base)
{
    struct fhir_reference ref = { .kind = FHIR_REFERENCE_OTHER };
    size_t start = 0;

    if (text.len == 0)
        return ref;
    if (text.data[0] == '#') {
        ref.kind = FHIR_REFERENCE_FRAGMENT;
        return ref;
    }
    bool is_split = split(text, &ref, &start);
    if (has_scheme(text)) {
        ref.kind = is_split && is_own(sub(text, 0, start), base) ? FHIR_REFERENCE_LOCAL
                                                                 : FHIR_REFERENCE_URL;
        ref.url = text;
        return ref;
    }
    if (is_split && start == 0)
        ref.kind = FHIR_REFERENCE_LOCAL;
    return ref;
}
