/*
 * A JSON Schema (draft-07) made ready for many checks: each schema of the document becomes a
 * list of rules, references are pointers.
 *
 * Made once from an AccessPolicy, read-only after that. Knows nothing of requests.
 */
#ifndef JSON_SCHEMA_SCHEMA_H
#define JSON_SCHEMA_SCHEMA_H

#include <andiron/json.h>

#include "common/pattern/pattern.h"
#include "decimal.h"

/*
 * SCHEMA_NEST_MAX: schemas that look at one value inside of each other; values nest no deeper
 * than the JSON parser lets them, so both together bound the recursion of a check.
 */
enum { SCHEMAS_MAX = 5000, SCHEMA_NEST_MAX = 64 };

enum rule_code {
    RULE_REF,
    RULE_TYPE,
    RULE_ENUM,
    RULE_CONST,
    RULE_MULTIPLE_OF,
    RULE_MAXIMUM,
    RULE_EXCLUSIVE_MAXIMUM,
    RULE_MINIMUM,
    RULE_EXCLUSIVE_MINIMUM,
    RULE_MAX_LENGTH,
    RULE_MIN_LENGTH,
    RULE_PATTERN,
    RULE_MAX_ITEMS,
    RULE_MIN_ITEMS,
    RULE_MAX_PROPERTIES,
    RULE_MIN_PROPERTIES,
    RULE_REQUIRED,
    RULE_PROPERTIES, /* with patternProperties and additionalProperties */
    RULE_PROPERTY_NAMES,
    RULE_DEPENDENCIES,
    RULE_ITEMS, /* with additionalItems */
    RULE_CONTAINS,
    RULE_UNIQUE_ITEMS,
    RULE_ALL_OF,
    RULE_ANY_OF,
    RULE_ONE_OF,
    RULE_NOT,
    RULE_IF, /* with then and else */
    RULE_CODES
};

/* A bit for each type; an integer is a number without a fraction, however it is written. */
enum schema_types {
    TYPE_NULL = 1 << 0,
    TYPE_BOOLEAN = 1 << 1,
    TYPE_OBJECT = 1 << 2,
    TYPE_ARRAY = 1 << 3,
    TYPE_NUMBER = 1 << 4,
    TYPE_STRING = 1 << 5,
    TYPE_INTEGER = 1 << 6
};

struct schema;

/* The order of properties: any, as long as it is one. */
static inline int rule_name_compare(andiron_str a, andiron_str b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len > 0 ? memcmp(a.data, b.data, a.len) : 0;
}

struct rule_property {
    andiron_str name;
    const struct schema *schema;
};

struct rule_pattern {
    const struct pattern *pattern;
    const struct schema *schema;
};

struct rule_properties {
    const struct rule_property *named; /* sorted by name */
    const struct rule_pattern *patterns;
    uint32_t named_count, pattern_count;
    const struct schema *additional; /* or NULL */
};

struct rule_dependency {
    andiron_str name;
    const struct schema *schema; /* or NULL: `names` are required */
    andiron_json names;
};

struct rule {
    enum rule_code code;
    uint32_t count;     /* of what the union points to */
    const char *name;   /* the keyword */
    andiron_json value; /* as written: to compare with, and to name in a reason */
    union {
        unsigned types;
        uint64_t limit;
        bool wanted;
        struct decimal number;
        struct divisor divisor;
        const struct pattern *pattern;
        const struct rule_properties *properties;
        const struct rule_dependency *dependencies;
        /* ALL_OF, ANY_OF, ONE_OF: count of them. REF, NOT, CONTAINS, PROPERTY_NAMES: one. IF: itself,
         * then, else (or NULL). ITEMS: those by place, and at [count] the one for all others or NULL. */
        const struct schema *const *schemas;
    };
};

struct schema {
    bool never; /* the schema false */
    const struct rule *rules;
    uint32_t count;
};

struct schema_document {
    const struct schema *root;
    const char *warning; /* what is allowed but hardly meant, or NULL */
};

/*
 * Compiles the schema in arena; it must live as long. -1 and what is wrong; err.where is the
 * place inside the schema, appended to `where` ("AccessPolicy.schema"). Any thread.
 */
ANDIRON_MUST_CHECK int schema_compile(struct andiron_arena *arena, andiron_json schema,
                                      const char *where, struct schema_document *ret,
                                      struct andiron_error *err);

#endif
