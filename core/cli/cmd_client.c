/*
 * andiron client create|list|show|delete: Client resources of a running server.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/new_key.h"
#include "cli/remote.h"

static const char usage[] =
    "usage: andiron client create ID [--scope S]... [--jwks FILE|--jwks-uri URL|--new-key PEM]\n"
    "                                [--link-policy allow]\n"
    "       andiron client list | show ID | delete ID\n"
    "\n"
    "create registers a backend client (SMART Backend Services) and, with --link-policy, the "
    "access\n"
    "policy that lets it in; delete removes both. Needs the rights of an administrator.\n"
    "\n"
    "  --url URL          base URL (ANDIRON_URL, or http://127.0.0.1:8080)\n"
    "  --admin FILE       holds id:secret (else ANDIRON_ADMIN in the environment)\n"
    "  --scope S          what it may be granted (system/*.read); may be given several times\n"
    "  --jwks FILE        its public keys, a JWK set\n"
    "  --jwks-uri URL     where its public keys are\n"
    "  --new-key PEM      makes a key (P-384) and writes it to this file, which must not be there\n"
    "  --link-policy E    engine of a policy linked to it: allow\n"
    "  --json             prints the resources\n";

enum { SCOPES_MAX = 256, JWKS_MAX = 256 * 1024 };

struct wanted {
    const char *id, *jwks_path, *jwks_uri, *key_path, *engine;
    const char *scopes[SCOPES_MAX];
    size_t scope_count;
    bool json;
};

/* Ids are put into a path: only what an id may hold (CL-4). */
static bool is_id(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len <= 64 &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.") == len;
}

static int client_body(struct remote *remote, const struct wanted *w, andiron_str *ret)
{
    struct andiron_json_writer *out = andiron_json_write(remote->arena, 1024 * 1024);
    andiron_json keys = { NULL, 0 };
    struct andiron_error err;
    struct buffer text;

    if (w->jwks_path != NULL) {
        int status = remote_read_file(w->jwks_path, JWKS_MAX, &text);
        andiron_str copy = buffer_str(&text);
        copy.data = andiron_copy(remote->arena, copy);
        buffer_free(&text);
        if (status != 0)
            return status;
        if (andiron_json_parse(remote->arena, copy, &keys, &err) != 0)
            return cli_fail(EXIT_BAD_DATA, "a JWK set is {\"keys\":[...]}", "%s: %s: %s",
                            w->jwks_path, err.where, err.message);
    }
    if (w->key_path != NULL) {
        int status = new_key_write(remote->arena, w->key_path, &keys);
        if (status != 0)
            return status;
    }
    andiron_json_put_object(out, NULL);
    andiron_json_put_str(out, "resourceType", ANDIRON_STR("Client"));
    andiron_json_put_str(out, "id", andiron_str_of(w->id));
    andiron_json_put_str(out, "type", ANDIRON_STR("bulk-api-client"));
    andiron_json_put_bool(out, "active", true);
    andiron_json_put_array(out, "grant_types");
    andiron_json_put_str(out, NULL, ANDIRON_STR("client_credentials"));
    andiron_json_put_end(out);
    andiron_json_put_object(out, "auth");
    andiron_json_put_object(out, "client_credentials");
    andiron_json_put_array(out, "client_assertion_types");
    andiron_json_put_str(out, NULL,
                         ANDIRON_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    andiron_json_put_end(out);
    andiron_json_put_int(out, "access_token_expiration", 300);
    andiron_json_put_str(out, "token_format", ANDIRON_STR("jwt"));
    andiron_json_put_end(out);
    andiron_json_put_end(out);
    andiron_json_put_array(out, "scope");
    for (size_t i = 0; i < w->scope_count; i++)
        andiron_json_put_str(out, NULL, andiron_str_of(w->scopes[i]));
    andiron_json_put_end(out);
    if (w->jwks_uri != NULL)
        andiron_json_put_str(out, "jwks_uri", andiron_str_of(w->jwks_uri));
    andiron_json_put(out, "jwks", keys);
    andiron_json_put_end(out);
    *ret = andiron_json_written(out);
    return 0;
}

/* One request whose success prints a line, or with --json the resource. */
static int call_and_show(struct remote *remote, const char *method, const char *path,
                         andiron_str body, const struct wanted *w, const char *done)
{
    struct remote_answer answer;
    int status = remote_call(remote, method, path, "application/json", body, &answer);
    if (status == 0 && (answer.status < 200 || answer.status > 299))
        status =
            remote_refused(remote, andiron_printf(remote->arena, "%s %s", method, path), &answer);
    else if (status == 0 && (w->json || done == NULL))
        printf("%.*s\n", (int)answer.body.len, answer.body.data != NULL ? answer.body.data : "");
    else if (status == 0)
        printf("%s%s\n", path + 1, done);
    buffer_free(&answer.body);
    return status;
}

static int create(struct remote *remote, struct wanted *w)
{
    andiron_str body;
    if (w->scope_count == 0)
        w->scopes[w->scope_count++] = "system/*.read";
    int status = client_body(remote, w, &body);
    if (status != 0)
        return status;
    status = call_and_show(remote, "PUT", andiron_printf(remote->arena, "/Client/%s", w->id), body,
                           w, " registered");
    if (status != 0 && w->key_path != NULL)
        (void)unlink(w->key_path); /* nobody knows its public half */
    if (status != 0 || w->engine == NULL)
        return status;
    body = andiron_str_of(andiron_printf(
        remote->arena, "{\"engine\":\"%s\",\"link\":[{\"resourceType\":\"Client\",\"id\":\"%s\"}]}",
        w->engine, w->id));
    return call_and_show(remote, "PUT", andiron_printf(remote->arena, "/AccessPolicy/%s", w->id),
                         body, w, " lets it in");
}

/* All pages of GET /Client, an id and its grants a line. */
static int list(struct remote *remote, const struct wanted *w)
{
    const char *path = "/Client?_count=100";
    while (path != NULL) {
        struct remote_answer answer;
        andiron_json doc;
        struct andiron_error err;
        int status = remote_call(remote, "GET", path, NULL, (andiron_str){ NULL, 0 }, &answer);
        andiron_str text = buffer_str(&answer.body);
        text.data = andiron_copy(remote->arena, text);
        if (status == 0 && answer.status != 200)
            status = remote_refused(remote, "GET /Client", &answer);
        buffer_free(&answer.body);
        if (status != 0)
            return status;
        if (andiron_json_parse(remote->arena, text, &doc, &err) != 0)
            return cli_fail(EXIT_INTERNAL, NULL, "the server's answer is no JSON: %s", err.message);
        path = NULL;
        struct andiron_json_iter it = { .of = andiron_json_get(doc, "entry") };
        while (andiron_json_next(&it)) {
            andiron_json client = andiron_json_get(it.value, "resource");
            andiron_str id = andiron_json_str(andiron_json_get(client, "id"));
            andiron_str raw = andiron_json_raw(client),
                        grants = andiron_json_raw(andiron_json_get(client, "grant_types"));
            if (w->json)
                printf("%.*s\n", (int)raw.len, raw.data);
            else
                printf("%-40.*s %.*s\n", (int)id.len, id.data, (int)grants.len,
                       grants.len > 0 ? grants.data : "");
        }
        it = (struct andiron_json_iter){ .of = andiron_json_get(doc, "link") };
        while (andiron_json_next(&it)) {
            andiron_str url = andiron_json_str(andiron_json_get(it.value, "url"));
            size_t base = strlen(remote->url);
            if (andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "relation")),
                               ANDIRON_STR("next")) &&
                url.len > base && memcmp(url.data, remote->url, base) == 0)
                path =
                    andiron_copy(remote->arena, (andiron_str){ url.data + base, url.len - base });
        }
    }
    return 0;
}

/* Whether a policy's text is what --link-policy made: linked to this client and to nothing else. */
static bool is_own_policy(struct remote *remote, andiron_str text, const char *id)
{
    andiron_json policy;
    struct andiron_error err;

    text.data = andiron_copy(remote->arena, text);
    if (andiron_json_parse(remote->arena, text, &policy, &err) != 0)
        return false;
    andiron_json links = andiron_json_get(policy, "link"), link = andiron_json_at(links, 0);
    return andiron_json_count(links) == 1 &&
           andiron_str_eq(andiron_json_str(andiron_json_get(link, "resourceType")),
                          ANDIRON_STR("Client")) &&
           andiron_str_eq(andiron_json_str(andiron_json_get(link, "id")), andiron_str_of(id));
}

/*
 * The client, then the policy that let nobody else in: left behind, it would let in whoever
 * registers that id next.
 */
static int delete_client(struct remote *remote, const struct wanted *w)
{
    const char *client = andiron_printf(remote->arena, "/Client/%s", w->id);
    const char *policy = andiron_printf(remote->arena, "/AccessPolicy/%s", w->id);
    andiron_str none = { NULL, 0 };
    struct remote_answer answer;
    int status = call_and_show(remote, "DELETE", client, none, w, " deleted");

    if (status != 0)
        return status;
    status = remote_call(remote, "GET", policy, NULL, none, &answer);
    bool own = status == 0 && answer.status == 200 &&
               is_own_policy(remote, buffer_str(&answer.body), w->id);
    if (status == 0 && answer.status != 200 && answer.status != 404 && answer.status != 410)
        status = remote_refused(remote, andiron_printf(remote->arena, "GET %s", policy), &answer);
    buffer_free(&answer.body);
    return own ? call_and_show(remote, "DELETE", policy, none, w, " deleted") : status;
}

static int run(struct remote *remote, const char *verb, struct wanted *w)
{
    const char *path = w->id != NULL ? andiron_printf(remote->arena, "/Client/%s", w->id) : NULL;
    andiron_str none = { NULL, 0 };
    if (strcmp(verb, "list") == 0 && w->id == NULL)
        return list(remote, w);
    if (path != NULL && strcmp(verb, "create") == 0)
        return create(remote, w);
    if (path != NULL && strcmp(verb, "show") == 0)
        return call_and_show(remote, "GET", path, none, w, NULL);
    if (path != NULL && strcmp(verb, "delete") == 0)
        return delete_client(remote, w);
    return cli_fail(EXIT_USAGE, "andiron client --help",
                    "what to do is create ID, list, show ID or delete ID");
}

static int take_scope(void *arg, const char *value)
{
    struct wanted *w = arg;
    if (w->scope_count == SCOPES_MAX)
        return cli_fail(EXIT_USAGE, NULL, "more than %d scopes", SCOPES_MAX);
    w->scopes[w->scope_count++] = value;
    return 0;
}

static int take_engine(void *arg, const char *value)
{
    struct wanted *w = arg;
    w->engine = value;
    if (strcmp(value, "allow") != 0)
        return cli_fail(EXIT_USAGE,
                        "other engines need a policy of their own: PUT /AccessPolicy/ID",
                        "--link-policy knows allow, not '%s'", value);
    return 0;
}

int cmd_client(int argc, char **argv)
{
    struct wanted w = { .id = NULL };
    const char *url = NULL, *admin = NULL;
    const struct cli_option options[] = { { .name = "url", .value = &url },
                                          { .name = "admin", .value = &admin },
                                          { .name = "scope", .take = take_scope, .arg = &w },
                                          { .name = "jwks", .value = &w.jwks_path },
                                          { .name = "jwks-uri", .value = &w.jwks_uri },
                                          { .name = "new-key", .value = &w.key_path },
                                          { .name = "link-policy", .take = take_engine, .arg = &w },
                                          { .name = "json", .is_given = &w.json },
                                          { .name = NULL } };
    struct remote remote;
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind == argc || argc - optind > 2)
        return cli_fail(EXIT_USAGE, "andiron client --help",
                        "what to do is create ID, list, show ID or delete ID");
    if ((w.jwks_path != NULL) + (w.jwks_uri != NULL) + (w.key_path != NULL) > 1)
        return cli_fail(EXIT_USAGE, "andiron client --help",
                        "--jwks, --jwks-uri and --new-key exclude each other");
    w.id = argc - optind == 2 ? argv[optind + 1] : NULL;
    if (w.id != NULL && !is_id(w.id))
        return cli_fail(EXIT_USAGE, NULL,
                        "an id has 1 to 64 letters, digits, '-' and '.', not '%s'", w.id);
    status = remote_open(&remote, url, admin);
    if (status == 0)
        status = run(&remote, argv[optind], &w);
    remote_close(&remote);
    return status;
}
