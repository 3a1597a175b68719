/*
 * Parameters of a kick-off: those of the URL, and behind them those of a Parameters resource.
 */
#ifndef BULK_PARAMS_H
#define BULK_PARAMS_H

#include "bulk.h"
#include "common/fhir/types.h"
#include "job.h"

/* One query of _typeFilter. */
struct params_filter {
    int type;
    const char *query; /* "status=final&date=gt2020", as in a URL */
};

struct params {
    struct andiron_arena *arena;
    const struct bulk_config *config;
    enum job_level level;
    bool is_get, is_lenient;

    bool has_types;
    bool is_asked[FHIR_TYPE_COUNT]; /* of _type */
    struct params_filter *filters;
    size_t filter_count;
    const char **patients, **elements, **ignored; /* NULL-terminated; NULL: none given */
    size_t patient_count, element_count, ignored_count;
    andiron_usec since, until; /* 0: open */
    bool with_provenance;      /* includeAssociatedData */
};

/* From a request of that level; -1: it has been failed. */
int params_read(struct andiron_request *req, const struct bulk_config *config, enum job_level level,
                bool is_lenient, struct params *ret);

/* One parameter; -1 and err. Of a Reference, value is its text. */
int params_take(struct params *p, andiron_str name, andiron_str value, struct andiron_error *err);

/*
 * The next query of a _typeFilter: queries are separated by commas, which also stand within
 * them, so one that begins another is followed by a name and a '?'. *ret_query is absent where
 * there is no '?'. false at the end.
 */
bool params_next_filter(andiron_str *rest, andiron_str *ret_type, andiron_str *ret_query);

#endif
