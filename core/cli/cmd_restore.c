/*
 * andiron restore: what a backup holds is put back, all of it or nothing.
 *
 * All is read and compared first, then written beside what is there, then checked by the store.
 * Only then marks are set that keep a server from starting, and the parts change places, each at
 * once; the marks go last. Killed before: nothing has changed. Killed after: nothing is served until
 * the restore was run again.
 *
 * State belongs to the user that serves, so a child process that has become that user writes it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <andiron/store.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/archive.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "cli/loaded.h"
#include "cli/outside.h"
#include "host/privileges.h"
#include "host/unfinished.h"

/* Added to the exit status of a child that left things half done, or may have. */
enum { HALF_WAY = 128 };

static const char usage[] =
    "usage: andiron restore [--keep-config] [--files] [--json] FILE\n"
    "\n"
    "Puts back what andiron backup wrote: store, keys and configuration, in place of what is "
    "there.\n"
    "The server must be stopped. All of FILE is checked before anything changes; if the restore "
    "is\n"
    "interrupted later, nothing is served until it was run again to its end.\n"
    "\n"
    "  --keep-config  leave the configuration as it is, and restore to where it says\n"
    "  --files        also put back what is missing of the files that the configuration names and\n"
    "                 that lie elsewhere, such as certificates; those that are there stay as they "
    "are\n";

struct restore {
    struct andiron_arena *arena;
    struct archive archive;
    const char *dir;    /* configuration folder */
    const char *staged; /* the backup's configuration, beside the present one; NULL: it is kept */
    struct settings settings;
    struct host *host;
    struct identity identity;
    struct andiron_host *plugin; /* the store, or NULL */
    const struct andiron_migrate *table;
    const char *work;    /* folder below state-dir */
    bool was_unfinished; /* an earlier one was interrupted: only the end takes the marks away */
};

static int failed_at(const char *path)
{
    return cli_fail(EXIT_NO_OUTPUT, errno == EACCES ? "run it as root" : NULL,
                    "cannot change %s: %s", path, strerror(errno));
}

static int told(const struct andiron_error *err)
{
    return cli_fail(err->code == ANDIRON_E_UNAVAILABLE ? EXIT_TRY_AGAIN : EXIT_BAD_DATA,
                    "nothing was changed", "%s", err->message);
}

static bool is_below(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(name, prefix, len) == 0 && name[len] == '/';
}

static bool holds(const struct archive *a, const char *prefix)
{
    for (size_t i = 0; i < a->count; i++)
        if (is_below(a->members[i].entry.name, prefix))
            return true;
    return false;
}

/* ---- where to ---------------------------------------------------------------------- */

static int check_stopped(const struct settings *settings)
{
    if (!control_listens(settings->control_socket))
        return 0;
    return cli_fail(EXIT_TRY_AGAIN, "systemctl stop andiron, or: andiron stop",
                    "andiron is running; a restore needs it stopped");
}

static int check_stopped_now(const struct restore *r)
{
    struct settings present;
    struct host *host = settings_read(cli_invocation(), SECRETS_SKIP, &present);
    int status = check_stopped(&present);

    host_free(host);
    return status != 0 ? status : check_stopped(&r->settings);
}

static int find_store(struct restore *r)
{
    const struct archive_store *store = &r->archive.store;

    for (size_t i = 0; store->plugin != NULL && host_plugin(r->host, i) != NULL; i++) {
        struct andiron_host *plugin = (struct andiron_host *)(uintptr_t)host_plugin(r->host, i);
        const struct andiron_migrate *table = loaded_migrate(plugin);
        if (strcmp(plugin->name, store->plugin) != 0 || table == NULL ||
            table->size <= offsetof(struct andiron_migrate, restore) || table->restore == NULL)
            continue;
        r->plugin = plugin;
        r->table = table;
        return 0;
    }
    return store->plugin == NULL
               ? 0
               : cli_fail(EXIT_CONFIG, "enable it, or restore without --keep-config",
                          "the backup is one of %s, which is not enabled", store->plugin);
}

/* Settings as they will be: of the backup's configuration, unless the present one is kept. */
static int find_places(struct restore *r)
{
    struct invocation invocation = *cli_invocation();
    struct andiron_error err = { .code = ANDIRON_OK };

    invocation.dir = r->staged != NULL ? r->staged : r->dir;
    r->host = settings_read(&invocation, SECRETS_SKIP, &r->settings);
    host_load(r->host, cli_core(), NULL, r->settings.module_path);
    if (host_problems(r->host)->errors > 0) {
        problems_sort(host_problems(r->host));
        problems_print(host_problems(r->host), stderr);
        return cli_fail(EXIT_CONFIG, "install the plugins it needs, or restore with --keep-config",
                        "the configuration does not fit this andiron; nothing was changed");
    }
    r->work = andiron_printf(r->arena, "%s/restore", r->settings.state_dir);
    if (privileges_identity(&r->settings, &r->identity, &err) != 0 ||
        privileges_folder(r->settings.state_dir, &r->identity, &err) != 0)
        return cli_fail(EXIT_CONFIG, NULL, "%s", err.message);
    r->was_unfinished =
        unfinished_check(r->dir, NULL) != 0 || unfinished_check(r->settings.state_dir, NULL) != 0;
    int status = check_stopped_now(r);
    return status != 0 ? status : find_store(r);
}

/* ---- as the user that serves --------------------------------------------------------- */

/* Runs fn in a child that has become that user: 0, or the exit status that was told. */
static int as_server(struct restore *r, int (*fn)(struct restore *r))
{
    struct andiron_error err = { .code = ANDIRON_OK };
    int status = 0;

    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (privileges_drop(&r->identity, &err) != 0)
            _exit(cli_fail(EXIT_CONFIG, NULL, "%s", err.message));
        _exit(fn(r));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFEXITED(status))
        return WEXITSTATUS(status);
    return HALF_WAY +
           cli_fail(EXIT_INTERNAL, "run it again to its end", "the restore was interrupted");
}

/* Beside what is there; the store says whether it could use it. */
static int write_beside(struct restore *r)
{
    const char *copy = andiron_printf(r->arena, "%s/store.db", r->work);
    struct andiron_error err = { .code = ANDIRON_OK };
    int status = archive_extract(&r->archive, "store.db", r->work);

    if (status == 0)
        status = archive_extract(&r->archive, "keys", andiron_printf(r->arena, "%s/keys", r->work));
    if (status == 0 && r->plugin != NULL &&
        r->table->restore(r->plugin, r->plugin->config, copy, true, &err) != 0)
        status = told(&err);
    return status;
}

static int replace_keys(const struct restore *r)
{
    const char *fresh = andiron_printf(r->arena, "%s/keys", r->work);
    const char *keys = andiron_printf(r->arena, "%s/keys", r->settings.state_dir);

    if (!holds(&r->archive, "keys"))
        return 0;
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, keys, RENAME_EXCHANGE) != 0 &&
        (errno != ENOENT || rename(fresh, keys) != 0))
        return failed_at(keys);
    return archive_sync(r->settings.state_dir) == 0 ? 0 : failed_at(r->settings.state_dir);
}

static int replace_state(struct restore *r)
{
    const char *copy = andiron_printf(r->arena, "%s/store.db", r->work);
    struct andiron_error err = { .code = ANDIRON_OK };

    if (unfinished_mark(r->settings.state_dir) != 0)
        return failed_at(r->settings.state_dir);
    /* A server that started before the mark is seen here, and one that starts now sees the mark. */
    int status = check_stopped_now(r);
    if (status == 0 && r->plugin != NULL &&
        r->table->restore(r->plugin, r->plugin->config, copy, false, &err) != 0)
        status = told(&err);
    if (status == 0) {
        status = replace_keys(r);
        return status != 0 ? status + HALF_WAY : 0;
    }
    if (!r->was_unfinished && unfinished_clear(r->settings.state_dir) != 0)
        return failed_at(r->settings.state_dir);
    return status;
}

static int clean_state(struct restore *r)
{
    if (unfinished_clear(r->settings.state_dir) != 0 || archive_remove_tree(r->work) != 0)
        return failed_at(r->settings.state_dir);
    return 0;
}

static int clean_work(struct restore *r)
{
    return archive_remove_tree(r->work) == 0 ? 0 : failed_at(r->work);
}

/* ---- configuration ------------------------------------------------------------------- */

/* Whether each file meets a file or nothing, and each folder a folder. */
static int check_config(const struct restore *r)
{
    struct stat st;

    for (size_t i = 0; i < r->archive.count; i++) {
        const struct tar_entry *e = &r->archive.members[i].entry;
        if (!is_below(e->name, "config"))
            continue;
        const char *path = andiron_printf(r->arena, "%s%s", r->dir, e->name + strlen("config"));
        int rc = e->type == TAR_FOLDER ? stat(path, &st) : lstat(path, &st);
        if (rc == 0 && S_ISDIR(st.st_mode) != (e->type == TAR_FOLDER))
            return cli_fail(EXIT_NO_OUTPUT, "move it away; nothing was changed",
                            "%s is in the way of the backup's", path);
    }
    return 0;
}

static int make_folder(const char *path, const struct tar_entry *e)
{
    const struct passwd *user = getpwnam(e->user);
    const struct group *group = getgrnam(e->group);

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? 0 : failed_at(path); /* then it stays whose it is */
    if (geteuid() == 0 &&
        chown(path, user != NULL ? user->pw_uid : 0, group != NULL ? group->gr_gid : 0) != 0)
        return failed_at(path);
    return chmod(path, e->mode) == 0 ? 0 : failed_at(path);
}

static bool is_in_backup(const struct restore *r, const char *folder, const char *name)
{
    const char *full = andiron_printf(r->arena, "config/%s/%s", folder, name);
    for (size_t i = 0; i < r->archive.count; i++)
        if (strcmp(r->archive.members[i].entry.name, full) == 0)
            return true;
    return false;
}

/* What would be read beside the backup's files, a plugin that was off then. */
static int remove_others(const struct restore *r, const char *folder)
{
    const char *path = andiron_printf(r->arena, "%s/%s", r->dir, folder);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int status = 0;

    if (dir == NULL)
        return errno == ENOENT ? 0 : failed_at(path);
    while (status == 0 && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !is_in_backup(r, folder, entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            status = failed_at(path);
    if (status == 0 && fsync(dirfd(dir)) != 0)
        status = failed_at(path);
    (void)closedir(dir); /* only read */
    return status;
}

/* One after the other: the mark holds while they are of both. */
static int replace_config(const struct restore *r)
{
    int status = 0;

    for (size_t i = 0; status == 0 && i < r->archive.count; i++) {
        const struct tar_entry *e = &r->archive.members[i].entry;
        if (!is_below(e->name, "config"))
            continue;
        const char *name = e->name + strlen("config");
        const char *path = andiron_printf(r->arena, "%s%s", r->dir, name);
        if (e->type == TAR_FOLDER)
            status = make_folder(path, e);
        else if (rename(andiron_printf(r->arena, "%s%s", r->staged, name), path) != 0)
            status = failed_at(path);
    }
    if (status == 0)
        status = remove_others(r, "plugins.d");
    if (status == 0)
        status = remove_others(r, "conf.d");
    if (status == 0 && archive_sync(r->dir) != 0)
        status = failed_at(r->dir);
    return status;
}

/* ---- all of it -------------------------------------------------------------------------- */

static int stage_config(struct restore *r, bool keep_config)
{
    if (keep_config)
        return 0;
    if (!holds(&r->archive, "config"))
        return cli_fail(EXIT_BAD_DATA, "restore with --keep-config", "%s holds no configuration",
                        r->archive.path);
    int status = check_config(r);
    r->staged = andiron_printf(r->arena, "%s/.restore", r->dir);
    return status != 0 ? status : archive_extract(&r->archive, "config", r->staged);
}

/* Past the point from which only the end leads back to a server that starts. */
static int finish(struct restore *r)
{
    int status = r->staged != NULL ? replace_config(r) : 0;

    if (status == 0)
        status = as_server(r, clean_state);
    if (status == 0 && r->staged != NULL && unfinished_clear(r->dir) != 0)
        status = failed_at(r->dir);
    return status;
}

static int replace_all(struct restore *r)
{
    if (r->staged != NULL && unfinished_mark(r->dir) != 0)
        return failed_at(r->dir);
    int status = as_server(r, replace_state);
    if (status == 0)
        return finish(r);
    if (status >= HALF_WAY)
        return status - HALF_WAY;   /* the marks stay */
    (void)as_server(r, clean_work); /* what failed was told */
    if (r->staged != NULL && !r->was_unfinished && unfinished_clear(r->dir) != 0)
        return failed_at(r->dir);
    return status;
}

static int restore(struct restore *r, bool keep_config, bool put_files)
{
    int status = stage_config(r, keep_config);

    if (status == 0)
        status = find_places(r);
    if (status == 0) {
        status = as_server(r, write_beside);
        if (status == 0)
            status = outside_restore(&r->archive, r->arena, put_files);
        if (status == 0)
            status = replace_all(r);
        else
            (void)as_server(r, clean_work); /* what failed was told */
    }
    if (r->staged != NULL && archive_remove_tree(r->staged) != 0 && status == 0)
        status = failed_at(r->staged);
    if (r->host != NULL)
        host_free(r->host);
    return status & (HALF_WAY - 1);
}

static void report(const struct restore *r, bool json)
{
    if (r->archive.store.plugin == NULL)
        (void)fputs("andiron: keys and configuration are restored; the backup holds no store\n"
                    "hint: restore its database by its own means, as PostgreSQL's by pg_restore\n",
                    stderr);
    if (json)
        (void)printf("{\"event\":\"done\",\"files\":%zu,\"store\":%s}\n", r->archive.count,
                     r->archive.store.plugin != NULL ? "true" : "false");
}

int cmd_restore(int argc, char **argv)
{
    struct restore r = { .dir = cli_invocation()->dir };
    bool keep_config = false, put_files = false, json = false;
    const struct cli_option options[] = { { .name = "keep-config", .is_given = &keep_config },
                                          { .name = "files", .is_given = &put_files },
                                          { .name = "json", .is_given = &json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind + 1 != argc)
        return cli_fail(EXIT_USAGE, "andiron restore --help", "restore takes the name of one file");
    r.arena = arena_new();
    status = archive_open(&r.archive, r.arena, argv[optind]);
    if (status == 0)
        status = restore(&r, keep_config, put_files);
    if (status == 0)
        report(&r, json);
    arena_free(r.arena);
    return status;
}
