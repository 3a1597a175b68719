/*
 * andiron keys list, rotate, retire: the keys that sign access tokens, over the control socket.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"

enum { PEM_MAX = 64 * 1024, KID_MAX = 64, THUMBPRINT = 43 };

static const char usage[] =
    "usage: andiron keys list [--json]\n"
    "       andiron keys rotate [--now] [--key FILE] [--json]\n"
    "       andiron keys retire KID [--revoke] [--json]\n"
    "\n"
    "rotate publishes a new key, which signs once every cached copy of the key set has ended. The "
    "old one\n"
    "retires then, and is removed when the last token that it signed has ended.\n"
    "\n"
    "  --now       sign with it at once: whoever keeps a copy of the key set may not know it yet\n"
    "  --key FILE  take this private key (PEM) instead of making one\n"
    "  --revoke    trust it no more: its tokens fail at once, and another key signs\n";

struct order {
    const char *action, *kid, *key_file;
    bool now, revoke, json;
};

/* ---- output ----------------------------------------------------------------------- */

static void print_keys(andiron_json keys)
{
    static const char *const columns[] = { "kid", "alg", "state", "created" };
    static const int widths[] = { 43, 5, 7, 20 };
    struct andiron_json_iter it = { .of = keys };

    (void)printf("%-43s  %-5s  %-7s  %-20s  %s\n", "KID", "ALG", "STATE", "CREATED", "");
    while (andiron_json_next(&it)) {
        andiron_str until = andiron_json_str(andiron_json_get(it.value, "until"));
        andiron_str from = andiron_json_str(andiron_json_get(it.value, "signsFrom"));
        andiron_str state = andiron_json_str(andiron_json_get(it.value, "state"));
        for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
            andiron_str text = andiron_json_str(andiron_json_get(it.value, columns[i]));
            bool is_instant = text.len == ANDIRON_INSTANT_LEN; /* seconds are enough */
            (void)printf("%-*.*s%s", widths[i] - (is_instant ? 1 : 0),
                         is_instant ? 19 : (int)text.len, text.data != NULL ? text.data : "",
                         is_instant ? "Z  " : "  ");
        }
        if (andiron_str_eq(state, ANDIRON_STR("next")))
            (void)printf("signs from %.19sZ", from.data);
        else if (until.len == ANDIRON_INSTANT_LEN)
            (void)printf("removed after %.19sZ", until.data);
        if (!andiron_json_true(andiron_json_get(it.value, "private")) &&
            !andiron_str_eq(state, ANDIRON_STR("revoked")))
            (void)fputs("  (no private part here)", stdout);
        (void)putchar('\n');
    }
}

static int refused(long http, andiron_json answer)
{
    andiron_str reason = andiron_json_str(andiron_json_get(answer, "reason"));
    const char *hint = NULL;
    int status = EXIT_INTERNAL;

    if (http == 404 && reason.data == NULL)
        return cli_fail(EXIT_CONFIG, "andiron enable jwks", "this server has no keys");
    if (http == 404 || http == 422) {
        status = EXIT_BAD_DATA;
        hint = "andiron keys list";
    } else if (http == 409 || http == 503) {
        status = EXIT_TRY_AGAIN;
        hint = "see when by: andiron keys list";
    } else if (http == 400) {
        status = EXIT_BAD_DATA;
        hint = "openssl pkey -in FILE shows whether it is a private key without a password";
    }
    return cli_fail(status, hint, "%.*s (%ld)", (int)reason.len,
                    reason.data != NULL ? reason.data : "the server refused", http);
}

/* ---- the request -------------------------------------------------------------------- */

/* The file's text in arena; 0 or an exit status, told on stderr. */
static int read_key(struct andiron_arena *arena, const char *path, andiron_str *ret)
{
    char *text = andiron_alloc(arena, PEM_MAX);
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return cli_fail(EXIT_NO_INPUT, NULL, "%s: %s", path, strerror(errno));
    size_t len = fread(text, 1, PEM_MAX, file);
    bool is_bad = ferror(file) != 0;
    (void)fclose(file); /* nothing was written */
    if (is_bad || len == 0 || len == PEM_MAX)
        return cli_fail(EXIT_BAD_DATA, "a private key in PEM form is expected",
                        "%s cannot be read, is empty, or is too large", path);
    *ret = (andiron_str){ text, len };
    return 0;
}

static const char *target_of(struct andiron_arena *arena, const struct order *order)
{
    if (strcmp(order->action, "list") == 0)
        return "/control/keys";
    if (strcmp(order->action, "rotate") == 0)
        return order->now ? "/control/keys/rotate?now" : "/control/keys/rotate";
    return andiron_printf(arena, "/control/keys/retire?kid=%s%s", order->kid,
                          order->revoke ? "&revoke" : "");
}

static int run(struct andiron_arena *arena, const struct order *order)
{
    assert(order->action != NULL);
    bool is_list = strcmp(order->action, "list") == 0;
    andiron_str pem = { NULL, 0 }, body;
    andiron_json answer;
    long http = 0;

    int status = order->key_file != NULL ? read_key(arena, order->key_file, &pem) : 0;
    if (status == 0)
        status = control_send(arena, is_list ? "GET" : "POST", target_of(arena, order), pem, &http,
                              &body, &answer);
    if (status != 0)
        return status;
    if (http != 200)
        return refused(http, answer);
    if (order->json)
        (void)printf("%.*s\n", (int)body.len, body.data);
    else
        print_keys(andiron_json_get(answer, "keys"));
    return EXIT_DONE;
}

/* ---- arguments ------------------------------------------------------------------------ */

static bool is_kid(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= KID_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

static int check(const struct order *order, int argc)
{
    bool is_list = order->action != NULL && strcmp(order->action, "list") == 0;
    bool is_rotate = order->action != NULL && strcmp(order->action, "rotate") == 0;
    bool is_retire = order->action != NULL && strcmp(order->action, "retire") == 0;

    if (!is_list && !is_rotate && !is_retire)
        return cli_fail(
            EXIT_USAGE, "andiron keys --help", "keys takes list, rotate or retire%s%s%s",
            order->action != NULL ? ", not '" : "", order->action != NULL ? order->action : "",
            order->action != NULL ? "'" : "");
    if (is_retire && (order->kid == NULL || !is_kid(order->kid)))
        return cli_fail(EXIT_USAGE, "andiron keys list shows them",
                        "keys retire needs the kid of a key");
    if (optind + (is_retire ? 2 : 1) < argc || (!is_rotate && (order->now || order->key_file)) ||
        (!is_retire && order->revoke))
        return cli_fail(EXIT_USAGE, "andiron keys --help",
                        "keys %s does not take all of these arguments", order->action);
    return EXIT_DONE;
}

/*
 * Every 64th kid begins with a hyphen: it must not be read as options. Takes it out of the
 * arguments; no option is as long as a thumbprint.
 */
static const char *take_kid(int *argc, char **argv)
{
    for (int i = 2; i < *argc; i++) {
        const char *kid = argv[i];
        if (kid[0] != '-' || strlen(kid) != THUMBPRINT || !is_kid(kid))
            continue;
        for (; i < *argc; i++)
            argv[i] = argv[i + 1];
        --*argc;
        return kid;
    }
    return NULL;
}

int cmd_keys(int argc, char **argv)
{
    struct order order = { .kid = take_kid(&argc, argv) };
    const bool is_taken = order.kid != NULL;
    const struct cli_option options[] = { { .name = "now", .is_given = &order.now },
                                          { .name = "key", .value = &order.key_file },
                                          { .name = "revoke", .is_given = &order.revoke },
                                          { .name = "json", .is_given = &order.json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind < argc)
        order.action = argv[optind];
    if (optind + 1 < argc && !is_taken)
        order.kid = argv[optind + 1];
    status = check(&order, argc + is_taken);
    if (status != EXIT_DONE)
        return status;
    struct andiron_arena *arena = arena_new();
    status = run(arena, &order);
    arena_free(arena);
    return status;
}
