/*
 * Syntax of ids (R4 datatypes.html#id). Any thread.
 */
#ifndef FHIR_IDS_H
#define FHIR_IDS_H

#include <andiron/base.h>

enum { FHIR_ID_MAX = 64 };

/* [A-Za-z0-9\-.]{1,64}; case-sensitive. */
static inline bool fhir_is_id(andiron_str s)
{
    if (s.len == 0 || s.len > FHIR_ID_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '.'))
            return false;
    }
    return true;
}

#endif
