/*
 * The HTTP reader beside llhttp, the parser of Node.js (Debian package node-llhttp).
 *
 * Whatever we accept llhttp must read as the same request: target, fields, body and, above all, the
 * same end, behind which the next request begins. We refuse more, so the other direction is not
 * asked. Known differences, in which we follow the RFCs: llhttp knows a list of methods, takes no
 * tabs behind a number, no escapes in chunk extensions, and heeds fields of trailers.
 */
#include <llhttp.h>
#include <string.h>

#include "http/parse.h"
#include "target.h"

enum { FIELDS = 64, INPUT_MAX = 8000 };

static const struct http_limits limits = { .request_line = 8192,
                                           .header = 16384,
                                           .fields = FIELDS };

/* A request in a form in which both can be compared. */
struct reading {
    char target[INPUT_MAX], fields[INPUT_MAX * 2], body[INPUT_MAX];
    size_t target_len, fields_len, body_len, end;
    bool in_trailers;
};

static void append(char *to, size_t *len, const char *bytes, size_t count)
{
    memcpy(to + *len, bytes, count);
    *len += count;
}

/* ---- ours ----------------------------------------------------------------------------- */

static bool read_chunks(struct reading *ret, const char *data, size_t size)
{
    struct http_chunked chunked;

    http_chunked_init(&chunked, &limits);
    for (;;) {
        size_t used = 0;
        andiron_str piece;
        enum http_chunk result =
            http_chunked_next(&chunked, data + ret->end, size - ret->end, &used, &piece);

        ret->end += used;
        if (result == HTTP_CHUNK_DATA)
            append(ret->body, &ret->body_len, piece.data, piece.len);
        else
            return result == HTTP_CHUNK_END;
    }
}

/* false: refused, or not complete. */
static bool read_ours(struct reading *ret, struct http_head *head, char *data, size_t size)
{
    if (http_head_parse(head, &limits, data, size) != HTTP_COMPLETE)
        return false;
    append(ret->target, &ret->target_len, data + head->target.at, head->target.len);
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_field field = head->fields[i];
        append(ret->fields, &ret->fields_len, data + field.name.at, field.name.len);
        append(ret->fields, &ret->fields_len, ":", 1);
        append(ret->fields, &ret->fields_len, data + field.value.at, field.value.len);
        append(ret->fields, &ret->fields_len, "\n", 1);
    }
    ret->end = head->bytes;
    if (head->framing == HTTP_BODY_CHUNKED)
        return read_chunks(ret, data, size);
    if (head->content_length > size - ret->end)
        return false;
    append(ret->body, &ret->body_len, data + ret->end, (size_t)head->content_length);
    ret->end += (size_t)head->content_length;
    return true;
}

/* ---- llhttp's ------------------------------------------------------------------------------ */

static int on_target(llhttp_t *parser, const char *bytes, size_t len)
{
    struct reading *reading = parser->data;

    append(reading->target, &reading->target_len, bytes, len);
    return 0;
}

static int on_name(llhttp_t *parser, const char *bytes, size_t len)
{
    struct reading *reading = parser->data;

    for (size_t i = 0; i < len && !reading->in_trailers; i++) {
        char lower = (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20 : bytes[i]);
        append(reading->fields, &reading->fields_len, &lower, 1);
    }
    return 0;
}

static int on_value(llhttp_t *parser, const char *bytes, size_t len)
{
    struct reading *reading = parser->data;

    if (!reading->in_trailers)
        append(reading->fields, &reading->fields_len, bytes, len);
    return 0;
}

static int on_name_end(llhttp_t *parser)
{
    return on_value(parser, ":", 1);
}

static int on_value_end(llhttp_t *parser)
{
    struct reading *reading = parser->data;

    /* llhttp leaves blanks behind a value. */
    while (!reading->in_trailers && (reading->fields[reading->fields_len - 1] == ' ' ||
                                     reading->fields[reading->fields_len - 1] == '\t'))
        reading->fields_len--;
    return on_value(parser, "\n", 1);
}

static int on_head_end(llhttp_t *parser)
{
    struct reading *reading = parser->data;

    reading->in_trailers = true;
    return 0;
}

static int on_body(llhttp_t *parser, const char *bytes, size_t len)
{
    struct reading *reading = parser->data;

    append(reading->body, &reading->body_len, bytes, len);
    return 0;
}

static int on_end(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static llhttp_errno_t read_theirs(struct reading *ret, const char *data, size_t size)
{
    llhttp_settings_t settings;
    llhttp_t parser;
    llhttp_errno_t result;

    llhttp_settings_init(&settings);
    settings.on_url = on_target;
    settings.on_header_field = on_name;
    settings.on_header_field_complete = on_name_end;
    settings.on_header_value = on_value;
    settings.on_header_value_complete = on_value_end;
    settings.on_headers_complete = on_head_end;
    settings.on_body = on_body;
    settings.on_message_complete = on_end;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = ret;
    result = llhttp_execute(&parser, data, size);
    if (result == HPE_PAUSED)
        ret->end = (size_t)(llhttp_get_error_pos(&parser) - data);
    return result;
}

/* ---- side by side ------------------------------------------------------------------------------ */

static bool is_comparable(const struct http_head *head, const char *data)
{
    static const char *const methods[] = { "GET",    "HEAD",  "POST",   "PUT",
                                           "DELETE", "PATCH", "OPTIONS" };
    andiron_str method = http_view(data, head->method);
    uint32_t pos = 0;

    /* With Upgrade llhttp leaves HTTP; we go on. */
    if (http_head_value(head, data, ANDIRON_STR("upgrade"), &pos).data != NULL)
        return false;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (andiron_str_eq(method, andiron_str_of(methods[i])))
            return true;
    return false;
}

static bool is_known_refusal(llhttp_errno_t result, const struct http_head *head)
{
    bool in_chunks = result == HPE_STRICT || result == HPE_INVALID_CHUNK_SIZE ||
                     result == HPE_UNEXPECTED_CONTENT_LENGTH;

    /* The second: it keeps "chunked" in mind for a later field whose name begins alike. */
    return result == HPE_INVALID_CONTENT_LENGTH || result == HPE_INVALID_TRANSFER_ENCODING ||
           (in_chunks && head->framing == HTTP_BODY_CHUNKED);
}

static bool is_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading ours, theirs;
    static char copy[INPUT_MAX];
    struct http_field fields[FIELDS];
    struct http_head head;
    llhttp_errno_t result;

    if (size == 0 || size > INPUT_MAX)
        return 0;
    memset(&ours, 0, sizeof ours);
    memset(&theirs, 0, sizeof theirs);
    memcpy(copy, data, size);
    http_head_init(&head, fields);
    if (!read_ours(&ours, &head, copy, size) || !is_comparable(&head, copy))
        return 0;
    result = read_theirs(&theirs, (const char *)data, size);
    if (is_known_refusal(result, &head))
        return 0;
    FUZZ_CHECK(result == HPE_PAUSED);
    FUZZ_CHECK(is_equal(ours.target, ours.target_len, theirs.target, theirs.target_len));
    FUZZ_CHECK(is_equal(ours.fields, ours.fields_len, theirs.fields, theirs.fields_len));
    FUZZ_CHECK(is_equal(ours.body, ours.body_len, theirs.body, theirs.body_len));
    FUZZ_CHECK(ours.end == theirs.end || ours.end == theirs.end + 1); /* it may stop at the LF */
    return 0;
}
