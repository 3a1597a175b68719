/*
 * The bulk plugin: exports of many resources as NDJSON (Bulk Data Access IG 2.0, and 1.0.1 for
 * older clients). What its files share.
 *
 *   kickoff.c    $export: parameters (params.c) and rights (rights.c) become a job (job.c)
 *   runner.c     which jobs this process runs, in turns; taking over what others left
 *   run.c        one slice of a job: versions (store/1) through judge.c into files (output.c)
 *   status.c     status, manifest, cancelling
 *   files.c      downloads; stream.c: $export-stream, without files
 *   import.c     $import: lines (upload.c) into the store, and what became of them (import_report.c)
 *   directory.c  the folder of the files
 */
#ifndef BULK_BULK_H
#define BULK_BULK_H

#include <andiron/metrics.h>
#include <andiron/plugin.h>
#include <andiron/search.h>
#include <andiron/store.h>

/* Plugin's own records in the store: what was asked for, and how far it has come. */
#define BULK_EXPORT "_BulkExport"
#define BULK_STATE "_BulkState"

enum {
    BULK_ID_LEN = 32,   /* of a job: 128 random bits in hex */
    BULK_NODE_LEN = 16, /* of a process */
    BULK_RECORD_MAX = 16 << 20,
    BULK_RECORDS_MAX = 1000, /* jobs that are looked at */
    IMPORT_PARALLEL_MAX = 16
};

struct bulk_config {
    const char *directory;
    int64_t max_jobs, max_jobs_per_client, max_kept_per_client;
    int64_t file_size, quota, min_free;
    int64_t keep, lease, checkpoint, poll, retry_after;
    int64_t slice_rows, slice_bytes, concurrency, max_streams;
    int64_t max_patients, max_filters;
    int64_t max_imports, import_rows, import_bytes, import_line, import_size, import_errors;
    int64_t import_parallel, import_timeout;
};

struct runner;
struct polls;
struct directory;

struct bulk {
    const struct bulk_config *config;
    struct andiron_host *host;
    const struct andiron_store *store;
    void *store_self;
    const struct andiron_search *search;
    void *search_self;
    struct directory *directory;
    struct runner *runner;
    struct polls *polls;
    _Atomic int64_t streams; /* that are open */
    _Atomic int64_t imports; /* that are running */
    struct andiron_counter *resources, *bytes, *finished, *failed, *resumed;
    struct andiron_counter *imported, *imported_ok, *imported_failed;
};

/* Handlers of the routes; state is struct bulk. */
enum andiron_step bulk_export(struct andiron_request *req, void *self);
enum andiron_step bulk_status(struct andiron_request *req, void *self);
enum andiron_step bulk_cancel(struct andiron_request *req, void *self);
enum andiron_step bulk_file(struct andiron_request *req, void *self);
enum andiron_step bulk_stream(struct andiron_request *req, void *self);
enum andiron_step bulk_import(struct andiron_request *req, void *self);

/* count random bytes as hex, NUL-terminated. */
void bulk_random(char *out, size_t count);

/* Optional members of store/1. */
bool bulk_can_visit(const struct bulk *bulk);
bool bulk_can_purge(const struct bulk *bulk);

#endif
