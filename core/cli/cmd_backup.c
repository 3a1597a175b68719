/*
 * andiron backup: store, keys and configuration of a running server in one file.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <andiron/store.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/archive.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "cli/loaded.h"
#include "cli/outside.h"
#include "cli/progress.h"

static const char usage[] =
    "usage: andiron backup [--without-store] [--json] FILE\n"
    "\n"
    "Writes one file while the server serves: a consistent copy of the store, the keys, and the\n"
    "configuration with its secrets and with the files that it names, such as certificates. Only\n"
    "its owner can read it; keep it as safe as the server.\n"
    "FILE is there only when it is complete and on disk. It is a tar archive; andiron restore puts "
    "it back.\n"
    "\n"
    "  --without-store  keys and configuration alone: for a store that is saved by its own means,\n"
    "                   as PostgreSQL by pg_dump\n";

struct backup {
    struct archive_writer writer;
    struct progress progress;
    bool began; /* the store's bytes */
};

/* The plugin that is the store and the version of its data; a broken configuration has none. */
static int find_store(const struct host *host, struct archive_store *ret)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    int64_t to = 0;

    for (size_t i = 0; host_plugin(host, i) != NULL; i++) {
        struct andiron_host *plugin = (struct andiron_host *)(uintptr_t)host_plugin(host, i);
        const struct andiron_migrate *table = loaded_migrate(plugin);
        if (table == NULL || !loaded_provides(plugin, ANDIRON_STORE))
            continue;
        ret->plugin = plugin->name;
        if (table->size <= offsetof(struct andiron_migrate, restore) || table->restore == NULL)
            return cli_fail(
                EXIT_CONFIG,
                "save its database by its own means (PostgreSQL: pg_dump), and keys and "
                "configuration by: andiron backup --without-store FILE",
                "%s makes no copies of its data", plugin->name);
        if (table->run(plugin, plugin->config, true, &ret->schema, &to, &err) != 0)
            return cli_fail(EXIT_CONFIG, NULL, "%s: %s", plugin->name, err.message);
        return 0;
    }
    return cli_fail(EXIT_CONFIG, "andiron enable store-sqlite, or backup --without-store",
                    "no enabled plugin is a store");
}

static int take_store(void *arg, int64_t total, const char *bytes, size_t len)
{
    struct backup *b = arg;
    struct tar_entry entry = { .name = "store.db",
                               .type = TAR_FILE,
                               .mode = 0600,
                               .size = total > 0 ? (uint64_t)total : 0,
                               .mtime = andiron_now() / 1000000 };

    if (!b->began && archive_member_begin(&b->writer, &entry) != 0)
        return -1;
    b->began = true;
    progress_add(&b->progress, (uint64_t)len, (uint64_t)entry.size);
    return archive_bytes(&b->writer, bytes, len);
}

static int add_store(struct backup *b)
{
    andiron_json answer;
    long http = 0;
    int status =
        control_fetch(b->writer.arena, "POST", "/control/backup", take_store, b, &http, &answer);

    progress_end(&b->progress);
    if (status == 0 && (http != 200 || !b->began)) {
        andiron_str reason = andiron_json_str(andiron_json_get(answer, "reason"));
        return cli_fail(http == 501 || http == 404 ? EXIT_CONFIG : EXIT_TRY_AGAIN,
                        http == 507 ? "make room where state-dir lies" : NULL,
                        "the server could not copy its store (%ld): %.*s", http, (int)reason.len,
                        reason.data != NULL ? reason.data : "");
    }
    return status != 0 ? status : archive_member_end(&b->writer);
}

static int add_all(struct backup *b, const struct host *host, const struct settings *settings,
                   bool with_store)
{
    struct andiron_arena *arena = b->writer.arena;
    int status = 0;

    /* Before the keys: none that a row of the copy names is then missing. */
    if (with_store)
        status = add_store(b);
    if (status == 0)
        status =
            archive_tree(&b->writer, andiron_printf(arena, "%s/keys", settings->state_dir), "keys");
    if (status == 0)
        status = archive_tree(&b->writer, cli_invocation()->dir, "config");
    if (status == 0)
        status = outside_save(&b->writer, host, settings, cli_invocation()->dir);
    return status != 0 ? status : archive_publish(&b->writer);
}

static int back_up(struct andiron_arena *arena, const char *path, bool with_store, bool json)
{
    struct archive_store store = { NULL, 0 };
    struct backup b = { .progress = progress_new(json) };
    struct settings settings;
    struct host *host = loaded_config(&settings);
    int status = with_store ? find_store(host, &store) : 0;

    if (status == 0)
        status = archive_create(&b.writer, arena, path, &store);
    if (status == 0)
        status = add_all(&b, host, &settings, with_store);
    archive_close(&b.writer);
    host_free(host);
    if (status == 0 && json)
        (void)printf("{\"event\":\"done\",\"store\":%s,\"bytes\":%llu}\n",
                     with_store ? "true" : "false", (unsigned long long)b.progress.done);
    return status;
}

int cmd_backup(int argc, char **argv)
{
    bool without_store = false, json = false;
    const struct cli_option options[] = { { .name = "without-store", .is_given = &without_store },
                                          { .name = "json", .is_given = &json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind + 1 != argc)
        return cli_fail(EXIT_USAGE, "andiron backup --help", "backup takes the name of one file");
    struct andiron_arena *arena = arena_new();
    status = back_up(arena, argv[optind], !without_store, json);
    arena_free(arena);
    return status;
}
