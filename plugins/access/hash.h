/*
 * A hash for short texts, FNV-1a: of the index of policies. What is hashed of a request is looked
 * up and never put in, so nobody can make lookups slow by choosing it.
 */
#ifndef ACCESS_HASH_H
#define ACCESS_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(14695981039346656037)

static inline uint64_t hash_bytes(uint64_t h, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return h;
}

#endif
