/*
 * One value of a parameter, by its kind (search.html, 3.1.1.4): text to filter.
 */
#include <math.h>

#include "common/fhir/dates.h"
#include "common/fhir/decimals.h"
#include "common/fhir/fold.h"
#include "common/fhir/ids.h"
#include "common/fhir/references.h"
#include "common/fhir/types.h"
#include "common/geo/sphere.h"
#include "compile.h"
#include "text.h"

size_t value_split(struct compiling *c, andiron_str value, andiron_str *parts, size_t max)
{
    andiron_str part;
    size_t count = 0;
    while (count < max && text_cut(&value, '|', &part))
        parts[count++] = text_unescape(c->arena, part);
    return value.data == NULL ? count : max + 1;
}

/* ---- string ------------------------------------------------------------------ */

static int string_filter(struct compiling *c, const struct operand *o, andiron_str value,
                         const struct andiron_filter **ret)
{
    andiron_str text = text_unescape(c->arena, value);
    enum andiron_compare compare = o->modifier == MODIFIER_EXACT      ? ANDIRON_CMP_EXACT
                                   : o->modifier == MODIFIER_CONTAINS ? ANDIRON_CMP_CONTAINS
                                                                      : ANDIRON_CMP_STARTS;
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_STRING, compare);
    *ret = f;
    f->term.text = fhir_folded(c->arena, text);
    if (compare == ANDIRON_CMP_EXACT) {
        f->term.exact = text;
        return 0;
    }
    if (f->term.text.len == 0)
        return compile_fail(c,
                            "%s needs letters or digits, not only blanks, punctuation and accents",
                            o->param->code);
    if (compare != ANDIRON_CMP_STARTS || o->part != 0 || o->param->words == NULL)
        return 0;
    struct operand words = *o;
    words.name = o->param->words;
    struct andiron_filter *g = filter_term(c, &words, ANDIRON_TERM_STRING, compare);
    g->term.text = f->term.text;
    struct list either = { NULL };
    list_add(c, &either, f);
    list_add(c, &either, g);
    *ret = filter_of(c, ANDIRON_FILTER_OR, &either);
    return 0;
}

/* ---- token ------------------------------------------------------------------- */

/* Also :text, which compares the strings of a token. */
static int token_text_filter(struct compiling *c, const struct operand *o, andiron_str value,
                             const struct andiron_filter **ret)
{
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_STRING, ANDIRON_CMP_STARTS);
    f->term.text = fhir_folded(c->arena, text_unescape(c->arena, value));
    *ret = f;
    return 0;
}

static int of_type_filter(struct compiling *c, const struct operand *o, andiron_str value,
                          const struct andiron_filter **ret)
{
    andiron_str parts[3];
    if (value_split(c, value, parts, 3) != 3 || parts[1].len == 0 || parts[2].len == 0)
        return compile_fail(c, "%s:of-type must be \"system|code|value\", not \"%.*s\"",
                            o->param->code, SHOWN(value));
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_TOKEN, ANDIRON_CMP_OF_TYPE);
    f->term.system = parts[0];
    f->term.text = parts[1];
    f->term.exact = parts[2];
    *ret = f;
    return 0;
}

static int token_filter(struct compiling *c, const struct operand *o, andiron_str value,
                        const struct andiron_filter **ret)
{
    andiron_str parts[2];
    size_t count = value_split(c, value, parts, 2);
    if (count > 2 || (count == 2 && parts[0].len == 0 && parts[1].len == 0))
        return compile_fail(
            c, "%s must be \"code\", \"system|code\", \"|code\" or \"system|\", not \"%.*s\"",
            o->param->code, SHOWN(value));
    bool is_system = count == 2 && parts[1].len == 0;
    struct andiron_filter *f =
        filter_term(c, o, ANDIRON_TERM_TOKEN, is_system ? ANDIRON_CMP_SYSTEM : ANDIRON_CMP_EQ);
    if (count == 2)
        f->term.system = parts[0];
    if (!is_system)
        f->term.text =
            o->param->is_caseless ? fhir_caseless(c->arena, parts[count - 1]) : parts[count - 1];
    *ret = f;
    return 0;
}

static int id_filter(struct compiling *c, const struct operand *o, andiron_str value,
                     const struct andiron_filter **ret)
{
    if (o->modifier != MODIFIER_NONE && o->modifier != MODIFIER_NOT)
        return compile_fail(c, "_id has no modifiers but :not and :missing");
    *ret = filter_id(c, text_unescape(c->arena, value));
    return 0;
}

/* ---- prefixes ---------------------------------------------------------------- */

/* eq and its like before a date, number or quantity; takes it off *value. */
static int prefix_of(struct compiling *c, const struct operand *o, andiron_str *value,
                     enum andiron_compare *ret)
{
    static const struct {
        char name[3];
        enum andiron_compare compare;
    } prefixes[] = {
        { "eq", ANDIRON_CMP_EQ }, { "ne", ANDIRON_CMP_NE }, { "gt", ANDIRON_CMP_GT },
        { "lt", ANDIRON_CMP_LT }, { "ge", ANDIRON_CMP_GE }, { "le", ANDIRON_CMP_LE },
        { "sa", ANDIRON_CMP_SA }, { "eb", ANDIRON_CMP_EB }, { "ap", ANDIRON_CMP_AP },
    };
    *ret = ANDIRON_CMP_EQ;
    if (value->len < 2 || value->data[0] < 'a' || value->data[0] > 'z')
        return 0;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (memcmp(value->data, prefixes[i].name, 2) == 0) {
            *ret = prefixes[i].compare;
            *value = (andiron_str){ value->data + 2, value->len - 2 };
            return 0;
        }
    return compile_fail(c,
                        "%s may start with eq, ne, gt, lt, ge, le, sa, eb or ap, not with "
                        "\"%.*s\"",
                        o->param->code, 2, value->data);
}

/* ---- date -------------------------------------------------------------------- */

/* "ap": search.html suggests a tenth of the time between now and then. */
static void widen_date(struct andiron_term *term)
{
    andiron_usec distance = andiron_now() - term->range.date.low;
    andiron_usec margin = (distance < 0 ? -distance : distance) / 10;
    term->range.date.low -= margin;
    term->range.date.high += margin;
}

static int date_filter(struct compiling *c, const struct operand *o, andiron_str value,
                       const struct andiron_filter **ret)
{
    andiron_str text = value;
    enum andiron_compare compare;
    struct fhir_date date;

    if (prefix_of(c, o, &text, &compare) != 0)
        return -1;
    if (fhir_date_parse(text, &date) != 0)
        return compile_fail(c,
                            "%s must be a date such as 2013, 2013-01-14 or "
                            "2013-01-14T10:00:00Z (a plus sign is written %%2B), not \"%.*s\"",
                            o->param->code, SHOWN(text));
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_DATE, compare);
    f->term.range.date.low = date.low;
    f->term.range.date.high = date.high;
    if (compare == ANDIRON_CMP_AP)
        widen_date(&f->term);
    *ret = f;
    return 0;
}

/* ---- number and quantity ----------------------------------------------------- */

/* The range to compare with: by the digits for eq and ne, a tenth around it for ap, else exact. */
static int number_range(struct compiling *c, const struct operand *o, andiron_str text,
                        enum andiron_compare compare, struct andiron_term *term)
{
    struct fhir_decimal d;
    if (fhir_decimal_parse(text, &d) != 0)
        return compile_fail(c, "%s must be a number such as 5.4 or 1e-3, not \"%.*s\"",
                            o->param->code, SHOWN(text));
    /* Whole numbers match exactly, unless they are asked for as 1e2 (search.html, 3.1.1.4.6). */
    bool is_exact = o->param->is_integer && memchr(text.data, 'e', text.len) == NULL &&
                    memchr(text.data, 'E', text.len) == NULL;
    bool is_implied = (compare == ANDIRON_CMP_EQ || compare == ANDIRON_CMP_NE) && !is_exact;
    double margin = compare == ANDIRON_CMP_AP ? fabs(d.value) / 10 : 0;
    term->range.number.low = is_implied ? d.low : d.value - margin;
    term->range.number.high = is_implied ? d.high : d.value + margin;
    return 0;
}

static int number_filter(struct compiling *c, const struct operand *o, andiron_str value,
                         const struct andiron_filter **ret)
{
    enum andiron_compare compare;
    if (prefix_of(c, o, &value, &compare) != 0)
        return -1;
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_NUMBER, compare);
    *ret = f;
    return number_range(c, o, value, compare, &f->term);
}

static int quantity_filter(struct compiling *c, const struct operand *o, andiron_str value,
                           const struct andiron_filter **ret)
{
    andiron_str parts[3], whole = value;
    enum andiron_compare compare;

    if (prefix_of(c, o, &value, &compare) != 0)
        return -1;
    size_t count = value_split(c, value, parts, 3);
    if (count != 1 && count != 3)
        return compile_fail(c,
                            "%s must be \"number\" or \"number|system|code\" (the system may be "
                            "empty), not \"%.*s\"",
                            o->param->code, SHOWN(whole));
    if (count == 3 && parts[1].len > 0 && parts[2].len == 0)
        return compile_fail(c, "%s has a system without a code: \"number|system|code\"",
                            o->param->code);
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_QUANTITY, compare);
    *ret = f;
    if (count == 3 && parts[1].len > 0)
        f->term.system = parts[1];
    if (count == 3 && parts[2].len > 0)
        f->term.text = parts[2];
    return number_range(c, o, parts[0], compare, &f->term);
}

/* ---- reference and uri ------------------------------------------------------- */

static struct andiron_filter *local_filter(struct compiling *c, const struct operand *o,
                                           andiron_str type, andiron_str id)
{
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_REFERENCE, ANDIRON_CMP_EQ);
    f->term.system = type;
    f->term.text = id;
    return f;
}

/* An id alone may be of any type that the parameter refers to. */
static int bare_id_filter(struct compiling *c, const struct operand *o, andiron_str id,
                          const struct andiron_filter **ret)
{
    struct list any = { NULL };
    if (o->modifier == MODIFIER_TYPE) {
        *ret = local_filter(c, o, andiron_str_of(o->target.name), id);
        return 0;
    }
    if (o->param->target_count == 0)
        return compile_fail(c, "%s may refer to any type: write \"Type/%.*s\"", o->param->code,
                            SHOWN(id));
    for (size_t i = 0; i < o->param->target_count; i++)
        list_add(c, &any,
                 local_filter(c, o, andiron_str_of(fhir_type_name(o->param->targets[i])), id));
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

static int reference_filter(struct compiling *c, const struct operand *o, andiron_str value,
                            const struct andiron_filter **ret)
{
    andiron_str text = text_unescape(c->arena, value);
    struct fhir_reference ref = fhir_reference_parse(text, c->base);

    if (ref.kind == FHIR_REFERENCE_LOCAL) {
        if (o->modifier == MODIFIER_TYPE &&
            !andiron_str_eq(ref.type, andiron_str_of(o->target.name)))
            return compile_fail(c, "%s:%s cannot be \"%.*s\"", o->param->code, o->target.name,
                                SHOWN(text));
        *ret = local_filter(c, o, ref.type, ref.id);
        return 0;
    }
    if (ref.kind == FHIR_REFERENCE_URL) {
        struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_REFERENCE, ANDIRON_CMP_EQ);
        f->term.text = text;
        *ret = f;
        return 0;
    }
    if (ref.kind == FHIR_REFERENCE_FRAGMENT) {
        *ret = filter_new(c, ANDIRON_FILTER_OR); /* contained resources are never found */
        return 0;
    }
    if (fhir_is_id(text))
        return bare_id_filter(c, o, text, ret);
    return compile_fail(c, "%s must be an id, \"Type/id\" or a URL, not \"%.*s\"", o->param->code,
                        SHOWN(text));
}

/*
 * "url=http://x|1.0" asks for that version of what the URL names (search.html, 3.1.1.4.9). NULL
 * if there is no version, or nothing that could have one.
 */
static const struct andiron_filter *versioned_filter(struct compiling *c, const struct operand *o,
                                                     andiron_str value)
{
    andiron_str parts[2];
    struct fhir_param version;

    if (o->modifier != MODIFIER_NONE || strcmp(o->param->code, "url") != 0 ||
        value_split(c, value, parts, 2) != 2 || parts[0].len == 0 || parts[1].len == 0 ||
        !model_param(o->type, ANDIRON_STR("version"), &version) || version.kind != FHIR_PARAM_TOKEN)
        return NULL;
    struct operand of_version = { .type = o->type, .param = &version, .name = version.term };
    struct list both = { NULL };
    struct andiron_filter *f;
    list_add(c, &both, f = filter_term(c, o, ANDIRON_TERM_URI, ANDIRON_CMP_EQ));
    f->term.text = parts[0];
    list_add(c, &both, f = filter_term(c, &of_version, ANDIRON_TERM_TOKEN, ANDIRON_CMP_EQ));
    f->term.text = version.is_caseless ? fhir_caseless(c->arena, parts[1]) : parts[1];
    return filter_of(c, ANDIRON_FILTER_AND, &both);
}

static int uri_filter(struct compiling *c, const struct operand *o, andiron_str value,
                      const struct andiron_filter **ret)
{
    const struct andiron_filter *versioned = versioned_filter(c, o, value);
    if (versioned != NULL) {
        *ret = versioned;
        return 0;
    }

    enum andiron_compare compare = o->modifier == MODIFIER_BELOW   ? ANDIRON_CMP_BELOW
                                   : o->modifier == MODIFIER_ABOVE ? ANDIRON_CMP_ABOVE
                                                                   : ANDIRON_CMP_EQ;
    struct andiron_filter *f = filter_term(c, o, ANDIRON_TERM_URI, compare);
    f->term.text = text_unescape(c->arena, value);
    /* "below x" is x and what continues behind a slash: the slash is not part of x */
    while (compare != ANDIRON_CMP_EQ && f->term.text.len > 1 &&
           f->term.text.data[f->term.text.len - 1] == '/')
        f->term.text.len--;
    *ret = f;
    return 0;
}

/* ---- composite --------------------------------------------------------------- */

/* Filters of one part, as a list of TERMs. */
static int part_filters(struct compiling *c, const struct operand *composite, size_t part,
                        andiron_str value, struct list *ret)
{
    struct fhir_param param;
    const struct andiron_filter *f;

    if (!model_part(composite->type, composite->param, part, &param))
        return compile_fail(c, "%s cannot be searched here", composite->param->code);
    struct operand o = { .type = composite->type,
                         .param = &param,
                         .name = composite->param->term,
                         .part = (uint32_t)part + 1 };
    if (value_filter(c, &o, value, &f) != 0)
        return -1;
    if (f->op == ANDIRON_FILTER_TERM) {
        list_add(c, ret, f);
        return 0;
    }
    for (size_t i = 0; i < f->arg_count; i++)
        list_add(c, ret, f->args[i]);
    return 0;
}

enum { PARTS_MAX = 3 };

/* One TERM of each part, those at place. */
static const struct andiron_filter *combination(struct compiling *c, const struct list *parts,
                                                size_t count, const size_t *place)
{
    struct list args = { NULL };
    for (size_t i = 0; i < count; i++)
        list_add(c, &args, parts[i].items[place[i]]);
    struct andiron_filter *f = filter_new(c, ANDIRON_FILTER_TOGETHER);
    f->args = (const struct andiron_filter *const *)args.items;
    f->arg_count = count;
    return f;
}

static int composite_filter(struct compiling *c, const struct operand *o, andiron_str value,
                            const struct andiron_filter **ret)
{
    struct list parts[PARTS_MAX] = { { NULL } }, any = { NULL };
    size_t count = 0, place[PARTS_MAX] = { 0 };
    andiron_str rest = value, part;
    bool is_whole = true;

    while (is_whole && text_cut(&rest, '$', &part)) {
        is_whole = count < o->param->part_count && part.len != 0;
        if (is_whole && part_filters(c, o, count, part, &parts[count]) != 0)
            return -1;
        count++;
    }
    if (!is_whole || count != o->param->part_count)
        return compile_fail(c, "%s must be %zu values joined by \"$\", not \"%.*s\"",
                            o->param->code, o->param->part_count, SHOWN(value));
    bool has_more = true; /* a contained reference (#x) leaves a part without any filter */
    for (size_t i = 0; i < count; i++)
        has_more = has_more && parts[i].count > 0;
    while (has_more) {
        size_t i = 0;
        list_add(c, &any, combination(c, parts, count, place));
        while (i < count && ++place[i] == parts[i].count)
            place[i++] = 0;
        has_more = i < count;
    }
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

/* ---- near -------------------------------------------------------------------- */

static double kilometres_per(andiron_str unit)
{
    static const struct {
        const char *name;
        double km;
    } units[] = { { "", 1 },
                  { "km", 1 },
                  { "m", 0.001 },
                  { "[mi_us]", 1.609347 },
                  { "[mi_i]", 1.609344 },
                  { "mi", 1.609344 } };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (andiron_str_eq(unit, andiron_str_of(units[i].name)))
            return units[i].km;
    return 0;
}

struct circle {
    double latitude, longitude, kilometres;
    double north, east; /* how far the box around it reaches, in degrees */
};

/* One of the boxes; shift is 0, or 360 to either side where it crosses longitude 180. */
static void add_box(struct compiling *c, const struct operand *o, struct list *any,
                    const struct circle *circle, double shift)
{
    struct operand part = *o;
    struct list args = { NULL };
    struct andiron_filter *f;

    part.part = 1;
    list_add(c, &args, f = filter_term(c, &part, ANDIRON_TERM_NUMBER, ANDIRON_CMP_EQ));
    f->term.range.number.low = circle->latitude - circle->north;
    f->term.range.number.high = circle->latitude + circle->north;
    part.part = 2;
    list_add(c, &args, f = filter_term(c, &part, ANDIRON_TERM_NUMBER, ANDIRON_CMP_EQ));
    f->term.range.number.low = circle->longitude - circle->east + shift;
    f->term.range.number.high = circle->longitude + circle->east + shift;
    struct andiron_filter *box = filter_new(c, ANDIRON_FILTER_TOGETHER);
    box->compare = ANDIRON_CMP_NEAR;
    box->term.param = o->name;
    box->term.kind = ANDIRON_TERM_NUMBER;
    box->term.range.number.high = circle->kilometres;
    box->args = (const struct andiron_filter *const *)args.items;
    box->arg_count = 2;
    list_add(c, any, box);
}

/* Location.near: within the circle, found by the box around it. */
static int near_filter(struct compiling *c, const struct operand *o, andiron_str value,
                       const struct andiron_filter **ret)
{
    andiron_str parts[4];
    double distance = 10; /* km, "at the discretion of the server" */
    struct circle circle;
    size_t count = value_split(c, value, parts, 4);
    double unit = kilometres_per(count == 4 ? parts[3] : ANDIRON_STR("km"));

    if (count < 2 || count > 4 || unit == 0 ||
        fhir_decimal_value(parts[0], &circle.latitude) != 0 ||
        fhir_decimal_value(parts[1], &circle.longitude) != 0 || fabs(circle.latitude) > 90 ||
        fabs(circle.longitude) > 180 ||
        (count > 2 && (fhir_decimal_value(parts[2], &distance) != 0 || distance < 0)))
        return compile_fail(c,
                            "%s must be \"latitude|longitude|distance|unit\", the unit being km, "
                            "m or [mi_us], not \"%.*s\"",
                            o->param->code, SHOWN(value));
    /* A little more than the circle: rounding must not lose what lies on its edge. */
    const double radians = 3.14159265358979323846 / 180, slack = 1e-9;
    struct list any = { NULL };
    circle.kilometres = count > 2 ? distance * unit : distance;
    circle.north = circle.kilometres / geo_kilometres_per_degree() + slack;
    double widest = fabs(circle.latitude) + circle.north;
    circle.east = widest < 89 ? circle.north / cos(widest * radians) + slack : 360;
    add_box(c, o, &any, &circle, 0);
    if (circle.east < 360 && circle.longitude - circle.east < -180)
        add_box(c, o, &any, &circle, 360);
    if (circle.east < 360 && circle.longitude + circle.east > 180)
        add_box(c, o, &any, &circle, -360);
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

/* ---- all --------------------------------------------------------------------- */

int value_filter(struct compiling *c, const struct operand *o, andiron_str value,
                 const struct andiron_filter **ret)
{
    switch (o->param->kind) {
    case FHIR_PARAM_NUMBER:
        return number_filter(c, o, value, ret);
    case FHIR_PARAM_DATE:
        return date_filter(c, o, value, ret);
    case FHIR_PARAM_STRING:
        return string_filter(c, o, value, ret);
    case FHIR_PARAM_TOKEN:
        if (strcmp(o->param->code, "_id") == 0)
            return id_filter(c, o, value, ret);
        if (o->modifier == MODIFIER_TEXT)
            return token_text_filter(c, o, value, ret);
        if (o->modifier == MODIFIER_OF_TYPE)
            return of_type_filter(c, o, value, ret);
        if (o->modifier == MODIFIER_IN || o->modifier == MODIFIER_NOT_IN)
            return in_filter(c, o, value, ret);
        if (o->modifier == MODIFIER_ABOVE || o->modifier == MODIFIER_BELOW)
            return subsumption_filter(c, o, value, ret);
        return token_filter(c, o, value, ret);
    case FHIR_PARAM_REFERENCE:
        return o->modifier == MODIFIER_IDENTIFIER ? token_filter(c, o, value, ret)
                                                  : reference_filter(c, o, value, ret);
    case FHIR_PARAM_COMPOSITE:
        return composite_filter(c, o, value, ret);
    case FHIR_PARAM_QUANTITY:
        return quantity_filter(c, o, value, ret);
    case FHIR_PARAM_URI:
        return uri_filter(c, o, value, ret);
    case FHIR_PARAM_SPECIAL:
        return near_filter(c, o, value, ret);
    }
    return compile_fail(c, "%s cannot be searched", o->param->code);
}
