/*
 * FHIRPath as far as FHIRPath Patch needs it: paths that name elements of a resource.
 *
 *     Patient.contact[0].name.text    name.where(use = 'official' and family = 'X').given
 *     identifier.first()  .last()  .extension('url')  value.ofType(Quantity)  value as Quantity
 *
 * Elements are looked up in R4's tables, so that `value` finds valueQuantity. Any thread.
 */
#ifndef FHIR_FHIRPATH_H
#define FHIR_FHIRPATH_H

#include <andiron/json.h>

struct node;

/* An element of the tree: where it stands, and what it is. */
struct place {
    struct node *object; /* that has the member; NULL: the resource itself */
    andiron_str name;    /* of the member: "valueQuantity" */
    long index;          /* in the member's array; -1: it is no array */
    struct node *value;  /* NULL: a primitive of which only extensions are there */
    int structure;       /* of common/fhir/elements.h; -1: not known */
    int owner;           /* structure of the object */
    size_t stem;         /* of a choice: length of its name without the type; else 0 */
};

struct places {
    struct place *list;
    size_t count, cap;
};

struct fhirpath {
    struct andiron_arena *arena;
    struct node *root;
    int structure; /* of the resource */
    struct andiron_error *err;
};

/* Elements that a path names, in order. -1 and err (400) for a path that cannot be understood. */
int fhirpath_find(struct fhirpath *f, andiron_str path, struct places *ret);

/* "_name" of a member, in arena: where extensions of primitives are. */
andiron_str fhirpath_shadow(struct andiron_arena *arena, andiron_str name);

/*
 * The JSON member that an element of a structure is: of `value` and the type "Quantity" it is
 * valueQuantity. false: the structure has no such element.
 */
struct fhir_element;
bool fhirpath_element(struct andiron_arena *arena, int structure, andiron_str name,
                      andiron_str type, struct fhir_element *ret);

/* Structure of an object: of a resource inside another one, that of its own type. */
int fhirpath_structure(struct andiron_arena *arena, struct node *value, int structure);

bool fhirpath_is_primitive(int structure);

#endif
