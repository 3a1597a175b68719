/*
 * Collecting, sorting and printing configuration problems. Memory from the arena alone.
 */
#include "host/problems.h"

#include <stdarg.h>
#include <stdlib.h>

enum { PROBLEMS_MAX = 1000, PROBLEM_TEXT_MAX = 2048 };

void problems_init(struct problems *problems, struct andiron_arena *arena)
{
    *problems = (struct problems){ .arena = arena };
}

static void add(struct problems *p, const char *file, unsigned line, bool is_warning,
                const char *fmt, va_list args)
{
    char text[PROBLEM_TEXT_MAX];

    p->errors += !is_warning;
    if (p->count == PROBLEMS_MAX)
        return;
    if (p->count == p->room) {
        size_t room = p->room == 0 ? 16 : p->room * 2;
        struct problem *list = andiron_alloc(p->arena, room * sizeof(*list));
        if (p->count > 0)
            memcpy(list, p->list, p->count * sizeof(*list));
        p->list = list;
        p->room = room;
    }
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a longer text is cut */
    p->list[p->count++] = (struct problem){
        .file = file,
        .line = line,
        .is_warning = is_warning,
        .text = andiron_copy(p->arena, andiron_str_of(text)),
    };
}

void problem_add(struct problems *problems, const char *file, unsigned line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(problems, file, line, false, fmt, args);
    va_end(args);
}

void problem_warn(struct problems *problems, const char *file, unsigned line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(problems, file, line, true, fmt, args);
    va_end(args);
}

static int by_place(const void *a, const void *b)
{
    const struct problem *x = a, *y = b;
    if ((x->file == NULL) != (y->file == NULL))
        return x->file == NULL ? 1 : -1;
    int order = x->file != NULL ? strcmp(x->file, y->file) : 0;
    if (order == 0)
        order = (x->line > y->line) - (x->line < y->line);
    return order != 0 ? order : strcmp(x->text, y->text);
}

void problems_sort(struct problems *problems)
{
    if (problems->count > 1)
        qsort(problems->list, problems->count, sizeof(*problems->list), by_place);
}

void problems_print(const struct problems *problems, FILE *out)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *p = &problems->list[i];
        if (p->file != NULL && p->line > 0)
            (void)fprintf(out, "%s:%u: ", p->file, p->line);
        else if (p->file != NULL)
            (void)fprintf(out, "%s: ", p->file);
        (void)fprintf(out, "%s%s\n", p->is_warning ? "warning: " : "", p->text);
    }
    if (problems->errors > 0)
        (void)fprintf(out, "%zu error%s\n", problems->errors, problems->errors == 1 ? "" : "s");
}
