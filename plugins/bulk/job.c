#include "job.h"

#include <stdio.h>

#include "bulk.h"
#include "common/fhir/types.h"

static const char *const levels[] = { "system", "patient", "group" };
static const char *const statuses[] = { "active", "done", "failed" };
static const char *const kinds[] = { "output", "deleted", "error" };

/* ---- writing ------------------------------------------------------------------------------ */

static void put_list(struct andiron_json_writer *w, const char *name, const char *const *list)
{
    if (list == NULL)
        return;
    andiron_json_put_array(w, name);
    for (size_t i = 0; list[i] != NULL; i++)
        andiron_json_put_str(w, NULL, andiron_str_of(list[i]));
    andiron_json_put_end(w);
}

static void put_type(struct andiron_json_writer *w, const struct job_type *type)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "type", andiron_str_of(type->name));
    if (type->limits != NULL && type->limits[0] != NULL) {
        andiron_json_put_array(w, "limits");
        for (size_t i = 0; type->limits[i] != NULL; i++)
            put_list(w, NULL, type->limits[i]);
        andiron_json_put_end(w);
    }
    put_list(w, "filters", type->filters);
    if (type->by_target)
        andiron_json_put_bool(w, "byTarget", true);
    andiron_json_put_end(w);
}

static void put_time(struct andiron_json_writer *w, const char *name, andiron_usec at)
{
    if (at != 0)
        andiron_json_put_int(w, name, at);
}

andiron_str job_spec_text(struct andiron_arena *arena, const struct job_spec *spec)
{
    struct andiron_json_writer *w = andiron_json_write(arena, BULK_RECORD_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR(BULK_EXPORT));
    andiron_json_put_str(w, "id", spec->id);
    andiron_json_put_str(w, "client", spec->client);
    andiron_json_put_str(w, "request", spec->request);
    andiron_json_put_str(w, "level", andiron_str_of(levels[spec->level]));
    andiron_json_put_str(w, "group", spec->group);
    put_list(w, "patients", spec->patients);
    put_time(w, "since", spec->since);
    put_time(w, "until", spec->until);
    put_time(w, "time", spec->time);
    andiron_json_put_str(w, "horizon", spec->horizon);
    put_list(w, "elements", spec->elements);
    put_list(w, "ignored", spec->ignored);
    andiron_json_put_array(w, "types");
    for (size_t i = 0; i < spec->type_count; i++)
        put_type(w, &spec->types[i]);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static void put_file(struct andiron_json_writer *w, const struct job_file *file)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "kind", andiron_str_of(kinds[file->kind]));
    andiron_json_put_str(w, "type", andiron_str_of(file->type));
    andiron_json_put_str(w, "name", andiron_str_of(file->name));
    andiron_json_put_int(w, "bytes", (int64_t)file->bytes);
    andiron_json_put_int(w, "count", (int64_t)file->count);
    andiron_json_put_end(w);
}

andiron_str job_state_text(struct andiron_arena *arena, const struct job_state *s)
{
    struct andiron_json_writer *w = andiron_json_write(arena, BULK_RECORD_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR(BULK_STATE));
    andiron_json_put_str(w, "id", s->id);
    andiron_json_put_str(w, "status", andiron_str_of(statuses[s->status]));
    andiron_json_put_str(w, "client", s->client);
    andiron_json_put_str(w, "owner", s->owner);
    andiron_json_put_str(w, "directory", s->directory);
    put_time(w, "lease", s->lease);
    andiron_json_put_int(w, "epoch", (int64_t)s->epoch);
    andiron_json_put_int(w, "attempts", (int64_t)s->attempts);
    put_time(w, "created", s->created);
    put_time(w, "finished", s->finished);
    put_time(w, "expires", s->expires);
    andiron_json_put_int(w, "typeAt", (int64_t)s->type_at);
    andiron_json_put_int(w, "typeCount", (int64_t)s->type_count);
    andiron_json_put_str(w, "cursor", s->cursor);
    andiron_json_put_int(w, "resources", (int64_t)s->resources);
    andiron_json_put_int(w, "typeSeen", (int64_t)s->type_seen);
    andiron_json_put_int(w, "typeTotal", (int64_t)s->type_total);
    andiron_json_put_int(w, "bytes", (int64_t)s->bytes);
    andiron_json_put_array(w, "files");
    for (size_t i = 0; i < s->file_count; i++)
        put_file(w, &s->files[i]);
    andiron_json_put_end(w);
    if (s->status == JOB_FAILED) {
        andiron_json_put_int(w, "errorCode", s->error_code);
        andiron_json_put_str(w, "error", s->error);
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

/* ---- reading ------------------------------------------------------------------------------ */

static int choice(andiron_json v, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (andiron_str_eq(andiron_json_str(v), andiron_str_of(names[i])))
            return (int)i;
    return -1;
}

static const char *const *read_list(struct andiron_arena *arena, andiron_json v)
{
    size_t count = andiron_json_count(v);

    if (andiron_json_type(v) != ANDIRON_JSON_ARRAY)
        return NULL;
    const char **list = andiron_alloc(arena, (count + 1) * sizeof(list[0]));
    for (size_t i = 0; i < count; i++)
        list[i] = andiron_copy(arena, andiron_json_str(andiron_json_at(v, i)));
    return list;
}

static int read_type(struct andiron_arena *arena, andiron_json v, struct job_type *ret)
{
    andiron_json limits = andiron_json_get(v, "limits");
    size_t count = andiron_json_count(limits);
    int type = fhir_type(andiron_json_str(andiron_json_get(v, "type")));
    const char *const **lists = andiron_alloc(arena, (count + 1) * sizeof(lists[0]));

    for (size_t i = 0; i < count; i++)
        lists[i] = read_list(arena, andiron_json_at(limits, i));
    *ret = (struct job_type){ .name = fhir_type_name(type),
                              .limits = lists,
                              .filters = read_list(arena, andiron_json_get(v, "filters")),
                              .by_target = andiron_json_true(andiron_json_get(v, "byTarget")) };
    return type < 0 ? -1 : 0;
}

static int64_t number(andiron_json record, const char *name)
{
    return andiron_json_int(andiron_json_get(record, name), 0);
}

static andiron_str text(andiron_json record, const char *name)
{
    return andiron_json_str(andiron_json_get(record, name));
}

int job_spec_read(struct andiron_arena *arena, andiron_str from, struct job_spec *ret)
{
    andiron_json r, types;
    struct job_type *list;

    if (andiron_json_parse(arena, from, &r, NULL) != 0)
        return -1;
    types = andiron_json_get(r, "types");
    *ret = (struct job_spec){ .id = text(r, "id"),
                              .client = text(r, "client"),
                              .request = text(r, "request"),
                              .group = text(r, "group"),
                              .patients = read_list(arena, andiron_json_get(r, "patients")),
                              .since = number(r, "since"),
                              .until = number(r, "until"),
                              .time = number(r, "time"),
                              .horizon = text(r, "horizon"),
                              .elements = read_list(arena, andiron_json_get(r, "elements")),
                              .ignored = read_list(arena, andiron_json_get(r, "ignored")),
                              .type_count = andiron_json_count(types) };
    int level = choice(andiron_json_get(r, "level"), levels, 3);
    if (level < 0)
        return -1;
    ret->level = (enum job_level)level;
    list = andiron_alloc(arena, (ret->type_count + 1) * sizeof(list[0]));
    for (size_t i = 0; i < ret->type_count; i++)
        if (read_type(arena, andiron_json_at(types, i), &list[i]) != 0)
            return -1;
    ret->types = list;
    return 0;
}

static int read_file(andiron_json v, struct job_file *ret)
{
    andiron_str name = text(v, "name");
    int kind = choice(andiron_json_get(v, "kind"), kinds, 3);
    int type = fhir_type(text(v, "type"));

    *ret = (struct job_file){ .kind = (enum job_kind)kind,
                              .type = type >= 0 ? fhir_type_name(type) : "",
                              .bytes = (uint64_t)number(v, "bytes"),
                              .count = (uint64_t)number(v, "count") };
    if (kind < 0 || name.len == 0 || name.len >= sizeof(ret->name))
        return -1;
    memcpy(ret->name, name.data, name.len);
    return 0;
}

int job_state_read(struct andiron_arena *arena, const struct andiron_row *row,
                   struct job_state *ret)
{
    andiron_json r, files;
    struct job_file *list;

    if (andiron_json_parse(arena, row->body, &r, NULL) != 0)
        return -1;
    files = andiron_json_get(r, "files");
    *ret = (struct job_state){ .id = text(r, "id"),
                               .client = text(r, "client"),
                               .owner = text(r, "owner"),
                               .directory = text(r, "directory"),
                               .lease = number(r, "lease"),
                               .epoch = (uint64_t)number(r, "epoch"),
                               .attempts = (uint64_t)number(r, "attempts"),
                               .created = number(r, "created"),
                               .finished = number(r, "finished"),
                               .expires = number(r, "expires"),
                               .type_at = (size_t)number(r, "typeAt"),
                               .type_count = (size_t)number(r, "typeCount"),
                               .cursor = text(r, "cursor"),
                               .resources = (uint64_t)number(r, "resources"),
                               .type_seen = (uint64_t)number(r, "typeSeen"),
                               .type_total = (uint64_t)number(r, "typeTotal"),
                               .bytes = (uint64_t)number(r, "bytes"),
                               .file_count = andiron_json_count(files),
                               .error_code = (int)number(r, "errorCode"),
                               .error = text(r, "error"),
                               .version = row->ref.version };
    int status = choice(andiron_json_get(r, "status"), statuses, 3);
    if (status < 0)
        return -1;
    ret->status = (enum job_status)status;
    list = andiron_alloc(arena, (ret->file_count + 1) * sizeof(list[0]));
    for (size_t i = 0; i < ret->file_count; i++)
        if (read_file(andiron_json_at(files, i), &list[i]) != 0)
            return -1;
    ret->files = list;
    return 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

static void stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    (void)arena;
    write->body = *(const andiron_str *)state;
}

struct andiron_write job_write(struct andiron_arena *arena, const char *type, andiron_str id,
                               andiron_str body)
{
    andiron_str *kept = andiron_new(arena, andiron_str);

    *kept = body;
    return (struct andiron_write){ .ref = { .type = andiron_str_of(type), .id = id },
                                   .stamp = stamp,
                                   .stamp_state = kept };
}

bool job_is_id(andiron_str s)
{
    if (s.len != BULK_ID_LEN)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!((s.data[i] >= '0' && s.data[i] <= '9') || (s.data[i] >= 'a' && s.data[i] <= 'f')))
            return false;
    return true;
}
