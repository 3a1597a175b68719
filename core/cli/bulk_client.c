#include "cli/bulk_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/assertion.h"
#include "cli/cli.h"

enum { CALL_TIMEOUT_S = 120, ANSWER_MAX = 64 << 20, TOKEN_MAX = 64 << 10, REDIRECTS_MAX = 5 };

/* ---- origins --------------------------------------------------------------------------- */

static CURLU *parse(const char *url)
{
    CURLU *u = curl_url();

    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK) {
        curl_url_cleanup(u);
        return NULL;
    }
    return u;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *x = NULL, *y = NULL;
    bool is_same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                   curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                   curl_strequal(x, y) != 0;

    curl_free(x);
    curl_free(y);
    return is_same;
}

static bool same_origin(const char *one, const char *other)
{
    CURLU *a = parse(one), *b = parse(other);
    bool is_same = a != NULL && b != NULL && same_part(a, b, CURLUPART_SCHEME) &&
                   same_part(a, b, CURLUPART_HOST) && same_part(a, b, CURLUPART_PORT);

    curl_url_cleanup(a);
    curl_url_cleanup(b);
    return is_same;
}

bool bulk_client_trusts(const struct bulk_client *c, const char *url)
{
    if (same_origin(c->fhir, url))
        return true;
    for (size_t i = 0; c->origins != NULL && c->origins[i] != NULL; i++)
        if (same_origin(c->origins[i], url))
            return true;
    return false;
}

const char *bulk_client_resolve(struct andiron_arena *arena, const char *base, const char *url)
{
    CURLU *u = parse(base);
    char *text = NULL;
    const char *resolved = NULL;

    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK &&
        (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0))
        resolved = andiron_copy(arena, andiron_str_of(text));
    curl_free(text);
    curl_url_cleanup(u);
    return resolved;
}

/* ---- requests ------------------------------------------------------------------------------ */

void bulk_client_prepare(const struct bulk_client *c, CURL *curl, const char *url, bool is_secret,
                         struct remote_answer *answer)
{
    struct remote bare = *c->remote;
    bool is_safe = strncmp(c->fhir, "https:", 6) == 0;

    is_secret = is_secret && bulk_client_trusts(c, url);
    if (!is_secret || c->login.client != NULL)
        bare.admin = NULL;
    remote_prepare(&bare, curl, answer);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CALL_TIMEOUT_S);
    /* libcurl drops credentials where a redirect leads to another scheme, host or port. */
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, is_safe ? "https" : "http,https");
    if (is_secret && c->login.client != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, c->token.data);
    }
}

CURLcode bulk_client_call(struct bulk_client *c, const char *method, const char *url,
                          struct curl_slist *headers, struct remote_answer *answer)
{
    CURL *curl = c->remote->curl;

    buffer_free(&answer->body);
    buffer_init(&answer->body, ANSWER_MAX);
    answer->status = 0;
    bulk_client_prepare(c, curl, url, true, answer);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    return code;
}

const char *bulk_client_header(CURL *curl, const char *name)
{
    struct curl_header *header;

    if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

int64_t bulk_client_retry_after(CURL *curl, int64_t fallback)
{
    curl_off_t seconds = 0;

    if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
        return seconds;
    return fallback;
}

/* ---- tokens ------------------------------------------------------------------------------------ */

/* The token endpoint, which is what aud must name (RFC 7523 section 3). */
static int find_endpoint(struct bulk_client *c)
{
    struct remote_answer answer = { .status = 0 };
    struct andiron_arena *arena = c->remote->arena;
    char *url = andiron_printf(arena, "%s/.well-known/smart-configuration", c->fhir);
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    andiron_str endpoint = { NULL, 0 };
    andiron_json doc;
    struct andiron_error err;

    buffer_init(&answer.body, ANSWER_MAX);
    bulk_client_prepare(c, c->remote->curl, url, false, &answer);
    curl_easy_setopt(c->remote->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(c->remote->curl);
    curl_slist_free_all(headers);
    if (code == CURLE_OK && answer.body.len > 0 &&
        andiron_json_parse(arena, buffer_str(&answer.body), &doc, &err) == 0)
        endpoint = andiron_json_str(andiron_json_get(doc, "token_endpoint"));
    if (endpoint.len > 0)
        c->login.token_url = bulk_client_resolve(arena, url, andiron_copy(arena, endpoint));
    buffer_free(&answer.body);
    if (code != CURLE_OK)
        return cli_fail(EXIT_UNREACHABLE, NULL, "no answer from %s: %s", url,
                        curl_easy_strerror(code));
    if (c->login.token_url == NULL)
        return cli_fail(EXIT_BAD_DATA, "name it by --token-url", "%s names no token endpoint", url);
    return 0;
}

static void add_field(struct bulk_client *c, struct buffer *form, const char *name,
                      andiron_str value)
{
    char *text = curl_easy_escape(c->remote->curl, value.data, (int)value.len);

    (void)buffer_printf(form, "%s%s=%s", form->len > 0 ? "&" : "", name, text != NULL ? text : "");
    curl_free(text);
}

static int make_form(struct bulk_client *c, struct buffer *form)
{
    const struct assertion_of of = { .client = c->login.client,
                                     .audience = c->login.token_url,
                                     .key_path = c->login.key_path,
                                     .kid = c->login.kid,
                                     .ttl_s = 240 };
    andiron_str assertion;
    int status = assertion_sign(c->remote->arena, &of, &assertion);

    if (status != 0)
        return status;
    add_field(c, form, "grant_type", ANDIRON_STR("client_credentials"));
    add_field(c, form, "scope", andiron_str_of(c->login.scope));
    add_field(c, form, "client_assertion_type",
              ANDIRON_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    add_field(c, form, "client_assertion", assertion);
    return form->overflowed ? cli_fail(EXIT_USAGE, NULL, "the scopes are too long") : 0;
}

/* What the endpoint answered becomes the token. */
static int take_token(struct bulk_client *c, const struct remote_answer *answer)
{
    andiron_json doc;
    struct andiron_error err;
    struct andiron_arena *arena = andiron_arena_new(0);
    int status = 0;

    andiron_arena_wipe(arena);
    c->token.len = 0;
    if (andiron_json_parse(arena, buffer_str(&answer->body), &doc, &err) == 0) {
        andiron_str token = andiron_json_str(andiron_json_get(doc, "access_token"));
        int64_t life = andiron_json_int(andiron_json_get(doc, "expires_in"), 300);
        /* Renewed before it ends: in the middle of a short life, else half a minute before. */
        int64_t early = life < 60 ? life / 2 : 30;
        c->token_ends =
            units_monotonic() + (life > 0 && life < 86400 ? life - early : 300) * 1000000;
        if (token.len > 0 && buffer_add(&c->token, token.data, token.len) == 0)
            (void)buffer_add(&c->token, "", 1);
    }
    if (c->token.len == 0)
        status = cli_fail(EXIT_BAD_DATA, "is that the token endpoint of the server?",
                          "%s answered without an access token", c->login.token_url);
    andiron_arena_free(arena);
    return status;
}

static int ask_token(struct bulk_client *c, const struct buffer *form)
{
    struct remote_answer answer = { .status = 0 };
    CURL *curl = c->remote->curl;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    int status;

    buffer_init(&answer.body, TOKEN_MAX);
    bulk_client_prepare(c, curl, c->login.token_url, false, &answer);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L); /* the assertion is for this endpoint */
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form->data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)form->len);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    if (code != CURLE_OK)
        status = cli_fail(EXIT_UNREACHABLE, NULL, "no answer from %s: %s", c->login.token_url,
                          curl_easy_strerror(code));
    else if (answer.status == 400 || answer.status == 401 || answer.status == 403)
        status =
            cli_fail(EXIT_REFUSED,
                     "is the public key registered, under this --kid, and the --scope allowed?",
                     "the client was refused (%ld) by %s", answer.status, c->login.token_url);
    else if (answer.status != 200)
        status = remote_refused(c->remote, c->login.token_url, &answer);
    else
        status = take_token(c, &answer);
    if (answer.body.data != NULL)
        explicit_bzero(answer.body.data, answer.body.cap);
    buffer_free(&answer.body);
    return status;
}

int bulk_client_token(struct bulk_client *c, bool anew)
{
    struct buffer form;
    int status;

    if (c->login.client == NULL || (!anew && c->token.len > 0 && units_monotonic() < c->token_ends))
        return 0;
    if (c->login.token_url == NULL && (status = find_endpoint(c)) != 0)
        return status;
    if (c->token.max == 0)
        buffer_init(&c->token, TOKEN_MAX);
    buffer_init(&form, TOKEN_MAX);
    status = make_form(c, &form);
    if (status == 0)
        status = ask_token(c, &form);
    buffer_free(&form);
    return status;
}

void bulk_client_close(struct bulk_client *c)
{
    if (c->token.data != NULL)
        explicit_bzero(c->token.data, c->token.cap);
    buffer_free(&c->token);
}
