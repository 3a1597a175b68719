#include "cli/export_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "cli/bulk_client.h"
#include "cli/cli.h"
#include "cli/whole.h"

enum { STATE_MAX = 80 << 20, FILES_MAX = 100000 };

static const char state_name[] = ".andiron-export.json", manifest_name[] = "manifest.json";
static const char *const lists[] = { "output", "deleted", "error", NULL };

/* ---- files of the folder -------------------------------------------------------------------- */

static int cannot(const struct export_state *s, const char *what, const char *name)
{
    return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot %s %s/%s: %s", what, s->dir, name,
                    strerror(errno));
}

/* By rename, so that there is always a whole one. */
static int put_file(const struct export_state *s, const char *name, andiron_str text)
{
    static const char temporary[] = ".andiron-export.new";
    int fd = openat(s->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return cannot(s, "write", temporary);
    bool written = whole_write(fd, text) == 0 && fsync(fd) == 0;
    written = close(fd) == 0 && written;
    if (!written || renameat(s->dir_fd, temporary, s->dir_fd, name) != 0 || fsync(s->dir_fd) != 0)
        return cannot(s, "write", name);
    return 0;
}

static bool exists(const struct export_state *s, const char *name)
{
    return faccessat(s->dir_fd, name, F_OK, 0) == 0;
}

static void forget(const struct export_state *s, const char *name)
{
    (void)unlinkat(s->dir_fd, name, 0); /* most often there is none */
}

/* ---- manifests --------------------------------------------------------------------------------- */

/* Only letters of a type become part of a name. */
static bool is_type(andiron_str type)
{
    if (type.len == 0 || type.len > 64)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return false;
    }
    return true;
}

static int bad_manifest(const char *why)
{
    return cli_fail(EXIT_BAD_DATA, "is it a Bulk Data server? --restart begins anew",
                    "the manifest of the server is wrong: %s", why);
}

static int take_file(struct export_state *s, const char *list, andiron_json item)
{
    struct export_file *f = &s->files[s->count];
    andiron_str url = andiron_json_str(andiron_json_get(item, "url"));
    andiron_str type = andiron_json_str(andiron_json_get(item, "type"));
    bool is_output = strcmp(list, "output") == 0;
    const char *what = is_output && is_type(type) ? andiron_copy(s->arena, type)
                                                  : (is_output ? "resources" : list);

    if (url.len == 0)
        return bad_manifest("a file has no url");
    *f = (struct export_file){ .list = list,
                               .type = is_type(type) ? andiron_copy(s->arena, type) : "",
                               .count = andiron_json_int(andiron_json_get(item, "count"), -1) };
    f->url = bulk_client_resolve(s->arena, s->status_url, andiron_copy(s->arena, url));
    if (f->url == NULL)
        return bad_manifest("the url of a file is not one of http or https");
    f->name = andiron_printf(s->arena, "%s.%05zu.ndjson", what, s->count);
    f->is_done = s->is_resumed && exists(s, f->name);
    if (!s->is_resumed) { /* what an export that was given up left behind */
        forget(s, andiron_printf(s->arena, "%s.part", f->name));
        forget(s, andiron_printf(s->arena, "%s.etag", f->name));
    }
    s->count++;
    return 0;
}

int export_state_take(struct export_state *s, andiron_str manifest)
{
    andiron_json doc;
    struct andiron_error err;
    size_t count = 0;
    int status = 0;

    s->manifest = (andiron_str){ andiron_copy(s->arena, manifest), manifest.len };
    if (andiron_json_parse(s->arena, s->manifest, &doc, &err) != 0)
        return bad_manifest(err.message);
    if (andiron_json_type(andiron_json_get(doc, "output")) != ANDIRON_JSON_ARRAY)
        return bad_manifest("output is no array");
    for (size_t i = 0; lists[i] != NULL; i++)
        count += andiron_json_count(andiron_json_get(doc, lists[i]));
    if (count > FILES_MAX)
        return bad_manifest("it has more than 100000 files");
    s->requires_token = andiron_json_true(andiron_json_get(doc, "requiresAccessToken"));
    s->files = andiron_alloc(s->arena, (count + 1) * sizeof(s->files[0]));
    s->count = 0;
    for (size_t i = 0; lists[i] != NULL && status == 0; i++) {
        struct andiron_json_iter it = { .of = andiron_json_get(doc, lists[i]) };
        while (status == 0 && andiron_json_type(it.of) == ANDIRON_JSON_ARRAY &&
               andiron_json_next(&it))
            status = take_file(s, lists[i], it.value);
    }
    return status;
}

/* ---- state --------------------------------------------------------------------------------------- */

int export_state_save(const struct export_state *s)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_json_writer *w = andiron_json_write(arena, STATE_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "request", andiron_str_of(s->request));
    andiron_json_put_str(w, "status", andiron_str_of(s->status_url));
    if (s->manifest.data != NULL)
        andiron_json_put_raw(w, "manifest", s->manifest);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    int status =
        text.data != NULL ? put_file(s, state_name, text) : bad_manifest("it is larger than 80 MB");
    andiron_arena_free(arena);
    return status;
}

/* What an earlier run left: 0 also if there is nothing. */
static int load(struct export_state *s)
{
    struct buffer text;
    andiron_json doc;
    struct andiron_error err;
    char *path = andiron_printf(s->arena, "%s/%s", s->dir, state_name);
    int status = remote_read_file(path, STATE_MAX, &text);

    if (status == 0) {
        andiron_str kept = { andiron_copy(s->arena, buffer_str(&text)), text.len };
        if (andiron_json_parse(s->arena, kept, &doc, &err) != 0)
            status = cli_fail(EXIT_BAD_DATA, "--restart begins anew", "%s is damaged: %s", path,
                              err.message);
    }
    buffer_free(&text);
    if (status != 0)
        return status;
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(doc, "request")),
                        andiron_str_of(s->request)))
        return cli_fail(
            EXIT_BAD_DATA, "give the same options, another --output, or --restart to begin anew",
            "%s holds an export of something else that did not come to its end", s->dir);
    s->status_url = andiron_copy(s->arena, andiron_json_str(andiron_json_get(doc, "status")));
    andiron_str manifest = andiron_json_raw(andiron_json_get(doc, "manifest"));
    s->is_resumed = manifest.len > 0;
    return s->is_resumed ? export_state_take(s, manifest) : 0;
}

static int make_dir(struct export_state *s)
{
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot make %s: %s", s->dir, strerror(errno));
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot use %s: %s", s->dir, strerror(errno));
    if (flock(s->dir_fd, LOCK_EX | LOCK_NB) != 0)
        return cli_fail(EXIT_TRY_AGAIN, "wait for it, or name another --output",
                        "another export writes into %s", s->dir);
    return 0;
}

int export_state_open(struct export_state *s, struct andiron_arena *arena, const char *dir,
                      const char *request, bool anew)
{
    *s = (struct export_state){ .arena = arena, .dir = dir, .dir_fd = -1, .request = request };
    int status = make_dir(s);

    if (status != 0)
        return status;
    if (exists(s, manifest_name) && !exists(s, state_name))
        return cli_fail(EXIT_NO_OUTPUT, "name another --output, or remove what is there",
                        "%s holds an export already", dir);
    if (anew && unlinkat(s->dir_fd, state_name, 0) != 0 && errno != ENOENT)
        return cannot(s, "remove", state_name);
    return exists(s, state_name) ? load(s) : 0;
}

void export_state_close(struct export_state *s)
{
    if (s->dir_fd >= 0)
        (void)close(s->dir_fd); /* only a lock */
    s->dir_fd = -1;
}

/* ---- the end --------------------------------------------------------------------------------------- */

/* The server's manifest, but with the files of the folder: what `andiron import` takes. */
static andiron_str local_manifest(const struct export_state *s, struct andiron_arena *arena)
{
    struct andiron_json_writer *w = andiron_json_write(arena, STATE_MAX);
    andiron_json doc;
    struct andiron_error err;

    andiron_json_put_object(w, NULL);
    if (andiron_json_parse(arena, s->manifest, &doc, &err) == 0) {
        andiron_json_put(w, "transactionTime", andiron_json_get(doc, "transactionTime"));
        andiron_json_put(w, "request", andiron_json_get(doc, "request"));
    }
    andiron_json_put_bool(w, "requiresAccessToken", false);
    for (size_t i = 0; lists[i] != NULL; i++) {
        andiron_json_put_array(w, lists[i]);
        for (size_t j = 0; j < s->count; j++) {
            const struct export_file *f = &s->files[j];
            if (strcmp(f->list, lists[i]) != 0)
                continue;
            andiron_json_put_object(w, NULL);
            andiron_json_put_str(w, "type", andiron_str_of(f->type));
            andiron_json_put_str(w, "url", andiron_str_of(f->name));
            if (f->count >= 0)
                andiron_json_put_int(w, "count", f->count);
            andiron_json_put_end(w);
        }
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

int export_state_finish(struct export_state *s)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    int status = put_file(s, manifest_name, local_manifest(s, arena));

    andiron_arena_free(arena);
    if (status == 0 && unlinkat(s->dir_fd, state_name, 0) != 0 && errno != ENOENT)
        status = cannot(s, "remove", state_name);
    return status;
}
