/*
 * andiron/request.h - one request: what came in, who asks, what goes out.
 *
 * A request lives on one event-loop thread from its first byte to its log line;
 * every function here is called on that thread. Everything it hands out lives as
 * long as the request. A request may also be internal (a Bundle entry, a
 * background job): it then has no connection, and the same functions work.
 */
#ifndef ANDIRON_REQUEST_H
#define ANDIRON_REQUEST_H

#include <andiron/error.h>
#include <andiron/json.h>

struct andiron_request;
struct andiron_principal; /* auth.h */

/* What a step tells core. */
enum andiron_step {
    ANDIRON_NEXT, /* I have no more to say: go on with the next hook */
    ANDIRON_DONE, /* the response is decided: go to the RESPOND phase */
    ANDIRON_AGAIN /* I wait: a later step was named and will be called */
};

/*
 * Every hook, route handler and continuation has this shape. For hooks and
 * handlers, state is the plugin's own (what init() returned); for continuations
 * it is what was given when the wait began.
 */
typedef enum andiron_step (*andiron_step_fn)(struct andiron_request *req, void *state);

/* ---- what came in ------------------------------------------------------ */

ANDIRON_API struct andiron_arena *andiron_request_arena(struct andiron_request *req);
ANDIRON_API andiron_str andiron_request_id(const struct andiron_request *req);
/* HEAD is given as GET: it is decided and handled alike, and core leaves the body out. */
ANDIRON_API andiron_str andiron_request_method(const struct andiron_request *req);

/* Path without query, percent-decoded and normalised; query as sent, without '?'. */
ANDIRON_API andiron_str andiron_request_path(const struct andiron_request *req);
ANDIRON_API andiron_str andiron_request_query(const struct andiron_request *req);

/* Public base URL, without a final '/': what every URL in an answer starts with. */
ANDIRON_API andiron_str andiron_request_base(const struct andiron_request *req);

/* Address of the client, behind trusted proxies too. */
ANDIRON_API andiron_str andiron_request_remote(const struct andiron_request *req);

/* Header by lower-case name; repeated headers are joined by ", ". */
ANDIRON_API andiron_str andiron_request_header(const struct andiron_request *req, const char *name);

/*
 * W3C Trace Context of the client, also of an inner request: to be sent along, as it is, to whoever
 * is called for this request. Both absent if the client sent none or a malformed one.
 */
struct andiron_trace {
    andiron_str parent; /* value of "traceparent", version 00 */
    andiron_str state;  /* value of "tracestate", at most 512 bytes; may be absent */
};
ANDIRON_API struct andiron_trace andiron_request_trace(const struct andiron_request *req);

/* Placeholder of the matched route: "id" for {id}. */
ANDIRON_API andiron_str andiron_request_var(const struct andiron_request *req, const char *name);

/* Operation of the matched route, "FhirSearch"; NULL before routing or if it has none. */
ANDIRON_API const char *andiron_request_operation(const struct andiron_request *req);

/*
 * Gives the request a finer operation than its route's: FhirConditionalCreate where a
 * FhirCreate carries If-None-Exist. From a RECEIVE hook, so that policies see it; name is a literal.
 */
ANDIRON_API void andiron_request_refine_operation(struct andiron_request *req, const char *name);

/*
 * Walks query parameters, and those of a form body, in source order, decoded.
 * *pos starts at 0; false at the end.
 */
ANDIRON_API bool andiron_request_param(struct andiron_request *req, size_t *pos,
                                       andiron_str *ret_name, andiron_str *ret_value);

/* Body bytes, complete from AUTHORIZE on; absent when there is none. */
ANDIRON_API andiron_str andiron_request_body(const struct andiron_request *req);

/* Next piece of the body, absent at the end; on ANDIRON_ROUTE_UPLOAD routes only. */
ANDIRON_API enum andiron_step andiron_request_read(struct andiron_request *req,
                                                   andiron_str *ret_piece, andiron_step_fn then,
                                                   void *state);

/* Body parsed as JSON once and kept; -1: the request has been failed with 400 and the position. */
ANDIRON_API ANDIRON_MUST_CHECK int andiron_request_json(struct andiron_request *req,
                                                        andiron_json *ret);

/* ---- who asks, and what they may do ------------------------------------- */

/* Never NULL; an anonymous principal until an AUTHENTICATE hook names another. */
ANDIRON_API const struct andiron_principal *
andiron_request_principal(const struct andiron_request *req);
ANDIRON_API void andiron_request_set_principal(struct andiron_request *req,
                                               const struct andiron_principal *principal);

/*
 * Records that the AUTHORIZE phase found a reason to let the request through,
 * such as "AccessPolicy/reader". Without one, core answers 403 (401 if
 * anonymous) on every route that is not ANDIRON_ROUTE_PUBLIC.
 */
ANDIRON_API void andiron_request_grant(struct andiron_request *req, const char *reason);
ANDIRON_API const char *andiron_request_granted(const struct andiron_request *req); /* or NULL */

/*
 * Notes for LOG hooks and the access line: "reason", "oauth-error". Neither
 * secrets nor patient data; name is a literal, value lives as long as the request.
 */
ANDIRON_API void andiron_request_note(struct andiron_request *req, const char *name,
                                      andiron_str value);
ANDIRON_API andiron_str andiron_request_noted(const struct andiron_request *req, const char *name);

/*
 * Narrows what a granted request may see or write: resources of type count only
 * if they match at least one of the FHIR search expressions in any_of, a
 * NULL-terminated list that lives as long as the request. Several calls add up
 * (AND). type "*" means every type; "_compartment=Patient/12" is understood.
 * Storage queries carry the condition, so totals and pages are exact. Writes and old
 * versions are judged by their content alone: an expression with a chain or _has never
 * lets one through.
 */
ANDIRON_API void andiron_request_narrow(struct andiron_request *req, const char *type,
                                        const char *const *any_of);
/* Walks the narrowings that apply to searches of type; *pos starts at 0; NULL ends the walk. */
ANDIRON_API const char *const *andiron_request_narrowing(const struct andiron_request *req,
                                                         size_t *pos, andiron_str type);

/* What is done with a resource: each may be narrowed differently. */
enum andiron_access {
    ANDIRON_ACCESS_SEARCH, /* found by a search, a chain, an include, a history of many */
    ANDIRON_ACCESS_READ,   /* asked for by its id: read, vread, its own history */
    ANDIRON_ACCESS_SEE,    /* either of these is enough: $everything */
    ANDIRON_ACCESS_CREATE,
    ANDIRON_ACCESS_UPDATE, /* patched, too; also where an update creates */
    ANDIRON_ACCESS_DELETE
};
enum { ANDIRON_ACCESSES = ANDIRON_ACCESS_DELETE + 1 };

struct andiron_prepared; /* of search/1 */

/* Resources that match at least one of the expressions. */
struct andiron_limit {
    const char *const *any_of;               /* NULL-terminated; empty: none at all */
    const struct andiron_prepared *prepared; /* the same, made by search/1 prepare(); or NULL */
};

/*
 * A narrowing of every type, made once for many requests: all with the same token. The
 * plugin's own data stands behind it.
 */
struct andiron_narrowing {
    size_t size;
    /* What counts of type; NULL: all of it. Any thread. */
    const struct andiron_limit *(*limit)(const struct andiron_narrowing *self, andiron_str type,
                                         enum andiron_access access);
};

/* Like andiron_request_narrow() for all types at once; narrowing outlives the request. */
ANDIRON_API void andiron_request_narrow_with(struct andiron_request *req,
                                             const struct andiron_narrowing *narrowing);
/* Walks the limits of both kinds for one access to type; *pos starts at 0; NULL ends the walk. */
ANDIRON_API const struct andiron_limit *andiron_request_limit(const struct andiron_request *req,
                                                              size_t *pos, andiron_str type,
                                                              enum andiron_access access);

/* ---- what goes out ------------------------------------------------------ */

/*
 * Headers set before the reply; a second call with the same name replaces the first, an absent
 * value removes it. name is a literal, value lives as long as the request. What frames the
 * message (Content-Length, Transfer-Encoding, Connection), Date and X-Request-Id are core's own.
 * A failure drops what described the representation: ETag, Last-Modified, Location, Content-*.
 */
ANDIRON_API void andiron_reply_header(struct andiron_request *req, const char *name,
                                      andiron_str value);

/*
 * Whole response. body is not copied and must live as long as the request
 * (arena, store row, literal). Returns ANDIRON_DONE:
 *
 *     return andiron_reply(req, 200, "application/fhir+json", body);
 */
ANDIRON_API enum andiron_step andiron_reply(struct andiron_request *req, int status,
                                            const char *content_type, andiron_str body);

/*
 * Fails the request: core writes the OperationOutcome or OAuth error. Returns
 * ANDIRON_DONE. The message names what is wrong and what would be right.
 */
ANDIRON_API enum andiron_step andiron_fail(struct andiron_request *req, enum andiron_code code,
                                           const char *fmt, ...) ANDIRON_PRINTF(3, 4);
ANDIRON_API enum andiron_step andiron_fail_with(struct andiron_request *req,
                                                const struct andiron_error *err);

/*
 * Adds an issue to the outcome of the failure that follows, behind the failure's own, which sets
 * the status: validation reports all at once.
 */
ANDIRON_API void andiron_fail_also(struct andiron_request *req, const struct andiron_error *err);

/*
 * Long responses: start, then write piece by piece. write() takes a copy, and
 * waits while the peer is slow; `then` is called when there is room again.
 */
ANDIRON_API void andiron_reply_start(struct andiron_request *req, int status,
                                     const char *content_type);
ANDIRON_API enum andiron_step andiron_reply_write(struct andiron_request *req, andiron_str piece,
                                                  andiron_step_fn then, void *state);
ANDIRON_API enum andiron_step andiron_reply_end(struct andiron_request *req);

/* Whole response from a file: length bytes of fd from offset; core closes fd. */
ANDIRON_API enum andiron_step andiron_reply_file(struct andiron_request *req, int status,
                                                 const char *content_type, int fd, uint64_t offset,
                                                 uint64_t length);

/*
 * The response so far, for RESPOND and LOG hooks; body absent when it was streamed.
 * A RESPOND hook may replace it by calling andiron_reply() again.
 */
ANDIRON_API int andiron_reply_status(const struct andiron_request *req);
/* A header set by andiron_reply_header(), by name in any case; absent if it was not set. */
ANDIRON_API andiron_str andiron_replied_header(const struct andiron_request *req, const char *name);
ANDIRON_API andiron_str andiron_reply_body(const struct andiron_request *req);

#endif
