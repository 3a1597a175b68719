/*
 * Places as text.
 */
#include "common/policy/place.h"

void policy_text_put(struct policy_text *text, const char *bytes, size_t len)
{
    size_t room = text->max - text->len - 1;
    if (len > room)
        len = room;
    if (len > 0)
        memcpy(text->out + text->len, bytes, len);
    text->len += len;
    text->out[text->len] = '\0';
}

void policy_text_put_string(struct policy_text *text, const char *string)
{
    policy_text_put(text, string, strlen(string));
}

static void put_index(struct policy_text *text, size_t index)
{
    char digits[24];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + index % 10);
    while ((index /= 10) != 0);
    policy_text_put(text, "[", 1);
    policy_text_put(text, digits + at, sizeof(digits) - at);
    policy_text_put(text, "]", 1);
}

void policy_place_text(const struct policy_place *place, struct policy_text *ret)
{
    enum { NAME_SHOWN = 64 };
    size_t begun = ret->len;
    policy_text_put(ret, "", 0);
    for (size_t i = 0; i < place->depth; i++) {
        const struct policy_step *s = &place->steps[i];
        if (s->name.data == NULL) {
            put_index(ret, s->index);
            continue;
        }
        if (ret->len > begun)
            policy_text_put(ret, ".", 1);
        policy_text_put(ret, s->name.data, s->name.len < NAME_SHOWN ? s->name.len : NAME_SHOWN);
    }
}
