/*
 * Codes of a ValueSet (R4 valueset.html): what compose lists, without what it excludes; or, where
 * it chooses by filters, a whole expansion. What cannot be told from stored resources alone is
 * refused, with the construct named: a search must not find less or more than it says.
 */
#include <stdlib.h>

#include "terminology.h"

/* ---- sets -------------------------------------------------------------------- */

static int compare_text(andiron_str a, andiron_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_codes(const void *a, const void *b)
{
    const struct code *x = a, *y = b;
    int order = compare_text(x->text, y->text);
    return order != 0 ? order : compare_text(x->system, y->system);
}

static int too_many(struct compiling *c, const struct document *d)
{
    return compile_fail(c, "ValueSet \"%.*s\" has more than %lld codes", SHOWN(d->name),
                        (long long)c->limits->max_codes);
}

/* Counts steps: what is nested badly must not keep the loop. */
static int spend(struct compiling *c, const struct document *d, size_t steps)
{
    c->terminology->steps += (int64_t)steps + 1;
    if (c->terminology->steps <= c->limits->max_codes * 100)
        return 0;
    return compile_fail(c, "ValueSet \"%.*s\" cannot be used: it takes too many steps to list",
                        SHOWN(d->name));
}

static void *grown(struct compiling *c, const void *items, size_t count, size_t *capacity,
                   size_t size)
{
    *capacity = *capacity > 0 ? *capacity * 2 : 16;
    void *more = andiron_alloc(c->arena, *capacity * size);
    if (count > 0)
        memcpy(more, items, count * size);
    return more;
}

static void add_code(struct compiling *c, struct code_set *set, struct code code)
{
    if (set->count == set->capacity)
        set->codes = grown(c, set->codes, set->count, &set->capacity, sizeof(code));
    set->codes[set->count++] = code;
}

static bool has_system(const struct code_set *set, andiron_str system)
{
    for (size_t i = 0; i < set->system_count; i++)
        if (andiron_str_eq(set->systems[i], system))
            return true;
    return false;
}

static void add_system(struct compiling *c, struct code_set *set, andiron_str system)
{
    if (has_system(set, system))
        return;
    if (set->system_count == set->system_capacity)
        set->systems =
            grown(c, set->systems, set->system_count, &set->system_capacity, sizeof(system));
    set->systems[set->system_count++] = system;
}

/* In order, each once, none of a whole system. */
static void settle(struct code_set *set)
{
    size_t kept = 0;

    if (set->count > 0)
        qsort(set->codes, set->count, sizeof(set->codes[0]), compare_codes);
    for (size_t i = 0; i < set->count; i++)
        if (!has_system(set, set->codes[i].system) &&
            (kept == 0 || compare_codes(&set->codes[kept - 1], &set->codes[i]) != 0))
            set->codes[kept++] = set->codes[i];
    set->count = kept;
}

static bool has_code(const struct code_set *set, const struct code *code)
{
    return has_system(set, code->system) ||
           (set->count > 0 &&
            bsearch(code, set->codes, set->count, sizeof(*code), compare_codes) != NULL);
}

static void add_all(struct compiling *c, struct code_set *set, const struct code_set *more)
{
    for (size_t i = 0; i < more->count; i++)
        add_code(c, set, more->codes[i]);
    for (size_t i = 0; i < more->system_count; i++)
        add_system(c, set, more->systems[i]);
}

/* Both are settled. */
static struct code_set *intersection(struct compiling *c, const struct code_set *a,
                                     const struct code_set *b)
{
    struct code_set *both = andiron_new(c->arena, struct code_set);

    for (size_t i = 0; i < a->count; i++)
        if (has_code(b, &a->codes[i]))
            add_code(c, both, a->codes[i]);
    for (size_t i = 0; i < b->count; i++)
        if (has_system(a, b->codes[i].system))
            add_code(c, both, b->codes[i]);
    for (size_t i = 0; i < a->system_count; i++)
        if (has_system(b, a->systems[i]))
            add_system(c, both, a->systems[i]);
    settle(both);
    return both;
}

/* Both are settled. -1: what would be left of a whole system cannot be said. */
static int take_away(struct compiling *c, const struct document *d, struct code_set *set,
                     const struct code_set *less)
{
    size_t kept = 0, kept_systems = 0;

    for (size_t i = 0; i < set->count; i++)
        if (!has_code(less, &set->codes[i]))
            set->codes[kept++] = set->codes[i];
    set->count = kept;
    for (size_t i = 0; i < set->system_count; i++)
        if (!has_system(less, set->systems[i]))
            set->systems[kept_systems++] = set->systems[i];
    set->system_count = kept_systems;
    for (size_t i = 0; i < less->count; i++)
        if (has_system(set, less->codes[i].system))
            return compile_fail(c,
                                "ValueSet \"%.*s\" cannot be used: it excludes codes of \"%.*s\", "
                                "of which it includes all; list the codes to include",
                                SHOWN(d->name), SHOWN(less->codes[i].system));
    return 0;
}

/* ---- compose ----------------------------------------------------------------- */

static int not_supported(struct compiling *c, const struct document *d, const char *construct)
{
    return compile_fail(c, "ValueSet \"%.*s\" cannot be used: %s is not supported", SHOWN(d->name),
                        construct);
}

static bool is_there(andiron_json v)
{
    return andiron_json_type(v) != ANDIRON_JSON_MISSING;
}

/* The codes that an include lists, or its whole system. */
static int own_codes(struct compiling *c, const struct document *d, andiron_json include,
                     struct code_set *set)
{
    andiron_str system = andiron_json_str(andiron_json_get(include, "system"));
    andiron_json concepts = andiron_json_get(include, "concept");

    if (is_there(andiron_json_get(include, "filter")))
        return not_supported(c, d, "compose.include.filter");
    if (system.len == 0)
        return not_supported(c, d, "compose.include without a system and without a valueSet");
    if (!is_there(concepts)) {
        add_system(c, set, system);
        return 0;
    }
    struct andiron_json_iter it = { .of = concepts };
    while (andiron_json_next(&it)) {
        andiron_str text = andiron_json_str(andiron_json_get(it.value, "code"));
        if (spend(c, d, 0) != 0)
            return -1;
        if ((int64_t)set->count == c->limits->max_codes)
            return too_many(c, d);
        if (text.len > 0)
            add_code(c, set, (struct code){ system, text });
    }
    settle(set);
    return 0;
}

static size_t size_of(const struct code_set *set)
{
    return set != NULL ? set->count + set->system_count : 0;
}

/* What it lists and all of its value sets have in common. NULL: some must be read first. */
static int included(struct compiling *c, const struct document *d, andiron_json include,
                    const struct code_set **ret)
{
    struct andiron_json_iter it = { .of = andiron_json_get(include, "valueSet") };
    struct code_set *own = andiron_new(c->arena, struct code_set);
    const struct code_set *common = NULL;
    bool is_lacking = false;

    if (andiron_json_count(it.of) == 0 || is_there(andiron_json_get(include, "system")) ||
        is_there(andiron_json_get(include, "filter"))) {
        if (own_codes(c, d, include, own) != 0)
            return -1;
        common = own;
    }
    while (andiron_json_next(&it)) {
        const struct code_set *one = NULL;
        struct document *other;
        if (terminology_get(c, "ValueSet", andiron_json_str(it.value), &other) != 0 ||
            (other != NULL && codes_of(c, other, &one) != 0) || spend(c, d, size_of(one)) != 0)
            return -1;
        if (one == NULL)
            is_lacking = true;
        else
            common = common == NULL ? one : intersection(c, common, one);
    }
    *ret = is_lacking ? NULL : common;
    return 0;
}

/* Together, settled. *ret_lacking: some must be read first. */
static int composed(struct compiling *c, const struct document *d, andiron_json includes,
                    struct code_set *set, bool *ret_lacking)
{
    struct andiron_json_iter it = { .of = includes };
    size_t max = (size_t)c->limits->max_codes;

    while (andiron_json_next(&it)) {
        const struct code_set *one;
        if (included(c, d, it.value, &one) != 0 ||
            spend(c, d, size_of(one) + set->system_count) != 0)
            return -1;
        if (one == NULL)
            *ret_lacking = true;
        else
            add_all(c, set, one);
        if (set->count > 2 * max) /* many may be there twice */
            settle(set);
        if (set->count > 2 * max || set->system_count > max)
            return too_many(c, d);
    }
    settle(set);
    return set->count > max ? too_many(c, d) : 0;
}

static int from_compose(struct compiling *c, const struct document *d, andiron_json compose,
                        struct code_set *set, bool *ret_lacking)
{
    struct code_set less = { NULL };
    andiron_json inactive = andiron_json_get(compose, "inactive");

    if (andiron_json_type(inactive) == ANDIRON_JSON_BOOL && !andiron_json_true(inactive))
        return not_supported(c, d, "compose.inactive = false");
    if (composed(c, d, andiron_json_get(compose, "include"), set, ret_lacking) != 0 ||
        composed(c, d, andiron_json_get(compose, "exclude"), &less, ret_lacking) != 0)
        return -1;
    return *ret_lacking ? 0 : take_away(c, d, set, &less);
}

/* Whether it chooses codes by something that is not stored with it. */
static bool has_filters(andiron_json compose)
{
    static const char *const members[] = { "include", "exclude" };
    for (size_t i = 0; i < 2; i++) {
        struct andiron_json_iter it = { .of = andiron_json_get(compose, members[i]) };
        while (andiron_json_next(&it))
            if (is_there(andiron_json_get(it.value, "filter")))
                return true;
    }
    return false;
}

/* ---- expansion --------------------------------------------------------------- */

/* Depth is bounded by the parser's. *ret_seen counts the entries. */
static int contained(struct compiling *c, const struct document *d, andiron_json contains,
                     struct code_set *set, int64_t *ret_seen)
{
    struct andiron_json_iter it = { .of = contains };
    while (andiron_json_next(&it)) {
        struct code code = { andiron_json_str(andiron_json_get(it.value, "system")),
                             andiron_json_str(andiron_json_get(it.value, "code")) };
        bool is_abstract = andiron_json_true(andiron_json_get(it.value, "abstract"));
        ++*ret_seen;
        if (spend(c, d, 0) != 0)
            return -1;
        if (code.text.len > 0 && code.system.len > 0 && !is_abstract) {
            if ((int64_t)set->count == c->limits->max_codes)
                return too_many(c, d);
            add_code(c, set, code);
        }
        if (contained(c, d, andiron_json_get(it.value, "contains"), set, ret_seen) != 0)
            return -1;
    }
    return 0;
}

/* A page of it, or one that was cut, says so: a total, an offset, one of these extensions. */
static bool is_cut(andiron_json expansion, int64_t seen)
{
    static const char *const marks[] = {
        "http://hl7.org/fhir/StructureDefinition/valueset-toocostly",
        "http://hl7.org/fhir/StructureDefinition/valueset-unclosed",
    };
    struct andiron_json_iter it = { .of = andiron_json_get(expansion, "extension") };

    while (andiron_json_next(&it))
        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
            if (andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "url")),
                               andiron_str_of(marks[i])))
                return true;
    return andiron_json_int(andiron_json_get(expansion, "offset"), 0) > 0 ||
           andiron_json_int(andiron_json_get(expansion, "total"), 0) > seen;
}

static int from_expansion(struct compiling *c, const struct document *d, andiron_json expansion,
                          struct code_set *set)
{
    int64_t seen = 0;
    if (contained(c, d, andiron_json_get(expansion, "contains"), set, &seen) != 0)
        return -1;
    if (is_cut(expansion, seen))
        return not_supported(c, d, "an expansion that is not complete");
    settle(set);
    return 0;
}

/* ---- all --------------------------------------------------------------------- */

int codes_of(struct compiling *c, struct document *d, const struct code_set **ret)
{
    andiron_json compose = andiron_json_get(d->root, "compose");
    andiron_json expansion = andiron_json_get(d->root, "expansion");
    bool by_expansion = is_there(expansion) && (!is_there(compose) || has_filters(compose));
    bool is_lacking = false;
    int failed;

    *ret = d->set;
    if (d->set != NULL)
        return 0;
    if (d->is_open)
        return compile_fail(c, "ValueSet \"%.*s\" cannot be used: it includes itself",
                            SHOWN(d->name));
    if (!is_there(compose) && !is_there(expansion))
        return not_supported(c, d, "one without compose and expansion");
    struct code_set *set = andiron_new(c->arena, struct code_set);
    d->is_open = true;
    if (by_expansion)
        failed = from_expansion(c, d, expansion, set);
    else
        failed = from_compose(c, d, compose, set, &is_lacking);
    d->is_open = false;
    if (failed == 0 && !is_lacking)
        *ret = d->set = set;
    return failed;
}
