/*
 * What a client wants its answer to look like: Accept, _format, _pretty, Prefer;
 * and what it says its body is. Pure functions over header values, and one that
 * asks the request.
 */
#ifndef FHIR_NEGOTIATE_H
#define FHIR_NEGOTIATE_H

#include "fhir.h"

enum prefer_return { RETURN_DEFAULT, RETURN_MINIMAL, RETURN_REPRESENTATION, RETURN_OUTCOME };

struct wanted {
    const char *content_type; /* a literal */
    bool pretty;
    enum prefer_return give;
    bool has_handling;
    enum fhir_handling handling;
};

/* From the request's headers and query. -1: the request has been failed with 406. */
int negotiate(struct andiron_request *req, struct wanted *ret);

/*
 * Media type for an Accept header (absent: default of the base), or NULL if it
 * allows neither application/fhir+json nor application/json.
 */
const char *negotiate_accept(andiron_str accept, enum fhir_base base);

/* Media type for a value of _format ("json", "application/fhir+json"), or NULL. */
const char *negotiate_format(andiron_str format, enum fhir_base base);

/* Whether a Content-Type (absent: yes) is FHIR JSON in UTF-8. */
bool negotiate_is_json(andiron_str content_type);

/* Whether a media type without parameters is that one, whatever its case. */
bool negotiate_is_type(andiron_str type, const char *name);

/* Sets what a Prefer header says; unknown preferences are ignored (RFC 7240). */
void negotiate_prefer(andiron_str prefer, struct wanted *ret);

/* Whether If-None-Match names version: W/"3", "3", a list, or *. */
bool negotiate_etag_matches(andiron_str if_none_match, uint64_t version);

/*
 * The version that an If-Match or If-None-Match of a write names: W/"3" or "3"; NEGOTIATE_FOREIGN, which no
 * resource has, for an ETag that is none of ours; NEGOTIATE_LOOK for * and for lists, which
 * negotiate_etag_matches() compares with what is stored. -1 for anything else.
 */
#define NEGOTIATE_FOREIGN UINT64_MAX
#define NEGOTIATE_LOOK (UINT64_MAX - 1)
int negotiate_if_match(andiron_str if_match, uint64_t *ret_version);

#endif
