/*
 * Error codes: their HTTP status and FHIR issue type. C library only.
 */
#include <andiron/error.h>

#include <stdarg.h>
#include <stdio.h>

struct meaning {
    int http;
    const char *issue; /* http://hl7.org/fhir/issue-type */
};

static const struct meaning meanings[] = {
    [ANDIRON_OK] = { 200, "informational" },
    [ANDIRON_E_INVALID] = { 400, "invalid" },
    [ANDIRON_E_STRUCTURE] = { 400, "structure" },
    [ANDIRON_E_UNAUTHENTICATED] = { 401, "login" },
    [ANDIRON_E_CREDENTIALS] = { 401, "security" },
    [ANDIRON_E_EXPIRED] = { 401, "expired" },
    [ANDIRON_E_FORBIDDEN] = { 403, "forbidden" },
    [ANDIRON_E_NOT_FOUND] = { 404, "not-found" },
    [ANDIRON_E_METHOD] = { 405, "not-supported" },
    [ANDIRON_E_NOT_ACCEPTABLE] = { 406, "not-supported" },
    [ANDIRON_E_CONFLICT] = { 409, "conflict" },
    [ANDIRON_E_GONE] = { 410, "deleted" },
    [ANDIRON_E_PRECONDITION] = { 412, "conflict" },
    [ANDIRON_E_MULTIPLE_MATCHES] = { 412, "multiple-matches" },
    [ANDIRON_E_TOO_LARGE] = { 413, "too-long" },
    [ANDIRON_E_MEDIA_TYPE] = { 415, "not-supported" },
    [ANDIRON_E_UNPROCESSABLE] = { 422, "processing" },
    [ANDIRON_E_ELEMENT] = { 422, "structure" },
    [ANDIRON_E_VALUE] = { 422, "value" },
    [ANDIRON_E_BUSINESS_RULE] = { 422, "business-rule" },
    [ANDIRON_E_VERSION_NEEDED] = { 428, "required" },
    [ANDIRON_E_THROTTLED] = { 429, "throttled" },
    [ANDIRON_E_INTERNAL] = { 500, "exception" },
    [ANDIRON_E_NOT_IMPLEMENTED] = { 501, "not-supported" },
    [ANDIRON_E_UNAVAILABLE] = { 503, "transient" },
    [ANDIRON_E_TIMEOUT] = { 504, "timeout" },
    [ANDIRON_E_NO_SPACE] = { 507, "no-store" },
    [ANDIRON_E_REQUIRED] = { 422, "required" },
    [ANDIRON_E_CODE] = { 422, "code-invalid" },
};

/* A code that a newer plugin made up counts as a fault of ours. */
static const struct meaning *meaning_of(enum andiron_code code)
{
    if ((size_t)code >= sizeof(meanings) / sizeof(meanings[0]))
        code = ANDIRON_E_INTERNAL;
    return &meanings[code];
}

int andiron_code_http(enum andiron_code code)
{
    return meaning_of(code)->http;
}

const char *andiron_code_issue(enum andiron_code code)
{
    return meaning_of(code)->issue;
}

/* Ends a cut text before a UTF-8 sequence that did not fit whole. */
static void cut_whole(char *text, size_t size)
{
    size_t len = strlen(text);
    if (len + 1 < size)
        return;
    size_t start = len;
    while (start > 0 && len - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t needs = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (len - start < needs)
        text[start - 1] = '\0';
}

int andiron_error_set(struct andiron_error *err, enum andiron_code code, const char *where,
                      const char *fmt, ...)
{
    if (err == NULL)
        return -1;
    err->code = code;
    /* where may be err->where itself: a caller that adds to an error passes it on. */
    if (where != err->where)
        (void)snprintf(err->where, sizeof(err->where), "%s", where != NULL ? where : "");
    char message[sizeof(err->message)];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof(message), fmt, args) < 0)
        message[0] = '\0';
    va_end(args);
    memcpy(err->message, message, sizeof(message));
    cut_whole(err->where, sizeof(err->where));
    cut_whole(err->message, sizeof(err->message));
    return -1;
}
