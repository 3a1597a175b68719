/*
 * The checks themselves. Each finding is a sentence for the one who wrote the module.
 */
#include "cli/probe.h"

#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <andiron/policy.h>

#include "base/arena.h"
#include "base/exits.h"
#include "base/units.h"
#include "cli/cli.h"
#include "cli/elf_look.h"
#include "host/loader.h"
#include "http/policy.h"
#include "loop/pool.h"

enum {
    LIMIT_MS = 5000,        /* for an engine that said PENDING */
    EVALUATE_MAX_US = 1000, /* the contract of evaluate() */
    COMPILE_MAX_US = 100000,
    ROUNDS = 200, /* of each loop that looks for leaks */
    LOST_MIN = 8, /* bytes a round that count as a leak */
    JSON_MAX = 1024 * 1024,
    VALUES = 9
};

struct state {
    const struct probe *probe;
    struct andiron_arena *arena;
    struct andiron_service_ref engine;
    const char *name;           /* of the engine */
    const atomic_uint *answers; /* to the last request */
    andiron_str policy;         /* one that compiles; absent: none is known */
    andiron_str request;        /* what it is asked about */
    bool is_late;               /* a verdict did not come: no more are asked for */
};

static const char sample_request[] =
    "{\"request-method\":\"get\",\"scheme\":\"https\",\"uri\":\"/fhir/Patient/1\",\"params\":"
    "{\"resource/type\":\"Patient\",\"resource/id\":\"1\"},\"headers\":{\"accept\":\"*/*\"},"
    "\"remote-addr\":\"192.0.2.1\",\"client\":{\"resourceType\":\"Client\",\"id\":\"test\"},"
    "\"operation\":{\"id\":\"FhirRead\"}}";

/* What elements are replaced by. */
static const char *const values[VALUES] = { "null", "true",  "\"\"",      "[]",           "{}",
                                            "-1",   "1e999", "[[[[0]]]]", "\"\\u0000%n\"" };

/* ---- findings ------------------------------------------------------------------------- */

ANDIRON_PRINTF(4, 5)
static void say(const struct state *s, const char *level, const char *check, const char *fmt, ...)
{
    char line[2048];
    int used = snprintf(line, sizeof(line), "%s\t%s\t", level, check);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line + used, sizeof(line) - (size_t)used - 1, fmt, args);
    va_end(args);
    for (char *c = line + used; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    size_t len = strlen(line);
    line[len++] = '\n';
    if (write(s->probe->out, line, len) != (ssize_t)len)
        _exit(EXIT_INTERNAL); /* the parent has gone */
}

#define SHOWN(text) (int)((text).len < 300 ? (text).len : 300), (text).data

/* ---- file and table ---------------------------------------------------------------------- */

static void check_file(const struct state *s)
{
    struct elf_look look;
    if (elf_look(s->arena, s->probe->alone->module, &look) != 0) {
        say(s, "warn", "file", "its symbols cannot be read");
        return;
    }
    bool is_good = true;
    if (look.has_executable_stack || look.has_text_relocations) {
        is_good = false;
        say(s, "fail", "file", "%s; compile all of it with -fPIC and link with -z noexecstack",
            look.has_executable_stack ? "it wants an executable stack"
                                      : "its code is not position-independent");
    }
    if (look.constructors > 1 && !look.is_sanitized) {
        is_good = false;
        say(s, "warn", "file",
            "it runs code when it is loaded (%zu constructors); `andiron check-config` loads every "
            "module, so move that to init()",
            look.constructors);
    }
    if (look.exported_count > 0) {
        is_good = false;
        say(s, "warn", "symbols",
            "it exports %s%s beside its table; build with -fvisibility=hidden", look.exported,
            look.exported_count > 8 ? " and more" : "");
    }
    if (is_good)
        say(s, "ok", "symbols", "it exports its table alone, and finds all that it needs");
}

static void check_name(const struct state *s, const struct andiron_plugin *t)
{
    const char *leaf = strrchr(s->probe->alone->module, '/') + 1;
    size_t len = strlen(t->name);
    if (strncmp(leaf, t->name, len) != 0 || strcmp(leaf + len, ".so") != 0)
        say(s, "warn", "table", "the plugin is named \"%s\", so the file should be %s.so, not %s",
            t->name, t->name, leaf);
    if (t->summary[0] == '\0' || t->version[0] == '\0')
        say(s, "warn", "table",
            "version and summary are what `andiron plugins` shows; one is empty");
}

static void check_directives(const struct state *s, const struct andiron_plugin *t)
{
    size_t count = 0;
    for (const struct andiron_directive *d = t->directives; d != NULL && d->name != NULL; d++) {
        count++;
        bool is_number =
            d->type == ANDIRON_INT || d->type == ANDIRON_BYTES || d->type == ANDIRON_DURATION;
        if (is_number && d->min == 0 && d->max == 0)
            say(s, "warn", "directives", "\"%s\" has no limits; give it min and max", d->name);
    }
    if (count > 0)
        say(s, "ok", "directives", "%zu, well-formed, with defaults that fit", count);
}

/* Every service's table begins with its size; core's own kinds are of a size that is known. */
static void check_services(const struct state *s, const struct andiron_plugin *t)
{
    for (const struct andiron_service *p = t->provides; p != NULL && p->name != NULL; p++) {
        size_t size = *(const size_t *)p->table;
        bool is_engine =
            strncmp(p->name, ANDIRON_POLICY_ENGINE, sizeof(ANDIRON_POLICY_ENGINE) - 1) == 0;
        const struct andiron_policy_engine *engine = p->table;
        if (size < sizeof(size_t) * 2 || size > 4096)
            say(s, "fail", "services",
                "the table of %s does not begin with its size: .size = sizeof(table)", p->name);
        else if (is_engine && (size < offsetof(struct andiron_policy_engine, release) ||
                               engine->evaluate == NULL))
            say(s, "fail", "services", "%s has no evaluate()", p->name);
        else
            say(s, "ok", "services", "it provides %s", p->name);
    }
    for (size_t i = 0; t->needs != NULL && t->needs[i] != NULL; i++)
        say(s, "ok", "services", "it needs %s from another plugin", t->needs[i]);
}

/* ---- resources that could leak ------------------------------------------------------------ */

static size_t bytes_in_use(void)
{
    /* Under AddressSanitizer malloc's own figures say nothing. */
    void *symbol = dlsym(RTLD_DEFAULT, "__sanitizer_get_current_allocated_bytes");
    if (symbol != NULL) {
        size_t (*read)(void);
        memcpy(&read, &symbol, sizeof(read)); /* ISO C has no conversion for it */
        return read();
    }
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static size_t entries_of(const char *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

struct usage {
    size_t bytes, descriptors, threads;
};

static struct usage usage_now(void)
{
    return (struct usage){ bytes_in_use(), entries_of("/proc/self/fd"),
                           entries_of("/proc/self/task") };
}

static bool check_usage(const struct state *s, struct usage before, const char *what)
{
    struct usage after = usage_now();
    bool is_good = true;
    if (after.bytes > before.bytes && (after.bytes - before.bytes) / ROUNDS >= LOST_MIN) {
        is_good = false;
        say(s, "fail", "leaks",
            "engine \"%s\" loses about %zu bytes with every %s; take memory from the arena, or "
            "free it in release()",
            s->name, (after.bytes - before.bytes) / ROUNDS, what);
    }
    if (after.descriptors >= before.descriptors + ROUNDS / 2) {
        is_good = false;
        say(s, "fail", "leaks", "engine \"%s\" leaves a file descriptor open with every %s",
            s->name, what);
    }
    if (after.threads >= before.threads + ROUNDS / 2) {
        is_good = false;
        say(s, "fail", "leaks", "engine \"%s\" leaves a thread running with every %s", s->name,
            what);
    }
    return is_good;
}

/* ---- policies -------------------------------------------------------------------------------- */

/* JSON object text with the member `index` replaced by value, or left out if value is NULL. */
static andiron_str mutated(struct andiron_arena *arena, andiron_json of, size_t index,
                           const char *value)
{
    struct andiron_json_writer *w = andiron_json_write(arena, JSON_MAX);
    struct andiron_json_iter it = { .of = of };
    andiron_json_put_object(w, NULL);
    for (size_t i = 0; andiron_json_next(&it); i++) {
        if (i != index)
            andiron_json_put_member(w, it.name, it.value);
        else if (value != NULL)
            andiron_json_put_raw(w, andiron_copy(arena, it.name), andiron_str_of(value));
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

/* A compiled policy with what it needs; release_policy() ends it. */
struct compiled {
    struct andiron_arena *arena;
    void *compiled;
};

static int compile_policy(const struct state *s, andiron_str text, struct compiled *ret,
                          struct andiron_error *err)
{
    const struct andiron_policy_engine *table = s->engine.table;
    andiron_json policy;
    *err = (struct andiron_error){ .code = ANDIRON_OK };
    *ret = (struct compiled){ .arena = arena_new() };
    if (andiron_json_parse(ret->arena, text, &policy, err) != 0)
        return 1;
    return table->compile != NULL
               ? table->compile(s->engine.self, ret->arena, policy, &ret->compiled, err)
               : 0;
}

static void release_policy(const struct state *s, struct compiled *c, bool is_good)
{
    const struct andiron_policy_engine *table = s->engine.table;
    /* cppcheck-suppress uninitvar ; a good one was compiled */
    if (is_good && c->compiled != NULL &&
        table->size > offsetof(struct andiron_policy_engine, release) && table->release != NULL)
        table->release(s->engine.self, c->compiled);
    arena_free(c->arena);
}

static enum andiron_verdict ask(struct state *s, const struct compiled *c, andiron_str request,
                                struct andiron_arena *arena, andiron_str *ret_reason)
{
    andiron_json input;
    struct andiron_error err;
    if (andiron_json_parse(arena, request, &input, &err) != 0)
        return ANDIRON_FAULT;
    int64_t begun = units_monotonic();
    enum andiron_verdict verdict =
        policy_explain(arena, input, &s->engine, c->compiled, LIMIT_MS, ret_reason, &s->answers);
    if (units_monotonic() - begun < (int64_t)LIMIT_MS * 1000)
        return verdict;
    s->is_late = true;
    say(s, "fail", "deadlines", "engine \"%s\" gave no verdict within %d s", s->name,
        LIMIT_MS / 1000);
    return ANDIRON_FAULT;
}

static void end_wait(void *is_over)
{
    atomic_store((atomic_bool *)is_over, true);
}

/*
 * Ends the process if the engine has answered the last request more than once, or goes on to, on the
 * pool, before the request's memory ends: in a server that would be somebody else's by then.
 */
static void end_if_answered_twice(const struct state *s)
{
    static atomic_bool is_over;
    const struct timespec moment = { .tv_nsec = 1000000 };
    atomic_store(&is_over, false);
    andiron_pool_post(end_wait, &is_over); /* behind what the engine posted: one thread */
    for (int i = 0; i < LIMIT_MS && !atomic_load(&is_over); i++)
        (void)nanosleep(&moment, NULL);
    if (s->answers == NULL || atomic_load(s->answers) <= 1)
        return;
    say(s, "fail", "verdicts",
        "engine \"%s\" answers a request more than once; andiron_policy_finish() is called once, "
        "and only after ANDIRON_PENDING",
        s->name);
    _exit(EXIT_DONE);
}

/* Of this thread, so that a busy machine makes nobody's compile() slow. */
static int64_t cpu_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* cannot fail for this clock */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* One policy: compiled, asked, released. False if something was found. */
static bool try_policy(struct state *s, andiron_str text, andiron_str request)
{
    struct compiled c;
    struct andiron_error err;
    bool is_good = true;
    say(s, "step", "compile errors", "engine \"%s\" compiles %.*s", s->name, SHOWN(text));
    int64_t begun = cpu_now();
    int status = compile_policy(s, text, &c, &err);
    if (cpu_now() - begun > COMPILE_MAX_US)
        say(s, "warn", "deadlines", "compile() took %lld ms of CPU for %.*s",
            (long long)(cpu_now() - begun) / 1000, SHOWN(text));
    if (status != 0 && status != 1 && (err.code == ANDIRON_OK || err.message[0] == '\0')) {
        is_good = false;
        say(s, "fail", "compile errors",
            "compile() rejects %.*s without a reason; use andiron_error_set()", SHOWN(text));
    } else if (status == -1 && err.where[0] == '\0') {
        is_good = false;
        say(s, "warn", "compile errors", "compile() rejects %.*s without saying where: \"%s\"",
            SHOWN(text), err.message);
    }
    if (status == 0) {
        andiron_str reason = { NULL, 0 };
        struct andiron_arena *arena = arena_new();
        say(s, "step", "verdicts", "engine \"%s\" judges %.*s by %.*s", s->name, SHOWN(request),
            SHOWN(text));
        enum andiron_verdict verdict = ask(s, &c, request, arena, &reason);
        end_if_answered_twice(s);
        if ((unsigned)verdict >= ANDIRON_PENDING) {
            is_good = false;
            say(s, "fail", "verdicts", "evaluate() gives %d, which is no verdict, for %.*s",
                (int)verdict, SHOWN(text));
        }
        arena_free(arena);
    }
    release_policy(s, &c, status == 0);
    return is_good;
}

/* Elements of a policy that are the engine's own. */
static bool is_own(andiron_str name)
{
    static const char *const not [] = { "resourceType", "id", "engine", "link", "meta", "effect" };
    for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
        if (andiron_str_eq(name, andiron_str_of(not [i])))
            return false;
    return true;
}

static bool try_mutations(struct state *s, andiron_json object, bool is_policy)
{
    struct andiron_json_iter it = { .of = object };
    bool is_good = true;
    for (size_t i = 0; andiron_json_next(&it); i++) {
        if (is_policy && !is_own(it.name))
            continue;
        for (size_t v = 0; v <= VALUES && !s->is_late; v++) {
            struct andiron_arena *arena = arena_new();
            andiron_str text = mutated(arena, object, i, v < VALUES ? values[v] : NULL);
            is_good =
                (is_policy ? try_policy(s, text, s->request) : try_policy(s, s->policy, text)) &&
                is_good;
            arena_free(arena);
        }
    }
    return is_good;
}

/* ---- an engine ------------------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void check_deadline(struct state *s)
{
    struct compiled c;
    struct andiron_error err;
    int64_t times[ROUNDS];
    say(s, "step", "deadlines", "engine \"%s\" is asked %d times", s->name, ROUNDS);
    if (compile_policy(s, s->policy, &c, &err) != 0) {
        release_policy(s, &c, false);
        return;
    }
    struct usage before = { 0, 0, 0 };
    size_t asked = 0;
    int64_t until = units_monotonic() + (int64_t)LIMIT_MS * 1000;
    for (int i = -ROUNDS / 10; i < ROUNDS && units_monotonic() < until; i++) {
        if (i == 0)
            before = usage_now();
        struct andiron_arena *arena = arena_new();
        andiron_str reason = { NULL, 0 };
        int64_t begun = units_monotonic();
        (void)ask(s, &c, s->request, arena, &reason);
        if (i >= 0)
            times[asked++] = units_monotonic() - begun;
        arena_free(arena);
    }
    bool is_whole = asked == ROUNDS;
    if (is_whole && check_usage(s, before, "request"))
        say(s, "ok", "leaks", "engine \"%s\" keeps nothing of %d requests", s->name, ROUNDS);
    release_policy(s, &c, true);
    qsort(times, asked, sizeof(times[0]), compare_times);
    int64_t median = asked > 0 ? times[asked / 2] : (int64_t)LIMIT_MS * 1000;
    if (!is_whole || median > EVALUATE_MAX_US)
        say(s, "fail", "deadlines",
            "engine \"%s\" takes %lld us for a request, and may take %d; return ANDIRON_PENDING "
            "for what must wait",
            s->name, (long long)median, EVALUATE_MAX_US);
    else
        say(s, "ok", "deadlines", "engine \"%s\" takes %lld us for a request", s->name,
            (long long)median);
}

static void check_compile_leaks(const struct state *s)
{
    struct usage before = { 0, 0, 0 };
    say(s, "step", "leaks", "engine \"%s\" compiles one policy %d times", s->name, ROUNDS);
    for (int i = -ROUNDS / 10; i < ROUNDS; i++) {
        struct compiled c;
        struct andiron_error err;
        if (i == 0)
            before = usage_now();
        release_policy(s, &c, compile_policy(s, s->policy, &c, &err) == 0);
    }
    if (check_usage(s, before, "policy"))
        say(s, "ok", "leaks", "engine \"%s\" keeps nothing of %d policies", s->name, ROUNDS);
}

/* What the module's author gave is to be accepted; the verdict is shown. */
static void judge_given(struct state *s)
{
    struct compiled c;
    struct andiron_error err;
    andiron_str reason = { NULL, 0 };
    say(s, "step", "policy", "engine \"%s\" compiles the policy that was given", s->name);
    int status = compile_policy(s, s->probe->policy, &c, &err);
    if (status != 0) {
        say(s, "fail", "policy", "it is rejected: %s%s%s", err.where,
            err.where[0] != '\0' ? ": " : "", err.message);
    } else {
        s->policy = s->probe->policy;
        struct andiron_arena *arena = arena_new();
        say(s, "step", "policy", "engine \"%s\" judges %.*s by the policy that was given", s->name,
            SHOWN(s->request));
        enum andiron_verdict verdict = ask(s, &c, s->request, arena, &reason);
        end_if_answered_twice(s);
        if (verdict == ANDIRON_MATCH)
            say(s, "ok", "policy", "match");
        else if (reason.len > 0)
            say(s, verdict == ANDIRON_NO_MATCH ? "ok" : "fail", "policy", "%s: %.*s",
                verdict == ANDIRON_NO_MATCH ? "no match" : "fault", SHOWN(reason));
        else
            say(s, "warn", "policy",
                "no match, without a reason; end evaluate() with andiron_policy_no_match(), and "
                "explain can say why");
        arena_free(arena);
    }
    release_policy(s, &c, status == 0);
}

static void check_engine(struct state *s)
{
    struct compiled c;
    struct andiron_error err;
    andiron_json given, request;
    const char *bare = andiron_printf(
        s->arena, "{\"resourceType\":\"AccessPolicy\",\"id\":\"test\",\"engine\":\"%s\"}", s->name);
    bool is_given = andiron_json_parse(s->arena, s->probe->policy, &given, &err) == 0 &&
                    andiron_str_eq(andiron_json_str(andiron_json_get(given, "engine")),
                                   andiron_str_of(s->name));

    s->policy = (andiron_str){ NULL, 0 };
    s->is_late = false;
    if (is_given)
        judge_given(s);
    bool is_good = try_policy(s, andiron_str_of(bare), s->request);
    if (is_given)
        is_good = try_mutations(s, given, true) && is_good;
    if (s->policy.data == NULL && compile_policy(s, andiron_str_of(bare), &c, &err) == 0) {
        s->policy = andiron_str_of(bare);
        release_policy(s, &c, true);
    } else if (s->policy.data == NULL) {
        release_policy(s, &c, false);
        s->policy = (andiron_str){ NULL, 0 };
    }
    if (s->policy.data != NULL && andiron_json_parse(s->arena, s->request, &request, &err) == 0) {
        is_good = try_policy(s, s->policy, ANDIRON_STR("{}")) && is_good;
        is_good = try_mutations(s, request, false) && is_good;
    }
    if (is_good && !s->is_late)
        say(s, "ok", "compile errors",
            "engine \"%s\" gives a verdict or a reason for all that was tried", s->name);
    if (s->policy.data == NULL) {
        say(s, "warn", "policy",
            "engine \"%s\" was asked nothing, for want of a policy that it accepts: --policy FILE",
            s->name);
        return;
    }
    check_compile_leaks(s);
    if (!s->is_late)
        check_deadline(s);
}

/* ---- all of it --------------------------------------------------------------------------------- */

/* Runs init() with the plugin's configuration: defaults, and what -o says. False: told. */
static bool init_plugin(struct state *s, struct host *host, const struct andiron_plugin *t)
{
    const char *problem;
    const struct andiron_host *plugin = alone_plugin(host, t->name, &problem);
    struct andiron_error err = { .where = "" };
    if (problem != NULL)
        say(s, "fail", "directives", "%s; give it as -o section.name=value", problem);
    if (problem != NULL || plugin == NULL)
        return false;
    s->engine.self = plugin->config;
    say(s, "step", "init", "init() is called");
    if (t->init != NULL && t->init((struct andiron_host *)(uintptr_t)plugin, plugin->config,
                                   &s->engine.self, &err) != 0) {
        say(s, "fail", "init", "init() fails: %s", err.message);
        return false;
    }
    return true;
}

_Noreturn void probe_run(const struct probe *probe)
{
    static const char kind[] = ANDIRON_POLICY_ENGINE;
    struct state s = { .probe = probe, .arena = arena_new(), .request = probe->request };
    struct andiron_plugin table;
    struct andiron_error err;
    struct settings settings;

    if (s.request.data == NULL)
        s.request = andiron_str_of(sample_request);
    say(&s, "step", "table", "the module is loaded");
    if (loader_open(probe->alone->module, &table, &err) != 0) {
        say(&s, "fail", "table", "%s", err.message);
        _exit(EXIT_CONFIG);
    }
    say(&s, "ok", "table", "plugin %s %s: %s", table.name, table.version, table.summary);
    check_name(&s, &table);
    check_file(&s);
    check_directives(&s, &table);
    check_services(&s, &table);
    struct host *host = alone_load(s.arena, probe->alone, probe->overrides, &settings);
    if (pool_start(1, &err) == 0 && init_plugin(&s, host, &table)) {
        for (const struct andiron_service *p = table.provides; p != NULL && p->name != NULL; p++) {
            const struct andiron_policy_engine *engine = p->table;
            if (strncmp(p->name, kind, sizeof(kind) - 1) != 0 || engine->evaluate == NULL)
                continue;
            s.name = p->name + sizeof(kind) - 1;
            s.engine.table = engine;
            check_engine(&s);
        }
    }
    _exit(EXIT_DONE); /* nothing of the module runs any more: no exit handlers */
}
