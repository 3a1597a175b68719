/*
 * Reading what is imported. Files are read through zlib, which passes plain ones as they are.
 */
#include "cli/import_read.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <andiron/json.h>

#include "base/arena.h"
#include "base/buffer.h"

enum { LINE_MAX_BYTES = 64 * 1024 * 1024, DOCUMENT_MAX = 512 * 1024 * 1024, FILES_MAX = 100000 };
enum { MANIFEST_MAX = 80 * 1024 * 1024 };

struct import_input {
    struct andiron_arena *arena; /* of names */
    const char **files;
    size_t file_count, file_room, next_file;
    uint64_t size, done_before;

    const char *name; /* of the open file */
    gzFile file;
    uint64_t line;
    struct buffer text; /* the line, or the document */

    struct andiron_arena *item_arena; /* of the parsed line or document */
    bool in_bundle;
    struct andiron_json_iter entries;
    uint64_t entry;
};

/* ---- which files ---------------------------------------------------------------------- */

static int add_file(struct import_input *in, const char *path, struct andiron_error *err)
{
    if (in->file_count == FILES_MAX)
        return andiron_error_set(err, ANDIRON_E_INVALID, path, "more than %d files", FILES_MAX);
    if (in->file_count == in->file_room) {
        size_t room = in->file_room != 0 ? in->file_room * 2 : 16;
        const char **files = realloc(in->files, room * sizeof(*files));
        if (files == NULL)
            abort();
        in->files = files;
        in->file_room = room;
    }
    in->files[in->file_count++] = andiron_copy(in->arena, andiron_str_of(path));
    return 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

static int is_input(const struct dirent *entry)
{
    static const char *const ends[] = { ".ndjson", ".json", ".ndjson.gz", ".json.gz" };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends_with(entry->d_name, ends[i]))
            return 1;
    return 0;
}

/* ---- manifests of exports ------------------------------------------------------------- */

/* A name beside the manifest, and nothing that leads elsewhere. */
static bool is_beside(andiron_str url)
{
    return url.len > 0 && url.data[0] != '/' && url.data[0] != '.' &&
           memchr(url.data, ':', url.len) == NULL && memmem(url.data, url.len, "/.", 2) == NULL;
}

static int add_output(struct import_input *in, const char *path, andiron_json doc,
                      struct andiron_error *err)
{
    const char *slash = strrchr(path, '/');
    int folder = slash != NULL ? (int)(slash - path) + 1 : 0;
    struct andiron_json_iter it = { .of = andiron_json_get(doc, "output") };

    while (andiron_json_next(&it)) {
        andiron_str url = andiron_json_str(andiron_json_get(it.value, "url"));
        if (!is_beside(url))
            return andiron_error_set(err, ANDIRON_E_INVALID, path,
                                     "names a file that is not beside it; andiron export fetches "
                                     "files of a server");
        const char *file =
            andiron_printf(in->arena, "%.*s%.*s", folder, path, (int)url.len, url.data);
        if (access(file, R_OK) != 0)
            return andiron_error_set(err, ANDIRON_E_NOT_FOUND, file, "cannot be read: %s",
                                     strerror(errno));
        if (add_file(in, file, err) != 0)
            return -1;
    }
    return 0;
}

/* 1: it is the manifest of an export, whose files have been added; 0: it is none. */
static int add_manifest(struct import_input *in, const char *path, struct andiron_error *err)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_error why;
    struct buffer text;
    andiron_json doc;
    int result = 0;

    buffer_init(&text, MANIFEST_MAX);
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        char piece[64 * 1024];
        size_t n;
        while ((n = fread(piece, 1, sizeof(piece), file)) > 0 && buffer_add(&text, piece, n) == 0)
            continue;
        (void)fclose(file); /* only read from */
    }
    if (!text.overflowed && text.len > 0 &&
        andiron_json_parse(arena, buffer_str(&text), &doc, &why) == 0 &&
        andiron_json_type(andiron_json_get(doc, "resourceType")) == ANDIRON_JSON_MISSING &&
        andiron_json_type(andiron_json_get(doc, "output")) == ANDIRON_JSON_ARRAY)
        result = add_output(in, path, doc, err) == 0 ? 1 : -1;
    buffer_free(&text);
    arena_free(arena);
    return result;
}

static int add_folder(struct import_input *in, const char *path, struct andiron_error *err)
{
    struct dirent **entries = NULL;
    /* An export's folder: what it tells of deletions and errors is no input. */
    int result = add_manifest(in, andiron_printf(in->arena, "%s/manifest.json", path), err);
    if (result != 0)
        return result > 0 ? 0 : -1;
    int count = scandir(path, &entries, is_input, alphasort);
    if (count < 0)
        return andiron_error_set(err, ANDIRON_E_NOT_FOUND, path, "cannot be read: %s",
                                 strerror(errno));
    for (int i = 0; i < count; i++) {
        if (result == 0)
            result =
                add_file(in, andiron_printf(in->arena, "%s/%s", path, entries[i]->d_name), err);
        free(entries[i]);
    }
    free(entries);
    if (result == 0 && count == 0)
        return andiron_error_set(err, ANDIRON_E_NOT_FOUND, path,
                                 "holds no .ndjson and no .json file");
    return result;
}

static int add_path(struct import_input *in, const char *path, struct andiron_error *err)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        return add_file(in, path, err);
    if (stat(path, &st) != 0)
        return andiron_error_set(err, ANDIRON_E_NOT_FOUND, path, "cannot be read: %s",
                                 strerror(errno));
    if (S_ISDIR(st.st_mode))
        return add_folder(in, path, err);
    int found = ends_with(path, "manifest.json") ? add_manifest(in, path, err) : 0;
    if (found != 0)
        return found > 0 ? 0 : -1;
    return add_file(in, path, err);
}

static void add_sizes(struct import_input *in)
{
    for (size_t i = 0; i < in->file_count; i++) {
        struct stat st;
        if (strcmp(in->files[i], "-") == 0 || stat(in->files[i], &st) != 0) {
            in->size = 0;
            return;
        }
        in->size += (uint64_t)st.st_size;
    }
}

struct import_input *import_open(const char *const *paths, struct andiron_error *err)
{
    struct import_input *in = calloc(1, sizeof(*in));
    if (in == NULL)
        abort();
    in->arena = arena_new();
    buffer_init(&in->text, LINE_MAX_BYTES);
    for (; *paths != NULL; paths++) {
        if (add_path(in, *paths, err) != 0) {
            import_close(in);
            return NULL;
        }
    }
    add_sizes(in);
    return in;
}

void import_close(struct import_input *in)
{
    if (in == NULL)
        return;
    if (in->file != NULL)
        (void)gzclose(in->file); /* only read from */
    arena_free(in->arena);
    arena_free(in->item_arena);
    buffer_free(&in->text);
    free(in->files);
    free(in);
}

uint64_t import_size(const struct import_input *in)
{
    return in->size;
}

uint64_t import_done(const struct import_input *in)
{
    z_off_t at = in->file != NULL ? gzoffset(in->file) : 0;
    return in->done_before + (at > 0 ? (uint64_t)at : 0);
}

/* ---- lines ------------------------------------------------------------------------------- */

static int open_next(struct import_input *in, struct andiron_error *err)
{
    in->name = in->files[in->next_file++];
    in->line = 0;
    in->file = strcmp(in->name, "-") == 0 ? gzdopen(0, "rb") : gzopen(in->name, "rb");
    if (in->file == NULL)
        return andiron_error_set(err, ANDIRON_E_NOT_FOUND, in->name, "cannot be read: %s",
                                 strerror(errno));
    (void)gzbuffer(in->file, 256 * 1024);
    return 0;
}

/* A line without its end into in->text: 1, 0 at the end of the file, -1. */
static int read_line(struct import_input *in, struct andiron_error *err)
{
    char piece[64 * 1024];
    in->text.len = 0;
    while (gzgets(in->file, piece, sizeof(piece)) != NULL) {
        size_t len = strlen(piece);
        bool ended = len > 0 && piece[len - 1] == '\n';
        if (buffer_add(&in->text, piece, len - ended) != 0)
            return andiron_error_set(err, ANDIRON_E_TOO_LARGE, in->name,
                                     "line %llu is longer than %d bytes",
                                     (unsigned long long)in->line + 1, LINE_MAX_BYTES);
        if (ended)
            break;
    }
    int code = Z_OK;
    const char *why = gzerror(in->file, &code);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return andiron_error_set(err, ANDIRON_E_INVALID, in->name, "cannot be read: %s", why);
    if (in->text.len == 0 && gzeof(in->file))
        return 0;
    in->line++;
    return 1;
}

/* ---- resources ------------------------------------------------------------------------------ */

static void describe(struct import_input *in, andiron_json resource, struct import_item *ret)
{
    ret->text = andiron_json_raw(resource);
    ret->type = andiron_json_str(andiron_json_get(resource, "resourceType"));
    ret->id = andiron_json_str(andiron_json_get(resource, "id"));
    if (ret->type.len == 0)
        ret->wrong = "no resourceType";
    (void)in;
}

/* The whole document that begins with the line read: for files that are not NDJSON. */
static int read_rest(struct import_input *in, struct andiron_error *err)
{
    char piece[64 * 1024];
    int n;
    in->text.max = DOCUMENT_MAX;
    while ((n = gzread(in->file, piece, sizeof(piece))) > 0)
        if (buffer_add(&in->text, "\n", in->text.len > 0 && n > 0 && in->line == 1) != 0 ||
            buffer_add(&in->text, piece, (size_t)n) != 0)
            return andiron_error_set(err, ANDIRON_E_TOO_LARGE, in->name, "is larger than %d bytes",
                                     DOCUMENT_MAX);
    in->line = 2; /* the line end of the first is in */
    return 0;
}

static int parse_text(struct import_input *in, andiron_json *ret, struct andiron_error *err)
{
    arena_free(in->item_arena);
    in->item_arena = arena_new();
    return andiron_json_parse(in->item_arena, buffer_str(&in->text), ret, err);
}

/* The next entry of a Bundle that has a resource. */
static bool next_entry(struct import_input *in, struct import_item *ret)
{
    while (andiron_json_next(&in->entries)) {
        in->entry++;
        andiron_json resource = andiron_json_get(in->entries.value, "resource");
        if (andiron_json_type(resource) != ANDIRON_JSON_OBJECT)
            continue;
        ret->line = in->entry;
        describe(in, resource, ret);
        return true;
    }
    in->in_bundle = false;
    return false;
}

/* Whether a resource is a Bundle of others, as opposed to one that is data itself. */
static bool is_carrier(andiron_json resource)
{
    static const char *const types[] = { "transaction", "batch", "collection", "searchset" };
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(resource, "resourceType")),
                        ANDIRON_STR("Bundle")))
        return false;
    andiron_str type = andiron_json_str(andiron_json_get(resource, "type"));
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (andiron_str_eq(type, andiron_str_of(types[i])))
            return true;
    return false;
}

/* One item out of the line in in->text: 1, or 0 if it holds none (blank, or an empty Bundle). */
static int item_of_line(struct import_input *in, struct import_item *ret, struct andiron_error *err)
{
    andiron_json resource;
    struct andiron_error why;

    if (in->text.len == 0 || strspn(in->text.data, " \t\r") >= in->text.len)
        return 0;
    if (parse_text(in, &resource, &why) != 0) {
        /* A file that is one document over many lines shows at its first. */
        if (in->line != 1 || strcmp(in->name, "-") == 0 || ends_with(in->name, ".ndjson")) {
            ret->wrong = andiron_printf(in->item_arena, "%s: %s", why.where, why.message);
            ret->text = buffer_str(&in->text);
            return 1;
        }
        if (read_rest(in, err) != 0)
            return -1;
        if (parse_text(in, &resource, &why) != 0) {
            ret->wrong = andiron_printf(in->item_arena, "%s: %s", why.where, why.message);
            ret->text = buffer_str(&in->text);
            return 1;
        }
    }
    if (is_carrier(resource)) {
        in->entries = (struct andiron_json_iter){ .of = andiron_json_get(resource, "entry") };
        in->entry = 0;
        in->in_bundle = true;
        return next_entry(in, ret);
    }
    describe(in, resource, ret);
    return 1;
}

static void close_current(struct import_input *in)
{
    in->done_before = import_done(in);
    (void)gzclose(in->file); /* only read from */
    in->file = NULL;
    in->text.max = LINE_MAX_BYTES;
}

int import_next(struct import_input *in, struct import_item *ret, struct andiron_error *err)
{
    for (;;) {
        *ret = (struct import_item){ .file = in->name };
        if (in->in_bundle && next_entry(in, ret))
            return 1;
        if (in->file == NULL) {
            if (in->next_file == in->file_count)
                return 0;
            if (open_next(in, err) != 0)
                return -1;
            ret->file = in->name;
        }
        int got = read_line(in, err);
        if (got < 0)
            return -1;
        if (got == 0) {
            close_current(in);
            continue;
        }
        ret->line = in->line;
        got = item_of_line(in, ret, err);
        if (got != 0)
            return got;
    }
}
