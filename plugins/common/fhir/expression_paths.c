/*
 * Expressions of search parameters: syntax tree to paths, by the types of R4's elements. See
 * expression.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "elements.h"
#include "expression.h"
#include "expression_tree.h"
#include "tables.h"
#include "types.h"

enum { PATHS_MAX = 1024, STEPS_MAX = 32, TREE_DEPTH_MAX = 256 };

#define SHOWN(s) (int)((s).len < 60 ? (s).len : 60), (s).data

/* ---- types ------------------------------------------------------------------- */

/* What a data type is derived from (R4 datatypes.html), besides Element. */
static const struct {
    const char *type, *base;
} derived[] = {
    { "Age", "Quantity" },
    { "Count", "Quantity" },
    { "Distance", "Quantity" },
    { "Duration", "Quantity" },
    { "canonical", "uri" },
    { "oid", "uri" },
    { "url", "uri" },
    { "uuid", "uri" },
    { "code", "string" },
    { "id", "string" },
    { "markdown", "string" },
    { "positiveInt", "integer" },
    { "unsignedInt", "integer" },
};

bool fhir_structure_is(int structure, andiron_str wanted)
{
    const char *name = fhir_structure_name(structure);

    while (name != NULL) {
        const char *type = name;
        if (strlen(type) == wanted.len && strncasecmp(type, wanted.data, wanted.len) == 0)
            return true;
        name = NULL;
        for (size_t i = 0; i < sizeof(derived) / sizeof(derived[0]); i++)
            if (strcmp(type, derived[i].type) == 0)
                name = derived[i].base;
    }
    return false;
}

/* By kind of parameter and type of element; as in tools/fhir/kinds.js. */
static const struct {
    enum fhir_param_kind kind;
    enum fhir_how how;
    const char *type;
} indexable[] = {
    { FHIR_PARAM_TOKEN, FHIR_HOW_CODE, "code" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_CODING, "Coding" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_CODEABLE, "CodeableConcept" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_IDENTIFIER, "Identifier" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_CONTACT, "ContactPoint" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_BOOLEAN, "boolean" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_LABEL, "string" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "id" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "uri" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "string" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "markdown" },
    { FHIR_PARAM_STRING, FHIR_HOW_HUMAN_NAME, "HumanName" },
    { FHIR_PARAM_STRING, FHIR_HOW_ADDRESS, "Address" },
    { FHIR_PARAM_DATE, FHIR_HOW_DATE, "date" },
    { FHIR_PARAM_DATE, FHIR_HOW_DATE, "dateTime" },
    { FHIR_PARAM_DATE, FHIR_HOW_INSTANT, "instant" },
    { FHIR_PARAM_DATE, FHIR_HOW_PERIOD, "Period" },
    { FHIR_PARAM_DATE, FHIR_HOW_TIMING, "Timing" },
    { FHIR_PARAM_DATE, FHIR_HOW_DATE, "string" },
    { FHIR_PARAM_DATE, FHIR_HOW_PRESENT, "Age" },
    { FHIR_PARAM_DATE, FHIR_HOW_PRESENT, "Range" },
    { FHIR_PARAM_NUMBER, FHIR_HOW_NUMBER, "decimal" },
    { FHIR_PARAM_NUMBER, FHIR_HOW_NUMBER, "integer" },
    { FHIR_PARAM_NUMBER, FHIR_HOW_NUMBER_RANGE, "Range" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_QUANTITY, "Quantity" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_QUANTITY, "Age" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_QUANTITY, "Duration" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_MONEY, "Money" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_RANGE, "Range" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_SAMPLED, "SampledData" },
    { FHIR_PARAM_REFERENCE, FHIR_HOW_REFERENCE, "Reference" },
    { FHIR_PARAM_REFERENCE, FHIR_HOW_CANONICAL, "canonical" },
    { FHIR_PARAM_REFERENCE, FHIR_HOW_CANONICAL, "uri" },
    { FHIR_PARAM_REFERENCE, FHIR_HOW_RESOURCE, "Resource" },
    { FHIR_PARAM_REFERENCE, FHIR_HOW_ATTACHMENT, "Attachment" },
    { FHIR_PARAM_URI, FHIR_HOW_URI, "uri" },
    { FHIR_PARAM_URI, FHIR_HOW_URI, "url" },
    { FHIR_PARAM_URI, FHIR_HOW_URI, "canonical" },
    { FHIR_PARAM_SPECIAL, FHIR_HOW_POSITION, "Location.position" },
    /* Types that no parameter of R4 has, but those of others may. */
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "canonical" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "url" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "oid" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "uuid" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "integer" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "positiveInt" },
    { FHIR_PARAM_TOKEN, FHIR_HOW_TEXT, "unsignedInt" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "code" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "id" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "uri" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "url" },
    { FHIR_PARAM_STRING, FHIR_HOW_STRING, "canonical" },
    { FHIR_PARAM_NUMBER, FHIR_HOW_NUMBER, "positiveInt" },
    { FHIR_PARAM_NUMBER, FHIR_HOW_NUMBER, "unsignedInt" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_QUANTITY, "Count" },
    { FHIR_PARAM_QUANTITY, FHIR_HOW_QUANTITY, "Distance" },
    { FHIR_PARAM_REFERENCE, FHIR_HOW_CANONICAL, "url" },
    { FHIR_PARAM_URI, FHIR_HOW_URI, "oid" },
    { FHIR_PARAM_URI, FHIR_HOW_URI, "uuid" },
};

bool fhir_how_of(enum fhir_param_kind kind, int structure, enum fhir_how *ret)
{
    const char *type = fhir_structure_name(structure);

    for (size_t i = 0; i < sizeof(indexable) / sizeof(indexable[0]); i++)
        if (indexable[i].kind == kind && strcmp(indexable[i].type, type) == 0) {
            *ret = indexable[i].how;
            return true;
        }
    return false;
}

/* ---- paths ------------------------------------------------------------------- */

static int fail(struct fhir_resolving *r, const char *fmt, ...) ANDIRON_PRINTF(2, 3);
static int fail(struct fhir_resolving *r, const char *fmt, ...)
{
    char message[sizeof(r->err->message)];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    return andiron_error_set(r->err, ANDIRON_E_UNPROCESSABLE, "", "%s", message);
}

static int add(struct fhir_resolving *r, struct fhir_paths *list, struct fhir_path path)
{
    if (r->made++ == PATHS_MAX)
        return fail(r, "it leads to more than %d paths", PATHS_MAX);
    struct fhir_path *own = andiron_new(r->arena, struct fhir_path);
    *own = path;
    own->next = NULL;
    *(list->first == NULL ? &list->first : list->end) = own;
    list->end = &own->next;
    list->count++;
    return 0;
}

static int step(struct fhir_resolving *r, struct fhir_paths *list, const struct fhir_path *from,
                struct fhir_path_step next, int structure, int owner)
{
    struct fhir_path path = *from;
    struct fhir_path_step *own = andiron_new(r->arena, struct fhir_path_step);

    *own = next;
    own->before = from->last;
    own->depth = from->last != NULL ? from->last->depth + 1 : 1;
    if (own->depth > STEPS_MAX)
        return fail(r, "it has more than %d steps", STEPS_MAX);
    path.last = own;
    path.structure = structure;
    path.owner = owner;
    return add(r, list, path);
}

static int paths_of(struct fhir_resolving *r, const struct fhir_tree *tree, int depth,
                    struct fhir_paths *ret);

/* ---- members ----------------------------------------------------------------- */

/* Steps to the elements of that name: one, or all forms of a choice; also one form by its name. */
static int children(struct fhir_resolving *r, const struct fhir_path *from, andiron_str name,
                    struct fhir_paths *ret)
{
    struct fhir_element element;
    size_t before = ret->count;

    if (fhir_element_find(from->structure, name, &element) && element.stem == 0)
        return step(r, ret, from, (struct fhir_path_step){ .member = andiron_str_of(element.name) },
                    element.structure, from->structure);
    for (size_t pos = 0; fhir_element_next(from->structure, &pos, &element);)
        if (element.stem == name.len && memcmp(element.name, name.data, name.len) == 0 &&
            step(r, ret, from, (struct fhir_path_step){ .member = andiron_str_of(element.name) },
                 element.structure, from->structure) != 0)
            return -1;
    if (ret->count == before && fhir_element_find(from->structure, name, &element))
        return step(r, ret, from, (struct fhir_path_step){ .member = andiron_str_of(element.name) },
                    element.structure, from->structure);
    return 0;
}

/* The first name of a path: a type, %resource, or a member of what it starts from. 1: a member. */
static int first_name(struct fhir_resolving *r, andiron_str name, struct fhir_paths *ret)
{
    struct fhir_path start = { .structure = r->base, .owner = -1 };

    if (andiron_str_eq(name, ANDIRON_STR("%resource"))) {
        start.structure = r->resource;
        start.from_resource = true;
        return add(r, ret, start);
    }
    if (name.len > 0 && (name.data[0] == '%' ||
                         (name.data[0] == '$' && !andiron_str_eq(name, ANDIRON_STR("$this")))))
        return fail(r, "%.*s is not supported; of such names only %%resource is", SHOWN(name));
    if (andiron_str_eq(name, ANDIRON_STR("$this")) ||
        andiron_str_eq(name, andiron_str_of(fhir_structure_name(r->base))) ||
        andiron_str_eq(name, ANDIRON_STR("Resource")) ||
        andiron_str_eq(name, ANDIRON_STR("DomainResource")))
        return add(r, ret, start);
    if (name.len > 0 && name.data[0] >= 'A' && name.data[0] <= 'Z') {
        if (fhir_type(name) < 0)
            return fail(r, "there is no type %.*s", SHOWN(name));
        r->is_other = true; /* a part of the union for another type */
        return 0;
    }
    return 1;
}

static int member_paths(struct fhir_resolving *r, const struct fhir_tree *tree, int depth,
                        struct fhir_paths *ret)
{
    struct fhir_paths of = { .count = 0 };
    size_t before = ret->count;

    if (tree->of->op == FHIR_TREE_START) {
        int first = first_name(r, tree->text, ret);
        if (first <= 0)
            return first;
    }
    if (paths_of(r, tree->of, depth, &of) != 0)
        return -1;
    for (const struct fhir_path *path = of.first; path != NULL; path = path->next)
        if (children(r, path, tree->text, ret) != 0)
            return -1;
    if (of.first != NULL && ret->count == before)
        return fail(r, "%s has no element \"%.*s\"", fhir_structure_name(of.first->structure),
                    SHOWN(tree->text));
    return 0;
}

/* ---- guards ------------------------------------------------------------------ */

static int guard_paths(struct fhir_resolving *r, const struct fhir_tree *tree,
                       struct fhir_path_step guard, int depth, struct fhir_paths *ret)
{
    struct fhir_paths of = { .count = 0 };

    if (paths_of(r, tree->of, depth, &of) != 0)
        return -1;
    for (const struct fhir_path *path = of.first; path != NULL; path = path->next)
        if (step(r, ret, path, guard, path->structure, path->owner) != 0)
            return -1;
    return 0;
}

static int where_paths(struct fhir_resolving *r, const struct fhir_tree *tree, int depth,
                       struct fhir_paths *ret)
{
    const struct fhir_tree *with = tree->with;

    if (with->op == FHIR_TREE_IS && with->of->op == FHIR_TREE_RESOLVE &&
        with->of->of->op == FHIR_TREE_START) {
        if (fhir_type(with->text) < 0)
            return fail(r, "there is no resource type %.*s", SHOWN(with->text));
        return guard_paths(
            r, tree, (struct fhir_path_step){ .guard = FHIR_GUARD_REFERENCE, .a = with->text },
            depth, ret);
    }
    if (with->op == FHIR_TREE_EQ && with->of->op == FHIR_TREE_MEMBER &&
        with->of->of->op == FHIR_TREE_START)
        return guard_paths(
            r, tree,
            (struct fhir_path_step){ .guard = FHIR_GUARD_EQ, .a = with->of->text, .b = with->text },
            depth, ret);
    return fail(r, "where() supports only \"element = 'text'\" and \"resolve() is Type\"");
}

static int as_paths(struct fhir_resolving *r, const struct fhir_tree *tree, int depth,
                    struct fhir_paths *ret)
{
    struct fhir_paths of = { .count = 0 };

    if (paths_of(r, tree->of, depth, &of) != 0)
        return -1;
    for (const struct fhir_path *path = of.first; path != NULL; path = path->next)
        if (fhir_structure_is(path->structure, tree->text) && add(r, ret, *path) != 0)
            return -1;
    return 0;
}

/* ---- all --------------------------------------------------------------------- */

static int paths_of(struct fhir_resolving *r, const struct fhir_tree *tree, int depth,
                    struct fhir_paths *ret)
{
    if (depth == TREE_DEPTH_MAX)
        return fail(r, "it has more than %d parts", TREE_DEPTH_MAX);
    depth++;
    switch (tree->op) {
    case FHIR_TREE_START:
        return add(r, ret, (struct fhir_path){ .structure = r->base, .owner = -1 });
    case FHIR_TREE_UNION:
        return paths_of(r, tree->of, depth, ret) != 0 || paths_of(r, tree->with, depth, ret) != 0
                   ? -1
                   : 0;
    case FHIR_TREE_MEMBER:
        return member_paths(r, tree, depth, ret);
    case FHIR_TREE_AS:
        return as_paths(r, tree, depth, ret);
    case FHIR_TREE_INDEX:
        return guard_paths(
            r, tree, (struct fhir_path_step){ .guard = FHIR_GUARD_INDEX, .index = tree->index },
            depth, ret);
    case FHIR_TREE_WHERE:
        return where_paths(r, tree, depth, ret);
    case FHIR_TREE_EXISTS:
        return fail(r, "exists() is supported only at the end, for whether an element of the "
                       "resource is there");
    case FHIR_TREE_RESOLVE:
        return fail(r, "resolve() is supported only as where(resolve() is Type)");
    case FHIR_TREE_IS:
        return fail(r, "\"is\" is supported only as where(resolve() is Type)");
    case FHIR_TREE_EQ:
    case FHIR_TREE_NE:
    case FHIR_TREE_AND:
        break;
    }
    return fail(r, "comparisons are supported in where(), and joined by \"and\" with exists()");
}

int fhir_expression_paths(struct fhir_resolving *r, const struct fhir_tree *tree,
                          struct fhir_paths *ret)
{
    *ret = (struct fhir_paths){ .count = 0 };
    return paths_of(r, tree, 0, ret);
}
