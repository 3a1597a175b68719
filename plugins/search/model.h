/*
 * What can be searched: R4's resource types, the platform types that plugins provide, and the
 * parameters that stored SearchParameters define. Read-only: a change of these makes another
 * model (models.h). Any thread.
 */
#ifndef SEARCH_MODEL_H
#define SEARCH_MODEL_H

#include <andiron/error.h>

#include "common/fhir/extract.h"
#include "common/fhir/params.h"

/* A platform type: its search parameters and a program like those of R4. */
struct platform_type {
    const char *name; /* "Client" */
    struct fhir_program program;
    struct fhir_extract_root root;
    const struct platform_type *next;
};

struct model;

/* A parameter made at run time, of one type. */
struct model_custom {
    struct fhir_param param; /* without index and id */
    const char *url;         /* of its definition; or "" */
    int type;
    struct fhir_extract_root root;
    bool is_indexed; /* resources have terms of it, or are about to */
};

/*
 * A type that can be searched; or, without a name, several of R4's at once (system level),
 * which have the parameters that all of them have.
 */
struct search_type {
    const struct model *model;
    const char *name; /* a literal, or lives with the plugin; NULL: several */
    int r4;           /* index in types.h; -1: not one of R4's */
    const struct platform_type *platform;
    const int *several; /* indices in types.h */
    size_t several_count;
};

struct model {
    const struct platform_type *platform; /* a list, or NULL */
    uint64_t generation; /* another one whenever a search expression may mean something else */
    const struct model_custom *customs; /* by type and code; those behind first[type], up to
                                           first[type + 1] */
    const size_t *first;                /* NULL: there are none */
};

/* false if there is no such type. */
bool model_type(const struct model *model, andiron_str name, struct search_type *ret);

/* Parameter of a type, also one of every resource; false if there is none. */
bool model_param(const struct search_type *type, andiron_str code, struct fhir_param *ret);

/* Walks the parameters of a type; *pos starts at 0; false at the end. */
bool model_param_next(const struct search_type *type, size_t *pos, struct fhir_param *ret);

/*
 * Component of a composite of a type, which is a parameter itself; part is 0 .. part_count - 1.
 */
bool model_part(const struct search_type *type, const struct fhir_param *composite, size_t part,
                struct fhir_param *ret);

/* Where extraction starts for a type. */
struct fhir_extract_root model_root(const struct search_type *type);

/* Parameters made at run time of a type, also those being built; *ret_count of them. */
const struct model_custom *model_customs(const struct search_type *type, size_t *ret_count);

/*
 * Adds a platform type from its list of "name:kind:path" (resource.h), in arena. name is copied.
 * -1 with a message that names the entry that cannot be read.
 */
int model_add_platform(struct model *model, struct andiron_arena *arena, andiron_str name,
                       const char *const *search, struct andiron_error *err);

#endif
