#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KINDS = JOB_ERROR + 1, OUTPUT_ROOM = 1 << 20, OTHER_ROOM = 64 << 10 };

struct stream {
    int fd;       /* -1: no file is open */
    size_t file;  /* index in files */
    char *buffer; /* malloc; NULL until the first line */
    size_t len, room;
    uint64_t bytes, count; /* of the open file, buffer included */
    bool is_dirty;         /* something is not on disk yet */
};

struct output {
    struct bulk *bulk;
    const char *id;
    uint64_t epoch, total;
    struct stream streams[KINDS];
    struct job_file *files; /* malloc */
    size_t count, room;
    bool is_new; /* a file was made since the folder was last on disk */
};

struct output *output_new(struct bulk *bulk, const char *id, uint64_t epoch,
                          const struct job_file *files, size_t count)
{
    struct output *o = calloc(1, sizeof(*o));

    if (o == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    *o = (struct output){ .bulk = bulk, .id = id, .epoch = epoch, .room = count + 16 };
    o->files = calloc(o->room, sizeof(o->files[0]));
    if (o->files == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        o->files[o->count++] = files[i];
        o->total += files[i].bytes;
    }
    for (int i = 0; i < KINDS; i++)
        o->streams[i].fd = -1;
    return o;
}

void output_free(struct output *o)
{
    if (o == NULL)
        return;
    for (int i = 0; i < KINDS; i++) {
        if (o->streams[i].fd >= 0)
            (void)close(o->streams[i].fd); /* what is behind the last sync is written again */
        free(o->streams[i].buffer);
    }
    free(o->files);
    free(o);
}

static int fault(struct andiron_error *err)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return andiron_error_set(err, ANDIRON_E_NO_SPACE, "",
                                 "the disk of the export's files is full");
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                             "a file of the export cannot be written: %s", strerror(errno));
}

static int flush(struct stream *s, struct andiron_error *err)
{
    for (size_t at = 0; at < s->len;) {
        ssize_t n = write(s->fd, s->buffer + at, s->len - at);
        if (n < 0 && errno != EINTR)
            return fault(err);
        at += n > 0 ? (size_t)n : 0;
    }
    s->len = 0;
    return 0;
}

static int sync_stream(struct output *o, struct stream *s, struct andiron_error *err)
{
    if (s->fd < 0 || !s->is_dirty)
        return 0;
    if (flush(s, err) != 0)
        return -1;
    if (fdatasync(s->fd) != 0)
        return fault(err);
    s->is_dirty = false;
    o->files[s->file].bytes = s->bytes;
    o->files[s->file].count = s->count;
    return 0;
}

static int close_stream(struct output *o, struct stream *s, struct andiron_error *err)
{
    if (s->fd < 0)
        return 0;
    if (sync_stream(o, s, err) != 0)
        return -1;
    (void)close(s->fd); /* it is on disk already */
    s->fd = -1;
    return 0;
}

static int open_stream(struct output *o, enum job_kind kind, const char *type,
                       struct andiron_error *err)
{
    static const char *const kinds[] = { "", ".deleted", ".error" };
    struct stream *s = &o->streams[kind];

    if (o->count == o->room) {
        struct job_file *grown = realloc(o->files, 2 * o->room * sizeof(grown[0]));
        if (grown == NULL)
            abort();
        o->files = grown;
        o->room *= 2;
    }
    if (s->buffer == NULL) {
        s->room = kind == JOB_OUTPUT ? OUTPUT_ROOM : OTHER_ROOM;
        s->buffer = malloc(s->room);
        if (s->buffer == NULL)
            abort();
    }
    struct job_file *file = &o->files[o->count];
    *file = (struct job_file){ .kind = kind, .type = type };
    (void)snprintf(file->name, sizeof(file->name), "%s%s.%llu-%zu.ndjson",
                   type[0] != '\0' ? type : "OperationOutcome", kinds[kind],
                   (unsigned long long)o->epoch, o->count + 1);
    s->fd = directory_create(o->bulk->directory, o->id, file->name, o->count == 0);
    if (s->fd < 0)
        return fault(err);
    s->file = o->count++;
    s->bytes = s->count = 0;
    o->is_new = true;
    return 0;
}

int output_line(struct output *o, enum job_kind kind, const char *type, andiron_str line,
                struct andiron_error *err)
{
    struct stream *s = &o->streams[kind];

    if (s->fd >= 0 && s->bytes >= (uint64_t)o->bulk->config->file_size &&
        close_stream(o, s, err) != 0)
        return -1;
    if (s->fd < 0 && open_stream(o, kind, type, err) != 0)
        return -1;
    s->is_dirty = true;
    s->bytes += line.len + 1;
    s->count++;
    o->total += line.len + 1;
    if (line.len + 1 > s->room - s->len && flush(s, err) != 0)
        return -1;
    if (line.len + 1 <= s->room - s->len) {
        memcpy(s->buffer + s->len, line.data, line.len);
        s->buffer[s->len + line.len] = '\n';
        s->len += line.len + 1;
        return 0;
    }
    /* Larger than the buffer, which is empty: as it lies. */
    struct stream whole = { .fd = s->fd, .buffer = (char *)(uintptr_t)line.data, .len = line.len };
    if (flush(&whole, err) != 0)
        return -1;
    s->buffer[s->len++] = '\n';
    return 0;
}

static int sync_folder(struct output *o, struct andiron_error *err)
{
    if (!o->is_new)
        return 0;
    if (directory_sync(o->bulk->directory, o->id) != 0)
        return fault(err);
    o->is_new = false;
    return 0;
}

int output_sync(struct output *o, struct andiron_error *err)
{
    for (int i = 0; i < KINDS; i++)
        if (sync_stream(o, &o->streams[i], err) != 0)
            return -1;
    return sync_folder(o, err);
}

int output_close(struct output *o, struct andiron_error *err)
{
    for (int i = 0; i < KINDS; i++)
        if (close_stream(o, &o->streams[i], err) != 0)
            return -1;
    return sync_folder(o, err);
}

const struct job_file *output_files(const struct output *o, size_t *ret_count)
{
    *ret_count = o->count;
    return o->files;
}

uint64_t output_bytes(const struct output *o)
{
    return o->total;
}
