/*
 * Scopes: a client's list in the first line, a request in the rest. What is granted can be read
 * again, and is held by both sides: context, type and letters.
 */
#include "base/arena.h"
#include "common/fhir/types.h"
#include "smart/grant.h"
#include "smart/scope.h"
#include "smart/set.h"
#include "smart/test_search.h"
#include "target.h"

/* Letters that a list of scopes holds in a context for a type. */
static unsigned held(andiron_str list, const struct scope *of)
{
    unsigned letters = 0;
    andiron_str token;
    struct scope scope;

    while (scope_next_token(&list, &token))
        if (scope_parse(token, &scope, NULL) == SCOPE_RESOURCE && scope.context == of->context &&
            (scope.type == of->type || scope.type == SCOPE_ANY_TYPE))
            letters |= scope.letters;
    return letters;
}

static andiron_json as_array(struct andiron_arena *arena, andiron_str list)
{
    struct andiron_json_writer *w = andiron_json_write(arena, list.len * 6 + 64);
    struct andiron_error err;
    andiron_json array = { NULL, 0 };
    andiron_str token;

    andiron_json_put_array(w, NULL);
    while (scope_next_token(&list, &token))
        andiron_json_put_str(w, NULL, token);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    FUZZ_CHECK(text.data == NULL || andiron_json_parse(arena, text, &array, &err) == 0);
    return array;
}

static void check(struct andiron_arena *arena, andiron_str granted, andiron_str allowed,
                  andiron_str requested)
{
    andiron_str token;
    struct scope scope;

    while (scope_next_token(&granted, &token)) {
        enum scope_kind kind = scope_parse(token, &scope, NULL);
        FUZZ_CHECK(kind != SCOPE_MALFORMED);
        if (kind != SCOPE_RESOURCE)
            continue;
        FUZZ_CHECK((scope.letters & ~held(allowed, &scope)) == 0);
        FUZZ_CHECK((scope.letters & ~held(requested, &scope)) == 0);
        FUZZ_CHECK(andiron_str_eq(
            scope_text(arena, scope.context, scope.type, scope.letters, scope.v1, scope.query),
            token));
    }
}

static void compile(struct andiron_arena *arena, andiron_str list)
{
    static const bool is_shared[FHIR_TYPE_COUNT] = { true };
    const struct set_settings settings = { .search = &test_search, .is_shared = is_shared };
    const char **scopes = andiron_alloc(arena, (list.len + 1) * sizeof(scopes[0]));
    const struct scope_set *set;
    struct andiron_error err;
    andiron_json context;
    andiron_str token;
    size_t count = 0;

    while (scope_next_token(&list, &token))
        scopes[count++] = andiron_copy(arena, token);
    FUZZ_CHECK(andiron_json_parse(arena, ANDIRON_STR("{\"patient\":\"1\"}"), &context, &err) == 0);
    if (set_compile(&settings, arena, scopes, context, &set, &err) != 0)
        return;
    const struct andiron_narrowing *n = set_narrowing(set);
    for (int type = 0; type < FHIR_TYPE_COUNT; type++)
        for (int access = 0; access < ANDIRON_ACCESSES; access++) {
            const struct andiron_limit *limit =
                n->limit(n, andiron_str_of(fhir_type_name(type)), (enum andiron_access)access);
            FUZZ_CHECK(limit == NULL || limit->any_of[0] == NULL || limit->prepared != NULL);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int wildcard[] = { 3, 14, 15, 92 };
    const struct grant_settings settings = { .expand = size % 2 == 0,
                                             .wildcard_types = wildcard,
                                             .wildcard_count = 4,
                                             .max_scopes = 64,
                                             .search = &test_search };
    const char *text = (const char *)data, *end = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t first = end != NULL ? (size_t)(end - text) : size;
    andiron_str allowed = { text, first };
    andiron_str requested = { text + first, size - first };
    struct andiron_arena *arena = arena_new();
    struct andiron_scope_grant grant;
    struct andiron_error err;

    if (requested.len > 0)
        requested = (andiron_str){ requested.data + 1, requested.len - 1 };
    if (grant_scopes(&settings, arena, requested, as_array(arena, allowed), &grant, &err) == 0) {
        check(arena, grant.scope, allowed, requested);
        check(arena, grant.claim, allowed, requested);
        compile(arena, grant.scope);
    }
    compile(arena, requested);
    arena_free(arena);
    return 0;
}
