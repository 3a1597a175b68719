/*
 * Places as text.
 */
#include "common/policy/place.h"

#include <stdio.h>

void policy_place_text(const struct policy_place *place, char out[POLICY_PLACE_TEXT])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < place->depth && used < POLICY_PLACE_TEXT; i++) {
        const struct policy_step *s = &place->steps[i];
        int len = s->name.data == NULL
                      ? snprintf(out + used, POLICY_PLACE_TEXT - used, "[%zu]", s->index)
                      : snprintf(out + used, POLICY_PLACE_TEXT - used, "%s%.*s",
                                 used > 0 ? "." : "", (int)(s->name.len < 64 ? s->name.len : 64),
                                 s->name.data);
        used += len > 0 ? (size_t)len : 0;
    }
}
