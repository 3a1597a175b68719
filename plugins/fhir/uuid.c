#include "uuid.h"

#include <stdlib.h>
#include <sys/random.h>

enum { UUID_LEN = 36 };

andiron_str uuid_new(struct andiron_arena *arena)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[16];
    size_t got = 0;
    while (got < sizeof(bytes)) {
        ssize_t n = getrandom(bytes + got, sizeof(bytes) - got, 0);
        if (n < 0)
            abort(); /* only on a kernel without getrandom; guessable ids are no way out */
        got += (size_t)n;
    }
    uint64_t ms = (uint64_t)(andiron_now() / 1000);
    for (size_t i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x70);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);

    char *text = andiron_alloc(arena, UUID_LEN);
    size_t at = 0;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[at++] = '-';
        text[at++] = hex[bytes[i] >> 4];
        text[at++] = hex[bytes[i] & 15];
    }
    return (andiron_str){ text, UUID_LEN };
}
