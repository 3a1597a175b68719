/*
 * Packing and unpacking of index terms; see keys.h. Pure computation over the arena, except
 * that packing asks its source for numbers.
 */
#include "keys.h"

#include <math.h>
#include <stdlib.h>

/* ---- hashes ------------------------------------------------------------------ */

enum domain { DOMAIN_SYSTEM = 1, DOMAIN_EXACT, DOMAIN_UNIT, DOMAIN_CODED_UNIT, DOMAIN_OF_TYPE };

static void add_domain(struct hash *h, enum domain domain)
{
    uint8_t d = (uint8_t)domain;
    hash_add(h, &d, 1);
}

/* With its length before it, so that "a" + "bc" is not "ab" + "c". */
static void add_text(struct hash *h, andiron_str s)
{
    uint64_t len = s.data != NULL ? (uint64_t)s.len + 1 : 0;

    hash_add(h, &len, sizeof(len));
    hash_add(h, s.data, s.len);
}

static uint64_t hash_one(const struct hash_key *key, enum domain domain, andiron_str s)
{
    struct hash h;

    hash_begin64(&h, key);
    add_domain(&h, domain);
    hash_add(&h, s.data, s.len);
    return hash_end64(&h);
}

uint64_t keys_hash_system(const struct hash_key *key, andiron_str system)
{
    return hash_one(key, DOMAIN_SYSTEM, system);
}

uint64_t keys_hash_exact(const struct hash_key *key, andiron_str exact)
{
    return hash_one(key, DOMAIN_EXACT, exact);
}

uint64_t keys_hash_unit(const struct hash_key *key, andiron_str unit)
{
    uint64_t h = hash_one(key, DOMAIN_UNIT, unit);
    return h != 0 ? h : 1; /* 0 is "any unit" */
}

uint64_t keys_hash_coded_unit(const struct hash_key *key, andiron_str system, andiron_str code)
{
    struct hash h;

    hash_begin64(&h, key);
    add_domain(&h, DOMAIN_CODED_UNIT);
    add_text(&h, system);
    add_text(&h, code);
    uint64_t ret = hash_end64(&h);
    return ret != 0 ? ret : 1;
}

struct hash128 keys_hash_of_type(const struct hash_key *key, andiron_str system, andiron_str code,
                                 andiron_str value)
{
    struct hash h;

    hash_begin128(&h, key);
    add_domain(&h, DOMAIN_OF_TYPE);
    add_text(&h, system);
    add_text(&h, code);
    add_text(&h, value);
    return hash_end128(&h);
}

andiron_str keys_text(const struct hash_key *key, struct andiron_arena *arena, andiron_str text,
                      size_t max)
{
    struct hash128 whole;
    char *cut;

    if (text.len <= max)
        return text;
    whole = hash_of128(key, text);
    cut = andiron_alloc(arena, max);
    memcpy(cut, text.data, max - sizeof(whole.bytes));
    memcpy(cut + max - sizeof(whole.bytes), whole.bytes, sizeof(whole.bytes));
    return (andiron_str){ cut, max };
}

/* ---- reading ----------------------------------------------------------------- */

static bool take_varint(struct keys_cursor *c, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
        uint8_t b = *c->at++;
        value |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct keys_cursor *c, unsigned bytes, uint64_t *ret)
{
    uint64_t value = 0;

    if ((size_t)(c->end - c->at) < bytes)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)c->at[i] << (8 * i);
    c->at += bytes;
    *ret = value;
    return true;
}

static bool take_double(struct keys_cursor *c, double *ret)
{
    uint64_t bits;

    if (!take_fixed(c, 8, &bits))
        return false;
    memcpy(ret, &bits, sizeof(*ret));
    return true;
}

static bool take_bytes(struct keys_cursor *c, uint64_t len, andiron_str *ret)
{
    if ((uint64_t)(c->end - c->at) < len)
        return false;
    *ret = (andiron_str){ (const char *)c->at, (size_t)len };
    c->at += len;
    return true;
}

static bool take_text(struct keys_cursor *c, andiron_str *ret)
{
    uint64_t len;
    return take_varint(c, &len) && take_bytes(c, len, ret);
}

struct keys_cursor keys_begin(andiron_str keys)
{
    struct keys_cursor c = { .at = (const uint8_t *)keys.data };

    if (keys.len == 0)
        return c;
    c.end = c.at + keys.len;
    c.begin = c.at + 1;
    if (*c.at == 0 || *c.at++ > KEYS_FORMAT) {
        c.at = c.end;
        c.broken = true;
    }
    return c;
}

static bool take_payload(struct keys_cursor *c, struct keys_entry *e)
{
    uint64_t n = 0;

    switch (e->kind) {
    case KEYS_TOKEN:
    case KEYS_STRING:
        if ((e->flags & KEYS_HAS_1) != 0 && !take_fixed(c, 8, &e->hash[0]))
            return false;
        return take_text(c, &e->text);
    case KEYS_URL:
    case KEYS_URI:
        return take_text(c, &e->text);
    case KEYS_OF_TYPE:
        return take_bytes(c, sizeof(struct hash128), &e->text);
    case KEYS_REFERENCE:
        if (!take_fixed(c, 2, &n))
            return false;
        e->type = (int64_t)n;
        if (!take_fixed(c, 6, &n))
            return false;
        e->rid = (int64_t)n;
        return true;
    case KEYS_DATE:
        if (!take_fixed(c, 8, &n))
            return false;
        e->low = (andiron_usec)n;
        if (!take_varint(c, &n))
            return false;
        e->high = (andiron_usec)((uint64_t)e->low + n);
        return true;
    case KEYS_NUMBER:
        if (!take_double(c, &e->number_low))
            return false;
        e->number_high = e->number_low;
        return (e->flags & KEYS_HAS_1) == 0 || take_double(c, &e->number_high);
    case KEYS_QUANTITY:
        for (unsigned i = 0; i < 3; i++) {
            if ((e->flags & ((unsigned)KEYS_HAS_1 << i)) != 0 && !take_fixed(c, 8, &e->hash[i]))
                return false;
        }
        return take_double(c, &e->number_low) && take_double(c, &e->number_high);
    case KEYS_PRESENT:
        return true;
    default:
        return false;
    }
}

/* From the kind on. */
static bool take_entry(struct keys_cursor *c, struct keys_entry *e)
{
    const uint8_t *from = c->at;
    uint64_t n;

    if (c->at == c->end)
        return false;
    e->kind = (enum keys_kind)(*c->at & 0x0f);
    e->flags = *c->at++ & 0xf0u;
    e->group = e->part = 0;
    if ((e->flags & KEYS_GROUPED) != 0) {
        if (!take_varint(c, &n))
            return false;
        e->group = (uint32_t)n;
        if (!take_varint(c, &n))
            return false;
        e->part = (uint32_t)n;
    }
    if (!take_payload(c, e))
        return false;
    e->packed = (andiron_str){ (const char *)from, (size_t)(c->at - from) };
    return true;
}

bool keys_next(struct keys_cursor *c, struct keys_entry *ret)
{
    const uint8_t *from = c->at;
    uint64_t n;

    if (c->at == c->end)
        return false;
    if (!take_varint(c, &n) || c->at == c->end)
        goto broken;
    ret->p = (int64_t)n;
    if (*c->at == KEYS_SAME) {
        c->at++;
        if (!take_varint(c, &n) || n > (uint64_t)(from - c->begin))
            goto broken;
        /* An earlier entry, whole, and itself no SAME: take_payload() does not know that. */
        struct keys_cursor earlier = { .at = from - n, .end = from };
        if (take_entry(&earlier, ret))
            return true;
    } else if (take_entry(c, ret)) {
        return true;
    }
broken:
    c->broken = true;
    c->at = c->end;
    return false;
}

static bool is_range(enum keys_kind kind)
{
    return kind == KEYS_DATE || kind == KEYS_NUMBER || kind == KEYS_QUANTITY;
}

bool keys_next_several(struct keys_cursor *c, int64_t *ret_p)
{
    struct keys_entry last = { .p = 0 }, e;

    while (keys_next(c, &e)) {
        if (is_range(e.kind) && e.group == 0 && last.group == 0 && e.p == last.p &&
            e.kind == last.kind) {
            *ret_p = e.p;
            return true;
        }
        last = e;
    }
    return false;
}

/* ---- packing ------------------------------------------------------------------- */

enum { RID_BYTES = 6 };

/* Entries one behind the other in one growing piece of scratch memory, with their places. */
struct packer {
    struct keys_source *source;
    struct andiron_arena *scratch;
    uint8_t *bytes;
    size_t len, cap;
    struct place {
        size_t at, len;
    } * places;
    size_t count;
};

static void reserve(struct packer *k, size_t more)
{
    if (k->cap - k->len >= more)
        return;
    size_t cap = k->cap * 2 + more + 256;
    uint8_t *bytes = andiron_alloc(k->scratch, cap);
    if (k->len != 0)
        memcpy(bytes, k->bytes, k->len);
    k->bytes = bytes;
    k->cap = cap;
}

static void put_byte(struct packer *k, unsigned byte)
{
    k->bytes[k->len++] = (uint8_t)byte;
}

static void put_varint(struct packer *k, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_byte(k, (unsigned)(value & 0x7f) | 0x80);
    put_byte(k, (unsigned)value);
}

static void put_fixed(struct packer *k, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        put_byte(k, (unsigned)(value >> (8 * i)) & 0xff);
}

static void put_double(struct packer *k, double value)
{
    uint64_t bits;

    if (value == 0)
        value = 0; /* -0.0 and 0.0 are one number */
    memcpy(&bits, &value, sizeof(bits));
    put_fixed(k, bits, 8);
}

static void put_text(struct packer *k, andiron_str text)
{
    reserve(k, text.len + 10);
    put_varint(k, text.len);
    if (text.len != 0)
        memcpy(k->bytes + k->len, text.data, text.len);
    k->len += text.len;
}

/* Starts an entry, with room for what it has beside a text. */
static void put_head(struct packer *k, int64_t p, const struct andiron_term *t, enum keys_kind kind,
                     unsigned flags)
{
    reserve(k, 128);
    k->places[k->count].at = k->len;
    put_varint(k, (uint64_t)p);
    if (t->group != 0)
        flags |= KEYS_GROUPED;
    put_byte(k, (unsigned)kind | flags);
    if (t->group != 0) {
        put_varint(k, t->group);
        put_varint(k, t->part);
    }
}

static void pack_token(struct packer *k, int64_t p, const struct andiron_term *t)
{
    const struct hash_key *key = k->source->key;

    if (t->exact.data != NULL) {
        struct hash128 h = keys_hash_of_type(key, t->system, t->text, t->exact);
        put_head(k, p, t, KEYS_OF_TYPE, 0);
        memcpy(k->bytes + k->len, h.bytes, sizeof(h.bytes));
        k->len += sizeof(h.bytes);
        return;
    }
    put_head(k, p, t, KEYS_TOKEN, t->system.len != 0 ? KEYS_HAS_1 : 0);
    if (t->system.len != 0)
        put_fixed(k, keys_hash_system(key, t->system), 8);
    put_text(k, keys_text(key, k->scratch, t->text, KEYS_CODE_MAX));
}

static void pack_string(struct packer *k, int64_t p, const struct andiron_term *t)
{
    const struct hash_key *key = k->source->key;

    put_head(k, p, t, KEYS_STRING, t->exact.data != NULL ? KEYS_HAS_1 : 0);
    if (t->exact.data != NULL)
        put_fixed(k, keys_hash_exact(key, t->exact), 8);
    put_text(k, keys_text(key, k->scratch, t->text, KEYS_STRING_MAX));
}

static int pack_reference(struct packer *k, int64_t p, const struct andiron_term *t)
{
    struct keys_source *source = k->source;
    int64_t type = 0, rid = 0;

    if (t->system.len == 0) {
        put_head(k, p, t, KEYS_URL, 0);
        put_text(k, keys_text(source->key, k->scratch, t->text, KEYS_TEXT_MAX));
        return 0;
    }
    if (source->type(source->arg, t->system, &type) != 0)
        return -1;
    if (type != 0 && source->resource(source->arg, type, t->text, &rid) != 0)
        return -1;
    if (rid == 0)
        source->incomplete = true;
    put_head(k, p, t, KEYS_REFERENCE, 0);
    put_fixed(k, (uint64_t)type, 2);
    put_fixed(k, (uint64_t)rid, RID_BYTES);
    return 0;
}

static void pack_quantity(struct packer *k, int64_t p, const struct andiron_term *t)
{
    const struct hash_key *key = k->source->key;
    bool coded = t->system.len != 0 && t->text.len != 0;
    bool unit = t->exact.len != 0 && !andiron_str_eq(t->exact, t->text);

    put_head(k, p, t, KEYS_QUANTITY,
             (coded ? KEYS_HAS_1 : 0u) | (t->text.len != 0 ? KEYS_HAS_2 : 0u) |
                 (unit ? KEYS_HAS_3 : 0u));
    if (coded)
        put_fixed(k, keys_hash_coded_unit(key, t->system, t->text), 8);
    if (t->text.len != 0)
        put_fixed(k, keys_hash_unit(key, t->text), 8);
    if (unit)
        put_fixed(k, keys_hash_unit(key, t->exact), 8);
    put_double(k, t->range.number.low);
    put_double(k, t->range.number.high);
}

static int pack_term(struct packer *k, int64_t p, const struct andiron_term *t)
{
    bool number = t->kind == ANDIRON_TERM_NUMBER || t->kind == ANDIRON_TERM_QUANTITY;

    if (number && (isnan(t->range.number.low) || isnan(t->range.number.high)))
        return 1;
    switch (t->kind) {
    case ANDIRON_TERM_TOKEN:
        pack_token(k, p, t);
        return 0;
    case ANDIRON_TERM_STRING:
        pack_string(k, p, t);
        return 0;
    case ANDIRON_TERM_REFERENCE:
        return pack_reference(k, p, t);
    case ANDIRON_TERM_DATE:
        put_head(k, p, t, KEYS_DATE, 0);
        put_fixed(k, (uint64_t)t->range.date.low, 8);
        put_varint(k, (uint64_t)t->range.date.high - (uint64_t)t->range.date.low);
        return 0;
    case ANDIRON_TERM_NUMBER: {
        bool range = t->range.number.low != t->range.number.high;
        put_head(k, p, t, KEYS_NUMBER, range ? KEYS_HAS_1 : 0);
        put_double(k, t->range.number.low);
        if (range)
            put_double(k, t->range.number.high);
        return 0;
    }
    case ANDIRON_TERM_QUANTITY:
        pack_quantity(k, p, t);
        return 0;
    case ANDIRON_TERM_URI:
        put_head(k, p, t, KEYS_URI, 0);
        put_text(k, keys_text(k->source->key, k->scratch, t->text, KEYS_TEXT_MAX));
        return 0;
    case ANDIRON_TERM_PRESENT:
        put_head(k, p, t, KEYS_PRESENT, 0);
        return 0;
    default: /* a kind of a later ABI: nothing here could ask for it */
        return 1;
    }
}

static int compare_places(const void *a, const void *b, void *bytes)
{
    const struct place *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int c = memcmp((const uint8_t *)bytes + x->at, (const uint8_t *)bytes + y->at, len);

    if (c != 0)
        return c;
    return x->len < y->len ? -1 : x->len > y->len;
}

/* Where entries lie that others may be the same as: the last one of each hash. */
enum { SEEN = 64, SAME_WORTH = 6 /* bytes: shorter ones gain nothing */ };

struct seen {
    uint32_t at[SEEN]; /* behind p, in the list; 0: none */
    uint32_t len[SEEN];
};

/* The place in the list of an entry that has the same bytes behind p, or 0. Notes this one. */
static size_t find_same(struct seen *seen, const uint8_t *list, size_t at, const uint8_t *packed,
                        size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ packed[i]) * 16777619u;
    size_t slot = (h ^ h >> 16) % SEEN, found = seen->at[slot];
    if (found != 0 && seen->len[slot] == len && memcmp(list + found, packed, len) == 0)
        return found;
    seen->at[slot] = (uint32_t)at;
    seen->len[slot] = (uint32_t)len;
    return 0;
}

/* The entries in their order, in arena; ends the packer. */
static andiron_str finish(struct packer *k, struct andiron_arena *arena)
{
    struct packer out = { .scratch = k->scratch };
    struct seen seen = { .at = { 0 } };

    if (k->count > 1)
        qsort_r(k->places, k->count, sizeof(k->places[0]), compare_places, k->bytes);
    reserve(&out, k->len + 1);
    put_byte(&out, KEYS_FORMAT);
    for (size_t i = 0; i < k->count; i++) {
        const uint8_t *entry = k->bytes + k->places[i].at;
        size_t len = k->places[i].len, p_len = 1, from = out.len;
        if (i > 0 && compare_places(&k->places[i - 1], &k->places[i], k->bytes) == 0)
            continue;
        while (entry[p_len - 1] >= 0x80)
            p_len++;
        size_t same = len - p_len < SAME_WORTH
                          ? 0
                          : find_same(&seen, out.bytes, from + p_len, entry + p_len, len - p_len);
        reserve(&out, len + 16); /* SAME and the longest distance take less than 16 */
        memcpy(out.bytes + from, entry, same != 0 ? p_len : len);
        out.len += same != 0 ? p_len : len;
        if (same != 0) {
            put_byte(&out, KEYS_SAME);
            put_varint(&out, from - same);
        }
    }
    andiron_str list = { andiron_copy(arena, (andiron_str){ (const char *)out.bytes, out.len }),
                         out.len };
    andiron_arena_free(k->scratch);
    return list;
}

/* Lets the source know of params with several values in this resource. */
static int note_several(struct keys_source *source, int64_t type, const struct andiron_term *terms,
                        size_t count, andiron_str keys)
{
    struct keys_cursor c = keys_begin(keys);
    int64_t several, p, last = 0;

    while (keys_next_several(&c, &several)) {
        for (size_t i = 0; several != last && i < count; i++) {
            if (source->param(source->arg, type, andiron_str_of(terms[i].param),
                              1u << terms[i].kind, &p) != 0)
                return -1;
            if (p != several)
                continue;
            if (source->param(source->arg, type, andiron_str_of(terms[i].param), NAMES_SEVERAL,
                              &p) != 0)
                return -1;
            if (p == 0)
                source->incomplete = true;
            last = several;
        }
    }
    return 0;
}

int keys_pack(struct keys_source *source, struct andiron_arena *arena, int64_t type,
              const struct andiron_term *terms, size_t count, andiron_str *ret,
              struct andiron_error *err)
{
    struct packer k = { .source = source };
    const char *last = NULL;
    uint32_t last_kind = 0;
    int64_t p = 0;

    err->code = ANDIRON_OK;
    if (count > KEYS_MAX)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "",
                                 "the resource has %zu values to search by; at most %d can be kept",
                                 count, KEYS_MAX);
    k.scratch = andiron_arena_new(0);
    k.places = andiron_alloc(k.scratch, (count + 1) * sizeof(k.places[0]));
    for (size_t i = 0; i < count; i++) {
        const struct andiron_term *t = &terms[i];
        if (last != t->param || last_kind != t->kind) { /* terms of a param come in a row */
            if (source->param(source->arg, type, andiron_str_of(t->param), 1u << t->kind, &p) != 0)
                goto failed;
            last = t->param;
            last_kind = t->kind;
        }
        if (p == 0) {
            source->incomplete = true;
            continue;
        }
        int rc = pack_term(&k, p, t);
        if (rc < 0)
            goto failed;
        if (rc > 0)
            continue;
        k.places[k.count].len = k.len - k.places[k.count].at;
        k.count++;
    }
    *ret = finish(&k, arena);
    return note_several(source, type, terms, count, *ret);
failed:
    andiron_arena_free(k.scratch);
    return -1;
}

/* Adds the entries of a list, with what `settle` makes of its references. -1: settle failed. */
static int add_list(struct packer *k, andiron_str list, keys_settle_fn settle, void *arg)
{
    struct keys_cursor c = keys_begin(list);
    struct keys_entry e;

    while (keys_next(&c, &e)) {
        size_t at = k->len;
        reserve(k, e.packed.len + 16);
        put_varint(k, (uint64_t)e.p);
        memcpy(k->bytes + k->len, e.packed.data, e.packed.len);
        k->len += e.packed.len;
        if (settle != NULL && e.kind == KEYS_REFERENCE) {
            if (settle(arg, e.type, &e.rid) != 0)
                return -1;
            k->len -= RID_BYTES; /* it is what an entry ends with */
            put_fixed(k, (uint64_t)e.rid, RID_BYTES);
        }
        k->places[k->count++] = (struct place){ at, k->len - at };
    }
    return 0;
}

static struct packer packer_of(size_t list_bytes)
{
    struct packer k = { .scratch = andiron_arena_new(0) };
    k.places = andiron_alloc(k.scratch, (list_bytes / 2 + 2) * sizeof(k.places[0]));
    return k;
}

andiron_str keys_join(struct andiron_arena *arena, andiron_str a, andiron_str b)
{
    struct packer k = packer_of(a.len + b.len);

    (void)add_list(&k, a, NULL, NULL); /* nothing to settle, so nothing that fails */
    (void)add_list(&k, b, NULL, NULL);
    return finish(&k, arena);
}

int keys_settle(struct andiron_arena *arena, andiron_str keys, keys_settle_fn settle, void *arg,
                andiron_str *ret)
{
    struct packer k = packer_of(keys.len);

    if (add_list(&k, keys, settle, arg) != 0) {
        andiron_arena_free(k.scratch);
        return -1;
    }
    *ret = finish(&k, arena);
    return 0;
}
