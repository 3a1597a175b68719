/*
 * Every item of a shape is a bit: set while what was read so far may end with it. The bit before the
 * first item is where the shape begins. Shapes lie beside each other in words, and none goes over
 * the end of one.
 */
#include "common/pattern/many.h"

#include "common/pattern/shape.h"

enum {
    WORDS_MAX = 2048,   /* what does not fit is not known */
    WORK_MAX = 1 << 15, /* words times bytes of a subject */
    OPTIONAL_MAX = 6,   /* items that may be missing, one after the other */
    SEEN = 256          /* sets of bytes that are remembered */
};

/* Where a shape ends. */
struct ending {
    uint64_t bit;
    uint32_t word, expression;
};

struct pattern_many {
    uint8_t class_of[256]; /* bytes that no shape tells apart */
    unsigned classes;
    size_t word_count, ending_count;
    unsigned optional_max; /* one after the other */
    uint64_t *rows;        /* of each class: items whose bytes it is of */
    uint64_t *begins;      /* what is set before anything was read */
    uint64_t *repeats, *optional;
    uint64_t *stays; /* whatever comes: where shapes begin anywhere, or are found */
    const struct ending *endings;
    const uint32_t *unknown; /* expressions of which nothing is known */
    size_t unknown_count;
};

/* A shape and where it lies. */
struct placed {
    const struct shape_item *items;
    unsigned count, first; /* bit of its beginning */
    uint32_t word, expression;
    bool at_begin, at_end;
};

struct making {
    struct andiron_arena *arena; /* ends when it is made */
    struct pattern_many *many;
    struct placed *all;
    size_t count;
    unsigned used; /* bits of the last word */
    struct byte_set seen[SEEN];
    struct byte_set single; /* bytes that are all of some item */
};

/* ---- where shapes lie ------------------------------------------------------------------------------ */

static unsigned longest_optional(const struct shape *shape)
{
    unsigned longest = 0, run = 0;
    for (unsigned i = 0; i < shape->count; i++) {
        run = shape->items[i].is_optional ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Nothing would ever be told by one that may be empty anywhere. */
static bool is_of_use(const struct shapes *shapes)
{
    for (unsigned s = 0; s < shapes->count; s++) {
        const struct shape *shape = &shapes->all[s];
        bool asks = shape->at_begin && shape->at_end;
        for (unsigned i = 0; i < shape->count; i++)
            asks |= !shape->items[i].is_optional;
        if (!asks || longest_optional(shape) > OPTIONAL_MAX)
            return false;
    }
    return true;
}

static void place_shape(struct making *m, const struct shape *shape, uint32_t expression)
{
    unsigned longest = longest_optional(shape);
    if (m->many->word_count == 0 || m->used + shape->count + 1 > 64) {
        m->many->word_count++;
        m->used = 0;
    }
    struct shape_item *items = andiron_alloc(m->arena, (shape->count + 1) * sizeof(*items));
    memcpy(items, shape->items, shape->count * sizeof(*items));
    m->all[m->count++] = (struct placed){ .items = items,
                                          .count = shape->count,
                                          .first = m->used,
                                          .word = (uint32_t)(m->many->word_count - 1),
                                          .expression = expression,
                                          .at_begin = shape->at_begin,
                                          .at_end = shape->at_end };
    m->used += shape->count + 1;
    if (longest > m->many->optional_max)
        m->many->optional_max = longest;
}

/* false: nothing is known of it, or there is no room. */
static bool place_expression(struct making *m, andiron_str text, uint32_t expression)
{
    struct shapes shapes;
    if (!pattern_shapes(text, &shapes) || !is_of_use(&shapes) ||
        m->many->word_count + shapes.count > WORDS_MAX)
        return false;
    for (unsigned s = 0; s < shapes.count; s++)
        place_shape(m, &shapes.all[s], expression);
    return true;
}

/* ---- classes of bytes -------------------------------------------------------------------------------- */

/* The byte, if the set is of one; else -1. */
static int only_byte(const struct byte_set *set)
{
    int byte = -1;
    for (int i = 0; i < 4; i++) {
        uint64_t bits = set->bits[i];
        if (bits == 0)
            continue;
        if (byte >= 0 || (bits & (bits - 1)) != 0)
            return -1;
        byte = i * 64 + __builtin_ctzll(bits);
    }
    return byte;
}

/* Classes that a set cuts in two become two. */
static void split_classes(struct pattern_many *many, const struct byte_set *set)
{
    unsigned inside[256], count = 0; /* of each class, what it is within the set */
    bool has_inside[256] = { false }, has_outside[256] = { false };
    for (unsigned b = 0; b < 256; b++)
        *(byte_set_has(set, (unsigned char)b) ? &has_inside[many->class_of[b]]
                                              : &has_outside[many->class_of[b]]) = true;
    for (unsigned c = 0; c < many->classes; c++)
        inside[c] = has_inside[c] && has_outside[c] ? many->classes + count++ : c;
    for (unsigned b = 0; b < 256; b++)
        if (byte_set_has(set, (unsigned char)b))
            many->class_of[b] = (uint8_t)inside[many->class_of[b]];
    many->classes += count;
}

/* Whether the set is new, as far as it is remembered. */
static bool remember(struct making *m, const struct byte_set *set)
{
    uint64_t h = set->bits[0] * 3 + set->bits[1] * 5 + set->bits[2] * 7 + set->bits[3] * 11;
    struct byte_set *seen = &m->seen[(h * UINT64_C(0x9E3779B97F4A7C15)) >> 56];
    bool is_new = memcmp(seen, set, sizeof(*set)) != 0;
    *seen = *set;
    return is_new;
}

static void make_classes(struct making *m)
{
    m->many->classes = 1;
    for (size_t s = 0; s < m->count; s++)
        for (unsigned i = 0; i < m->all[s].count; i++) {
            const struct byte_set *set = &m->all[s].items[i].bytes;
            int byte = only_byte(set);
            if (byte >= 0)
                m->single.bits[byte / 64] |= UINT64_C(1) << byte % 64;
            else if (remember(m, set))
                split_classes(m->many, set);
        }
    for (unsigned b = 0; b < 256; b++) {
        struct byte_set set = { { 0 } };
        set.bits[b / 64] = UINT64_C(1) << b % 64;
        if (byte_set_has(&m->single, (unsigned char)b))
            split_classes(m->many, &set);
    }
}

/* ---- words --------------------------------------------------------------------------------------------- */

/* Items that may be missing count as read. */
static inline uint64_t pass_over(uint64_t read, uint64_t optional, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        read |= read << 1 & optional;
    return read;
}

static void put_item(struct pattern_many *many, const struct shape_item *item, size_t word,
                     uint64_t bit, const unsigned char *representatives)
{
    int byte = only_byte(&item->bytes);
    if (byte >= 0)
        many->rows[many->class_of[byte] * many->word_count + word] |= bit;
    for (unsigned c = 0; byte < 0 && c < many->classes; c++)
        if (byte_set_has(&item->bytes, representatives[c]))
            many->rows[c * many->word_count + word] |= bit;
    if (item->is_optional)
        many->optional[word] |= bit;
    if (item->repeats)
        many->repeats[word] |= bit;
}

static void make_words(struct making *m, struct andiron_arena *arena)
{
    struct pattern_many *many = m->many;
    unsigned char representatives[256];
    size_t words = many->word_count;
    struct ending *endings = andiron_alloc(arena, m->count * sizeof(*endings));

    for (unsigned b = 0; b < 256; b++)
        representatives[many->class_of[b]] = (unsigned char)b;
    many->rows = andiron_alloc(arena, (many->classes + 4) * words * sizeof(uint64_t));
    many->begins = many->rows + many->classes * words;
    many->repeats = many->begins + words;
    many->optional = many->repeats + words;
    many->stays = many->optional + words;
    for (size_t s = 0; s < m->count; s++) {
        const struct placed *p = &m->all[s];
        uint64_t begin = UINT64_C(1) << p->first, end = begin << p->count;
        for (unsigned i = 0; i < p->count; i++)
            put_item(many, &p->items[i], p->word, begin << (i + 1), representatives);
        many->begins[p->word] |= begin;
        many->stays[p->word] |= (p->at_begin ? 0 : begin) | (p->at_end ? 0 : end);
        endings[s] = (struct ending){ end, p->word, p->expression };
    }
    for (size_t w = 0; w < words; w++)
        many->begins[w] = pass_over(many->begins[w], many->optional[w], many->optional_max);
    many->endings = endings;
    many->ending_count = m->count;
}

const struct pattern_many *pattern_many_new(struct andiron_arena *arena,
                                            const andiron_str *expressions, size_t count)
{
    struct andiron_arena *own = andiron_arena_new(count * 512 + 1024);
    struct making *m = andiron_new(own, struct making);
    struct pattern_many *many = andiron_new(arena, struct pattern_many);
    uint32_t *unknown = andiron_alloc(arena, (count + 1) * sizeof(*unknown));

    m->arena = own;
    m->many = many;
    m->all = andiron_alloc(own, (count * SHAPES_MAX + 1) * sizeof(*m->all));
    many->unknown = unknown;
    for (uint32_t i = 0; i < count; i++)
        if (!place_expression(m, expressions[i], i))
            unknown[many->unknown_count++] = i;
    bool is_known = m->count > 0;
    if (is_known) {
        make_classes(m);
        make_words(m, arena);
    }
    andiron_arena_free(own);
    return is_known ? many : NULL;
}

size_t pattern_many_words(const struct pattern_many *many)
{
    return many->word_count;
}

/* ---- finding ------------------------------------------------------------------------------------------ */

static const uint64_t *row_of(const struct pattern_many *many, char byte)
{
    return many->rows + many->class_of[(unsigned char)byte] * many->word_count;
}

static uint64_t step(const struct pattern_many *many, const uint64_t *row, uint64_t *words)
{
    uint64_t alive = 0;
    for (size_t w = 0; w < many->word_count; w++) {
        uint64_t read = words[w];
        if (read == 0)
            continue;
        read = (read << 1 & row[w]) | (read & ((row[w] & many->repeats[w]) | many->stays[w]));
        words[w] = pass_over(read, many->optional[w], many->optional_max);
        alive |= read;
    }
    return alive;
}

void pattern_many_find(const struct pattern_many *many, andiron_str subject, uint64_t *words,
                       bool *ret)
{
    bool is_too_long = subject.len > WORK_MAX / many->word_count;
    uint64_t alive = 1;

    for (size_t u = 0; u < many->unknown_count; u++)
        ret[many->unknown[u]] = true;
    memcpy(words, many->begins, many->word_count * sizeof(*words));
    for (size_t i = 0; !is_too_long && alive != 0 && i < subject.len; i++)
        alive = step(many, row_of(many, subject.data[i]), words);
    for (size_t e = 0; alive != 0 && e < many->ending_count; e++)
        ret[many->endings[e].expression] |=
            is_too_long || (words[many->endings[e].word] & many->endings[e].bit) != 0;
}
