/*
 * A folder of its own, since settings are read from one.
 */
#include "cli/alone.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"

static int write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return -1;
    int status = fputs(text, file) < 0 ? -1 : 0;
    return fclose(file) != 0 ? -1 : status;
}

static int write_files(struct andiron_arena *arena, const struct alone *a)
{
    const char *leaf = strrchr(a->module, '/') + 1;
    int len = (int)strcspn(leaf, ".");
    if (mkdir(andiron_printf(arena, "%s/plugins.d", a->dir), 0700) != 0 ||
        write_text(andiron_printf(arena, "%s/andiron.conf", a->dir),
                   andiron_printf(arena,
                                  "[http]\nbase-url = http://127.0.0.1:8080\n[core]\n"
                                  "state-dir = %s\ncache-dir = %s\n",
                                  a->dir, a->dir)) != 0)
        return -1;
    return write_text(andiron_printf(arena, "%s/plugins.d/50-module.conf", a->dir),
                      andiron_printf(arena, "[plugin %.*s]\nmodule = %s\n", len, leaf, leaf));
}

int alone_make(struct andiron_arena *arena, const char *path, struct alone *ret,
               struct andiron_error *err)
{
    char resolved[PATH_MAX];
    if (realpath(path, resolved) == NULL)
        return andiron_error_set(err, ANDIRON_E_NOT_FOUND, "", "cannot open %s: %s", path,
                                 strerror(errno));
    *ret = (struct alone){ .module = andiron_copy(arena, andiron_str_of(resolved)),
                           .dir = "/tmp/andiron-module-XXXXXX" };
    if (mkdtemp(ret->dir) != NULL && write_files(arena, ret) == 0)
        return 0;
    int failed = errno;
    alone_remove(ret);
    return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "cannot write %s: %s", ret->dir,
                             strerror(failed));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    (void)remove(path); /* a file that stays is in /tmp */
    return 0;
}

void alone_remove(const struct alone *alone)
{
    (void)nftw(alone->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

struct host *alone_load(struct andiron_arena *arena, const struct alone *alone,
                        const char *const *overrides, struct settings *settings)
{
    const struct invocation invocation = { .program = "",
                                           .dir = alone->dir,
                                           .overrides = overrides };
    size_t len = (size_t)(strrchr(alone->module, '/') - alone->module);
    const char *folder = andiron_copy(arena, (andiron_str){ alone->module, len });
    struct host *host = settings_read(&invocation, SECRETS_SKIP, settings);
    host_load(host, cli_core(), NULL, (const char *const[]){ folder, NULL });
    return host;
}

/* Services of others are not there, which the caller is told when they are asked for. */
static bool is_of_directives(const struct problem *p, const char *name)
{
    return !p->is_warning && strstr(p->text, "needs service") == NULL &&
           strncmp(p->text, name, strlen(name)) == 0;
}

const struct andiron_host *alone_plugin(struct host *host, const char *name,
                                        const char **ret_problem)
{
    const struct problems *problems = host_problems(host);
    *ret_problem = NULL;
    for (size_t i = 0; i < problems->count && *ret_problem == NULL; i++)
        if (is_of_directives(&problems->list[i], name))
            *ret_problem = problems->list[i].text;
    for (size_t i = 1; host_plugin(host, i) != NULL; i++)
        if (strcmp(host_plugin(host, i)->name, name) == 0)
            return host_plugin(host, i);
    return NULL;
}
