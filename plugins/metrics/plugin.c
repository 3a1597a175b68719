/*
 * GET /metrics: everything that is counted, as Prometheus text.
 */
#include <andiron/plugin.h>

struct scrape {
    struct andiron_arena *arena;
    andiron_str text;
};

/* On the pool: gauges may read files, and some thousand series take more than a millisecond. */
static void collect(void *state)
{
    struct scrape *scrape = state;
    scrape->text = andiron_metrics_text(scrape->arena);
}

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    const struct scrape *scrape = state;

    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    return andiron_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", scrape->text);
}

static enum andiron_step get_metrics(struct andiron_request *req, void *self)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct scrape *scrape = andiron_new(arena, struct scrape);
    (void)self;

    scrape->arena = arena;
    return andiron_offload(req, collect, answer, scrape);
}

static const struct andiron_route routes[] = {
    { .method = "GET",
      .pattern = "/metrics",
      .handle = get_metrics,
      .operation = "Metrics",
      .flags = ANDIRON_ROUTE_ADMIN },
    { .method = NULL },
};

ANDIRON_PLUGIN(.name = "metrics", .version = "1.0.0", .summary = "Counters for Prometheus",
               .routes = routes);
