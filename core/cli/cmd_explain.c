/*
 * andiron explain: why a running server lets a request through or not, for a request that was
 * refused or one that somebody might make.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/remote.h"

static const char usage[] =
    "usage: andiron explain METHOD URL [--client ID] [--user ID] [--scope S] [--body JSON]\n"
    "       andiron explain REQUEST-ID\n"
    "\n"
    "Shows the decision on a request: who asks, each policy with its verdict, its reason and its\n"
    "microseconds, and what would have to change. REQUEST-ID is the X-Request-Id of one of the "
    "latest\n"
    "requests that were refused. The admin needs a policy for the operation TestPolicy.\n"
    "\n"
    "  --client ID   the Client that asks (nobody: anonymous)\n"
    "  --user ID     the User that asks through it\n"
    "  --scope S     scopes of its token, separated by blanks\n"
    "  --body JSON   the body, or @FILE\n"
    "  --url URL     base URL (ANDIRON_URL, or http://127.0.0.1:8080)\n"
    "  --admin FILE  holds id:secret of an administrator (or ANDIRON_ADMIN)\n"
    "  --json        the answer as it comes\n"
    "\n"
    "Ends with 0, also for a request that is refused.\n";

enum { BODY_MAX = 64 * 1024 * 1024 };

struct wanted {
    const char *method, *uri; /* uri NULL: method is a request id */
    const char *client, *user, *scope, *body;
    bool json;
};

/* ---- output ------------------------------------------------------------------------- */

static void print_policy(andiron_json policy)
{
    andiron_str id = andiron_json_str(andiron_json_get(policy, "id"));
    andiron_str engine = andiron_json_str(andiron_json_get(policy, "engine"));
    andiron_str applies = andiron_json_str(andiron_json_get(policy, "applies"));
    andiron_str verdict = andiron_json_str(andiron_json_get(policy, "verdict"));
    andiron_str reason = andiron_json_str(andiron_json_get(policy, "reason"));
    bool denies = andiron_json_type(andiron_json_get(policy, "effect")) != ANDIRON_JSON_MISSING;
    double us = andiron_json_double(andiron_json_get(policy, "us"), -1);
    int width = id.len < 24 ? 24 - (int)id.len : 0;

    (void)printf("  %-6.*s  %sAccessPolicy/%.*s%*s  %-12.*s  %-8.*s", (int)applies.len,
                 applies.data != NULL ? applies.data : "", denies ? "deny " : "", (int)id.len,
                 id.data != NULL ? id.data : "", width, "", (int)engine.len,
                 engine.data != NULL ? engine.data : "", (int)verdict.len,
                 verdict.data != NULL ? verdict.data : "");
    if (us >= 0)
        (void)printf("  %8.1f us", us);
    if (reason.len > 0)
        (void)printf("  %.*s", (int)reason.len, reason.data);
    (void)putchar('\n');
}

static void print_member(const char *label, andiron_str text)
{
    if (text.len > 0)
        (void)printf("%s %.*s\n", label, (int)text.len, text.data);
}

static void print_list(const char *label, andiron_json list)
{
    struct andiron_json_iter it = { .of = list };
    if (andiron_json_count(list) == 0)
        return;
    (void)fputs(label, stdout);
    while (andiron_json_next(&it)) {
        andiron_str text = andiron_json_str(it.value);
        (void)printf(" %.*s", (int)text.len, text.data != NULL ? text.data : "");
    }
    (void)putchar('\n');
}

/* Of a trial and of a refusal that was kept: their members are the same where both have them. */
static void print_answer(const struct wanted *w, andiron_json a)
{
    int64_t status = andiron_json_int(andiron_json_path(a, "decision.status"), 0);
    andiron_str operation = andiron_json_str(andiron_json_path(a, "operation.id"));
    andiron_str principal = andiron_json_str(andiron_json_get(a, "principal"));
    andiron_str reason = andiron_json_str(andiron_json_path(a, "decision.reason"));
    struct andiron_json_iter it = { .of = andiron_json_get(a, "policies") };

    if (operation.len == 0)
        operation = andiron_json_str(andiron_json_get(a, "operation"));
    if (reason.len == 0)
        reason = andiron_json_str(andiron_json_get(a, "reason"));
    if (w->uri != NULL)
        (void)printf("%lld", (long long)status);
    else
        (void)fputs("refused", stdout);
    (void)printf("  %.*s  principal %.*s\n", (int)operation.len,
                 operation.data != NULL ? operation.data : "-", (int)principal.len,
                 principal.data != NULL ? principal.data : "-");
    print_list("scopes", andiron_json_get(a, "scopes"));
    andiron_json cover = andiron_json_get(a, "scopes-cover");
    if (andiron_json_type(cover) == ANDIRON_JSON_BOOL)
        (void)printf("scopes cover it: %s\n", andiron_json_true(cover) ? "yes" : "no");
    while (andiron_json_next(&it))
        print_policy(it.value);
    int64_t asked = andiron_json_int(andiron_json_get(a, "policies-asked"), 0);
    int64_t shown = (int64_t)andiron_json_count(andiron_json_get(a, "policies"));
    if (asked > shown)
        (void)printf("  and %lld more that do not match\n", (long long)(asked - shown));
    print_list("would match if linked and active:", andiron_json_get(a, "would-match"));
    print_member("granted by", andiron_json_str(andiron_json_path(a, "decision.policy")));
    print_member("reason:", reason);
    print_member("to change:", andiron_json_str(andiron_json_get(a, "change")));
}

/* ---- asking --------------------------------------------------------------------------- */

static int read_body(struct remote *remote, const char *value, andiron_json *ret)
{
    andiron_str text = andiron_str_of(value);
    struct andiron_error err;
    if (value[0] == '@') {
        struct buffer file;
        int status = remote_read_file(value + 1, BODY_MAX, &file);
        text = buffer_str(&file);
        text.data = andiron_copy(remote->arena, text);
        buffer_free(&file);
        if (status != 0)
            return status;
    }
    if (andiron_json_parse(remote->arena, text, ret, &err) != 0)
        return cli_fail(EXIT_USAGE, "JSON text, or @FILE", "--body: %s", err.message);
    return 0;
}

static int ask(struct remote *remote, const struct wanted *w, struct remote_answer *answer)
{
    andiron_json body = { NULL, 0 };
    if (w->uri == NULL)
        return remote_call(remote, "GET",
                           andiron_printf(remote->arena, "/auth/refusals/%s", w->method), NULL,
                           (andiron_str){ NULL, 0 }, answer);
    if (w->body != NULL) {
        int status = read_body(remote, w->body, &body);
        if (status != 0)
            return status;
    }
    struct andiron_json_writer *out = andiron_json_write(remote->arena, BODY_MAX * 2);
    andiron_json_put_object(out, NULL);
    andiron_json_put_object(out, "request");
    andiron_json_put_str(out, "method", andiron_str_of(w->method));
    andiron_json_put_str(out, "uri", andiron_str_of(w->uri));
    andiron_json_put_str(out, "client-id", andiron_str_of(w->client));
    andiron_json_put_str(out, "user-id", andiron_str_of(w->user));
    andiron_json_put_str(out, "scope", andiron_str_of(w->scope));
    andiron_json_put(out, "body", body);
    andiron_json_put_end(out);
    andiron_json_put_end(out);
    return remote_call(remote, "POST", "/auth/test-policy", "application/json",
                       andiron_json_written(out), answer);
}

static bool is_request_id(const char *text)
{
    return text[0] != '\0' && strlen(text) <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(text);
}

static int explain(struct remote *remote, const struct wanted *w)
{
    struct remote_answer answer = { .status = 0 };
    struct andiron_error err;
    andiron_json doc;
    int status = ask(remote, w, &answer);
    if (status == 0 && answer.status != 200)
        status = remote_refused(
            remote, w->uri != NULL ? "POST /auth/test-policy" : "GET /auth/refusals", &answer);
    andiron_str text = status == 0 ? buffer_str(&answer.body) : ANDIRON_STR("");
    if (status == 0 && andiron_json_parse(remote->arena, text, &doc, &err) != 0)
        status = cli_fail(EXIT_INTERNAL, NULL, "the server's answer is no JSON: %s", err.message);
    if (status == 0 && w->json)
        (void)printf("%.*s\n", (int)text.len, text.data);
    else if (status == 0)
        print_answer(w, doc);
    buffer_free(&answer.body);
    return status;
}

int cmd_explain(int argc, char **argv)
{
    struct wanted w = { .method = NULL };
    const char *url = NULL, *admin = NULL;
    const struct cli_option options[] = {
        { .name = "url", .value = &url },         { .name = "admin", .value = &admin },
        { .name = "client", .value = &w.client }, { .name = "user", .value = &w.user },
        { .name = "scope", .value = &w.scope },   { .name = "body", .value = &w.body },
        { .name = "json", .is_given = &w.json },  { .name = NULL }
    };
    struct remote remote;
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (argc - optind < 1 || argc - optind > 2)
        return cli_fail(EXIT_USAGE, "andiron explain --help",
                        "METHOD and URL, or a REQUEST-ID, are required, and nothing else");
    w.method = argv[optind];
    w.uri = argc - optind == 2 ? argv[optind + 1] : NULL;
    if (w.uri == NULL && !is_request_id(w.method))
        return cli_fail(EXIT_USAGE, "andiron explain --help", "'%.64s' is no request id", w.method);
    status = remote_open(&remote, url, admin);
    if (status == 0)
        status = explain(&remote, &w);
    remote_close(&remote);
    return status;
}
