/*
 * create, update, patch and delete of one resource, by id or by criteria. A row of small steps:
 *
 *   begin (write_begin.c) -> find (conditional.c) -> changeable -> before_read -> prepared
 *       -> committed -> answer (write.c)
 */
#ifndef FHIR_WRITE_H
#define FHIR_WRITE_H

#include "access.h"
#include "negotiate.h"
#include "patch.h"
#include "prepare.h"

/* For what others change meanwhile: as many as write to one resource at the same time. */
enum { WRITE_TRIES = 100, WRITE_REPEATS = 3 };

struct writing {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    andiron_str id;
    bool is_update, is_delete; /* a patch is an update */
    bool id_is_chosen;         /* by criteria or by the server: the body need not name it */
    struct patch patch;
    andiron_str raw_type,
        raw_context;   /* of a Binary sent as it is: its Content-Type; absent: JSON */
    bool answers_meta; /* $meta-add, $meta-delete */

    /* conditions of the client */
    uint64_t if_match;                 /* 0: none; NEGOTIATE_LOOK: match_tags */
    andiron_str match_tags, none_tags; /* * and lists, compared with what is stored */
    bool if_none;                      /* If-None-Match: *, or a create under the client's id */
    bool if_none_exist;
    bool is_conditional;  /* the resource is the one that the criteria match */
    bool demands_version; /* versioned-updates: what exists may not be updated without If-Match */
    andiron_str body_id;  /* of a conditional update; absent: the body has none */
    bool only_new;        /* If-None-Match: * of a conditional update */
    struct andiron_search_plan match;
    andiron_step_fn go_on; /* once match can be used */
    struct andiron_rows found;
    unsigned repeats;          /* how often the criteria led to the same resource again */
    struct access_bound bound; /* by what the request is narrowed to */

    /* what is stored now */
    bool needs_before;
    struct andiron_ref refs[2]; /* the current version, and the first */
    struct andiron_rows before;
    unsigned tries;

    andiron_json body;
    struct andiron_error parse_error;
    bool parsed;
    struct preparing preparing;
    struct andiron_write write;
    struct andiron_commit commit;
    struct andiron_rows matched; /* what if_none_exist found */
};

/* Asks whether the stored resource is one that the request may change, and goes on if so. */
enum andiron_step write_begun(struct andiron_request *req, struct writing *w);

/* The write is within what the request may change. */
enum andiron_step write_changeable(struct andiron_request *req, void *state);

/* Looks for what the criteria match, and goes on with it. */
enum andiron_step write_find(struct andiron_request *req, void *state);

/* 428: the update must say If-Match. */
enum andiron_step write_demand_version(struct andiron_request *req, const struct writing *w);

/* Tells the owner of a platform type what is stored now; body absent: nothing. */
void write_tell_owner(struct andiron_request *req, const struct resource_type *type, andiron_str id,
                      andiron_str body);

#endif
