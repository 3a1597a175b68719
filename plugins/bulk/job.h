/*
 * A job as it lies in the store: what was asked for never changes; the state is one row, changed
 * by whoever runs the job, under if_version. Pure: JSON to structs and back.
 */
#ifndef BULK_JOB_H
#define BULK_JOB_H

#include <andiron/json.h>
#include <andiron/store.h>

enum job_level { JOB_SYSTEM, JOB_PATIENT, JOB_GROUP };

/* One type to export. */
struct job_type {
    const char *name;
    /* Each list: at least one of its expressions must be met; all lists. What the one who asked
     * may see. NULL-terminated, as are the lists. */
    const char *const *const *limits;
    const char *const *filters; /* _typeFilter: at least one, if there are any; NULL-terminated */
    bool by_target;             /* Provenance: only what is about a type that is exported */
};

struct job_spec {
    andiron_str id;
    andiron_str client;  /* "Client/a": who asked */
    andiron_str request; /* URL of the kick-off */
    enum job_level level;
    andiron_str group;           /* id; absent: none */
    const char *const *patients; /* ids; NULL: all. Empty: none */
    andiron_usec since, until;   /* 0: open */
    andiron_usec time;           /* transactionTime */
    andiron_str horizon;         /* of the store */
    const char *const *elements; /* NULL: whole resources */
    const char *const *ignored;  /* parameters that were passed over, or NULL */
    const struct job_type *types;
    size_t type_count;
};

enum job_status { JOB_ACTIVE, JOB_DONE, JOB_FAILED };
enum job_kind { JOB_OUTPUT, JOB_DELETED, JOB_ERROR };
enum { JOB_FILE_NAME = 96 };

struct job_file {
    enum job_kind kind;
    const char *type; /* whose resources it holds, or tells the deletions of; a literal; "" */
    char name[JOB_FILE_NAME];
    uint64_t bytes, count;
};

struct job_state {
    enum job_status status;
    andiron_str id, client;
    andiron_str owner;     /* process that runs it */
    andiron_str directory; /* where the files are */
    andiron_usec lease;    /* until then nobody else may take it */
    uint64_t epoch;        /* how often it was taken */
    uint64_t attempts;     /* of these, since it last came further */
    andiron_usec created, finished, expires;
    size_t type_at, type_count;     /* index in the spec's types */
    andiron_str cursor;             /* in that type; absent: at its beginning */
    uint64_t resources, bytes;      /* so far */
    uint64_t type_seen, type_total; /* of that type: looked at, and to be; 0: not known */
    const struct job_file *files;
    size_t file_count;
    int error_code; /* enum andiron_code; of a job that failed */
    andiron_str error;
    uint64_t version; /* of the row; not in it */
};

/* Text in arena. */
andiron_str job_spec_text(struct andiron_arena *arena, const struct job_spec *spec);
andiron_str job_state_text(struct andiron_arena *arena, const struct job_state *state);

/* Views into text and arena. -1: it is no such record. */
int job_spec_read(struct andiron_arena *arena, andiron_str text, struct job_spec *ret);
int job_state_read(struct andiron_arena *arena, const struct andiron_row *row,
                   struct job_state *ret);

/* A write of a row; body lives in arena. */
struct andiron_write job_write(struct andiron_arena *arena, const char *type, andiron_str id,
                               andiron_str body);

bool job_is_id(andiron_str text);

#endif
