/*
 * Parameters of an operation (operations.html#2.1.5): those of the URL, and behind them those of a
 * Parameters resource that was posted.
 */
#ifndef FHIR_OPERATION_H
#define FHIR_OPERATION_H

#include "fhir.h"

struct operation {
    andiron_json posted; /* Parameters.parameter, or MISSING */
    struct andiron_json_iter it;
    size_t pos;
    bool url_done;
};

/* A body must be Parameters; none is needed. -1: the request has been failed. */
int operation_begin(struct andiron_request *req, struct operation *ret);

/*
 * The next parameter with a primitive value, decoded; false at the end, and the walk begins anew.
 */
bool operation_next(struct andiron_request *req, struct operation *op, andiron_str *ret_name,
                    andiron_str *ret_value);

#endif
