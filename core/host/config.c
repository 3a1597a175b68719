/*
 * Reading the configuration folder. May read files; converts no value.
 */
#include "host/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/suggest.h"

const char *config_path(struct andiron_arena *arena, const char *dir, const char *path)
{
    if (path[0] == '/')
        return andiron_copy(arena, andiron_str_of(path));
    return andiron_printf(arena, "%s/%s", dir, path);
}

/* Reads at most max bytes of an open file; more is an error, since nothing is ever cut silently. */
static int read_all(int fd, struct andiron_arena *arena, size_t max, andiron_str *ret)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? EISDIR : ENODEV;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return EFBIG;
    char *text = andiron_alloc(arena, (size_t)st.st_size + 1);
    size_t len = 0;
    while (len < (size_t)st.st_size) {
        ssize_t n = read(fd, text + len, (size_t)st.st_size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret = (andiron_str){ text, len };
    return 0;
}

int config_file(struct andiron_arena *arena, const char *path, size_t max, andiron_str *ret,
                struct andiron_error *err)
{
    /* NONBLOCK: a FIFO in place of a file must not hang the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = fd < 0 ? errno : read_all(fd, arena, max, ret);
    if (fd >= 0)
        (void)close(fd); /* read only: nothing can be lost */
    if (error == 0)
        return 0;
    enum andiron_code code = error == EACCES ? ANDIRON_E_FORBIDDEN : ANDIRON_E_INVALID;
    if (error == EFBIG)
        return andiron_error_set(err, code, "", "%s is larger than %zu bytes", path, max);
    if (error == ENODEV)
        return andiron_error_set(err, code, "", "%s is no regular file", path);
    return andiron_error_set(err, code, "", "cannot read %s: %s", path, strerror(error));
}

void config_warn_open(struct problems *problems, const char *file, unsigned line,
                      const char *directive, const char *path)
{
    struct stat st;

    /* One that is not there, or not for us to see, is told of by whoever opens it. */
    if (stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        problem_warn(problems, file, line,
                     "%s: %s holds a secret and has mode %04o, which lets everybody in; expected "
                     "0640 or less: chmod o-rwx %s",
                     directive, path, (unsigned)st.st_mode & 07777, path);
}

/* ---- folders ---------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *const *config_list(struct andiron_arena *arena, const char *folder, const char *suffix)
{
    size_t count = 0, room = 16, tail = strlen(suffix);
    const char **names = andiron_alloc(arena, room * sizeof(*names));
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || len <= tail ||
            strcmp(entry->d_name + len - tail, suffix) != 0)
            continue;
        if (count + 1 == room) {
            const char **more = andiron_alloc(arena, 2 * room * sizeof(*more));
            memcpy(more, names, count * sizeof(*names));
            names = more;
            room *= 2;
        }
        names[count++] = andiron_copy(arena, andiron_str_of(entry->d_name));
    }
    if (dir != NULL)
        (void)closedir(dir);
    qsort(names, count, sizeof(*names), by_bytes);
    names[count] = NULL;
    return names;
}

static void read_one(const struct config_sources *src, const char *label, struct ini *ini,
                     struct problems *problems)
{
    const char *path = config_path(ini->arena, src->dir, label);
    struct andiron_error err;
    struct stat st;
    andiron_str text = { NULL, 0 };

    if (config_file(ini->arena, path, CONFIG_FILE_MAX, &text, &err) == 0)
        ini_read(ini, label, text, problems);
    else if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && access(path, F_OK) != 0)
        problem_add(problems, label, 0, "is a link to a file that is gone; remove the link");
    else
        problem_add(problems, label, 0, "%s", err.message);
}

static void read_folder(const struct config_sources *src, const char *folder, struct ini *ini,
                        struct problems *problems)
{
    const char *const *names =
        config_list(ini->arena, config_path(ini->arena, src->dir, folder), ".conf");
    for (size_t i = 0; names[i] != NULL; i++)
        read_one(src, andiron_printf(ini->arena, "%s/%s", folder, names[i]), ini, problems);
}

/* ---- overrides -------------------------------------------------------------- */

static bool is_core(const struct config_sources *src, andiron_str name)
{
    for (size_t i = 0; src->core_sections[i] != NULL; i++)
        if (andiron_str_eq(name, andiron_str_of(src->core_sections[i])))
            return true;
    return false;
}

static struct ini_section *plugin_section(const struct ini *ini, andiron_str name)
{
    for (struct ini_section *s = ini->sections; s != NULL; s = s->next)
        if (s->plugin != NULL && andiron_str_eq(name, andiron_str_of(s->plugin)))
            return s;
    return NULL;
}

/* Nearest name among core's sections and those of plugins. */
static const char *near_section(const struct config_sources *src, const struct ini *ini,
                                andiron_str name)
{
    const char *known[256];
    size_t count = 0;
    for (size_t i = 0; src->core_sections[i] != NULL && count < 255; i++)
        known[count++] = src->core_sections[i];
    for (struct ini_section *s = ini->sections; s != NULL && count < 255; s = s->next)
        if (s->plugin != NULL)
            known[count++] = s->plugin;
    known[count] = NULL;
    return suggest(name, known);
}

static void override(const struct config_sources *src, struct ini *ini, const char *origin,
                     const char *shown, andiron_str section, const char *name, andiron_str text,
                     struct problems *problems)
{
    struct ini_section *s = plugin_section(ini, section);

    if (s == NULL && is_core(src, section))
        s = ini_section(ini, andiron_copy(ini->arena, section), origin, 0);
    if (s == NULL) {
        const char *near = near_section(src, ini, section);
        problem_add(problems, origin, 0, "%s: there is no section or enabled plugin \"%.*s\"%s%s%s",
                    shown, (int)(section.len < 60 ? section.len : 60), section.data,
                    near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                    near != NULL ? "\"?" : "");
    } else if (memchr(text.data, '\n', text.len) != NULL) {
        problem_add(problems, origin, 0, "%s: a value is one line", shown);
    } else {
        ini_set(ini, s, name, text, origin, 0);
    }
}

/* "section.name=value" */
static void override_option(const struct config_sources *src, struct ini *ini, const char *option,
                            struct problems *problems)
{
    const char *dot = strchr(option, '.'), *equals = strchr(option, '=');

    if (dot == NULL || equals == NULL || dot > equals || equals - option > 2 * INI_NAME_MAX) {
        problem_add(problems, "-o", 0, "expected section.name=value, not \"%.100s\"", option);
        return;
    }
    andiron_str section = { option, (size_t)(dot - option) };
    andiron_str key = { option, (size_t)(equals - option) };
    andiron_str name = { dot + 1, (size_t)(equals - dot - 1) };
    override(src, ini, "-o", andiron_copy(ini->arena, key), section, andiron_copy(ini->arena, name),
             andiron_str_of(equals + 1), problems);
}

/* HTTP__BASE_URL -> "http", "base-url": lower-case, '_' -> '-'. */
static char *lower_name(struct andiron_arena *arena, const char *upper, size_t len)
{
    char *name = andiron_copy(arena, (andiron_str){ upper, len });
    for (size_t i = 0; i < len; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
        else if (name[i] == '_')
            name[i] = '-';
    }
    return name;
}

static void override_variable(const struct config_sources *src, struct ini *ini,
                              const char *variable, struct problems *problems)
{
    static const char prefix[] = "ANDIRON_";
    const char *equals = strchr(variable, '=');

    if (equals == NULL || strncmp(variable, prefix, sizeof(prefix) - 1) != 0)
        return;
    const char *start = variable + sizeof(prefix) - 1;
    if (strncmp(start, "INIT_BUNDLE=", 12) == 0) {
        /* The one with a short name: what containers set most. */
        override(src, ini, "environment", "ANDIRON_INIT_BUNDLE", ANDIRON_STR("init"), "bundle",
                 andiron_str_of(equals + 1), problems);
        return;
    }
    const char *between = strstr(start, "__");
    if (between == NULL || between >= equals || equals - start > 2 * INI_NAME_MAX)
        return; /* not in our form: other programs have variables of that prefix too */
    char *section = lower_name(ini->arena, start, (size_t)(between - start));
    char *name = lower_name(ini->arena, between + 2, (size_t)(equals - between - 2));
    char *shown = andiron_copy(ini->arena, (andiron_str){ variable, (size_t)(equals - variable) });
    override(src, ini, "environment", shown, andiron_str_of(section), name,
             andiron_str_of(equals + 1), problems);
}

void config_read(const struct config_sources *sources, struct ini *ini, struct problems *problems)
{
    read_one(sources, "andiron.conf", ini, problems);
    read_folder(sources, "conf.d", ini, problems);
    read_folder(sources, "plugins.d", ini, problems);
    for (size_t i = 0; sources->environment != NULL && sources->environment[i] != NULL; i++)
        override_variable(sources, ini, sources->environment[i], problems);
    for (size_t i = 0; sources->overrides != NULL && sources->overrides[i] != NULL; i++)
        override_option(sources, ini, sources->overrides[i], problems);
}
