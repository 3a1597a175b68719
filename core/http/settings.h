/*
 * Values of the sections [http], [admin] and [tls] that the HTTP layer reads. Filled by
 * the daemon from its directive tables (daemon/settings.c) before the loops start.
 */
#ifndef CORE_HTTP_SETTINGS_H
#define CORE_HTTP_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

enum http_access_log { HTTP_LOG_ALL, HTTP_LOG_ERRORS, HTTP_LOG_SLOW, HTTP_LOG_OFF };

struct http_settings {
    const char *base_url; /* without final '/'; NULL: from Host (dev.mode) */
    const char *const *trusted_proxies;
    /* bytes and counts */
    int64_t max_request_line, max_header, max_header_fields;
    int64_t max_body, max_body_anonymous, body_memory, request_memory, output_buffer;
    int64_t max_connections, max_connections_per_address;
    bool compression_gzip;
    int64_t compression_min;
    /* milliseconds */
    int64_t header_timeout, body_timeout, request_timeout, idle_timeout, write_timeout;
    int64_t drain_timeout, drain_grace;
    enum http_access_log access_log;
    int64_t access_log_slow_ms;
    /* TLS; NULL certificate: no tls: listener */
    const char *tls_certificate, *tls_key, *tls_client_ca, *tls_priorities;
    const char *tls_min_version; /* "1.2" or "1.3" */
    const char *tls_ticket_key;  /* file of 64 random bytes shared by all nodes; NULL: own key */
    bool dev_mode;
};

#endif
