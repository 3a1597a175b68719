/*
 * Text that grows in an arena: bodies, headers and links are put together with it.
 */
#ifndef FHIR_TEXT_H
#define FHIR_TEXT_H

#include <andiron/base.h>

struct text {
    struct andiron_arena *arena;
    char *data;
    size_t len, cap;
};

/* Starts an empty text with room for cap bytes; more is made when it is needed. */
void text_init(struct text *t, struct andiron_arena *arena, size_t cap);

/* Where the next bytes go: at least `more` of them fit. The caller adds to t->len what it wrote. */
char *text_room(struct text *t, size_t more);

void text_add(struct text *t, const char *bytes, size_t len);
void text_str(struct text *t, andiron_str s);
void text_uint(struct text *t, uint64_t n);

/* s as a JSON string, quoted and escaped (RFC 8259 section 7). */
void text_json(struct text *t, andiron_str s);

/* The same without the quotes. */
void text_escaped(struct text *t, andiron_str s);

#define TEXT_LIT(t, literal) text_add((t), (literal), sizeof(literal) - 1)

static inline andiron_str text_view(const struct text *t)
{
    andiron_str s = { t->data, t->len };
    return s;
}

#endif
