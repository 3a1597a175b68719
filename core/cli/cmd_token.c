/*
 * andiron token: an access token by a signed assertion (SMART Backend Services).
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/assertion.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/remote.h"

static const char usage[] = "usage: andiron token --client ID --key PEM [--scope S]... [options]\n"
                            "\n"
                            "Signs an assertion with the client's private key, exchanges it for an "
                            "access token and prints\n"
                            "the token.\n"
                            "\n"
                            "  --url URL     base URL (ANDIRON_URL, or http://127.0.0.1:8080)\n"
                            "  --client ID   the Client\n"
                            "  --key PEM     file of its private key\n"
                            "  --kid KID     the key's id (its RFC 7638 thumbprint)\n"
                            "  --scope S     may be given several times, or hold several scopes\n"
                            "  --json        prints the whole answer\n";

struct wanted {
    const char *client, *key_path, *kid;
    struct buffer scope;
    bool json;
};

/* The server's own word for its token endpoint: what aud must name (RFC 7523 section 3). */
static const char *token_endpoint(struct remote *remote)
{
    struct remote_answer answer;
    andiron_json doc;
    struct andiron_error err;
    andiron_str endpoint = { NULL, 0 };

    if (remote_call(remote, "GET", "/.well-known/smart-configuration", NULL,
                    (andiron_str){ NULL, 0 }, &answer) != 0) {
        buffer_free(&answer.body);
        return NULL;
    }
    andiron_str text = buffer_str(&answer.body);
    text.data = andiron_copy(remote->arena, text);
    buffer_free(&answer.body);
    if (andiron_json_parse(remote->arena, text, &doc, &err) == 0)
        endpoint = andiron_json_str(andiron_json_get(doc, "token_endpoint"));
    if (endpoint.len > 0)
        return andiron_copy(remote->arena, endpoint);
    return andiron_printf(remote->arena, "%s/auth/token", remote->url);
}

static int make_assertion(struct remote *remote, const struct wanted *w, andiron_str *ret)
{
    const char *endpoint = token_endpoint(remote);
    if (endpoint == NULL)
        return EXIT_UNREACHABLE;
    const struct assertion_of of = { .client = w->client,
                                     .audience = endpoint,
                                     .key_path = w->key_path,
                                     .kid = w->kid,
                                     .ttl_s = 240 };
    return assertion_sign(remote->arena, &of, ret);
}

static int exchange(struct remote *remote, const struct wanted *w)
{
    andiron_str assertion;
    struct remote_answer answer;
    andiron_json doc;
    struct andiron_error err;
    int status = make_assertion(remote, w, &assertion);
    if (status != 0)
        return status;

    struct andiron_json_writer *out = andiron_json_write(remote->arena, 1024 * 1024);
    andiron_json_put_object(out, NULL);
    andiron_json_put_str(out, "grant_type", ANDIRON_STR("client_credentials"));
    andiron_json_put_str(out, "client_assertion_type",
                         ANDIRON_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    andiron_json_put_str(out, "client_assertion", assertion);
    if (w->scope.len > 0)
        andiron_json_put_str(out, "scope", buffer_str(&w->scope));
    andiron_json_put_end(out);
    status = remote_call(remote, "POST", "/auth/token", "application/json",
                         andiron_json_written(out), &answer);
    if (status == 0 && answer.status != 200)
        status = remote_refused(remote, "POST /auth/token", &answer);
    if (status == 0 && andiron_json_parse(remote->arena, buffer_str(&answer.body), &doc, &err) != 0)
        status = cli_fail(EXIT_INTERNAL, NULL, "the server's answer is no JSON: %s", err.message);
    if (status == 0) {
        andiron_str token = w->json ? buffer_str(&answer.body)
                                    : andiron_json_str(andiron_json_get(doc, "access_token"));
        printf("%.*s\n", (int)token.len, token.data);
    }
    buffer_free(&answer.body);
    return status;
}

static int take_scope(void *arg, const char *value)
{
    struct buffer *scope = arg;
    (void)buffer_printf(scope, "%s%s", scope->len > 0 ? " " : "", value);
    return 0;
}

int cmd_token(int argc, char **argv)
{
    struct wanted w = { .client = NULL };
    const char *url = NULL;
    const struct cli_option options[] = { { .name = "url", .value = &url },
                                          { .name = "client", .value = &w.client },
                                          { .name = "key", .value = &w.key_path },
                                          { .name = "kid", .value = &w.kid },
                                          { .name = "scope", .take = take_scope, .arg = &w.scope },
                                          { .name = "json", .is_given = &w.json },
                                          { .name = NULL } };
    struct remote remote;

    buffer_init(&w.scope, 64 * 1024);
    int status = cli_read_options(argc, argv, options, usage);
    if (status == CLI_GO_ON && (w.client == NULL || w.key_path == NULL || optind < argc))
        status = cli_fail(EXIT_USAGE, "andiron token --help",
                          "--client and --key are required, and nothing else");
    if (status == CLI_GO_ON) {
        status = remote_open(&remote, url, NULL);
        remote.admin = NULL; /* the assertion is the credential */
        if (status == 0)
            status = exchange(&remote, &w);
        remote_close(&remote);
    }
    buffer_free(&w.scope);
    return status;
}
