/*
 * From keys to index rows; see rows.h. Pure computation.
 *
 * Values of composites have rows for their tokens and URIs only, enough to find candidates;
 * the part is in the hash.
 */
#include "rows.h"

enum form { FORM_CODE = 1, FORM_CODED, FORM_UNSYSTEMED, FORM_OF_TYPE, FORM_URL, FORM_URI };

static int64_t hash_form(const struct hash_key *key, enum form form, uint32_t part, uint64_t system,
                         andiron_str text)
{
    struct hash h;
    uint8_t head[2] = { (uint8_t)form, (uint8_t)part };
    uint8_t word[8];

    hash_begin64(&h, key);
    hash_add(&h, head, sizeof(head));
    for (unsigned i = 0; i < sizeof(word); i++)
        word[i] = (uint8_t)(system >> (8 * i));
    hash_add(&h, word, sizeof(word));
    hash_add(&h, text.data, text.len);
    return (int64_t)hash_end64(&h);
}

int64_t rows_hash_code(const struct hash_key *key, uint32_t part, andiron_str code)
{
    return hash_form(key, FORM_CODE, part, 0, code);
}

int64_t rows_hash_coded(const struct hash_key *key, uint32_t part, uint64_t system,
                        andiron_str code)
{
    return hash_form(key, FORM_CODED, part, system, code);
}

int64_t rows_hash_unsystemed(const struct hash_key *key, uint32_t part, andiron_str code)
{
    return hash_form(key, FORM_UNSYSTEMED, part, 0, code);
}

int64_t rows_hash_of_type(const struct hash_key *key, andiron_str hash128)
{
    return hash_form(key, FORM_OF_TYPE, 0, 0, hash128);
}

int64_t rows_hash_url(const struct hash_key *key, andiron_str url)
{
    return hash_form(key, FORM_URL, 0, 0, url);
}

int64_t rows_hash_uri(const struct hash_key *key, uint32_t part, andiron_str uri)
{
    return hash_form(key, FORM_URI, part, 0, uri);
}

andiron_str rows_string(andiron_str text)
{
    if (text.len <= ROWS_STRING_MAX)
        return text;
    text.len = ROWS_STRING_MAX;
    while (text.len > 0 && ((uint8_t)text.data[text.len] & 0xc0) == 0x80)
        text.len--; /* do not end inside a character */
    return text;
}

andiron_str rows_url(const struct hash_key *key, andiron_str url, char space[ROWS_STRING_MAX])
{
    struct hash128 whole;

    if (url.len <= ROWS_STRING_MAX)
        return url;
    whole = hash_of128(key, url);
    memcpy(space, url.data, ROWS_STRING_MAX - sizeof(whole.bytes));
    memcpy(space + ROWS_STRING_MAX - sizeof(whole.bytes), whole.bytes, sizeof(whole.bytes));
    return (andiron_str){ space, ROWS_STRING_MAX };
}

/* ---- values ---------------------------------------------------------------------- */

static int value_of(const struct hash_key *key, const struct keys_entry *e, rows_value_fn fn,
                    void *arg)
{
    andiron_str none = { NULL, 0 };
    char space[ROWS_STRING_MAX];

    if (e->group != 0)
        return 0; /* nothing is sorted by a composite */
    switch (e->kind) {
    case KEYS_TOKEN:
        return fn(arg, e->p, ROWS_CODE, e->text, rows_hash_code(key, 0, e->text));
    case KEYS_URL:
        return fn(arg, e->p, ROWS_URL, rows_url(key, e->text, space), rows_hash_url(key, e->text));
    case KEYS_URI:
        return fn(arg, e->p, ROWS_URL, rows_url(key, e->text, space),
                  rows_hash_uri(key, 0, e->text));
    case KEYS_REFERENCE:
        return fn(arg, e->p, ROWS_RESOURCE, none, e->rid);
    default:
        return 0;
    }
}

int rows_each_value(const struct hash_key *key, andiron_str keys, rows_value_fn fn, void *arg)
{
    struct keys_cursor c = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&c, &e)) {
        if (value_of(key, &e, fn, arg) != 0)
            return ROWS_STOPPED;
    }
    return c.broken ? ROWS_DAMAGED : 0;
}

uint64_t rows_value_mark(int64_t p, enum rows_value_kind kind, int64_t h)
{
    uint64_t mark = (uint64_t)h * 0x9e3779b97f4a7c15u;

    mark = (mark ^ mark >> 32) * 0xd6e8feb86659fd93u;
    mark = (mark ^ mark >> 29) + ((uint64_t)p << 2 | (uint64_t)kind) * 0xff51afd7ed558ccdu;
    mark ^= mark >> 32;
    return mark != 0 ? mark : 1;
}

/* ---- rows of versions ------------------------------------------------------------ */

static int rows_of_token(const struct hash_key *key, const struct keys_entry *e,
                         const struct rows_sink *to)
{
    int64_t h = (e->flags & KEYS_HAS_1) != 0 ? rows_hash_coded(key, e->part, e->hash[0], e->text)
                                             : rows_hash_unsystemed(key, e->part, e->text);

    if (to->token(to->arg, e->p, h) != 0)
        return -1;
    return to->token(to->arg, e->p, rows_hash_code(key, e->part, e->text));
}

static int rows_of_quantity(const struct keys_entry *e, const struct rows_sink *to)
{
    if (to->number(to->arg, e->p, 0, e->number_low, e->number_high) != 0)
        return -1;
    for (unsigned i = 0; i < 3; i++) {
        if ((e->flags & ((unsigned)KEYS_HAS_1 << i)) != 0 &&
            to->number(to->arg, e->p, (int64_t)e->hash[i], e->number_low, e->number_high) != 0)
            return -1;
    }
    return 0;
}

static int rows_of(const struct hash_key *key, const struct keys_entry *e,
                   const struct rows_sink *to)
{
    if (e->group != 0 && e->kind != KEYS_TOKEN && e->kind != KEYS_URI)
        return 0;
    switch (e->kind) {
    case KEYS_TOKEN:
        return rows_of_token(key, e, to);
    case KEYS_OF_TYPE:
        return to->token(to->arg, e->p, rows_hash_of_type(key, e->text));
    case KEYS_STRING:
        return to->string(to->arg, e->p, rows_string(e->text));
    case KEYS_REFERENCE:
        return to->ref(to->arg, e->p, e->rid);
    case KEYS_URL:
        return to->token(to->arg, e->p, rows_hash_url(key, e->text));
    case KEYS_DATE:
        return to->date(to->arg, e->p, rows_date_class(e->low, e->high), e->low, e->high);
    case KEYS_NUMBER:
        return to->number(to->arg, e->p, 0, e->number_low, e->number_high);
    case KEYS_QUANTITY:
        return rows_of_quantity(e, to);
    case KEYS_URI:
        return to->token(to->arg, e->p, rows_hash_uri(key, e->part, e->text));
    case KEYS_PRESENT:
        break;
    }
    return 0;
}

int rows_each(const struct hash_key *key, andiron_str keys, const struct rows_sink *to)
{
    struct keys_cursor c = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&c, &e)) {
        if (rows_of(key, &e, to) != 0)
            return ROWS_STOPPED;
    }
    return c.broken ? ROWS_DAMAGED : 0;
}
