/*
 * Route table: finds the handler for a method and path.
 *
 * Built once before the loops start, read-only after that, so lookups take no
 * lock. Knows nothing of requests; http/request.c copies what it needs.
 */
#ifndef CORE_HTTP_ROUTE_H
#define CORE_HTTP_ROUTE_H

#include "http/app.h"

enum { ROUTE_MAX_VARS = 8 };

/*
 * Which listener a request came in by: it decides which routes exist for it. CONTROL has those
 * with ANDIRON_ROUTE_CONTROL and no others. ADMIN has those with ANDIRON_ROUTE_ADMIN. PUBLIC has
 * all but the CONTROL ones: an ADMIN route without ANDIRON_ROUTE_PUBLIC (metrics) is there, too,
 * but needs a grant like any other.
 */
enum route_side { ROUTE_SIDE_PUBLIC, ROUTE_SIDE_ADMIN, ROUTE_SIDE_CONTROL };

struct route_table;

struct route_var {
    const char *name; /* as in the pattern, without braces; lives as long as the table */
    andiron_str value;
};

struct route_match {
    const struct http_route *route; /* NULL: no route of that path and method */
    struct route_var vars[ROUTE_MAX_VARS];
    size_t var_count;
    const char *allow; /* for 405: "GET, HEAD, PUT", if the path has other methods; else NULL */
    bool oauth;        /* errors here are OAuth's, also where only the method is wrong, or where
                          only the first segment is that of OAuth endpoints */
};

/*
 * A table of `count` routes, which must outlive it. NULL and err (naming both owners) where two
 * have the same method and pattern on one side ({a} and {b} are the same), or a pattern is
 * malformed: it begins with '/', and a placeholder is a whole segment.
 */
struct route_table *route_table_new(const struct http_route *routes, size_t count,
                                    struct andiron_error *err);
void route_table_free(struct route_table *table);

/*
 * path is decoded and normalised, and must outlive *ret (vars are views into it). HEAD finds GET.
 * The path is decided before the method: where "GET /a/b" and "PUT /a/{x}" exist, PUT /a/b is not
 * allowed, unless ANDIRON_ROUTE_SHARED says otherwise. A literal that leads to no route gives way to
 * a placeholder, except below a first segment that has OAuth endpoints.
 */
void route_find(const struct route_table *table, enum route_side side, andiron_str method,
                andiron_str path, struct route_match *ret);

#endif
