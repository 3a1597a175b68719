/*
 * Looks through plugins-available and module-path. Reads files and tables only.
 */
#include "host/available.h"

#include "host/config.h"
#include "host/loader.h"

struct looking {
    struct andiron_arena *arena;
    const char *dir;
    const char *const *module_path;
    struct available *list;
    size_t count, room;
};

static struct available *next_row(struct looking *l)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 16 : 2 * l->room;
        struct available *list = andiron_alloc(l->arena, room * sizeof(*list));
        if (l->count > 0)
            memcpy(list, l->list, l->count * sizeof(*list));
        l->list = list;
        l->room = room;
    }
    return &l->list[l->count++];
}

static void read_module(struct looking *l, struct available *row, const char *module)
{
    struct andiron_error err;

    row->module = loader_find(l->arena, module, l->module_path, &err);
    row->is_usable = row->module != NULL && loader_open(row->module, &row->table, &err) == 0;
    if (row->is_usable && strcmp(row->table.name, row->name) != 0) {
        row->is_usable = false;
        (void)andiron_error_set(&err, ANDIRON_E_INVALID, "", "%s holds plugin \"%s\"", module,
                                row->table.name);
    }
    if (!row->is_usable)
        row->why_not = andiron_copy(l->arena, andiron_str_of(err.message));
}

static void look_at_file(struct looking *l, const char *file)
{
    struct ini ini = { .arena = l->arena };
    struct problems problems; /* an unusable file offers nothing; enabling it would say why */
    struct andiron_error err;
    andiron_str text;
    const char *path = andiron_printf(l->arena, "%s/plugins-available/%s", l->dir, file);

    problems_init(&problems, l->arena);
    if (config_file(l->arena, path, CONFIG_FILE_MAX, &text, &err) != 0)
        return;
    ini_read(&ini, file, text, &problems);
    for (struct ini_section *s = ini.sections; s != NULL; s = s->next) {
        const struct ini_value *module = ini_value(s, "module");
        if (s->plugin == NULL)
            continue;
        struct available *row = next_row(l);
        *row = (struct available){ .name = s->plugin, .file = file };
        if (module != NULL)
            read_module(l, row, module->text);
        else
            row->why_not = "its section has no module = NAME.so";
    }
}

static bool is_listed(const struct looking *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->list[i].module != NULL && strcmp(l->list[i].module, path) == 0)
            return true;
    return false;
}

static void look_in_folder(struct looking *l, const char *folder)
{
    const char *const *names = config_list(l->arena, folder, ".so");
    for (size_t i = 0; names[i] != NULL; i++) {
        if (is_listed(l, andiron_printf(l->arena, "%s/%s", folder, names[i])))
            continue;
        struct available *row = next_row(l);
        andiron_str name = { names[i], strlen(names[i]) - 3 };
        *row = (struct available){ .name = andiron_copy(l->arena, name) };
        read_module(l, row, names[i]);
    }
}

struct available *available_list(struct andiron_arena *arena, const char *dir,
                                 const char *const *module_path, size_t *ret_count)
{
    struct looking l = { .arena = arena, .dir = dir, .module_path = module_path };
    const char *const *files =
        config_list(arena, config_path(arena, dir, "plugins-available"), ".conf");

    for (size_t i = 0; files[i] != NULL; i++)
        look_at_file(&l, files[i]);
    for (size_t i = 0; module_path[i] != NULL; i++)
        look_in_folder(&l, module_path[i]);
    *ret_count = l.count;
    return l.list;
}
