/*
 * Configuration text -> sections -> a config struct with a directive of each type. Whatever the text,
 * every value that is set lies within its range, and every problem names its line.
 */
#include <stddef.h>

#include "base/arena.h"
#include "host/address.h"
#include "host/directives.h"
#include "target.h"

struct config {
    bool flag;
    int64_t count, size, time;
    const char *text, *path, *secret;
    int choice;
    const char *const *list;
};

static const char *const choices[] = { "red", "green", NULL };

#define AT(member) offsetof(struct config, member)
static const struct andiron_directive table[] = {
    { "flag", ANDIRON_BOOL, AT(flag), "no", 0, 0, NULL, "a flag" },
    { "count", ANDIRON_INT, AT(count), "7", -5, 100, NULL, "a number" },
    { "size", ANDIRON_BYTES, AT(size), "1k", 1, 1 << 20, NULL, "a size" },
    { "time", ANDIRON_DURATION, AT(time), "30s", 0, 60000, NULL, "a time" },
    { "text", ANDIRON_STRING, AT(text), "none", 0, 0, NULL, "a text" },
    { "path", ANDIRON_PATH, AT(path), "", 0, 0, NULL, "a path" },
    { "secret", ANDIRON_SECRET, AT(secret), "", 0, 0, NULL, "a secret" },
    { "choice", ANDIRON_CHOICE, AT(choice), "red", 0, 0, choices, "a colour" },
    { "list", ANDIRON_LIST, AT(list), "a", 0, 0, NULL, "a list" },
    { .name = NULL },
};

static void check_config(const struct config *config)
{
    FUZZ_CHECK(config->count >= -5 && config->count <= 100);
    FUZZ_CHECK(config->size >= 0 && config->size <= 1 << 20);
    FUZZ_CHECK(config->time >= 0 && config->time <= 60000);
    FUZZ_CHECK(config->choice == 0 || config->choice == 1);
    FUZZ_CHECK(config->text != NULL && config->path != NULL && config->secret != NULL);
    FUZZ_CHECK(config->path[0] == '\0' || config->path[0] == '/');
    struct address address;
    for (size_t i = 0; config->list[i] != NULL; i++) {
        FUZZ_CHECK(config->list[i][0] != '\0');
        if (address_parse(config->list[i], &address, NULL) == 0)
            (void)address_is_local(&address);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ini ini = { .arena = arena_new() };
    struct problems problems;
    struct config config = { .flag = false };

    problems_init(&problems, ini.arena);
    ini_read(&ini, "fuzz.conf", (andiron_str){ (const char *)data, size }, &problems);
    for (const struct ini_section *s = ini.sections; s != NULL; s = s->next)
        for (const struct ini_value *v = s->values; v != NULL; v = v->next)
            FUZZ_CHECK(ini_name_ok(andiron_str_of(v->name)) && v->line > 0);
    size_t syntax = problems.count;
    struct directives_context context = {
        .arena = ini.arena, .dir = "/etc/andiron", .problems = &problems, .secrets = SECRETS_SKIP
    };
    (void)directives_fill(&context, "demo", table, ini_find(&ini, "plugin demo"), &config);
    check_config(&config);
    for (size_t i = 0; i < syntax; i++)
        FUZZ_CHECK(problems.list[i].line > 0);
    arena_free(ini.arena);
    return 0;
}
