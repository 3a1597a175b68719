/*
 * An editable copy of a JSON document. Only what is looked into is taken apart; everything
 * else stays a view, so that untouched content is written back byte for byte. Any thread,
 * one at a time.
 */
#ifndef FHIR_TREE_H
#define FHIR_TREE_H

#include <andiron/json.h>

struct node {
    andiron_json view;      /* its content, while it is not open */
    bool open;              /* children are its content */
    bool is_array;          /* of an open node; else it is an object */
    andiron_str name;       /* of a member, unescaped; absent in arrays */
    struct node **children; /* members or elements, in order */
    size_t count, cap;
};

enum { TREE_END = -1 }; /* index: behind the last one */

/* A node for a value; the document must outlive the tree. */
struct node *tree_new(struct andiron_arena *arena, andiron_json value);

/* An empty object or array. */
struct node *tree_object(struct andiron_arena *arena);
struct node *tree_array(struct andiron_arena *arena);

bool tree_is_object(const struct node *node);
bool tree_is_array(const struct node *node);

/* How many members or elements a node has. */
size_t tree_count(struct andiron_arena *arena, struct node *node);

/* Member of an object, element of an array; NULL if there is none. */
struct node *tree_member(struct andiron_arena *arena, struct node *object, andiron_str name);
struct node *tree_at(struct andiron_arena *arena, struct node *array, size_t index);

/* Sets a member, in its place if it is there, else as the last one. */
void tree_set(struct andiron_arena *arena, struct node *object, andiron_str name,
              struct node *value);

/* Puts an element before the index-th one; index is at most the count, or TREE_END. */
void tree_insert(struct andiron_arena *arena, struct node *array, long index, struct node *value);

/* Replaces the index-th element, which must be there. */
void tree_replace(struct andiron_arena *arena, struct node *array, size_t index,
                  struct node *value);

/* Takes a member or element out; NULL if there is none. */
struct node *tree_take_member(struct andiron_arena *arena, struct node *object, andiron_str name);
struct node *tree_take_at(struct andiron_arena *arena, struct node *array, size_t index);

/* The node's value as a document of its own; MISSING if it is nested too deeply. */
andiron_json tree_value(struct andiron_arena *arena, struct node *node);

/* The text, in arena; absent if it is nested too deeply. */
andiron_str tree_text(struct andiron_arena *arena, const struct node *node);

#endif
