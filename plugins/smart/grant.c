/*
 * Granting scopes. Uses scope.h and the list of FHIR types.
 */
#include "grant.h"

#include "common/fhir/types.h"
#include "scope.h"

enum { CLAIM_MAX = 2048 /* bytes; SC-8 */ };

/* One text that is being put together, without repeating a scope. */
struct list {
    struct andiron_arena *arena;
    andiron_str *items;
    size_t count, room, bytes;
    uint8_t *seen; /* a bit for each (context, type, letters, syntax) */
};

struct granting {
    const struct grant_settings *settings;
    struct scope *allowed; /* resource scopes of the client */
    size_t allowed_count;
    andiron_json others; /* the client's whole list */
    struct list full, claim;
    size_t queried; /* scopes with a query in them */
};

static void list_init(struct list *list, struct andiron_arena *arena)
{
    size_t bits = (size_t)(FHIR_TYPE_COUNT + 1) * SCOPE_CONTEXTS * SCOPE_LETTERS * 2;
    *list = (struct list){ .arena = arena, .seen = andiron_alloc(arena, bits / 8 + 1) };
}

static void list_append(struct list *list, andiron_str text)
{
    if (list->count == list->room) {
        size_t room = list->room != 0 ? list->room * 2 : 32;
        andiron_str *items = andiron_alloc(list->arena, room * sizeof(*items));
        if (list->count != 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = text;
    list->bytes += text.len + 1;
}

static void list_add(struct list *list, enum scope_context context, int type, unsigned letters,
                     bool v1)
{
    size_t bit = (size_t)(type + 1); /* SCOPE_ANY_TYPE is -1 */
    bit = ((bit * SCOPE_CONTEXTS + (size_t)context) * SCOPE_LETTERS + letters) * 2 + v1;
    if ((list->seen[bit / 8] & 1u << bit % 8) != 0)
        return;
    list->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
    andiron_str none = { NULL, 0 };
    list_append(list, scope_text(list->arena, context, type, letters, v1, none));
}

/* Whether it was not there yet. */
static bool list_add_other(struct list *list, andiron_str text)
{
    for (size_t i = 0; i < list->count; i++)
        if (andiron_str_eq(list->items[i], text))
            return false;
    list_append(list, text);
    return true;
}

static andiron_str list_text(const struct list *list)
{
    if (list->count == 0)
        return (andiron_str){ "", 0 };
    char *text = andiron_alloc(list->arena, list->bytes), *at = text;
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            *at++ = ' ';
        memcpy(at, list->items[i].data, list->items[i].len);
        at += list->items[i].len;
    }
    return (andiron_str){ text, (size_t)(at - text) };
}

static void put(struct granting *g, enum scope_context context, int type, unsigned letters, bool v1)
{
    list_add(&g->claim, context, type, letters, v1);
    if (type != SCOPE_ANY_TYPE || !g->settings->expand) {
        list_add(&g->full, context, type, letters, v1);
        return;
    }
    for (size_t i = 0; i < g->settings->wildcard_count; i++)
        list_add(&g->full, context, g->settings->wildcard_types[i], letters, v1);
}

/* Scopes with a query are told apart by their text, and never stand for others. */
static void put_queried(struct granting *g, enum scope_context context, int type, unsigned letters,
                        andiron_str query)
{
    if (query_check(g->settings->search, g->full.arena, type, query, NULL) != 0)
        return; /* SC-3 */
    andiron_str text = scope_text(g->full.arena, context, type, letters, false, query);
    if (!list_add_other(&g->full, text))
        return;
    (void)list_add_other(&g->claim, text);
    g->queried++;
}

/* Letters of `wanted` that the client's scopes allow without a query for `type` (or any, by "*"). */
static unsigned allowed_letters(const struct granting *g, const struct scope *wanted, int type)
{
    unsigned letters = 0;
    for (size_t i = 0; i < g->allowed_count; i++) {
        const struct scope *a = &g->allowed[i];
        if (a->query.data == NULL && a->context == wanted->context &&
            (a->type == type || a->type == SCOPE_ANY_TYPE))
            letters |= a->letters & wanted->letters;
    }
    return letters;
}

/* Whether a wildcard that is put stands for the type, too. */
static bool is_in_wildcard(const struct granting *g, int type)
{
    for (size_t i = 0; i < g->settings->wildcard_count; i++)
        if (g->settings->wildcard_types[i] == type)
            return true;
    return !g->settings->expand;
}

/* What the client has under a query, and not without one already: `given`. */
static void grant_queried(struct granting *g, const struct scope *wanted, const struct scope *a,
                          unsigned given)
{
    unsigned letters = a->letters & wanted->letters & ~given;
    if (letters != 0 && g->queried <= g->settings->max_scopes)
        put_queried(g, wanted->context, a->type, letters,
                    query_join(g->full.arena, a->query, wanted->query));
}

/* SC-4: same context, the narrower type, the letters in common, both queries. */
static void grant_type(struct granting *g, const struct scope *wanted)
{
    unsigned letters = allowed_letters(g, wanted, wanted->type);
    if (letters != 0 && wanted->query.data != NULL)
        put_queried(g, wanted->context, wanted->type, letters, wanted->query);
    else if (letters != 0)
        put(g, wanted->context, wanted->type, letters, wanted->v1);
    for (size_t i = 0; i < g->allowed_count; i++) {
        const struct scope *a = &g->allowed[i];
        if (a->query.data != NULL && a->context == wanted->context && a->type == wanted->type)
            grant_queried(g, wanted, a, letters);
    }
}

/* A wildcard also asks for the single types that the client has beside or instead of one. */
static void grant_any_type(struct granting *g, const struct scope *wanted)
{
    unsigned letters = allowed_letters(g, wanted, SCOPE_ANY_TYPE);
    if (letters != 0)
        put(g, wanted->context, SCOPE_ANY_TYPE, letters, wanted->v1);
    for (size_t i = 0; i < g->allowed_count; i++) {
        const struct scope *a = &g->allowed[i];
        if (a->context != wanted->context || a->type == SCOPE_ANY_TYPE)
            continue;
        unsigned more = allowed_letters(g, wanted, a->type);
        unsigned given = more != letters || is_in_wildcard(g, a->type) ? more : 0;
        if (a->query.data != NULL)
            grant_queried(g, wanted, a, given);
        else if (more != 0 && more != letters)
            put(g, wanted->context, a->type, more, wanted->v1);
    }
}

static void grant_resource(struct granting *g, const struct scope *wanted)
{
    if (wanted->type == SCOPE_ANY_TYPE)
        grant_any_type(g, wanted);
    else
        grant_type(g, wanted);
}

static void grant_other(struct granting *g, andiron_str text)
{
    struct andiron_json_iter it = { .of = g->others };
    while (andiron_json_next(&it)) {
        if (!andiron_str_eq(andiron_json_str(it.value), text))
            continue;
        (void)list_add_other(&g->full, text);
        (void)list_add_other(&g->claim, text);
        return;
    }
}

int grant_scopes(const struct grant_settings *settings, struct andiron_arena *arena,
                 andiron_str requested, andiron_json allowed, struct andiron_scope_grant *ret,
                 struct andiron_error *err)
{
    struct granting g = { .settings = settings, .others = allowed };
    struct andiron_json_iter it = { .of = allowed };
    struct scope scope;
    andiron_str token;
    size_t named = 0;

    list_init(&g.full, arena);
    list_init(&g.claim, arena);
    g.allowed = andiron_alloc(arena, (andiron_json_count(allowed) + 1) * sizeof(*g.allowed));
    while (andiron_json_next(&it))
        if (scope_parse(andiron_json_str(it.value), &scope, NULL) == SCOPE_RESOURCE)
            g.allowed[g.allowed_count++] = scope;

    while (scope_next_token(&requested, &token)) {
        if (++named > settings->max_scopes)
            return andiron_error_set(err, ANDIRON_E_INVALID, "scope",
                                     "at most %zu scopes may be requested at once",
                                     settings->max_scopes);
        enum scope_kind kind = scope_parse(token, &scope, NULL);
        if (kind == SCOPE_RESOURCE)
            grant_resource(&g, &scope);
        else if (kind == SCOPE_OTHER)
            grant_other(&g, token);
        if (g.queried > settings->max_scopes)
            return andiron_error_set(err, ANDIRON_E_INVALID, "scope",
                                     "more than %zu scopes with a query come of this request",
                                     settings->max_scopes);
    }
    ret->scope = list_text(&g.full);
    ret->claim = ret->scope.len > CLAIM_MAX ? list_text(&g.claim) : ret->scope;
    return 0;
}
