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
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#ifdef ANDIRON_HAVE_SYSTEMD
#    define SD_JOURNAL_SUPPRESS_LOCATION
#    include <systemd/sd-journal.h>
#endif

#include "base/units.h"

enum { LINE_MAX_BYTES = 16 * 1024, MESSAGE_MAX = 2048, KEPT_BYTES = 256 * 1024 };

enum target { TARGET_STDERR, TARGET_JOURNAL, TARGET_SYSLOG, TARGET_FILE };

/* Lines one behind the other; each ends with a newline, or for the journal is fields that end with NUL. */
struct lines {
    char *bytes;
    size_t len, cap;
    struct mark {
        uint32_t len;
        enum andiron_level level;
    } * marks; /* one for each */
    size_t count;
};

static struct {
    enum target target;
    bool json, open;
    _Atomic enum andiron_level level;
    char *path;
    int fd;
    size_t capacity;      /* lines that may wait */
    struct lines filling; /* under lock */
    struct lines writing; /* of the writing thread */
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

/* What a line may carry, in the order of the log format. */
enum {
    KEY_TS,
    KEY_LEVEL,
    KEY_EVENT,
    KEY_PLUGIN,
    KEY_REQUEST_ID,
    KEY_TRACE_ID,
    KEY_METHOD,
    KEY_ROUTE,
    KEY_TYPE,
    KEY_OPERATION,
    KEY_STATUS,
    KEY_DURATION,
    KEY_BYTES_IN,
    KEY_BYTES_OUT,
    KEY_STORE,
    KEY_CLIENT_ID,
    KEY_REMOTE,
    KEY_POLICY,
    KEY_POLICIES,
    KEY_POLICY_US,
    KEY_REASON,
    KEY_MSG,
    KEY_ERROR,
    KEYS
};

/* json and text are what stands before the value; journal NULL: the journal has it from elsewhere. */
struct key {
    andiron_str json, text, journal;
};
#define KEY(name, field)                                                                           \
    {                                                                                              \
        { ",\"" name "\":", sizeof(name) + 3 }, { " " name "=", sizeof(name) + 1 },                \
        {                                                                                          \
            field, sizeof(field) - 1                                                               \
        }                                                                                          \
    }
static const struct key keys[KEYS] = {
    [KEY_TS] = KEY("ts", ""),
    [KEY_LEVEL] = KEY("level", ""),
    [KEY_EVENT] = KEY("event", "ANDIRON_EVENT="),
    [KEY_PLUGIN] = KEY("plugin", "ANDIRON_PLUGIN="),
    [KEY_REQUEST_ID] = KEY("request_id", "ANDIRON_REQUEST_ID="),
    [KEY_TRACE_ID] = KEY("trace_id", "ANDIRON_TRACE_ID="),
    [KEY_METHOD] = KEY("method", "ANDIRON_METHOD="),
    [KEY_ROUTE] = KEY("route", "ANDIRON_ROUTE="),
    [KEY_TYPE] = KEY("type", "ANDIRON_TYPE="),
    [KEY_OPERATION] = KEY("operation", "ANDIRON_OPERATION="),
    [KEY_STATUS] = KEY("status", "ANDIRON_STATUS="),
    [KEY_DURATION] = KEY("duration_us", "ANDIRON_DURATION_US="),
    [KEY_BYTES_IN] = KEY("bytes_in", "ANDIRON_BYTES_IN="),
    [KEY_BYTES_OUT] = KEY("bytes_out", "ANDIRON_BYTES_OUT="),
    [KEY_STORE] = KEY("store_us", "ANDIRON_STORE_US="),
    [KEY_CLIENT_ID] = KEY("client_id", "ANDIRON_CLIENT_ID="),
    [KEY_REMOTE] = KEY("remote", "ANDIRON_REMOTE="),
    [KEY_POLICY] = KEY("policy", "ANDIRON_POLICY="),
    [KEY_POLICIES] = KEY("policies", "ANDIRON_POLICIES="),
    [KEY_POLICY_US] = KEY("policy_us", "ANDIRON_POLICY_US="),
    [KEY_REASON] = KEY("reason", "ANDIRON_REASON="),
    [KEY_MSG] = KEY("msg", "MESSAGE="),
    [KEY_ERROR] = KEY("error", "ANDIRON_ERROR="),
};

struct value {
    andiron_str text; /* absent: use number */
    int64_t number;   /* negative: absent */
};

static void values_of(struct value *values, andiron_str ts, enum andiron_level level,
                      const char *event, const struct log_fields *f, andiron_str message)
{
#define TEXT(s) ((struct value){ s, -1 })
#define NUMBER(n) ((struct value){ { NULL, 0 }, n })
    values[KEY_TS] = TEXT(ts);
    values[KEY_LEVEL] = TEXT(andiron_str_of(level_names[level]));
    values[KEY_EVENT] = TEXT(andiron_str_of(event));
    values[KEY_PLUGIN] = TEXT(andiron_str_of(f->plugin));
    values[KEY_REQUEST_ID] = TEXT(f->request_id);
    values[KEY_TRACE_ID] = TEXT(f->trace_id);
    values[KEY_METHOD] = TEXT(f->method);
    values[KEY_ROUTE] = TEXT(f->route);
    values[KEY_TYPE] = TEXT(f->type);
    values[KEY_OPERATION] = TEXT(f->operation);
    values[KEY_STATUS] = NUMBER(f->status > 0 ? f->status : -1);
    values[KEY_DURATION] = NUMBER(f->duration_us);
    values[KEY_BYTES_IN] = NUMBER(f->bytes_in);
    values[KEY_BYTES_OUT] = NUMBER(f->bytes_out);
    values[KEY_STORE] = NUMBER(f->store_us);
    values[KEY_CLIENT_ID] = TEXT(f->client_id);
    values[KEY_REMOTE] = TEXT(f->remote);
    values[KEY_POLICY] = TEXT(f->policy);
    values[KEY_POLICIES] = NUMBER(f->policies);
    values[KEY_POLICY_US] = NUMBER(f->policy_us);
    values[KEY_REASON] = TEXT(f->reason);
    values[KEY_MSG] = TEXT(message);
    values[KEY_ERROR] = TEXT(f->error);
#undef TEXT
#undef NUMBER
}

static bool is_there(const struct value *value)
{
    return value->text.len != 0 || value->number >= 0;
}

/* A line that is being written, on the stack: every request has one, and none needs malloc. */
struct line {
    size_t len;
    char bytes[LINE_MAX_BYTES];
};

/* Longer lines are cut: the log is for people, and a line must not grow with its input. */
static void add(struct line *b, const char *text, size_t len)
{
    if (len > LINE_MAX_BYTES - b->len)
        return;
    memcpy(b->bytes + b->len, text, len);
    b->len += len;
}

static void add_str(struct line *b, andiron_str s)
{
    add(b, s.data, s.len);
}

static void add_hex(struct line *b, unsigned byte)
{
    static const char digits[] = "0123456789abcdef";
    const char pair[2] = { digits[byte >> 4 & 15], digits[byte & 15] };
    add(b, pair, 2);
}

/* What would break a line. */
static const bool is_special[256] = {
    true, true, true, true, true, true, true, true, true,         true,          true,         true,
    true, true, true, true, true, true, true, true, true,         true,          true,         true,
    true, true, true, true, true, true, true, true, ['"'] = true, ['\\'] = true, [0x7F] = true
};

/* Escapes what would break the line; quotes as in JSON, so that both formats share it. */
static void add_escaped(struct line *b, andiron_str s)
{
    size_t plain = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (!is_special[c])
            continue;
        add(b, s.data + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\') {
            char pair[2] = { '\\', (char)c };
            add(b, pair, 2);
        } else {
            add(b, "\\u00", 4);
            add_hex(b, c);
        }
    }
    if (s.len > plain)
        add(b, s.data + plain, s.len - plain);
}

/* Every request writes a line with several numbers: printf would be a good part of its cost. */
static void add_number(struct line *b, int64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t left = n > 0 ? (uint64_t)n : 0; /* negative ones are absent */
    do
        digits[--at] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    add(b, digits + at, sizeof(digits) - at);
}

static void format_json(struct line *b, const struct value *values)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (!is_there(&values[i]))
            continue;
        add_str(b, keys[i].json);
        if (values[i].text.len == 0) {
            add_number(b, values[i].number);
            continue;
        }
        add(b, "\"", 1);
        if (i == KEY_TS || i == KEY_REQUEST_ID || i == KEY_TRACE_ID) /* of letters and digits */
            add_str(b, values[i].text);
        else
            add_escaped(b, values[i].text);
        add(b, "\"", 1);
    }
    b->bytes[0] = '{'; /* it was the first key's comma */
    add(b, "}\n", 2);
}

/* TIME LEVEL event msg key=value ...: the first three and the message have no key. */
static void format_text(struct line *b, const struct value *values)
{
    for (size_t i = 0; i <= KEY_EVENT; i++) {
        add_escaped(b, values[i].text);
        add(b, " ", 1);
    }
    add_escaped(b, values[KEY_MSG].text);
    for (size_t i = KEY_EVENT + 1; i < KEYS; i++) {
        if (i == KEY_MSG || !is_there(&values[i]))
            continue;
        add_str(b, keys[i].text);
        if (values[i].text.len == 0) {
            add_number(b, values[i].number);
            continue;
        }
        bool quoted = memchr(values[i].text.data, ' ', values[i].text.len) != NULL;
        add(b, "\"", quoted);
        add_escaped(b, values[i].text);
        add(b, "\"", quoted);
    }
    add(b, "\n", 1);
}

/* FNV-1a; events are names of our own, so nobody looks for two with one number. */
static uint64_t number_of(uint64_t basis, const char *text)
{
    for (; *text != '\0'; text++)
        basis = (basis ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return basis;
}

/* One number for each event, the same on all machines: `journalctl MESSAGE_ID=` finds it. */
static void put_message_id(struct line *b, const char *event)
{
    const uint64_t halves[] = { number_of(UINT64_C(0xcbf29ce484222325), event),
                                number_of(UINT64_C(0x616e6469726f6e2e), event) };

    add(b, "MESSAGE_ID=", 11);
    for (size_t i = 0; i < 16; i++)
        add_hex(b, (uint8_t)(halves[i / 8] >> (56 - 8 * (i % 8))));
    add(b, "", 1);
}

/* KEY=value, each ended by NUL, for sd_journal_sendv(). */
static void format_journal(struct line *b, const char *event, const struct value *values,
                           enum andiron_level level)
{
    add(b, "PRIORITY=", 9);
    add_number(b, priorities[level]);
    add(b, "", 1);
    put_message_id(b, event);
    for (size_t i = 0; i < KEYS; i++) {
        if (keys[i].journal.len == 0 || !is_there(&values[i]))
            continue;
        add_str(b, keys[i].journal);
        if (values[i].text.len == 0)
            add_number(b, values[i].number);
        else
            add_escaped(b, values[i].text);
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
static void send_journal(char *line, size_t line_len)
{
    struct iovec fields[KEYS + 2]; /* and PRIORITY, MESSAGE_ID */
    int count = 0;
    for (size_t at = 0; at < line_len && count < KEYS + 2;) {
        size_t len = strnlen(line + at, line_len - at);
        fields[count++] = (struct iovec){ line + at, len };
        at += len + 1;
    }
    (void)sd_journal_sendv(fields, count); /* nowhere to complain to */
}
#endif

static void emit(const struct lines *lines)
{
    char *at = lines->bytes;

    if (sink.target == TARGET_STDERR || sink.target == TARGET_FILE) {
        write_all(sink.fd, lines->bytes, lines->len);
        return;
    }
    for (size_t i = 0; i < lines->count; at += lines->marks[i++].len) {
#ifdef ANDIRON_HAVE_SYSTEMD
        if (sink.target == TARGET_JOURNAL)
            send_journal(at, lines->marks[i].len);
        else
#endif
            syslog(priorities[lines->marks[i].level], "%.*s", (int)lines->marks[i].len, at);
    }
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

/* What waits becomes what is written, and the other way round. */
static void swap_lines(void)
{
    struct lines filled = sink.filling;
    sink.filling = sink.writing;
    sink.writing = filled;
}

/* Written: room for the next ones. After a rush it does not stay. */
static void clear_lines(struct lines *lines)
{
    lines->len = lines->count = 0;
    if (lines->cap <= KEPT_BYTES)
        return;
    free(lines->bytes);
    lines->bytes = NULL;
    lines->cap = 0;
}

static void *write_lines(void *arg)
{
    static const struct timespec pause = { .tv_nsec = 2000000 };
    (void)arg;
    (void)pthread_mutex_lock(&sink.lock);
    while (!sink.ending || sink.filling.count > 0) {
        if (sink.reopen) {
            sink.reopen = false;
            reopen_file();
        }
        if (sink.filling.count == 0) {
            sink.told_dropped = false;
            (void)pthread_cond_wait(&sink.filled, &sink.lock);
            continue;
        }
        bool busy = sink.ending || sink.filling.count > sink.capacity / 4;
        swap_lines();
        (void)pthread_mutex_unlock(&sink.lock);
        emit(&sink.writing);
        clear_lines(&sink.writing);
        if (!busy) /* lines gather meanwhile, and need not wake this thread one by one */
            (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&sink.lock);
    }
    (void)pthread_mutex_unlock(&sink.lock);
    return NULL;
}

/* Under the lock. false: there is no room. */
static bool append(struct lines *lines, const struct line *line, enum andiron_level level)
{
    if (lines->count == sink.capacity)
        return false;
    if (line->len > lines->cap - lines->len) {
        size_t cap = lines->cap > 0 ? lines->cap : 2 * LINE_MAX_BYTES;
        while (cap - lines->len < line->len)
            cap *= 2;
        char *bytes = realloc(lines->bytes, cap);
        if (bytes == NULL)
            return false;
        lines->bytes = bytes;
        lines->cap = cap;
    }
    memcpy(lines->bytes + lines->len, line->bytes, line->len);
    lines->len += line->len;
    lines->marks[lines->count++] = (struct mark){ (uint32_t)line->len, level };
    return true;
}

static void enqueue(const struct line *line, enum andiron_level level)
{
    bool tell = false;
    (void)pthread_mutex_lock(&sink.lock);
    bool dropped = !append(&sink.filling, line, level);
    if (dropped) {
        tell = !sink.told_dropped;
        sink.told_dropped = true;
    }
    bool is_first = sink.filling.count == 1;
    (void)pthread_mutex_unlock(&sink.lock);
    if (is_first)
        (void)pthread_cond_signal(&sink.filled);
    if (!dropped)
        return;
    uint64_t total = atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed) + 1;
    if (tell)
        dprintf(STDERR_FILENO, "andiron: log queue full, dropping lines (%llu so far)\n",
                (unsigned long long)total);
}

/* ---- public ------------------------------------------------------------------- */

static void put_line(enum andiron_level level, const char *event, const struct log_fields *fields,
                     andiron_str message)
{
    static const struct log_fields none = LOG_FIELDS_NONE;
    char ts[UNITS_INSTANT_MAX];
    struct value values[KEYS];
    struct line line;

    size_t ts_len = units_instant(andiron_now(), ts);
    values_of(values, (andiron_str){ ts, ts_len }, level, event, fields != NULL ? fields : &none,
              message);
    line.len = 0;
    if (sink.open && sink.target == TARGET_JOURNAL)
        format_journal(&line, event, values, level);
    else if (sink.open && sink.json)
        format_json(&line, values);
    else
        format_text(&line, values);
    if (sink.open)
        enqueue(&line, level);
    else
        write_all(STDERR_FILENO, line.bytes, line.len);
}

void log_vevent(enum andiron_level level, const char *event, const struct log_fields *fields,
                const char *fmt, va_list args)
{
    char message[MESSAGE_MAX];

    if (!log_enabled(level))
        return;
    if (vsnprintf(message, sizeof(message), fmt, args) < 0)
        message[0] = '\0';
    put_line(level, event, fields, andiron_str_of(message));
}

void log_record(enum andiron_level level, const char *event, const struct log_fields *fields)
{
    if (log_enabled(level))
        put_line(level, event, fields, (andiron_str){ NULL, 0 });
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

static void free_lines(struct lines *lines)
{
    free(lines->bytes);
    free(lines->marks);
    *lines = (struct lines){ .bytes = NULL };
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
    sink.filling = sink.writing = (struct lines){ .bytes = NULL };
    sink.filling.marks = calloc(sink.capacity, sizeof(struct mark));
    sink.writing.marks = calloc(sink.capacity, sizeof(struct mark));
    sink.ending = sink.reopen = sink.told_dropped = false;
    if (sink.filling.marks == NULL || sink.writing.marks == NULL ||
        pthread_create(&sink.thread, NULL, write_lines, NULL) != 0) {
        free_lines(&sink.filling);
        free_lines(&sink.writing);
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
    sink.path = NULL;
    free_lines(&sink.filling);
    free_lines(&sink.writing);
}

void log_reopen(void)
{
    (void)pthread_mutex_lock(&sink.lock);
    sink.reopen = true;
    (void)pthread_cond_signal(&sink.filled);
    (void)pthread_mutex_unlock(&sink.lock);
}
