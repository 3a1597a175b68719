/*
 * andiron enable, disable: links from plugins.d to plugins-available, undone if the
 * configuration would then be wrong.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "cli/loaded.h"
#include "host/available.h"
#include "host/config.h"

enum { NAMES_MAX = 64 };

/* What was done, to undo it. */
struct change {
    const char *path;   /* of the link */
    const char *target; /* what it pointed to, or points to */
};

struct switching {
    struct andiron_arena *arena;
    const char *dir;
    struct change done[NAMES_MAX];
    size_t count;
    bool disables;
};

static const char *in_plugins_d(const struct switching *s, const char *file)
{
    return andiron_printf(s->arena, "%s/plugins.d/%s", s->dir, file);
}

static void undo(const struct switching *s)
{
    for (size_t i = s->count; i-- > 0;) {
        int status =
            s->disables ? symlink(s->done[i].target, s->done[i].path) : unlink(s->done[i].path);
        if (status != 0)
            (void)cli_fail(0, NULL, "cannot undo the change of %s: %s", s->done[i].path,
                           strerror(errno));
    }
}

static int change_failed(const char *path)
{
    return cli_fail(EXIT_NO_OUTPUT, errno == EACCES || errno == EPERM ? "try: sudo" : NULL,
                    "cannot change %s: %s", path, strerror(errno));
}

/* ---- one name ------------------------------------------------------------------- */

static int enable_one(struct switching *s, const struct available *list, size_t count,
                      const char *name)
{
    const char *file = NULL;
    for (size_t i = 0; i < count; i++)
        if (list[i].file != NULL && strcmp(list[i].name, name) == 0)
            file = list[i].file;
    if (file == NULL)
        return cli_fail(EXIT_NO_INPUT, "andiron plugins --all lists what there is",
                        "no file of plugins-available has a section [plugin %s]", name);
    const char *path = in_plugins_d(s, file);
    const char *target = andiron_printf(s->arena, "../plugins-available/%s", file);
    if (mkdir(in_plugins_d(s, ""), 0755) != 0 && errno != EEXIST)
        return change_failed(in_plugins_d(s, ""));
    if (symlink(target, path) != 0)
        return errno == EEXIST ? EXIT_DONE : change_failed(path);
    s->done[s->count++] = (struct change){ path, target };
    return EXIT_DONE;
}

/* Does that file of plugins.d have the section? */
static bool has_section(const struct switching *s, const char *file, const char *name)
{
    struct ini ini = { .arena = s->arena };
    struct problems ignored; /* check-config tells them */
    struct andiron_error err;
    andiron_str text;

    problems_init(&ignored, s->arena);
    if (config_file(s->arena, in_plugins_d(s, file), CONFIG_FILE_MAX, &text, &err) != 0)
        return false;
    ini_read(&ini, file, text, &ignored);
    return ini_find(&ini, andiron_printf(s->arena, "plugin %s", name)) != NULL;
}

static bool is_known(const struct available *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return true;
    return false;
}

static int disable_one(struct switching *s, const struct available *list, size_t count,
                       const char *name)
{
    const char *const *files = config_list(s->arena, in_plugins_d(s, ""), ".conf");
    char target[PATH_MAX];
    size_t i = 0;

    while (files[i] != NULL && !has_section(s, files[i], name))
        i++;
    if (files[i] == NULL && is_known(list, count, name))
        return EXIT_DONE; /* off already */
    if (files[i] == NULL)
        return cli_fail(EXIT_NO_INPUT, "andiron plugins --all lists what there is",
                        "there is no plugin %s, on or off", name);
    const char *path = in_plugins_d(s, files[i]);
    ssize_t len = readlink(path, target, sizeof(target));
    if (len < 0 || (size_t)len == sizeof(target))
        return cli_fail(EXIT_NO_OUTPUT, "move it away by hand",
                        "%s is no link but a file of its own, which would be lost", path);
    andiron_str copy = { target, (size_t)len };
    if (unlink(path) != 0)
        return change_failed(path);
    s->done[s->count++] = (struct change){ path, andiron_copy(s->arena, copy) };
    return EXIT_DONE;
}

/* ---- all of them -------------------------------------------------------------------- */

static int check_or_undo(struct switching *s)
{
    struct settings settings;
    struct host *host = loaded_config(&settings);
    int status = EXIT_DONE;

    if (host_problems(host)->errors > 0) {
        problems_print(host_problems(host), stderr);
        undo(s);
        status = cli_fail(EXIT_CONFIG, "see above; nothing was changed",
                          "the configuration would be wrong");
    }
    host_free(host);
    return status;
}

static int switch_all(struct switching *s, int argc, char **argv)
{
    struct settings settings;
    size_t count = 0;
    int status = EXIT_DONE;
    struct host *host = settings_read(cli_invocation(), SECRETS_SKIP, &settings);
    const struct available *list = available_list(s->arena, s->dir, settings.module_path, &count);

    for (int i = 1; i < argc && status == EXIT_DONE; i++) {
        if (strcmp(argv[i], "--now") == 0 || strcmp(argv[i], "--json") == 0)
            continue;
        if (argv[i][0] == '-')
            status = cli_fail(EXIT_USAGE, "andiron enable --help", "%s has no option '%s'", argv[0],
                              argv[i]);
        else if (s->count == NAMES_MAX)
            status = cli_fail(EXIT_USAGE, NULL, "more than %d names", NAMES_MAX);
        else
            status = s->disables ? disable_one(s, list, count, argv[i])
                                 : enable_one(s, list, count, argv[i]);
    }
    host_free(host);
    if (status != EXIT_DONE)
        undo(s);
    else if (s->count > 0)
        status = check_or_undo(s);
    return status;
}

/* The names that are on, or off, now; whether the server knows. */
static void tell(const struct switching *s, int argc, char **argv, bool is_reloaded)
{
    struct andiron_json_writer *w = andiron_json_write(s->arena, 64 * 1024);

    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, s->disables ? "disabled" : "enabled");
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            andiron_json_put_str(w, NULL, andiron_str_of(argv[i]));
    andiron_json_put_end(w);
    andiron_json_put_int(w, "changed", (int64_t)s->count);
    andiron_json_put_bool(w, "reloaded", is_reloaded);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    (void)printf("%.*s\n", (int)text.len, text.data);
}

static int run(int argc, char **argv, bool disables)
{
    bool now = cli_has(argc, argv, "--now"), is_json = cli_has(argc, argv, "--json");
    struct switching s = { .arena = arena_new(),
                           .dir = cli_invocation()->dir,
                           .disables = disables };
    int status = EXIT_USAGE;

    if (argc - now - is_json < 2)
        status = cli_fail(EXIT_USAGE, "andiron plugins --all lists them",
                          "%s needs the name of a plugin", argv[0]);
    else
        status = switch_all(&s, argc, argv);
    if (status == EXIT_DONE && s.count > 0 && !now && !is_json)
        (void)puts("run: systemctl reload andiron");
    if (status == EXIT_DONE && now)
        status = control_reload();
    if (status == EXIT_DONE && is_json)
        tell(&s, argc, argv, now);
    arena_free(s.arena);
    return status;
}

int cmd_enable(int argc, char **argv)
{
    return run(argc, argv, false);
}

int cmd_disable(int argc, char **argv)
{
    return run(argc, argv, true);
}
