/*
 * The plugin's table: directives, routes, life.
 */
#include "bulk.h"

#include "directory.h"
#include "polls.h"
#include "runner.h"

#define DIRECTIVE(member, kind, text, low, high, words)                                            \
    .type = ANDIRON_##kind, .offset = offsetof(struct bulk_config, member), .fallback = (text),    \
    .min = (low), .max = (high), .help = (words)
#define PEBI (INT64_C(1) << 50)

static const struct andiron_directive directives[] = {
    { .name = "directory",
      DIRECTIVE(directory, PATH, "", 0, 0,
                "folder of the files; empty: bulk in core's state-dir; shared "
                "by all nodes") },
    { .name = "max-jobs",
      DIRECTIVE(max_jobs, INT, "16", 1, 500, "exports that may run at a time, on all nodes") },
    { .name = "max-jobs-per-client",
      DIRECTIVE(max_jobs_per_client, INT, "4", 1, 500, "of these, of one client") },
    { .name = "max-kept-per-client",
      DIRECTIVE(max_kept_per_client, INT, "50", 1, 900,
                "exports of one client that run or are kept") },
    { .name = "file-size",
      DIRECTIVE(file_size, BYTES, "1g", 1024, PEBI,
                "a file that has grown to this size is followed by another") },
    { .name = "quota",
      DIRECTIVE(quota, BYTES, "100g", 0, PEBI, "bytes of all files; 0: as many as fit") },
    { .name = "min-free",
      DIRECTIVE(min_free, BYTES, "1g", 0, PEBI, "bytes that stay free on the disk") },
    { .name = "keep",
      DIRECTIVE(keep, DURATION, "24h", 1000, INT64_C(31) * 86400000,
                "how long a finished export is kept") },
    { .name = "lease",
      DIRECTIVE(lease, DURATION, "30s", 5000, 3600000,
                "how long an export waits for a node that is silent before another takes it") },
    { .name = "checkpoint",
      DIRECTIVE(checkpoint, DURATION, "2s", 50, 60000,
                "how often files are flushed to disk and the state is stored") },
    { .name = "poll",
      DIRECTIVE(poll, DURATION, "1s", 50, 60000,
                "how often exports of other nodes are looked for") },
    { .name = "retry-after",
      DIRECTIVE(retry_after, DURATION, "30s", 1000, 3600000,
                "the longest that a client is asked to wait between polls") },
    { .name = "slice-rows",
      DIRECTIVE(slice_rows, INT, "5000", 1, 100000, "resources of one slice of an export") },
    { .name = "slice-bytes",
      DIRECTIVE(slice_bytes, BYTES, "4m", 1024, INT64_C(1) << 30, "bytes of one slice") },
    { .name = "concurrency",
      DIRECTIVE(concurrency, INT, "1", 1, 64, "slices at work at a time, in this process") },
    { .name = "max-streams",
      DIRECTIVE(max_streams, INT, "8", 1, 1000,
                "$export-stream requests at a time, in this process") },
    { .name = "max-patients",
      DIRECTIVE(max_patients, INT, "1000", 1, 100000, "values of the parameter patient") },
    { .name = "max-filters",
      DIRECTIVE(max_filters, INT, "100", 1, 10000, "searches in _typeFilter") },
    { .name = "max-imports",
      DIRECTIVE(max_imports, INT, "4", 1, 1000, "$import requests at a time, in this process") },
    { .name = "import-rows",
      DIRECTIVE(import_rows, INT, "1000", 1, 5000,
                "lines of an import that are committed together; at most fhir's "
                "max-bundle-entries") },
    { .name = "import-bytes",
      DIRECTIVE(import_bytes, BYTES, "2m", 1024, INT64_C(1) << 30,
                "bytes of them, behind which no other line is added") },
    { .name = "import-parallel",
      DIRECTIVE(import_parallel, INT, "3", 1, IMPORT_PARALLEL_MAX,
                "batches of an import that are at work at a time") },
    { .name = "import-line",
      DIRECTIVE(import_line, BYTES, "16m", 1024, INT64_C(1) << 30, "bytes of a line") },
    { .name = "import-size",
      DIRECTIVE(import_size, BYTES, "0", 0, PEBI,
                "bytes of the body of an import, unpacked; 0: any") },
    { .name = "import-errors",
      DIRECTIVE(import_errors, INT, "1000", 0, 100000,
                "refused lines that an import's answer tells of") },
    { .name = "import-timeout",
      DIRECTIVE(import_timeout, DURATION, "24h", 0, INT64_C(31) * 86400000,
                "how long an import may take; 0: any time") },
    { .name = NULL },
};

#define CANONICAL "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"

static const struct andiron_route routes[] = {
    { "GET", "/fhir/$export", bulk_export, "FhirExport", 0, CANONICAL "export" },
    { "POST", "/fhir/$export", bulk_export, "FhirExport", 0, CANONICAL "export" },
    { "GET", "/fhir/Patient/$export", bulk_export, "FhirExport", 0, CANONICAL "patient-export" },
    { "POST", "/fhir/Patient/$export", bulk_export, "FhirExport", 0, CANONICAL "patient-export" },
    { "GET", "/fhir/Group/{id}/$export", bulk_export, "FhirExport", 0, CANONICAL "group-export" },
    { "POST", "/fhir/Group/{id}/$export", bulk_export, "FhirExport", 0, CANONICAL "group-export" },
    { "GET", "/fhir/$export-status/{job}", bulk_status, "FhirExportStatus", 0, NULL },
    { "DELETE", "/fhir/$export-status/{job}", bulk_cancel, "FhirExportStatus", 0, NULL },
    { "GET", "/fhir/$export-file/{job}/{file}", bulk_file, "FhirExportFile", ANDIRON_ROUTE_STREAM,
      NULL },
    { "GET", "/fhir/{type}/$export-stream", bulk_stream, "FhirExportStream", ANDIRON_ROUTE_STREAM,
      NULL },
    { "POST", "/fhir/$import", bulk_import, "FhirImport", ANDIRON_ROUTE_UPLOAD,
      "urn:andiron:OperationDefinition:import" },
    { 0 },
};

bool bulk_can_visit(const struct bulk *bulk)
{
    return bulk->store->size >=
               offsetof(struct andiron_store, visit) + sizeof(bulk->store->visit) &&
           bulk->store->visit != NULL;
}

bool bulk_can_purge(const struct bulk *bulk)
{
    return bulk->store->size >=
               offsetof(struct andiron_store, purge) + sizeof(bulk->store->purge) &&
           bulk->store->purge != NULL;
}

/* The statement of the guide, of which this server's is an instance; the operations are routes. */
static andiron_str capability_rest(void *self, struct andiron_arena *arena, andiron_str base)
{
    (void)self;
    (void)arena;
    (void)base;
    return ANDIRON_STR("{\"instantiates\":[\"http://hl7.org/fhir/uv/bulkdata/"
                       "CapabilityStatement/bulk-data\"]}");
}

static const struct andiron_discovery discovery = { .size = sizeof(struct andiron_discovery),
                                                    .capability_rest = capability_rest };
static const struct andiron_service provides[] = { { ANDIRON_DISCOVERY "bulk", &discovery },
                                                   { NULL, NULL } };

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct bulk *bulk = andiron_new(andiron_host_arena(host), struct bulk);

    bulk->config = config;
    bulk->host = host;
    if (bulk->config->lease < 2 * bulk->config->checkpoint)
        return andiron_error_set(err, ANDIRON_E_INVALID, "bulk.lease",
                                 "must be at least twice as long as checkpoint, which renews it");
    bulk->resources = andiron_counter(host, "andiron_bulk_resources_total", "direction=\"export\"",
                                      "Resources exported and imported");
    bulk->bytes = andiron_counter(host, "andiron_bulk_bytes_total", "direction=\"export\"",
                                  "Bytes looked at by exports");
    bulk->finished = andiron_counter(host, "andiron_bulk_exports_total", "result=\"ok\"",
                                     "Exports that came to an end");
    bulk->failed = andiron_counter(host, "andiron_bulk_exports_total", "result=\"failed\"",
                                   "Exports that came to an end");
    bulk->resumed = andiron_counter(host, "andiron_bulk_resumed_total", NULL,
                                    "Exports that went on where another process had left them");
    bulk->imported = andiron_counter(host, "andiron_bulk_resources_total", "direction=\"import\"",
                                     "Resources exported and imported");
    bulk->imported_ok = andiron_counter(host, "andiron_bulk_imports_total", "result=\"ok\"",
                                        "Imports that came to an end");
    bulk->imported_failed = andiron_counter(host, "andiron_bulk_imports_total", "result=\"failed\"",
                                            "Imports that came to an end");
    bulk->polls = polls_new();
    *ret_self = bulk;
    bulk->directory = directory_open(bulk, err);
    if (bulk->directory == NULL) {
        polls_free(bulk->polls);
        return -1;
    }
    bulk->runner = runner_new(bulk);
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct bulk *bulk = self;
    struct andiron_service_ref ref;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &ref, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "service %s is missing",
                                 ANDIRON_STORE);
    bulk->store = ref.table;
    bulk->store_self = ref.self;
    if (!andiron_service_find(host, ANDIRON_SEARCH, NULL, &ref, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "service %s is missing",
                                 ANDIRON_SEARCH);
    bulk->search = ref.table;
    bulk->search_self = ref.self;
    return 0;
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct bulk *bulk = self;

    *ret_local = NULL;
    if (andiron_host_loop(bulk->host, 0) == loop && runner_start(bulk->runner, loop) != 0)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    return 0;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    struct bulk *bulk = self;
    (void)local;
    if (andiron_host_loop(bulk->host, 0) == loop)
        runner_stop(bulk->runner);
}

static void stop(void *self)
{
    struct bulk *bulk = self;

    runner_free(bulk->runner);
    directory_close(bulk->directory);
    polls_free(bulk->polls);
    bulk->runner = NULL;
    bulk->directory = NULL;
    bulk->polls = NULL;
}

ANDIRON_PLUGIN(.name = "bulk", .version = "0.1.0",
               .summary = "Bulk Data: $export at system, Patient and Group level, $import",
               .directives = directives, .config_size = sizeof(struct bulk_config),
               .provides = provides,
               .needs = (const char *const[]){ ANDIRON_STORE, ANDIRON_SEARCH, NULL },
               .routes = routes, .init = init, .start = start, .loop_start = loop_start,
               .loop_stop = loop_stop, .stop = stop);
