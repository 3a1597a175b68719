/*
 * The strict HTTP reader: one row per rule, and every row in every split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/parse.h"

static const struct http_limits limits = { .request_line = 200, .header = 400, .fields = 10 };

enum { FIELDS = 10, INPUT_MAX = 4096 };

struct outcome {
    enum http_result result;
    struct http_head head;
    struct http_field fields[FIELDS];
    char text[INPUT_MAX]; /* with names lower-cased */
    size_t used;
};

/* Feeds len bytes in pieces of piece() bytes, each time at another address. */
static void feed(struct outcome *ret, const char *text, size_t len, size_t (*piece)(void))
{
    size_t have = 0;

    assert_true(len <= INPUT_MAX);
    memset(ret, 0, sizeof *ret);
    http_head_init(&ret->head, ret->fields);
    do {
        size_t more = piece != NULL ? piece() : len;
        char *moved;

        if (more > len - have)
            more = len - have;
        memcpy(ret->text + have, text + have, more);
        have += more;
        moved = malloc(have + 1); /* exact, so that ASan sees a read past the end */
        memcpy(moved, ret->text, have);
        ret->result = http_head_parse(&ret->head, &limits, moved, have);
        memcpy(ret->text, moved, have);
        free(moved);
        ret->used = have;
    } while (ret->result == HTTP_MORE && have < len);
}

static size_t one_byte(void)
{
    return 1;
}

static size_t few_bytes(void)
{
    return (size_t)(1 + rand() % 23);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->result, b->result);
    assert_int_equal(a->head.status, b->head.status);
    assert_ptr_equal(a->head.reason, b->head.reason);
    if (a->result != HTTP_COMPLETE)
        return;
    assert_int_equal(a->head.bytes, b->head.bytes);
    assert_memory_equal(a->text, b->text, a->head.bytes);
    assert_int_equal(a->head.field_count, b->head.field_count);
    assert_memory_equal(a->fields, b->fields, a->head.field_count * sizeof a->fields[0]);
    assert_memory_equal(&a->head, &b->head, offsetof(struct http_head, fields));
}

/* The outcome, proven to be the same for every split tried. */
static void parse(struct outcome *ret, const char *text, size_t len)
{
    static struct outcome other;

    feed(ret, text, len, NULL);
    feed(&other, text, len, one_byte);
    assert_same(ret, &other);
    if (ret->result == HTTP_COMPLETE)
        assert_int_equal(other.used, ret->head.bytes); /* complete with the very last byte */
    for (int i = 0; i < 20; i++) {
        feed(&other, text, len, few_bytes);
        assert_same(ret, &other);
    }
}

struct refusal {
    const char *claim;
    int status;
    const char *text;
    size_t len;
};

#define ROW(claim, status, text)                                                                   \
    {                                                                                              \
        claim, status, text, sizeof(text) - 1                                                      \
    }
#define LINE(claim, status, line) ROW(claim, status, line "\r\nHost: a\r\n\r\n")
#define FIELD(claim, status, field)                                                                \
    ROW(claim, status, "GET / HTTP/1.1\r\nHost: a\r\n" field "\r\n\r\n")

static const struct refusal refusals[] = {
    /* request line */
    LINE("method is a token", 400, "G(T / HTTP/1.1"),
    LINE("method is not empty", 400, " / HTTP/1.1"),
    LINE("method of 17 bytes", 400, "ABCDEFGHIJKLMNOPQ / HTTP/1.1"),
    LINE("one blank behind method", 400, "GET  / HTTP/1.1"),
    LINE("tab behind method", 400, "GET\t/ HTTP/1.1"),
    LINE("one blank behind target", 400, "GET /  HTTP/1.1"),
    LINE("tab behind target", 400, "GET /\tHTTP/1.1"),
    LINE("blank in target", 400, "GET /a b HTTP/1.1"),
    LINE("blank behind version", 400, "GET / HTTP/1.1 "),
    LINE("raw UTF-8 in target", 400, "GET /\xc3\xa4 HTTP/1.1"),
    LINE("NUL in target", 400, "GET /a\0b HTTP/1.1"),
    LINE("DEL in target", 400, "GET /a\x7f HTTP/1.1"),
    LINE("fragment in target", 400, "GET /a#b HTTP/1.1"),
    LINE("relative target", 400, "GET fhir HTTP/1.1"),
    LINE("empty target", 400, "GET  HTTP/1.1"),
    LINE("version missing, as in HTTP/0.9", 400, "GET /"),
    LINE("version missing behind a blank", 400, "GET / "),
    LINE("version in lower case", 400, "GET / http/1.1"),
    LINE("version of three digits", 400, "GET / HTTP/1.10"),
    LINE("version with two-digit major", 400, "GET / HTTP/11.1"),
    LINE("version with a sign", 400, "GET / HTTP/+1.1"),
    LINE("version without minor", 400, "GET / HTTP/1"),
    LINE("version with comma", 400, "GET / HTTP/1,1"),
    LINE("major 2", 505, "GET / HTTP/2.0"),
    LINE("major 0", 505, "GET / HTTP/0.9"),
    LINE("minor 2", 505, "GET / HTTP/1.2"),
    ROW("HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    LINE("CONNECT", 501, "CONNECT a:443 HTTP/1.1"),
    LINE("TRACE", 501, "TRACE / HTTP/1.1"),
    LINE("'*' with GET", 400, "GET * HTTP/1.1"),
    LINE("more than '*'", 400, "OPTIONS */a HTTP/1.1"),
    LINE("scheme that is not ours", 400, "GET ftp://a/ HTTP/1.1"),
    LINE("absolute-form without authority", 400, "GET http:///a HTTP/1.1"),
    LINE("absolute-form with user", 400, "GET http://u@a/ HTTP/1.1"),
    LINE("absolute-form with bad port", 400, "GET http://a:8x/ HTTP/1.1"),
    ROW("bare LF behind request line", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ROW("bare CR in request line", 400, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("CR CR LF", 400, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    ROW("two empty lines first", 400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("bare LF first", 400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("blank first", 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("binary first byte needs no line end", 400, "\x16\x03\x01\x02"),
    /* headers */
    FIELD("bare LF behind a header", 400, "A: b\nC: d"),
    FIELD("bare CR in a header", 400, "A: b\rC: d"),
    ROW("bare LF as the empty line", 400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    FIELD("no colon", 400, "Alone"),
    FIELD("empty name", 400, ": b"),
    FIELD("blank before the colon", 400, "Content-Length : 4"),
    FIELD("tab before the colon", 400, "Content-Length\t: 4"),
    FIELD("blank in the name", 400, "Content Length: 4"),
    FIELD("NUL in the name", 400, "A\0: b"),
    FIELD("raw UTF-8 in the name", 400, "\xc3\xa4: b"),
    FIELD("folded header", 400, "A: b\r\n c"),
    FIELD("header folded by tab", 400, "A: b\r\n\tc"),
    ROW("fold behind the request line", 400, "GET / HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n"),
    FIELD("NUL in a value", 400, "A: b\0c"),
    FIELD("NUL in a value of more than eight bytes", 400, "A: 0123456789abc\0defghijklmn"),
    FIELD("escape in a value", 400, "A: 0123456789\x1b[0m"),
    FIELD("DEL in a value", 400, "A: 0123456789\x7f 0123456789"),
    FIELD("vertical tab in Transfer-Encoding", 400,
          "Transfer-Encoding: \x0b"
          "chunked"),
    ROW("no Host", 400, "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
    ROW("no Host with absolute-form", 400, "GET http://a/ HTTP/1.1\r\n\r\n"),
    FIELD("two Hosts", 400, "Host: a"),
    FIELD("two Hosts that differ", 400, "hOST: b"),
    ROW("empty Host", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ROW("Host with path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ROW("Host with user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ROW("Host with blank", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ROW("Host list", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ROW("Host with percent", 400, "GET / HTTP/1.1\r\nHost: a%2fb\r\n\r\n"),
    ROW("Host with empty name", 400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    ROW("Host with two ports", 400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    ROW("Host with long port", 400, "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"),
    ROW("Host with open bracket", 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ROW("Host with zone", 400, "GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n"),
    ROW("bad Host in 1.0", 400, "GET / HTTP/1.0\r\nHost: /\r\n\r\n"),
    ROW("bad Host with absolute-form", 400, "GET http://a/ HTTP/1.1\r\nHost: /\r\n\r\n"),
    /* framing */
    FIELD("Content-Length twice", 400, "Content-Length: 1\r\nContent-Length: 2"),
    FIELD("Content-Length twice and equal", 400, "Content-Length: 1\r\nContent-Length: 1"),
    FIELD("Content-Length list", 400, "Content-Length: 1, 1"),
    FIELD("Content-Length with plus", 400, "Content-Length: +4"),
    FIELD("Content-Length with minus", 400, "Content-Length: -1"),
    FIELD("Content-Length in hex", 400, "Content-Length: 0x4"),
    FIELD("Content-Length with letter", 400, "Content-Length: 4a"),
    FIELD("Content-Length with blank", 400, "Content-Length: 4 4"),
    FIELD("Content-Length with fraction", 400, "Content-Length: 4.0"),
    FIELD("empty Content-Length", 400, "Content-Length:"),
    FIELD("Content-Length with NUL", 400, "Content-Length: 4\0"),
    FIELD("Content-Length of 2^63", 400, "Content-Length: 9223372036854775808"),
    FIELD("Content-Length of 2^64", 400, "Content-Length: 18446744073709551616"),
    FIELD("Content-Length of 2^64 + 4", 400, "Content-Length: 18446744073709551620"),
    FIELD("length, then chunked", 400, "Content-Length: 4\r\nTransfer-Encoding: chunked"),
    FIELD("chunked, then length", 400, "Transfer-Encoding: chunked\r\nContent-Length: 4"),
    FIELD("chunked, then length 0", 400, "Transfer-Encoding: chunked\r\nContent-Length: 0"),
    FIELD("chunked twice", 400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    FIELD("chunked, then identity", 400,
          "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    FIELD("empty Transfer-Encoding", 400, "Transfer-Encoding:"),
    FIELD("xchunked", 501, "Transfer-Encoding: xchunked"),
    FIELD("identity", 501, "Transfer-Encoding: identity"),
    FIELD("gzip, chunked", 501, "Transfer-Encoding: gzip, chunked"),
    FIELD("chunked, gzip", 501, "Transfer-Encoding: chunked, gzip"),
    FIELD("chunked, chunked", 501, "Transfer-Encoding: chunked, chunked"),
    FIELD("chunked with comma", 501, "Transfer-Encoding: chunked,"),
    FIELD("chunked with parameter", 501, "Transfer-Encoding: chunked;q=1"),
    FIELD("quoted chunked", 501, "Transfer-Encoding: \"chunked\""),
    ROW("chunked in 1.0", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    FIELD("other expectation", 417, "Expect: 200-ok"),
    FIELD("expectation list", 417, "Expect: 100-continue, x"),
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void every_rule_is_refused_in_every_split(void **state)
{
    static struct outcome got;

    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        const struct refusal *row = &refusals[i];
        parse(&got, row->text, row->len);
        if (got.result != HTTP_ERROR || got.head.status != row->status)
            fail_msg("%s: result %d status %d, not %d", row->claim, (int)got.result,
                     got.head.status, row->status);
        assert_non_null(got.head.reason);
    }
}

static void an_error_is_known_at_the_end_of_its_line(void **state)
{
    static struct outcome got;
    static const char text[] = "GET / HTTP/1.1\r\nHost : a\r\n";

    (void)state;
    parse(&got, text, sizeof text - 1);
    assert_int_equal(got.result, HTTP_ERROR);
}

static void assert_span(const struct outcome *got, struct http_span span, const char *expected)
{
    assert_int_equal(span.len, strlen(expected));
    assert_memory_equal(got->text + span.at, expected, span.len);
}

static void parse_good(struct outcome *ret, const char *text)
{
    parse(ret, text, strlen(text));
    if (ret->result != HTTP_COMPLETE)
        fail_msg("%s: result %d status %d %s", text, (int)ret->result, ret->head.status,
                 ret->head.reason != NULL ? ret->head.reason : "");
}

static void a_full_head_is_read(void **state)
{
    static struct outcome got;
    uint32_t pos = 0;

    (void)state;
    parse_good(&got,
               "POST /fhir/Patient/_search?a=b?c HTTP/1.1\r\nHOST: example.org:8080\r\n"
               "X-Many:  one \t\r\nContent-Length: 12\r\nX-many:\r\nUpgrade: h2c\r\n\r\nnext");
    assert_span(&got, got.head.method, "POST");
    assert_span(&got, got.head.target, "/fhir/Patient/_search?a=b?c");
    assert_span(&got, got.head.path, "/fhir/Patient/_search");
    assert_span(&got, got.head.query, "a=b?c");
    assert_span(&got, got.head.host, "example.org:8080");
    assert_true(got.head.has_query);
    assert_int_equal(got.head.form, HTTP_FORM_ORIGIN);
    assert_int_equal(got.head.minor, 1);
    assert_true(got.head.keep_alive);
    assert_int_equal(got.head.framing, HTTP_BODY_LENGTH);
    assert_int_equal(got.head.content_length, 12);
    assert_int_equal(got.head.field_count, 5);
    assert_span(&got, got.head.fields[0].name, "host");
    assert_span(&got, got.head.fields[1].value, "one");
    assert_memory_equal(got.text + got.head.bytes - 4, "\r\n\r\n", 4);

    andiron_str value = http_head_value(&got.head, got.text, ANDIRON_STR("x-many"), &pos);
    assert_int_equal(value.len, 3);
    value = http_head_value(&got.head, got.text, ANDIRON_STR("x-many"), &pos);
    assert_non_null(value.data);
    assert_int_equal(value.len, 0);
    assert_null(http_head_value(&got.head, got.text, ANDIRON_STR("x-many"), &pos).data);
}

static void allowed_forms_are_accepted(void **state)
{
    static struct outcome got;

    (void)state;
    parse_good(&got, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_span(&got, got.head.method, "GET");
    parse_good(&got, "ABCDEFGHIJKLMNOP / HTTP/1.1\r\nHost: a\r\n\r\n");
    parse_good(&got,
               "GET / HTTP/1.1\r\nHost:a\r\nValue: \x80\xff\ttabs and bytes above ASCII\t\r\n\r\n");
    assert_span(&got, got.head.fields[1].value, "\x80\xff\ttabs and bytes above ASCII");
    parse_good(&got, "GET / HTTP/1.1\r\nHost: [2001:db8::1.2.3.4]:8443\r\n\r\n");
    assert_span(&got, got.head.host, "[2001:db8::1.2.3.4]:8443");
    parse_good(&got, "GET / HTTP/1.1\r\nHost: a_b-c.example:\r\n\r\n");
    parse_good(&got, "GET /?code=a|b%20c&x={y} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_span(&got, got.head.query, "code=a|b%20c&x={y}");
}

static void absolute_form_replaces_host(void **state)
{
    static struct outcome got;

    (void)state;
    parse_good(&got, "GET HTTPS://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(got.head.form, HTTP_FORM_ABSOLUTE);
    assert_span(&got, got.head.host, "b:1");
    assert_span(&got, got.head.path, "/x");
    assert_span(&got, got.head.query, "y");
    parse_good(&got, "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_span(&got, got.head.path, "/");
    assert_false(got.head.has_query);
    parse_good(&got, "GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_span(&got, got.head.path, "/");
    assert_span(&got, got.head.query, "x");
}

static void asterisk_is_for_options(void **state)
{
    static struct outcome got;

    (void)state;
    parse_good(&got, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(got.head.form, HTTP_FORM_ASTERISK);
    assert_span(&got, got.head.path, "*");
    assert_int_equal(got.head.query.len, 0);
}

static void keep_alive_follows_version_and_connection(void **state)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: x ,\tCLOSE\t, y\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
          false },
        { "GET / HTTP/1.0\r\n\r\n", false },
        { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
        { "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false },
    };
    static struct outcome got;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        parse_good(&got, rows[i].text);
        if (got.head.keep_alive != rows[i].keep_alive)
            fail_msg("%s", rows[i].text);
    }
}

static void framing_is_decided(void **state)
{
    static struct outcome got;

    (void)state;
    parse_good(&got, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n");
    assert_int_equal(got.head.framing, HTTP_BODY_CHUNKED);
    parse_good(&got, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n");
    assert_int_equal(got.head.framing, HTTP_BODY_LENGTH);
    assert_true(got.head.content_length == INT64_MAX);
    parse_good(&got, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0007\r\n\r\n");
    assert_int_equal(got.head.content_length, 7);
    parse_good(&got, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(got.head.framing, HTTP_BODY_NONE);
    parse_good(&got, "POST / HTTP/1.1\r\nHost: a\r\nX-Transfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(got.head.framing, HTTP_BODY_NONE);
}

static void content_coding_is_reported(void **state)
{
    static const struct {
        const char *value;
        enum http_coding coding;
    } rows[] = {
        { "Content-Encoding: GZIP", HTTP_CODING_GZIP },
        { "Content-Encoding: x-gzip", HTTP_CODING_GZIP },
        { "Content-Encoding: identity", HTTP_CODING_IDENTITY },
        { "Content-Encoding: br", HTTP_CODING_OTHER },
        { "Content-Encoding: gzip, gzip", HTTP_CODING_OTHER },
        { "Content-Encoding: gzip\r\nContent-Encoding: gzip", HTTP_CODING_OTHER },
        { "Content-Encoding:", HTTP_CODING_OTHER },
        { "X-Content-Encoding: gzip", HTTP_CODING_IDENTITY },
    };
    static struct outcome got;
    char text[200];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(text, sizeof text, "PUT / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", rows[i].value);
        parse_good(&got, text);
        if (got.head.coding != rows[i].coding)
            fail_msg("%s", rows[i].value);
    }
}

static void expectation_counts_in_1_1_only(void **state)
{
    static struct outcome got;

    (void)state;
    parse_good(&got, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n");
    assert_true(got.head.expect_continue);
    parse_good(&got, "PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert_false(got.head.expect_continue);
}

/* "GET /aaa.. HTTP/1.1" of len bytes, and "X: aaa.." headers that fill header_len bytes. */
static size_t compose(char *out, size_t line_len, size_t header_len, size_t fields)
{
    size_t at = line_len;

    memset(out, 'a', line_len);
    memcpy(out, "GET /", 5);
    memcpy(out + line_len - 9, " HTTP/1.1", 9);
    memcpy(out + at, "\r\n", 2);
    at += 2;
    for (size_t i = 0; i < fields; i++) {
        size_t bytes = i + 1 < fields ? 9 : header_len - 9 * i;
        memset(out + at, 'a', bytes);
        memcpy(out + at, i == 0 ? "Host: " : "Xxxx: ", 6);
        memcpy(out + at + bytes - 2, "\r\n", 2);
        at += bytes;
    }
    memcpy(out + at, "\r\n", 2);
    return at + 2;
}

static void limits_are_exact(void **state)
{
    static struct outcome got;
    static char text[INPUT_MAX];
    size_t len;

    (void)state;
    len = compose(text, 200, 400, 10);
    parse(&got, text, len);
    assert_int_equal(got.result, HTTP_COMPLETE);
    assert_int_equal(got.head.field_count, 10);
    len = compose(text, 201, 400, 10);
    parse(&got, text, len);
    assert_int_equal(got.head.status, 414);
    len = compose(text, 200, 401, 10);
    parse(&got, text, len);
    assert_int_equal(got.head.status, 431);
    len = compose(text, 200, 400, 11);
    parse(&got, text, len);
    assert_int_equal(got.head.status, 431);
}

static void endless_lines_are_cut_off(void **state)
{
    static struct outcome got;
    static char text[INPUT_MAX];

    (void)state;
    memset(text, 'a', sizeof text);
    parse(&got, text, 201);
    assert_int_equal(got.result, HTTP_MORE);
    parse(&got, text, 202);
    assert_int_equal(got.head.status, 414);
    memcpy(text, "GET / HTTP/1.1\r\n", 16);
    parse(&got, text, 16 + 401);
    assert_int_equal(got.result, HTTP_MORE);
    parse(&got, text, 16 + 402);
    assert_int_equal(got.head.status, 431);
}

static void list_members_are_compared_whole(void **state)
{
    (void)state;
    assert_true(http_list_has(ANDIRON_STR("a,b"), ANDIRON_STR("b")));
    assert_true(http_list_has(ANDIRON_STR(" , A ,"), ANDIRON_STR("a")));
    assert_false(http_list_has(ANDIRON_STR("ab, a b"), ANDIRON_STR("a")));
    assert_false(http_list_has(ANDIRON_STR(""), ANDIRON_STR("a")));
    assert_false(http_list_has(ANDIRON_STR(",,"), ANDIRON_STR("")));
}

/* ---- chunked bodies ------------------------------------------------------- */

struct body {
    enum http_chunk result;
    int status;
    char data[INPUT_MAX];
    size_t len, used;
};

static void decode_in(struct body *ret, const char *text, size_t len, size_t (*piece)(void))
{
    struct http_chunked chunked;

    memset(ret, 0, sizeof *ret);
    http_chunked_init(&chunked, &limits);
    while (ret->used < len) {
        size_t more = piece != NULL ? piece() : len, used = 0;
        andiron_str data = { NULL, 0 };
        char *exact;

        if (more > len - ret->used)
            more = len - ret->used;
        exact = malloc(more);
        memcpy(exact, text + ret->used, more);
        ret->result = http_chunked_next(&chunked, exact, more, &used, &data);
        assert_true(used <= more);
        if (ret->result == HTTP_CHUNK_DATA) {
            assert_true(data.len > 0 && data.data + data.len == exact + used);
            memcpy(ret->data + ret->len, data.data, data.len);
            ret->len += data.len;
        }
        free(exact);
        ret->used += used;
        ret->status = chunked.status;
        if (ret->result == HTTP_CHUNK_END || ret->result == HTTP_CHUNK_ERROR)
            return;
    }
}

static void decode(struct body *ret, const char *text, size_t len)
{
    static struct body other;

    decode_in(ret, text, len, NULL);
    for (int i = 0; i < 20; i++) {
        decode_in(&other, text, len, i == 0 ? one_byte : few_bytes);
        assert_int_equal(ret->status, other.status);
        assert_int_equal(ret->used, other.used);
        assert_int_equal(ret->len, other.len);
        assert_memory_equal(ret->data, other.data, ret->len);
        if (ret->result != HTTP_CHUNK_DATA) /* the last call's view depends on the split */
            assert_int_equal(ret->result, other.result);
    }
}

static const struct refusal chunk_refusals[] = {
    ROW("size missing", 400, "\r\n"),
    ROW("size with 0x", 400, "0x4\r\nabcd\r\n0\r\n\r\n"),
    ROW("size with plus", 400, "+4\r\nabcd\r\n0\r\n\r\n"),
    ROW("size with minus", 400, "-4\r\nabcd\r\n0\r\n\r\n"),
    ROW("size behind blank", 400, " 4\r\nabcd\r\n0\r\n\r\n"),
    ROW("size before blank", 400, "4 \r\nabcd\r\n0\r\n\r\n"),
    ROW("size before tab", 400, "4\t\r\nabcd\r\n0\r\n\r\n"),
    ROW("size with letter g", 400, "4g\r\nabcd\r\n0\r\n\r\n"),
    ROW("size of nine digits", 400, "000000004\r\nabcd\r\n0\r\n\r\n"),
    ROW("size of 2^64 + 4", 400, "10000000000000004\r\nabcd\r\n0\r\n\r\n"),
    ROW("size in underscores", 400, "1_0\r\n"),
    ROW("bare LF behind size", 400, "4\nabcd\r\n0\r\n\r\n"),
    ROW("bare CR behind size", 400, "4\rabcd\r\n0\r\n\r\n"),
    ROW("size empty before extension", 400, ";a\r\n"),
    ROW("bare LF in extension", 400, "4;a\nabcd\r\n0\r\n\r\n"),
    ROW("NUL in extension", 400, "4;a\0\r\nabcd\r\n0\r\n\r\n"),
    ROW("bare CR in extension", 400, "4;a\rb\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension without name", 400, "4;\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension with '=' only", 400, "4;=a\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension without value", 400, "4;a=\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension with blank", 400, "4;a b\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension with open quote", 400, "4;a=\"b\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension with escaped last quote", 400, "4;a=\"b\\\"\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension with bytes behind the quote", 400, "4;a=\"b\"c\r\nabcd\r\n0\r\n\r\n"),
    ROW("extension with LF in quotes", 400, "4;a=\"b\nc\"\r\nabcd\r\n0\r\n\r\n"),
    ROW("no CR LF behind data", 400, "4\r\nabcde\r\n0\r\n\r\n"),
    ROW("LF behind data", 400, "4\r\nabcd\n0\r\n\r\n"),
    ROW("CR without LF behind data", 400, "4\r\nabcd\r0\r\n\r\n"),
    ROW("bare LF behind last chunk", 400, "0\r\n\n"),
    ROW("bare CR behind last chunk", 400, "0\r\n\rx"),
    ROW("trailer folded", 400, "0\r\nA: b\r\n c\r\n\r\n"),
    ROW("trailer without colon", 400, "0\r\nAlone\r\n\r\n"),
    ROW("trailer without name", 400, "0\r\n: b\r\n\r\n"),
    ROW("trailer with blank before colon", 400, "0\r\nA : b\r\n\r\n"),
    ROW("trailer with NUL", 400, "0\r\nA: \0\r\n\r\n"),
    ROW("trailer with bare LF", 400, "0\r\nA: b\n\r\n"),
    ROW("request line as trailer", 400, "0\r\nGET /admin HTTP/1.1\r\n\r\n"),
    ROW("eleven trailers", 431,
        "0\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n"),
};

static void every_chunk_rule_is_refused_in_every_split(void **state)
{
    static struct body got;

    (void)state;
    for (size_t i = 0; i < COUNT(chunk_refusals); i++) {
        const struct refusal *row = &chunk_refusals[i];
        decode(&got, row->text, row->len);
        /* Behind a chunk's data the error comes with the next call. */
        if (got.result == HTTP_CHUNK_DATA)
            decode_in(&got, row->text, row->len, one_byte);
        if (got.result != HTTP_CHUNK_ERROR || got.status != row->status)
            fail_msg("%s: result %d status %d, not %d", row->claim, (int)got.result, got.status,
                     row->status);
    }
}

static void chunks_are_joined_and_the_next_request_is_left(void **state)
{
    static const char text[] = "4\r\nabcd\r\n00000A;name=\"va;l\\\"ue\";x;y=z\r\n0123456789\r\n"
                               "0;last\r\nContent-Length: 5\r\nX:\r\n\r\nGET / HTTP/1.1";
    static struct body got;

    (void)state;
    decode(&got, text, sizeof text - 1);
    assert_int_equal(got.result, HTTP_CHUNK_END);
    assert_int_equal(got.len, 14);
    assert_memory_equal(got.data, "abcd0123456789", 14);
    assert_string_equal(text + got.used, "GET / HTTP/1.1");
}

static void chunk_limits_are_exact(void **state)
{
    static struct body got;
    static char text[INPUT_MAX];
    int len;

    (void)state;
    len = snprintf(text, sizeof text, "0;%0256d\r\n\r\n", 1);
    decode(&got, text, (size_t)len);
    assert_int_equal(got.result, HTTP_CHUNK_END);
    len = snprintf(text, sizeof text, "0;%0257d\r\n\r\n", 1);
    decode(&got, text, (size_t)len);
    assert_int_equal(got.status, 400);
    len = snprintf(text, sizeof text, "0\r\nA:%0398d\r\n\r\n", 1);
    decode(&got, text, (size_t)len);
    assert_int_equal(got.result, HTTP_CHUNK_END);
    len = snprintf(text, sizeof text, "0\r\nA:%0399d\r\n\r\n", 1);
    decode(&got, text, (size_t)len);
    assert_int_equal(got.status, 431);
    decode(&got, "FFFFFFFF\r\nx", 11);
    assert_int_equal(got.len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_refused_in_every_split),
        cmocka_unit_test(an_error_is_known_at_the_end_of_its_line),
        cmocka_unit_test(a_full_head_is_read),
        cmocka_unit_test(allowed_forms_are_accepted),
        cmocka_unit_test(absolute_form_replaces_host),
        cmocka_unit_test(asterisk_is_for_options),
        cmocka_unit_test(keep_alive_follows_version_and_connection),
        cmocka_unit_test(framing_is_decided),
        cmocka_unit_test(content_coding_is_reported),
        cmocka_unit_test(expectation_counts_in_1_1_only),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(endless_lines_are_cut_off),
        cmocka_unit_test(list_members_are_compared_whole),
        cmocka_unit_test(every_chunk_rule_is_refused_in_every_split),
        cmocka_unit_test(chunks_are_joined_and_the_next_request_is_left),
        cmocka_unit_test(chunk_limits_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
