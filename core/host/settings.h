/*
 * Core's own sections: their directive tables, and the struct that they fill.
 */
#ifndef CORE_HOST_SETTINGS_H
#define CORE_HOST_SETTINGS_H

#include "base/log.h"
#include "host/host.h"
#include "http/settings.h"
#include "json/parse.h"

struct settings {
    struct http_settings http; /* [http], [tls], dev.mode: as the HTTP layer wants them */
    struct log_settings log;
    struct json_limits json;

    /* as written, before settings_finish() */
    const char *base_url, *access_log, *log_target;
    int compression, log_format, log_level, tls_min_version;
    const char *tls_certificate, *tls_key, *tls_client_ca, *tls_priorities, *tls_ticket_key;
    int64_t json_max_depth, json_max_string;

    const char *const *listen, *const *admin_listen;
    const char *const *cors_origins; /* read by plugin cors, as text */
    bool admin_allow_remote;
    const char *control_socket;         /* absolute, or "" */
    int64_t io_threads, worker_threads; /* settled: never 0 */
    const char *init_bundle;            /* path, or "" */
    const char *state_dir, *cache_dir, *definitions_dir;
    const char *const *module_path;
    const char *user, *group; /* "" : see privileges.h */
    bool dev_assertion_key;
};

extern const struct host_section settings_sections[];

/* What the command line says. */
struct invocation {
    const char *program;          /* path of the andiron on disk */
    const char *dir;              /* configuration folder, absolute */
    const char *const *overrides; /* of -o, NULL-terminated */
};

/*
 * Reads the configuration into *settings and checks what no table can: listen addresses,
 * base-url, access-log, folders. Problems are in host_problems(). secrets as in host.h.
 */
struct host *settings_read(const struct invocation *invocation, enum directives_secrets secrets,
                           struct settings *settings);

#endif
