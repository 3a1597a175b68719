/*
 * Request targets: the one canonical path, and name=value pairs of queries and forms.
 *
 * Routing and policies both see what target_path() returns, so a path that could
 * be spelled in another way is refused, not repaired. Pure functions; the arena is
 * used only where something is to be decoded. Any thread.
 */
#ifndef CORE_HTTP_TARGET_H
#define CORE_HTTP_TARGET_H

#include <andiron/base.h>

/*
 * The decoded path of an origin-form target without its query: a view into raw, or into arena
 * where an escape was decoded. It begins with '/', and only "/" ends with one: "/fhir/" is
 * returned as "/fhir", any other slash at the end is refused.
 *
 * Also refused: empty, "." and ".." segments; ';' and what RFC 3986 does not allow in a path;
 * escapes that are not hex, of a character that can stand there unescaped (a second spelling),
 * of / \ ; ? # % and control characters; and text that is not UTF-8. -1 and *ret_reason, a
 * literal for the answer 400.
 */
ANDIRON_MUST_CHECK int target_path(struct andiron_arena *arena, andiron_str raw, andiron_str *ret,
                                   const char **ret_reason);

enum target_param { TARGET_PARAM, TARGET_PARAM_END, TARGET_PARAM_ERROR };

/* A walk over "name=value&name=value": a query, or an application/x-www-form-urlencoded body. */
struct target_params {
    andiron_str rest;   /* not yet read */
    size_t left;        /* pairs that may still come */
    const char *reason; /* with TARGET_PARAM_ERROR: a literal for the answer 400 */
};

static inline void target_params_init(struct target_params *params, andiron_str text,
                                      size_t max_pairs)
{
    *params = (struct target_params){ .rest = text, .left = max_pairs };
}

/*
 * Next pair in source order, '+' and escapes decoded; views into the text or into arena. A
 * name without '=' has the empty value; empty pieces ("a=1&&b=2") are skipped. Errors, which end
 * the walk: escapes that are not hex or stand for NUL, bare control characters, text
 * that is not UTF-8, more pairs than max_pairs.
 */
enum target_param target_params_next(struct target_params *params, struct andiron_arena *arena,
                                     andiron_str *ret_name, andiron_str *ret_value);

#endif
