/*
 * The fhir plugin: FHIR's REST interface over store/1 and search/1.
 *
 * What its files share: the plugin itself, its configuration, and the names of
 * its operations. One file per interaction: read.c, write.c, search.c, history.c,
 * bundle.c (batch, transaction), capabilities.c; what they stand on: types.c,
 * negotiate.c, check.c, compose.c, prepare.c, present.c, answer.c.
 */
#ifndef FHIR_FHIR_H
#define FHIR_FHIR_H

#include <andiron/plugin.h>
#include <andiron/search.h>
#include <andiron/store.h>
#include <pthread.h>

#include "types.h"

struct fhir_config {
    const char *created_at_url;
    bool referential_integrity;
    int search_handling; /* enum fhir_handling */
    int validation;      /* enum fhir_validation */
    int64_t max_bundle_entries;
    int64_t default_count, max_count; /* of a history page */
    bool authorize_includes;
    int versioned_updates; /* enum fhir_versioned */
    bool conditional_delete_multiple;
    int64_t max_patch_operations;
    const char *const *instantiates;
    const char *const *supported_profiles;
};

enum fhir_versioned { VERSIONED_OFF, VERSIONED_REQUIRED };

enum fhir_validation { VALIDATION_STRICT, VALIDATION_LENIENT, VALIDATION_OFF };

enum fhir_handling { HANDLING_LENIENT, HANDLING_STRICT };

struct fhir {
    const struct fhir_config *config;
    struct andiron_host *host;
    const struct andiron_store *store;
    void *store_self;
    const struct andiron_search *search;
    void *search_self;
    struct types *types;
    andiron_str created_at_url; /* absent: creation times are not shown below /fhir */
    andiron_usec started;
    struct interactions *interactions; /* metrics */
    pthread_mutex_t capabilities_lock;
    struct capabilities *capabilities; /* guarded by the lock; made when they are asked for */
};

/* Below which base a request came in: what the answer looks like (seed-semantics B-2 to B-5). */
enum fhir_base { BASE_FHIR, BASE_ROOT };

static inline enum fhir_base fhir_base_of(const struct andiron_request *req)
{
    andiron_str path = andiron_request_path(req);
    return path.len >= 5 && memcmp(path.data, "/fhir", 5) == 0 &&
                   (path.len == 5 || path.data[5] == '/')
               ? BASE_FHIR
               : BASE_ROOT;
}

/* Bodies above this are read, checked and indexed on the pool: about a millisecond's work. */
enum { FHIR_OFFLOAD_ABOVE = 64 * 1024 };

/* Handlers of the routes; state is struct fhir. */
enum andiron_step fhir_receive(struct andiron_request *req, void *self);
enum andiron_step fhir_read(struct andiron_request *req, void *self);
enum andiron_step fhir_vread(struct andiron_request *req, void *self);
enum andiron_step fhir_create(struct andiron_request *req, void *self);
enum andiron_step fhir_update(struct andiron_request *req, void *self);
enum andiron_step fhir_patch(struct andiron_request *req, void *self);
enum andiron_step fhir_delete(struct andiron_request *req, void *self);
enum andiron_step fhir_conditional_update(struct andiron_request *req, void *self);
enum andiron_step fhir_conditional_patch(struct andiron_request *req, void *self);
enum andiron_step fhir_conditional_delete(struct andiron_request *req, void *self);
enum andiron_step fhir_search(struct andiron_request *req, void *self);
enum andiron_step fhir_search_system(struct andiron_request *req, void *self);
enum andiron_step fhir_search_compartment(struct andiron_request *req, void *self);
/* Stands for the right to ask searches how they are done. */
enum andiron_step fhir_may_explain(struct andiron_request *req, void *self);
enum andiron_step fhir_history_instance(struct andiron_request *req, void *self);
enum andiron_step fhir_history_type(struct andiron_request *req, void *self);
enum andiron_step fhir_history_system(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_meta(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_meta_use(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_meta_add(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_meta_delete(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_versions(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_everything(struct andiron_request *req, void *self);
enum andiron_step fhir_bundle(struct andiron_request *req, void *self);
enum andiron_step fhir_operation_validate(struct andiron_request *req, void *self);
enum andiron_step fhir_capabilities(struct andiron_request *req, void *self);

void fhir_capabilities_free(struct fhir *fhir);

#endif
