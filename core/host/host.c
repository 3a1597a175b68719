/*
 * The plugins of a process: loading, life, and the functions that they are given.
 */
#include "host/host.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/current.h"
#include "base/log.h"
#include "base/suggest.h"
#include "host/available.h"
#include "host/config.h"
#include "host/loader.h"
#include "host/metrics.h"
#include "host/services.h"
#include "http/route.h"
#include "loop/loop.h"

enum { SECTIONS_MAX = 32 };

struct host {
    struct andiron_arena *arena;
    struct host_setup setup;
    struct ini ini;
    struct problems problems;
    const struct directive_value *values[SECTIONS_MAX]; /* of setup.sections */

    struct andiron_host *plugins; /* in order; 0 is core */
    size_t plugin_count;
    const char *const *module_path;
    struct available *offers; /* filled by the first hint */
    size_t offer_count;
    bool offers_known;

    struct http_route *routes;
    size_t route_count;
    struct http_app app;
    struct route_table *route_table;
    struct andiron_loop *const *loops;
    size_t loop_count;
};

/* ---- configuration ------------------------------------------------------------- */

static const char *const *section_names(struct host *h)
{
    const char **names = andiron_alloc(h->arena, SECTIONS_MAX * sizeof(*names));
    for (size_t i = 0; h->setup.sections[i].name != NULL && i + 1 < SECTIONS_MAX; i++)
        names[i] = h->setup.sections[i].name;
    return names;
}

static bool has_name(const char *const *names, const char *name)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static void check_sections(struct host *h, const char *const *core)
{
    for (const struct ini_section *s = h->ini.sections; s != NULL; s = s->next) {
        if (s->plugin != NULL && has_name(core, s->plugin))
            problem_add(&h->problems, s->file, s->line,
                        "[%s]: a plugin cannot have the name of a section of core", s->title);
        if (s->plugin != NULL)
            continue;
        bool in_plugins = strncmp(s->file, "plugins.d/", 10) == 0;
        const char *near = suggest(andiron_str_of(s->title), core);
        if (has_name(core, s->title) && in_plugins)
            problem_add(&h->problems, s->file, s->line,
                        "[%s] is a section of core: it belongs into andiron.conf or conf.d",
                        s->title);
        else if (!has_name(core, s->title) && in_plugins)
            problem_add(&h->problems, s->file, s->line,
                        "[%s] is unknown; a plugin's section is written [plugin %s]", s->title,
                        s->title);
        else if (!has_name(core, s->title))
            problem_add(&h->problems, s->file, s->line, "[%s] is unknown%s%s%s", s->title,
                        near != NULL ? "; did you mean [" : "", near != NULL ? near : "",
                        near != NULL ? "]?" : "");
    }
}

struct host *host_read(const struct host_setup *setup)
{
    struct andiron_arena *arena = arena_new();
    struct host *h = andiron_new(arena, struct host);

    h->arena = arena;
    h->setup = *setup;
    h->ini.arena = arena;
    problems_init(&h->problems, arena);
    const char *const *names = section_names(h);
    struct config_sources sources = { .dir = setup->dir,
                                      .core_sections = names,
                                      .overrides = setup->overrides,
                                      .environment = setup->environment };
    config_read(&sources, &h->ini, &h->problems);
    check_sections(h, names);

    struct directives_context context = {
        .arena = arena, .dir = setup->dir, .problems = &h->problems, .secrets = setup->secrets
    };
    for (size_t i = 0; names[i] != NULL; i++)
        h->values[i] = directives_fill(&context, names[i], setup->sections[i].directives,
                                       ini_find(&h->ini, names[i]), setup->settings);
    return h;
}

struct problems *host_problems(struct host *host)
{
    return &host->problems;
}

const struct directive_value *host_values(const struct host *host, const char *section)
{
    for (size_t i = 0; host->setup.sections[i].name != NULL; i++)
        if (strcmp(host->setup.sections[i].name, section) == 0)
            return host->values[i];
    return NULL;
}

const struct directive_value *host_value(const struct host *host, const char *section,
                                         const char *name)
{
    const struct directive_value *v = host_values(host, section);
    for (; v != NULL && v->directive != NULL; v++)
        if (strcmp(v->directive->name, name) == 0)
            return v;
    return NULL;
}

/* ---- loading ------------------------------------------------------------------------ */

/* Remedy for a missing service; looks through what is installed only when asked first. */
static const char *hint(void *arg, const char *name)
{
    struct host *h = arg;

    if (!h->offers_known)
        h->offers = available_list(h->arena, h->setup.dir, h->module_path, &h->offer_count);
    h->offers_known = true;
    for (size_t i = 0; i < h->offer_count; i++) {
        const struct available *a = &h->offers[i];
        const struct andiron_service *s = a->is_usable ? a->table.provides : NULL;
        for (; s != NULL && s->name != NULL; s++) {
            if (!services_match(name, s->name))
                continue;
            if (a->file != NULL)
                return andiron_printf(h->arena, "run: andiron enable %s", a->name);
            return andiron_printf(h->arena,
                                  "%s has it: write plugins.d/50-%s.conf with [plugin "
                                  "%s] and module = %s.so",
                                  a->module, a->name, a->name, a->name);
        }
    }
    return NULL;
}

static const char *load_table(struct host *h, struct andiron_host *p, const char *module)
{
    struct andiron_error err;
    const char *path = loader_find(h->arena, module, h->module_path, &err);

    if (path == NULL || loader_open(path, &p->table, &err) != 0)
        return andiron_copy(h->arena, andiron_str_of(err.message));
    p->module = path;
    if (strcmp(p->table.name, p->name) == 0)
        return NULL;
    const char *other = p->table.name;
    p->table = (struct andiron_plugin){ .name = NULL };
    return andiron_printf(h->arena, "%s holds plugin \"%s\": write [plugin %s]", path, other,
                          other);
}

static void fill_config(struct host *h, struct andiron_host *p, const struct ini_section *section)
{
    struct directives_context context = { .arena = p->arena,
                                          .dir = h->setup.dir,
                                          .problems = &h->problems,
                                          .secrets = h->setup.secrets };
    p->config = andiron_alloc(p->arena, p->table.config_size + 1);
    p->values = directives_fill(&context, p->name, p->table.directives, section, p->config);
}

static void load_one(struct host *h, struct andiron_host *p, const struct ini_section *section)
{
    const struct ini_value *module = ini_value(section, "module");

    *p = (struct andiron_host){ .name = section->plugin,
                                .file = section->file,
                                .line = section->line,
                                .arena = arena_new(),
                                .host = h };
    p->owner.name = p->name;
    if (module == NULL || module->text[0] == '\0') {
        p->broken = "needs a line module = NAME.so";
        problem_add(&h->problems, p->file, p->line, "%s: %s", p->name, p->broken);
        return;
    }
    p->broken = load_table(h, p, module->text);
    if (p->broken != NULL)
        problem_add(&h->problems, module->file, module->line, "%s: %s", p->name, p->broken);
    else
        fill_config(h, p, section);
}

/* Broken plugins keep their place in the file order and provide nothing. */
static void order_plugins(struct host *h)
{
    size_t count = h->plugin_count - 1;
    struct services_member *members = andiron_alloc(h->arena, (count + 1) * sizeof(*members));
    size_t *order = andiron_alloc(h->arena, (count + 1) * sizeof(*order));
    struct andiron_host *sorted = andiron_alloc(h->arena, (count + 1) * sizeof(*sorted));

    for (size_t i = 0; i < count; i++)
        members[i] = (struct services_member){ .table = &h->plugins[i + 1].table,
                                               .file = h->plugins[i + 1].file,
                                               .line = h->plugins[i + 1].line };
    services_order(members, count, hint, h, &h->problems, order);
    for (size_t i = 0; i < count; i++)
        sorted[i] = h->plugins[order[i] + 1];
    if (count > 0)
        memcpy(h->plugins + 1, sorted, count * sizeof(*sorted));
}

void host_load(struct host *host, const struct andiron_plugin *core, void *core_self,
               const char *const *module_path)
{
    size_t room = 1;
    for (const struct ini_section *s = host->ini.sections; s != NULL; s = s->next)
        room += s->plugin != NULL;
    host->module_path = module_path;
    host->plugins = andiron_alloc(host->arena, room * sizeof(*host->plugins));
    host->plugins[0] = (struct andiron_host){ .name = core->name,
                                              .table = *core,
                                              .self = core_self,
                                              .arena = arena_new(),
                                              .owner = { .name = core->name },
                                              .host = host };
    host->plugin_count = 1;
    for (const struct ini_section *s = host->ini.sections; s != NULL; s = s->next)
        if (s->plugin != NULL)
            load_one(host, &host->plugins[host->plugin_count++], s);
    order_plugins(host);
}

const struct andiron_host *host_plugin(const struct host *host, size_t index)
{
    return index < host->plugin_count ? &host->plugins[index] : NULL;
}

/* ---- hooks and routes ------------------------------------------------------------------- */

static size_t count_routes(const struct andiron_route *routes)
{
    size_t count = 0;
    while (routes != NULL && routes[count].handle != NULL)
        count++;
    return count;
}

static void build_routes(struct host *h)
{
    size_t room = 0, count = 0;
    for (size_t i = 0; i < h->plugin_count; i++)
        room += count_routes(h->plugins[i].table.routes);
    h->routes = andiron_alloc(h->arena, (room + 1) * sizeof(*h->routes));
    for (size_t i = 0; i < h->plugin_count; i++) {
        struct andiron_host *p = &h->plugins[i];
        for (size_t j = 0; j < count_routes(p->table.routes); j++)
            h->routes[count++] = (struct http_route){ .route = &p->table.routes[j],
                                                      .self = p->self,
                                                      .owner = &p->owner };
    }
    h->route_count = count;
}

void host_check_routes(struct host *host)
{
    struct andiron_error err;

    build_routes(host);
    struct route_table *table = route_table_new(host->routes, host->route_count, &err);
    if (table == NULL)
        problem_add(&host->problems, NULL, 0, "routes: %s", err.message);
    route_table_free(table);
}

/* Counters of each route; an unused one costs a cell. Class 1 is never final. */
static void register_route(struct http_metrics *metrics, const char *method, const char *pattern)
{
    char labels[512];
    for (int class = 2; class <= 5; class ++) {
        (void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",code=\"%dxx\"", method,
                       pattern, class);
        metrics->requests[class] = andiron_counter(NULL, "andiron_http_requests_total", labels,
                                                   "Requests by method, route and class of status");
    }
    (void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", method, pattern);
    metrics->duration = andiron_histogram(NULL, "andiron_http_request_duration_seconds", labels,
                                          "Time from the first byte of a request to its answer");
}

static void register_routes(struct host *h)
{
    for (size_t i = 0; i < h->route_count; i++)
        register_route(&h->routes[i].metrics, h->routes[i].route->method,
                       h->routes[i].route->pattern);
    register_route(&h->app.unrouted, "other", "none");
}

static void build_hooks(struct host *h)
{
    for (unsigned phase = 0; phase < HTTP_PHASES; phase++) {
        size_t count = 0;
        for (size_t i = 0; i < h->plugin_count; i++)
            for (const struct andiron_hook *k = h->plugins[i].table.hooks; k && k->run; k++)
                count += (unsigned)k->phase == phase;
        struct http_hook *hooks = andiron_alloc(h->arena, (count + 1) * sizeof(*hooks));
        count = 0;
        for (size_t i = 0; i < h->plugin_count; i++) {
            struct andiron_host *p = &h->plugins[i];
            for (const struct andiron_hook *k = p->table.hooks; k != NULL && k->run != NULL; k++)
                if ((unsigned)k->phase == phase)
                    hooks[count++] =
                        (struct http_hook){ .run = k->run, .self = p->self, .owner = &p->owner };
        }
        h->app.hooks[phase] = hooks;
        h->app.hook_count[phase] = count;
    }
}

/* ---- life --------------------------------------------------------------------------------- */

/* err->where names the plugin; what it had put there goes in front of the message. */
static int blame(const struct andiron_host *p, struct andiron_error *err)
{
    struct andiron_error said = *err;
    enum andiron_code code = said.code != ANDIRON_OK ? said.code : ANDIRON_E_INTERNAL;
    if (said.message[0] == '\0')
        return andiron_error_set(err, code, p->name, "failed and gave no reason");
    return andiron_error_set(err, code, p->name, "%s%s%s", said.where,
                             said.where[0] != '\0' ? ": " : "", said.message);
}

static void register_owner(struct andiron_host *p)
{
    char labels[INI_NAME_MAX + 16];
    (void)snprintf(labels, sizeof(labels), "plugin=\"%s\"", p->name);
    p->owner.steps_slow = andiron_counter(p, "andiron_plugin_slow_steps_total", labels,
                                          "Steps that held their loop for more than 20 ms");
    p->owner.step_time =
        andiron_histogram(p, "andiron_plugin_step_seconds", labels,
                          "Time of steps by plugin, sampled from one request in 64");
}

static int init_one(struct andiron_host *p, struct andiron_error *err)
{
    int status = 0;

    if (p->table.init != NULL) {
        current.plugin = p->name;
        *err = (struct andiron_error){ .code = ANDIRON_OK };
        status = p->table.init(p, p->config, &p->self, err);
        current.plugin = NULL;
    } else if (p->self == NULL) {
        p->self = p->config;
    }
    if (status != 0)
        return blame(p, err);
    p->is_up = true;
    return 0;
}

int host_init(struct host *host, const struct http_settings *settings,
              struct andiron_loop *const *loops, size_t loop_count, const struct http_app **ret_app,
              struct andiron_error *err)
{
    host->loops = loops;
    host->loop_count = loop_count;
    for (size_t i = 0; i < host->plugin_count; i++) {
        register_owner(&host->plugins[i]);
        if (init_one(&host->plugins[i], err) != 0)
            return -1;
    }
    build_routes(host);
    register_routes(host);
    build_hooks(host);
    host->route_table = route_table_new(host->routes, host->route_count, err);
    if (host->route_table == NULL)
        return -1;
    host->app.settings = settings;
    host->app.routes = host->route_table;
    *ret_app = &host->app;
    return 0;
}

int host_start(struct host *host, struct andiron_error *err)
{
    for (size_t i = 0; i < host->plugin_count; i++) {
        struct andiron_host *p = &host->plugins[i];
        int status = 0;
        if (p->table.start != NULL) {
            current.plugin = p->name;
            *err = (struct andiron_error){ .code = ANDIRON_OK };
            status = p->table.start(p, p->self, err);
            current.plugin = NULL;
        }
        if (status != 0)
            return blame(p, err);
    }
    return 0;
}

int host_loop_start(struct host *host, struct andiron_loop *loop, struct andiron_error *err)
{
    for (size_t i = 0; i < host->plugin_count; i++) {
        struct andiron_host *p = &host->plugins[i];
        void *local = NULL;
        if (p->table.loop_start == NULL)
            continue;
        current.plugin = p->name;
        *err = (struct andiron_error){ .code = ANDIRON_OK };
        int status = p->table.loop_start(loop, p->self, &local, err);
        current.plugin = NULL;
        if (status != 0)
            return blame(p, err);
        loop_set_state(loop, p->self, local);
    }
    return 0;
}

void host_loop_stop(struct host *host, struct andiron_loop *loop)
{
    for (size_t i = host->plugin_count; i-- > 0;) {
        struct andiron_host *p = &host->plugins[i];
        if (p->table.loop_stop == NULL)
            continue;
        current.plugin = p->name;
        p->table.loop_stop(loop, p->self, andiron_loop_state(loop, p->self));
        current.plugin = NULL;
    }
}

void host_stop(struct host *host)
{
    for (size_t i = host->plugin_count; i-- > 0;) {
        struct andiron_host *p = &host->plugins[i];
        if (!p->is_up || p->table.stop == NULL)
            continue;
        current.plugin = p->name;
        p->table.stop(p->self);
        current.plugin = NULL;
        p->is_up = false;
    }
}

void host_free(struct host *host)
{
    if (host == NULL)
        return;
    route_table_free(host->route_table);
    for (size_t i = host->plugin_count; i-- > 0;)
        arena_free(host->plugins[i].arena);
    arena_free(host->arena);
}

/* ---- what plugins call -------------------------------------------------------------------- */

struct andiron_arena *andiron_host_arena(struct andiron_host *host)
{
    return host->arena;
}

const char *andiron_host_setting(struct andiron_host *host, const char *name)
{
    const char *dot = strchr(name, '.');
    char section[INI_NAME_MAX + 1];
    size_t len = dot != NULL ? (size_t)(dot - name) : sizeof(section);

    if (len >= sizeof(section))
        return NULL;
    memcpy(section, name, len);
    section[len] = '\0';
    const struct directive_value *v = host_value(host->host, section, dot + 1);
    if (v == NULL || v->directive->type == ANDIRON_SECRET)
        return NULL;
    return v->text;
}

bool host_service(const struct host *host, const char *name, size_t *pos,
                  struct andiron_service_ref *ret, const char **ret_name)
{
    size_t at = 0, start = pos != NULL ? *pos : 0;

    for (size_t i = 0; i < host->plugin_count; i++) {
        const struct andiron_host *p = &host->plugins[i];
        const struct andiron_service *s = p->table.provides;
        for (; s != NULL && s->name != NULL; s++, at++) {
            if (at < start || !services_match(name, s->name))
                continue;
            *ret = (struct andiron_service_ref){ .table = s->table, .self = p->self };
            if (ret_name != NULL)
                *ret_name = s->name;
            if (pos != NULL)
                *pos = at + 1;
            return true;
        }
    }
    *ret = (struct andiron_service_ref){ .table = NULL };
    return false;
}

bool andiron_service_find(struct andiron_host *host, const char *name, size_t *pos,
                          struct andiron_service_ref *ret, const char **ret_name)
{
    if (!services_declared(&host->table, name)) {
        andiron_log(host, ANDIRON_LOG_ERROR, "plugin.undeclared",
                    "looks for service %s, which its table names in none of needs, wants and uses",
                    name);
        *ret = (struct andiron_service_ref){ .table = NULL };
        return false;
    }
    return host_service(host->host, name, pos, ret, ret_name);
}

const struct andiron_route *andiron_host_route(struct andiron_host *host, size_t index,
                                               const char **ret_plugin)
{
    const struct host *h = host->host;
    if (index >= h->route_count)
        return NULL;
    if (ret_plugin != NULL)
        *ret_plugin = h->routes[index].owner->name;
    return h->routes[index].route;
}

struct andiron_loop *andiron_host_loop(struct andiron_host *host, size_t index)
{
    return index < host->host->loop_count ? host->host->loops[index] : NULL;
}

void andiron_log(struct andiron_host *host, enum andiron_level level, const char *event,
                 const char *fmt, ...)
{
    struct log_fields fields = LOG_FIELDS_NONE;
    va_list args;

    fields.plugin = host != NULL ? host->name : NULL;
    va_start(args, fmt);
    log_vevent(level, event, &fields, fmt, args);
    va_end(args);
}
