/*
 * What a schema says of a request that can be valid, for access's index.
 */
#ifndef JSON_SCHEMA_TESTS_H
#define JSON_SCHEMA_TESTS_H

#include <andiron/policy.h>

#include "schema.h"

/* As andiron_policy_engine.tests. */
size_t schema_tests(const struct schema *root, struct andiron_policy_test *ret, size_t max);

/* As andiron_policy_engine.literals. */
size_t schema_literals(const struct schema *root, struct andiron_arena *arena,
                       struct andiron_policy_literal *ret, size_t max);

/* As andiron_policy_engine.fragments. */
size_t schema_fragments(const struct schema *root, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max);

#endif
