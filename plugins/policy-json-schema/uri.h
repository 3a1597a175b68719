/*
 * References between schemas: resolving a URI reference (RFC 3986 section 5) and reading the
 * JSON Pointer of a fragment (RFC 6901). Nothing is ever fetched.
 */
#ifndef JSON_SCHEMA_URI_H
#define JSON_SCHEMA_URI_H

#include <andiron/json.h>

/* Cuts a reference at its "#". The fragment is absent if there is none. */
andiron_str uri_cut_fragment(andiron_str *reference);

/* reference, without fragment, against base, which is absolute or empty. */
andiron_str uri_resolve(struct andiron_arena *arena, andiron_str base, andiron_str reference);

/* Percent-decoded; absent where the escapes are not right. */
andiron_str uri_decode(struct andiron_arena *arena, andiron_str text);

/* What a JSON Pointer ("" or "/a/0") leads to; MISSING if nothing. */
andiron_json pointer_follow(struct andiron_arena *arena, andiron_json from, andiron_str pointer);

#endif
