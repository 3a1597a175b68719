/*
 * Log lines: formatting, the bounded queue and the thread that writes.
 *
 * May use files, stderr, syslog and (with libsystemd) the journal; knows nothing
 * of plugins or requests beyond the strings it is handed.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#ifdef ANDIRON_HAVE_SYSTEMD
#    define SD_JOURNAL_SUPPRESS_LOCATION
#    include <systemd/sd-journal.h>
#endif

#include "base/buffer.h"
#include "base/units.h"

enum { LINE_MAX_BYTES = 16 * 1024, LINE_BYTES = 512, MESSAGE_MAX = 2048, BATCH = 64 };

enum target { TARGET_STDERR, TARGET_JOURNAL, TARGET_SYSLOG, TARGET_FILE };

struct line {
    enum andiron_level level;
    size_t len;
    char *text; /* malloc'ed, ends with a newline; journal: fields, each ended by NUL */
};

static struct {
    enum target target;
    bool json, open;
    _Atomic enum andiron_level level;
    char *path;
    int fd;
    size_t capacity, head, count;
    struct line *lines;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_t thread;
    bool ending, reopen;
    bool told_dropped;
    atomic_uint_fast64_t dropped;
} sink = { .fd = STDERR_FILENO,
           .level = ANDIRON_LOG_INFO,
           .lock = PTHREAD_MUTEX_INITIALIZER,
           .filled = PTHREAD_COND_INITIALIZER };

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

bool log_enabled(enum andiron_level level)
{
    return level <= atomic_load_explicit(&sink.level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&sink.dropped, memory_order_relaxed);
}

/* ---- one line ------------------------------------------------------------- */

/* What a line carries, in the order of the log format. */
struct pair {
    const char *key, *journal;
    andiron_str text; /* absent: use number */
    int64_t number;   /* negative: absent */
};

enum { PAIRS_MAX = 24 };

static size_t pairs_of(struct pair *pairs, const char *ts, enum andiron_level level,
                       const char *event, const struct log_fields *f, andiron_str message)
{
    static const struct log_fields none = LOG_FIELDS_NONE;
    if (f == NULL)
        f = &none;
    const struct pair all[] = {
        { "ts", NULL, andiron_str_of(ts), -1 },
        { "level", NULL, andiron_str_of(level_names[level]), -1 },
        { "event", "ANDIRON_EVENT", andiron_str_of(event), -1 },
        { "plugin", "ANDIRON_PLUGIN", andiron_str_of(f->plugin), -1 },
        { "request_id", "ANDIRON_REQUEST_ID", f->request_id, -1 },
        { "trace_id", "ANDIRON_TRACE_ID", f->trace_id, -1 },
        { "method", "ANDIRON_METHOD", f->method, -1 },
        { "route", "ANDIRON_ROUTE", f->route, -1 },
        { "type", "ANDIRON_TYPE", f->type, -1 },
        { "operation", "ANDIRON_OPERATION", f->operation, -1 },
        { "status", "ANDIRON_STATUS", { NULL, 0 }, f->status > 0 ? f->status : -1 },
        { "duration_us", "ANDIRON_DURATION_US", { NULL, 0 }, f->duration_us },
        { "bytes_in", "ANDIRON_BYTES_IN", { NULL, 0 }, f->bytes_in },
        { "bytes_out", "ANDIRON_BYTES_OUT", { NULL, 0 }, f->bytes_out },
        { "store_us", "ANDIRON_STORE_US", { NULL, 0 }, f->store_us },
        { "client_id", "ANDIRON_CLIENT_ID", f->client_id, -1 },
        { "remote", "ANDIRON_REMOTE", f->remote, -1 },
        { "policy", "ANDIRON_POLICY", f->policy, -1 },
        { "policies", "ANDIRON_POLICIES", { NULL, 0 }, f->policies },
        { "policy_us", "ANDIRON_POLICY_US", { NULL, 0 }, f->policy_us },
        { "reason", "ANDIRON_REASON", f->reason, -1 },
        { "msg", "MESSAGE", message, -1 },
        { "error", "ANDIRON_ERROR", f->error, -1 },
    };
    _Static_assert(sizeof(all) / sizeof(all[0]) <= PAIRS_MAX, "room for every pair");
    size_t count = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].text.len != 0 || all[i].number >= 0)
            pairs[count++] = all[i];
    return count;
}

/* Longer lines are cut: the log is for people, and a line must not grow with its input. */
static void add(struct buffer *b, const char *text, size_t len)
{
    (void)buffer_add(b, text, len);
}

/* Escapes what would break the line; quotes as in JSON, so that both formats share it. */
static void add_escaped(struct buffer *b, andiron_str s)
{
    size_t plain = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        add(b, s.data + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\') {
            char pair[2] = { '\\', (char)c };
            add(b, pair, 2);
        } else {
            (void)buffer_printf(b, "\\u%04x", c);
        }
    }
    add(b, s.data + plain, s.len - plain);
}

/* Every request writes a line with four numbers: printf would be a good part of its cost. */
static void add_number(struct buffer *b, int64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t left = n > 0 ? (uint64_t)n : 0; /* negative ones are absent */
    do
        digits[--at] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    add(b, digits + at, sizeof(digits) - at);
}

static void format_json(struct buffer *b, const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add(b, i == 0 ? "{\"" : ",\"", 2);
        add(b, pairs[i].key, strlen(pairs[i].key));
        add(b, "\":", 2);
        if (pairs[i].text.len == 0) {
            add_number(b, pairs[i].number);
            continue;
        }
        add(b, "\"", 1);
        add_escaped(b, pairs[i].text);
        add(b, "\"", 1);
    }
    add(b, "}\n", 2);
}

/* TIME LEVEL event msg key=value ...: the first three and the message have no key. */
static void format_text(struct buffer *b, const struct pair *pairs, size_t count)
{
    andiron_str message = { NULL, 0 };
    for (size_t i = 0; i < 3 && i < count; i++) {
        add_escaped(b, pairs[i].text);
        add(b, " ", 1);
    }
    for (size_t i = 3; i < count; i++)
        if (strcmp(pairs[i].key, "msg") == 0)
            message = pairs[i].text;
    add_escaped(b, message);
    for (size_t i = 3; i < count; i++) {
        if (strcmp(pairs[i].key, "msg") == 0)
            continue;
        add(b, " ", 1);
        add(b, pairs[i].key, strlen(pairs[i].key));
        add(b, "=", 1);
        if (pairs[i].text.len == 0) {
            add_number(b, pairs[i].number);
            continue;
        }
        bool quoted = memchr(pairs[i].text.data, ' ', pairs[i].text.len) != NULL;
        add(b, "\"", quoted);
        add_escaped(b, pairs[i].text);
        add(b, "\"", quoted);
    }
    add(b, "\n", 1);
}

/* One number for each event, the same on all machines: `journalctl MESSAGE_ID=` finds it. */
static void put_message_id(struct buffer *b, const char *event)
{
    char named[128];
    uint8_t digest[32];
    int len = snprintf(named, sizeof(named), "andiron-event:%s", event);

    if (len < 0 || (size_t)len >= sizeof(named) ||
        gnutls_hash_fast(GNUTLS_DIG_SHA256, named, (size_t)len, digest) != 0)
        return;
    add(b, "MESSAGE_ID=", 11);
    for (size_t i = 0; i < 16; i++)
        (void)buffer_printf(b, "%02x", digest[i]);
    add(b, "", 1);
}

/* KEY=value, each ended by NUL, for sd_journal_sendv(). */
static void format_journal(struct buffer *b, const char *event, const struct pair *pairs,
                           size_t count, enum andiron_level level)
{
    (void)buffer_printf(b, "PRIORITY=%d", priorities[level]);
    add(b, "", 1);
    put_message_id(b, event);
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].journal == NULL)
            continue;
        add(b, pairs[i].journal, strlen(pairs[i].journal));
        add(b, "=", 1);
        if (pairs[i].text.len == 0)
            add_number(b, pairs[i].number);
        else
            add_escaped(b, pairs[i].text);
        add(b, "", 1);
    }
}

/* ---- sinks ------------------------------------------------------------------ */

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere to complain to */
        text += n;
        len -= (size_t)n;
    }
}

#ifdef ANDIRON_HAVE_SYSTEMD
static void send_journal(const struct line *line)
{
    struct iovec fields[PAIRS_MAX + 2]; /* and PRIORITY, MESSAGE_ID */
    int count = 0;
    for (size_t at = 0; at < line->len && count < PAIRS_MAX + 2;) {
        size_t len = strlen(line->text + at);
        fields[count++] = (struct iovec){ line->text + at, len };
        at += len + 1;
    }
    (void)sd_journal_sendv(fields, count); /* nowhere to complain to */
}
#endif

/* Many lines with one call; what it leaves is written one by one. */
static void write_batch(int fd, const struct line *lines, size_t count)
{
    struct iovec pieces[BATCH];
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct iovec){ lines[i].text, lines[i].len };
    ssize_t written = writev(fd, pieces, (int)count);
    size_t done = written > 0 ? (size_t)written : 0;
    for (size_t i = 0; i < count; i++) {
        size_t part = done < lines[i].len ? done : lines[i].len;
        done -= part;
        write_all(fd, lines[i].text + part, lines[i].len - part);
    }
}

static void emit(const struct line *lines, size_t count)
{
    switch (sink.target) {
    case TARGET_SYSLOG:
        for (size_t i = 0; i < count; i++)
            syslog(priorities[lines[i].level], "%.*s", (int)lines[i].len, lines[i].text);
        break;
    case TARGET_JOURNAL:
#ifdef ANDIRON_HAVE_SYSTEMD
        for (size_t i = 0; i < count; i++)
            send_journal(&lines[i]);
        break;
#endif
    case TARGET_STDERR:
    case TARGET_FILE:
    default:
        write_batch(sink.fd, lines, count);
    }
}

static size_t take_batch(struct line batch[BATCH])
{
    size_t count = 0;
    for (; count < BATCH && sink.count > 0; count++, sink.count--) {
        batch[count] = sink.lines[sink.head];
        sink.head = (sink.head + 1) % sink.capacity;
    }
    return count;
}

/* As root a link is not followed: the folder may belong to a user who would like us to. */
static int open_file(const char *path)
{
    int links = geteuid() == 0 ? O_NOFOLLOW : 0;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | links, 0640);
}

static void reopen_file(void)
{
    if (sink.target != TARGET_FILE)
        return;
    int fd = open_file(sink.path);
    if (fd < 0)
        return; /* the old one still takes lines: better than none */
    (void)close(sink.fd);
    sink.fd = fd;
}

static void *write_lines(void *arg)
{
    static const struct timespec pause = { .tv_nsec = 1000000 };
    (void)arg;
    (void)pthread_mutex_lock(&sink.lock);
    while (!sink.ending || sink.count > 0) {
        if (sink.reopen) {
            sink.reopen = false;
            reopen_file();
        }
        if (sink.count == 0) {
            sink.told_dropped = false;
            (void)pthread_cond_wait(&sink.filled, &sink.lock);
            continue;
        }
        struct line batch[BATCH];
        size_t count = take_batch(batch);
        bool busy = sink.ending || sink.count > sink.capacity / 4;
        (void)pthread_mutex_unlock(&sink.lock);
        emit(batch, count);
        for (size_t i = 0; i < count; i++)
            free(batch[i].text);
        if (!busy) /* lines gather meanwhile, and need not wake this thread one by one */
            (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&sink.lock);
    }
    (void)pthread_mutex_unlock(&sink.lock);
    return NULL;
}

/* Takes over line->text. */
static void enqueue(struct line *line)
{
    bool dropped = false, tell = false;
    (void)pthread_mutex_lock(&sink.lock);
    if (sink.count == sink.capacity) {
        dropped = true;
        tell = !sink.told_dropped;
        sink.told_dropped = true;
    } else {
        sink.lines[(sink.head + sink.count++) % sink.capacity] = *line;
        if (sink.count == 1)
            (void)pthread_cond_signal(&sink.filled);
    }
    (void)pthread_mutex_unlock(&sink.lock);
    if (!dropped)
        return;
    free(line->text);
    uint64_t total = atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed) + 1;
    if (tell)
        dprintf(STDERR_FILENO, "andiron: log queue full, dropping lines (%llu so far)\n",
                (unsigned long long)total);
}

/* ---- public ------------------------------------------------------------------- */

void log_vevent(enum andiron_level level, const char *event, const struct log_fields *fields,
                const char *fmt, va_list args)
{
    if (!log_enabled(level))
        return;
    char message[MESSAGE_MAX], ts[UNITS_INSTANT_MAX];
    struct pair pairs[PAIRS_MAX];
    struct buffer b;

    if (vsnprintf(message, sizeof(message), fmt, args) < 0)
        message[0] = '\0';
    (void)units_instant(andiron_now(), ts);
    size_t count = pairs_of(pairs, ts, level, event, fields, andiron_str_of(message));
    buffer_init(&b, LINE_MAX_BYTES);
    if (buffer_reserve(&b, LINE_BYTES) != 0) /* most lines then grow no more */
        return;
    if (sink.open && sink.target == TARGET_JOURNAL)
        format_journal(&b, event, pairs, count, level);
    else if (sink.open && sink.json)
        format_json(&b, pairs, count);
    else
        format_text(&b, pairs, count);

    struct line line = { .level = level, .len = b.len, .text = b.data };
    if (sink.open) {
        enqueue(&line);
        return;
    }
    write_all(STDERR_FILENO, line.text, line.len);
    free(line.text);
}

void log_event(enum andiron_level level, const char *event, const struct log_fields *fields,
               const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_vevent(level, event, fields, fmt, args);
    va_end(args);
}

/* Under systemd, stderr is the journal's socket: JOURNAL_STREAM says so. */
static enum target target_of(const char *name)
{
    if (strcmp(name, "auto") == 0)
        return getenv("JOURNAL_STREAM") != NULL ? TARGET_JOURNAL : TARGET_STDERR;
    if (strcmp(name, "journal") == 0)
        return TARGET_JOURNAL;
    if (strcmp(name, "syslog") == 0)
        return TARGET_SYSLOG;
    if (strncmp(name, "file:", 5) == 0)
        return TARGET_FILE;
    return TARGET_STDERR;
}

int log_open(const struct log_settings *settings, struct andiron_error *err)
{
    sink.target = target_of(settings->target);
    sink.fd = STDERR_FILENO;
    if (sink.target == TARGET_FILE) {
        sink.path = strdup(settings->target + 5);
        sink.fd = sink.path != NULL ? open_file(sink.path) : -1;
        if (sink.fd < 0) {
            free(sink.path);
            sink.path = NULL;
            sink.fd = STDERR_FILENO;
            return andiron_error_set(err, ANDIRON_E_INVALID, "log.target",
                                     "cannot open \"%s\" for appending: %s", settings->target + 5,
                                     strerror(errno));
        }
    }
    if (sink.target == TARGET_SYSLOG)
        openlog("andiron", LOG_PID, LOG_DAEMON);
    sink.json = settings->format == LOG_FORMAT_JSON ||
                (settings->format == LOG_FORMAT_AUTO && !isatty(sink.fd));
    atomic_store(&sink.level, settings->level);
    sink.capacity = settings->queue > 0 ? (size_t)settings->queue : 1;
    sink.lines = calloc(sink.capacity, sizeof(*sink.lines));
    sink.head = sink.count = 0;
    sink.ending = sink.reopen = sink.told_dropped = false;
    if (sink.lines == NULL || pthread_create(&sink.thread, NULL, write_lines, NULL) != 0) {
        free(sink.lines);
        sink.lines = NULL;
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "log.queue",
                                 "cannot start the logging thread");
    }
    sink.open = true;
    return 0;
}

void log_close(void)
{
    if (!sink.open)
        return;
    (void)pthread_mutex_lock(&sink.lock);
    sink.ending = true;
    (void)pthread_cond_signal(&sink.filled);
    (void)pthread_mutex_unlock(&sink.lock);
    (void)pthread_join(sink.thread, NULL);
    sink.open = false;
    if (sink.target == TARGET_FILE)
        (void)close(sink.fd);
    if (sink.target == TARGET_SYSLOG)
        closelog();
    sink.fd = STDERR_FILENO;
    free(sink.path);
    free(sink.lines);
    sink.path = NULL;
    sink.lines = NULL;
}

void log_reopen(void)
{
    (void)pthread_mutex_lock(&sink.lock);
    sink.reopen = true;
    (void)pthread_cond_signal(&sink.filled);
    (void)pthread_mutex_unlock(&sink.lock);
}
