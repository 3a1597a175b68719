/*
 * Comparing lists of keys; see compare.h. Pure computation.
 */
#include "compare.h"

/* Order of two entries in a list of keys: its bytes; a number's do not begin another's. */
static int compare_entries(const struct keys_entry *a, const struct keys_entry *b)
{
    uint64_t x = (uint64_t)a->p, y = (uint64_t)b->p;
    for (; x != y; x >>= 7, y >>= 7) {
        uint8_t i = (uint8_t)((x & 0x7f) | (x > 0x7f ? 0x80 : 0));
        uint8_t j = (uint8_t)((y & 0x7f) | (y > 0x7f ? 0x80 : 0));
        if (i != j)
            return i < j ? -1 : 1;
    }
    size_t len = a->packed.len < b->packed.len ? a->packed.len : b->packed.len;
    int order = len > 0 ? memcmp(a->packed.data, b->packed.data, len) : 0;
    return order != 0 ? order : (a->packed.len > b->packed.len) - (a->packed.len < b->packed.len);
}

int compare_keys(andiron_str stored, andiron_str given, int (*differs)(void *arg, int64_t p),
                 void *arg)
{
    struct keys_cursor a = keys_begin(stored), b = keys_begin(given);
    struct keys_entry x, y;
    bool has_x = keys_next(&a, &x), has_y = keys_next(&b, &y);

    while (has_x || has_y) {
        int order = !has_x ? 1 : !has_y ? -1 : compare_entries(&x, &y);
        int rc = order != 0 ? differs(arg, order < 0 ? x.p : y.p) : 0;
        if (rc != 0)
            return rc;
        has_x = order <= 0 ? keys_next(&a, &x) : has_x;
        has_y = order >= 0 ? keys_next(&b, &y) : has_y;
    }
    return a.broken ? 1 : 0;
}
