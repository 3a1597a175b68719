/*
 * Checking and compiling one AccessPolicy.
 */
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/policy/features.h"
#include "common/policy/members.h"
#include "hash.h"

enum { LINKS_MAX = 1000, TESTS_MAX = 64, LITERALS_MAX = 64 };

static int check_members(andiron_json resource, const char *engine, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = resource };
    while (andiron_json_next(&it)) {
        char where[sizeof(err->where)];
        const char *owner;
        if (policy_member_is_common(it.name) || policy_member_fits(engine, it.name, &owner))
            continue;
        (void)snprintf(where, sizeof(where), "AccessPolicy.%.*s",
                       (int)(it.name.len < 64 ? it.name.len : 64), it.name.data);
        if (owner != NULL)
            return andiron_error_set(err, ANDIRON_E_ELEMENT, where,
                                     "belongs to the engine \"%s\", but engine is \"%s\"", owner,
                                     engine);
        return andiron_error_set(err, ANDIRON_E_ELEMENT, where,
                                 "unknown element; a policy of engine \"%s\" has none of that name",
                                 engine);
    }
    return 0;
}

/* A string that must be one of choices (NULL-terminated); absent: the first. Its index, or -1 and err. */
static int choice(andiron_json resource, const char *name, const char *const *choices,
                  struct andiron_error *err)
{
    andiron_json value = andiron_json_get(resource, name);
    char where[64];
    if (andiron_json_type(value) == ANDIRON_JSON_MISSING)
        return 0;
    andiron_str text = andiron_json_str(value);
    for (int i = 0; choices[i] != NULL; i++)
        if (text.data != NULL && andiron_str_eq(text, andiron_str_of(choices[i])))
            return i;
    (void)snprintf(where, sizeof(where), "AccessPolicy.%s", name);
    return andiron_error_set(err, ANDIRON_E_VALUE, where, "is one of \"%s\", \"%s\"%s%s%s",
                             choices[0], choices[1], choices[2] != NULL ? ", \"" : "",
                             choices[2] != NULL ? choices[2] : "", choices[2] != NULL ? "\"" : "");
}

static int link_kind_of(andiron_str type)
{
    static const char *const names[] = {
        [LINK_CLIENT] = "Client", [LINK_USER] = "User", [LINK_OPERATION] = "Operation"
    };
    for (int i = 0; i <= LINK_OPERATION; i++)
        if (andiron_str_eq(type, andiron_str_of(names[i])))
            return i;
    return -1;
}

/* Both forms of a reference (B-3): {"resourceType":"Client","id":"x"} and {"reference":"Client/x"}. */
static int read_link(andiron_json value, struct link *ret)
{
    andiron_str type = andiron_json_str(andiron_json_get(value, "resourceType"));
    andiron_str id = andiron_json_str(andiron_json_get(value, "id"));
    andiron_str reference = andiron_json_str(andiron_json_get(value, "reference"));
    const char *slash = reference.len > 0 ? memchr(reference.data, '/', reference.len) : NULL;
    if (slash != NULL) {
        type = (andiron_str){ reference.data, (size_t)(slash - reference.data) };
        id = (andiron_str){ slash + 1, reference.len - type.len - 1 };
    }
    int kind = link_kind_of(type);
    if (kind < 0 || id.len == 0)
        return -1;
    *ret = (struct link){ .kind = (unsigned)kind, .id = id };
    return 0;
}

static int read_links(struct andiron_arena *arena, andiron_json resource, struct policy *policy,
                      struct andiron_error *err)
{
    andiron_json value = andiron_json_get(resource, "link");
    andiron_json role = andiron_json_get(resource, "roleName");
    size_t count = andiron_json_count(value);

    if (andiron_json_type(value) != ANDIRON_JSON_MISSING &&
        (andiron_json_type(value) != ANDIRON_JSON_ARRAY || count == 0))
        return andiron_error_set(
            err, ANDIRON_E_ELEMENT, "AccessPolicy.link",
            "is a non-empty array of references; leave it out for a policy of everybody");
    if (count > LINKS_MAX)
        return andiron_error_set(err, ANDIRON_E_VALUE, "AccessPolicy.link",
                                 "has more than %d entries", LINKS_MAX);
    struct link *links = andiron_alloc(arena, (count + 1) * sizeof(*links));
    struct andiron_json_iter it = { .of = value };
    while (andiron_json_next(&it)) {
        char where[64];
        (void)snprintf(where, sizeof(where), "AccessPolicy.link[%zu]", policy->link_count);
        if (read_link(it.value, &links[policy->link_count]) != 0)
            return andiron_error_set(err, ANDIRON_E_VALUE, where,
                                     "must refer to a Client, User or Operation, as "
                                     "{\"resourceType\":\"Client\",\"id\":\"...\"}");
        policy->link_count++;
    }
    if (andiron_json_type(role) != ANDIRON_JSON_MISSING) {
        andiron_str name = andiron_json_str(role);
        if (name.len == 0)
            return andiron_error_set(err, ANDIRON_E_ELEMENT, "AccessPolicy.roleName",
                                     "is the name of a Role, a non-empty string");
        links[policy->link_count++] = (struct link){ .kind = LINK_ROLE, .id = name };
    }
    policy->links = links;
    return 0;
}

static const struct engine *find_engine(const struct engines *engines, const char *name)
{
    for (size_t i = 0; i < engines->count; i++)
        if (strcmp(engines->all[i].name, name) == 0)
            return &engines->all[i];
    return NULL;
}

/* "allow, matcho", cut where it does not fit. */
static void list_names(const struct engines *engines, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < engines->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 engines->all[i].name);
}

struct compiled {
    const struct engine *engine;
    void *compiled;
};

static void release_compiled(void *arg)
{
    const struct compiled *c = arg;
    const struct andiron_policy_engine *table = c->engine->ref.table;
    table->release(c->engine->ref.self, c->compiled);
}

static void read_tests(struct andiron_arena *arena, struct policy *policy)
{
    const struct andiron_policy_engine *table = policy->engine->ref.table;
    struct andiron_policy_test found[TESTS_MAX];

    if (!POLICY_ENGINE_HAS(table, tests))
        return;
    size_t count = table->tests(policy->engine->ref.self, policy->compiled, found, TESTS_MAX);
    if (count == 0 || count > TESTS_MAX)
        return;
    struct andiron_policy_test *kept = andiron_alloc(arena, count * sizeof(*kept));
    memcpy(kept, found, count * sizeof(*kept));
    policy->tests = kept;
    policy->test_count = count;
}

/* To look into bodies they must be parsed, for which a request must first be let in that far. */
static bool is_of_body(const char *path)
{
    size_t len = strcspn(path, ".");
    return (len == 4 && memcmp(path, "body", len) == 0) ||
           (len == 8 && memcmp(path, "resource", len) == 0);
}

static bool is_looked_at(const struct policy *policy, const char *path)
{
    for (size_t i = 0; i < policy->literal_count; i++)
        if (strcmp(policy->literals[i].path, path) == 0)
            return true;
    return false;
}

/* Those of places that requests may be looked at; other than those of `literals`. Their number. */
static size_t keep_literals(struct andiron_arena *arena, const struct policy *policy,
                            const struct andiron_policy_literal *found, size_t count,
                            const struct literal **ret)
{
    if (count == 0 || count > LITERALS_MAX)
        return 0;
    struct literal *kept = andiron_alloc(arena, count * sizeof(*kept));
    size_t kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *path = found[i].path;
        if (path[0] == '\0' || path[0] == '*' || is_of_body(path) || is_looked_at(policy, path))
            continue;
        kept[kept_count++] =
            (struct literal){ path, hash_bytes(HASH_START, path, strlen(path)), found[i].value };
    }
    *ret = kept;
    return kept_count;
}

static void read_literals(struct andiron_arena *arena, struct policy *policy)
{
    const struct andiron_policy_engine *table = policy->engine->ref.table;
    struct andiron_policy_literal found[LITERALS_MAX];
    size_t count = 0;

    if (POLICY_ENGINE_HAS(table, literals))
        count =
            table->literals(policy->engine->ref.self, policy->compiled, arena, found, LITERALS_MAX);
    policy->literal_count = keep_literals(arena, policy, found, count, &policy->literals);
    count = 0;
    if (POLICY_ENGINE_HAS(table, fragments))
        count = table->fragments(policy->engine->ref.self, policy->compiled, arena, found,
                                 LITERALS_MAX);
    policy->fragment_count = keep_literals(arena, policy, found, count, &policy->fragments);
}

static int compile_engine(struct andiron_arena *arena, andiron_json resource, struct policy *policy,
                          struct andiron_error *err)
{
    const struct andiron_policy_engine *table = policy->engine->ref.table;
    void *compiled = NULL;

    err->code = ANDIRON_OK;
    err->message[0] = '\0';
    if (table->compile == NULL)
        return 0;
    if (table->compile(policy->engine->ref.self, arena, resource, &compiled, err) != 0) {
        if (err->code == ANDIRON_OK) /* an engine that says no and not why */
            (void)andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "AccessPolicy",
                                    "refused by the engine \"%s\"", policy->engine->name);
        return -1;
    }
    policy->compiled = compiled;
    if (err->message[0] != '\0')
        policy->warning = andiron_printf(arena, "%s %s", err->where, err->message);
    read_tests(arena, policy);
    read_literals(arena, policy);
    if (table->release != NULL && compiled != NULL) {
        struct compiled *c = andiron_new(arena, struct compiled);
        *c = (struct compiled){ policy->engine, compiled };
        andiron_at_release(arena, release_compiled, c);
    }
    return 0;
}

int policy_compile(const struct engines *engines, struct andiron_arena *arena,
                   andiron_json resource, bool stored, struct policy *policy,
                   struct andiron_error *err)
{
    static const char *const types[] = { "rest", "rpc", "scope", NULL };
    static const char *const effects[] = { "allow", "deny", NULL };
    andiron_str name = andiron_json_str(andiron_json_get(resource, "engine"));
    andiron_json active = andiron_json_get(resource, "active");

    if (name.len == 0)
        return andiron_error_set(err, ANDIRON_E_ELEMENT, "AccessPolicy.engine",
                                 "is required: the name of a policy engine, such as \"allow\"");
    const char *engine = andiron_copy(arena, name);
    policy->engine = find_engine(engines, engine);
    if (policy->engine == NULL && !stored) {
        char names[200];
        list_names(engines, names, sizeof(names));
        return andiron_error_set(err, ANDIRON_E_VALUE, "AccessPolicy.engine",
                                 "no engine \"%.60s\" is loaded; loaded are: %s", engine, names);
    }
    if (check_members(resource, engine, err) != 0)
        return -1;
    int type = choice(resource, "type", types, err);
    int effect = choice(resource, "effect", effects, err);
    if (type < 0 || effect < 0)
        return -1;
    if (andiron_json_type(active) != ANDIRON_JSON_MISSING &&
        andiron_json_type(active) != ANDIRON_JSON_BOOL)
        return andiron_error_set(err, ANDIRON_E_ELEMENT, "AccessPolicy.active", "is true or false");
    if (read_links(arena, resource, policy, err) != 0)
        return -1;
    if (policy->engine != NULL && compile_engine(arena, resource, policy, err) != 0)
        return -1;

    bool is_active = andiron_json_type(active) == ANDIRON_JSON_MISSING || andiron_json_true(active);
    policy->denies = effect == 1;
    policy->applies = is_active && type == 0 && policy->engine != NULL;
    policy->id = andiron_copy(arena, andiron_json_str(andiron_json_get(resource, "id")));
    policy->grant = andiron_printf(arena, "AccessPolicy/%s", policy->id);
    return 0;
}

/* meta.versionId is a number in text; 0 if it is none. */
static uint64_t version_of(andiron_json resource)
{
    andiron_str text = andiron_json_str(andiron_json_path(resource, "meta.versionId"));
    uint64_t version = 0;
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        version = version * 10 + (uint64_t)(text.data[i] - '0');
    return version;
}

static struct policy *policy_make(size_t expected)
{
    struct andiron_arena *arena = andiron_arena_new(expected);
    struct policy *policy = andiron_new(arena, struct policy);
    atomic_init(&policy->references, 1);
    policy->arena = arena;
    policy->use = calloc(1, sizeof(*policy->use));
    if (policy->use == NULL)
        abort(); /* out of memory: the supervisor starts a new worker */
    atomic_init(&policy->use->references, 1);
    return policy;
}

static void drop_use(struct policy_use *use)
{
    if (atomic_fetch_sub_explicit(&use->references, 1, memory_order_acq_rel) == 1)
        free(use);
}

void policy_use_as(struct policy *policy, const struct policy *older)
{
    (void)atomic_fetch_add_explicit(&older->use->references, 1, memory_order_relaxed);
    drop_use(policy->use);
    policy->use = older->use;
}

struct policy *policy_new(const struct engines *engines, andiron_str text,
                          struct andiron_error *err)
{
    struct policy *policy = policy_make(text.len * 3 + 512);
    andiron_json resource;
    text.data = andiron_copy(policy->arena, text);

    if (andiron_json_parse(policy->arena, text, &resource, err) != 0 ||
        policy_compile(engines, policy->arena, resource, true, policy, err) != 0) {
        policy_drop(policy);
        return NULL;
    }
    policy->version = version_of(resource);
    return policy;
}

struct policy *policy_gone(andiron_str id, uint64_t version)
{
    struct policy *policy = policy_make(id.len + 256);
    policy->id = andiron_copy(policy->arena, id);
    policy->version = version;
    policy->gone = true;
    return policy;
}

void policy_hold(struct policy *policy)
{
    (void)atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
}

void policy_drop(struct policy *policy)
{
    if (policy != NULL &&
        atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) == 1) {
        drop_use(policy->use);
        andiron_arena_free(policy->arena);
    }
}
