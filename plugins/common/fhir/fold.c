/*
 * Folding of strings: ASCII by arithmetic, Hangul by Unicode's algorithm, the rest by table.
 */
#include "fold.h"

#include "tables.h"

struct out {
    char *bytes; /* NULL: only counts */
    size_t len, max;
    bool is_full, owes_blank;
    bool is_between; /* what comes next is not in the same word */
    struct fhir_words *words;
};

/* Unicode's categories P, in ASCII; the table has '-' for the others. */
static bool is_punctuation(char c)
{
    return c != '\0' && strchr("!\"#%&'()*,-./:;?@[\\]_{}", c) != NULL;
}

/* What starts a word, if something else is in front of it. */
static bool is_of_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (uint8_t)c >= 0x80;
}

static void note_word(struct out *o, char first)
{
    bool is_word = is_of_word(first);
    if (is_word && o->is_between && o->len > 0 && o->words != NULL &&
        o->words->count < FHIR_FOLD_WORDS)
        o->words->starts[o->words->count++] = (uint16_t)o->len;
    o->is_between = !is_word;
}

/* One character, as a whole or not at all; a blank is held back until something follows. */
static void put(struct out *o, const void *bytes, size_t len)
{
    char first = *(const char *)bytes;
    if (len == 1 && (first == ' ' || is_punctuation(first))) {
        o->owes_blank = o->owes_blank || (first == ' ' && o->len > 0);
        o->is_between = true;
        return;
    }
    size_t blank = o->owes_blank ? 1 : 0;
    if (o->is_full || len + blank > o->max - o->len) {
        o->is_full = true;
        return;
    }
    if (blank != 0 && o->bytes != NULL)
        o->bytes[o->len] = ' ';
    o->len += blank;
    o->owes_blank = false;
    note_word(o, first);
    if (o->bytes != NULL)
        memcpy(o->bytes + o->len, bytes, len);
    o->len += len;
}

/* Length of the UTF-8 character at s and its code point; 1 and UINT32_MAX for a stray byte. */
static size_t decode(const uint8_t *s, size_t left, uint32_t *ret)
{
    static const uint8_t masks[] = { 0, 0, 0x1f, 0x0f, 0x07 };
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;

    *ret = UINT32_MAX;
    if (len == 0 || len > left || s[0] > 0xf4)
        return 1;
    uint32_t code = s[0] & masks[len];
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 1;
        code = code << 6 | (s[i] & 0x3fu);
    }
    *ret = code;
    return len;
}

static void put_code(struct out *o, uint32_t code)
{
    uint8_t utf8[3] = { (uint8_t)(0xe0 | code >> 12), (uint8_t)(0x80 | (code >> 6 & 0x3f)),
                        (uint8_t)(0x80 | (code & 0x3f)) };
    put(o, utf8, sizeof(utf8));
}

/* Unicode 3.12: a Hangul syllable is two or three letters, which may also come one by one. */
static void put_hangul(struct out *o, uint32_t code)
{
    uint32_t index = code - 0xac00;
    put_code(o, 0x1100 + index / 588);
    put_code(o, 0x1161 + index % 588 / 28);
    if (index % 28 != 0)
        put_code(o, 0x11a7 + index % 28);
}

static const struct fhir_fold_row *find(uint32_t code)
{
    size_t low = 0, high = fhir_fold_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (fhir_fold_rows[mid].from == code)
            return &fhir_fold_rows[mid];
        if (fhir_fold_rows[mid].from < code)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* What a character folds to, which may be several or, for an accent, nothing. */
static void put_row(struct out *o, const struct fhir_fold_row *row)
{
    const uint8_t *to = fhir_fold_bytes + row->to;
    for (size_t i = 0; i < row->length;) {
        uint32_t code;
        size_t len = decode(to + i, row->length - i, &code);
        put(o, to + i, len);
        i += len;
    }
}

static size_t fold(andiron_str text, struct out *o)
{
    const uint8_t *s = (const uint8_t *)text.data;

    for (size_t i = 0; i < text.len && !o->is_full;) {
        if (s[i] < 0x80) {
            char c = (char)s[i++];
            if (c >= 'A' && c <= 'Z')
                c = (char)(c + 32);
            put(o, c > ' ' && c != 0x7f ? &c : " ", 1);
            continue;
        }
        uint32_t code;
        size_t len = decode(s + i, text.len - i, &code);
        const struct fhir_fold_row *row;
        if (code >= 0xac00 && code <= 0xd7a3)
            put_hangul(o, code);
        else if (code <= 0xffff && (row = find(code)) != NULL)
            put_row(o, row);
        else
            put(o, s + i, len);
        i += len;
    }
    return o->len;
}

size_t fhir_fold(andiron_str text, char *out, size_t max)
{
    return fold(text, &(struct out){ .bytes = out, .max = max });
}

andiron_str fhir_folded(struct andiron_arena *arena, andiron_str text)
{
    char buffer[FHIR_FOLD_MAX];
    struct out o = { .bytes = buffer, .max = sizeof(buffer) };
    andiron_str whole = { buffer, fold(text, &o) };

    if (!o.is_full)
        return (andiron_str){ andiron_copy(arena, whole), whole.len };
    size_t len = fold(text, &(struct out){ .max = FHIR_FOLD_ALL });
    char *bytes = andiron_alloc(arena, len + 1);
    return (andiron_str){ bytes, fold(text, &(struct out){ .bytes = bytes, .max = len }) };
}

size_t fhir_fold_words(andiron_str text, char *out, size_t max, struct fhir_words *ret)
{
    ret->count = 0;
    return fold(text, &(struct out){ .bytes = out, .max = max, .words = ret });
}

andiron_str fhir_caseless(struct andiron_arena *arena, andiron_str text)
{
    size_t i = 0;
    while (i < text.len && !(text.data[i] >= 'A' && text.data[i] <= 'Z'))
        i++;
    if (i == text.len)
        return text;
    char *out = andiron_alloc(arena, text.len);
    memcpy(out, text.data, text.len);
    for (; i < text.len; i++)
        if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] + 32);
    return (andiron_str){ out, text.len };
}
