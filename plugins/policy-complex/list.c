/*
 * Compiling lists of items with their engines, and asking these from left to right.
 */
#include "list.h"

#include "common/policy/features.h"
#include "common/policy/members.h"

enum { ITEMS_MAX = 100, DEPTH_MAX = 8, TESTS_MAX = 64, LITERALS_MAX = 64 };

struct item {
    const struct engine *engine;
    void *compiled;
};

struct list {
    bool is_or;
    size_t count;
    struct item items[];
};

/* An evaluation that is under way. */
struct asking {
    const struct list *list;
    struct andiron_policy_call *call;
    size_t at;
    bool has_fault; /* "or": of an item before, which others may make good */
    size_t fault_at;
    andiron_str fault;
};

/* ---- compiling --------------------------------------------------------------------------- */

static const struct engine *find_engine(const struct engines *engines, andiron_str name)
{
    for (size_t i = 0; i < engines->count; i++)
        if (andiron_str_eq(andiron_str_of(engines->all[i].name), name))
            return &engines->all[i];
    return NULL;
}

struct compiling {
    const struct engines *engines;
    struct andiron_arena *arena;
    struct andiron_error *err;
    const char *where; /* of the list or item at hand: "AccessPolicy.and[1]" */
    unsigned depth;
};

struct release {
    const struct engine *engine;
    void *compiled;
};

static void release_item(void *arg)
{
    const struct release *r = arg;
    const struct andiron_policy_engine *table = r->engine->ref.table;
    table->release(r->engine->ref.self, r->compiled);
}

/* What an item's engine says of "AccessPolicy.matcho" is about "AccessPolicy.and[1].matcho". */
static int place_error(const struct compiling *c, const struct engine *engine)
{
    static const char whole[] = "AccessPolicy";
    struct andiron_error said = *c->err;
    const char *rest = "";
    if (said.code == ANDIRON_OK) /* an engine that says no and not why */
        return andiron_error_set(c->err, ANDIRON_E_UNPROCESSABLE, c->where,
                                 "refused by the engine \"%s\"", engine->name);
    if (strncmp(said.where, whole, sizeof(whole) - 1) == 0)
        rest = said.where + sizeof(whole) - 1;
    return andiron_error_set(c->err, said.code, andiron_printf(c->arena, "%s%s", c->where, rest),
                             "%s", said.message);
}

static int check_members(const struct compiling *c, const char *engine, andiron_json item)
{
    struct andiron_json_iter it = { .of = item };
    while (andiron_json_next(&it)) {
        const char *owner = NULL;
        if (andiron_str_eq(it.name, ANDIRON_STR("engine")))
            continue;
        if (!policy_member_is_common(it.name) && policy_member_fits(engine, it.name, &owner))
            continue;
        int len = (int)(it.name.len < 64 ? it.name.len : 64);
        const char *where = andiron_printf(c->arena, "%s.%.*s", c->where, len, it.name.data);
        if (owner != NULL)
            return andiron_error_set(c->err, ANDIRON_E_ELEMENT, where,
                                     "belongs to the engine \"%s\", but engine is \"%s\"", owner,
                                     engine);
        return andiron_error_set(c->err, ANDIRON_E_ELEMENT, where,
                                 "has no place in an item, which has engine and what that needs");
    }
    return 0;
}

static int compile_list(const struct compiling *c, andiron_json policy, struct list **ret);

static int compile_item(const struct compiling *c, andiron_json item, struct item *ret)
{
    andiron_str name = andiron_json_str(andiron_json_get(item, "engine"));
    const struct engine *engine = find_engine(c->engines, name);

    if (name.len == 0)
        return andiron_error_set(c->err, ANDIRON_E_ELEMENT,
                                 andiron_printf(c->arena, "%s.engine", c->where),
                                 "is required: the name of a policy engine, such as \"allow\"");
    if (engine == NULL)
        return andiron_error_set(
            c->err, ANDIRON_E_VALUE, andiron_printf(c->arena, "%s.engine", c->where),
            "no engine \"%.*s\" is loaded", (int)(name.len < 60 ? name.len : 60), name.data);
    if (check_members(c, engine->name, item) != 0)
        return -1;
    ret->engine = engine;
    if (engine->ref.self == c->engines->self) {
        struct list *inner = NULL;
        int result = compile_list(c, item, &inner);
        ret->compiled = inner;
        return result;
    }
    const struct andiron_policy_engine *table = engine->ref.table;
    c->err->code = ANDIRON_OK;
    if (table->compile == NULL)
        return 0;
    if (table->compile(engine->ref.self, c->arena, item, &ret->compiled, c->err) != 0)
        return place_error(c, engine);
    if (table->release != NULL && ret->compiled != NULL) {
        struct release *r = andiron_new(c->arena, struct release);
        *r = (struct release){ engine, ret->compiled };
        andiron_at_release(c->arena, release_item, r);
    }
    return 0;
}

/* "and" or "or"; the other must not be there. NULL and err. */
static const char *join_of(const struct compiling *c, andiron_json policy)
{
    bool has_and = andiron_json_type(andiron_json_get(policy, "and")) != ANDIRON_JSON_MISSING;
    bool has_or = andiron_json_type(andiron_json_get(policy, "or")) != ANDIRON_JSON_MISSING;
    if (has_and != has_or)
        return has_and ? "and" : "or";
    if (has_and)
        (void)andiron_error_set(c->err, ANDIRON_E_BUSINESS_RULE,
                                andiron_printf(c->arena, "%s.or", c->where),
                                "stands beside \"and\"; nest them instead");
    else
        (void)andiron_error_set(c->err, ANDIRON_E_REQUIRED,
                                andiron_printf(c->arena, "%s.and", c->where),
                                "or \"or\" is required: a non-empty array of items");
    return NULL;
}

static int compile_list(const struct compiling *c, andiron_json policy, struct list **ret)
{
    const char *join = join_of(c, policy);
    if (join == NULL)
        return -1;
    andiron_json array = andiron_json_get(policy, join);
    size_t count = andiron_json_count(array);
    struct compiling inner = *c;

    inner.where = andiron_printf(c->arena, "%s.%s", c->where, join);
    inner.depth++;
    if (inner.depth > DEPTH_MAX)
        return andiron_error_set(c->err, ANDIRON_E_VALUE, inner.where,
                                 "is nested more than %d deep", DEPTH_MAX);
    if (andiron_json_type(array) != ANDIRON_JSON_ARRAY || count == 0 || count > ITEMS_MAX)
        return andiron_error_set(c->err, ANDIRON_E_ELEMENT, inner.where,
                                 "is an array of 1 to %d items", ITEMS_MAX);
    struct list *list = andiron_alloc(c->arena, sizeof(*list) + count * sizeof(list->items[0]));
    list->is_or = join[0] == 'o';
    struct andiron_json_iter it = { .of = array };
    while (andiron_json_next(&it)) {
        struct compiling item = inner;
        item.where = andiron_printf(c->arena, "%s[%zu]", inner.where, list->count);
        if (compile_item(&item, it.value, &list->items[list->count]) != 0)
            return -1;
        list->count++;
    }
    *ret = list;
    return 0;
}

int list_compile(const struct engines *engines, struct andiron_arena *arena, andiron_json policy,
                 const struct list **ret, struct andiron_error *err)
{
    struct compiling c = {
        .engines = engines, .arena = arena, .err = err, .where = "AccessPolicy"
    };
    struct list *list = NULL;
    if (compile_list(&c, policy, &list) != 0)
        return -1;
    *ret = list;
    return 0;
}

/* ---- tests -------------------------------------------------------------------------------- */

static size_t item_tests(const struct item *item, struct andiron_policy_test *ret, size_t max)
{
    const struct andiron_policy_engine *table = item->engine->ref.table;
    if (!POLICY_ENGINE_HAS(table, tests))
        return 0;
    size_t count = table->tests(item->engine->ref.self, item->compiled, ret, max);
    return count <= max ? count : 0;
}

/* A bit for each feature; uri and its beginnings are one. */
static unsigned group_of(const struct andiron_policy_test *test)
{
    return 1u << (test->feature == ANDIRON_FEATURE_URI_PREFIX ? ANDIRON_FEATURE_URI
                                                              : test->feature);
}

/* "or": only features that every item knows something of, with the values of all. */
static size_t tests_of_any(const struct list *list, struct andiron_policy_test *ret, size_t max)
{
    struct andiron_policy_test found[TESTS_MAX];
    unsigned known = ~0u;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        size_t own = item_tests(&list->items[i], found, TESTS_MAX);
        unsigned groups = 0;
        for (size_t t = 0; t < own; t++)
            groups |= group_of(&found[t]);
        known &= groups;
    }
    for (size_t i = 0; known != 0 && i < list->count; i++) {
        size_t own = item_tests(&list->items[i], found, TESTS_MAX);
        for (size_t t = 0; t < own; t++) {
            if ((group_of(&found[t]) & known) == 0)
                continue;
            if (count == max)
                return 0;
            ret[count++] = found[t];
        }
    }
    return count;
}

size_t list_tests(const struct list *list, struct andiron_policy_test *ret, size_t max)
{
    size_t count = 0;
    if (list->is_or)
        return tests_of_any(list, ret, max);
    /* "and": what any item knows; the values of several are more than can match, which is safe. */
    for (size_t i = 0; i < list->count; i++)
        count += item_tests(&list->items[i], ret + count, max - count);
    return count;
}

/* ---- literals and fragments -------------------------------------------------------------- */

/* What an item knows of its places. */
typedef size_t (*item_places_fn)(const struct item *item, struct andiron_arena *arena,
                                 struct andiron_policy_literal *ret, size_t max);

static size_t item_literals(const struct item *item, struct andiron_arena *arena,
                            struct andiron_policy_literal *ret, size_t max)
{
    const struct andiron_policy_engine *table = item->engine->ref.table;
    if (!POLICY_ENGINE_HAS(table, literals))
        return 0;
    size_t count = table->literals(item->engine->ref.self, item->compiled, arena, ret, max);
    return count <= max ? count : 0;
}

static size_t item_fragments(const struct item *item, struct andiron_arena *arena,
                             struct andiron_policy_literal *ret, size_t max)
{
    const struct andiron_policy_engine *table = item->engine->ref.table;
    if (!POLICY_ENGINE_HAS(table, fragments))
        return 0;
    size_t count = table->fragments(item->engine->ref.self, item->compiled, arena, ret, max);
    return count <= max ? count : 0;
}

static bool has_path(const struct andiron_policy_literal *all, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].path, path) == 0)
            return true;
    return false;
}

/* "or": only places that every item knows something of, with the values of all. */
static size_t places_of_any(const struct list *list, item_places_fn item_places,
                            struct andiron_arena *arena, struct andiron_policy_literal *ret,
                            size_t max)
{
    struct andiron_policy_literal own[LITERALS_MAX];
    size_t count = item_places(&list->items[0], arena, ret, max);

    for (size_t i = 1; count > 0 && i < list->count; i++) {
        size_t others = item_places(&list->items[i], arena, own, LITERALS_MAX), kept = 0;
        for (size_t k = 0; k < count; k++)
            if (has_path(own, others, ret[k].path))
                ret[kept++] = ret[k];
        count = kept;
        for (size_t k = 0; k < others; k++) {
            if (!has_path(ret, kept, own[k].path))
                continue;
            if (count == max)
                return 0;
            ret[count++] = own[k];
        }
    }
    return count;
}

static size_t places_of(const struct list *list, item_places_fn item_places,
                        struct andiron_arena *arena, struct andiron_policy_literal *ret, size_t max)
{
    size_t count = 0;
    if (list->is_or)
        return places_of_any(list, item_places, arena, ret, max);
    for (size_t i = 0; i < list->count; i++) /* as in list_tests() */
        count += item_places(&list->items[i], arena, ret + count, max - count);
    return count;
}

size_t list_literals(const struct list *list, struct andiron_arena *arena,
                     struct andiron_policy_literal *ret, size_t max)
{
    return places_of(list, item_literals, arena, ret, max);
}

size_t list_fragments(const struct list *list, struct andiron_arena *arena,
                      struct andiron_policy_literal *ret, size_t max)
{
    return places_of(list, item_fragments, arena, ret, max);
}

/* ---- asking ------------------------------------------------------------------------------- */

/* With the item in front of its reason, if somebody reads reasons. */
static enum andiron_verdict end_no_match(const struct asking *a, size_t at)
{
    andiron_str why = andiron_policy_reason(a->call);
    if (why.len == 0)
        return ANDIRON_NO_MATCH;
    return andiron_policy_no_match(a->call, "%s[%zu]: %.*s",
                                   a->list->is_or ? "none of or, last or" : "and", at, (int)why.len,
                                   why.data);
}

static enum andiron_verdict end_fault(const struct asking *a, size_t at, andiron_str why)
{
    return andiron_policy_fault(a->call, "%s[%zu]: %.*s", a->list->is_or ? "or" : "and", at,
                                (int)why.len, why.len > 0 ? why.data : "");
}

/* Takes an item's verdict: true ends the list with *ret, false goes on with the next item. */
static bool decides(struct asking *a, enum andiron_verdict verdict, enum andiron_verdict *ret)
{
    size_t at = a->at++;
    bool last = a->at == a->list->count;
    bool is_or = a->list->is_or;

    if (verdict != ANDIRON_MATCH && verdict != ANDIRON_NO_MATCH) {
        andiron_str why = andiron_policy_reason(a->call);
        if (!is_or || last) {
            *ret = end_fault(a, at, why);
            return true;
        }
        a->has_fault = true;
        a->fault_at = at;
        a->fault = why;
        return false;
    }
    if (is_or == (verdict == ANDIRON_MATCH)) {
        *ret = is_or ? ANDIRON_MATCH : end_no_match(a, at);
        return true;
    }
    if (!last)
        return false;
    if (!is_or)
        *ret = ANDIRON_MATCH;
    else
        *ret = a->has_fault ? end_fault(a, a->fault_at, a->fault) : end_no_match(a, at);
    return true;
}

static enum andiron_verdict ask_on(struct asking *a);

static void answered(void *state, enum andiron_verdict verdict)
{
    struct asking *a = state;
    enum andiron_verdict end;
    if (!decides(a, verdict, &end))
        end = ask_on(a);
    if (end != ANDIRON_PENDING)
        andiron_policy_finish(a->call, end);
}

static enum andiron_verdict ask_on(struct asking *a)
{
    enum andiron_verdict verdict, end;
    do {
        const struct item *item = &a->list->items[a->at];
        verdict = andiron_policy_ask(a->call, &item->engine->ref, item->compiled, answered, a);
        if (verdict == ANDIRON_PENDING)
            return ANDIRON_PENDING;
    } while (!decides(a, verdict, &end));
    return end;
}

enum andiron_verdict list_ask(const struct list *list, struct andiron_policy_call *call)
{
    struct andiron_arena *arena = andiron_request_arena(andiron_policy_request(call));
    struct asking *a = andiron_new(arena, struct asking);
    *a = (struct asking){ .list = list, .call = call };
    return ask_on(a);
}
