/*
 * Members of platform types; see members.h. Pure computation.
 */
#include "members.h"

#include <stdio.h>

enum { NAME_MAX_SHOWN = 64 };

int members_wrong_type(const char *where, enum andiron_json_type type, struct andiron_error *err)
{
    static const char names[][8] = { "absent", "null",  "boolean", "number",
                                     "string", "array", "object" };
    return andiron_error_set(err, ANDIRON_E_ELEMENT, where, "must be of type %s",
                             (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type]
                                                                             : "value");
}

int members_check(andiron_json object, const char *path, const struct member *known, size_t count,
                  const char *hint, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = object };
    char where[NAME_MAX_SHOWN + 64];

    while (andiron_json_next(&it)) {
        size_t i = 0;
        while (i < count && !andiron_str_eq(it.name, andiron_str_of(known[i].name)))
            i++;
        (void)snprintf(where, sizeof(where), "%s.%.*s", path,
                       (int)(it.name.len > NAME_MAX_SHOWN ? NAME_MAX_SHOWN : it.name.len),
                       it.name.data);
        if (i == count)
            return andiron_error_set(err, ANDIRON_E_ELEMENT, where, "%s has no such element%s",
                                     path, hint);
        if (known[i].type != ANDIRON_JSON_MISSING && andiron_json_type(it.value) != known[i].type)
            return members_wrong_type(where, known[i].type, err);
    }
    return 0;
}
