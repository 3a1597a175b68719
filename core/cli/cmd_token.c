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

int cmd_token(int argc, char **argv)
{
    static const struct option options[] = {
        { "url", required_argument, NULL, 'u' },   { "client", required_argument, NULL, 'c' },
        { "key", required_argument, NULL, 'k' },   { "kid", required_argument, NULL, 'i' },
        { "scope", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },        { NULL, 0, NULL, 0 }
    };
    struct wanted w = { .client = NULL };
    const char *url = NULL;
    struct remote remote;
    int c, status = 0;

    buffer_init(&w.scope, 64 * 1024);
    while (status == 0 && (c = cli_getopt(argc, argv, options)) != -1) {
        switch (c) {
        case 'u':
            url = optarg;
            break;
        case 'c':
            w.client = optarg;
            break;
        case 'k':
            w.key_path = optarg;
            break;
        case 'i':
            w.kid = optarg;
            break;
        case 's':
            (void)buffer_printf(&w.scope, "%s%s", w.scope.len > 0 ? " " : "", optarg);
            break;
        case 'j':
            w.json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            buffer_free(&w.scope);
            return EXIT_DONE;
        default:
            status = EXIT_USAGE;
        }
    }
    if (status == 0 && (w.client == NULL || w.key_path == NULL || optind < argc))
        status = cli_fail(EXIT_USAGE, "andiron token --help",
                          "--client and --key are required, and nothing else");
    if (status == 0) {
        status = remote_open(&remote, url, NULL);
        remote.admin = NULL; /* the assertion is the credential */
        if (status == 0)
            status = exchange(&remote, &w);
        remote_close(&remote);
    }
    buffer_free(&w.scope);
    return status;
}
