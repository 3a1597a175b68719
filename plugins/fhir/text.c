#include "text.h"

void text_init(struct text *t, struct andiron_arena *arena, size_t cap)
{
    *t = (struct text){ .arena = arena,
                        .data = andiron_alloc(arena, cap > 0 ? cap : 1),
                        .cap = cap };
}

char *text_room(struct text *t, size_t more)
{
    if (more > t->cap - t->len) {
        size_t cap = t->cap * 2 > t->len + more ? t->cap * 2 : t->len + more;
        char *data = andiron_alloc(t->arena, cap);
        memcpy(data, t->data, t->len);
        t->data = data;
        t->cap = cap;
    }
    return t->data + t->len;
}

void text_add(struct text *t, const char *bytes, size_t len)
{
    if (len == 0)
        return;
    memcpy(text_room(t, len), bytes, len);
    t->len += len;
}

void text_str(struct text *t, andiron_str s)
{
    text_add(t, s.data, s.len);
}

void text_uint(struct text *t, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    text_add(t, digits + at, sizeof(digits) - at);
}

void text_escaped(struct text *t, andiron_str s)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        text_add(t, s.data + from, i - from);
        from = i + 1;
        if (c >= 0x20) {
            char escaped[2] = { '\\', (char)c };
            text_add(t, escaped, sizeof(escaped));
        } else {
            char escaped[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
            text_add(t, escaped, sizeof(escaped));
        }
    }
    text_add(t, s.data + from, s.len - from);
}

void text_json(struct text *t, andiron_str s)
{
    TEXT_LIT(t, "\"");
    text_escaped(t, s);
    TEXT_LIT(t, "\"");
}
