/*
 * The resource types of FHIR R4: one hash, one comparison.
 */
#include "types.h"

#include "tables.h"

/* FNV-1a, as tools/generate-fhir computes it. */
static uint32_t hash(andiron_str s)
{
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.data[i]) * 0x01000193u;
    return h;
}

int fhir_type(andiron_str name)
{
    uint32_t h = hash(name);
    uint32_t shift = fhir_type_shifts[h % 64];
    int type = fhir_type_slots[((h >> 6) + ((h >> 14) | 1u) * shift) % 256];

    if (type >= FHIR_TYPE_COUNT || !andiron_str_eq(name, andiron_str_of(fhir_type_name(type))))
        return -1;
    return type;
}

const char *fhir_type_name(int type)
{
    return type >= 0 && type < FHIR_TYPE_COUNT ? fhir_names + fhir_type_names[type] : NULL;
}
