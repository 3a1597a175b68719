#include "loop/priority.h"

#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { POOL_NICER = 5, LOOP_SLICE_NS = 200 * 1000 };

/* struct sched_attr of sched_setattr(2), first version; not every libc has it. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
#define KEEP_POLICY UINT64_C(0x08) /* SCHED_FLAG_KEEP_POLICY */

/*
 * A short slice lets a thread that wakes up interrupt one with a long slice, at the same share of
 * the processor (Linux 6.12, EEVDF; older kernels take no notice). Without it a read waits for up
 * to three milliseconds behind a transaction that is being indexed.
 */
void priority_loop(void)
{
    struct attributes attr = { .size = sizeof(attr),
                               .flags = KEEP_POLICY,
                               .nice = getpriority(PRIO_PROCESS, 0),
                               .runtime = LOOP_SLICE_NS };

    (void)syscall(SYS_sched_setattr, 0, &attr, 0); /* only better, not needed */
}

void priority_pool(void)
{
    /* On Linux the priority is that of the thread. */
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + POOL_NICER);
}
