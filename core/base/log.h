/*
 * Log lines: levels, formats (text, JSON, journal fields) and sinks.
 *
 * A line is written by a thread of its own from a bounded queue, so that logging
 * never blocks a loop; a full queue drops lines, counts them and says so once.
 * Before log_open() and after log_close() lines go to stderr directly, as text.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <stdarg.h>

#include <andiron/error.h>
#include <andiron/log.h>

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

struct log_settings {
    const char *target; /* auto | stderr | journal | syslog | file:/path */
    enum log_format format;
    enum andiron_level level;
    int64_t queue; /* lines */
};

/*
 * What a line may carry besides its text; packaging-and-operations.md section 8 has the
 * order and meaning. Absent strings and negative numbers are left out.
 */
struct log_fields {
    const char *plugin;
    andiron_str request_id, trace_id, method, route, type, operation;
    int status; /* 0: none */
    int64_t duration_us, bytes_in, bytes_out, store_us;
    andiron_str client_id, remote, policy, reason, error;
    int64_t policies, policy_us; /* asked for the decision, and how long that took */
};
#define LOG_FIELDS_NONE                                                                            \
    {                                                                                              \
        .duration_us = -1, .bytes_in = -1, .bytes_out = -1, .store_us = -1, .policies = -1,        \
        .policy_us = -1                                                                            \
    }

/* Starts the writing thread. Strings of settings are copied. */
ANDIRON_MUST_CHECK int log_open(const struct log_settings *settings, struct andiron_error *err);
/* Writes what is queued, ends the thread. */
void log_close(void);
/* Reopens a file target (SIGUSR1). Any thread. */
void log_reopen(void);

bool log_enabled(enum andiron_level level);
/* fields may be NULL. Control characters are escaped: one event is one line. Any thread. */
void log_event(enum andiron_level level, const char *event, const struct log_fields *fields,
               const char *fmt, ...) ANDIRON_PRINTF(4, 5);
void log_vevent(enum andiron_level level, const char *event, const struct log_fields *fields,
                const char *fmt, va_list args);
/* The same without a text. */
void log_record(enum andiron_level level, const char *event, const struct log_fields *fields);
/* Lines dropped because the queue was full. */
uint64_t log_dropped(void);

#endif
