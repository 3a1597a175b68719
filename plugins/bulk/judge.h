/*
 * Whether a version belongs into an export, and the line that it becomes: what the one who asked
 * may see, _typeFilter, patients and groups, _elements. Where none of these says anything the
 * line is the stored body, unread.
 */
#ifndef BULK_JUDGE_H
#define BULK_JUDGE_H

#include "bulk.h"
#include "job.h"

/* Ids of patients, sorted. */
struct judge_patients {
    const andiron_str *ids;
    size_t count;
};

/* Sorts ids. */
void judge_patients_sort(andiron_str *ids, size_t count);

struct judge {
    const struct bulk *bulk;
    const struct job_spec *spec;
    const struct job_type *type;
    int index, patient;                    /* of the type, and of Patient */
    const struct andiron_filter *filter;   /* NULL: all */
    bool by_patient;                       /* only what belongs to a patient .. */
    const struct judge_patients *patients; /* .. of these; NULL: any */
    bool by_target;                        /* Provenance of what is exported */
    bool reads;                            /* it must look into resources */
    struct andiron_arena *scratch;
    size_t scratch_rows;
    struct andiron_error error;
};

/*
 * For one type, on a request's loop; what is compiled lives as long as the request. -1: ret->error.
 */
int judge_begin(struct judge *ret, const struct bulk *bulk, const struct job_spec *spec,
                const struct job_type *type, const struct judge_patients *patients,
                struct andiron_request *req);
void judge_end(struct judge *j);

/*
 * On any thread, one at a time. 1: *ret_line is the line, valid until the next call; 0: not in the
 * export; JUDGE_DAMAGED: what is stored cannot be read, j->error says why; -1: j->error.
 */
enum { JUDGE_DAMAGED = 2 };
int judge_row(struct judge *j, const struct andiron_row *row, andiron_str *ret_line);

/*
 * Compiles one search of a type as _typeFilter may have it: -1 and err if it is none, or can only
 * be judged by looking at other resources.
 */
int judge_check(const struct bulk *bulk, struct andiron_request *req, const char *type,
                const char *query, struct andiron_error *err);

#endif
