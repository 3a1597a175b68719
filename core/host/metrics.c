/*
 * Registry, cells and the Prometheus text format 0.0.4.
 *
 * Cells lie in chunks of SHARDS rows; a series owns the same columns in each row, and a
 * thread counts in its own row, so that two loops never write the same cache line. A handle is
 * the address of the series' first cell in row 0.
 */
#include "host/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/log.h"

enum { SHARDS = 8, CHUNK_CELLS = 512, TEXT_MAX = 16 << 20 };

/* Upper bounds of the buckets in microseconds; "+Inf" follows. */
static const struct bound {
    andiron_usec usec;
    const char *text; /* seconds */
} bounds[] = {
    { 50, "5e-05" },    { 100, "0.0001" },  { 250, "0.00025" }, { 500, "0.0005" },
    { 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" },  { 10000, "0.01" },
    { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },  { 250000, "0.25" },
    { 500000, "0.5" },  { 1000000, "1" },   { 2500000, "2.5" }, { 5000000, "5" },
    { 10000000, "10" }, { 30000000, "30" }, { 60000000, "60" },
};

enum {
    BOUNDS = sizeof(bounds) / sizeof(bounds[0]),
    HISTOGRAM_SUM = BOUNDS + 1, /* cells 0..BOUNDS are the buckets, the last is +Inf */
    HISTOGRAM_CELLS
};

typedef _Atomic uint64_t cell;

struct chunk {
    _Alignas(64) cell cells[SHARDS][CHUNK_CELLS];
};

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct series {
    const char *labels; /* "" for none */
    cell *first;        /* of row 0; NULL: read */
    double (*read)(void *self);
    void *self;
    struct series *next;
};

struct family {
    const char *name, *help;
    enum kind kind;
    struct series *series, **end;
    struct family *next;
};

static struct {
    pthread_mutex_t lock;
    struct andiron_arena *arena; /* names and labels; as long as the process */
    struct family *families;     /* by name */
    size_t count;
    struct chunk *chunk; /* the one that is being filled */
    size_t used;         /* its columns */
    bool told_full;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Where dropped series count: nobody reads it. */
static struct chunk waste;

/* ---- counting --------------------------------------------------------------- */

static size_t shard(void)
{
    static atomic_size_t threads;
    static _Thread_local size_t mine; /* 0: not given yet */
    if (mine == 0)
        mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS + 1;
    return mine - 1;
}

static void add(cell *first, size_t column, uint64_t by)
{
    atomic_fetch_add_explicit(first + shard() * CHUNK_CELLS + column, by, memory_order_relaxed);
}

static uint64_t sum(const cell *first, size_t column)
{
    uint64_t total = 0;
    for (size_t row = 0; row < SHARDS; row++)
        total += atomic_load_explicit(first + row * CHUNK_CELLS + column, memory_order_relaxed);
    return total;
}

void andiron_count(struct andiron_counter *counter, uint64_t by)
{
    if (counter != NULL)
        add((cell *)counter, 0, by);
}

uint64_t metrics_count_of(const struct andiron_counter *counter)
{
    return sum((const cell *)counter, 0);
}

void andiron_observe(struct andiron_histogram *histogram, andiron_usec duration)
{
    if (histogram == NULL)
        return;
    size_t bucket = 0;
    while (bucket < BOUNDS && duration > bounds[bucket].usec)
        bucket++;
    add((cell *)histogram, bucket, 1);
    add((cell *)histogram, HISTOGRAM_SUM, duration > 0 ? (uint64_t)duration : 0);
}

/* ---- registering --------------------------------------------------------------- */

/* A Prometheus metric name: letters, digits and '_', no digit first. */
static bool name_ok(const char *name)
{
    if (name == NULL || strlen(name) > 200 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    size_t ok = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return ok > 0 && name[ok] == '\0';
}

static struct family *family_of(const char *name, enum kind kind, const char *help)
{
    struct family **at = &registry.families;
    while (*at != NULL && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    if (*at != NULL && strcmp((*at)->name, name) == 0)
        return (*at)->kind == kind ? *at : NULL;
    struct family *f = andiron_new(registry.arena, struct family);
    f->name = andiron_copy(registry.arena, andiron_str_of(name));
    f->help = andiron_copy(registry.arena, andiron_str_of(help != NULL ? help : name));
    f->kind = kind;
    f->end = &f->series;
    f->next = *at;
    return *at = f;
}

/* Consecutive columns of one chunk; chunks live as long as the process, as their counters do. */
static cell *take_cells(size_t cells)
{
    if (registry.chunk == NULL || registry.used + cells > CHUNK_CELLS) {
        registry.chunk = aligned_alloc(64, sizeof(struct chunk));
        if (registry.chunk == NULL)
            abort(); /* as everywhere: out of memory ends the worker */
        memset(registry.chunk, 0, sizeof(struct chunk));
        registry.used = 0;
    }
    cell *first = &registry.chunk->cells[0][registry.used];
    registry.used += cells;
    return first;
}

static struct series *find_series(const struct family *family, const char *labels)
{
    for (struct series *s = family->series; s != NULL; s = s->next)
        if (strcmp(s->labels, labels) == 0)
            return s;
    return NULL;
}

static bool is_full(void)
{
    if (registry.count < METRICS_SERIES_MAX)
        return false;
    if (!registry.told_full)
        log_event(ANDIRON_LOG_WARN, "metrics.full", NULL,
                  "more than %d series: further ones are not counted", METRICS_SERIES_MAX);
    registry.told_full = true;
    return true;
}

/* The series of that name and labels, made if it is new; NULL if it cannot be. Under the lock. */
static struct series *enter(const char *name, const char *labels, const char *help, enum kind kind,
                            size_t cells)
{
    if (labels == NULL)
        labels = "";
    if (registry.arena == NULL)
        registry.arena = arena_new();
    struct family *family = name_ok(name) ? family_of(name, kind, help) : NULL;
    if (family == NULL) {
        log_event(ANDIRON_LOG_ERROR, "metrics.rejected", NULL,
                  "metric \"%.200s\" is no name, or has another type already", name);
        return NULL;
    }
    struct series *s = find_series(family, labels);
    if (s != NULL)
        return s;
    if (is_full())
        return NULL;
    s = andiron_new(registry.arena, struct series);
    s->labels = andiron_copy(registry.arena, andiron_str_of(labels));
    if (cells > 0)
        s->first = take_cells(cells);
    *family->end = s;
    family->end = &s->next;
    registry.count++;
    return s;
}

static cell *counting_cells(const char *name, const char *labels, const char *help, enum kind kind,
                            size_t cells)
{
    (void)pthread_mutex_lock(&registry.lock);
    struct series *s = enter(name, labels, help, kind, cells);
    cell *first = s != NULL && s->first != NULL ? s->first : &waste.cells[0][0];
    (void)pthread_mutex_unlock(&registry.lock);
    return first;
}

static void reading(const char *name, const char *labels, const char *help, enum kind kind,
                    double (*read)(void *self), void *self)
{
    (void)pthread_mutex_lock(&registry.lock);
    struct series *s = enter(name, labels, help, kind, 0);
    if (s != NULL) {
        s->read = read;
        s->self = self;
    }
    (void)pthread_mutex_unlock(&registry.lock);
}

struct andiron_counter *andiron_counter(struct andiron_host *host, const char *name,
                                        const char *labels, const char *help)
{
    (void)host; /* one registry for the process; names carry the plugin */
    return (struct andiron_counter *)counting_cells(name, labels, help, KIND_COUNTER, 1);
}

struct andiron_histogram *andiron_histogram(struct andiron_host *host, const char *name,
                                            const char *labels, const char *help)
{
    (void)host;
    return (struct andiron_histogram *)counting_cells(name, labels, help, KIND_HISTOGRAM,
                                                      HISTOGRAM_CELLS);
}

void andiron_gauge(struct andiron_host *host, const char *name, const char *labels,
                   const char *help, double (*read)(void *self), void *self)
{
    (void)host;
    reading(name, labels, help, KIND_GAUGE, read, self);
}

void metrics_counter_of(const char *name, const char *labels, const char *help,
                        double (*read)(void *self), void *self)
{
    reading(name, labels, help, KIND_COUNTER, read, self);
}

/* ---- text -------------------------------------------------------------------------- */

/* What does not fit is left out: a scrape must not fail the server. */
#define PUT(b, ...) ((void)buffer_printf((b), __VA_ARGS__))

static void put_help(struct buffer *b, const struct family *f)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    PUT(b, "# HELP %s ", f->name);
    for (const char *c = f->help; *c != '\0'; c++) {
        if (*c == '\\' || *c == '\n')
            PUT(b, "\\%c", *c == '\n' ? 'n' : '\\');
        else
            PUT(b, "%c", *c);
    }
    PUT(b, "\n# TYPE %s %s\n", f->name, types[f->kind]);
}

static void put_histogram(struct buffer *b, const char *name, const struct series *s)
{
    const char *comma = s->labels[0] != '\0' ? "," : "";
    const char *open = s->labels[0] != '\0' ? "{" : "", *close = s->labels[0] != '\0' ? "}" : "";
    uint64_t count = 0;
    for (size_t i = 0; i <= BOUNDS; i++) {
        count += sum(s->first, i);
        PUT(b, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, s->labels, comma,
            i < BOUNDS ? bounds[i].text : "+Inf", count);
    }
    PUT(b, "%s_sum%s%s%s %.6f\n", name, open, s->labels, close,
        (double)sum(s->first, HISTOGRAM_SUM) / 1e6);
    PUT(b, "%s_count%s%s%s %" PRIu64 "\n", name, open, s->labels, close, count);
}

static void put_series(struct buffer *b, const struct family *f, const struct series *s)
{
    if (f->kind == KIND_HISTOGRAM) {
        put_histogram(b, f->name, s);
        return;
    }
    if (s->labels[0] != '\0')
        PUT(b, "%s{%s} ", f->name, s->labels);
    else
        PUT(b, "%s ", f->name);
    if (s->first != NULL)
        PUT(b, "%" PRIu64 "\n", sum(s->first, 0));
    else
        PUT(b, "%.15g\n", s->read(s->self));
}

andiron_str andiron_metrics_text(struct andiron_arena *arena)
{
    struct buffer b;
    buffer_init(&b, TEXT_MAX);
    (void)pthread_mutex_lock(&registry.lock);
    for (const struct family *f = registry.families; f != NULL; f = f->next) {
        put_help(&b, f);
        for (const struct series *s = f->series; s != NULL; s = s->next)
            put_series(&b, f, s);
    }
    (void)pthread_mutex_unlock(&registry.lock);
    andiron_str text = { andiron_copy(arena, buffer_str(&b)), b.len };
    buffer_free(&b);
    return text;
}
