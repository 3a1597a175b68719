/*
 * andiron migrate: what the stored data needs before this program can use it, or done now.
 */
#include <stdio.h>
#include <string.h>

#include <andiron/store.h>

#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/loaded.h"
#include "host/host.h"

static int tell(const char *name, bool check, int64_t from, int64_t to)
{
    if (from == to)
        (void)printf("%s: schema version %lld, nothing to do\n", name, (long long)to);
    else if (from == 0)
        (void)printf("%s: no data yet; %s version %lld\n", name,
                     check ? "a start makes schema" : "made schema", (long long)to);
    else
        (void)printf("%s: schema version %lld, %s %lld\n", name, (long long)from,
                     check ? "needs" : "now", (long long)to);
    return check && from != to && from != 0 ? EXIT_TRY_AGAIN : EXIT_DONE;
}

static int migrate(struct andiron_host *plugin, const struct andiron_migrate *table, bool check)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    int64_t from = 0, to = 0;

    if (table->run(plugin, plugin->config, check, &from, &to, &err) == 0)
        return tell(plugin->name, check, from, to);
    return cli_fail(err.code == ANDIRON_E_UNAVAILABLE ? EXIT_UNREACHABLE : EXIT_CONFIG, NULL,
                    "%s: %s", plugin->name, err.message);
}

static int migrate_all(const struct host *host, bool check)
{
    int status = EXIT_DONE, found = 0;

    for (size_t i = 0; host_plugin(host, i) != NULL; i++) {
        /* It owns the memory that its service may ask for. */
        struct andiron_host *plugin = (struct andiron_host *)(uintptr_t)host_plugin(host, i);
        const struct andiron_service *s = plugin->table.provides;
        for (; s != NULL && s->name != NULL; s++) {
            if (strncmp(s->name, ANDIRON_MIGRATE, strlen(ANDIRON_MIGRATE)) != 0)
                continue;
            int one = migrate(plugin, s->table, check);
            status = one != EXIT_DONE ? one : status;
            found++;
        }
    }
    if (found == 0)
        (void)printf("no enabled plugin has a schema\n");
    return status;
}

int cmd_migrate(int argc, char **argv)
{
    static const char *const words[] = { "--check", NULL };
    struct settings settings;

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    struct host *host = loaded_config(&settings);
    const struct problems *problems = host_problems(host);
    int status = EXIT_CONFIG;
    if (problems->errors == 0)
        status = migrate_all(host, cli_has(argc, argv, "--check"));
    else
        problems_print(problems, stderr);
    host_free(host);
    return status;
}
