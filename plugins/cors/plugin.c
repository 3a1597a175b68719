/*
 * Plugin cors: cross-origin requests of browser apps (Fetch standard, CORS protocol).
 *
 * A preflight is answered in RECEIVE, before anybody is asked for credentials; other answers
 * get their headers in RESPOND, so that failures have them, too.
 */
#include <andiron/plugin.h>

#include "origins.h"

struct config {
    int64_t max_age, max_origins;
};

struct cors {
    const struct config *config;
    struct andiron_host *host;
    struct origins origins;
    andiron_str max_age; /* seconds, as text */
};

static const struct andiron_directive directives[] = {
    { .name = "max-age",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, max_age),
      .fallback = "1h",
      .min = 0,
      .max = 86400000,
      .help = "how long a browser may keep the answer to its preflight" },
    { .name = "max-origins",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_origins),
      .fallback = "10000",
      .min = 1,
      .max = 1000000,
      .help = "most origins kept in memory" },
    { .name = NULL }
};

/* ---- who may ask for what ----------------------------------------------------------------- */

enum area {
    AREA_NONE,   /* nothing here is for apps of other origins */
    AREA_LISTED, /* for origins that are listed */
    AREA_ANYBODY /* public, for every origin */
};

static enum area area_of(andiron_str path)
{
    andiron_str below = path;
    bool is_fhir = path.len >= 5 && memcmp(path.data, "/fhir", 5) == 0 &&
                   (path.len == 5 || path.data[5] == '/');

    if (is_fhir)
        below = (andiron_str){ path.data + 5, path.len - 5 };
    if (andiron_str_eq(below, ANDIRON_STR("/metadata")) ||
        andiron_str_eq(below, ANDIRON_STR("/.well-known/smart-configuration")) ||
        andiron_str_eq(path, ANDIRON_STR("/.well-known/jwks.json")))
        return AREA_ANYBODY;
    return is_fhir || andiron_str_eq(path, ANDIRON_STR("/auth/token")) ? AREA_LISTED : AREA_NONE;
}

/* What Access-Control-Allow-Origin says to it; absent: nothing. */
static andiron_str allowed(struct cors *cors, enum area area, andiron_str origin)
{
    if (origin.len == 0 || area == AREA_NONE)
        return (andiron_str){ NULL, 0 };
    if (area == AREA_ANYBODY)
        return ANDIRON_STR("*");
    return origins_allow(&cors->origins, origin) ? origin : (andiron_str){ NULL, 0 };
}

/* ---- hooks -------------------------------------------------------------------------------- */

static enum andiron_step preflight(struct andiron_request *req, void *self)
{
    struct cors *cors = self;

    if (!andiron_str_eq(andiron_request_method(req), ANDIRON_STR("OPTIONS")))
        return ANDIRON_NEXT;
    andiron_str origin = andiron_request_header(req, "origin");
    if (origin.len == 0 || andiron_request_header(req, "access-control-request-method").len == 0)
        return ANDIRON_NEXT;
    /* RESPOND adds for whom; without that a browser goes no further. */
    if (allowed(cors, area_of(andiron_request_path(req)), origin).data != NULL) {
        andiron_reply_header(req, "Access-Control-Allow-Methods",
                             ANDIRON_STR("GET, HEAD, POST, PUT, PATCH, DELETE"));
        andiron_reply_header(req, "Access-Control-Allow-Headers",
                             ANDIRON_STR("Accept, Authorization, Content-Type, If-Match, "
                                         "If-Modified-Since, If-None-Exist, If-None-Match, Prefer, "
                                         "X-Request-Id, traceparent"));
        andiron_reply_header(req, "Access-Control-Max-Age", cors->max_age);
    }
    return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
}

static void vary(struct andiron_request *req)
{
    andiron_str value = andiron_replied_header(req, "Vary");

    if (value.len == 0)
        value = ANDIRON_STR("Origin");
    else if (andiron_str_eq(value, ANDIRON_STR("Accept")))
        value = ANDIRON_STR("Accept, Origin");
    else
        value = andiron_str_of(
            andiron_printf(andiron_request_arena(req), "%.*s, Origin", (int)value.len, value.data));
    andiron_reply_header(req, "Vary", value);
}

static enum andiron_step respond(struct andiron_request *req, void *self)
{
    struct cors *cors = self;
    andiron_str origin = andiron_request_header(req, "origin");

    if (origin.len == 0 && origins_are_none(&cors->origins))
        return ANDIRON_NEXT;
    enum area area = area_of(andiron_request_path(req));
    /* Also for those who are refused or none: caches must not mix them up. */
    if (area == AREA_LISTED)
        vary(req);
    andiron_str allows = allowed(cors, area, origin);
    if (allows.data == NULL)
        return ANDIRON_NEXT;
    andiron_reply_header(req, "Access-Control-Allow-Origin", allows);
    if (andiron_replied_header(req, "Access-Control-Allow-Methods").data == NULL)
        andiron_reply_header(req, "Access-Control-Expose-Headers",
                             ANDIRON_STR("Location, Content-Location, ETag, Last-Modified, "
                                         "X-Request-Id, WWW-Authenticate"));
    return ANDIRON_NEXT;
}

/* ---- life --------------------------------------------------------------------------------- */

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    struct cors *cors = andiron_new(arena, struct cors);

    *ret_self = cors;
    cors->config = config;
    cors->host = host;
    cors->max_age =
        andiron_str_of(andiron_printf(arena, "%lld", (long long)(cors->config->max_age / 1000)));
    return origins_init(&cors->origins, host, andiron_host_setting(host, "http.cors-origins"),
                        (size_t)cors->config->max_origins, err);
}

static void client_changed(void *arg, andiron_str type, andiron_str id)
{
    struct cors *cors = arg;
    (void)type;
    (void)id;
    origins_load(&cors->origins);
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct cors *cors = self;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &cors->origins.store, NULL))
        return 0;
    const struct andiron_store *store = cors->origins.store.table;
    if (store->watch(cors->origins.store.self, andiron_host_loop(host, 0), "Client", client_changed,
                     cors, err) != 0)
        return -1;
    origins_load(&cors->origins);
    return 0;
}

static void stop(void *self)
{
    struct cors *cors = self;
    origins_free(&cors->origins);
}

/* Says only that we are here: the CapabilityStatement's `cors` is auth's to write. */
static const struct andiron_discovery discovery = { .size = sizeof(discovery) };
static const struct andiron_service provides[] = { { ANDIRON_DISCOVERY "cors", &discovery },
                                                   { NULL, NULL } };
static const char *const wants[] = { ANDIRON_STORE, NULL };
static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_RECEIVE, preflight },
                                             { ANDIRON_PHASE_RESPOND, respond },
                                             { 0, NULL } };

ANDIRON_PLUGIN(.name = "cors", .version = "1.0.0",
               .summary = "Cross-origin requests of browser apps", .directives = directives,
               .config_size = sizeof(struct config), .provides = provides, .wants = wants,
               .hooks = hooks, .init = init, .start = start, .stop = stop);
