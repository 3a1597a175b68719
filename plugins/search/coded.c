/*
 * Tokens by what stored ValueSets and CodeSystems say of them (search.html, 3.1.1.4.10).
 */
#include "terminology.h"
#include "text.h"

static const struct andiron_filter *nothing(struct compiling *c)
{
    return filter_new(c, ANDIRON_FILTER_OR);
}

static void add_token(struct compiling *c, const struct operand *o, struct list *any,
                      andiron_str system, andiron_str text)
{
    struct andiron_filter *f =
        filter_term(c, o, ANDIRON_TERM_TOKEN, text.len > 0 ? ANDIRON_CMP_EQ : ANDIRON_CMP_SYSTEM);
    f->term.system = system;
    f->term.text = text;
    list_add(c, any, f);
}

/* The caller must be allowed to search them. */
static void add_type(struct compiling *c, const char *name)
{
    if (c->narrowing_depth == 0)
        list_add_name(c, &c->types, name);
}

int in_filter(struct compiling *c, const struct operand *o, andiron_str value,
              const struct andiron_filter **ret)
{
    const struct code_set *set = NULL;
    struct document *document;
    struct list any = { NULL };

    add_type(c, "ValueSet");
    if (terminology_get(c, "ValueSet", text_unescape(c->arena, value), &document) != 0 ||
        (document != NULL && codes_of(c, document, &set) != 0))
        return -1;
    if (set == NULL || c->terminology->is_lacking) { /* it is compiled again */
        *ret = nothing(c);
        return 0;
    }
    for (size_t i = 0; i < set->count; i++)
        add_token(c, o, &any, set->codes[i].system, set->codes[i].text);
    for (size_t i = 0; i < set->system_count; i++)
        add_token(c, o, &any, set->systems[i], (andiron_str){ NULL, 0 });
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

#define MIME_SYSTEM "urn:ietf:bcp:13"

/* "image", "text/xml": the type and its subtypes, the subtype and its parameters (RFC 2045, 5.1). */
static int media_filter(struct compiling *c, const struct operand *o, andiron_str type,
                        const struct andiron_filter **ret)
{
    bool has_subtype = memchr(type.data, '/', type.len) != NULL;
    struct list any = { NULL };

    if (o->modifier == MODIFIER_ABOVE)
        return compile_fail(c,
                            "%s:above: nothing is above a MIME type; :below=image finds all "
                            "images",
                            o->param->code);
    add_token(c, o, &any, ANDIRON_STR(MIME_SYSTEM), type);
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_TOKEN, ANDIRON_CMP_STARTS);
    f->term.system = ANDIRON_STR(MIME_SYSTEM);
    f->term.text = andiron_str_of(
        andiron_printf(c->arena, "%.*s%c", (int)type.len, type.data, has_subtype ? ';' : '/'));
    list_add(c, &any, f);
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

/* DocumentReference has R4's only parameter for MIME types, whose system nobody writes. */
static bool is_media_param(const struct operand *o)
{
    return strcmp(o->param->code, "contenttype") == 0;
}

int subsumption_filter(struct compiling *c, const struct operand *o, andiron_str value,
                       const struct andiron_filter **ret)
{
    bool is_above = o->modifier == MODIFIER_ABOVE;
    size_t max = (size_t)c->limits->max_codes;
    struct list any = { NULL };
    struct document *document;
    andiron_str parts[2];

    size_t count = value_split(c, value, parts, 2);
    if (count == 1 && parts[0].len > 0 && is_media_param(o))
        return media_filter(c, o, parts[0], ret);
    if (count == 2 && parts[1].len > 0 && andiron_str_eq(parts[0], ANDIRON_STR(MIME_SYSTEM)))
        return media_filter(c, o, parts[1], ret);
    if (count != 2 || parts[0].len == 0 || parts[1].len == 0)
        return compile_fail(c, "%s:%s must be \"system|code\", not \"%.*s\"", o->param->code,
                            is_above ? "above" : "below", SHOWN(value));
    add_type(c, "CodeSystem");
    if (terminology_get(c, "CodeSystem", parts[0], &document) != 0)
        return -1;
    if (document == NULL) {
        *ret = nothing(c);
        return 0;
    }
    andiron_str *codes = andiron_alloc(c->arena, (max + 1) * sizeof(codes[0]));
    count = hierarchy_walk(document->hierarchy, c->arena, parts[1], is_above, codes, max);
    if (count > max)
        return compile_fail(c, "more than %zu codes are %s \"%.*s\"", max,
                            is_above ? "above" : "below", SHOWN(value));
    for (size_t i = 0; i < count; i++)
        add_token(c, o, &any, parts[0], codes[i]);
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}
