#include "base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63; -1 for anything else. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

int base64_decode(struct andiron_arena *arena, andiron_str text, andiron_str *ret)
{
    char *out = andiron_alloc(arena, text.len / 4 * 3 + 4);
    size_t len = 0, count = 0, padding = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (is_blank(text.data[i]))
            continue;
        if (text.data[i] == '=') {
            padding++;
            continue;
        }
        int value = value_of(text.data[i]);
        if (value < 0 || padding > 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (++count % 4 != 0)
            continue;
        out[len++] = (char)(bits >> 16 & 255);
        out[len++] = (char)(bits >> 8 & 255);
        out[len++] = (char)(bits & 255);
        bits = 0;
    }
    size_t rest = count % 4;
    if (rest == 1 || padding != (rest == 0 ? 0 : 4 - rest))
        return -1;
    if (rest >= 2)
        out[len++] = (char)(bits >> (rest == 2 ? 4 : 10) & 255);
    if (rest == 3)
        out[len++] = (char)(bits >> 2 & 255);
    *ret = (andiron_str){ out, len };
    return 0;
}

andiron_str base64_encode(struct andiron_arena *arena, andiron_str bytes)
{
    char *out = andiron_alloc(arena, bytes.len / 3 * 4 + 5);
    size_t len = 0;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)(unsigned char)bytes.data[i] << 16;
        if (left > 1)
            bits |= (uint32_t)(unsigned char)bytes.data[i + 1] << 8;
        if (left > 2)
            bits |= (unsigned char)bytes.data[i + 2];
        out[len++] = letters[bits >> 18];
        out[len++] = letters[bits >> 12 & 63];
        out[len++] = left > 1 ? letters[bits >> 6 & 63] : '=';
        out[len++] = left > 2 ? letters[bits & 63] : '=';
    }
    return (andiron_str){ out, len };
}
