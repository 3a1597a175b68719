/*
 * Lag probes. A probe is touched by its loop while its post is out, by the asker otherwise.
 */
#include "daemon/lag.h"

#include <stdatomic.h>
#include <time.h>

#include <andiron/metrics.h>

#include "base/units.h"
#include "loop/loop.h"

struct probe {
    struct andiron_loop *loop;
    struct andiron_histogram *histogram;
    struct loop_post post;
    atomic_bool is_out;
    _Atomic int64_t sent_us, last_us;
    /* of the loop's thread: when it last ran this, and what of the CPU it had used then */
    int64_t at_us, cpu_us;
    _Atomic double busy;
};

struct lag {
    size_t count;
    struct probe probes[];
};

static int64_t thread_cpu_us(void)
{
    struct timespec t = { 0 };

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* always there */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_probe(void *arg)
{
    struct probe *probe = arg;
    int64_t now = units_monotonic(), cpu = thread_cpu_us();
    int64_t took = now - atomic_load(&probe->sent_us);

    if (probe->at_us != 0 && now > probe->at_us)
        atomic_store(&probe->busy, (double)(cpu - probe->cpu_us) / (double)(now - probe->at_us));
    probe->at_us = now;
    probe->cpu_us = cpu;

    andiron_observe(probe->histogram, took);
    atomic_store(&probe->last_us, took);
    atomic_store(&probe->is_out, false);
}

static double busy_ratio(void *self)
{
    return atomic_load(&((struct probe *)self)->busy);
}

struct lag *lag_new(struct andiron_arena *arena, struct andiron_loop *const *loops, size_t count)
{
    struct lag *lag = andiron_alloc(arena, sizeof(*lag) + count * sizeof(lag->probes[0]));

    lag->count = count;
    for (size_t i = 0; i < count; i++) {
        struct probe *probe = &lag->probes[i];
        probe->loop = loops[i];
        probe->histogram = andiron_histogram(
            NULL, "andiron_loop_lag_seconds", andiron_printf(arena, "loop=\"%zu\"", i),
            "How long a loop takes to get to what is posted to it");
        andiron_gauge(NULL, "andiron_loop_busy_ratio", andiron_printf(arena, "loop=\"%zu\"", i),
                      "Share of the last second that a loop used the CPU", busy_ratio, probe);
        probe->post = (struct loop_post){ .fn = on_probe, .arg = probe };
    }
    return lag;
}

void lag_ask(struct lag *lag)
{
    for (size_t i = 0; i < lag->count; i++) {
        struct probe *probe = &lag->probes[i];
        if (atomic_load(&probe->is_out))
            continue;
        atomic_store(&probe->sent_us, units_monotonic());
        atomic_store(&probe->is_out, true);
        loop_post_own(probe->loop, &probe->post);
    }
}

int64_t lag_worst_ms(const struct lag *lag)
{
    int64_t worst = 0, now = units_monotonic();
    for (size_t i = 0; i < lag->count; i++) {
        const struct probe *probe = &lag->probes[i];
        int64_t late = atomic_load(&probe->is_out) ? now - atomic_load(&probe->sent_us)
                                                   : atomic_load(&probe->last_us);
        if (late > worst)
            worst = late;
    }
    return worst / 1000;
}
