/*
 * andiron check: whether the index is what the resources say, over the control socket.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"

enum { EXIT_DIFFERS = 1 };

static int64_t number(andiron_json answer, const char *name)
{
    return andiron_json_int(andiron_json_get(answer, name), 0);
}

static void print_differences(andiron_json list)
{
    struct andiron_json_iter it = { .of = list };

    while (andiron_json_next(&it)) {
        andiron_str type = andiron_json_str(andiron_json_get(it.value, "type"));
        andiron_str id = andiron_json_str(andiron_json_get(it.value, "id"));
        andiron_str param = andiron_json_str(andiron_json_get(it.value, "parameter"));
        (void)printf("%.*s/%.*s  %.*s\n", (int)type.len, type.data, (int)id.len, id.data,
                     (int)param.len, param.data != NULL ? param.data : "");
    }
}

static int report(andiron_json answer, andiron_str body, bool is_json)
{
    int64_t differing = number(answer, "differing"), repaired = number(answer, "repaired");

    if (is_json) {
        (void)printf("%.*s\n", (int)body.len, body.data);
    } else {
        print_differences(andiron_json_get(answer, "differences"));
        (void)printf("%lld checked, %lld differ, %lld repaired\n",
                     (long long)number(answer, "checked"), (long long)differing,
                     (long long)repaired);
    }
    return differing > repaired ? EXIT_DIFFERS : EXIT_DONE;
}

int cmd_check(int argc, char **argv)
{
    static const char *const words[] = { "--json", "--repair", NULL };
    const char *target =
        cli_has(argc, argv, "--repair") ? "/control/check?repair" : "/control/check";
    struct andiron_arena *arena;
    andiron_json answer;
    andiron_str body;
    long http = 0;

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    arena = arena_new();
    int status = control_call(arena, "POST", target, &http, &body, &answer);
    if (status == 0 && http == 404)
        status = cli_fail(EXIT_CONFIG, "andiron enable search", "this server has no index");
    else if (status == 0 && http != 200)
        status = cli_fail(EXIT_INTERNAL, NULL, "the server answered %ld", http);
    else if (status == 0)
        status = report(answer, body, cli_has(argc, argv, "--json"));
    arena_free(arena);
    return status;
}
