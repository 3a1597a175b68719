/*
 * andiron print-config: the effective configuration and where each value comes from.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/loaded.h"

enum { JSON_MAX = 4 << 20 };

struct printing {
    struct andiron_arena *arena;
    struct andiron_json_writer *json; /* NULL: text */
    bool only_differing;
};

static void print_value(const struct printing *p, const char *section,
                        const struct directive_value *v)
{
    const char *name = v->directive->name, *fallback = v->directive->fallback;
    const char *shown = loaded_shown(v), *origin = loaded_origin(p->arena, v);
    bool is_default = v->file == NULL || (fallback != NULL && strcmp(v->text, fallback) == 0);

    if (p->only_differing && is_default)
        return;
    if (p->json == NULL) {
        (void)printf("%s.%s = %-40s # %s\n", section, name, shown, origin);
        return;
    }
    andiron_json_put_object(p->json, NULL);
    andiron_json_put_str(p->json, "section", andiron_str_of(section));
    andiron_json_put_str(p->json, "name", andiron_str_of(name));
    andiron_json_put_str(p->json, "value", andiron_str_of(shown));
    andiron_json_put_str(p->json, "origin", andiron_str_of(origin));
    andiron_json_put_end(p->json);
}

static void print_section(const struct printing *p, const char *section,
                          const struct directive_value *v)
{
    for (; v != NULL && v->directive != NULL; v++)
        print_value(p, section, v);
}

int cmd_print_config(int argc, char **argv)
{
    static const char *const words[] = { "--diff", "--json", NULL };
    struct settings settings;
    const struct andiron_host *plugin;

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    struct host *host = loaded_config(&settings);
    struct printing p = { .arena = arena_new(), .only_differing = cli_has(argc, argv, "--diff") };
    if (cli_has(argc, argv, "--json")) {
        p.json = andiron_json_write(p.arena, JSON_MAX);
        andiron_json_put_array(p.json, NULL);
    }
    for (size_t i = 0; settings_sections[i].name != NULL; i++)
        print_section(&p, settings_sections[i].name, host_values(host, settings_sections[i].name));
    for (size_t i = 1; (plugin = host_plugin(host, i)) != NULL; i++)
        print_section(&p, plugin->name, plugin->values);
    if (p.json != NULL) {
        andiron_json_put_end(p.json);
        andiron_str text = andiron_json_written(p.json);
        (void)printf("%.*s\n", (int)text.len, text.data);
    }
    int status = host_problems(host)->errors == 0 ? EXIT_DONE : EXIT_CONFIG;
    problems_print(host_problems(host), stderr);
    arena_free(p.arena);
    host_free(host);
    return status;
}
