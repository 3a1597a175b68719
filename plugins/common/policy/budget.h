/*
 * What evaluating one policy for one request may cost.
 */
#ifndef COMMON_POLICY_BUDGET_H
#define COMMON_POLICY_BUDGET_H

#include <andiron/base.h>

enum {
    POLICY_BUDGET_LOOK = 4096,                     /* steps between looks at the clock */
    POLICY_BUDGET_REGEX = POLICY_BUDGET_LOOK / 64, /* steps of an expression that is not watched */
};

/* Of one evaluation, on one thread. */
struct policy_budget {
    int64_t limit_us; /* of processor time, about */
    bool is_spent;    /* then no verdict is possible: a fault of the whole, never a part that is false */
    uint32_t steps;
    int64_t wall_begun, cpu_begun; /* 0: not yet */
};

static inline struct policy_budget policy_budget_of(int64_t limit_us)
{
    return (struct policy_budget){ .limit_us = limit_us };
}

/* Half of the limit is measured by the wall clock, then half by the thread's own time. */
bool policy_budget_look(struct policy_budget *b);

/* Takes steps (a step: some tens of nanoseconds). false once the limit is passed. */
static inline bool policy_budget_spend(struct policy_budget *b, size_t steps)
{
    b->steps += (uint32_t)(steps < POLICY_BUDGET_LOOK ? steps : POLICY_BUDGET_LOOK);
    return b->steps < POLICY_BUDGET_LOOK ? !b->is_spent : policy_budget_look(b);
}

#endif
