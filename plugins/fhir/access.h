/*
 * Which resources a request may see and change: types that exist, operations by
 * their finer names, and what smart or a policy narrowed the request to.
 */
#ifndef FHIR_ACCESS_H
#define FHIR_ACCESS_H

#include "fhir.h"

/* 404 for a type that is not served here. */
enum andiron_step access_unknown_type(struct andiron_request *req);

/* 403; of a token with scopes the challenge says that these do not reach so far (SC-10). */
enum andiron_step access_refuse(struct andiron_request *req);
void access_challenge(struct andiron_request *req);

/*
 * The same with the challenge of an inner request, which knows whether scopes or policies refused;
 * or as that was refused, where it was so only for now (429, 5xx).
 */
enum andiron_step access_refuse_as(struct andiron_request *req, struct andiron_request *sub);

/*
 * Goes on with then(req, state) if req may search each of `types` (NULL-terminated; NULL: none),
 * as a request of its own: scopes and policies decide (SC-14). Otherwise 403: without that
 * right, what a chain looks into could be probed.
 */
enum andiron_step access_types(struct andiron_request *req, const char *const *types,
                               andiron_step_fn then, void *state);

/* Asks whether req may search one type; *ret_sub has the answer's status when `then` goes on. */
enum andiron_step access_type(struct andiron_request *req, const char *type,
                              struct andiron_request **ret_sub, andiron_step_fn then, void *state);

/* Likewise whether req may do what needs the operation TestPolicy: see how things are done. */
enum andiron_step access_insight(struct andiron_request *req, struct andiron_request **ret_sub,
                                 andiron_step_fn then, void *state);

/*
 * The code with which req passes on that an inner request was refused, and the headers that say
 * when to try again, or how to be let in.
 */
enum andiron_code access_passed_on(struct andiron_request *req, struct andiron_request *sub);

/* Whether the request may do that with nothing at all of the type: a scope that names other types. */
bool access_is_hidden(const struct andiron_request *req, const struct resource_type *type,
                      enum andiron_access access);

/* Whether anything narrows what req may see or write of the type. */
bool access_is_narrowed(const struct andiron_request *req, const struct resource_type *type,
                        enum andiron_access access);

/*
 * Goes on with then(req, state) if the resource is one that req may read, or was one before it
 * was deleted; 404 if it is not or is not there. Without narrowing nothing is asked.
 */
enum andiron_step access_see(const struct fhir *fhir, struct andiron_request *req,
                             const struct resource_type *type, andiron_str id, andiron_step_fn then,
                             void *state);

/* What a write that was judged by the stored version must be bound to. */
struct access_bound {
    bool is_bound;    /* there is a narrowing, so another version may lie outside of it */
    uint64_t version; /* 0: there was no resource, or a deleted one */
};

struct access_asking;

/*
 * Goes on with then(req, state) if a write to the resource is within the narrowing of `judged`
 * (req itself, or the inner request that was asked for it); 403 if the resource exists outside it.
 * memory: for one question after the other, at first NULL; or NULL.
 */
enum andiron_step access_change(const struct fhir *fhir, struct andiron_request *req,
                                struct andiron_request *judged, const struct resource_type *type,
                                andiron_str id, enum andiron_access access,
                                struct access_bound *ret_bound, struct access_asking **memory,
                                andiron_step_fn then, void *state);

/* Whether a resource with these terms may be written: 0, or -1 and err (403). Works in arena. */
int access_result(const struct fhir *fhir, struct andiron_request *judged,
                  const struct resource_type *type, andiron_str id, enum andiron_access access,
                  struct andiron_arena *arena, const struct andiron_term *terms, size_t count,
                  struct andiron_error *err);

#endif
