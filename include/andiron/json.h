/*
 * andiron/json.h - read-only views into parsed JSON (RFC 8259), and a writer.
 *
 * A view is two words, passed by value, valid as long as the document it points
 * into (a request's documents live as long as the request). A lookup that finds
 * nothing gives a MISSING view, and every function accepts one, so lookups can be
 * chained and checked once at the end. Views of one document may be read from
 * several threads at a time.
 *
 * Numbers keep their source text: 1.00 stays 1.00 (FHIR decimal precision).
 */
#ifndef ANDIRON_JSON_H
#define ANDIRON_JSON_H

#include <andiron/error.h>

enum andiron_json_type {
    ANDIRON_JSON_MISSING,
    ANDIRON_JSON_NULL,
    ANDIRON_JSON_BOOL,
    ANDIRON_JSON_NUMBER,
    ANDIRON_JSON_STRING,
    ANDIRON_JSON_ARRAY,
    ANDIRON_JSON_OBJECT
};

typedef struct andiron_json {
    const void *doc; /* private to core */
    uintptr_t at;    /* private to core */
} andiron_json;

/*
 * Parses text, which must outlive the arena; strings without escapes are views
 * into it. Rejects duplicate keys, invalid UTF-8 and lone surrogates, numbers
 * outside RFC 8259 and nesting deeper than 64; err says at which byte.
 */
ANDIRON_API ANDIRON_MUST_CHECK int andiron_json_parse(struct andiron_arena *arena, andiron_str text,
                                                      andiron_json *ret_root,
                                                      struct andiron_error *err);

ANDIRON_API enum andiron_json_type andiron_json_type(andiron_json v);

/* Member of an object; element of an array; MISSING when there is none. */
ANDIRON_API andiron_json andiron_json_get(andiron_json v, const char *name);
ANDIRON_API andiron_json andiron_json_member(andiron_json v, andiron_str name);
ANDIRON_API andiron_json andiron_json_at(andiron_json v, size_t index);

/* Follows a dotted path: "link.0.resourceType". A name holding a dot needs get(). */
ANDIRON_API andiron_json andiron_json_path(andiron_json v, const char *path);

/* Elements of an array or members of an object; 0 for anything else. */
ANDIRON_API size_t andiron_json_count(andiron_json v);

/*
 * Walks arrays and objects in source order:
 *
 *     struct andiron_json_iter it = { .of = object };
 *     while (andiron_json_next(&it))
 *         use(it.name, it.value);
 *
 * it.name is absent in arrays.
 */
struct andiron_json_iter {
    andiron_json of;
    andiron_str name;
    andiron_json value;
    uintptr_t pos; /* private to core; starts at 0 */
};
ANDIRON_API bool andiron_json_next(struct andiron_json_iter *it);

/* Content of a string, unescaped; absent for anything else. */
ANDIRON_API andiron_str andiron_json_str(andiron_json v);

/* true only for the JSON value true. */
ANDIRON_API bool andiron_json_true(andiron_json v);

/* Whole number within int64_t (also 1.0 and 1e3), or fallback for anything else (1.5, 1e99). */
ANDIRON_API int64_t andiron_json_int(andiron_json v, int64_t fallback);

/*
 * The nearest double of a number's text (1e400 is infinite), or fallback for anything else. For
 * ranges, not for storage.
 */
ANDIRON_API double andiron_json_double(andiron_json v, double fallback);

/* The value's own source bytes: how decimals, and whole resources, are passed on unchanged. */
ANDIRON_API andiron_str andiron_json_raw(andiron_json v);

/* Same type and same content; object members in any order, numbers by value. */
ANDIRON_API bool andiron_json_equal(andiron_json a, andiron_json b);

/*
 * Writes JSON text into an arena; puts commas and escapes. name is NULL inside
 * arrays and for the outermost value. An absent string puts nothing, an invalid
 * UTF-8 sequence in one becomes U+FFFD. raw takes a value's bytes as they are.
 */
struct andiron_json_writer;
ANDIRON_API struct andiron_json_writer *andiron_json_write(struct andiron_arena *arena,
                                                           size_t max_bytes);
ANDIRON_API void andiron_json_put_object(struct andiron_json_writer *w, const char *name);
ANDIRON_API void andiron_json_put_array(struct andiron_json_writer *w, const char *name);
ANDIRON_API void andiron_json_put_end(struct andiron_json_writer *w);
ANDIRON_API void andiron_json_put_str(struct andiron_json_writer *w, const char *name,
                                      andiron_str v);
ANDIRON_API void andiron_json_put_int(struct andiron_json_writer *w, const char *name, int64_t v);
ANDIRON_API void andiron_json_put_bool(struct andiron_json_writer *w, const char *name, bool v);
ANDIRON_API void andiron_json_put_raw(struct andiron_json_writer *w, const char *name,
                                      andiron_str v);
/* A parsed value without the blanks between its tokens; MISSING puts nothing. */
ANDIRON_API void andiron_json_put(struct andiron_json_writer *w, const char *name, andiron_json v);
/* The same for a member whose name comes from a document. */
ANDIRON_API void andiron_json_put_member(struct andiron_json_writer *w, andiron_str name,
                                         andiron_json v);
/* The text; absent if max_bytes was passed. */
ANDIRON_API andiron_str andiron_json_written(struct andiron_json_writer *w);

#endif
