/*
 * The resource types this server has: FHIR R4's own, and the platform types that
 * other plugins provide as resource-type/1:<Type>. Built at start, then read-only.
 */
#ifndef FHIR_SERVED_TYPES_H
#define FHIR_SERVED_TYPES_H

#include <andiron/plugin.h>
#include <andiron/resource.h>

struct resource_type {
    const char *name;
    andiron_str str; /* the same */
    bool platform;   /* not FHIR's: served below / too */
    bool virtual;    /* Operation: made from the route table, never stored */
    const struct andiron_resource_type *hooks; /* of platform types, else NULL */
    void *hooks_self;
    const char *const *references; /* paths of references, NULL-terminated; platform types only */
};

struct types;

/* All types, in the host's arena; -1 and err if a plugin provides a FHIR type or a bad name. */
int types_load(struct andiron_host *host, struct types **ret, struct andiron_error *err);

/* NULL if there is no such type. */
const struct resource_type *types_find(const struct types *types, andiron_str name);

/* Walks all types in the order of their names; NULL at the end. */
const struct resource_type *types_at(const struct types *types, size_t index);

/* Whether s is an id: [A-Za-z0-9\-.]{1,64} (datatypes.html#id). */
bool types_is_id(andiron_str s);

/*
 * Splits "Patient/12" or "Patient/12/_history/3" into its type and id. -1 for anything
 * else. The type need not be known; *ret_version is absent without one, may be NULL.
 */
int types_split(andiron_str reference, andiron_str *ret_type, andiron_str *ret_id,
                andiron_str *ret_version);

#endif
