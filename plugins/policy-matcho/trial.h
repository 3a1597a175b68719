/*
 * POST /$matcho: tries a pattern on a value, without a policy (seed-semantics DB-1).
 */
#ifndef MATCHO_TRIAL_H
#define MATCHO_TRIAL_H

#include <andiron/async.h>

struct trial_settings {
    uint32_t regex_steps;
    size_t regex_subject;
    andiron_str fhir_base;
    bool null_equal;
    int64_t limit_us;
};

/* Answers {matcho, resource, context?} with {matcho, resource, result}; settings are copied. */
enum andiron_step trial_serve(const struct trial_settings *settings, struct andiron_request *req);

#endif
