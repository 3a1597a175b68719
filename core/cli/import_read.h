/*
 * Input of `andiron import`: files, folders and standard input, as one row of resources.
 *
 * NDJSON (a resource a line), a file with one resource, or one Bundle, whose entries count;
 * each plain or gzipped.
 */
#ifndef CORE_CLI_IMPORT_READ_H
#define CORE_CLI_IMPORT_READ_H

#include <stdint.h>

#include <andiron/error.h>

struct import_input;

/* One resource; valid until the next call. */
struct import_item {
    const char *file;
    uint64_t line; /* from 1; entry number in a Bundle */
    andiron_str text;
    andiron_str type, id; /* id: absent if it has none */
    const char *wrong;    /* why it cannot be sent, or NULL */
};

/*
 * paths: files, folders (their *.ndjson, *.json, and .gz of these, by name), "-". A manifest.json of an
 * export, named or in a folder, stands for the files of its output. NULL and err.
 */
struct import_input *import_open(const char *const *paths, struct andiron_error *err);
void import_close(struct import_input *input); /* NULL is allowed */

/* The next resource: 1, 0 at the end, -1 and err if a file cannot be read. */
int import_next(struct import_input *input, struct import_item *ret, struct andiron_error *err);

/* Bytes of all files, 0 if not known (standard input); and how many have been read. */
uint64_t import_size(const struct import_input *input);
uint64_t import_done(const struct import_input *input);

#endif
