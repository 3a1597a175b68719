/*
 * PATCH (http.html#patch): JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396) and FHIRPath
 * Patch (fhirpatch.html), as edits of a tree over the stored text. Pure, any thread.
 */
#ifndef FHIR_PATCH_H
#define FHIR_PATCH_H

#include <andiron/json.h>

#include "types.h"

enum patch_kind {
    PATCH_NONE,
    PATCH_JSON,
    PATCH_MERGE,
    PATCH_FHIRPATH,
    PATCH_META_ADD, /* operations of these names */
    PATCH_META_DELETE
};

struct patch {
    enum patch_kind kind; /* PATCH_NONE: there is none */
    andiron_json doc;
    size_t max_operations;
};

/*
 * By Content-Type: application/json-patch+json, application/merge-patch+json, or FHIR's JSON for
 * Parameters; PATCH_NONE for anything else.
 */
enum patch_kind patch_kind(andiron_str content_type);

/* What a Content-Type may be, for messages. */
#define PATCH_TYPES                                                                                \
    "application/json-patch+json, application/merge-patch+json, or application/fhir+json with "    \
    "a FHIRPath Patch"

/*
 * Applies a patch to a resource; *ret_text in arena, not checked as a resource. -1 and err: 400
 * for a patch that is malformed, 422 for one that does not fit the resource.
 */
int patch_apply(struct andiron_arena *arena, const struct resource_type *type,
                const struct patch *patch, andiron_json target, andiron_str *ret_text,
                struct andiron_error *err);

/* ---- the kinds; each applies to the tree ---------------------------------------------------- */

struct node;

/* What an application may still cost: copies of large parts, over and over, must end. */
struct patching {
    struct andiron_arena *arena;
    const struct resource_type *type;
    const struct patch *patch;
    struct node *root;
    size_t copied; /* bytes */
    struct andiron_error *err;
};

enum { PATCH_COPY_MAX = 16 * 1024 * 1024 };

int patch_json(struct patching *p);
int patch_merge(struct patching *p);
int patch_fhirpath(struct patching *p);
int patch_meta(struct patching *p);

#endif
