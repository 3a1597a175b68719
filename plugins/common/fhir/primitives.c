/*
 * Primitive data types, each by R4's own rule; where its regular expression and its words differ,
 * by the words.
 */
#include "primitives.h"

#include "dates.h"
#include "ids.h"

/* Characters of a string or markdown at most (datatypes.html#string). */
enum { STRING_MAX = 1024 * 1024 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool has_nul(andiron_str s)
{
    return memchr(s.data, 0, s.len) != NULL;
}

/* ---- numbers -------------------------------------------------------------------------- */

/* A whole number as JSON writes it, from lowest to 2^31 - 1; 1.0, 1e3 and -0 are none. */
static bool is_integer(andiron_str text, int64_t lowest)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    int64_t value = 0;
    size_t at = negative ? 1 : 0;

    if (text.len - at > 10)
        return false;
    for (; at < text.len; at++) {
        if (!is_digit(text.data[at]))
            return false;
        value = value * 10 + (text.data[at] - '0');
    }
    if (negative && value == 0)
        return false;
    value = negative ? -value : value;
    return value >= lowest && value <= INT32_MAX;
}

/* ---- strings -------------------------------------------------------------------------- */

static bool is_within_limit(andiron_str s)
{
    size_t count = 0;
    if (s.len <= STRING_MAX)
        return true;
    for (size_t i = 0; i < s.len; i++)
        count += ((uint8_t)s.data[i] & 0xc0) != 0x80; /* bytes that begin a character */
    return count <= STRING_MAX;
}

/* [^\s]+(\s[^\s]+)* */
static bool is_code(andiron_str s)
{
    bool was_blank = true;
    for (size_t i = 0; i < s.len; i++) {
        bool blank = is_blank(s.data[i]);
        if ((blank && was_blank) || s.data[i] == '\0')
            return false;
        was_blank = blank;
    }
    return !was_blank;
}

/* \S+ */
static bool is_uri(andiron_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.data[i] <= ' ')
            return false;
    return s.len > 0;
}

static bool begins(andiron_str s, const char *prefix, size_t len)
{
    return s.len >= len && memcmp(s.data, prefix, len) == 0;
}

/* urn:oid:[0-2](\.(0|[1-9][0-9]*))+ */
static bool is_oid(andiron_str s)
{
    static const char prefix[] = "urn:oid:";
    size_t at = sizeof(prefix) - 1;

    if (!begins(s, prefix, at) || s.len < at + 3 || s.data[at] < '0' || s.data[at] > '2')
        return false;
    for (at++; at < s.len;) {
        if (s.data[at++] != '.' || at == s.len || !is_digit(s.data[at]))
            return false;
        bool zero = s.data[at++] == '0';
        if (zero && at < s.len && is_digit(s.data[at]))
            return false;
        while (at < s.len && is_digit(s.data[at]))
            at++;
    }
    return true;
}

/* urn:uuid: and 8-4-4-4-12 lower-case hex digits */
static bool is_uuid(andiron_str s)
{
    static const char prefix[] = "urn:uuid:";
    size_t len = sizeof(prefix) - 1;

    if (!begins(s, prefix, len) || s.len != len + 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        char c = s.data[len + i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

/* RFC 4648 section 4; blanks may stand between the characters, as XML Schema has it. */
static bool is_base64(andiron_str s)
{
    size_t count = 0, padding = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (is_blank(c))
            continue;
        count++;
        if (c == '=')
            padding++;
        else if (padding > 0 || !(is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                                  c == '+' || c == '/'))
            return false;
    }
    return count > 0 && count % 4 == 0 && padding <= 2;
}

/* HH:MM:SS and fractions of a second; no zone. */
static bool is_time(andiron_str s)
{
    static const char shape[] = "00:00:00";
    if (s.len < 8 || s.len == 9)
        return false;
    for (size_t i = 0; i < 8; i++)
        if (shape[i] == ':' ? s.data[i] != ':' : !is_digit(s.data[i]))
            return false;
    for (size_t i = 8; i < s.len; i++)
        if (i == 8 ? s.data[i] != '.' : !is_digit(s.data[i]))
            return false;
    int hour = (s.data[0] - '0') * 10 + s.data[1] - '0';
    int second = (s.data[6] - '0') * 10 + s.data[7] - '0';
    return hour < 24 && s.data[3] < '6' && second <= 60;
}

/*
 * One element div with some content (txt-2), as far as its ends show; what is in it is for those
 * who show it.
 */
static bool is_div(andiron_str s)
{
    static const char open[] = "<div", close[] = "</div>";
    size_t open_len = sizeof(open) - 1, close_len = sizeof(close) - 1;

    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    if (!begins(s, open, open_len) || s.len <= open_len + 1 + close_len)
        return false;
    return (is_blank(s.data[open_len]) || s.data[open_len] == '>') &&
           memcmp(s.data + s.len - close_len, close, close_len) == 0;
}

static bool is_text(andiron_str s)
{
    return s.len > 0 && !has_nul(s);
}

/* ---- the types ------------------------------------------------------------------------ */

/* What is said of a value that is none; numbers and booleans have no test of their text. */
static const struct form {
    enum andiron_json_type type;
    bool (*is_valid)(andiron_str s);
    const char *fault;
} forms[] = {
    [FHIR_FORMAT_BOOLEAN] = { ANDIRON_JSON_BOOL, NULL, "must be true or false, without quotes" },
    [FHIR_FORMAT_INTEGER] = { ANDIRON_JSON_NUMBER, NULL,
                              "must be a whole number from -2147483648 to 2147483647" },
    [FHIR_FORMAT_UNSIGNED] = { ANDIRON_JSON_NUMBER, NULL,
                               "must be a whole number from 0 to 2147483647" },
    [FHIR_FORMAT_POSITIVE] = { ANDIRON_JSON_NUMBER, NULL,
                               "must be a whole number from 1 to 2147483647" },
    [FHIR_FORMAT_DECIMAL] = { ANDIRON_JSON_NUMBER, NULL, "must be a number, without quotes" },
    [FHIR_FORMAT_STRING] = { ANDIRON_JSON_STRING, is_text, "must be a string" },
    [FHIR_FORMAT_MARKDOWN] = { ANDIRON_JSON_STRING, is_text, "must be a string (markdown)" },
    [FHIR_FORMAT_XHTML] = { ANDIRON_JSON_STRING, is_div,
                            "must be a string of XHTML: one element <div>..</div>" },
    [FHIR_FORMAT_CODE] = { ANDIRON_JSON_STRING, is_code,
                           "must be a code: a string without blanks at its ends or two in a row" },
    [FHIR_FORMAT_ID] = { ANDIRON_JSON_STRING, fhir_is_id,
                         "must be an id: a string of 1 to 64 letters, digits, '-' and '.'" },
    [FHIR_FORMAT_URI] = { ANDIRON_JSON_STRING, is_uri, "must be a uri: a string without blanks" },
    [FHIR_FORMAT_URL] = { ANDIRON_JSON_STRING, is_uri, "must be a url: a string without blanks" },
    [FHIR_FORMAT_CANONICAL] = { ANDIRON_JSON_STRING, is_uri,
                                "must be a canonical: a uri, and perhaps |version, without "
                                "blanks" },
    [FHIR_FORMAT_OID] = { ANDIRON_JSON_STRING, is_oid, "must be an oid such as 'urn:oid:1.2.3'" },
    [FHIR_FORMAT_UUID] = { ANDIRON_JSON_STRING, is_uuid,
                           "must be a uuid such as 'urn:uuid:c757873d-ec9a-4326-a141-"
                           "556f43239520', in lower case" },
    [FHIR_FORMAT_BASE64] = { ANDIRON_JSON_STRING, is_base64,
                             "must be base64: letters, digits, '+' and '/', filled up with '='" },
    [FHIR_FORMAT_DATE] = { ANDIRON_JSON_STRING, fhir_is_date,
                           "must be a date that exists, such as '2020', '2020-01' or "
                           "'2020-01-31'" },
    [FHIR_FORMAT_DATETIME] = { ANDIRON_JSON_STRING, fhir_is_datetime,
                               "must be a dateTime such as '2020', '2020-01-31' or "
                               "'2020-01-31T13:28:17+01:00', with seconds and a time zone" },
    [FHIR_FORMAT_INSTANT] = { ANDIRON_JSON_STRING, fhir_is_instant,
                              "must be an instant such as '2020-01-31T13:28:17.239+01:00', "
                              "with seconds and a time zone" },
    [FHIR_FORMAT_TIME] = { ANDIRON_JSON_STRING, is_time,
                           "must be a time such as '13:28:17', without a time zone" },
};

const char *fhir_primitive_fault(enum fhir_format format, andiron_json v)
{
    const struct form *form = &forms[format];

    if (andiron_json_type(v) != form->type)
        return form->fault;
    switch (format) {
    case FHIR_FORMAT_INTEGER:
        return is_integer(andiron_json_raw(v), INT32_MIN) ? NULL : form->fault;
    case FHIR_FORMAT_UNSIGNED:
        return is_integer(andiron_json_raw(v), 0) ? NULL : form->fault;
    case FHIR_FORMAT_POSITIVE:
        return is_integer(andiron_json_raw(v), 1) ? NULL : form->fault;
    case FHIR_FORMAT_STRING:
    case FHIR_FORMAT_MARKDOWN:
        if (!is_within_limit(andiron_json_str(v)))
            return "must not be longer than 1048576 characters";
        break;
    default:
        break;
    }
    return form->is_valid == NULL || form->is_valid(andiron_json_str(v)) ? NULL : form->fault;
}
