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

struct asked {
    bool check, is_json;
};

static int tell(const char *name, struct asked asked, int64_t from, int64_t to)
{
    bool check = asked.check, is_due = check && from != to && from != 0;
    if (asked.is_json)
        (void)printf("{\"plugin\":\"%s\",\"from\":%lld,\"to\":%lld,\"needed\":%s}\n", name,
                     (long long)from, (long long)to, is_due ? "true" : "false");
    else if (from == to)
        (void)printf("%s: schema version %lld, nothing to do\n", name, (long long)to);
    else if (from == 0)
        (void)printf("%s: no data yet; %s version %lld\n", name,
                     check ? "a start makes schema" : "made schema", (long long)to);
    else
        (void)printf("%s: schema version %lld, %s %lld\n", name, (long long)from,
                     check ? "needs" : "now", (long long)to);
    return is_due ? EXIT_TRY_AGAIN : EXIT_DONE;
}

static int migrate(struct andiron_host *plugin, const struct andiron_migrate *table,
                   struct asked asked)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    int64_t from = 0, to = 0;

    if (table->run(plugin, plugin->config, asked.check, &from, &to, &err) == 0)
        return tell(plugin->name, asked, from, to);
    return cli_fail(err.code == ANDIRON_E_UNAVAILABLE ? EXIT_UNREACHABLE : EXIT_CONFIG, NULL,
                    "%s: %s", plugin->name, err.message);
}

static int migrate_all(const struct host *host, struct asked asked)
{
    int status = EXIT_DONE, found = 0;

    for (size_t i = 0; host_plugin(host, i) != NULL; i++) {
        /* It owns the memory that its service may ask for. */
        struct andiron_host *plugin = (struct andiron_host *)(uintptr_t)host_plugin(host, i);
        const struct andiron_service *s = plugin->table.provides;
        for (; s != NULL && s->name != NULL; s++) {
            if (strncmp(s->name, ANDIRON_MIGRATE, strlen(ANDIRON_MIGRATE)) != 0)
                continue;
            int one = migrate(plugin, s->table, asked);
            status = one != EXIT_DONE ? one : status;
            found++;
        }
    }
    if (found == 0 && !asked.is_json)
        (void)printf("no enabled plugin has a schema\n");
    return status;
}

int cmd_migrate(int argc, char **argv)
{
    static const char *const words[] = { "--check", "--json", NULL };
    struct settings settings;

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    struct host *host = loaded_config(&settings);
    const struct problems *problems = host_problems(host);
    int status = EXIT_CONFIG;
    if (problems->errors == 0)
        status = migrate_all(host, (struct asked){ .check = cli_has(argc, argv, "--check"),
                                                   .is_json = cli_has(argc, argv, "--json") });
    else
        problems_print(problems, stderr);
    host_free(host);
    return status;
}
