/*
 * Metrics of the process itself, under the names Prometheus clients share. Reads /proc/self.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <andiron/base.h>

#include "base/log.h"
#include "host/metrics.h"

static double one(void *self)
{
    (void)self;
    return 1;
}

static double dropped_lines(void *self)
{
    (void)self;
    return (double)log_dropped();
}

static double cpu_seconds(void *self)
{
    struct rusage used;
    (void)self;
    if (getrusage(RUSAGE_SELF, &used) != 0)
        return 0;
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* Pages of /proc/self/statm: field 0 is the whole, 1 what is resident. */
static double memory_bytes(unsigned field)
{
    unsigned long pages[2] = { 0, 0 };
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &pages[0], &pages[1]) != 2)
        pages[0] = pages[1] = 0;
    (void)fclose(file); /* read only */
    return (double)pages[field] * (double)sysconf(_SC_PAGESIZE);
}

static double virtual_bytes(void *self)
{
    (void)self;
    return memory_bytes(0);
}

static double resident_bytes(void *self)
{
    (void)self;
    return memory_bytes(1);
}

static double open_fds(void *self)
{
    (void)self;
    DIR *dir = opendir("/proc/self/fd");
    double count = -3; /* ".", ".." and the folder itself */
    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

static double max_fds(void *self)
{
    struct rlimit limit;
    (void)self;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static double start_seconds(void *self)
{
    return *(const double *)self;
}

void metrics_register_process(void)
{
    static double started; /* seconds since 1970 */
    static char build[128];

    started = (double)andiron_now() / 1e6;
    (void)snprintf(build, sizeof(build), "version=\"%s\",abi=\"%d.%d\",commit=\"%s\"",
                   ANDIRON_VERSION, ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR, ANDIRON_COMMIT);
    andiron_gauge(NULL, "andiron_build_info", build, "Version of this andiron; always 1", one,
                  NULL);
    metrics_counter_of("andiron_log_dropped_total", NULL,
                       "Log lines dropped because the queue was full", dropped_lines, NULL);
    metrics_counter_of("process_cpu_seconds_total", NULL, "User and system time used", cpu_seconds,
                       NULL);
    andiron_gauge(NULL, "process_virtual_memory_bytes", NULL, "Virtual memory", virtual_bytes,
                  NULL);
    andiron_gauge(NULL, "process_resident_memory_bytes", NULL, "Resident memory", resident_bytes,
                  NULL);
    andiron_gauge(NULL, "process_open_fds", NULL, "Open file descriptors", open_fds, NULL);
    andiron_gauge(NULL, "process_max_fds", NULL, "Most file descriptors it may open", max_fds,
                  NULL);
    andiron_gauge(NULL, "process_start_time_seconds", NULL, "Start since the epoch", start_seconds,
                  &started);
}
