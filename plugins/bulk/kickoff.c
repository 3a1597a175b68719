/*
 * $export: a request becomes a job.
 *
 *   bulk_export -> [group read] -> jobs counted -> rights of each type -> horizon -> stored -> 202
 */
#include <stdio.h>

#include "common/fhir/compartments.h"
#include "directory.h"
#include "headers.h"
#include "judge.h"
#include "params.h"
#include "rights.h"
#include "runner.h"

/* Nobody's own, but of use beside what belongs to patients: exported there where _type names them. */
static const char *const shared[] = { "Location",     "Medication",       "Organization",
                                      "Practitioner", "PractitionerRole", "Substance" };

struct kickoff {
    struct bulk *bulk;
    struct params params;
    enum job_level level;
    andiron_str group;
    struct andiron_request *group_read;
    struct andiron_query query;
    struct andiron_rows rows;
    struct rights rights;
    struct andiron_walk walk;
    struct andiron_rows horizon;
    struct job_spec spec;
    char id[BULK_ID_LEN + 1];
    struct andiron_commit commit;
    struct andiron_write writes[2];
};

/* ---- the job --------------------------------------------------------------------------------- */

static enum andiron_step stored(struct andiron_request *req, void *arg)
{
    struct kickoff *k = arg;
    andiron_str base = andiron_request_base(req);

    if (k->commit.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &k->commit.error);
    andiron_request_note(req, "export", andiron_str_of(k->id));
    andiron_request_log(req, ANDIRON_LOG_INFO, "bulk.started",
                        "export %s of %.*s is accepted: %zu types", k->id, (int)k->spec.client.len,
                        k->spec.client.data, k->spec.type_count);
    runner_poke(k->bulk->runner);
    andiron_reply_header(
        req, "Content-Location",
        andiron_str_of(andiron_printf(andiron_request_arena(req), "%.*s/fhir/$export-status/%s",
                                      (int)base.len, base.data, k->id)));
    return andiron_reply(
        req, 202, "application/fhir+json",
        ANDIRON_STR("{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":"
                    "\"information\",\"code\":\"informational\",\"diagnostics\":"
                    "\"the export has begun; Content-Location tells its status\"}]}"));
}

static enum andiron_step store(struct andiron_request *req, struct kickoff *k)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct job_spec *spec = &k->spec;
    struct job_state state = {
        .status = JOB_ACTIVE,
        .id = spec->id,
        .client = spec->client,
        .directory = andiron_str_of(directory_token(k->bulk->directory)),
        .created = andiron_now(),
        .type_count = spec->type_count,
    };
    andiron_str text = job_spec_text(arena, spec);

    if (text.data == NULL)
        return andiron_fail(req, ANDIRON_E_TOO_LARGE, "the parameters of the export are too long");
    k->writes[0] = job_write(arena, BULK_EXPORT, spec->id, text);
    k->writes[1] = job_write(arena, BULK_STATE, spec->id, job_state_text(arena, &state));
    k->writes[0].if_absent = k->writes[1].if_absent = true;
    k->commit = (struct andiron_commit){ .writes = k->writes, .count = 2 };
    return k->bulk->store->commit(k->bulk->store_self, req, &k->commit, stored, k);
}

static andiron_str request_url(struct andiron_request *req)
{
    andiron_str base = andiron_request_base(req), path = andiron_request_path(req);
    andiron_str query = andiron_request_query(req);

    return andiron_str_of(andiron_printf(
        andiron_request_arena(req), "%.*s%.*s%s%.*s", (int)base.len, base.data, (int)path.len,
        path.data, query.len > 0 ? "?" : "", (int)query.len, query.len > 0 ? query.data : ""));
}

static enum andiron_step horizon_known(struct andiron_request *req, void *arg)
{
    struct kickoff *k = arg;
    const struct params *p = &k->params;

    if (k->horizon.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &k->horizon.error);
    bulk_random(k->id, BULK_ID_LEN / 2);
    k->spec.id = andiron_str_of(k->id);
    k->spec.client = rights_principal(req);
    k->spec.request = request_url(req);
    k->spec.level = k->level;
    k->spec.group = k->group;
    k->spec.patients = p->patients;
    k->spec.elements = p->elements;
    k->spec.ignored = p->ignored;
    k->spec.since = p->since;
    k->spec.until = p->until;
    k->spec.horizon = k->horizon.horizon;
    k->spec.time = k->horizon.horizon_time != 0 ? k->horizon.horizon_time : andiron_now();
    return store(req, k);
}

static const char *const *filters_of(struct andiron_request *req, const struct params *p, int type)
{
    const char **list =
        andiron_alloc(andiron_request_arena(req), (p->filter_count + 1) * sizeof(list[0]));
    size_t count = 0;

    for (size_t i = 0; i < p->filter_count; i++)
        if (p->filters[i].type == type)
            list[count++] = p->filters[i].query;
    return count > 0 ? list : NULL;
}

/* A type that was named must be granted; of all, those that are. */
static enum andiron_step granted(struct andiron_request *req, void *arg)
{
    struct kickoff *k = arg;
    const struct params *p = &k->params;
    struct job_type *types =
        andiron_alloc(andiron_request_arena(req), (k->rights.count + 1) * sizeof(types[0]));
    size_t count = 0;

    for (size_t i = 0; i < k->rights.count; i++) {
        const struct rights_of_type *type = &k->rights.types[i];
        int index = fhir_type(andiron_str_of(type->name));
        if (!type->is_granted && p->is_asked[index])
            return rights_refuse(req, &k->rights);
        if (!type->is_granted)
            continue;
        bool is_extra = p->with_provenance && p->has_types && !p->is_asked[index];
        types[count++] = (struct job_type){ .name = type->name,
                                            .limits = type->limits,
                                            .filters = filters_of(req, p, index),
                                            .by_target = is_extra };
    }
    if (count == 0)
        return rights_refuse(req, &k->rights);
    k->spec.types = types;
    k->spec.type_count = count;
    k->walk = (struct andiron_walk){ .settled = true, .limit = 0 };
    return k->bulk->store->walk(k->bulk->store_self, req, &k->walk, &k->horizon, horizon_known, k);
}

/* ---- types -------------------------------------------------------------------------------------- */

static bool is_shared(const char *name)
{
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
        if (strcmp(shared[i], name) == 0)
            return true;
    return false;
}

/* Whether exports of that level have the type. */
static bool is_of_level(enum job_level level, int type, bool is_named)
{
    int patient = fhir_type(ANDIRON_STR("Patient"));

    return level == JOB_SYSTEM || type == patient || fhir_compartment_has(patient, type) ||
           (is_named && is_shared(fhir_type_name(type)));
}

static int choose_types(struct andiron_request *req, struct kickoff *k)
{
    const struct params *p = &k->params;
    int provenance = fhir_type(ANDIRON_STR("Provenance"));

    k->rights.types = andiron_alloc(andiron_request_arena(req),
                                    (size_t)FHIR_TYPE_COUNT * sizeof(k->rights.types[0]));
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        bool is_named = p->is_asked[type];
        bool is_extra = p->with_provenance && type == provenance;
        if (p->has_types && !is_named && !is_extra)
            continue;
        if (!is_of_level(k->level, type, is_named)) {
            if (!is_named || p->is_lenient)
                continue;
            (void)andiron_fail(req, ANDIRON_E_INVALID,
                               "_type: %s belongs to no patient; export it by /fhir/$export",
                               fhir_type_name(type));
            return -1;
        }
        k->rights.types[k->rights.count++] =
            (struct rights_of_type){ .name = fhir_type_name(type) };
    }
    if (k->rights.count > 0)
        return 0;
    (void)andiron_fail(req, ANDIRON_E_INVALID, "_type names no type that this export could have");
    return -1;
}

/* ---- how many there are ---------------------------------------------------------------------------- */

static enum andiron_step refuse_more(struct andiron_request *req, const char *what, int64_t most)
{
    andiron_reply_header(req, "Retry-After", ANDIRON_STR("60"));
    return andiron_fail(req, ANDIRON_E_THROTTLED,
                        "%s, and there may be %lld; wait for one, or DELETE it", what,
                        (long long)most);
}

static enum andiron_step counted(struct andiron_request *req, void *arg)
{
    struct kickoff *k = arg;
    const struct bulk_config *config = k->bulk->config;
    int64_t active = 0, own = 0, kept = 0, bytes = 0;
    andiron_str who = rights_principal(req);
    struct job_state s;

    if (k->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &k->rows.error);
    for (size_t i = 0; i < k->rows.count; i++) {
        if (job_state_read(andiron_request_arena(req), &k->rows.rows[i], &s) != 0)
            continue;
        bool is_own = andiron_str_eq(s.client, who);
        active += s.status == JOB_ACTIVE;
        own += is_own && s.status == JOB_ACTIVE;
        kept += is_own;
        bytes += (int64_t)s.bytes;
    }
    if (active >= config->max_jobs || k->rows.count >= BULK_RECORDS_MAX)
        return refuse_more(req, "other exports are running", config->max_jobs);
    if (own >= config->max_jobs_per_client)
        return refuse_more(req, "this client's exports are running", config->max_jobs_per_client);
    if (kept >= config->max_kept_per_client)
        return refuse_more(req, "this client's exports are kept", config->max_kept_per_client);
    int64_t free = directory_free(k->bulk->directory);
    if ((config->quota > 0 && bytes >= config->quota) || (free >= 0 && free < config->min_free)) {
        andiron_reply_header(req, "Retry-After", ANDIRON_STR("3600"));
        return andiron_fail(req, ANDIRON_E_NO_SPACE,
                            "there is no room for files of exports until others are downloaded and "
                            "deleted, or expire");
    }
    if (choose_types(req, k) != 0)
        return ANDIRON_DONE;
    return rights_ask(req, &k->rights, granted, k);
}

static enum andiron_step count(struct andiron_request *req, struct kickoff *k)
{
    k->query = (struct andiron_query){ .type = BULK_STATE, .limit = BULK_RECORDS_MAX };
    return k->bulk->store->search(k->bulk->store_self, req, &k->query, &k->rows, counted, k);
}

/* ---- begin ------------------------------------------------------------------------------------------ */

/* The group must be there, and one that the request may read. */
static enum andiron_step group_known(struct andiron_request *req, void *arg)
{
    struct kickoff *k = arg;
    int status = andiron_reply_status(k->group_read);

    if (status == 200)
        return count(req, k);
    if (status == 403 || status == 401)
        return rights_refuse(req, &k->rights);
    return andiron_fail(req, status == 410 ? ANDIRON_E_GONE : ANDIRON_E_NOT_FOUND,
                        "Group/%.*s is not known", (int)k->group.len, k->group.data);
}

static int check_filters(struct andiron_request *req, const struct kickoff *k)
{
    struct andiron_error err;

    for (size_t i = 0; i < k->params.filter_count; i++) {
        const struct params_filter *f = &k->params.filters[i];
        if (judge_check(k->bulk, req, fhir_type_name(f->type), f->query, &err) != 0) {
            (void)andiron_fail_with(req, &err);
            return -1;
        }
    }
    return 0;
}

/* Bulk Data: Accept, and Prefer: respond-async. */
static int check_headers(struct andiron_request *req)
{
    static const char *const json[] = { "application/fhir+json", "application/json", NULL };

    if (!headers_accept(andiron_request_header(req, "accept"), json)) {
        (void)andiron_fail(req, ANDIRON_E_NOT_ACCEPTABLE,
                           "Accept must allow application/fhir+json");
        return -1;
    }
    if (!headers_prefer(andiron_request_header(req, "prefer"), "respond-async")) {
        (void)andiron_fail(req, ANDIRON_E_INVALID,
                           "$export needs the header Prefer: respond-async");
        return -1;
    }
    return 0;
}

static enum job_level level_of(struct andiron_request *req)
{
    andiron_str path = andiron_request_path(req);

    if (andiron_request_var(req, "id").data != NULL)
        return JOB_GROUP;
    return path.len == sizeof("/fhir/$export") - 1 ? JOB_SYSTEM : JOB_PATIENT;
}

enum andiron_step bulk_export(struct andiron_request *req, void *self)
{
    struct kickoff *k = andiron_new(andiron_request_arena(req), struct kickoff);
    andiron_str prefer = andiron_request_header(req, "prefer");

    k->bulk = self;
    k->level = level_of(req);
    if (check_headers(req) != 0 ||
        params_read(req, k->bulk->config, k->level, headers_prefer(prefer, "handling=lenient"),
                    &k->params) != 0 ||
        check_filters(req, k) != 0)
        return ANDIRON_DONE;
    if (k->level != JOB_GROUP)
        return count(req, k);
    k->group = andiron_request_var(req, "id");
    struct andiron_inner inner = {
        .size = sizeof(inner),
        .method = ANDIRON_STR("GET"),
        .target = andiron_str_of(andiron_printf(andiron_request_arena(req), "/fhir/Group/%.*s",
                                                (int)k->group.len, k->group.data)),
    };
    return andiron_request_run(req, &inner, &k->group_read, group_known, k);
}
