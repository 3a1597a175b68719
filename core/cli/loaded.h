/*
 * The configuration as commands look at it: read and checked, nothing of a plugin run.
 */
#ifndef CORE_CLI_LOADED_H
#define CORE_CLI_LOADED_H

#include "host/settings.h"

/* Files, tables, services, routes; problems are sorted. host_free() ends it. */
struct host *loaded_config(struct settings *settings);

/* Enabled plugins, broken ones included. */
size_t loaded_plugin_count(const struct host *host);

/* Whether its table provides that service. */
bool loaded_provides(const struct andiron_host *plugin, const char *service);

/* The service by which its data is migrated and restored, or NULL. */
struct andiron_migrate;
const struct andiron_migrate *loaded_migrate(const struct andiron_host *plugin);

/* "andiron.conf:3", "-o", "environment" or "default". In arena. */
const char *loaded_origin(struct andiron_arena *arena, const struct directive_value *value);

/* What may be shown of a value: a secret is "***", unless it is empty or names a file. */
const char *loaded_shown(const struct directive_value *value);

#endif
