/*
 * What became of the lines of an import: counts by type, and refused lines up to a limit. Any
 * thread, one at a time.
 */
#ifndef BULK_IMPORT_REPORT_H
#define BULK_IMPORT_REPORT_H

#include "common/fhir/types.h"
#include "upload.h"

struct import_count {
    uint64_t created, updated, refused;
};

struct import_report {
    bool is_ndjson; /* else one JSON object */
    size_t most;    /* refused lines that are told of */
    uint64_t lines; /* that were looked at, from the first on without a gap */
    uint64_t stored, refused, told;
    struct import_count types[FHIR_TYPE_COUNT];
    struct bytes errors; /* as they stand in the answer */
};

void import_report_free(struct import_report *r);

/*
 * Reads what was answered to the lines that are open: their status and outcome, in arena. -1 and err:
 * that is no such answer.
 */
int import_answer_read(struct andiron_arena *arena, struct upload_batch *batch, andiron_str answer,
                       struct andiron_error *err);

/* Adds a batch whose answers were read. Batches come in their order. */
void import_report_add(struct import_report *r, const struct upload_batch *batch);

const char *import_report_type(const struct import_report *r);
andiron_str import_report_text(const struct import_report *r, struct andiron_arena *arena);

#endif
