/*
 * Request heads and bodies as a connection reads them: one request behind the other, until an error
 * or the end. The outcome must be the same whole, byte by byte and in other pieces, and
 * whatever is accepted must be as strict as it looks.
 */
#include <string.h>

#include "http/parse.h"
#include "target.h"

enum { FIELDS = 16, REQUESTS_MAX = 64 };

static const struct http_limits limits = { .request_line = 256, .header = 1024, .fields = FIELDS };

/* What came out, as a hash: two readings are equal if their sums are. */
struct sum {
    uint64_t hash;
};

static void add(struct sum *sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++)
        sum->hash = (sum->hash ^ p[i]) * UINT64_C(0x100000001b3);
}

static void add_number(struct sum *sum, uint64_t number)
{
    add(sum, &number, sizeof number);
}

static void add_view(struct sum *sum, const char *data, struct http_span span)
{
    add_number(sum, span.len);
    add(sum, data + span.at, span.len);
}

/* ---- what must hold of an accepted head --------------------------------------------- */

static bool is_inside(struct http_span span, uint32_t bytes)
{
    return span.at <= bytes && span.len <= bytes - span.at;
}

static void check_lines(const char *data, size_t len)
{
    FUZZ_CHECK(len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        FUZZ_CHECK(c >= 0x20 || c == '\t' || c == '\r' || c == '\n');
        FUZZ_CHECK(c != '\n' || (i > 0 && data[i - 1] == '\r'));
        FUZZ_CHECK(c != '\r' || data[i + 1] == '\n');
        FUZZ_CHECK(c != '\n' || i + 1 == len || (data[i + 1] != ' ' && data[i + 1] != '\t'));
    }
}

static unsigned count_fields(const struct http_head *head, const char *data, const char *name)
{
    andiron_str wanted = andiron_str_of(name);
    uint32_t pos = 0;
    unsigned count = 0;

    while (http_head_value(head, data, wanted, &pos).data != NULL)
        count++;
    return count;
}

static void check_head(const struct http_head *head, const char *data)
{
    unsigned lengths = count_fields(head, data, "content-length"),
             codings = count_fields(head, data, "transfer-encoding"),
             hosts = count_fields(head, data, "host");

    FUZZ_CHECK(head->bytes <= limits.request_line + limits.header + 6);
    FUZZ_CHECK(head->field_count <= limits.fields);
    check_lines(data, head->bytes);
    FUZZ_CHECK(lengths + codings <= 1);
    FUZZ_CHECK(hosts <= 1 && (head->minor == 0 || hosts == 1));
    FUZZ_CHECK((head->framing == HTTP_BODY_CHUNKED) == (codings == 1));
    FUZZ_CHECK(head->framing != HTTP_BODY_LENGTH || (lengths == 1 && head->content_length > 0));
    FUZZ_CHECK(codings == 0 || head->minor == 1);
    FUZZ_CHECK(head->host.len == 0 || http_host_valid(http_view(data, head->host)));
    FUZZ_CHECK(is_inside(head->method, head->bytes) && head->method.len > 0);
    FUZZ_CHECK(is_inside(head->target, head->bytes) && head->target.len > 0);
    FUZZ_CHECK(is_inside(head->path, head->bytes) && is_inside(head->query, head->bytes));
    FUZZ_CHECK(data[head->path.at] == '/' || head->form == HTTP_FORM_ASTERISK);
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_field field = head->fields[i];
        FUZZ_CHECK(is_inside(field.name, head->bytes) && is_inside(field.value, head->bytes));
        FUZZ_CHECK(field.name.len > 0 && data[field.name.at + field.name.len] == ':');
    }
}

/* ---- reading --------------------------------------------------------------------------- */

static size_t next_piece(uint32_t *state)
{
    if (*state == 0)
        return SIZE_MAX;
    if (*state == 1)
        return 1;
    *state = *state * 1664525 + 1013904223;
    return 1 + (*state >> 24) % 37;
}

/* Returns the bytes of the head, 0 where the stream ends in it. */
static size_t read_head(struct sum *sum, const uint8_t *data, size_t size, uint32_t *pieces,
                        struct http_head *head, struct http_field *fields)
{
    enum http_result result = HTTP_MORE;
    size_t have = 0;
    char *copy = NULL;

    http_head_init(head, fields);
    while (result == HTTP_MORE && have < size) {
        size_t more = next_piece(pieces);
        char *larger;

        more = more < size - have ? more : size - have;
        larger = malloc(have + more); /* exact, and elsewhere each time */
        FUZZ_CHECK(larger != NULL);
        if (have > 0)
            memcpy(larger, copy, have);
        memcpy(larger + have, data + have, more);
        free(copy);
        copy = larger;
        have += more;
        result = http_head_parse(head, &limits, copy, have);
    }
    add_number(sum, result);
    if (result == HTTP_ERROR) {
        FUZZ_CHECK(head->reason != NULL && head->status >= 400 && head->status <= 505);
        add_number(sum, (uint64_t)head->status);
        add(sum, head->reason, strlen(head->reason));
    } else if (result == HTTP_COMPLETE) {
        check_head(head, copy);
        add_number(sum, head->bytes);
        add_view(sum, copy, head->method);
        add_view(sum, copy, head->path);
        add_view(sum, copy, head->query);
        add_view(sum, copy, head->host);
        for (uint32_t i = 0; i < head->field_count; i++) {
            add_view(sum, copy, fields[i].name);
            add_view(sum, copy, fields[i].value);
        }
        add_number(sum, head->content_length);
        add_number(sum, (uint64_t)head->framing * 64 + (uint64_t)head->coding * 16 +
                            head->keep_alive * 8U + head->expect_continue * 4U +
                            head->has_query * 2U + head->minor);
    }
    free(copy);
    return result == HTTP_COMPLETE ? head->bytes : 0;
}

/* Returns the bytes of the chunked body, 0 where the stream ends in it. */
static size_t read_chunks(struct sum *sum, const uint8_t *data, size_t size, uint32_t *pieces)
{
    struct http_chunked chunked;
    enum http_chunk result = HTTP_CHUNK_MORE;
    size_t at = 0, bytes = 0;

    http_chunked_init(&chunked, &limits);
    while (at < size && result != HTTP_CHUNK_END && result != HTTP_CHUNK_ERROR) {
        size_t more = next_piece(pieces), used = 0;
        andiron_str piece = { NULL, 0 };
        char *exact;

        more = more < size - at ? more : size - at;
        exact = malloc(more);
        FUZZ_CHECK(exact != NULL);
        memcpy(exact, data + at, more);
        result = http_chunked_next(&chunked, exact, more, &used, &piece);
        FUZZ_CHECK(used <= more && (used > 0 || result == HTTP_CHUNK_ERROR));
        FUZZ_CHECK(result != HTTP_CHUNK_MORE || used == more);
        if (result == HTTP_CHUNK_DATA) {
            FUZZ_CHECK(piece.len > 0 && piece.data + piece.len == exact + used);
            add(sum, piece.data, piece.len);
            bytes += piece.len;
        }
        at += used;
        free(exact);
    }
    add_number(sum, bytes);
    add_number(sum, (uint64_t)chunked.status);
    add_number(sum, result == HTTP_CHUNK_END);
    return result == HTTP_CHUNK_END ? at : 0;
}

static uint64_t read_stream(const uint8_t *data, size_t size, uint32_t pieces)
{
    struct sum sum = { UINT64_C(0xcbf29ce484222325) };

    for (int i = 0; i < REQUESTS_MAX && size > 0; i++) {
        struct http_head head;
        struct http_field fields[FIELDS];
        size_t used = read_head(&sum, data, size, &pieces, &head, fields);

        if (used == 0)
            break;
        data += used;
        size -= used;
        used = 0;
        if (head.framing == HTTP_BODY_LENGTH)
            used = head.content_length < size ? (size_t)head.content_length : size;
        else if (head.framing == HTTP_BODY_CHUNKED &&
                 (used = read_chunks(&sum, data, size, &pieces)) == 0)
            break;
        data += used;
        size -= used;
    }
    return sum.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = read_stream(data, size, 0);

    FUZZ_CHECK(size > 4096 || read_stream(data, size, 1) == whole);
    FUZZ_CHECK(read_stream(data, size, 1000003) == whole);
    FUZZ_CHECK(read_stream(data, size, (uint32_t)size * 2 + 77) == whole);
    return 0;
}
