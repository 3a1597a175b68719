/*
 * andiron explain-policy: what an engine says of one policy and one request, without a server.
 *
 * Exit status: 0 match, 1 no match, 2 policy rejected, 64 usage, 78 module not loadable.
 */
#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <andiron/auth.h>
#include <andiron/policy.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/alone.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/loaded.h"
#include "cli/remote.h"
#include "host/host.h"
#include "host/loader.h"
#include "http/policy.h"
#include "loop/pool.h"

static const char usage[] =
    "usage: andiron explain-policy [--module SO] --policy JSON --request JSON\n"
    "\n"
    "Judges a request object (as policies see it: request-method, uri, params, client ...) by one\n"
    "AccessPolicy. @FILE reads JSON from a file. With --module the engine is taken from that "
    "module,\n"
    "with defaults and -o for its directives, else from the enabled plugins.\n"
    "\n"
    "  --json   the verdict as an object\n"
    "\n"
    "Ends with 0 for a match, 1 for none, 2 if the policy is rejected.\n";

enum { JSON_MAX = 64 * 1024 * 1024, LIMIT_MS = 5000, MATCH = 0, NO_MATCH = 1, REJECTED = 2 };

struct wanted {
    const char *module, *policy, *request;
    bool json;
};

static int read_json(struct andiron_arena *arena, const char *name, const char *value,
                     andiron_json *ret)
{
    andiron_str text = andiron_str_of(value);
    struct andiron_error err;
    assert(value != NULL);
    if (value[0] == '@') {
        struct buffer file;
        int status = remote_read_file(value + 1, JSON_MAX, &file);
        text = buffer_str(&file);
        text.data = andiron_copy(arena, text);
        buffer_free(&file);
        if (status != 0)
            return status;
    }
    if (andiron_json_parse(arena, text, ret, &err) != 0)
        return cli_fail(EXIT_USAGE, "JSON text, or @FILE", "--%s: %s: %s", name, err.where,
                        err.message);
    return 0;
}

/* The engine of `name` in a plugin's table, or NULL; "policy-engine/1:<name>". */
static const struct andiron_policy_engine *engine_of(const struct andiron_plugin *table,
                                                     andiron_str name)
{
    static const char kind[] = ANDIRON_POLICY_ENGINE;
    for (const struct andiron_service *s = table->provides; s != NULL && s->name != NULL; s++)
        if (strncmp(s->name, kind, sizeof(kind) - 1) == 0 &&
            andiron_str_eq(andiron_str_of(s->name + sizeof(kind) - 1), name))
            return s->table;
    return NULL;
}

static int compile_and_ask(struct andiron_arena *arena, const struct andiron_service_ref *engine,
                           const struct wanted *w, andiron_json policy, andiron_json request)
{
    const struct andiron_policy_engine *table = engine->table;
    struct andiron_error err = { .where = "" };
    void *compiled = NULL;
    andiron_str reason = { NULL, 0 };

    assert(table != NULL);
    if (table->compile != NULL &&
        table->compile(engine->self, arena, policy, &compiled, &err) != 0) {
        if (w->json)
            printf("{\"verdict\":\"rejected\"}\n");
        (void)cli_fail(REJECTED, NULL, "policy rejected: %s%s%s", err.where,
                       err.where[0] != '\0' ? ": " : "", err.message);
        return REJECTED;
    }
    enum andiron_verdict verdict =
        policy_explain(arena, request, engine, compiled, LIMIT_MS, &reason, NULL);
    const char *word = verdict == ANDIRON_MATCH      ? "match"
                       : verdict == ANDIRON_NO_MATCH ? "no match"
                                                     : "fault";
    if (w->json) {
        struct andiron_json_writer *out = andiron_json_write(arena, JSON_MAX);
        andiron_json_put_object(out, NULL);
        andiron_json_put_str(out, "verdict", andiron_str_of(word));
        if (reason.len > 0)
            andiron_json_put_str(out, "reason", reason);
        andiron_json_put_end(out);
        andiron_str text = andiron_json_written(out);
        printf("%.*s\n", (int)text.len, text.data);
    } else {
        printf("%s%s%.*s\n", word, reason.len > 0 ? ": " : "", (int)reason.len,
               reason.len > 0 ? reason.data : "");
    }
    if (table->release != NULL && compiled != NULL)
        table->release(engine->self, compiled);
    return verdict == ANDIRON_MATCH ? MATCH : NO_MATCH;
}

/* What works once init() has run: engines, and the pure part of scopes/1 (andiron/auth.h). */
static bool is_offline(const char *service)
{
    return strncmp(service, ANDIRON_POLICY_ENGINE, sizeof(ANDIRON_POLICY_ENGINE) - 1) == 0 ||
           strcmp(service, ANDIRON_SCOPES) == 0;
}

static bool all_offline(const char *const *services)
{
    for (; services != NULL && *services != NULL; services++)
        if (!is_offline(*services))
            return false;
    return true;
}

/* An engine that asks for nothing else, as complex and smart-on-fhir do, can be started. */
static bool starts_offline(const struct andiron_plugin *table)
{
    return (table->needs != NULL || table->uses != NULL) && all_offline(table->needs) &&
           all_offline(table->uses);
}

/* Its init() with its configuration. */
static int bring_up(struct andiron_host *plugin, struct andiron_error *err)
{
    plugin->self = plugin->config;
    if (plugin->table.init != NULL &&
        plugin->table.init(plugin, plugin->config, &plugin->self, err) != 0)
        return -1;
    return 0;
}

/* ---- of a module ------------------------------------------------------------------------- */

/* With its directives as -o and their defaults say. */
static int bring_up_module(struct host *host, const char *name, struct andiron_service_ref *ret)
{
    const char *problem;
    struct andiron_error err = { .where = "" };
    struct andiron_host *plugin =
        (struct andiron_host *)(uintptr_t)alone_plugin(host, name, &problem);
    if (problem != NULL)
        return cli_fail(EXIT_CONFIG, "give it as -o section.name=value", "%s", problem);
    if (plugin == NULL || plugin->broken != NULL || !all_offline(plugin->table.needs))
        return cli_fail(EXIT_CONFIG, "enable it and leave out --module",
                        "%s needs other plugins to run", name);
    if (bring_up(plugin, &err) != 0)
        return cli_fail(EXIT_CONFIG, NULL, "%s: %s", name, err.message);
    ret->self = plugin->self;
    return 0;
}

static int explain_module(struct andiron_arena *arena, const struct wanted *w, andiron_str name,
                          andiron_json policy, andiron_json request)
{
    struct andiron_plugin table;
    struct andiron_service_ref engine = { NULL, NULL };
    struct settings settings = { .user = NULL };
    struct alone alone;
    struct andiron_error err;
    if (loader_open(w->module, &table, &err) != 0)
        return cli_fail(EXIT_CONFIG, NULL, "%s", err.message);
    engine.table = engine_of(&table, name);
    if (engine.table == NULL)
        return cli_fail(REJECTED, NULL, "policy rejected: %s has no engine \"%.*s\"", w->module,
                        (int)name.len, name.data);
    if (table.init == NULL && table.directives == NULL)
        return compile_and_ask(arena, &engine, w, policy, request);
    if (alone_make(arena, w->module, &alone, &err) != 0)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "%s", err.message);
    struct host *host = alone_load(arena, &alone, cli_invocation()->overrides, &settings);
    int status = bring_up_module(host, table.name, &engine);
    if (status == 0)
        status = compile_and_ask(arena, &engine, w, policy, request);
    host_free(host);
    alone_remove(&alone);
    return status;
}

/* ---- of an enabled plugin -------------------------------------------------------------------- */

static bool provides_offline(const struct andiron_plugin *table)
{
    for (const struct andiron_service *s = table->provides; s != NULL && s->name != NULL; s++)
        if (is_offline(s->name))
            return true;
    return false;
}

/* This command runs plugins by itself, where else only the host does. */
static struct andiron_host *plugin_at(const struct host *host, size_t i)
{
    return (struct andiron_host *)(uintptr_t)host_plugin(host, i);
}

/* All enabled engines, and what they ask, as far as it runs without a server. */
static int bring_up_engines(const struct host *host)
{
    struct andiron_error err = { .where = "" };
    struct andiron_host *plugin;
    for (size_t i = 0; (plugin = plugin_at(host, i)) != NULL; i++)
        if (plugin->broken == NULL && provides_offline(&plugin->table) &&
            bring_up(plugin, &err) != 0)
            return cli_fail(EXIT_CONFIG, NULL, "%s: %s", plugin->name, err.message);
    for (size_t i = 0; (plugin = plugin_at(host, i)) != NULL; i++)
        if (plugin->broken == NULL && provides_offline(&plugin->table) &&
            plugin->table.start != NULL && starts_offline(&plugin->table) &&
            plugin->table.start(plugin, plugin->self, &err) != 0)
            return cli_fail(EXIT_CONFIG, NULL, "%s: %s", plugin->name, err.message);
    return 0;
}

/* The engine of an enabled plugin. */
static int with_enabled(const struct host *host, andiron_str engine,
                        struct andiron_service_ref *ret)
{
    int status = bring_up_engines(host);
    if (status != 0)
        return status;
    for (size_t i = 0; host_plugin(host, i) != NULL; i++) {
        const struct andiron_host *plugin = plugin_at(host, i);
        if (plugin->broken != NULL)
            continue;
        const struct andiron_policy_engine *table = engine_of(&plugin->table, engine);
        if (table == NULL)
            continue;
        ret->table = table;
        ret->self = plugin->self;
        return 0;
    }
    return cli_fail(REJECTED, "andiron plugins shows what is enabled; --module names a module file",
                    "policy rejected: no enabled plugin has the engine \"%.*s\"", (int)engine.len,
                    engine.data);
}

static int explain_enabled(struct andiron_arena *arena, const struct wanted *w, andiron_str name,
                           andiron_json policy, andiron_json request)
{
    struct settings settings = { .user = NULL };
    struct andiron_service_ref engine = { NULL, NULL };
    struct host *host = loaded_config(&settings);
    int status = with_enabled(host, name, &engine);
    if (status == 0)
        status = compile_and_ask(arena, &engine, w, policy, request);
    host_free(host);
    return status;
}

static int judge(struct andiron_arena *arena, const struct wanted *w)
{
    andiron_json policy, request;
    int status = read_json(arena, "policy", w->policy, &policy);
    if (status == 0)
        status = read_json(arena, "request", w->request, &request);
    if (status != 0)
        return status;
    andiron_str name = andiron_json_str(andiron_json_get(policy, "engine"));
    if (name.data == NULL)
        return cli_fail(REJECTED, NULL, "policy rejected: AccessPolicy.engine: is required");
    if (w->module != NULL)
        return explain_module(arena, w, name, policy, request);
    return explain_enabled(arena, w, name, policy, request);
}

int cmd_explain_policy(int argc, char **argv)
{
    struct wanted w = { .module = NULL };
    const struct cli_option options[] = { { .name = "module", .value = &w.module },
                                          { .name = "policy", .value = &w.policy },
                                          { .name = "request", .value = &w.request },
                                          { .name = "json", .is_given = &w.json },
                                          { .name = NULL } };
    struct andiron_error err;
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (w.policy == NULL || w.request == NULL || optind < argc)
        return cli_fail(EXIT_USAGE, "andiron explain-policy --help",
                        "--policy and --request are required, and nothing else");
    if (pool_start(1, &err) != 0)
        return cli_fail(EXIT_INTERNAL, NULL, "%s", err.message);
    struct andiron_arena *arena = arena_new();
    status = judge(arena, &w);
    pool_stop(); /* before the arena goes: an engine that was too late may still use it */
    arena_free(arena);
    return status;
}
