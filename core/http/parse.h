/*
 * HTTP/1.1 request heads and chunked bodies, read strictly (RFC 9112).
 *
 * Pure functions over bytes that the caller owns: no allocation, no I/O, any
 * thread. Both readers are resumable and give the same result however the
 * input is split. A request that could be framed in two ways is never accepted:
 * the answer to an error is `status`, and then the connection must be closed,
 * because where the next request would begin is not known.
 */
#ifndef CORE_HTTP_PARSE_H
#define CORE_HTTP_PARSE_H

#include <andiron/base.h>

/* ---- heads ---------------------------------------------------------------- */

struct http_limits {
    uint32_t request_line; /* bytes without its CRLF; beyond: 414 */
    uint32_t header;       /* bytes of all header lines with their CRLFs; beyond: 431 */
    uint32_t fields;       /* header lines; beyond: 431 */
};

/* A range of the caller's bytes, as offsets: the bytes may move while a head is incomplete. */
struct http_span {
    uint32_t at, len;
};

struct http_field {
    struct http_span name;  /* lower-case once read */
    struct http_span value; /* without blanks around it; may be empty */
};

enum http_result { HTTP_MORE, HTTP_COMPLETE, HTTP_ERROR };

enum http_form {
    HTTP_FORM_ORIGIN,   /* "/fhir/Patient?name=a" */
    HTTP_FORM_ABSOLUTE, /* "http://host/fhir/Patient"; its authority replaces Host */
    HTTP_FORM_ASTERISK  /* "*", with OPTIONS only */
};

enum http_framing {
    HTTP_BODY_NONE,   /* also for `Content-Length: 0` */
    HTTP_BODY_LENGTH, /* content_length bytes follow, at least one */
    HTTP_BODY_CHUNKED /* read it with http_chunked_next() */
};

/* Content-Encoding. OTHER is for the caller to refuse with 415: the framing is sound. */
enum http_coding { HTTP_CODING_IDENTITY, HTTP_CODING_GZIP, HTTP_CODING_OTHER };

/* Read-only for the caller; results are valid after HTTP_COMPLETE only. */
struct http_head {
    struct http_span method, target; /* as sent */
    struct http_span path;           /* of target, not decoded; "/" where absolute-form has none */
    struct http_span query;          /* behind '?', not decoded */
    struct http_span host; /* authority of an absolute-form target, else Host; len 0: none */
    enum http_form form;
    uint8_t minor;  /* HTTP/1.<minor>: 0 or 1 */
    bool has_query; /* a '?' was there, even with nothing behind it */
    bool keep_alive;
    bool expect_continue; /* `Expect: 100-continue`, from a 1.1 client only */
    enum http_framing framing;
    enum http_coding coding;
    uint64_t content_length; /* 0 unless HTTP_BODY_LENGTH */
    struct http_field *fields;
    uint32_t field_count;
    uint32_t bytes; /* of the whole head, with its final empty line; the body starts there */

    /* HTTP_ERROR */
    int status;         /* 400, 414, 417, 431, 501, 505 */
    const char *reason; /* a literal: what is wrong, what would be right */

    /* own to the parser */
    uint32_t line, scanned, header_at;
    uint8_t state, seen;
};

/* Ready for the first byte of a request; fields holds limits->fields entries and lives as long. */
void http_head_init(struct http_head *head, struct http_field *fields);

/*
 * Reads on in data, which holds all bytes of the request so far from its first
 * one; len never shrinks between calls, and data may have moved. Lower-cases
 * field names in place. After COMPLETE or ERROR call http_head_init() first.
 * At most limits->request_line + limits->header + 6 bytes are ever needed.
 */
enum http_result http_head_parse(struct http_head *head, const struct http_limits *limits,
                                 char *data, size_t len);

static inline andiron_str http_view(const char *data, struct http_span span)
{
    andiron_str view = { data + span.at, span.len };
    return view;
}

/*
 * Value of the next field of that lower-case name from field *pos on, which starts at 0; absent
 * if there is none. Walks repeated fields in order.
 */
andiron_str http_head_value(const struct http_head *head, const char *data, andiron_str name,
                            uint32_t *pos);

/* "host", "host:port", "[v6]", "[v6]:port": names that DNS can hold, so neither '%' nor '@'. */
bool http_host_valid(andiron_str host);

/* Whether a comma-separated list (Connection, Accept-Encoding) holds token, in any case. */
bool http_list_has(andiron_str list, andiron_str lower_token);

/* ---- chunked bodies --------------------------------------------------------- */

enum { HTTP_CHUNK_EXT_MAX = 256 }; /* bytes of the extensions of one chunk */

enum http_chunk {
    HTTP_CHUNK_MORE, /* all input consumed */
    HTTP_CHUNK_DATA, /* *ret_data is the next piece of the body */
    HTTP_CHUNK_END,  /* body and trailers are over; what is behind *ret_used is the next request */
    HTTP_CHUNK_ERROR /* status and reason say what */
};

struct http_chunked {
    uint32_t left;     /* of the current chunk; for the caller: at least so much is to come */
    uint16_t ext_left; /* own to the reader, as all below */
    uint8_t state, digits;
    uint32_t trailer_left, fields_left;
    int status;         /* 400, 431 */
    const char *reason; /* a literal */
};

/* Trailers fall under the limits of headers; they are read and dropped. */
void http_chunked_init(struct http_chunked *chunked, const struct http_limits *limits);

/*
 * Consumes *ret_used of the len bytes of data. Call it again with the rest until it
 * returns MORE, END or ERROR. *ret_data is a view into data, never empty, with DATA only. The
 * caller counts the body's bytes against its limit.
 */
enum http_chunk http_chunked_next(struct http_chunked *chunked, const char *data, size_t len,
                                  size_t *ret_used, andiron_str *ret_data);

#endif
