/*
 * andiron check-config: every problem of every file.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/loaded.h"

enum { JSON_MAX = 4 << 20 };

static void print_json(const struct problems *problems, size_t plugins)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_json_writer *w = andiron_json_write(arena, JSON_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_bool(w, "ok", problems->errors == 0);
    andiron_json_put_int(w, "plugins", (int64_t)plugins);
    andiron_json_put_array(w, "problems");
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *p = &problems->list[i];
        andiron_json_put_object(w, NULL);
        if (p->file != NULL)
            andiron_json_put_str(w, "file", andiron_str_of(p->file));
        if (p->line > 0)
            andiron_json_put_int(w, "line", p->line);
        andiron_json_put_bool(w, "warning", p->is_warning);
        andiron_json_put_str(w, "text", andiron_str_of(p->text));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    (void)printf("%.*s\n", (int)text.len, text.data);
    arena_free(arena);
}

int cmd_check_config(int argc, char **argv)
{
    static const char *const words[] = { "--json", NULL };
    struct settings settings;

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    struct host *host = loaded_config(&settings);
    const struct problems *problems = host_problems(host);
    size_t plugins = loaded_plugin_count(host);
    int status = problems->errors == 0 ? EXIT_DONE : EXIT_CONFIG;
    if (cli_has(argc, argv, "--json")) {
        print_json(problems, plugins);
    } else {
        problems_print(problems, stdout);
        if (status == EXIT_DONE)
            (void)printf("configuration ok: %zu plugin%s\n", plugins, plugins == 1 ? "" : "s");
    }
    host_free(host);
    return status;
}
