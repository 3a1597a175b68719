/*
 * What a pattern says of a request that it can match, for access's index.
 */
#ifndef MATCHO_TESTS_H
#define MATCHO_TESTS_H

#include <andiron/policy.h>

#include "program.h"

/* As andiron_policy_engine.tests. */
size_t program_tests(const struct program *program, struct andiron_policy_test *ret, size_t max);

/* As andiron_policy_engine.literals. */
size_t program_literals(const struct program *program, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max);

/* As andiron_policy_engine.fragments. */
size_t program_fragments(const struct program *program, struct andiron_arena *arena,
                         struct andiron_policy_literal *ret, size_t max);

#endif
