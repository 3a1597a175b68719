/*
 * andiron plugins: the tables of plugins, printed.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/loaded.h"
#include "host/available.h"

enum { JSON_MAX = 4 << 20 };

static const char *const phases[] = { "RECEIVE", "AUTHENTICATE", "AUTHORIZE", "RESPOND", "LOG" };

static const struct {
    unsigned flag;
    const char *name;
} route_flags[] = {
    { ANDIRON_ROUTE_PUBLIC, "public" }, { ANDIRON_ROUTE_OAUTH, "oauth" },
    { ANDIRON_ROUTE_ADMIN, "admin" },   { ANDIRON_ROUTE_STREAM, "stream" },
    { ANDIRON_ROUTE_UPLOAD, "upload" }, { ANDIRON_ROUTE_CONTROL, "control" },
    { ANDIRON_ROUTE_SHARED, "shared" },
};
enum { FLAGS = sizeof(route_flags) / sizeof(route_flags[0]) };

static const char *join(struct andiron_arena *arena, const char *text, const char *more)
{
    return text[0] == '\0' ? more : andiron_printf(arena, "%s %s", text, more);
}

static const char *services_of(struct andiron_arena *arena, const struct andiron_plugin *t)
{
    const char *text = "";
    for (const struct andiron_service *s = t->provides; s != NULL && s->name != NULL; s++)
        text = join(arena, text, s->name);
    return text;
}

static const char *hooks_of(struct andiron_arena *arena, const struct andiron_plugin *t)
{
    const char *text = "";
    for (const struct andiron_hook *h = t->hooks; h != NULL && h->run != NULL; h++)
        text = join(arena, text, phases[h->phase]);
    return text;
}

static const char *flags_of(struct andiron_arena *arena, unsigned flags)
{
    const char *text = "";
    for (size_t i = 0; i < FLAGS; i++)
        if ((flags & route_flags[i].flag) != 0)
            text = join(arena, text, route_flags[i].name);
    return text;
}

static size_t routes_of(const struct andiron_plugin *t)
{
    size_t count = 0;
    while (t->routes != NULL && t->routes[count].handle != NULL)
        count++;
    return count;
}

/* ---- text ----------------------------------------------------------------------- */

static void print_names(const char *what, const char *const *names)
{
    if (names == NULL || names[0] == NULL)
        return;
    (void)printf("       %-8s", what);
    for (; *names != NULL; names++)
        (void)printf(" %s", *names);
    (void)putchar('\n');
}

static void print_details(struct andiron_arena *arena, const struct andiron_plugin *t,
                          const char *module)
{
    (void)printf("       %s\n       %s\n", t->summary, module);
    print_names("needs", t->needs);
    print_names("wants", t->wants);
    print_names("uses", t->uses);
    for (size_t i = 0; i < directives_count(t->directives); i++) {
        const struct andiron_directive *d = &t->directives[i];
        (void)printf("       %s = %s\n           %s; %s\n", d->name,
                     d->fallback != NULL ? d->fallback : "(required)", d->help,
                     directive_expects(arena, d));
    }
    for (size_t i = 0; i < routes_of(t); i++) {
        const struct andiron_route *r = &t->routes[i];
        (void)printf("       %-7s %-40s %-22s %s\n", r->method, r->pattern,
                     r->operation != NULL ? r->operation : "-", flags_of(arena, r->flags));
    }
}

static void print_row(struct andiron_arena *arena, const char *order,
                      const struct andiron_plugin *t)
{
    (void)printf("%5s  %-22s %-8s %d.%d  %-31s %6zu %s\n", order, t->name, t->version, t->abi_major,
                 t->abi_minor, services_of(arena, t), routes_of(t), hooks_of(arena, t));
}

/* ---- JSON ------------------------------------------------------------------------- */

static void put_names(struct andiron_json_writer *w, const char *name, const char *const *list)
{
    andiron_json_put_array(w, name);
    for (; list != NULL && *list != NULL; list++)
        andiron_json_put_str(w, NULL, andiron_str_of(*list));
    andiron_json_put_end(w);
}

static void put_directives(struct andiron_arena *arena, struct andiron_json_writer *w,
                           const struct andiron_plugin *t)
{
    andiron_json_put_array(w, "directives");
    for (size_t i = 0; i < directives_count(t->directives); i++) {
        const struct andiron_directive *d = &t->directives[i];
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "name", andiron_str_of(d->name));
        if (d->fallback != NULL)
            andiron_json_put_str(w, "default", andiron_str_of(d->fallback));
        andiron_json_put_str(w, "expects", andiron_str_of(directive_expects(arena, d)));
        andiron_json_put_str(w, "help", andiron_str_of(d->help));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

static void put_routes(struct andiron_arena *arena, struct andiron_json_writer *w,
                       const struct andiron_plugin *t)
{
    andiron_json_put_array(w, "routes");
    for (size_t i = 0; i < routes_of(t); i++) {
        const struct andiron_route *r = &t->routes[i];
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "method", andiron_str_of(r->method));
        andiron_json_put_str(w, "pattern", andiron_str_of(r->pattern));
        if (r->operation != NULL)
            andiron_json_put_str(w, "operation", andiron_str_of(r->operation));
        andiron_json_put_str(w, "flags", andiron_str_of(flags_of(arena, r->flags)));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

static void put_plugin(struct andiron_arena *arena, struct andiron_json_writer *w,
                       const struct andiron_plugin *t, const char *module, size_t order)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "name", andiron_str_of(t->name));
    if (order > 0)
        andiron_json_put_int(w, "order", (int64_t)order);
    andiron_json_put_bool(w, "enabled", order > 0);
    andiron_json_put_str(w, "version", andiron_str_of(t->version));
    andiron_json_put_str(
        w, "abi", andiron_str_of(andiron_printf(arena, "%d.%d", t->abi_major, t->abi_minor)));
    andiron_json_put_str(w, "summary", andiron_str_of(t->summary));
    andiron_json_put_str(w, "module", andiron_str_of(module));
    andiron_json_put_array(w, "provides");
    for (const struct andiron_service *s = t->provides; s != NULL && s->name != NULL; s++)
        andiron_json_put_str(w, NULL, andiron_str_of(s->name));
    andiron_json_put_end(w);
    put_names(w, "needs", t->needs);
    put_names(w, "wants", t->wants);
    put_names(w, "uses", t->uses);
    put_directives(arena, w, t);
    put_routes(arena, w, t);
    andiron_json_put_str(w, "hooks", andiron_str_of(hooks_of(arena, t)));
    andiron_json_put_end(w);
}

static void put_broken(struct andiron_json_writer *w, const char *name, const char *reason)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "name", andiron_str_of(name));
    andiron_json_put_bool(w, "enabled", false);
    andiron_json_put_str(w, "broken", andiron_str_of(reason));
    andiron_json_put_end(w);
}

/* ---- directives ---------------------------------------------------------------------- */

/* Lines of five columns: section, name, default ("-": required), what is expected, help. */
static void print_directives(struct andiron_arena *arena, const char *section,
                             const struct andiron_directive *table)
{
    for (size_t i = 0; i < directives_count(table); i++)
        (void)printf("%s\t%s\t%s\t%s\t%s\n", section, table[i].name,
                     table[i].fallback != NULL ? table[i].fallback : "-",
                     directive_expects(arena, &table[i]), table[i].help);
}

/* Core's sections and every plugin that is there, on or off: manual pages are made of it. */
static int all_directives(void)
{
    struct settings settings;
    size_t count;
    struct andiron_arena *arena = arena_new();
    struct host *host = settings_read(cli_invocation(), SECRETS_SKIP, &settings);
    const struct available *list =
        available_list(arena, cli_invocation()->dir, settings.module_path, &count);

    for (const struct host_section *s = settings_sections; s->name != NULL; s++)
        print_directives(arena, s->name, s->directives);
    for (size_t i = 0; i < count; i++)
        if (list[i].is_usable)
            print_directives(arena, andiron_printf(arena, "plugin %s", list[i].name),
                             list[i].table.directives);
    arena_free(arena);
    host_free(host);
    return EXIT_DONE;
}

/* ---- both -------------------------------------------------------------------------- */

struct printing {
    struct andiron_arena *arena;
    struct andiron_json_writer *json; /* NULL: text */
    bool details;
};

static void show(const struct printing *p, const char *mark, const struct andiron_plugin *t,
                 const char *module, size_t order)
{
    if (p->json != NULL) {
        put_plugin(p->arena, p->json, t, module, order);
        return;
    }
    print_row(p->arena, mark, t);
    if (p->details)
        print_details(p->arena, t, module);
}

static void show_broken(const struct printing *p, const char *name, const char *reason)
{
    if (p->json != NULL)
        put_broken(p->json, name, reason);
    else
        (void)printf("    !  %-22s %s\n", name, reason);
}

static bool is_enabled(const struct host *host, const char *name)
{
    const struct andiron_host *p;
    for (size_t i = 1; (p = host_plugin(host, i)) != NULL; i++)
        if (strcmp(p->name, name) == 0)
            return true;
    return false;
}

static void show_others(const struct printing *p, const struct host *host,
                        const struct settings *settings)
{
    size_t count;
    const struct available *list =
        available_list(p->arena, cli_invocation()->dir, settings->module_path, &count);
    for (size_t i = 0; i < count; i++) {
        if (is_enabled(host, list[i].name))
            continue;
        if (list[i].is_usable)
            show(p, "off", &list[i].table, list[i].module, 0);
        else
            show_broken(p, list[i].name, list[i].why_not);
    }
}

int cmd_plugins(int argc, char **argv)
{
    static const char *const words[] = { "-v", "--all", "--json", "--directives", NULL };
    const struct andiron_host *plugin;
    struct settings settings;
    char order[24];

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    if (cli_has(argc, argv, "--directives"))
        return all_directives();
    struct host *host = loaded_config(&settings);
    struct printing p = { .arena = arena_new(), .details = cli_has(argc, argv, "-v") };
    if (cli_has(argc, argv, "--json")) {
        p.json = andiron_json_write(p.arena, JSON_MAX);
        andiron_json_put_array(p.json, NULL);
    } else {
        (void)printf("ORDER  %-22s %-8s %-4s %-31s %6s %s\n", "PLUGIN", "VERSION", "ABI",
                     "PROVIDES", "ROUTES", "HOOKS");
    }
    for (size_t i = 1; (plugin = host_plugin(host, i)) != NULL; i++) {
        (void)snprintf(order, sizeof(order), "%zu", i);
        if (plugin->broken == NULL)
            show(&p, order, &plugin->table, plugin->module, i);
        else
            show_broken(&p, plugin->name, plugin->broken);
    }
    if (cli_has(argc, argv, "--all"))
        show_others(&p, host, &settings);
    if (p.json != NULL) {
        andiron_json_put_end(p.json);
        andiron_str text = andiron_json_written(p.json);
        (void)printf("%.*s\n", (int)text.len, text.data);
    }
    arena_free(p.arena);
    host_free(host);
    return EXIT_DONE;
}
