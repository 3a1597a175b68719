/*
 * Looking at clocks as rarely as possible.
 */
#include "common/policy/budget.h"

#include <time.h>

static int64_t clock_us(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The wall clock costs nothing to read; the thread's own time keeps a busy machine from making policies fail. */
static bool is_late(struct policy_budget *b)
{
    int64_t half = b->limit_us / 2;
    int64_t wall = clock_us(CLOCK_MONOTONIC);
    if (b->wall_begun == 0)
        b->wall_begun = wall;
    if (wall - b->wall_begun <= half)
        return false;
    int64_t cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
    if (b->cpu_begun == 0)
        b->cpu_begun = cpu;
    return cpu - b->cpu_begun > half;
}

bool policy_budget_look(struct policy_budget *b)
{
    b->steps = 0;
    b->is_spent |= is_late(b);
    return !b->is_spent;
}
