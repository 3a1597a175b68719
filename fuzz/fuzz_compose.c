/*
 * From a client's text to stored and shown text: whatever is valid JSON comes out as valid JSON,
 * with nothing lost but blanks, and with our id and meta.
 */
#include "base/arena.h"
#include "fhir/answer.h"
#include "fhir/check.h"
#include "fhir/compose.h"
#include "fhir/platform.h"
#include "target.h"

static const char *const references[] = { "link", "a.b", NULL };
static const struct resource_type fhir_type_ = { .name = "Patient", .str = { "Patient", 7 } };
static const struct resource_type platform_type = {
    .name = "Client", .str = { "Client", 6 }, .platform = true, .references = references
};

static andiron_json parsed(struct andiron_arena *arena, andiron_str text)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    FUZZ_CHECK(andiron_json_parse(arena, text, &root, &err) == 0);
    return root;
}

static bool is_ours(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("id")) || andiron_str_eq(name, ANDIRON_STR("meta")) ||
           andiron_str_eq(name, ANDIRON_STR("resourceType"));
}

/* All members of sent but ours are in stored. */
static void nothing_is_lost(andiron_json sent, andiron_json stored)
{
    struct andiron_json_iter it = { .of = sent };
    while (andiron_json_next(&it))
        if (!is_ours(it.name))
            FUZZ_CHECK(andiron_json_equal(it.value, andiron_json_member(stored, it.name)));
}

static void store(struct andiron_arena *arena, const struct resource_type *type, andiron_json root,
                  const struct rewrites *rewrites)
{
    struct composing how = { .arena = arena,
                             .type = type,
                             .root = root,
                             .id = ANDIRON_STR("the-id"),
                             .created_at_url = ANDIRON_STR("http://c"),
                             .rewrites = rewrites };
    struct draft draft;

    compose(&how, &draft);
    andiron_str text = compose_stamped(&draft, arena, 7, 1724946665117806);
    andiron_json stored = parsed(arena, text);
    andiron_json meta = andiron_json_get(stored, "meta");
    FUZZ_CHECK(andiron_str_eq(andiron_json_str(andiron_json_get(stored, "id")), how.id));
    FUZZ_CHECK(
        andiron_str_eq(andiron_json_str(andiron_json_get(meta, "versionId")), ANDIRON_STR("7")));
    if (rewrites == NULL)
        nothing_is_lost(root, stored);
    andiron_json pretty = parsed(arena, answer_pretty(arena, text));
    FUZZ_CHECK(andiron_json_equal(pretty, stored));
    if (type->platform)
        (void)parsed(arena, platform_shown(arena, type, how.created_at_url, stored));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rewrite_target target = {
        .url = { "urn:uuid:1", 10 }, .type = { "Patient", 7 }, .id = { "p1", 2 }, .may_change = true
    };
    struct andiron_arena *arena = arena_new();
    andiron_str text = { (const char *)data, size };
    andiron_json root;
    struct andiron_error err;

    if (andiron_json_parse(arena, text, &root, &err) == 0 &&
        andiron_json_type(root) == ANDIRON_JSON_OBJECT) {
        struct rewrite_map *map = rewrite_map_new(arena, 1);
        struct rewrites rewrites = { .map = map, .base = ANDIRON_STR("http://o/") };
        struct issues issues;
        FUZZ_CHECK(rewrite_map_add(map, &target));
        issues_init(&issues, arena, ANDIRON_STR("Patient"));
        check_resource(root, &issues);
        store(arena, &fhir_type_, root, NULL);
        store(arena, &fhir_type_, root, &rewrites);
        store(arena, &platform_type,
              parsed(arena, platform_kept(arena, &platform_type, ANDIRON_STR("the-id"), root)),
              NULL);
    }
    arena_free(arena);
    return 0;
}
