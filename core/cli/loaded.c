/*
 * Reading the configuration for commands.
 */
#include "cli/loaded.h"

#include <string.h>

#include <andiron/store.h>

#include "cli/cli.h"

struct host *loaded_config(struct settings *settings)
{
    struct host *host = settings_read(cli_invocation(), SECRETS_CHECK, settings);

    host_load(host, cli_core(), NULL, settings->module_path);
    host_check_routes(host);
    problems_sort(host_problems(host));
    return host;
}

size_t loaded_plugin_count(const struct host *host)
{
    size_t count = 0;
    while (host_plugin(host, count + 1) != NULL)
        count++;
    return count;
}

static const struct andiron_service *find_service(const struct andiron_host *plugin,
                                                  const char *name, size_t len)
{
    const struct andiron_service *s = plugin->table.provides;
    for (; s != NULL && s->name != NULL; s++)
        if (strncmp(s->name, name, len) == 0)
            return s;
    return NULL;
}

bool loaded_provides(const struct andiron_host *plugin, const char *service)
{
    return find_service(plugin, service, strlen(service) + 1) != NULL;
}

const struct andiron_migrate *loaded_migrate(const struct andiron_host *plugin)
{
    const struct andiron_service *s =
        find_service(plugin, ANDIRON_MIGRATE, strlen(ANDIRON_MIGRATE));
    return s != NULL ? s->table : NULL;
}

const char *loaded_origin(struct andiron_arena *arena, const struct directive_value *value)
{
    if (value->file == NULL)
        return "default";
    if (value->line == 0)
        return value->file;
    return andiron_printf(arena, "%s:%u", value->file, value->line);
}

const char *loaded_shown(const struct directive_value *value)
{
    if (value->text == NULL)
        return "";
    bool is_open = value->text[0] == '\0' || value->text[0] == '@';
    return value->directive->type == ANDIRON_SECRET && !is_open ? "***" : value->text;
}
