/*
 * Base64url: see the header. Pure functions, any thread.
 */
#include "common/jose/base64url.h"

static const char alphabet[64] = { 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M',
                                   'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z',
                                   'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
                                   'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
                                   '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-', '_' };

/* Value of a character plus one; 0: not in the alphabet. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

size_t jose_base64url_encode(const void *bytes, size_t len, char *out)
{
    const uint8_t *in = bytes;
    char *at = out;

    for (; len >= 3; len -= 3, in += 3) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = alphabet[group >> 6 & 63];
        *at++ = alphabet[group & 63];
    }
    if (len == 1) {
        *at++ = alphabet[in[0] >> 2];
        *at++ = alphabet[(in[0] & 3) << 4];
    } else if (len == 2) {
        *at++ = alphabet[in[0] >> 2];
        *at++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        *at++ = alphabet[(in[1] & 15) << 2];
    }
    return (size_t)(at - out);
}

/* The last two or three characters; their unused bits must be zero. */
static int decode_rest(const uint8_t *in, size_t len, uint8_t *out, size_t *ret_len)
{
    unsigned a = values[in[0]], b = values[in[1]], c = len == 3 ? values[in[2]] : 1;
    if (a == 0 || b == 0 || c == 0)
        return -1;
    uint32_t group = (a - 1) << 12 | (b - 1) << 6 | (c - 1);
    if ((group & (len == 3 ? 0x3u : 0x3ffu)) != 0)
        return -1;
    out[0] = (uint8_t)(group >> 10);
    if (len == 3)
        out[1] = (uint8_t)(group >> 2);
    *ret_len = len - 1;
    return 0;
}

int jose_base64url_decode(andiron_str text, void *bytes, size_t *ret_len)
{
    const uint8_t *in = (const uint8_t *)text.data;
    uint8_t *out = bytes;
    size_t left = text.len, rest_len = 0;

    if (text.len % 4 == 1)
        return -1;
    for (; left >= 4; left -= 4, in += 4, out += 3) {
        unsigned a = values[in[0]], b = values[in[1]], c = values[in[2]], d = values[in[3]];
        if (a == 0 || b == 0 || c == 0 || d == 0)
            return -1;
        uint32_t group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        out[0] = (uint8_t)(group >> 16);
        out[1] = (uint8_t)(group >> 8);
        out[2] = (uint8_t)group;
    }
    if (left != 0 && decode_rest(in, left, out, &rest_len) != 0)
        return -1;
    *ret_len = (size_t)(out - (uint8_t *)bytes) + rest_len;
    return 0;
}

andiron_str jose_base64url_text(struct andiron_arena *arena, const void *bytes, size_t len)
{
    char *out = andiron_alloc(arena, jose_base64url_length(len));
    return (andiron_str){ out, jose_base64url_encode(bytes, len, out) };
}

int jose_base64url_read(struct andiron_arena *arena, andiron_str text, andiron_str *ret_bytes)
{
    char *out = andiron_alloc(arena, jose_base64url_bytes(text.len));
    size_t len;
    if (jose_base64url_decode(text, out, &len) != 0)
        return -1;
    *ret_bytes = (andiron_str){ out, len };
    return 0;
}
