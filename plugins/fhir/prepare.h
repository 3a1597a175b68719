/*
 * What happens to a resource between its arrival and the store: rules, the owner's
 * accept(), stored form, index terms. One function for single writes and for the
 * entries of a transaction; runs on the loop for small resources, else on the pool.
 */
#ifndef FHIR_PREPARE_H
#define FHIR_PREPARE_H

#include "check.h"
#include "compose.h"
#include "fhir.h"
#include "patch.h"

struct preparing {
    /* given */
    const struct fhir *fhir;
    struct andiron_request *req; /* of it only the arena is used */
    const struct resource_type *type;
    andiron_json root;         /* the resource; with a patch it is made here */
    const struct patch *patch; /* what is done to patch_target, or NULL */
    andiron_str patch_target;  /* the current version as its reader sees it */
    andiron_str id;            /* it will have */
    bool id_in_body;      /* PUT: the body must name the same id (platform types may omit it) */
    bool same_is_kept;    /* equal content makes no new version */
    andiron_str before;   /* stored text of the current version; absent: none */
    andiron_usec created; /* of version 1; 0: not known, or there is none */
    const struct rewrites *rewrites;
    bool id_is_hole; /* see compose.h */
    size_t write;
    bool later; /* draft and terms are made when they are stored, see prepare_stamp() */
    const struct andiron_write
        *writes; /* with `later`: as in struct draft, once there is a commit */
    const size_t *places;
    bool
        is_trial; /* nothing will be written: R4's own structure counts, whatever `validation` says */

    /* result */
    struct issues issues; /* none: fine. The caller sets issues.root first */
    bool same;            /* content equals `before`: nothing to write */
    struct draft *draft;  /* NULL with `later`, and no terms either */
    const struct andiron_term *terms;
    size_t term_count;
};

void prepare(struct preparing *p);

/*
 * What prepare() left for later: thousands of entries take the memory of one at a time. Any thread,
 * while nobody else changes *p; everything is made in arena.
 */
int prepare_terms(const struct preparing *p, struct andiron_arena *arena,
                  const struct andiron_term **ret_terms, size_t *ret_count,
                  struct andiron_error *err);

/* stamp() of an andiron_write whose stamp_state is a struct preparing with `later`. */
void prepare_stamp(void *state, struct andiron_arena *arena, struct andiron_write *write);

/* Whether it takes long whatever the resource's size: an owner is asked, an expression compiled. */
bool prepare_is_slow(const struct resource_type *type);

/* Whether two resources say the same, apart from id and what the server manages in meta. */
bool prepare_same(const struct resource_type *type, andiron_json a, andiron_json b,
                  andiron_str created_at_url);

/* Whether writes of the type need the current version first. */
bool prepare_needs_before(const struct fhir *fhir, const struct resource_type *type,
                          const struct andiron_request *req);

/* Fails a request with all issues at once. */
enum andiron_step prepare_fail(struct andiron_request *req, const struct issues *issues);

#endif
