/*
 * The schemas of a document while it is compiled: each by its place in the text, by its $id, and
 * by what a $ref says of it.
 */
#ifndef JSON_SCHEMA_REFERENCES_H
#define JSON_SCHEMA_REFERENCES_H

#include "schema.h"

/* A schema that is still being compiled. */
struct site {
    struct schema schema;
    andiron_json source;
    andiron_str base;  /* URI that references inside are relative to; empty: the document */
    const char *where; /* "AccessPolicy.schema.properties.x" */
    uint8_t height;    /* schemas inside one another for one value, when known */
    bool open;         /* being measured */
};

/* What a $id names. anchor is absent for the schema that the URI itself names. */
struct identity {
    andiron_str uri, anchor;
    struct site *site;
};

struct references {
    struct andiron_arena *arena;
    andiron_json document;
    struct site **by_place; /* open addressing by the address of the source text */
    size_t slots;           /* a power of two */
    struct site **sites;    /* in the order found */
    uint32_t count, room;
    struct identity *identities;
    uint32_t identity_count;
};

void references_begin(struct references *refs, struct andiron_arena *arena, andiron_json document);

/* The schema at a place of the document, or NULL. */
struct site *references_at(const struct references *refs, andiron_json place);

/* A new one; NULL when there are SCHEMAS_MAX. */
struct site *references_add(struct references *refs, andiron_json place, andiron_str base,
                            const char *where);

/* Takes note of a site's $id, and changes its base. -1: another schema has it, too. */
int references_identify(struct references *refs, struct site *site, andiron_str id);

/* The place that a $ref in `site` means; MISSING if it is none of this document. */
andiron_json references_resolve(const struct references *refs, const struct site *site,
                                andiron_str reference);

#endif
