/*
 * andiron new: a project to start from. Writes a folder that was not there, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <andiron/json.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/template.h"
#include "cli/whole.h"
#include "host/ini.h"

static const char usage[] =
    "usage: andiron new policy-engine NAME [DIR] [--json]\n"
    "\n"
    "Writes a project for an access-policy engine: code, unit test, CMakeLists.txt, Makefile,\n"
    "configuration and README. NAME is what AccessPolicy.engine will say: ward-hours. DIR, which\n"
    "must be new or empty, is ./policy-NAME if it is left out. Then:\n"
    "\n"
    "  make -C policy-NAME check      builds the engine and runs its tests\n"
    "  make -C policy-NAME install    puts it where andiron looks for it\n"
    "  andiron reload                 takes it into service\n";

enum { NAME_MAX_LEN = 48, FILE_MAX = 1024 * 1024 };

/* The template is a working engine of this name; so a project is the template with another one. */
static const char sample[] = "business-hours", sample_word[] = "business_hours";

/* text with both forms of the sample's name replaced. */
static void replace_names(struct buffer *out, andiron_str text, const char *name, const char *word)
{
    size_t len = sizeof(sample) - 1, from = 0;
    for (size_t at = 0; at + len <= text.len;) {
        bool is_word = memcmp(text.data + at, sample_word, len) == 0;
        if (!is_word && memcmp(text.data + at, sample, len) != 0) {
            at++;
            continue;
        }
        (void)buffer_add(out, text.data + from, at - from);
        (void)buffer_add(out, is_word ? word : name, strlen(is_word ? word : name));
        at += len;
        from = at;
    }
    (void)buffer_add(out, text.data + from, text.len - from);
}

/* O_EXCL: what somebody has written already stays. */
static int write_file(const char *path, andiron_str text, bool is_script)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, is_script ? 0755 : 0644);
    int status = fd < 0 ? -1 : whole_write(fd, text);
    if (fd >= 0 && close(fd) != 0)
        status = -1;
    if (status == 0)
        return 0;
    return cli_fail(EXIT_NO_OUTPUT, errno == EEXIST ? "name a folder that is new or empty" : NULL,
                    "cannot write %s: %s", path, strerror(errno));
}

static int write_project(struct andiron_arena *arena, const char *dir, const char *name)
{
    char *word = andiron_copy(arena, andiron_str_of(name));
    for (char *c = word; *c != '\0'; c++)
        if (*c == '-')
            *c = '_';
    for (const struct template_file *f = template_files; f->name != NULL; f++) {
        struct buffer path, text;
        buffer_init(&path, FILE_MAX);
        buffer_init(&text, FILE_MAX);
        size_t len = strlen(f->name);
        replace_names(&path, andiron_str_of(f->name), name, word);
        replace_names(&text, f->text, name, word);
        andiron_str leaf = buffer_str(&path);
        int status =
            write_file(andiron_printf(arena, "%s/%.*s", dir, (int)leaf.len, leaf.data),
                       buffer_str(&text), len > 3 && strcmp(f->name + len - 3, ".sh") == 0);
        buffer_free(&path);
        buffer_free(&text);
        if (status != 0)
            return status;
    }
    return EXIT_DONE;
}

static int new_policy_engine(struct andiron_arena *arena, const char *name, const char *dir,
                             bool is_json)
{
    if (strncmp(name, "policy-", 7) == 0)
        name += 7; /* the plugin's name was meant */
    if (!ini_name_ok(andiron_str_of(name)) || strlen(name) > NAME_MAX_LEN)
        return cli_fail(EXIT_USAGE, "andiron new policy-engine ward-hours",
                        "the name must be lower-case words joined by hyphens, at most %d letters, "
                        "not '%.80s'",
                        NAME_MAX_LEN, name);
    if (dir == NULL)
        dir = andiron_printf(arena, "policy-%s", name);
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot make the folder %s: %s", dir,
                        strerror(errno));
    int status = write_project(arena, dir, name);
    if (status != 0)
        return status;
    if (is_json) {
        struct andiron_json_writer *out = andiron_json_write(arena, FILE_MAX);
        andiron_json_put_object(out, NULL);
        andiron_json_put_str(out, "engine", andiron_str_of(name));
        andiron_json_put_str(out, "plugin",
                             andiron_str_of(andiron_printf(arena, "policy-%s", name)));
        andiron_json_put_str(out, "folder", andiron_str_of(dir));
        andiron_json_put_end(out);
        andiron_str text = andiron_json_written(out);
        (void)printf("%.*s\n", (int)text.len, text.data);
    } else {
        (void)printf("%s: engine \"%s\"; next: make -C %s check\n", dir, name, dir);
    }
    return EXIT_DONE;
}

int cmd_new(int argc, char **argv)
{
    bool is_json = false;
    const struct cli_option options[] = { { .name = "json", .is_given = &is_json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    int words = argc - optind;
    if (words < 2 || words > 3 || strcmp(argv[optind], "policy-engine") != 0)
        return cli_fail(EXIT_USAGE, "andiron new policy-engine NAME [DIR]",
                        "new wants the kind, which is policy-engine, and a name");
    struct andiron_arena *arena = arena_new();
    status =
        new_policy_engine(arena, argv[optind + 1], words == 3 ? argv[optind + 2] : NULL, is_json);
    arena_free(arena);
    return status;
}
