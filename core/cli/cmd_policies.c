/*
 * andiron policies: how the access policies in force have been used, over the control socket.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"

enum { LIST_MAX = 256 * 1024 * 1024 };

static void print_text(int width, andiron_str text)
{
    (void)printf("%-*.*s  ", width, (int)text.len, text.data != NULL ? text.data : "");
}

static void print_policy(andiron_json policy)
{
    andiron_str last = andiron_json_str(andiron_json_get(policy, "last-hit"));
    andiron_str effect = andiron_json_str(andiron_json_get(policy, "effect"));
    int64_t ns = andiron_json_int(andiron_json_get(policy, "mean-ns"), -1);

    print_text(32, andiron_json_str(andiron_json_get(policy, "id")));
    print_text(14, andiron_json_str(andiron_json_get(policy, "engine")));
    print_text(6, andiron_json_str(andiron_json_get(policy, "applies")));
    print_text(6, effect.len > 0 ? effect : ANDIRON_STR("allow"));
    (void)printf("%10lld  %-20.*s",
                 (long long)andiron_json_int(andiron_json_get(policy, "hits"), 0),
                 last.len > 19 ? 19 : 1, last.len > 19 ? last.data : "-");
    if (ns >= 0)
        (void)printf("  %9.2f", (double)ns / 1000);
    (void)putchar('\n');
}

static bool is_wanted(andiron_json policy, bool unused)
{
    return !unused || andiron_json_int(andiron_json_get(policy, "hits"), 0) == 0;
}

static void print_table(andiron_json policies, bool unused)
{
    struct andiron_json_iter it = { .of = policies };
    (void)printf("%-32s  %-14s  %-6s  %-6s  %10s  %-20s  %9s\n", "POLICY", "ENGINE", "FOR",
                 "EFFECT", "HITS", "LAST HIT (UTC)", "MEAN, us");
    while (andiron_json_next(&it))
        if (is_wanted(it.value, unused))
            print_policy(it.value);
}

static int print_json(struct andiron_arena *arena, andiron_json policies, bool unused)
{
    struct andiron_json_iter it = { .of = policies };
    struct andiron_json_writer *w = andiron_json_write(arena, LIST_MAX);
    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "policies");
    while (andiron_json_next(&it))
        if (is_wanted(it.value, unused))
            andiron_json_put(w, NULL, it.value);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        return cli_fail(EXIT_INTERNAL, NULL, "the list is too large");
    (void)printf("%.*s\n", (int)text.len, text.data);
    return EXIT_DONE;
}

int cmd_policies(int argc, char **argv)
{
    static const char *const words[] = { "--unused", "--json", NULL };
    struct andiron_arena *arena = arena_new();
    andiron_json answer;
    andiron_str body;
    long http = 0;

    if (!cli_words_ok(argc, argv, words)) {
        arena_free(arena);
        return EXIT_USAGE;
    }
    bool unused = cli_has(argc, argv, "--unused");
    int status = control_call(arena, "GET", "/control/policies", &http, &body, &answer);
    if (status == 0 && http == 404)
        status = cli_fail(EXIT_CONFIG, "andiron enable access", "this server has no policies");
    else if (status == 0 && http != 200)
        status = cli_fail(EXIT_INTERNAL, NULL, "the server answered %ld", http);
    else if (status == 0 && cli_has(argc, argv, "--json"))
        status = print_json(arena, andiron_json_get(answer, "policies"), unused);
    else if (status == 0)
        print_table(andiron_json_get(answer, "policies"), unused);
    arena_free(arena);
    return status;
}
