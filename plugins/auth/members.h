/*
 * Members of the platform types of this plugin: which there are, and of what JSON type each is.
 */
#ifndef AUTH_MEMBERS_H
#define AUTH_MEMBERS_H

#include <andiron/error.h>
#include <andiron/json.h>

struct member {
    char name[28];
    enum andiron_json_type type; /* MISSING: any */
};

/*
 * Whether the object, which is at path ("Client", "TokenIntrospector.jwt"), has no other members than
 * the known ones; hint says what to do with others, or is "". MISSING has none.
 */
int members_check(andiron_json object, const char *path, const struct member *known, size_t count,
                  const char *hint, struct andiron_error *err);

/* The error of a value that is not of its type: -1. */
int members_wrong_type(const char *where, enum andiron_json_type type, struct andiron_error *err);

#endif
