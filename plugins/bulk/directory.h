/*
 * The folder of the files: one folder for each job in it, named by its id. Several nodes share it;
 * a token in it tells whether they do, and a lock on a file of each process whether it lives.
 * All but the two names block: on the pool, or at start.
 */
#ifndef BULK_DIRECTORY_H
#define BULK_DIRECTORY_H

#include "bulk.h"

/* At start: makes the folder (0700) where there is none. NULL and err. Ends with the process. */
struct directory *directory_open(struct bulk *bulk, struct andiron_error *err);
void directory_close(struct directory *d);

/* What tells this folder from others, and this process from others. */
const char *directory_token(const struct directory *d);
const char *directory_node(const struct directory *d);

/* Whether that process has ended: its lock here can be had. false where nobody can tell. */
bool directory_is_dead(const struct directory *d, andiron_str node);

/*
 * For a new file of a job; for reading one. -1: errno. Only its first file makes the job's folder:
 * one that has gone was removed with the job.
 */
int directory_create(const struct directory *d, const char *job, const char *name, bool is_first);
int directory_read(const struct directory *d, const char *job, const char *name);

/* The job's folder itself on disk, so that its files stay when the machine stops. -1: errno. */
int directory_sync(const struct directory *d, const char *job);

/* Removes the files of a job; false if some are left. */
bool directory_remove(const struct directory *d, const char *job);

/*
 * Walks the folders of jobs that nobody has changed for `age_s` seconds: up to max ids, each
 * BULK_ID_LEN + 1 bytes. The number of ids.
 */
size_t directory_list(const struct directory *d, int64_t age_s, char (*ret)[BULK_ID_LEN + 1],
                      size_t max);

/* Bytes that are free where the folder lies; -1: unknown. */
int64_t directory_free(const struct directory *d);

#endif
