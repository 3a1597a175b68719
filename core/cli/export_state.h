/*
 * The folder of an export: which job it is of, its files and how far they are, so that a run that
 * was killed can be gone on with. Every file of it is written beside its place and renamed.
 */
#ifndef CORE_CLI_EXPORT_STATE_H
#define CORE_CLI_EXPORT_STATE_H

#include <andiron/json.h>

struct export_file {
    const char *list; /* of the manifest: "output", "deleted", "error" */
    const char *type; /* "" if the manifest has none */
    const char *url;
    const char *name; /* in the folder */
    int64_t count;    /* -1: the manifest has none */
    bool is_done;
    uint64_t lines; /* once it is done, if it was fetched by this run */
};

struct export_state {
    struct andiron_arena *arena;
    const char *dir;
    int dir_fd;             /* locked */
    const char *request;    /* the kick-off */
    const char *status_url; /* NULL: there is no job yet */
    andiron_str manifest;   /* absent: not finished */
    bool requires_token;
    bool is_resumed; /* the manifest is of an earlier run, and so may files be */
    struct export_file *files;
    size_t count;
};

/*
 * Opens the folder, made if need be, and takes what an earlier run of the same request left there; anew
 * forgets that. 0, or an exit status with the error printed.
 */
int export_state_open(struct export_state *s, struct andiron_arena *arena, const char *dir,
                      const char *request, bool anew);
void export_state_close(struct export_state *s);

/* What is known goes to disk. 0, or an exit status with the error printed. */
int export_state_save(const struct export_state *s);

/* A manifest of the server becomes files. */
int export_state_take(struct export_state *s, andiron_str manifest);

/* All is there: manifest.json with the names of the files, and no state. */
int export_state_finish(struct export_state *s);

#endif
