/*
 * andiron sign-assertion: a test assertion with the server's own test key (seed-semantics KS-4).
 *
 * Works on files: whoever may read the key below state-dir. Only while [dev] assertion-key is on,
 * which is also what publishes the key.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/exits.h"
#include "base/units.h"
#include "cli/assertion.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/loaded.h"

static const char usage[] =
    "usage: andiron sign-assertion --client ID [--ttl SECONDS] [--json]\n"
    "\n"
    "Prints a client assertion signed with the server's test key, for a Client whose jwks_uri is "
    "the\n"
    "server's own key set. Needs [dev] assertion-key = on and the right to read state-dir/keys.\n"
    "\n"
    "  --ttl SECONDS  how long it is valid, at most 300 (300)\n"
    "  --json         an object with client_assertion_type and client_assertion, as a token "
    "request has them\n";

static int is_test_key(const struct dirent *entry)
{
    static const char prefix[] = "assertion-RS384-";
    size_t len = strlen(entry->d_name);
    return strncmp(entry->d_name, prefix, sizeof(prefix) - 1) == 0 && len > 4 &&
           strcmp(entry->d_name + len - 4, ".pem") == 0;
}

/* The newest by name; in arena. NULL if there is none. */
static const char *find_key(struct andiron_arena *arena, const char *state_dir)
{
    struct dirent **entries = NULL;
    const char *folder = andiron_printf(arena, "%s/keys", state_dir), *found = NULL;
    int count = scandir(folder, &entries, is_test_key, alphasort);
    for (int i = 0; i < count; i++) {
        found = andiron_printf(arena, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return found;
}

static int sign(struct andiron_arena *arena, const struct settings *settings,
                struct assertion_of *of, bool is_json)
{
    andiron_str assertion;
    if (!settings->dev_assertion_key)
        return cli_fail(EXIT_CONFIG, "set [dev] assertion-key = on and reload; never in production",
                        "the test key for assertions is switched off");
    of->key_path = find_key(arena, settings->state_dir);
    if (of->key_path == NULL)
        return cli_fail(EXIT_NO_INPUT, "it is made at the next start or reload; is this its user?",
                        "there is no test key in %s/keys", settings->state_dir);
    of->audience = andiron_printf(arena, "%s/auth/token",
                                  settings->http.base_url != NULL ? settings->http.base_url : "");
    int status = assertion_sign(arena, of, &assertion);
    if (status == 0)
        (void)printf(is_json
                         ? "{\"client_assertion_type\":\"urn:ietf:params:oauth:client-assertion-"
                           "type:jwt-bearer\",\"client_assertion\":\"%.*s\"}\n"
                         : "%.*s\n",
                     (int)assertion.len, assertion.data);
    return status;
}

static int take_ttl(void *arg, const char *value)
{
    struct assertion_of *of = arg;
    if (units_int(andiron_str_of(value), &of->ttl_s) == 0 && of->ttl_s >= 1 && of->ttl_s <= 300)
        return 0;
    return cli_fail(EXIT_USAGE, NULL, "--ttl is a whole number from 1 to 300, not '%s'", value);
}

int cmd_sign_assertion(int argc, char **argv)
{
    struct assertion_of of = { .ttl_s = 300 };
    bool is_json = false;
    const struct cli_option options[] = { { .name = "client", .value = &of.client },
                                          { .name = "ttl", .take = take_ttl, .arg = &of },
                                          { .name = "json", .is_given = &is_json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (of.client == NULL || optind < argc)
        return cli_fail(EXIT_USAGE, "andiron sign-assertion --help",
                        "--client is required, and nothing else");
    struct andiron_arena *arena = arena_new();
    struct settings settings = { .user = NULL };
    struct host *host = loaded_config(&settings);
    status = sign(arena, &settings, &of, is_json);
    host_free(host);
    arena_free(arena);
    return status;
}
