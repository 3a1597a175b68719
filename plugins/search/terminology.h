/*
 * Terminology of a search: the stored ValueSets and CodeSystems that it asks about.
 *
 * Compiling cannot wait. What it needs and has not got is noted here as wanted, and complete()
 * (reading.c) reads it from the store and compiles again. So a search sees what is stored when it
 * is made, and only what its request may see.
 */
#ifndef SEARCH_TERMINOLOGY_H
#define SEARCH_TERMINOLOGY_H

#include <andiron/json.h>

#include "compile.h"

enum document_state {
    DOCUMENT_WANTED,
    DOCUMENT_READ,
    DOCUMENT_ABSENT,
    DOCUMENT_AMBIGUOUS, /* several have the URL */
    DOCUMENT_BROKEN     /* error says why */
};

struct document {
    struct document *next;
    const char *type; /* "ValueSet", "CodeSystem" */
    andiron_str name; /* canonical URL, also with "|version"; "ValueSet/id" */
    enum document_state state;
    struct andiron_error error;
    andiron_json root;
    struct hierarchy *hierarchy; /* of a CodeSystem */
    const struct code_set *set;  /* of a ValueSet, once it could be made */
    bool is_open;                /* while it is made: it must not include itself */
};

struct terminology {
    struct document *first;
    int64_t count;
    int64_t steps;   /* taken to list codes so far */
    bool is_lacking; /* some document is wanted */
};

/*
 * What is stored under that name. *ret is NULL if it must be read first. -1 if there is none, or
 * several, or one that cannot be used; or if nothing can be read here.
 */
int terminology_get(struct compiling *c, const char *type, andiron_str name, struct document **ret);

/* Query for a wanted document, in the compilation's arena; narrowed to what may be seen. */
int terminology_query(struct compiling *c, const struct document *document,
                      struct andiron_query *ret);

/* ---- codes.c: sets of codes ---- */

struct code {
    andiron_str system, text;
};

struct code_set {
    struct code *codes; /* in order, each once; none of a whole system */
    size_t count, capacity;
    andiron_str *systems; /* all of their codes */
    size_t system_count, system_capacity;
};

/* Codes of a ValueSet that has been read; *ret is NULL if others must be read first. */
int codes_of(struct compiling *c, struct document *document, const struct code_set **ret);

/* ---- hierarchy.c: which code of a CodeSystem is below which ---- */

struct hierarchy;

/* Any thread. NULL and err if the CodeSystem does not tell all of its hierarchy. */
struct hierarchy *hierarchy_read(struct andiron_arena *arena, andiron_json code_system,
                                 struct andiron_error *err);

/*
 * The code and what is below it, or above it, at most max of them; how many there are, max + 1:
 * more. A code that the system has not got is all alone.
 */
size_t hierarchy_walk(const struct hierarchy *h, struct andiron_arena *arena, andiron_str code,
                      bool is_up, andiron_str *ret, size_t max);

#endif
