/*
 * dlopen and everything that must hold before a table is believed. May read module files.
 */
#include "host/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/directives.h"
#include "host/ini.h"

/* What the first header with this major knew; a table that claims to be smaller is no table. */
enum { TABLE_MIN = offsetof(struct andiron_plugin, directives), TABLE_MAX = 1 << 16 };

#define FAIL(err, ...) andiron_error_set((err), ANDIRON_E_INVALID, "", __VA_ARGS__)

/* ---- the file --------------------------------------------------------------- */

static const char *path_list(struct andiron_arena *arena, const char *const *folders)
{
    const char *text = folders[0] != NULL ? folders[0] : "nothing";
    for (size_t i = 1; folders[0] != NULL && folders[i] != NULL; i++)
        text = andiron_printf(arena, "%s, %s", text, folders[i]);
    return text;
}

/* A path given in full must end up in one of the folders, links followed. */
static const char *find_path(struct andiron_arena *arena, const char *module,
                             const char *const *module_path, struct andiron_error *err)
{
    char real[PATH_MAX], folder[PATH_MAX];

    if (realpath(module, real) == NULL) {
        (void)FAIL(err, "cannot open %s: %s", module, strerror(errno));
        return NULL;
    }
    for (size_t i = 0; module_path[i] != NULL; i++) {
        size_t len = realpath(module_path[i], folder) != NULL ? strlen(folder) : 0;
        if (len > 1 && strncmp(real, folder, len) == 0 && real[len] == '/')
            return andiron_copy(arena, andiron_str_of(real));
    }
    (void)FAIL(err, "%s lies outside core.module-path (%s); install it there or add its folder",
               module, path_list(arena, module_path));
    return NULL;
}

const char *loader_find(struct andiron_arena *arena, const char *module,
                        const char *const *module_path, struct andiron_error *err)
{
    if (module[0] == '/')
        return find_path(arena, module, module_path, err);
    if (strchr(module, '/') != NULL) {
        (void)FAIL(err,
                   "module must be a file name such as auth.so, or an absolute path, not "
                   "\"%s\"",
                   module);
        return NULL;
    }
    for (size_t i = 0; module_path[i] != NULL; i++) {
        const char *path = andiron_printf(arena, "%s/%s", module_path[i], module);
        if (access(path, F_OK) == 0)
            return path;
    }
    (void)FAIL(err, "%s is in no folder of core.module-path (%s); install its package", module,
               path_list(arena, module_path));
    return NULL;
}

static int check_owner(const char *path, const struct stat *st, struct andiron_error *err)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return FAIL(err,
                    "%s belongs to user id %u; it must belong to root or to the user that "
                    "andiron runs as",
                    path, (unsigned)st->st_uid);
    return 0;
}

/* Whoever can write the file, or swap it in its folder, could run code as the daemon. */
static int check_file(const char *path, struct andiron_error *err)
{
    char real[PATH_MAX];
    struct stat st;

    if (realpath(path, real) == NULL || stat(real, &st) != 0)
        return FAIL(err, "cannot open %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return FAIL(err, "%s is no regular file", path);
    if (check_owner(path, &st, err) != 0)
        return -1;
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return FAIL(err, "%s may be written by others (mode %04o); run: chmod go-w %s", path,
                    (unsigned)(st.st_mode & 07777), path);
    *strrchr(real, '/') = '\0';
    if (real[0] != '\0' && stat(real, &st) != 0)
        return FAIL(err, "cannot open %s: %s", real, strerror(errno));
    if (real[0] != '\0' && (st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
        return FAIL(err, "the folder %s may be written by everybody; run: chmod o-w %s", real,
                    real);
    return 0;
}

/* ---- dlopen ------------------------------------------------------------------- */

/* Name of at most 200 bytes that stands in text behind before and ends at any of " \t:,;()'\n". */
static andiron_str word_behind(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    if (at == NULL)
        return (andiron_str){ NULL, 0 };
    at += strlen(before);
    size_t len = strcspn(at, " \t:,;()'\n");
    return (andiron_str){ at, len < 200 ? len : 200 };
}

/* Says in our words what dlopen() said, with a remedy where there is one. */
static int explain_dlopen(const char *path, const char *said, struct andiron_error *err)
{
    andiron_str symbol = word_behind(said, "undefined symbol: ");
    if (symbol.len > 8 && memcmp(symbol.data, "andiron_", 8) == 0)
        return FAIL(err,
                    "%s needs the function %.*s, which this andiron (ABI %d.%d) does not "
                    "have: update andiron, or build the module against its andiron-dev",
                    path, (int)symbol.len, symbol.data, ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR);
    if (symbol.len > 0)
        return FAIL(err,
                    "%s needs \"%.*s\", which neither andiron nor a library it is linked to "
                    "has: link the library",
                    path, (int)symbol.len, symbol.data);
    const char *missing = strstr(said, ": cannot open shared object file: No such file");
    if (missing != NULL && strncmp(said, path, strlen(path)) != 0)
        return FAIL(err, "%s needs the library %.*s, which is not installed", path,
                    (int)(missing - said < 200 ? missing - said : 200), said);
    if (strstr(said, "failed to map segment") != NULL)
        return FAIL(err,
                    "%s may not be executed here: under systemd, name its folder with "
                    "ExecPaths= in a drop-in of andiron.service; otherwise see noexec of its "
                    "mount",
                    path);
    if (strstr(said, "invalid ELF header") != NULL || strstr(said, "file too short") != NULL ||
        strstr(said, "wrong ELF class") != NULL || strstr(said, "only ET_DYN") != NULL)
        return FAIL(err, "%s is no shared object for this machine", path);
    return FAIL(err, "%s cannot be loaded: %.200s", path, said);
}

/* The table of another major, if the module has one: its symbol's name says which. */
static int other_major(void *handle)
{
    char symbol[] = "andiron_plugin_v0";
    for (int major = 0; major <= 9; major++) {
        symbol[sizeof(symbol) - 2] = (char)('0' + major);
        if (major != ANDIRON_ABI_MAJOR && dlsym(handle, symbol) != NULL)
            return major;
    }
    return -1;
}

static int check_abi(const char *path, const struct andiron_plugin *table,
                     struct andiron_error *err)
{
    if (table->magic != ANDIRON_PLUGIN_MAGIC)
        return FAIL(err,
                    "%s has a symbol andiron_plugin_v%d that is no plugin table: define it "
                    "with ANDIRON_PLUGIN(...)",
                    path, ANDIRON_ABI_MAJOR);
    if (table->abi_major != ANDIRON_ABI_MAJOR)
        return FAIL(err,
                    "%s was built for ABI %u.%u, this andiron has %d.%d: build it against "
                    "andiron-dev %d.x",
                    path, table->abi_major, table->abi_minor, ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR,
                    ANDIRON_ABI_MAJOR);
    if (table->abi_minor > ANDIRON_ABI_MINOR)
        return FAIL(err,
                    "%s was built for ABI %u.%u, this andiron has %d.%d: update andiron, or "
                    "build against andiron-dev %d.%d",
                    path, table->abi_major, table->abi_minor, ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR,
                    ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR);
    if (table->size < (size_t)TABLE_MIN || table->size > (size_t)TABLE_MAX)
        return FAIL(err,
                    "%s has a plugin table of %zu bytes, which no andiron-dev makes: define "
                    "it with ANDIRON_PLUGIN(...)",
                    path, table->size);
    return 0;
}

/* ---- the table ------------------------------------------------------------------ */

bool loader_service_ok(const char *name, bool is_pattern)
{
    const char *slash = strchr(name, '/');
    if (slash == NULL || slash == name || strlen(name) > 200)
        return false;
    for (const char *c = name; c < slash; c++)
        if ((*c < 'a' || *c > 'z') && (*c < '0' || *c > '9') && *c != '-')
            return false;
    size_t digits = strspn(slash + 1, "0123456789");
    const char *end = slash + 1 + digits;
    if (digits == 0 || digits > 4 || (*end != ':' && *end != '\0'))
        return false;
    return *end == '\0' || end[1] != '\0' || is_pattern;
}

static int check_names(const char *const *names, const char *what, struct andiron_error *err)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        if (!loader_service_ok(names[i], true))
            return FAIL(err,
                        "%s \"%.60s\", which is no service name such as store/1 or "
                        "policy-engine/1:matcho",
                        what, names[i]);
    return 0;
}

static int check_routes(const struct andiron_plugin *t, struct andiron_error *err)
{
    for (size_t i = 0; t->routes != NULL && (t->routes[i].method || t->routes[i].pattern); i++) {
        const struct andiron_route *r = &t->routes[i];
        if (r->method == NULL || r->pattern == NULL || r->handle == NULL)
            return FAIL(err, "route %zu lacks a method, a pattern or a handler", i);
    }
    for (size_t i = 0; t->hooks != NULL && t->hooks[i].run != NULL; i++)
        if ((unsigned)t->hooks[i].phase > ANDIRON_PHASE_LOG)
            return FAIL(err, "hook %zu names a phase that this andiron does not know", i);
    return 0;
}

static int check_table(const struct andiron_plugin *t, struct andiron_error *err)
{
    if (t->name == NULL || !ini_name_ok(andiron_str_of(t->name)))
        return FAIL(err, "its name must be lower-case words joined by hyphens");
    if (t->version == NULL || t->summary == NULL)
        return FAIL(err, "it lacks a version or a summary");
    if (t->config_size > 1 << 20)
        return FAIL(err, "its config_size is %zu bytes; it must be the sizeof a struct",
                    t->config_size);
    for (size_t i = 0; t->provides != NULL && t->provides[i].name != NULL; i++)
        if (!loader_service_ok(t->provides[i].name, false) || t->provides[i].table == NULL)
            return FAIL(err,
                        "it provides \"%.60s\", which needs a table and a name such as "
                        "store/1 or policy-engine/1:matcho",
                        t->provides[i].name);
    if (check_names(t->needs, "it needs", err) != 0 ||
        check_names(t->wants, "it wants", err) != 0 || check_names(t->uses, "it uses", err) != 0)
        return -1;
    if (check_routes(t, err) != 0)
        return -1;
    return directives_check(t->directives, t->config_size, err);
}

static int read_table(const char *path, void *handle, struct andiron_plugin *ret,
                      struct andiron_error *err)
{
    char symbol[32];
    (void)snprintf(symbol, sizeof(symbol), "andiron_plugin_v%d", ANDIRON_ABI_MAJOR);
    const struct andiron_plugin *table = dlsym(handle, symbol);
    int major = table == NULL ? other_major(handle) : ANDIRON_ABI_MAJOR;

    if (table == NULL && major >= 0)
        return FAIL(err,
                    "%s was built for ABI %d, this andiron has %d.%d: build it against "
                    "andiron-dev %d.x",
                    path, major, ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR, ANDIRON_ABI_MAJOR);
    if (table == NULL)
        return FAIL(err, "%s is no Andiron module: it does not define %s; use ANDIRON_PLUGIN(...)",
                    path, symbol);
    if (check_abi(path, table, err) != 0)
        return -1;
    struct andiron_plugin copy = { .size = 0 };
    memcpy(&copy, table, table->size < sizeof(copy) ? table->size : sizeof(copy));
    copy.size = sizeof(copy);

    struct andiron_error why;
    if (check_table(&copy, &why) != 0)
        return FAIL(err, "%s has a wrong plugin table: %s", path, why.message);
    *ret = copy;
    return 0;
}

int loader_open(const char *path, struct andiron_plugin *ret, struct andiron_error *err)
{
    if (check_file(path, err) != 0)
        return -1;
    /* NOW: a missing function is found here and not in a request. LOCAL: two modules may hold
     * libraries with equal names. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *said = dlerror();
        return explain_dlopen(path, said != NULL ? said : "unknown reason", err);
    }
    return read_table(path, handle, ret, err);
}
