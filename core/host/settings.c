/*
 * Directive tables of core's sections, and the checks across directives.
 */
#include "host/settings.h"

#include <stddef.h>
#include <unistd.h>

#include "base/units.h"
#include "host/address.h"
#include "host/config.h"

#define AT(member) .offset = offsetof(struct settings, member)
#define BYTES(n, m, d, lo, hi, h)                                                                  \
    {                                                                                              \
        .name = n, .type = ANDIRON_BYTES, AT(m), .fallback = d, .min = lo, .max = hi, .help = h    \
    }
#define COUNT(n, m, d, lo, hi, h)                                                                  \
    {                                                                                              \
        .name = n, .type = ANDIRON_INT, AT(m), .fallback = d, .min = lo, .max = hi, .help = h      \
    }
#define TIME(n, m, d, lo, hi, h)                                                                   \
    {                                                                                              \
        .name = n, .type = ANDIRON_DURATION, AT(m), .fallback = d, .min = lo, .max = hi, .help = h \
    }
#define VALUE(n, t, m, d, h)                                                                       \
    {                                                                                              \
        .name = n, .type = t, AT(m), .fallback = d, .help = h                                      \
    }
#define CHOICE(n, m, d, c, h)                                                                      \
    {                                                                                              \
        .name = n, .type = ANDIRON_CHOICE, AT(m), .fallback = d, .choices = c, .help = h           \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

enum { KIB = 1024, MIB = 1024 * 1024, SECOND = 1000, HOUR = 3600 * 1000 };
#define GIB (INT64_C(1024) * MIB)

static const char *const compressions[] = { "off", "gzip", NULL };
static const char *const log_formats[] = { "auto", "json", "text", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const tls_versions[] = { "1.2", "1.3", NULL };

static const struct andiron_directive http_directives[] = {
    VALUE("listen", ANDIRON_LIST, listen, "127.0.0.1:8080",
          "addresses: HOST:PORT, fd:NAME from systemd, tls: in front for HTTPS"),
    VALUE("base-url", ANDIRON_STRING, base_url, "",
          "public URL that every emitted URL begins with; required unless dev.mode is on"),
    VALUE("trusted-proxies", ANDIRON_LIST, http.trusted_proxies, "",
          "addresses or networks whose forwarding headers count"),
    VALUE("cors-origins", ANDIRON_LIST, cors_origins, "",
          "origins whose browser apps may use the API, beside those of Clients; for plugin cors"),
    COUNT("io-threads", io_threads, "0", 0, 64, "event loops; 0: one for each CPU, at most 8"),
    COUNT("worker-threads", worker_threads, "0", 0, 256,
          "threads for slow work; 0: one for each CPU, at least 2"),
    BYTES("max-request-line", http.max_request_line, "8k", 512, 64 * KIB,
          "longest request line; longer ones get 414"),
    BYTES("max-header", http.max_header, "16k", KIB, MIB, "all header lines; more gets 431"),
    COUNT("max-header-fields", http.max_header_fields, "100", 8, 1000,
          "number of header lines; more gets 431"),
    BYTES("max-body", http.max_body, "64m", KIB, 2 * GIB, "request body; a larger one gets 413"),
    BYTES("max-body-anonymous", http.max_body_anonymous, "64k", KIB, 2 * GIB,
          "request body without credentials"),
    BYTES("body-memory", http.body_memory, "512m", MIB, 1024 * GIB,
          "all request bodies in memory; beyond it requests get 503"),
    BYTES("request-memory", http.request_memory, "256m", MIB, 1024 * GIB,
          "memory of one request; beyond it it gets 503"),
    BYTES("output-buffer", http.output_buffer, "1m", 16 * KIB, GIB,
          "bytes kept for a client that reads slowly"),
    TIME("header-timeout", http.header_timeout, "10s", 100, HOUR, "for a whole request head"),
    TIME("body-timeout", http.body_timeout, "15s", 100, HOUR, "between two reads of a body"),
    TIME("request-timeout", http.request_timeout, "30s", 100, 24 * HOUR,
         "from the whole request to its answer"),
    TIME("idle-timeout", http.idle_timeout, "60s", 100, 24 * HOUR, "between two requests"),
    TIME("write-timeout", http.write_timeout, "30s", 100, HOUR, "for a client that does not read"),
    TIME("drain-timeout", http.drain_timeout, "10s", 0, HOUR,
         "longest time to finish requests at a stop or reload"),
    TIME("drain-grace", http.drain_grace, "1s", 0, HOUR,
         "least time that an idle connection is kept in a drain"),
    COUNT("max-connections", http.max_connections, "16384", 1, 1000000,
          "open connections; beyond it the oldest idle one is closed"),
    COUNT("max-connections-per-address", http.max_connections_per_address, "0", 0, 1000000,
          "open connections of one client address; 0: no limit"),
    CHOICE("compression", compression, "gzip", compressions, "compresses answers"),
    BYTES("compression-min", http.compression_min, "1k", 0, GIB,
          "smaller answers stay as they are"),
    END,
};

static const struct andiron_directive json_directives[] = {
    COUNT("max-depth", json_max_depth, "64", 4, 1000, "nesting of JSON that comes in"),
    BYTES("max-string", json_max_string, "4m", KIB, GIB, "length of one string in JSON"),
    END,
};

static const struct andiron_directive admin_directives[] = {
    VALUE("listen", ANDIRON_LIST, admin_listen, "127.0.0.1:8081",
          "addresses for /metrics and detailed /health, without authentication; may be empty"),
    VALUE("allow-remote", ANDIRON_BOOL, admin_allow_remote, "no",
          "lets admin.listen name an address that is not of this machine alone"),
    VALUE("control-socket", ANDIRON_PATH, control_socket, ANDIRON_DEFAULT_RUN_DIR "/control.sock",
          "socket of the control commands; may be empty"),
    END,
};

static const struct andiron_directive tls_directives[] = {
    VALUE("certificate", ANDIRON_PATH, tls_certificate, "", "PEM file: certificate and its chain"),
    VALUE("key", ANDIRON_STRING, tls_key, "", "PEM file of the private key; @ in front is allowed"),
    CHOICE("min-version", tls_min_version, "1.2", tls_versions, "oldest TLS version"),
    VALUE("client-ca", ANDIRON_PATH, tls_client_ca, "",
          "PEM file: authorities of client certificates, which are then asked for"),
    VALUE("priorities", ANDIRON_STRING, tls_priorities, "", "GnuTLS priority string"),
    VALUE("ticket-key", ANDIRON_PATH, tls_ticket_key, "",
          "file of 64 random bytes that all nodes share, for resumed sessions"),
    END,
};

static const struct andiron_directive log_directives[] = {
    VALUE("target", ANDIRON_STRING, log_target, "auto",
          "auto, stderr, journal, syslog or file:/path"),
    CHOICE("format", log_format, "auto", log_formats, "auto: text on a terminal, else json"),
    CHOICE("level", log_level, "info", log_levels, "least important lines that are kept"),
    VALUE("access-log", ANDIRON_STRING, access_log, "all",
          "which requests are logged: all, errors, slow:200ms or off"),
    COUNT("queue", log.queue, "8192", 16, 1000000, "lines that may wait to be written"),
    END,
};

static const struct andiron_directive init_directives[] = {
    VALUE("bundle", ANDIRON_STRING, init_bundle, "",
          "Bundle that is applied at each start: a path"),
    END,
};

static const struct andiron_directive core_directives[] = {
    VALUE("state-dir", ANDIRON_PATH, state_dir, ANDIRON_DEFAULT_STATE_DIR, "what must survive"),
    VALUE("cache-dir", ANDIRON_PATH, cache_dir, ANDIRON_DEFAULT_CACHE_DIR, "what need not survive"),
    VALUE("module-path", ANDIRON_LIST, module_path, ANDIRON_DEFAULT_MODULE_PATH,
          "folders where modules are looked for, in order"),
    VALUE("definitions-dir", ANDIRON_PATH, definitions_dir, ANDIRON_DEFAULT_DEFINITIONS_DIR,
          "compiled FHIR definitions"),
    VALUE("user", ANDIRON_STRING, user, "",
          "user to become when started as root; empty: the owner of state-dir"),
    VALUE("group", ANDIRON_STRING, group, "", "group to become; empty: the user's"),
    END,
};

static const struct andiron_directive dev_directives[] = {
    VALUE("mode", ANDIRON_BOOL, http.dev_mode, "off", "for development only: relaxes safety rules"),
    VALUE("assertion-key", ANDIRON_BOOL, dev_assertion_key, "off",
          "for development only: publishes a key that signs test assertions"),
    END,
};

const struct host_section settings_sections[] = {
    { "http", http_directives }, { "json", json_directives }, { "admin", admin_directives },
    { "tls", tls_directives },   { "log", log_directives },   { "init", init_directives },
    { "core", core_directives }, { "dev", dev_directives },   { NULL, NULL },
};

/* ---- checks across directives ------------------------------------------------------- */

/* A problem at the place where the directive was set. */
static void bad(struct host *host, const char *section, const char *name, const char *fmt, ...)
    ANDIRON_PRINTF(4, 5);
static void bad(struct host *host, const char *section, const char *name, const char *fmt, ...)
{
    const struct directive_value *v = host_value(host, section, name);
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    problem_add(host_problems(host), v != NULL ? v->file : NULL, v != NULL ? v->line : 0,
                "%s.%s: %s", section, name, text);
}

static void check_base_url(struct host *host, struct settings *s)
{
    const char *url = s->base_url;
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;

    if (url[0] == '\0') {
        if (!s->http.dev_mode)
            bad(host, "http", "base-url",
                "is required: the URL under which clients reach this server, such as "
                "https://fhir.example.org");
        return;
    }
    if (scheme == 0 || url[scheme] == '\0' || url[scheme] == '/' ||
        strpbrk(url, " \t\"<>\\^`{|}?#@") != NULL)
        bad(host, "http", "base-url",
            "\"%.200s\" is no URL such as https://fhir.example.org, without query and user", url);
    else if (url[strlen(url) - 1] == '/')
        bad(host, "http", "base-url", "must not end with '/'");
    else
        s->http.base_url = url;
}

static void check_access_log(struct host *host, struct settings *s)
{
    static const struct {
        const char *word;
        enum http_access_log value;
    } words[] = { { "all", HTTP_LOG_ALL }, { "errors", HTTP_LOG_ERRORS }, { "off", HTTP_LOG_OFF } };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(s->access_log, words[i].word) == 0) {
            s->http.access_log = words[i].value;
            return;
        }
    }
    int64_t slow = -1;
    if (strncmp(s->access_log, "slow:", 5) == 0)
        slow = units_duration(andiron_str_of(s->access_log + 5));
    s->http.access_log = HTTP_LOG_SLOW;
    s->http.access_log_slow_ms = slow;
    if (slow < 0)
        bad(host, "log", "access-log", "\"%.100s\" is not all, errors, off or slow:DURATION",
            s->access_log);
}

static void check_log(struct host *host, struct settings *s)
{
    static const char *const words[] = { "auto", "stderr", "journal", "syslog" };
    bool known = strncmp(s->log_target, "file:/", 6) == 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        known = known || strcmp(s->log_target, words[i]) == 0;
    if (!known)
        bad(host, "log", "target", "\"%.100s\" is not auto, stderr, journal, syslog or file:/path",
            s->log_target);
    s->log.target = s->log_target;
    s->log.format = (enum log_format)s->log_format;
    s->log.level = (enum andiron_level)s->log_level;
    check_access_log(host, s);
}

/* Each address, and that what it asks for is there. */
static void check_addresses(struct host *host, struct settings *s, const char *section,
                            const char *const *list)
{
    bool is_admin = strcmp(section, "admin") == 0;
    for (size_t i = 0; list[i] != NULL; i++) {
        struct address address;
        struct andiron_error err;
        if (address_parse(list[i], &address, &err) != 0)
            bad(host, section, "listen", "%s", err.message);
        else if (is_admin && !s->admin_allow_remote && !address_is_local(&address))
            bad(host, section, "listen",
                "\"%s\" can be reached from elsewhere, and the admin listener asks for no "
                "credentials; use 127.0.0.1 or [::1], or set admin.allow-remote = yes",
                list[i]);
        else if (address.is_tls && s->tls_certificate[0] == '\0')
            bad(host, section, "listen", "\"%s\" needs tls.certificate and tls.key", list[i]);
    }
    if (list[0] == NULL && !is_admin)
        bad(host, section, "listen", "names no address; expected one such as 127.0.0.1:8080");
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* Of a directive that is a path to a secret. */
static void warn_open(struct host *host, const char *section, const char *name, const char *path)
{
    const struct directive_value *v = host_value(host, section, name);
    struct problems *problems = host_problems(host);

    config_warn_open(problems, v != NULL ? v->file : NULL, v != NULL ? v->line : 0,
                     andiron_printf(problems->arena, "%s.%s", section, name), path);
}

static void check_tls(const struct invocation *invocation, struct host *host, struct settings *s)
{
    const char *key = s->tls_key[0] == '@' ? s->tls_key + 1 : s->tls_key;

    if (s->tls_certificate[0] != '\0' && key[0] == '\0')
        bad(host, "tls", "key", "is required beside tls.certificate: the path of the key's file");
    s->http.tls_certificate = or_null(s->tls_certificate);
    if (key[0] != '\0') {
        s->http.tls_key = config_path(host_problems(host)->arena, invocation->dir, key);
        warn_open(host, "tls", "key", s->http.tls_key);
    }
    s->http.tls_client_ca = or_null(s->tls_client_ca);
    s->http.tls_priorities = or_null(s->tls_priorities);
    s->http.tls_ticket_key = or_null(s->tls_ticket_key);
    if (s->http.tls_ticket_key != NULL)
        warn_open(host, "tls", "ticket-key", s->http.tls_ticket_key);
    s->http.tls_min_version = tls_versions[s->tls_min_version];
}

static void check_core(struct host *host, struct settings *s)
{
    for (size_t i = 0; s->module_path[i] != NULL; i++)
        if (s->module_path[i][0] != '/')
            bad(host, "core", "module-path", "\"%.200s\" is no absolute path", s->module_path[i]);
    if (s->module_path[0] == NULL)
        bad(host, "core", "module-path", "names no folder");
    if (s->state_dir[0] == '\0')
        bad(host, "core", "state-dir", "is empty; expected a folder");
    if (strlen(s->control_socket) >= ADDRESS_SOCKET_PATH_MAX)
        bad(host, "admin", "control-socket",
            "is longer than %d bytes, which no socket's path may be", ADDRESS_SOCKET_PATH_MAX - 1);
}

/* Path of the bundle: "file:///x", "/x", or below the configuration folder. */
static void settle_bundle(const struct invocation *invocation, struct host *host,
                          struct settings *s)
{
    const char *path = s->init_bundle;
    if (strncmp(path, "file://", 7) == 0)
        path += 7;
    else if (strstr(path, "://") != NULL)
        bad(host, "init", "bundle", "\"%.200s\" is neither a path nor a file:// URL", path);
    s->init_bundle =
        path[0] == '\0' ? "" : config_path(host_problems(host)->arena, invocation->dir, path);
}

static int64_t clamp(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

static void settle_threads(struct settings *s)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t cpus = online > 0 ? online : 1;
    if (s->io_threads == 0)
        s->io_threads = clamp(cpus, 1, 8);
    if (s->worker_threads == 0)
        s->worker_threads = clamp(cpus, 2, 256);
}

struct host *settings_read(const struct invocation *invocation, enum directives_secrets secrets,
                           struct settings *settings)
{
    *settings = (struct settings){ .base_url = "" };
    struct host_setup setup = { .dir = invocation->dir,
                                .overrides = invocation->overrides,
                                .environment = environ,
                                .sections = settings_sections,
                                .settings = settings,
                                .secrets = secrets };
    struct host *host = host_read(&setup);

    settings->json = (struct json_limits){ .max_depth = (uint32_t)settings->json_max_depth,
                                           .max_string = (uint32_t)settings->json_max_string };
    settings->http.compression_gzip = settings->compression == 1;
    check_base_url(host, settings);
    check_log(host, settings);
    check_addresses(host, settings, "http", settings->listen);
    check_addresses(host, settings, "admin", settings->admin_listen);
    check_tls(invocation, host, settings);
    check_core(host, settings);
    settle_bundle(invocation, host, settings);
    settle_threads(settings);
    return host;
}
