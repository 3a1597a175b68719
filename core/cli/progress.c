/*
 * Progress in bytes; see progress.h.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/units.h"

enum { EVENT_US = 1000000, LINE_US = 10000000 };

struct progress progress_new(bool json)
{
    int64_t now = units_monotonic();
    return (struct progress){ .json = json, .began_us = now, .shown_us = now };
}

static void show_event(const struct progress *p, double rate, uint64_t total)
{
    (void)printf("{\"event\":\"progress\",\"done\":%" PRIu64 ",\"bytes\":%" PRIu64
                 ",\"rate\":%.1f,\"failed\":0",
                 p->done, p->done, rate);
    if (total >= p->done && total > 0)
        (void)printf(",\"total\":%" PRIu64 ",\"eta_s\":%.0f", total,
                     rate > 0 ? (double)(total - p->done) / rate : 0.0);
    (void)puts("}");
    (void)fflush(stdout);
}

void progress_add(struct progress *p, uint64_t bytes, uint64_t total)
{
    int64_t now = units_monotonic();
    bool terminal = isatty(STDERR_FILENO) != 0;

    p->done += bytes;
    if (now - p->shown_us < (terminal || p->json ? EVENT_US : LINE_US))
        return;
    p->shown_us = now;
    double rate = (double)p->done * 1e6 / (double)(now - p->began_us + 1);
    if (p->json) {
        show_event(p, rate, total);
        return;
    }
    (void)fprintf(stderr, "%s%.1f MB, %.1f MB/s", terminal ? "\r\033[K" : "", (double)p->done / 1e6,
                  rate / 1e6);
    if (total >= p->done && total > 0)
        (void)fprintf(stderr, ", %.0f %%", (double)p->done * 100 / (double)total);
    (void)fputs(terminal ? "" : "\n", stderr);
}

void progress_end(const struct progress *p)
{
    if (!p->json && p->shown_us != p->began_us && isatty(STDERR_FILENO) != 0)
        (void)fputs("\r\033[K", stderr);
}
