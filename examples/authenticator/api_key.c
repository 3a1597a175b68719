/*
 * Authenticator "api-key": the header X-API-Key names a Client.
 *
 * An authenticator is a hook in AUTHENTICATE. No key: the request stays as it is, for others to
 * look at. A wrong key fails it. A right one makes its Client the principal; what that may do is
 * said by AccessPolicies, as for any other Client.
 */
#include <andiron/auth.h>
#include <andiron/plugin.h>
#include <andiron/store.h>

enum { KEY_MIN = 32 }; /* characters: a key is a secret that nobody has to remember */

struct config {
    const char *keys;
};

struct key {
    andiron_str text, client;
};

struct api_key {
    struct key *keys;
    size_t count;
    const struct andiron_store *store;
    void *store_self;
};

struct asking {
    struct andiron_ref ref;
    struct andiron_rows rows;
};

static const struct andiron_directive directives[] = {
    { .name = "keys",
      .type = ANDIRON_SECRET,
      .offset = offsetof(struct config, keys),
      .help = "pairs of Client id and key, \"lab:0123...\", separated by blanks or lines; @FILE" },
    { .name = NULL }
};

/* Equal, in a time that depends on the lengths alone. */
static bool is_same(andiron_str a, andiron_str b)
{
    unsigned char differs = a.len != b.len;
    for (size_t i = 0; i < a.len; i++)
        differs |= (unsigned char)(a.data[i] ^ b.data[b.len > 0 ? i % b.len : 0]);
    return differs == 0;
}

static enum andiron_step client_read(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_principal *who = andiron_new(arena, struct andiron_principal);
    struct andiron_error err;

    if (a->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &a->rows.error);
    const struct andiron_row *row = &a->rows.rows[0];
    *who = (struct andiron_principal){ .size = sizeof(*who),
                                       .kind = ANDIRON_CLIENT,
                                       .id = andiron_copy(arena, a->ref.id) };
    if (row->ref.id.len == 0 || row->deleted)
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "the API key is not accepted");
    if (andiron_json_parse(arena, row->body, &who->client, &err) != 0)
        return andiron_fail_with(req, &err);
    andiron_json active = andiron_json_get(who->client, "active");
    if (andiron_json_type(active) != ANDIRON_JSON_MISSING && !andiron_json_true(active))
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "the API key is not accepted");
    andiron_request_set_principal(req, who);
    return ANDIRON_NEXT;
}

/* Every key is compared, so that time does not tell how near a guess was. */
static enum andiron_step authenticate(struct andiron_request *req, void *self)
{
    const struct api_key *plugin = self;
    andiron_str given = andiron_request_header(req, "x-api-key");
    const struct key *found = NULL;

    if (given.data == NULL)
        return ANDIRON_NEXT;
    for (size_t i = 0; i < plugin->count; i++)
        if (is_same(given, plugin->keys[i].text))
            found = &plugin->keys[i];
    if (found == NULL || andiron_request_principal(req)->kind != ANDIRON_ANONYMOUS)
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "the API key is not accepted");
    struct asking *a = andiron_new(andiron_request_arena(req), struct asking);
    a->ref = (struct andiron_ref){ .type = ANDIRON_STR("Client"), .id = found->client };
    return plugin->store->read(plugin->store_self, req, &a->ref, 1, &a->rows, client_read, a);
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    static const char blanks[] = " \t\r\n";
    struct andiron_arena *arena = andiron_host_arena(host);
    struct api_key *plugin = andiron_new(arena, struct api_key);
    const char *at = ((const struct config *)config)->keys;

    plugin->keys = andiron_alloc(arena, (strlen(at) / 2 + 1) * sizeof(struct key));
    for (at += strspn(at, blanks); *at != '\0'; at += strspn(at, blanks)) {
        size_t len = strcspn(at, blanks), id = strcspn(at, ":");
        if (id == 0 || id >= len || len - id - 1 < KEY_MIN)
            return andiron_error_set(err, ANDIRON_E_INVALID, "keys",
                                     "pair %zu must be CLIENT:KEY with a key of at least %d "
                                     "characters",
                                     plugin->count + 1, KEY_MIN);
        plugin->keys[plugin->count++] =
            (struct key){ .text = { at + id + 1, len - id - 1 }, .client = { at, id } };
        at += len;
    }
    *ret_self = plugin;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct api_key *plugin = self;
    struct andiron_service_ref ref;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &ref, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "there is no store");
    plugin->store = ref.table;
    plugin->store_self = ref.self;
    return 0;
}

static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_AUTHENTICATE, authenticate }, { 0 } };

ANDIRON_PLUGIN(.name = "api-key", .version = "1.0.0",
               .summary = "Authentication by the header X-API-Key", .directives = directives,
               .config_size = sizeof(struct config),
               .needs = (const char *const[]){ ANDIRON_STORE, NULL }, .hooks = hooks, .init = init,
               .start = start);
