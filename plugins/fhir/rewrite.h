/*
 * References of a transaction: what an entry's fullUrl is called by the others becomes
 * the resource's own reference (http.html#trules). Pure, any thread.
 */
#ifndef FHIR_REWRITE_H
#define FHIR_REWRITE_H

#include <andiron/json.h>

/* What a reference inside the bundle stands for. */
struct rewrite_target {
    andiron_str url;  /* fullUrl: "urn:uuid:...", "http://example.org/fhir/Patient/1" */
    andiron_str type; /* of the resource */
    andiron_str id;   /* it will have, unless its condition matches another one */
    size_t write;     /* its place in the commit */
    bool may_change;  /* id is known only at the commit */
};

struct rewrite_map;

/* A map for at most `count` targets. */
struct rewrite_map *rewrite_map_new(struct andiron_arena *arena, size_t count);

/* Adds a target; false: the url is there already. The target must outlive the map. */
bool rewrite_map_add(struct rewrite_map *map, const struct rewrite_target *target);

const struct rewrite_target *rewrite_map_find(const struct rewrite_map *map, andiron_str url);

/* What applies to one entry of the bundle. */
struct rewrites {
    const struct rewrite_map *map;
    andiron_str base; /* of its own fullUrl, with the final '/'; absent: it is no RESTful URL */
    const struct rewrite_map *conditional; /* "Patient?identifier=x" to what was found; or NULL */
};

/*
 * Whether the string value of member `name` is a reference to be rewritten, and to what; *ret_rest
 * is what stays behind it ("#section", "|1.0"). NULL: leave it.
 */
const struct rewrite_target *rewrite_find(const struct rewrites *rewrites, andiron_str name,
                                          andiron_str value, andiron_str *ret_rest,
                                          struct andiron_arena *scratch);

/*
 * The next link in narrative, a JSON string's raw text, that is to be rewritten (href="..." or
 * src="..." of XHTML). *pos starts at 0; *ret_from..*ret_to is the part of raw it replaces.
 */
const struct rewrite_target *rewrite_next_link(const struct rewrites *rewrites, andiron_str raw,
                                               size_t *pos, size_t *ret_from, size_t *ret_to);

/* "http://example.org/fhir/" of "http://example.org/fhir/Patient/1"; absent if it is no such URL. */
andiron_str rewrite_base(andiron_str full_url);

#endif
