#include "fhirpath.h"

#include "common/fhir/elements.h"
#include "tree.h"

enum { PATH_MAX_BYTES = 1000 };

struct parser {
    struct fhirpath *f;
    const char *at, *end;
};

static int find_path(struct parser *p, const struct place *from, struct places *ret);

static int fail(const struct parser *p, const char *what)
{
    return andiron_error_set(p->f->err, ANDIRON_E_INVALID, "", "path: %s before '%.*s'", what,
                             (int)(p->end - p->at < 40 ? p->end - p->at : 40), p->at);
}

/* ---- tokens -------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n'))
        p->at++;
}

static bool accept(struct parser *p, char c)
{
    skip_blanks(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

/* A name; absent if there is none. */
static andiron_str name(struct parser *p)
{
    skip_blanks(p);
    if (p->at == p->end || !is_letter(*p->at))
        return (andiron_str){ NULL, 0 };
    const char *from = p->at;
    while (p->at < p->end && (is_letter(*p->at) || is_digit(*p->at)))
        p->at++;
    return (andiron_str){ from, (size_t)(p->at - from) };
}

static bool accept_word(struct parser *p, const char *word)
{
    const char *before = p->at;
    if (andiron_str_eq(name(p), andiron_str_of(word)))
        return true;
    p->at = before;
    return false;
}

static int number(struct parser *p, long *ret)
{
    skip_blanks(p);
    const char *from = p->at;
    long value = 0;
    while (p->at < p->end && is_digit(*p->at) && p->at - from < 9)
        value = value * 10 + (*p->at++ - '0');
    if (p->at == from)
        return fail(p, "a number is needed");
    *ret = value;
    return 0;
}

/* 'text', with \' \\ and the like; the quotes taken off. */
static int quoted(struct parser *p, andiron_str *ret)
{
    if (!accept(p, '\''))
        return fail(p, "a text in single quotes is needed");
    char *out = andiron_alloc(p->f->arena, (size_t)(p->end - p->at) + 1);
    size_t len = 0;
    while (p->at < p->end && *p->at != '\'') {
        if (*p->at == '\\' && p->at + 1 < p->end)
            p->at++;
        out[len++] = *p->at++;
    }
    if (!accept(p, '\''))
        return fail(p, "a quote is missing");
    *ret = (andiron_str){ out, len };
    return 0;
}

/* A value to compare with: 'text', 12.50, true, @2024-01-01. Its text as it stands in JSON. */
static int literal(struct parser *p, andiron_str *ret, bool *ret_is_text)
{
    skip_blanks(p);
    *ret_is_text = true;
    if (p->at < p->end && *p->at == '\'')
        return quoted(p, ret);
    if (p->at < p->end && *p->at == '@')
        p->at++; /* dates are texts in JSON */
    else
        *ret_is_text = false;
    const char *from = p->at;
    while (p->at < p->end &&
           (is_letter(*p->at) || is_digit(*p->at) || memchr("+-:.", *p->at, 4) != NULL))
        p->at++;
    if (p->at == from)
        return fail(p, "a value is needed");
    *ret = (andiron_str){ from, (size_t)(p->at - from) };
    return 0;
}

/* ---- elements ------------------------------------------------------------------------------ */

andiron_str fhirpath_shadow(struct andiron_arena *arena, andiron_str member)
{
    char *with = andiron_alloc(arena, member.len + 2);
    with[0] = '_';
    memcpy(with + 1, member.data, member.len);
    return (andiron_str){ with, member.len + 1 };
}

bool fhirpath_is_primitive(int structure)
{
    return structure >= 0 && fhir_structure_kind(structure) == FHIR_STRUCTURE_PRIMITIVE;
}

int fhirpath_structure(struct andiron_arena *arena, struct node *value, int structure)
{
    if (value == NULL || fhir_structure_name(structure) == NULL ||
        strstr(fhir_structure_name(structure), "Resource") == NULL)
        return structure;
    struct node *type = tree_member(arena, value, ANDIRON_STR("resourceType"));
    int found = type != NULL ? fhir_structure(andiron_json_str(tree_value(arena, type))) : -1;
    return found >= 0 ? found : structure;
}

bool fhirpath_element(struct andiron_arena *arena, int structure, andiron_str element,
                      andiron_str type, struct fhir_element *ret)
{
    if (fhir_element_find(structure, element, ret))
        return true;
    if (type.len == 0)
        return false;
    char *joined = andiron_alloc(arena, element.len + type.len + 1);
    memcpy(joined, element.data, element.len);
    memcpy(joined + element.len, type.data, type.len);
    if (joined[element.len] >= 'a' && joined[element.len] <= 'z')
        joined[element.len] = (char)(joined[element.len] - 'a' + 'A');
    return fhir_element_find(structure, (andiron_str){ joined, element.len + type.len }, ret) &&
           ret->stem == element.len;
}

static void add_place(struct fhirpath *f, struct places *places, struct place place)
{
    if (places->count == places->cap) {
        size_t cap = places->cap > 0 ? places->cap * 2 : 8;
        struct place *more = andiron_alloc(f->arena, cap * sizeof(more[0]));
        if (places->count > 0)
            memcpy(more, places->list, places->count * sizeof(more[0]));
        places->list = more;
        places->cap = cap;
    }
    places->list[places->count++] = place;
}

static struct node *not_null(struct node *node)
{
    return node != NULL && !node->open && andiron_json_type(node->view) == ANDIRON_JSON_NULL ? NULL
                                                                                             : node;
}

/* All values of a member, which is an element of the owner's structure. */
static void add_member(struct fhirpath *f, struct places *places, struct node *object, int owner,
                       const struct fhir_element *element)
{
    andiron_str member = andiron_str_of(element->name);
    struct node *value = tree_member(f->arena, object, member);
    struct node *shadow = tree_member(f->arena, object, fhirpath_shadow(f->arena, member));
    struct place place = { .object = object,
                           .name = member,
                           .index = -1,
                           .structure = element->structure,
                           .owner = owner,
                           .stem = element->stem };
    bool array = (value != NULL && tree_is_array(value)) ||
                 (value == NULL && shadow != NULL && tree_is_array(shadow));

    if (!array) {
        place.value = not_null(value);
        if (place.value != NULL || shadow != NULL)
            add_place(f, places, place);
        return;
    }
    size_t count = value != NULL ? tree_count(f->arena, value) : 0;
    size_t others = shadow != NULL ? tree_count(f->arena, shadow) : 0;
    for (size_t i = 0; i < count || i < others; i++) {
        place.index = (long)i;
        place.value = value != NULL ? not_null(tree_at(f->arena, value, i)) : NULL;
        if (place.value != NULL ||
            (shadow != NULL && not_null(tree_at(f->arena, shadow, i)) != NULL))
            add_place(f, places, place);
    }
}

/* id and extensions of a primitive stand in the member with the underscore. */
static struct node *shadow_of(struct fhirpath *f, const struct place *place)
{
    struct node *shadow =
        tree_member(f->arena, place->object, fhirpath_shadow(f->arena, place->name));
    if (shadow != NULL && place->index >= 0)
        shadow = tree_at(f->arena, shadow, (size_t)place->index);
    return shadow != NULL && tree_is_object(shadow) ? shadow : NULL;
}

static int child_of_primitive(struct parser *p, const struct place *place, andiron_str element,
                              struct places *ret)
{
    struct node *shadow = shadow_of(p->f, place);
    bool is_extension = andiron_str_eq(element, ANDIRON_STR("extension"));

    if (!is_extension && !andiron_str_eq(element, ANDIRON_STR("id")))
        return fail(p, "a primitive has only id and extension");
    struct fhir_element e = { .name = is_extension ? "extension" : "id",
                              .structure =
                                  is_extension ? fhir_structure(ANDIRON_STR("Extension")) : -1 };
    if (shadow != NULL)
        add_member(p->f, ret, shadow, fhir_structure(ANDIRON_STR("Element")), &e);
    return 0;
}

static int child(struct parser *p, const struct place *place, andiron_str element,
                 struct places *ret)
{
    struct fhir_element e;

    if (fhirpath_is_primitive(place->structure))
        return child_of_primitive(p, place, element, ret);
    if (place->value == NULL || !tree_is_object(place->value))
        return 0;
    int structure = fhirpath_structure(p->f->arena, place->value, place->structure);
    if (structure < 0) {
        e = (struct fhir_element){ .name = andiron_copy(p->f->arena, element), .structure = -1 };
        add_member(p->f, ret, place->value, -1, &e);
        return 0;
    }
    if (fhir_element_find(structure, element, &e)) {
        add_member(p->f, ret, place->value, structure, &e);
        return 0;
    }
    bool is_choice = false;
    for (size_t pos = 0; fhir_element_next(structure, &pos, &e);) {
        if (e.stem == 0 || e.stem != element.len || memcmp(e.name, element.data, e.stem) != 0)
            continue;
        is_choice = true;
        add_member(p->f, ret, place->value, structure, &e);
    }
    return is_choice
               ? 0
               : andiron_error_set(p->f->err, ANDIRON_E_INVALID, "",
                                   "path: %s has no element '%.*s'", fhir_structure_name(structure),
                                   (int)(element.len < 60 ? element.len : 60), element.data);
}

/* ---- functions ------------------------------------------------------------------------------ */

static bool equals(struct parser *p, const struct place *place, andiron_str text, bool is_text)
{
    if (place->value == NULL)
        return false;
    andiron_json v = tree_value(p->f->arena, place->value);
    return andiron_str_eq(is_text ? andiron_json_str(v) : andiron_json_raw(v), text);
}

/* One comparison: "use = 'official'", "given.exists()" or a path that leads to true. */
static int comparison(struct parser *p, const struct place *place, bool *ret)
{
    struct places found = { NULL, 0, 0 };
    andiron_str text = ANDIRON_STR("true");
    bool is_text = false;

    if (find_path(p, place, &found) != 0)
        return -1;
    *ret = false;
    if (accept(p, '.')) {
        if (!accept_word(p, "exists") || !accept(p, '(') || !accept(p, ')'))
            return fail(p, "only exists() may stand at the end of a condition");
        *ret = found.count > 0;
        return 0;
    }
    if (accept(p, '=') && literal(p, &text, &is_text) != 0)
        return -1;
    for (size_t i = 0; i < found.count && !*ret; i++)
        *ret = equals(p, &found.list[i], text, is_text);
    return 0;
}

static int where(struct parser *p, const struct places *from, struct places *ret)
{
    const char *begin = p->at;
    struct place nothing = { .structure = -1, .index = -1 };

    for (size_t i = 0; i < from->count || i == 0; i++) {
        const struct place *place = i < from->count ? &from->list[i] : &nothing;
        bool all = true, one;
        p->at = begin; /* the condition is read for each element anew */
        do {
            if (comparison(p, place, &one) != 0)
                return -1;
            all = all && one;
        } while (accept_word(p, "and"));
        if (i < from->count && all)
            add_place(p->f, ret, *place);
    }
    return accept(p, ')') ? 0 : fail(p, "')' is needed");
}

static int of_type(struct parser *p, andiron_str type, const struct places *from,
                   struct places *ret)
{
    if (type.len == 0)
        return fail(p, "a type is needed");
    for (size_t i = 0; i < from->count; i++) {
        const char *own = fhir_structure_name(
            fhirpath_structure(p->f->arena, from->list[i].value, from->list[i].structure));
        if (own != NULL && andiron_str_eq(andiron_str_of(own), type))
            add_place(p->f, ret, from->list[i]);
    }
    return 0;
}

static int extension(struct parser *p, const struct places *from, struct places *ret)
{
    struct places all = { NULL, 0, 0 };
    andiron_str url;

    if (quoted(p, &url) != 0)
        return -1;
    for (size_t i = 0; i < from->count; i++)
        if (child(p, &from->list[i], ANDIRON_STR("extension"), &all) != 0)
            return -1;
    for (size_t i = 0; i < all.count; i++) {
        struct node *own = all.list[i].value != NULL
                               ? tree_member(p->f->arena, all.list[i].value, ANDIRON_STR("url"))
                               : NULL;
        if (own != NULL && andiron_str_eq(andiron_json_str(tree_value(p->f->arena, own)), url))
            add_place(p->f, ret, all.list[i]);
    }
    return accept(p, ')') ? 0 : fail(p, "')' is needed");
}

/* What stands behind "name(". */
static int function(struct parser *p, andiron_str called, const struct places *from,
                    struct places *ret)
{
    bool is_first = andiron_str_eq(called, ANDIRON_STR("first"));

    if (andiron_str_eq(called, ANDIRON_STR("where")))
        return where(p, from, ret);
    if (andiron_str_eq(called, ANDIRON_STR("extension")))
        return extension(p, from, ret);
    if (is_first || andiron_str_eq(called, ANDIRON_STR("last"))) {
        if (from->count > 0)
            add_place(p->f, ret, from->list[is_first ? 0 : from->count - 1]);
    } else if (andiron_str_eq(called, ANDIRON_STR("ofType")) ||
               andiron_str_eq(called, ANDIRON_STR("as"))) {
        if (of_type(p, name(p), from, ret) != 0)
            return -1;
    } else {
        return fail(p, "only where, first, last, extension, ofType and as are known");
    }
    return accept(p, ')') ? 0 : fail(p, "')' is needed");
}

/* ---- paths ---------------------------------------------------------------------------------- */

static int step(struct parser *p, andiron_str called, const struct places *from, struct places *ret)
{
    if (called.len == 0)
        return fail(p, "the name of an element is needed");
    if (accept(p, '('))
        return function(p, called, from, ret);
    for (size_t i = 0; i < from->count; i++)
        if (child(p, &from->list[i], called, ret) != 0)
            return -1;
    return 0;
}

static int index_of(struct parser *p, struct places *places)
{
    long index = 0;

    if (number(p, &index) != 0)
        return -1;
    if (!accept(p, ']'))
        return fail(p, "']' is needed");
    if ((size_t)index < places->count) {
        places->list += index;
        places->count = 1;
    } else {
        places->count = 0;
    }
    places->cap = places->count;
    return 0;
}

/* Whether ".exists()" comes next: the end of a condition, no step. */
static bool exists_next(const struct parser *p)
{
    static const char word[] = ".exists";
    return (size_t)(p->end - p->at) >= sizeof(word) && memcmp(p->at, word, sizeof(word) - 1) == 0;
}

/* (path as Type) */
static int cast(struct parser *p, const struct place *from, struct places *ret)
{
    struct places inner = { NULL, 0, 0 };

    if (find_path(p, from, &inner) != 0)
        return -1;
    if (!accept_word(p, "as"))
        *ret = inner;
    else if (of_type(p, name(p), &inner, ret) != 0)
        return -1;
    return accept(p, ')') ? 0 : fail(p, "')' is needed");
}

static int find_path(struct parser *p, const struct place *from, struct places *ret)
{
    struct places now = { NULL, 0, 0 };

    add_place(p->f, &now, *from);
    if (accept(p, '(')) {
        struct places inner = { NULL, 0, 0 };
        if (cast(p, from, &inner) != 0)
            return -1;
        now = inner;
    } else {
        andiron_str first = name(p);
        const char *type = fhir_structure_name(from->structure);
        struct places next = { NULL, 0, 0 };
        bool is_root = from->object == NULL && type != NULL &&
                       (andiron_str_eq(first, andiron_str_of(type)) ||
                        andiron_str_eq(first, ANDIRON_STR("Resource")) ||
                        andiron_str_eq(first, ANDIRON_STR("DomainResource")));
        if (!is_root) {
            if (step(p, first, &now, &next) != 0)
                return -1;
            now = next;
        }
    }
    for (;;) {
        skip_blanks(p);
        if (accept(p, '[')) {
            if (index_of(p, &now) != 0)
                return -1;
            continue;
        }
        if (exists_next(p) || !accept(p, '.'))
            break;
        struct places next = { NULL, 0, 0 };
        if (step(p, name(p), &now, &next) != 0)
            return -1;
        now = next;
    }
    *ret = now;
    return 0;
}

int fhirpath_find(struct fhirpath *f, andiron_str path, struct places *ret)
{
    struct parser p = { .f = f, .at = path.data, .end = path.data + path.len };
    struct place root = { .index = -1, .value = f->root, .structure = f->structure };

    if (path.len == 0 || path.len > PATH_MAX_BYTES)
        return andiron_error_set(f->err, ANDIRON_E_INVALID, "",
                                 "a path must have 1 to %d characters", PATH_MAX_BYTES);
    if (find_path(&p, &root, ret) != 0)
        return -1;
    if (accept_word(&p, "as")) { /* value as Quantity, without parentheses */
        struct places cut = { NULL, 0, 0 };
        if (of_type(&p, name(&p), ret, &cut) != 0)
            return -1;
        *ret = cut;
    }
    skip_blanks(&p);
    return p.at == p.end ? 0 : fail(&p, "something that is not understood stands here, just");
}
