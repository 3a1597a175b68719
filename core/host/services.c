/*
 * Order of plugins and the checks on their services. Pure: tables in, order and problems out.
 */
#include "host/services.h"

bool services_match(const char *name, const char *provided)
{
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == ':')
        return strncmp(name, provided, len) == 0;
    return strcmp(name, provided) == 0;
}

static bool provides(const struct andiron_plugin *table, const char *name)
{
    const struct andiron_service *s = table->provides;
    for (; s != NULL && s->name != NULL; s++)
        if (services_match(name, s->name))
            return true;
    return false;
}

static bool lists(const char *const *names, const char *name)
{
    for (; names != NULL && *names != NULL; names++)
        if (services_match(*names, name))
            return true;
    return false;
}

bool services_declared(const struct andiron_plugin *table, const char *name)
{
    return lists(table->needs, name) || lists(table->wants, name) || lists(table->uses, name);
}

/* ---- checks --------------------------------------------------------------------- */

static void check_duplicates(const struct services_member *members, size_t count,
                             struct problems *problems)
{
    for (size_t i = 0; i < count; i++) {
        const struct andiron_service *s = members[i].table->provides;
        for (; s != NULL && s->name != NULL; s++) {
            for (size_t j = 0; j < i; j++) {
                if (!provides(members[j].table, s->name))
                    continue;
                problem_add(problems, members[i].file, members[i].line,
                            "%s: provides service %s, and so does %s: enable one of them",
                            members[i].table->name, s->name, members[j].table->name);
            }
        }
    }
}

/* Another major of the same kind: "store/2" is needed, "store/1" is there. */
static const char *other_major(const struct services_member *members, size_t count,
                               const char *name, const char **ret_plugin)
{
    size_t kind = strcspn(name, "/") + 1;
    for (size_t i = 0; i < count; i++) {
        const struct andiron_service *s = members[i].table->provides;
        for (; s != NULL && s->name != NULL; s++) {
            if (strncmp(s->name, name, kind) != 0 || strcspn(name, ":") != strcspn(s->name, ":"))
                continue;
            size_t major = strcspn(name, ":");
            if (strncmp(s->name, name, major) == 0)
                continue;
            *ret_plugin = members[i].table->name;
            return s->name;
        }
    }
    return NULL;
}

static void check_needs(const struct services_member *members, size_t count, size_t i,
                        services_hint_fn hint, void *hint_arg, struct problems *problems)
{
    const struct andiron_plugin *t = members[i].table;
    for (size_t n = 0; t->needs != NULL && t->needs[n] != NULL; n++) {
        bool found = false;
        for (size_t j = 0; j < count && !found; j++)
            found = provides(members[j].table, t->needs[n]);
        if (found)
            continue;
        const char *plugin = NULL, *other = other_major(members, count, t->needs[n], &plugin);
        const char *remedy = other == NULL && hint != NULL ? hint(hint_arg, t->needs[n]) : NULL;
        if (other != NULL)
            problem_add(problems, members[i].file, members[i].line,
                        "%s: needs service %s, but %s provides %s: use versions that fit", t->name,
                        t->needs[n], plugin, other);
        else
            problem_add(problems, members[i].file, members[i].line,
                        "%s: needs service %s, which no enabled plugin provides%s%s", t->name,
                        t->needs[n], remedy != NULL ? "; " : "", remedy != NULL ? remedy : "");
    }
}

/* ---- order ------------------------------------------------------------------------ */

/* a must come after b. */
static bool comes_after(const struct andiron_plugin *a, const struct andiron_plugin *b)
{
    if (a == b)
        return false;
    const struct andiron_service *s = b->provides;
    for (; s != NULL && s->name != NULL; s++)
        if (lists(a->needs, s->name) || lists(a->wants, s->name))
            return true;
    return false;
}

static bool is_ready(const struct services_member *members, size_t count, const bool *placed,
                     size_t i)
{
    for (size_t j = 0; j < count; j++)
        if (!placed[j] && comes_after(members[i].table, members[j].table))
            return false;
    return true;
}

/* Some unplaced plugin that i must come after. There is one: i is not ready. */
static size_t waits_for(const struct services_member *members, size_t count, const bool *placed,
                        size_t i)
{
    for (size_t j = 0; j < count; j++)
        if (!placed[j] && comes_after(members[i].table, members[j].table))
            return j;
    return i;
}

/* "auth -> smart -> auth": walk along what waits for what until a plugin comes again. */
static void report_cycle(const struct services_member *members, size_t count, const bool *placed,
                         struct problems *problems)
{
    size_t at = 0;
    while (placed[at])
        at++;
    for (size_t step = 0; step < count; step++) /* after that many steps we are in the cycle */
        at = waits_for(members, count, placed, at);

    const char *text = members[at].table->name;
    size_t next = at;
    do {
        next = waits_for(members, count, placed, next);
        text = andiron_printf(problems->arena, "%s -> %s", text, members[next].table->name);
    } while (next != at);
    problem_add(problems, members[at].file, members[at].line,
                "%s: needs and wants form a cycle: %s; one of them must say \"uses\" instead",
                members[at].table->name, text);
}

void services_order(const struct services_member *members, size_t count, services_hint_fn hint,
                    void *hint_arg, struct problems *problems, size_t *ret_order)
{
    bool *placed = andiron_alloc(problems->arena, count * sizeof(*placed) + 1);
    size_t done = 0;

    check_duplicates(members, count, problems);
    for (size_t i = 0; i < count; i++)
        check_needs(members, count, i, hint, hint_arg, problems);
    while (done < count) {
        size_t i = 0;
        while (i < count && (placed[i] || !is_ready(members, count, placed, i)))
            i++;
        if (i == count)
            break;
        placed[i] = true;
        ret_order[done++] = i;
    }
    if (done == count)
        return;
    report_cycle(members, count, placed, problems);
    for (size_t i = 0; i < count; i++)
        ret_order[i] = i;
}
