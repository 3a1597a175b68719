/*
 * Request heads line by line, chunked bodies byte by byte (RFC 9112).
 *
 * A head is judged a line at a time, when the line's LF is there, and each line
 * is judged for its length before its content. So the outcome cannot depend on how
 * the bytes arrived, and an error is reported without waiting for the rest.
 */
#include "http/parse.h"

#include <assert.h>

enum head_state { HEAD_FIRST, HEAD_SKIPPED, HEAD_FIELDS, HEAD_ENDED };

/*
 * Fields of which a second one matters here. Others (Authorization) concern the content of a request
 * whose framing is sound: that is refused with an outcome, and the connection lives on.
 */
enum {
    SEEN_HOST = 1 << 0,
    SEEN_LENGTH = 1 << 1,
    SEEN_TRANSFER = 1 << 2,
    SEEN_CODING = 1 << 3,
    SEEN_CLOSE = 1 << 4,
    SEEN_KEEP_ALIVE = 1 << 5
};

enum { METHOD_MAX = 16 };

/* RFC 9110 section 5.6.2: the lower-case form of each token character, 0 for any other byte. */
/* clang-format off */
static const char token_lower[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, '!', 0, '#', '$', '%', '&', '\'', 0, 0, '*', '+', 0, '-', '.', 0,
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 0, 0, 0, 0,
    0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, '^', '_',
    '`', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, '|', 0, '~', 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */

static inline bool is_visible(unsigned char c)
{
    return c > 0x20 && c < 0x7f;
}

/* RFC 9110 section 5.5: HTAB, SP, visible ASCII, and bytes from 0x80 on that have no meaning here. */
static inline bool is_value(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static inline bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_alpha(unsigned char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static inline int hex_value(unsigned char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool equals_lower(const char *text, size_t len, andiron_str lower)
{
    if (len != lower.len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (unsigned char)lower.data[i])
            return false;
    }
    return true;
}

#define EQUALS(text, len, literal) equals_lower((text), (len), ANDIRON_STR(literal))

/* Whether every byte may stand in a field value; eight at a time, since values are most of a head. */
static bool value_valid(const char *text, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    size_t i = 0;

    for (; len - i >= 8; i += 8) {
        uint64_t word, del;
        memcpy(&word, text + i, 8);
        del = word ^ ones * 0x7f;
        /* Is any byte below 0x20, or equal to 0x7f? HTAB is, too: then look closely. */
        if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & highs) {
            for (size_t k = i; k < i + 8; k++)
                if (!is_value((unsigned char)text[k]))
                    return false;
        }
    }
    for (; i < len; i++)
        if (!is_value((unsigned char)text[i]))
            return false;
    return true;
}

/* ---- heads: the request line ------------------------------------------------ */

static enum http_result head_fail(struct http_head *head, int status, const char *reason)
{
    head->status = status;
    head->reason = reason;
    head->state = HEAD_ENDED;
    return HTTP_ERROR;
}

static inline struct http_span span_of(size_t at, size_t end)
{
    struct http_span span = { (uint32_t)at, (uint32_t)(end - at) };
    return span;
}

/* Splits what begins at `at` into path and query. */
static void split_path(struct http_head *head, const char *data, size_t at, size_t end)
{
    const char *mark = memchr(data + at, '?', end - at);
    size_t path_end = mark != NULL ? (size_t)(mark - data) : end;

    head->path = span_of(at, path_end);
    head->has_query = mark != NULL;
    head->query = span_of(mark != NULL ? path_end + 1 : end, end);
}

static enum http_result read_absolute(struct http_head *head, const char *data)
{
    size_t at = head->target.at, end = at + head->target.len, slash;

    if (head->target.len > 7 && EQUALS(data + at, 7, "http://"))
        at += 7;
    else if (head->target.len > 8 && EQUALS(data + at, 8, "https://"))
        at += 8;
    else
        return head_fail(head, 400, "the target must begin with '/' or 'http://'");
    for (slash = at; slash < end && data[slash] != '/' && data[slash] != '?'; slash++)
        ;
    head->form = HTTP_FORM_ABSOLUTE;
    head->host = span_of(at, slash);
    if (!http_host_valid(http_view(data, head->host)))
        return head_fail(head, 400, "the target's authority must be host or host:port");
    split_path(head, data, slash, end);
    if (head->path.len == 0)
        head->path = span_of(at - 1, at); /* the second '/' of "://" stands for the missing one */
    return HTTP_MORE;
}

static enum http_result read_target(struct http_head *head, const char *data)
{
    andiron_str target = http_view(data, head->target);

    if (memchr(target.data, '#', target.len) != NULL)
        return head_fail(head, 400, "the target must not hold a fragment");
    if (target.data[0] == '/') {
        head->form = HTTP_FORM_ORIGIN;
        split_path(head, data, head->target.at, head->target.at + head->target.len);
        return HTTP_MORE;
    }
    if (target.data[0] != '*')
        return read_absolute(head, data);
    if (target.len != 1 || !andiron_str_eq(http_view(data, head->method), ANDIRON_STR("OPTIONS")))
        return head_fail(head, 400, "the target '*' is for OPTIONS only");
    head->form = HTTP_FORM_ASTERISK;
    head->path = head->target;
    head->query = span_of(head->target.at + 1, head->target.at + 1);
    return HTTP_MORE;
}

static enum http_result read_version(struct http_head *head, const char *text, size_t len)
{
    if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !is_digit((unsigned char)text[5]) ||
        text[6] != '.' || !is_digit((unsigned char)text[7]))
        return head_fail(head, 400,
                         "the request line must be: method, blank, target, blank, HTTP/1.1");
    if (text[5] != '1' || text[7] > '1')
        return head_fail(head, 505, "the version must be HTTP/1.0 or HTTP/1.1");
    head->minor = (uint8_t)(text[7] - '0');
    return HTTP_MORE;
}

/* data[at] to data[end], without the CRLF. */
static enum http_result read_request_line(struct http_head *head, const char *data, size_t at,
                                          size_t end)
{
    size_t i = at;
    enum http_result result;
    andiron_str method;

    while (i < end && token_lower[(unsigned char)data[i]] != 0)
        i++;
    if (i == at || i - at > METHOD_MAX || i == end || data[i] != ' ')
        return head_fail(head, 400, "the method must be a token of at most 16 bytes and a blank");
    head->method = span_of(at, i);
    at = ++i;
    while (i < end && is_visible((unsigned char)data[i]))
        i++;
    if (i == at || i == end || data[i] != ' ')
        return head_fail(head, 400, "the target must be visible ASCII, between single blanks");
    head->target = span_of(at, i);
    i++;
    result = read_version(head, data + i, end - i);
    if (result != HTTP_MORE)
        return result;
    method = http_view(data, head->method);
    if (andiron_str_eq(method, ANDIRON_STR("CONNECT")) ||
        andiron_str_eq(method, ANDIRON_STR("TRACE")))
        return head_fail(head, 501, "CONNECT and TRACE are not supported");
    return read_target(head, data);
}

/* ---- heads: fields ------------------------------------------------------------ */

static bool seen(struct http_head *head, unsigned what)
{
    bool before = (head->seen & what) != 0;
    head->seen = (uint8_t)(head->seen | what);
    return before;
}

static enum http_result read_host(struct http_head *head, const char *data, struct http_span value)
{
    if (seen(head, SEEN_HOST))
        return head_fail(head, 400, "Host must be given once");
    if (!http_host_valid(http_view(data, value)))
        return head_fail(head, 400, "Host must be host or host:port");
    if (head->form != HTTP_FORM_ABSOLUTE)
        head->host = value;
    return HTTP_MORE;
}

static enum http_result read_length(struct http_head *head, const char *text, size_t len)
{
    uint64_t length = 0;

    if (seen(head, SEEN_LENGTH))
        return head_fail(head, 400, "Content-Length must be given once");
    if ((head->seen & SEEN_TRANSFER) != 0)
        return head_fail(head, 400, "Content-Length and Transfer-Encoding exclude each other");
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9 || length > ((uint64_t)INT64_MAX - digit) / 10)
            return head_fail(head, 400, "Content-Length must be digits, below 2^63");
        length = length * 10 + digit;
    }
    if (len == 0)
        return head_fail(head, 400, "Content-Length must be digits, below 2^63");
    head->content_length = length;
    head->framing = length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    return HTTP_MORE;
}

static enum http_result read_transfer(struct http_head *head, const char *text, size_t len)
{
    if (seen(head, SEEN_TRANSFER))
        return head_fail(head, 400, "Transfer-Encoding must be given once");
    if ((head->seen & SEEN_LENGTH) != 0)
        return head_fail(head, 400, "Content-Length and Transfer-Encoding exclude each other");
    if (head->minor == 0)
        return head_fail(head, 400, "Transfer-Encoding needs HTTP/1.1");
    if (len == 0)
        return head_fail(head, 400, "Transfer-Encoding must be 'chunked'");
    if (!EQUALS(text, len, "chunked"))
        return head_fail(head, 501, "Transfer-Encoding must be 'chunked'");
    head->framing = HTTP_BODY_CHUNKED;
    return HTTP_MORE;
}

static void read_coding(struct http_head *head, const char *text, size_t len)
{
    if (seen(head, SEEN_CODING))
        head->coding = HTTP_CODING_OTHER;
    else if (EQUALS(text, len, "gzip") || EQUALS(text, len, "x-gzip"))
        head->coding = HTTP_CODING_GZIP;
    else if (!EQUALS(text, len, "identity"))
        head->coding = HTTP_CODING_OTHER;
}

/* What the framing and the connection depend on; all other fields are only kept. */
static enum http_result judge_field(struct http_head *head, const char *data,
                                    const struct http_field *field)
{
    const char *name = data + field->name.at, *text = data + field->value.at;
    size_t len = field->value.len;

#define NAMED(literal) (memcmp(name, (literal), sizeof(literal) - 1) == 0)
    switch (field->name.len) {
    case 4:
        if (NAMED("host"))
            return read_host(head, data, field->value);
        break;
    case 6:
        if (NAMED("expect") && head->minor > 0) {
            if (!EQUALS(text, len, "100-continue"))
                return head_fail(head, 417, "Expect must be '100-continue'");
            head->expect_continue = true;
        }
        break;
    case 10:
        if (NAMED("connection")) {
            andiron_str list = { text, len };
            if (http_list_has(list, ANDIRON_STR("close")))
                (void)seen(head, SEEN_CLOSE);
            if (http_list_has(list, ANDIRON_STR("keep-alive")))
                (void)seen(head, SEEN_KEEP_ALIVE);
        }
        break;
    case 14:
        if (NAMED("content-length"))
            return read_length(head, text, len);
        break;
    case 16:
        if (NAMED("content-encoding"))
            read_coding(head, text, len);
        break;
    case 17:
        if (NAMED("transfer-encoding"))
            return read_transfer(head, text, len);
        break;
    default:
        break;
    }
#undef NAMED
    return HTTP_MORE;
}

/* data[at] to data[end], without the CRLF, not empty. */
static enum http_result read_field(struct http_head *head, char *data, size_t at, size_t end)
{
    size_t i = at;
    char lower;
    struct http_field *field = &head->fields[head->field_count];

    while (i < end && (lower = token_lower[(unsigned char)data[i]]) != 0)
        data[i++] = lower;
    if (i == at && (data[at] == ' ' || data[at] == '\t'))
        return head_fail(head, 400, "a header must be on one line");
    if (i == at || i == end || data[i] != ':')
        return head_fail(head, 400, "a header must be a name, directly followed by ':'");
    field->name = span_of(at, i);
    i++;
    if (!value_valid(data + i, end - i))
        return head_fail(head, 400, "a header value must not hold control characters");
    while (i < end && (data[i] == ' ' || data[i] == '\t'))
        i++;
    while (end > i && (data[end - 1] == ' ' || data[end - 1] == '\t'))
        end--;
    field->value = span_of(i, end);
    head->field_count++;
    return judge_field(head, data, field);
}

static enum http_result finish_head(struct http_head *head, size_t bytes)
{
    if (head->minor > 0 && (head->seen & SEEN_HOST) == 0)
        return head_fail(head, 400, "Host must be given once");
    head->keep_alive =
        (head->seen & SEEN_CLOSE) == 0 && (head->minor > 0 || (head->seen & SEEN_KEEP_ALIVE) != 0);
    head->bytes = (uint32_t)bytes;
    head->state = HEAD_ENDED;
    return HTTP_COMPLETE;
}

/* ---- heads: lines --------------------------------------------------------------- */

/* More bytes than any line with a LF still to come may have. */
static enum http_result judge_partial(struct http_head *head, const struct http_limits *limits,
                                      size_t len)
{
    if (head->state == HEAD_FIELDS) {
        if (len - head->header_at >= (size_t)limits->header + 2)
            return head_fail(head, 431, "the headers are longer than max-header allows");
    } else if (len - head->line >= (size_t)limits->request_line + 2) {
        return head_fail(head, 414, "the request line is longer than max-request-line allows");
    }
    head->scanned = (uint32_t)len;
    return HTTP_MORE;
}

/* The line data[head->line] to data[lf]. */
static enum http_result read_line(struct http_head *head, const struct http_limits *limits,
                                  char *data, size_t lf)
{
    size_t at = head->line;
    bool has_cr = lf > at && data[lf - 1] == '\r', is_empty = has_cr && lf - 1 == at;

    head->line = head->scanned = (uint32_t)(lf + 1);
    if (head->state == HEAD_FIELDS) {
        if (is_empty)
            return finish_head(head, lf + 1);
        if (lf + 1 - head->header_at > limits->header)
            return head_fail(head, 431, "the headers are longer than max-header allows");
        if (head->field_count >= limits->fields)
            return head_fail(head, 431, "there are more headers than max-header-fields allows");
    } else if (lf - at > (size_t)limits->request_line + 1) {
        return head_fail(head, 414, "the request line is longer than max-request-line allows");
    }
    if (!has_cr)
        return head_fail(head, 400, "a line must end with CR and LF");
    if (head->state == HEAD_FIELDS)
        return read_field(head, data, at, lf - 1);
    if (is_empty) {
        if (head->state != HEAD_FIRST)
            return head_fail(head, 400, "at most one empty line may precede a request");
        head->state = HEAD_SKIPPED; /* RFC 9112 section 2.2: some clients end a body with one */
        return HTTP_MORE;
    }
    head->state = HEAD_FIELDS;
    head->header_at = head->line;
    return read_request_line(head, data, at, lf - 1);
}

void http_head_init(struct http_head *head, struct http_field *fields)
{
    *head = (struct http_head){ .fields = fields };
}

enum http_result http_head_parse(struct http_head *head, const struct http_limits *limits,
                                 char *data, size_t len)
{
    assert(head->state != HEAD_ENDED && len >= head->scanned);
    while (head->line < len) {
        const char *lf;
        enum http_result result;

        /* A TLS hello and other binary input never sends a LF: refuse it by its first byte. */
        if (head->state != HEAD_FIELDS && data[head->line] != '\r' && data[head->line] != '\n' &&
            token_lower[(unsigned char)data[head->line]] == 0)
            return head_fail(head, 400,
                             "the method must be a token of at most 16 bytes and a blank");
        lf = memchr(data + head->scanned, '\n', len - head->scanned);
        if (lf == NULL)
            return judge_partial(head, limits, len);
        result = read_line(head, limits, data, (size_t)(lf - data));
        if (result != HTTP_MORE)
            return result;
    }
    return HTTP_MORE;
}

/* ---- heads: questions -------------------------------------------------------------- */

andiron_str http_head_value(const struct http_head *head, const char *data, andiron_str name,
                            uint32_t *pos)
{
    while (*pos < head->field_count) {
        const struct http_field *field = &head->fields[(*pos)++];
        if (field->name.len == name.len && memcmp(data + field->name.at, name.data, name.len) == 0)
            return http_view(data, field->value);
    }
    return (andiron_str){ NULL, 0 };
}

/* RFC 3986 section 3.2.2 IP-literal, without zone and IPvFuture; returns its length or 0. */
static size_t ipv6_length(andiron_str host)
{
    size_t i = 1, colons = 0;

    for (; i < host.len && host.data[i] != ']'; i++) {
        unsigned char c = (unsigned char)host.data[i];
        if (c == ':')
            colons++;
        else if (hex_value(c) < 0 && c != '.')
            return 0;
    }
    return i < host.len && i <= 46 && colons >= 2 && colons <= 8 ? i + 1 : 0;
}

bool http_host_valid(andiron_str host)
{
    size_t i = 0;

    if (host.len > 0 && host.data[0] == '[') {
        i = ipv6_length(host);
    } else {
        while (i < host.len && i < 256) {
            unsigned char c = (unsigned char)host.data[i];
            if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_')
                break;
            i++;
        }
    }
    if (i == 0 || i == host.len)
        return i != 0;
    if (host.data[i] != ':' || host.len - i > 6)
        return false;
    for (i++; i < host.len; i++)
        if (!is_digit((unsigned char)host.data[i]))
            return false;
    return true;
}

bool http_list_has(andiron_str list, andiron_str lower_token)
{
    size_t i = 0;

    while (i < list.len) {
        size_t at, end;
        while (i < list.len && (list.data[i] == ' ' || list.data[i] == '\t' || list.data[i] == ','))
            i++;
        for (at = i; i < list.len && list.data[i] != ','; i++)
            ;
        for (end = i; end > at && (list.data[end - 1] == ' ' || list.data[end - 1] == '\t'); end--)
            ;
        if (end > at && equals_lower(list.data + at, end - at, lower_token))
            return true;
    }
    return false;
}

/* ---- chunked bodies ------------------------------------------------------------------ */

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXT, /* behind ';' */
    CHUNK_EXT_NAME,
    CHUNK_EXT_VALUE, /* behind '=' */
    CHUNK_EXT_TOKEN,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_ESCAPE,
    CHUNK_EXT_QUOTED_END,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_LINE, /* first byte of a trailer line */
    CHUNK_NAME,
    CHUNK_VALUE,
    CHUNK_VALUE_LF,
    CHUNK_LAST_LF,
    CHUNK_ENDED,
    CHUNK_FAILED
};

static enum chunk_state chunk_fail(struct http_chunked *chunked, int status, const char *reason)
{
    chunked->status = status;
    chunked->reason = reason;
    return CHUNK_FAILED;
}

static enum chunk_state size_byte(struct http_chunked *chunked, unsigned char c)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (chunked->digits == 8)
            return chunk_fail(chunked, 400, "a chunk size must have at most 8 digits");
        chunked->digits++;
        chunked->left = chunked->left << 4 | (uint32_t)digit;
        return CHUNK_SIZE;
    }
    if (chunked->digits == 0 || (c != '\r' && c != ';'))
        return chunk_fail(chunked, 400, "a chunk size must be 1 to 8 hex digits and CR LF");
    chunked->ext_left = HTTP_CHUNK_EXT_MAX;
    return c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXT;
}

/*
 * RFC 9112 section 7.1.1 without the blanks that it calls bad: ;name, ;name=token, ;name="text".
 * They mean nothing, but an open quote that hides a CRLF from one reader and not from another would.
 */
static enum chunk_state ext_byte(struct http_chunked *chunked, unsigned char c)
{
    enum chunk_state state = chunked->state;
    bool may_end =
        state == CHUNK_EXT_NAME || state == CHUNK_EXT_TOKEN || state == CHUNK_EXT_QUOTED_END;

    if (may_end && c == '\r')
        return CHUNK_SIZE_LF;
    if (chunked->ext_left-- == 0)
        return chunk_fail(chunked, 400, "a chunk's extensions must have at most 256 bytes");
    if (may_end && c == ';')
        return CHUNK_EXT;
    if (state == CHUNK_EXT_NAME && c == '=')
        return CHUNK_EXT_VALUE;
    if (state == CHUNK_EXT_VALUE && c == '"')
        return CHUNK_EXT_QUOTED;
    if (state == CHUNK_EXT_QUOTED && c == '"')
        return CHUNK_EXT_QUOTED_END;
    if (state == CHUNK_EXT_QUOTED && c == '\\')
        return CHUNK_EXT_ESCAPE;
    if ((state == CHUNK_EXT_QUOTED || state == CHUNK_EXT_ESCAPE) && is_value(c))
        return CHUNK_EXT_QUOTED;
    if (token_lower[c] != 0 && (state == CHUNK_EXT || state == CHUNK_EXT_NAME))
        return CHUNK_EXT_NAME;
    if (token_lower[c] != 0 && (state == CHUNK_EXT_VALUE || state == CHUNK_EXT_TOKEN))
        return CHUNK_EXT_TOKEN;
    return chunk_fail(chunked, 400,
                      "a chunk extension must be ;name, ;name=token or ;name=\"text\"");
}

static enum chunk_state trailer_byte(struct http_chunked *chunked, unsigned char c)
{
    bool is_first = chunked->state == CHUNK_LINE;

    if (is_first && c == '\r')
        return CHUNK_LAST_LF;
    if (chunked->state == CHUNK_VALUE && c == '\r')
        return CHUNK_VALUE_LF;
    if (chunked->trailer_left == 0 || (is_first && chunked->fields_left == 0))
        return chunk_fail(chunked, 431, "the trailers are longer than the limits of headers allow");
    chunked->trailer_left--;
    if (is_first)
        chunked->fields_left--;
    if (chunked->state == CHUNK_VALUE) {
        if (!is_value(c))
            return chunk_fail(chunked, 400, "a trailer value must not hold control characters");
        return CHUNK_VALUE;
    }
    if (c == ':' && !is_first)
        return CHUNK_VALUE;
    if (token_lower[c] == 0)
        return chunk_fail(chunked, 400, "a trailer must be a name, directly followed by ':'");
    return CHUNK_NAME;
}

static enum chunk_state lf_byte(struct http_chunked *chunked, unsigned char c)
{
    if (c != '\n')
        return chunk_fail(chunked, 400, "a line must end with CR and LF");
    switch (chunked->state) {
    case CHUNK_SIZE_LF:
        return chunked->left > 0 ? CHUNK_DATA : CHUNK_LINE;
    case CHUNK_DATA_LF:
        chunked->digits = 0;
        return CHUNK_SIZE;
    case CHUNK_VALUE_LF:
        return CHUNK_LINE;
    default: /* CHUNK_LAST_LF */
        return CHUNK_ENDED;
    }
}

static enum chunk_state chunk_byte(struct http_chunked *chunked, unsigned char c)
{
    switch (chunked->state) {
    case CHUNK_SIZE:
        return size_byte(chunked, c);
    case CHUNK_EXT:
    case CHUNK_EXT_NAME:
    case CHUNK_EXT_VALUE:
    case CHUNK_EXT_TOKEN:
    case CHUNK_EXT_QUOTED:
    case CHUNK_EXT_ESCAPE:
    case CHUNK_EXT_QUOTED_END:
        return ext_byte(chunked, c);
    case CHUNK_DATA_CR:
        if (c != '\r')
            return chunk_fail(chunked, 400, "CR and LF must follow the bytes of a chunk");
        return CHUNK_DATA_LF;
    case CHUNK_LINE:
    case CHUNK_NAME:
    case CHUNK_VALUE:
        return trailer_byte(chunked, c);
    default:
        return lf_byte(chunked, c);
    }
}

void http_chunked_init(struct http_chunked *chunked, const struct http_limits *limits)
{
    *chunked = (struct http_chunked){ .state = CHUNK_SIZE,
                                      .trailer_left = limits->header,
                                      .fields_left = limits->fields };
}

enum http_chunk http_chunked_next(struct http_chunked *chunked, const char *data, size_t len,
                                  size_t *ret_used, andiron_str *ret_data)
{
    size_t i = 0;

    while (chunked->state < CHUNK_ENDED) {
        if (i == len) {
            *ret_used = i;
            return HTTP_CHUNK_MORE;
        }
        if (chunked->state == CHUNK_DATA) {
            size_t piece = len - i < chunked->left ? len - i : chunked->left;
            *ret_data = (andiron_str){ data + i, piece };
            *ret_used = i + piece;
            chunked->left -= (uint32_t)piece;
            if (chunked->left == 0)
                chunked->state = CHUNK_DATA_CR;
            return HTTP_CHUNK_DATA;
        }
        chunked->state = (uint8_t)chunk_byte(chunked, (unsigned char)data[i++]);
    }
    *ret_used = i;
    return chunked->state == CHUNK_ENDED ? HTTP_CHUNK_END : HTTP_CHUNK_ERROR;
}
