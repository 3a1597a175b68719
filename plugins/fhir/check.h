/*
 * FHIR's rules for JSON (json.html), beyond JSON's own: no empty objects, arrays or
 * strings, null only where an array of primitives needs it, no U+0000. Finds all
 * violations, each with its place. Pure, any thread.
 */
#ifndef FHIR_CHECK_H
#define FHIR_CHECK_H

#include <andiron/json.h>

enum { ISSUES_MAX = 50 };

/* What is wrong with a resource; at most ISSUES_MAX are kept. */
struct issues {
    struct andiron_arena *arena;
    andiron_str root; /* how places begin: "Patient", "Bundle.entry[3].resource" */
    struct andiron_error *list;
    size_t count;
};

void issues_init(struct issues *issues, struct andiron_arena *arena, andiron_str root);

/* Adds an issue; where is put behind root: "", ".id", ".meta.tag[0]". */
void issues_add(struct issues *issues, enum andiron_code code, const char *where, const char *fmt,
                ...) ANDIRON_PRINTF(4, 5);

/* Takes over an error of a callee, whose FHIRPath begins with the resource's type, or is empty. */
void issues_add_error(struct issues *issues, const struct andiron_error *err);

/*
 * Which of several issues sets the status, whatever their order: one of the server's own, else
 * one of the syntax (400), else the first.
 */
size_t issues_leading(const struct andiron_error *list, size_t count);

/* Takes over issues that are complete, while there is room. */
void issues_take(struct issues *issues, const struct andiron_error *list, size_t count);

/* A resource that was cut down for reading would lose data if it were stored (search.html#elements). */
void check_whole(andiron_json resource, struct issues *issues);

/* Checks a FHIR resource by the rules of JSON alone, and its meta. */
void check_resource(andiron_json resource, struct issues *issues);

/* Checks a platform resource, whose members are free: only U+0000 is refused. */
void check_platform(andiron_json resource, struct issues *issues);

#endif
