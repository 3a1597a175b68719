/*
 * See outside.h. Writes nothing but files that are missing.
 */
#include "cli/outside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exits.h"
#include "cli/cli.h"
#include "host/config.h"
#include "host/privileges.h"

static const char prefix[] = "files";

struct saving {
    struct archive_writer *w;
    const char *dir, *state; /* as they really are, without links */
    const char *given;       /* configuration folder as it was named */
    struct saved {
        const char *path;
        struct saved *next;
    } * saved;
    int status;
};

/* ---- saving ------------------------------------------------------------------------- */

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return len > 0 && strncmp(path, folder, len) == 0 && path[len] == '/';
}

/* Without links; path itself where there is no such thing. */
static const char *real(struct andiron_arena *arena, const char *path)
{
    char *found = realpath(path, NULL);
    const char *kept = andiron_copy(arena, andiron_str_of(found != NULL ? found : path));
    free(found);
    return kept;
}

static bool is_saved(const struct saving *s, const char *path)
{
    for (const struct saved *at = s->saved; at != NULL; at = at->next)
        if (strcmp(at->path, path) == 0)
            return true;
    return false;
}

/* A value that names a folder, a socket or nothing is none of ours. */
static void save(struct saving *s, const char *path)
{
    struct andiron_arena *arena = s->w->arena;
    struct stat st;

    if (s->status != 0 || path[0] != '/' || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    const char *target = real(arena, path);
    if (is_below(target, s->dir) || is_below(target, s->state))
        return;
    /* A link of the configuration is saved as one: what it lacks is the file it leads to. */
    const char *name = is_below(path, s->given) || is_below(path, s->dir) ? target : path;
    if (is_saved(s, name))
        return;
    struct saved *saved = andiron_new(arena, struct saved);
    *saved = (struct saved){ name, s->saved };
    s->saved = saved;
    s->status = archive_file(s->w, name, andiron_printf(arena, "%s%s", prefix, name));
}

static void save_values(struct saving *s, const struct andiron_directive *table,
                        const struct directive_value *values)
{
    for (size_t i = 0; i < directives_count(table) && values != NULL; i++) {
        const char *text = values[i].text;
        if (text == NULL || text[0] == '\0')
            continue;
        if (table[i].type == ANDIRON_PATH)
            save(s, text);
        else if (table[i].type == ANDIRON_SECRET && text[0] == '@')
            save(s, config_path(s->w->arena, s->given, text + 1));
    }
}

/* "${file:/path}" in the init bundle. */
static void save_filled(struct saving *s, const char *bundle)
{
    static const char open[] = "${file:";
    struct andiron_error err;
    andiron_str text;

    if (bundle[0] == '\0' || config_file(s->w->arena, bundle, CONFIG_FILE_MAX, &text, &err) != 0)
        return; /* one that is missing is told of by check-config */
    for (const char *at = text.data; (at = strstr(at, open)) != NULL;) {
        at += sizeof(open) - 1;
        size_t len = strcspn(at, "}\"");
        if (at[len] == '}')
            save(s, andiron_copy(s->w->arena, (andiron_str){ at, len }));
    }
}

int outside_save(struct archive_writer *w, const struct host *host, const struct settings *settings,
                 const char *dir)
{
    struct saving s = { .w = w,
                        .dir = real(w->arena, dir),
                        .state = real(w->arena, settings->state_dir),
                        .given = dir };

    for (const struct host_section *section = settings_sections; section->name != NULL; section++)
        save_values(&s, section->directives, host_values(host, section->name));
    for (size_t i = 1; host_plugin(host, i) != NULL; i++) {
        const struct andiron_host *p = host_plugin(host, i);
        save_values(&s, p->table.directives, p->values);
    }
    if (settings->http.tls_key != NULL)
        save(&s, settings->http.tls_key);
    save(&s, settings->init_bundle);
    save_filled(&s, settings->init_bundle);
    return s.status;
}

/* ---- putting back --------------------------------------------------------------------- */

/* Beside its place, then linked into it: never half a file, and never over one that is there. */
static int put(const struct archive *a, const struct archive_member *m, struct andiron_arena *arena,
               const char *path)
{
    const char *partial = andiron_printf(arena, "%s.andiron-restore", path);
    struct andiron_error err;

    if (privileges_parents(path, &err) != 0)
        return cli_fail(EXIT_NO_OUTPUT, "run it as root", "%s", err.message);
    (void)unlink(partial); /* of a run that was killed */
    int status = archive_write_file(a, m, partial);
    if (status == 0 && link(partial, path) != 0)
        status = cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write %s: %s", path, strerror(errno));
    (void)unlink(partial); /* it has its name, or is of no use */
    return status;
}

int outside_restore(const struct archive *a, struct andiron_arena *arena, bool put_back)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct archive_member *m = &a->members[i];
        const char *path = m->entry.name + sizeof(prefix) - 1;
        struct stat st;

        if (!is_below(m->entry.name, prefix))
            continue;
        if (lstat(path, &st) == 0) {
            if (!archive_is_same(m, path))
                (void)cli_fail(0, "compare them: tar -xOf BACKUP NAME",
                               "%s is not as in the backup (%s); it was left as it is", path,
                               m->entry.name);
            continue;
        }
        if (!put_back) {
            (void)cli_fail(0, "restore --files puts such files back",
                           "%s is missing, which the backup has and its configuration names", path);
            continue;
        }
        int status = put(a, m, arena, path);
        if (status != 0)
            return status;
    }
    return 0;
}
