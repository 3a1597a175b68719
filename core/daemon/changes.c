/*
 * Texts of LINK_READY: written by workers, compared by the supervisor. Pure.
 */
#include "daemon/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "daemon/link.h"
#include "host/settings.h"

/* FNV-1a: tells values apart; nothing depends on its strength. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

/* A text past the link's limit is cut: then the last changes are not named. */
static void add_values(struct buffer *b, const char *section, const struct directive_value *v)
{
    for (; v != NULL && v->directive != NULL; v++)
        if (v->file != NULL && v->text != NULL)
            (void)buffer_printf(b, "%s.%s %" PRIx64 "\n", section, v->directive->name,
                                hash_of(v->text));
}

andiron_str changes_text(struct host *host, int64_t drain_ms)
{
    struct buffer b;
    buffer_init(&b, LINK_TEXT_MAX);
    (void)buffer_printf(&b, "%" PRId64 "\n", drain_ms);
    for (size_t i = 0; settings_sections[i].name != NULL; i++)
        add_values(&b, settings_sections[i].name, host_values(host, settings_sections[i].name));
    const struct andiron_host *p;
    for (size_t i = 1; (p = host_plugin(host, i)) != NULL; i++) {
        struct stat st = { .st_size = 0 };
        (void)stat(p->module, &st); /* loaded a moment ago; if it is gone, that is a change */
        (void)buffer_printf(&b, "plugin %s %s.%" PRIx64 ".%" PRIx64 "\n", p->name, p->table.version,
                            (uint64_t)st.st_mtime, (uint64_t)st.st_size);
        add_values(&b, p->name, p->values);
    }
    andiron_str text = { andiron_copy(host_problems(host)->arena, buffer_str(&b)), b.len };
    buffer_free(&b);
    return text;
}

int64_t changes_drain_ms(const char *text)
{
    long long ms = text != NULL ? strtoll(text, NULL, 10) : 0;
    return ms > 0 ? ms : 10000;
}

/* The line of text that begins with the same name as line, or NULL. */
static const char *same_name(const char *text, const char *line, size_t name)
{
    for (const char *at = text; at != NULL && *at != '\0';) {
        if (strncmp(at, line, name) == 0)
            return at;
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    return NULL;
}

/* Length of "section.name " or "plugin name ", the blank included. */
static size_t name_length(const char *line)
{
    size_t line_len = strcspn(line, "\n"), first = strcspn(line, " \n");
    if (strncmp(line, "plugin ", 7) == 0)
        first += 1 + strcspn(line + first + 1, " \n");
    return first < line_len ? first + 1 : line_len;
}

/* Names of lines in `in` that `of` lacks, or, unless only_missing, has with another value. */
static void add_names(const char *in, const char *of, bool only_missing, struct buffer *b)
{
    const char *line = strchr(in, '\n'); /* the first is drain-timeout */
    while (line != NULL && *++line != '\0') {
        size_t name = name_length(line), len = strcspn(line, "\n");
        const char *other = same_name(of, line, name);
        bool differs = other == NULL || (!only_missing && strncmp(other, line, len + 1) != 0);
        if (differs && name > 0)
            (void)buffer_printf(b, "%s%.*s", b->len > 0 ? ", " : "", (int)name - 1, line);
        line = strchr(line, '\n');
    }
}

void changes_describe(const char *before, const char *after, char *out, size_t room)
{
    struct buffer b;
    buffer_init(&b, room);
    add_names(after != NULL ? after : "", before != NULL ? before : "", false, &b);
    add_names(before != NULL ? before : "", after != NULL ? after : "", true, &b);
    andiron_str names = buffer_str(&b);
    (void)snprintf(out, room, "configuration reloaded%s%.*s%s",
                   names.len > 0 ? ": changed " : ", nothing changed", (int)names.len, names.data,
                   memmem(names.data, names.len, ".listen", 7) != NULL
                       ? "; listen addresses need a restart"
                       : "");
    buffer_free(&b);
}
