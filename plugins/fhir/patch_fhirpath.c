/*
 * FHIRPath Patch (fhirpatch.html): add, insert, delete, replace and move.
 *
 * Arrays of primitives and the arrays of their extensions ("_given") are kept in step.
 */
#include "common/fhir/elements.h"
#include "fhirpath.h"
#include "patch.h"
#include "tree.h"

struct operation {
    struct patching *p;
    size_t index;
    andiron_str type, path, name;
    andiron_json value;              /* the part named value */
    int64_t at, source, destination; /* -1: not given */
};

/* A value of the patch: its content, extensions of a primitive, and its type. */
struct given {
    struct node *value, *shadow; /* either may be NULL */
    andiron_str type;            /* "Quantity", of valueQuantity; absent: not said */
};

#define SHOWN(s) (int)((s).len < 80 ? (s).len : 80), (s).len > 0 ? (s).data : ""

static int malformed(const struct operation *o, const char *what)
{
    return andiron_error_set(o->p->err, ANDIRON_E_INVALID, "", "operation %zu of the patch: %s",
                             o->index, what);
}

static int unfit(const struct operation *o, const char *why)
{
    return andiron_error_set(o->p->err, ANDIRON_E_UNPROCESSABLE, "",
                             "operation %zu of the patch, %.*s %.*s: %s", o->index, SHOWN(o->type),
                             SHOWN(o->path), why);
}

/* ---- editing members ------------------------------------------------------------------------ */

static struct node *null_node(struct andiron_arena *arena)
{
    andiron_json null = { NULL, 0 };
    struct andiron_error err;
    if (andiron_json_parse(arena, ANDIRON_STR("null"), &null, &err) != 0)
        null = (andiron_json){ NULL, 0 }; /* it is JSON */
    return tree_new(arena, null);
}

/* The array of a member, made as long as count by nulls. */
static struct node *array_of(struct andiron_arena *arena, struct node *object, andiron_str name,
                             size_t count)
{
    struct node *array = tree_member(arena, object, name);
    if (array == NULL) {
        array = tree_array(arena);
        tree_set(arena, object, name, array);
    }
    while (tree_count(arena, array) < count)
        tree_insert(arena, array, TREE_END, null_node(arena));
    return array;
}

static size_t length_of(struct andiron_arena *arena, struct node *object, andiron_str name)
{
    struct node *array = tree_member(arena, object, name);
    return array != NULL ? tree_count(arena, array) : 0;
}

/* Inserts into a repeating element; index is at most its length. */
static void insert(struct andiron_arena *arena, struct node *object, andiron_str name, size_t index,
                   const struct given *given)
{
    andiron_str shadow = fhirpath_shadow(arena, name);
    size_t length = length_of(arena, object, name), others = length_of(arena, object, shadow);

    if (others > length)
        length = others;
    if (given->value != NULL || length > 0)
        tree_insert(arena, array_of(arena, object, name, length), (long)index,
                    given->value != NULL ? given->value : null_node(arena));
    if (given->shadow != NULL || others > 0)
        tree_insert(arena, array_of(arena, object, shadow, length), (long)index,
                    given->shadow != NULL ? given->shadow : null_node(arena));
}

static bool is_empty(struct andiron_arena *arena, struct node *array)
{
    for (size_t i = 0; i < tree_count(arena, array); i++) {
        struct node *one = tree_at(arena, array, i);
        if (one->open || andiron_json_type(one->view) != ANDIRON_JSON_NULL)
            return false;
    }
    return true;
}

static void take(struct andiron_arena *arena, struct node *object, andiron_str name, long index)
{
    struct node *member = tree_member(arena, object, name);

    if (member == NULL)
        return;
    if (index >= 0)
        (void)tree_take_at(arena, member, (size_t)index);
    if (index < 0 || is_empty(arena, member)) /* FHIR has no empty arrays */
        (void)tree_take_member(arena, object, name);
}

/* Sets what stands at a place of its own: extensions that are not given go with the old value. */
static void set(struct andiron_arena *arena, struct node *object, andiron_str name, long index,
                struct node *value)
{
    struct node *array = index >= 0 ? tree_member(arena, object, name) : NULL;

    if (index >= 0 && (array != NULL || value != NULL)) {
        array = array_of(arena, object, name, (size_t)index + 1);
        tree_replace(arena, array, (size_t)index, value != NULL ? value : null_node(arena));
        if (is_empty(arena, array))
            (void)tree_take_member(arena, object, name);
    } else if (value != NULL) {
        tree_set(arena, object, name, value);
    } else {
        (void)tree_take_member(arena, object, name);
    }
}

/* ---- values --------------------------------------------------------------------------------- */

static int read_value(struct operation *o, andiron_json part, int structure, struct given *ret);

/* Adds one part of an anonymous type, such as a contact, to the object that is being made. */
static int add_part(struct operation *o, struct node *object, int structure, andiron_json part)
{
    struct andiron_arena *arena = o->p->arena;
    andiron_str name = andiron_json_str(andiron_json_get(part, "name"));
    struct fhir_element e = { .structure = -1 };
    struct given given;

    if (name.len == 0)
        return malformed(o, "each part of a value needs a name");
    /* The type that a choice has is known only from the value. */
    bool known = fhirpath_element(arena, structure, name, (andiron_str){ NULL, 0 }, &e);
    if (read_value(o, part, known ? e.structure : -1, &given) != 0)
        return -1;
    if (!known && !fhirpath_element(arena, structure, name, given.type, &e))
        return malformed(o, "a part of the value is no element of its type");
    name = andiron_str_of(e.name);
    if (e.is_array) {
        insert(arena, object, name, length_of(arena, object, name), &given);
        return 0;
    }
    set(arena, object, name, -1, given.value);
    if (given.shadow != NULL)
        tree_set(arena, object, fhirpath_shadow(arena, name), given.shadow);
    return 0;
}

/* value[x], resource, or parts: of a part named value, or of a part of one. */
static int read_value(struct operation *o, andiron_json part, int structure, struct given *ret)
{
    struct andiron_arena *arena = o->p->arena;
    struct andiron_json_iter it = { .of = part };

    *ret = (struct given){ NULL, NULL, { NULL, 0 } };
    while (andiron_json_next(&it)) {
        if (it.name.len > 5 && memcmp(it.name.data, "value", 5) == 0) {
            ret->value = tree_new(arena, it.value);
            ret->type = (andiron_str){ it.name.data + 5, it.name.len - 5 };
        } else if (it.name.len > 6 && memcmp(it.name.data, "_value", 6) == 0) {
            ret->shadow = tree_new(arena, it.value);
            ret->type = (andiron_str){ it.name.data + 6, it.name.len - 6 };
        } else if (andiron_str_eq(it.name, ANDIRON_STR("resource"))) {
            ret->value = tree_new(arena, it.value);
        }
    }
    if (ret->value != NULL || ret->shadow != NULL)
        return 0;
    it = (struct andiron_json_iter){ .of = andiron_json_get(part, "part") };
    if (andiron_json_count(it.of) == 0)
        return malformed(o, "a value is needed");
    ret->value = tree_object(arena);
    while (andiron_json_next(&it))
        if (add_part(o, ret->value, structure, it.value) != 0)
            return -1;
    return 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static int find(struct operation *o, struct places *ret)
{
    struct fhirpath f = { .arena = o->p->arena,
                          .root = o->p->root,
                          .structure = fhir_structure(o->p->type->str),
                          .err = o->p->err };
    return fhirpath_find(&f, o->path, ret);
}

static int find_one(struct operation *o, struct place *ret)
{
    struct places places = { NULL, 0, 0 };

    if (find(o, &places) != 0)
        return -1;
    if (places.count != 1)
        return unfit(o, places.count == 0 ? "there is no such element"
                                          : "there are several such elements; name one");
    *ret = places.list[0];
    return 0;
}

/* The object to which elements can be added: of a primitive the one with its extensions. */
static struct node *object_of(struct operation *o, const struct place *place)
{
    struct andiron_arena *arena = o->p->arena;

    if (!fhirpath_is_primitive(place->structure))
        return place->value != NULL && tree_is_object(place->value) ? place->value : NULL;
    andiron_str name = fhirpath_shadow(arena, place->name);
    struct node *shadow = tree_member(arena, place->object, name);
    if (place->index >= 0) {
        size_t length = length_of(arena, place->object, place->name);
        shadow = tree_at(arena, array_of(arena, place->object, name, length), (size_t)place->index);
    }
    if (shadow != NULL && tree_is_object(shadow))
        return shadow;
    shadow = tree_object(arena);
    set(arena, place->object, name, place->index, shadow);
    return shadow;
}

/* Whether the object has the element, under any type that a choice may have. */
static bool has_element(struct operation *o, struct node *object, const struct fhir_element *e)
{
    struct andiron_arena *arena = o->p->arena;

    for (size_t i = 0; i < tree_count(arena, object); i++) {
        andiron_str name = object->children[i]->name;
        if (name.len > 1 && name.data[0] == '_')
            name.data++, name.len--;
        if (andiron_str_eq(name, andiron_str_of(e->name)))
            return true;
        if (e->stem > 0 && name.len > e->stem && memcmp(name.data, e->name, e->stem) == 0 &&
            name.data[e->stem] >= 'A' && name.data[e->stem] <= 'Z')
            return true;
    }
    return false;
}

static int add(struct operation *o)
{
    struct andiron_arena *arena = o->p->arena;
    struct fhir_element e = { .structure = -1 };
    struct place place;
    struct given given;

    if (o->name.len == 0)
        return malformed(o, "a name is needed");
    if (find_one(o, &place) != 0)
        return -1;
    struct node *object = object_of(o, &place);
    if (object == NULL)
        return unfit(o, "nothing can be added to this element");
    int structure = fhirpath_is_primitive(place.structure)
                        ? fhir_structure(ANDIRON_STR("Element"))
                        : fhirpath_structure(arena, place.value, place.structure);
    bool known = fhirpath_element(arena, structure, o->name, (andiron_str){ NULL, 0 }, &e);
    if (read_value(o, o->value, known ? e.structure : -1, &given) != 0)
        return -1;
    if (!known && !fhirpath_element(arena, structure, o->name, given.type, &e))
        return malformed(o, "name is no element there, or not with a value of this type");
    andiron_str name = andiron_str_of(e.name);
    if (e.is_array) {
        insert(arena, object, name, length_of(arena, object, name), &given);
        return 0;
    }
    if (has_element(o, object, &e))
        return unfit(o, "the element is there already; replace it");
    set(arena, object, name, -1, given.value);
    if (given.shadow != NULL)
        tree_set(arena, object, fhirpath_shadow(arena, name), given.shadow);
    return 0;
}

/* The repeating element that a path names: all places are its repetitions. */
static int find_list(struct operation *o, struct place *ret, size_t *ret_length)
{
    struct places places = { NULL, 0, 0 };

    if (find(o, &places) != 0)
        return -1;
    if (places.count == 0 || places.list[0].index < 0)
        return unfit(o, "there is no such list");
    for (size_t i = 1; i < places.count; i++)
        if (places.list[i].object != places.list[0].object ||
            !andiron_str_eq(places.list[i].name, places.list[0].name))
            return unfit(o, "these are several lists; name one");
    *ret = places.list[0];
    size_t length = length_of(o->p->arena, ret->object, ret->name);
    size_t others = length_of(o->p->arena, ret->object, fhirpath_shadow(o->p->arena, ret->name));
    *ret_length = length > others ? length : others;
    return 0;
}

static int insert_at(struct operation *o)
{
    struct place place;
    struct given given;
    size_t length;

    if (o->at < 0)
        return malformed(o, "an index is needed");
    if (find_list(o, &place, &length) != 0)
        return -1;
    if ((size_t)o->at > length)
        return unfit(o, "the list has no such place");
    if (read_value(o, o->value, place.structure, &given) != 0)
        return -1;
    insert(o->p->arena, place.object, place.name, (size_t)o->at, &given);
    return 0;
}

static int move(struct operation *o)
{
    struct andiron_arena *arena = o->p->arena;
    struct place place;
    size_t length;

    if (o->source < 0 || o->destination < 0)
        return malformed(o, "source and destination are needed");
    if (find_list(o, &place, &length) != 0)
        return -1;
    if ((size_t)o->source >= length || (size_t)o->destination >= length)
        return unfit(o, "the list has no such place");
    andiron_str names[] = { place.name, fhirpath_shadow(arena, place.name) };
    for (size_t i = 0; i < 2; i++) {
        if (tree_member(arena, place.object, names[i]) == NULL)
            continue;
        struct node *array = array_of(arena, place.object, names[i], length);
        struct node *moved = tree_take_at(arena, array, (size_t)o->source);
        tree_insert(arena, array, (long)o->destination, moved);
    }
    return 0;
}

static int delete (struct operation *o)
{
    struct places places = { NULL, 0, 0 };

    if (find(o, &places) != 0)
        return -1;
    if (places.count == 0)
        return 0; /* fhirpatch.html: no error */
    if (places.count > 1)
        return unfit(o, "there are several such elements; name one");
    const struct place *place = &places.list[0];
    if (place->object == NULL)
        return unfit(o, "the whole resource cannot be deleted");
    take(o->p->arena, place->object, place->name, place->index);
    take(o->p->arena, place->object, fhirpath_shadow(o->p->arena, place->name), place->index);
    return 0;
}

static int replace(struct operation *o)
{
    struct andiron_arena *arena = o->p->arena;
    struct fhir_element e;
    struct place place;
    struct given given;

    if (find_one(o, &place) != 0)
        return -1;
    if (place.object == NULL)
        return unfit(o, "the whole resource cannot be replaced; use PUT");
    if (read_value(o, o->value, place.structure, &given) != 0)
        return -1;
    andiron_str stem = { place.name.data, place.stem };
    if (place.stem > 0 && given.type.len > 0) { /* with its type the name of the member changes */
        if (!fhirpath_element(arena, place.owner, stem, given.type, &e))
            return malformed(o, "the element cannot have a value of this type");
        if (!andiron_str_eq(andiron_str_of(e.name), place.name)) {
            (void)tree_take_member(arena, place.object, place.name);
            (void)tree_take_member(arena, place.object, fhirpath_shadow(arena, place.name));
            place.name = andiron_str_of(e.name);
        }
    }
    set(arena, place.object, place.name, place.index, given.value);
    set(arena, place.object, fhirpath_shadow(arena, place.name), place.index, given.shadow);
    return 0;
}

/* ---- the patch -------------------------------------------------------------------------------- */

/* A whole number that a part holds; -1 for anything else. */
static int64_t number_of(andiron_json part)
{
    int64_t n = andiron_json_int(andiron_json_get(part, "valueInteger"), -1);
    return n >= 0 && n < 1000000000 ? n : -1;
}

static andiron_str text_of(andiron_json part)
{
    andiron_str s = andiron_json_str(andiron_json_get(part, "valueString"));
    return s.data != NULL ? s : andiron_json_str(andiron_json_get(part, "valueCode"));
}

static int read_operation(struct operation *o, andiron_json parameter)
{
    static const char *const names[] = { "type",  "path",   "name",       "value",
                                         "index", "source", "destination" };
    enum { TYPE, PATH, NAME, VALUE, INDEX, SOURCE, DESTINATION, PARTS };
    andiron_json parts[PARTS] = { { NULL, 0 } };
    struct andiron_json_iter it = { .of = andiron_json_get(parameter, "part") };

    while (andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "name"));
        for (size_t i = 0; i < PARTS; i++) {
            if (!andiron_str_eq(name, andiron_str_of(names[i])))
                continue;
            if (andiron_json_type(parts[i]) != ANDIRON_JSON_MISSING)
                return malformed(o, "each part may stand there only once");
            parts[i] = it.value;
        }
    }
    o->type = text_of(parts[TYPE]);
    o->path = text_of(parts[PATH]);
    o->name = text_of(parts[NAME]);
    o->value = parts[VALUE];
    o->at = number_of(parts[INDEX]);
    o->source = number_of(parts[SOURCE]);
    o->destination = number_of(parts[DESTINATION]);
    return 0;
}

static int apply(struct operation *o)
{
    static const struct {
        const char *type;
        int (*run)(struct operation *o);
    } known[] = { { "add", add },
                  { "insert", insert_at },
                  { "delete", delete },
                  { "replace", replace },
                  { "move", move } };

    if (o->path.len == 0)
        return malformed(o, "a path is needed");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (andiron_str_eq(o->type, andiron_str_of(known[i].type)))
            return known[i].run(o);
    return malformed(o, "type must be add, insert, delete, replace or move");
}

int patch_fhirpath(struct patching *p)
{
    struct andiron_json_iter it = { .of = andiron_json_get(p->patch->doc, "parameter") };

    if (!andiron_str_eq(andiron_json_str(andiron_json_get(p->patch->doc, "resourceType")),
                        ANDIRON_STR("Parameters")))
        return andiron_error_set(p->err, ANDIRON_E_INVALID, "",
                                 "a FHIRPath Patch must be a Parameters resource");
    if (andiron_json_count(it.of) > p->patch->max_operations)
        return andiron_error_set(p->err, ANDIRON_E_TOO_LARGE, "",
                                 "a patch may have %zu operations at most",
                                 p->patch->max_operations);
    for (size_t i = 0; andiron_json_next(&it); i++) {
        struct operation o = { .p = p, .index = i };
        if (!andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "name")),
                            ANDIRON_STR("operation")))
            return malformed(&o, "must be named 'operation'");
        if (read_operation(&o, it.value) != 0 || apply(&o) != 0)
            return -1;
    }
    return 0;
}
