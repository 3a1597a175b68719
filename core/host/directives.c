/*
 * Values of directives: from text to C, with ranges, choices and defaults. Reads secret files.
 */
#include "host/directives.h"

#include <inttypes.h>

#include "base/suggest.h"
#include "base/units.h"
#include "host/config.h"

enum { NAMES_MAX = 512 };

/* A value on its way from a file, or from the default (file is NULL). */
struct given {
    const struct directives_context *ctx;
    const char *section;
    const struct andiron_directive *directive;
    const char *text, *file;
    unsigned line;
};

size_t directives_count(const struct andiron_directive *table)
{
    size_t count = 0;
    while (table != NULL && table[count].name != NULL)
        count++;
    return count;
}

/* ---- what a value must look like -------------------------------------------- */

static const char *bound(struct andiron_arena *arena, enum andiron_type type, int64_t n)
{
    static const struct {
        enum andiron_type type;
        int64_t factor;
        const char *unit;
    } units[] = {
        { ANDIRON_DURATION, 86400000, "d" }, { ANDIRON_DURATION, 3600000, "h" },
        { ANDIRON_DURATION, 60000, "m" },    { ANDIRON_DURATION, 1000, "s" },
        { ANDIRON_DURATION, 1, "ms" },       { ANDIRON_BYTES, 1 << 30, "g" },
        { ANDIRON_BYTES, 1 << 20, "m" },     { ANDIRON_BYTES, 1 << 10, "k" },
    };
    for (size_t i = 0; n != 0 && i < sizeof(units) / sizeof(units[0]); i++)
        if (units[i].type == type && n % units[i].factor == 0)
            return andiron_printf(arena, "%" PRId64 "%s", n / units[i].factor, units[i].unit);
    return andiron_printf(arena, "%" PRId64, n);
}

static const char *joined(struct andiron_arena *arena, const char *const *choices)
{
    const char *text = choices[0];
    for (size_t i = 1; choices[0] != NULL && choices[i] != NULL; i++)
        text = andiron_printf(arena, "%s%s%s", text, choices[i + 1] != NULL ? ", " : " or ",
                              choices[i]);
    return text;
}

static bool has_range(const struct andiron_directive *d)
{
    return d->min != 0 || d->max != 0;
}

const char *directive_expects(struct andiron_arena *arena, const struct andiron_directive *d)
{
    static const char *const shapes[] = {
        [ANDIRON_BOOL] = "yes, no, on or off",
        [ANDIRON_INT] = "a whole number",
        [ANDIRON_BYTES] = "a size such as 512k or 16m",
        [ANDIRON_DURATION] = "a duration such as 250ms, 30s, 5m, 1h or 7d",
        [ANDIRON_STRING] = "text",
        [ANDIRON_PATH] = "a path",
        [ANDIRON_SECRET] = "text, or @path of a file",
        [ANDIRON_LIST] = "a list, separated by blanks or commas",
    };
    if (d->type == ANDIRON_CHOICE)
        return joined(arena, d->choices);
    bool is_number =
        d->type == ANDIRON_INT || d->type == ANDIRON_BYTES || d->type == ANDIRON_DURATION;
    if (!is_number || !has_range(d))
        return shapes[d->type];
    if (d->max == INT64_MAX)
        return andiron_printf(arena, "%s, at least %s", shapes[d->type],
                              bound(arena, d->type, d->min));
    return andiron_printf(arena, "%s from %s to %s", shapes[d->type], bound(arena, d->type, d->min),
                          bound(arena, d->type, d->max));
}

/* ---- conversions: each -1 if the text is not of the type ------------------------- */

static int to_bool(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = { { "yes", true }, { "on", true }, { "no", false }, { "off", false } };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -1;
}

static int to_number(const struct andiron_directive *d, const char *text, int64_t *ret)
{
    andiron_str s = andiron_str_of(text);
    int64_t n = 0;

    if (d->type == ANDIRON_INT) {
        if (units_int(s, &n) != 0)
            return -1;
    } else {
        n = d->type == ANDIRON_BYTES ? units_bytes(s) : units_duration(s);
        if (n < 0)
            return -1;
    }
    if (has_range(d) && (n < d->min || n > d->max))
        return -1;
    *ret = n;
    return 0;
}

static int to_choice(const struct andiron_directive *d, const char *text, int *ret)
{
    for (int i = 0; d->choices[i] != NULL; i++) {
        if (strcmp(d->choices[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -1;
}

static bool separates(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

static const char *const *to_list(struct andiron_arena *arena, const char *text)
{
    size_t room = 1;
    for (const char *c = text; *c != '\0'; c++)
        room += !separates(*c) && (c == text || separates(c[-1]));
    const char **list = andiron_alloc(arena, room * sizeof(*list));
    size_t count = 0;
    for (const char *c = text; *c != '\0';) {
        if (separates(*c)) {
            c++;
            continue;
        }
        const char *start = c;
        while (*c != '\0' && !separates(*c))
            c++;
        list[count++] = andiron_copy(arena, (andiron_str){ start, (size_t)(c - start) });
    }
    return list;
}

/* Text of "@path", without the newline that editors add. NULL: a problem was added. */
static const char *to_secret(const struct given *g)
{
    struct andiron_error err;
    andiron_str text;

    if (g->text[0] != '@')
        return andiron_copy(g->ctx->arena, andiron_str_of(g->text));
    if (g->ctx->secrets == SECRETS_SKIP)
        return "";
    const char *path = config_path(g->ctx->arena, g->ctx->dir, g->text + 1);
    if (config_file(g->ctx->arena, path, SECRET_FILE_MAX, &text, &err) != 0) {
        if (g->ctx->secrets == SECRETS_CHECK && err.code == ANDIRON_E_FORBIDDEN)
            problem_warn(g->ctx->problems, g->file, g->line, "%s.%s: %s", g->section,
                         g->directive->name, err.message);
        else
            problem_add(g->ctx->problems, g->file, g->line, "%s.%s: %s", g->section,
                        g->directive->name, err.message);
        return NULL;
    }
    config_warn_open(g->ctx->problems, g->file, g->line,
                     andiron_printf(g->ctx->arena, "%s.%s", g->section, g->directive->name), path);
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (memchr(text.data, '\0', text.len) != NULL) {
        problem_add(g->ctx->problems, g->file, g->line, "%s.%s: %s holds a NUL byte", g->section,
                    g->directive->name, path);
        return NULL;
    }
    return andiron_copy(g->ctx->arena, text);
}

/* Writes the converted value; -1: the text is not of the type, and nothing was written. */
static int convert(const struct given *g, char *config)
{
    const struct andiron_directive *d = g->directive;
    struct andiron_arena *arena = g->ctx->arena;
    void *at = config + d->offset;

    switch (d->type) {
    case ANDIRON_BOOL:
        return to_bool(g->text, at);
    case ANDIRON_INT:
    case ANDIRON_BYTES:
    case ANDIRON_DURATION:
        return to_number(d, g->text, at);
    case ANDIRON_CHOICE:
        return to_choice(d, g->text, at);
    case ANDIRON_STRING:
        *(const char **)at = g->text;
        return 0;
    case ANDIRON_PATH:
        *(const char **)at =
            g->text[0] == '\0' ? g->text : config_path(arena, g->ctx->dir, g->text);
        return 0;
    case ANDIRON_SECRET: {
        const char *secret = to_secret(g);
        *(const char **)at = secret != NULL ? secret : "";
        return 0;
    }
    case ANDIRON_LIST:
        *(const char *const **)at = to_list(arena, g->text);
        return 0;
    default:
        return -1;
    }
}

/* ---- a whole section --------------------------------------------------------------- */

static void fill_one(const struct given *g, void *config)
{
    if (convert(g, config) == 0)
        return;
    /* What a user put where a secret belongs is not repeated; those never fail to convert. */
    problem_add(g->ctx->problems, g->file, g->line, "%s.%s: \"%.100s\" is not %s", g->section,
                g->directive->name, g->text, directive_expects(g->ctx->arena, g->directive));
}

static bool knows(const struct andiron_directive *table, const char *name)
{
    for (size_t i = 0; table != NULL && table[i].name != NULL; i++)
        if (strcmp(table[i].name, name) == 0)
            return true;
    return false;
}

/* `module` belongs to every plugin's section and to no table. */
static void check_names(const struct directives_context *ctx, const char *name,
                        const struct andiron_directive *table, const struct ini_section *section)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < directives_count(table) && count + 2 < NAMES_MAX; i++)
        names[count++] = table[i].name;
    if (section->plugin != NULL)
        names[count++] = "module";
    names[count] = NULL;

    for (const struct ini_value *v = section->values; v != NULL; v = v->next) {
        if (knows(table, v->name) || (section->plugin != NULL && strcmp(v->name, "module") == 0))
            continue;
        const char *near = suggest(andiron_str_of(v->name), names);
        problem_add(ctx->problems, v->file, v->line, "%s.%.*s: unknown directive%s%s%s", name,
                    INI_NAME_MAX, v->name, near != NULL ? "; did you mean \"" : "",
                    near != NULL ? near : "", near != NULL ? "\"?" : "");
    }
}

const struct directive_value *directives_fill(const struct directives_context *context,
                                              const char *name,
                                              const struct andiron_directive *table,
                                              const struct ini_section *section, void *config)
{
    size_t count = directives_count(table);
    struct directive_value *values = andiron_alloc(context->arena, (count + 1) * sizeof(*values));

    if (section != NULL)
        check_names(context, name, table, section);
    for (size_t i = 0; i < count; i++) {
        const struct andiron_directive *d = &table[i];
        const struct ini_value *v = ini_value(section, d->name);
        struct given g = { .ctx = context, .section = name, .directive = d };
        values[i].directive = d;
        if (v == NULL && d->fallback == NULL) {
            problem_add(context->problems, section != NULL ? section->file : NULL,
                        section != NULL ? section->line : 0, "%s.%s: is required: %s (%s)", name,
                        d->name, directive_expects(context->arena, d), d->help);
            continue;
        }
        g.text = values[i].text = v != NULL ? v->text : d->fallback;
        g.file = values[i].file = v != NULL ? v->file : NULL;
        g.line = values[i].line = v != NULL ? v->line : 0;
        fill_one(&g, config);
        if (d->type == ANDIRON_PATH && g.text[0] != '\0')
            values[i].text = *(const char **)((char *)config + d->offset);
    }
    return values;
}

/* ---- the table itself ---------------------------------------------------------------- */

static size_t size_of(enum andiron_type type)
{
    switch (type) {
    case ANDIRON_BOOL:
        return sizeof(bool);
    case ANDIRON_INT:
    case ANDIRON_BYTES:
    case ANDIRON_DURATION:
        return sizeof(int64_t);
    case ANDIRON_CHOICE:
        return sizeof(int);
    case ANDIRON_STRING:
    case ANDIRON_PATH:
    case ANDIRON_SECRET:
    case ANDIRON_LIST:
        return sizeof(void *);
    default:
        return 0;
    }
}

int directives_check(const struct andiron_directive *table, size_t config_size,
                     struct andiron_error *err)
{
    for (size_t i = 0; table != NULL && table[i].name != NULL; i++) {
        const struct andiron_directive *d = &table[i];
        const char *wrong = NULL;
        size_t size = size_of(d->type);
        if (!ini_name_ok(andiron_str_of(d->name)) || strcmp(d->name, "module") == 0)
            wrong = "its name must be lower-case words joined by hyphens, and not \"module\"";
        else if (size == 0)
            wrong = "its type is not known to this andiron";
        else if (size > config_size || d->offset > config_size - size)
            wrong = "its offset lies outside config_size";
        else if (d->offset % size != 0)
            wrong = "its offset does not fit the alignment of its type";
        else if (d->type == ANDIRON_CHOICE && (d->choices == NULL || d->choices[0] == NULL))
            wrong = "it is a choice without choices";
        else if (d->help == NULL)
            wrong = "it has no help text";
        for (size_t j = 0; wrong == NULL && j < i; j++)
            if (strcmp(table[j].name, d->name) == 0)
                wrong = "it is in the table twice";
        if (wrong != NULL)
            return andiron_error_set(err, ANDIRON_E_INVALID, "", "directive %zu, \"%.48s\": %s", i,
                                     d->name, wrong);
        if (i == NAMES_MAX - 2)
            return andiron_error_set(err, ANDIRON_E_INVALID, "", "has more than %d directives",
                                     NAMES_MAX - 2);
    }
    return 0;
}
