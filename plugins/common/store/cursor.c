/*
 * Cursors; see cursor.h. base64url (RFC 4648 section 5, no padding) over
 *
 *   byte format, byte mode, 8 bytes query, 8 bytes key, 8 bytes high,
 *   values: byte kind, then 8 bytes, or 2 bytes length and text
 *   8 bytes seal over all of it
 */
#include "cursor.h"

enum {
    FORMAT = 1,
    HEAD = 26,
    SEAL = 8,
    TEXT_MAX = 1024,
    CURSOR_MAX = HEAD + SEAL + 3 * (TEXT_MAX + 3)
};

int cursor_compare(const struct cursor_value *a, const struct cursor_value *b)
{
    size_t len = a->text.len < b->text.len ? a->text.len : b->text.len;
    int c;

    switch (a->kind) {
    case VALUE_NUMBER:
        return a->number < b->number ? -1 : a->number > b->number;
    case VALUE_REAL:
        return a->real < b->real ? -1 : a->real > b->real;
    case VALUE_TEXT:
        c = len != 0 ? memcmp(a->text.data, b->text.data, len) : 0;
        return c != 0 ? c : a->text.len < b->text.len ? -1 : a->text.len > b->text.len;
    case VALUE_ABSENT:
        break;
    }
    return 0;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct writer {
    uint8_t bytes[CURSOR_MAX];
    size_t len;
};

static void put(struct writer *w, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        w->bytes[w->len++] = (uint8_t)(value >> (8 * i));
}

static void put_value(struct writer *w, const struct cursor_value *value)
{
    uint64_t bits;
    size_t len = value->text.len < TEXT_MAX ? value->text.len : TEXT_MAX;

    put(w, (uint64_t)value->kind, 1);
    switch (value->kind) {
    case VALUE_NUMBER:
        put(w, (uint64_t)value->number, 8);
        break;
    case VALUE_REAL:
        memcpy(&bits, &value->real, sizeof(bits));
        put(w, bits, 8);
        break;
    case VALUE_TEXT:
        put(w, len, 2);
        if (len != 0)
            memcpy(w->bytes + w->len, value->text.data, len);
        w->len += len;
        break;
    case VALUE_ABSENT:
        break;
    }
}

static andiron_str to_text(struct andiron_arena *arena, const uint8_t *bytes, size_t len)
{
    char *out = andiron_alloc(arena, len * 4 / 3 + 4);
    size_t n = 0;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        size_t left = len - i;
        if (left > 1)
            three |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2)
            three |= bytes[i + 2];
        out[n++] = digits[three >> 18 & 63];
        out[n++] = digits[three >> 12 & 63];
        if (left > 1)
            out[n++] = digits[three >> 6 & 63];
        if (left > 2)
            out[n++] = digits[three & 63];
    }
    return (andiron_str){ out, n };
}

andiron_str cursor_write(const struct hash_key *seal, struct andiron_arena *arena,
                         const struct cursor *cursor)
{
    struct writer w = { .len = 0 };

    put(&w, FORMAT, 1);
    put(&w, (uint64_t)cursor->mode, 1);
    put(&w, cursor->query, 8);
    put(&w, (uint64_t)cursor->key, 8);
    put(&w, (uint64_t)cursor->high, 8);
    for (int i = 0; i < CURSOR_VALUES; i++)
        put_value(&w, &cursor->values[i]);
    put(&w, hash_of64(seal, (andiron_str){ (const char *)w.bytes, w.len }), SEAL);
    return to_text(arena, w.bytes, w.len);
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Bytes of a text without padding and with unused bits zero; -1: it is not one. */
static int to_bytes(andiron_str text, uint8_t *out, size_t *ret_len)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    if (text.len % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int d = digit_of(text.data[i]);
        if (d < 0)
            return -1;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
        bits &= (1u << have) - 1;
    }
    if (bits != 0)
        return -1;
    *ret_len = n;
    return 0;
}

static uint64_t number_at(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

/* The sealed bytes are our own; lengths are checked all the same. */
static int read_values(const uint8_t *at, const uint8_t *end, struct andiron_arena *arena,
                       struct cursor *ret)
{
    for (int i = 0; i < CURSOR_VALUES; i++) {
        struct cursor_value *value = &ret->values[i];
        if (at == end)
            return -1;
        unsigned kind = *at++;
        if (kind == VALUE_ABSENT)
            continue;
        if (kind == VALUE_TEXT) {
            if (end - at < 2)
                return -1;
            size_t len = (size_t)number_at(at, 2);
            at += 2;
            if ((size_t)(end - at) < len)
                return -1;
            value->text = (andiron_str){ (const char *)at, len };
            value->text.data = andiron_copy(arena, value->text);
            at += len;
        } else if (end - at >= 8) {
            uint64_t bits = number_at(at, 8);
            value->number = (int64_t)bits;
            memcpy(&value->real, &bits, sizeof(bits));
            at += 8;
        } else {
            return -1;
        }
        value->kind = kind;
    }
    return at == end ? 0 : -1;
}

int cursor_read(const struct hash_key *seal, struct andiron_arena *arena, andiron_str text,
                enum cursor_mode mode, uint64_t query, struct cursor *ret,
                struct andiron_error *err)
{
    uint8_t bytes[CURSOR_MAX];
    size_t len = 0;
    struct cursor c = { .mode = mode };

    if (text.len > (CURSOR_MAX - 3) / 3 * 4 || to_bytes(text, bytes, &len) != 0 ||
        len < HEAD + SEAL)
        goto refused;
    len -= SEAL;
    uint64_t difference =
        hash_of64(seal, (andiron_str){ (const char *)bytes, len }) ^ number_at(bytes + len, SEAL);
    if (difference != 0 || bytes[0] != FORMAT || bytes[1] != mode ||
        number_at(bytes + 2, 8) != query)
        goto refused;
    c.query = query;
    c.key = (int64_t)number_at(bytes + 10, 8);
    c.high = (int64_t)number_at(bytes + 18, 8);
    if (read_values(bytes + HEAD, bytes + len, arena, &c) != 0)
        goto refused;
    *ret = c;
    return 0;
refused:
    return andiron_error_set(
        err, ANDIRON_E_INVALID, "_cursor",
        "the cursor does not belong to this search; follow the next link as it "
        "was given, or start again without _cursor");
}
