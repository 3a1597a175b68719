/*
 * INI text -> sections, through libinih.
 *
 * libinih splits; what its builds differ in or do silently is decided before it sees a line.
 * Debian's cuts lines at 200 bytes, joins continued ones, ends values at " ;" and reports no
 * line numbers. So the reader below hands it one checked line at a time with the value left
 * out, and the value is taken from the line itself. No files here: see config.c.
 */
#include "host/ini.h"

#include <ini.h>

struct reader {
    struct ini *ini;
    struct problems *problems;
    const char *file;
    andiron_str rest; /* text not yet read */
    unsigned line;
    andiron_str value;   /* of the line that libinih was given last */
    bool section_is_bad; /* what follows belongs nowhere; the heading's problem is enough */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static andiron_str trim(andiron_str s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s.data++, s.len--;
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool ini_name_ok(andiron_str name)
{
    if (name.len == 0 || name.len > INI_NAME_MAX || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_word && (c != '-' || name.data[i - 1] == '-' || i + 1 == name.len))
            return false;
    }
    return true;
}

struct ini_section *ini_find(const struct ini *ini, const char *title)
{
    for (struct ini_section *s = ini->sections; s != NULL; s = s->next)
        if (strcmp(s->title, title) == 0)
            return s;
    return NULL;
}

struct ini_value *ini_value(const struct ini_section *section, const char *name)
{
    if (section == NULL)
        return NULL;
    for (struct ini_value *v = section->values; v != NULL; v = v->next)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

struct ini_section *ini_section(struct ini *ini, const char *title, const char *file, unsigned line)
{
    struct ini_section **at = &ini->sections;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->title, title) == 0)
            return *at;
    struct ini_section *s = andiron_new(ini->arena, struct ini_section);
    s->title = andiron_copy(ini->arena, andiron_str_of(title));
    if (strncmp(s->title, "plugin ", 7) == 0)
        s->plugin = s->title + 7;
    s->file = file;
    s->line = line;
    return *at = s;
}

void ini_set(struct ini *ini, struct ini_section *section, const char *name, andiron_str text,
             const char *file, unsigned line)
{
    struct ini_value **at = &section->values;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    if (*at == NULL) {
        *at = andiron_new(ini->arena, struct ini_value);
        (*at)->name = andiron_copy(ini->arena, andiron_str_of(name));
    }
    (*at)->text = andiron_copy(ini->arena, text);
    (*at)->file = file;
    (*at)->line = line;
}

/* ---- lines ---------------------------------------------------------------- */

static void refuse(struct reader *r, const char *what)
{
    problem_add(r->problems, r->file, r->line, "%s", what);
}

/* Next line without its end. */
static bool take_line(struct reader *r, andiron_str *ret)
{
    if (r->rest.len == 0)
        return false;
    const char *end = memchr(r->rest.data, '\n', r->rest.len);
    size_t len = end != NULL ? (size_t)(end - r->rest.data) : r->rest.len;
    *ret = (andiron_str){ r->rest.data, len };
    r->rest.data += len + (end != NULL);
    r->rest.len -= len + (end != NULL);
    if (ret->len > 0 && ret->data[ret->len - 1] == '\r')
        ret->len--;
    r->line++;
    return true;
}

static bool line_is_clean(struct reader *r, andiron_str line)
{
    if (line.len > INI_LINE_MAX) {
        problem_add(r->problems, r->file, r->line,
                    "the line is longer than %d bytes; put a long value into a file", INI_LINE_MAX);
        return false;
    }
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        if ((c >= 0x20 && c != 0x7F) || c == '\t')
            continue;
        refuse(r, "the line holds a control character; only text and tabs are allowed");
        return false;
    }
    return true;
}

/* "[http]" or "[plugin jwks]" -> its title in out, or a problem and false. */
static bool title_of(struct reader *r, andiron_str line, char out[2 * INI_NAME_MAX + 2])
{
    andiron_str inner = trim(line);
    if (inner.data[inner.len - 1] != ']') {
        refuse(r, "a section is written \"[name]\" alone on its line");
        return false;
    }
    inner = trim((andiron_str){ inner.data + 1, inner.len - 2 });
    size_t first = 0;
    while (first < inner.len && !is_blank(inner.data[first]))
        first++;
    andiron_str kind = { inner.data, first };
    andiron_str name = trim((andiron_str){ inner.data + first, inner.len - first });
    bool is_plugin = andiron_str_eq(kind, ANDIRON_STR("plugin"));
    if (!ini_name_ok(kind) || (is_plugin ? !ini_name_ok(name) : name.len > 0) ||
        (is_plugin && name.len > INI_NAME_MAX - 7)) {
        problem_add(r->problems, r->file, r->line,
                    "a section is written \"[name]\" or \"[plugin name]\", in lower-case words "
                    "joined by hyphens, at most %d bytes long",
                    is_plugin ? INI_NAME_MAX - 7 : INI_NAME_MAX);
        return false;
    }
    (void)snprintf(out, 2 * INI_NAME_MAX + 2, "%.*s%s%.*s", (int)kind.len, kind.data,
                   is_plugin ? " " : "", (int)name.len, name.data);
    return true;
}

/* A heading: the section is made here, since libinih does not report empty ones. */
static bool begin_section(struct reader *r, andiron_str line, char *out, size_t room)
{
    char title[2 * INI_NAME_MAX + 2];

    r->section_is_bad = true;
    if (!title_of(r, line, title))
        return false;
    struct ini_section *known = ini_find(r->ini, title);
    if (known != NULL && strcmp(known->file, r->file) == 0) {
        problem_add(r->problems, r->file, r->line,
                    "[%s] was begun on line %u already; join the two", title, known->line);
    } else if (known != NULL && known->plugin != NULL) {
        problem_add(r->problems, r->file, r->line, "[%s] is in %s:%u already; keep one of them",
                    title, known->file, known->line);
    } else {
        struct ini_section *s = ini_section(r->ini, title, r->file, r->line);
        s->file = r->file;
        s->line = r->line;
        r->section_is_bad = false;
    }
    return !r->section_is_bad && snprintf(out, room, "[%s]\n", title) < (int)room;
}

static bool begin_value(struct reader *r, andiron_str line, char *out, size_t room)
{
    const char *equals = memchr(line.data, '=', line.len);
    if (equals == NULL) {
        refuse(r, "expected \"name = value\", \"[section]\" or a comment that begins with #");
        return false;
    }
    size_t before = (size_t)(equals - line.data);
    andiron_str name = trim((andiron_str){ line.data, before });
    if (!ini_name_ok(name)) {
        problem_add(r->problems, r->file, r->line,
                    "a name is lower-case words joined by hyphens, at most %d bytes, not \"%.*s\"",
                    INI_NAME_MAX, (int)(name.len < 60 ? name.len : 60), name.data);
        return false;
    }
    r->value = trim((andiron_str){ equals + 1, line.len - before - 1 });
    return snprintf(out, room, "%.*s =\n", (int)name.len, name.data) < (int)room;
}

/* libinih's reader: like fgets(), one checked line; refused and empty ones are just "\n". */
static char *read_line(char *out, int room, void *stream)
{
    struct reader *r = stream;
    andiron_str line;

    if (room < INI_NAME_MAX + 8 || !take_line(r, &line))
        return NULL;
    andiron_str text = trim(line);
    bool given = false;
    if (!line_is_clean(r, line) || text.len == 0 || text.data[0] == '#')
        given = false;
    else if (is_blank(line.data[0]))
        refuse(r, "the line begins with blanks; a value cannot be continued, write it on one line");
    else if (text.data[0] == ';')
        refuse(r, "comments begin with #");
    else if (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0)
        refuse(r, "the file begins with a byte order mark; save it without");
    else if (text.data[0] == '[')
        given = begin_section(r, text, out, (size_t)room);
    else
        given = begin_value(r, line, out, (size_t)room);
    if (!given)
        memcpy(out, "\n", 2);
    return out;
}

static int on_value(void *user, const char *title, const char *name, const char *value)
{
    struct reader *r = user;
    (void)value; /* cut by some builds; the reader kept the whole */

    if (r->section_is_bad)
        return 1;
    struct ini_section *section = ini_find(r->ini, title);
    if (section == NULL) {
        problem_add(r->problems, r->file, r->line, "%s stands before any [section]", name);
        return 1;
    }
    const struct ini_value *known = ini_value(section, name);
    if (known != NULL && strcmp(known->file, r->file) == 0) {
        problem_add(r->problems, r->file, r->line, "%s was given on line %u already; keep one",
                    name, known->line);
        return 1;
    }
    ini_set(r->ini, section, name, r->value, r->file, r->line);
    return 1;
}

void ini_read(struct ini *ini, const char *label, andiron_str text, struct problems *problems)
{
    struct reader r = { .ini = ini, .problems = problems, .file = label, .rest = text };

    /* Its result is a line it could not split; the reader lets none of those through. */
    if (ini_parse_stream(read_line, &r, on_value, &r) != 0)
        problem_add(problems, label, 0, "cannot be read as an INI file");
}
