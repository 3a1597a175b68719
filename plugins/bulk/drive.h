/*
 * A type that is exported by searches: where _typeFilter and rights leave few resources of it, these are found
 * by the store's index, and only they are read.
 *
 * What a search finds is of now; an export shows what was at its horizon. So ids are gathered: of what matches
 * now, and behind that of whatever changed since the horizon. Between them they name all that could have
 * matched then. Each is read as it was, and judged, in the order of ids, which is the same after a crash.
 */
#ifndef BULK_DRIVE_H
#define BULK_DRIVE_H

#include "bulk.h"

struct drive;

enum drive_phase {
    DRIVE_COUNTING,  /* whether there are few */
    DRIVE_SEARCHING, /* what matches now */
    DRIVE_CHANGED,   /* what has changed since */
    DRIVE_READY,     /* drive_next() */
    DRIVE_REFUSED    /* there are many, or the store does not say: walk */
};

/*
 * type and horizon live as long as the drive; horizon_time is that of the horizon. After an id it goes on behind
 * that one; absent: from the first.
 */
struct drive *drive_new(struct bulk *bulk, const char *type, andiron_usec horizon_time,
                        andiron_str after);
void drive_free(struct drive *d); /* accepts NULL */
enum drive_phase drive_phase(const struct drive *d);
/* It is walked to after all, if nothing has been exported yet. */
void drive_refuse(struct drive *d);

/* One step of gathering with the type's filter, then `then`; *ret_error if it cannot be. */
enum andiron_step drive_gather(struct andiron_request *req, struct drive *d,
                               const struct andiron_filter *filter, struct andiron_error *ret_error,
                               andiron_step_fn then, void *state);

/* Once it is READY: the next id, absent behind the last; and how many there are, and were before. */
andiron_str drive_next(struct drive *d);
void drive_progress(const struct drive *d, uint64_t *ret_seen, uint64_t *ret_total);

/* Cursors of jobs that are driven: "id:" and the last id that was done. Absent id: it is none. */
const char *drive_cursor(struct andiron_arena *arena, andiron_str last);
bool drive_is_cursor(andiron_str cursor, andiron_str *ret_id);

#endif
