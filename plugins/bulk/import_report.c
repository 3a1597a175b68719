#include "import_report.h"

#include <stdio.h>

enum { REFUSED_MAX = 16 << 10, TEXT_ROOM = 64 << 10 };

void import_report_free(struct import_report *r)
{
    bytes_free(&r->errors);
}

/* ---- refused lines ------------------------------------------------------------------------------- */

/* "Bundle.entry[6].resource.name" as the one who sent the line knows it: "Patient.name". */
static andiron_str place_of(struct andiron_arena *arena, andiron_str place, int type)
{
    static const char before[] = "Bundle.entry[", behind[] = "].resource";
    size_t at = sizeof(before) - 1, len = sizeof(behind) - 1;

    if (place.len < at || memcmp(place.data, before, at) != 0)
        return place;
    while (at < place.len && place.data[at] >= '0' && place.data[at] <= '9')
        at++;
    if (place.len - at < len || memcmp(place.data + at, behind, len) != 0)
        return place;
    return andiron_str_of(andiron_printf(arena, "%s%.*s", fhir_type_name(type),
                                         (int)(place.len - at - len), place.data + at + len));
}

static void put_issue(struct andiron_json_writer *w, struct andiron_arena *arena,
                      andiron_json issue, int type)
{
    struct andiron_json_iter it = { .of = issue };

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it)) {
        if (!andiron_str_eq(it.name, ANDIRON_STR("expression"))) {
            andiron_json_put_member(w, it.name, it.value);
            continue;
        }
        struct andiron_json_iter place = { .of = it.value };
        andiron_json_put_array(w, "expression");
        while (andiron_json_next(&place))
            andiron_json_put_str(w, NULL, place_of(arena, andiron_json_str(place.value), type));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

/* The issues of an outcome about a line of that type. */
static andiron_str issues_of(struct andiron_arena *arena, andiron_json outcome, int type)
{
    struct andiron_json_writer *w = andiron_json_write(arena, REFUSED_MAX);
    struct andiron_json_iter it = { .of = andiron_json_get(outcome, "issue") };

    andiron_json_put_array(w, NULL);
    while (andiron_json_next(&it))
        put_issue(w, arena, it.value, type);
    andiron_json_put_end(w);
    andiron_str issues = andiron_json_written(w);
    if (issues.data != NULL && andiron_json_count(andiron_json_get(outcome, "issue")) > 0)
        return issues;
    return ANDIRON_STR(
        "[{\"severity\":\"error\",\"code\":\"processing\",\"diagnostics\":\"the line "
        "was refused\"}]");
}

/* The outcome has the line's number as its id, so that it says of itself what it is about. */
static void tell(struct import_report *r, const struct upload_line *line, int status,
                 andiron_str issues)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    const char *outcome = andiron_printf(
        arena, "{\"resourceType\":\"OperationOutcome\",\"id\":\"line-%llu\",\"issue\":",
        (unsigned long long)line->number);
    andiron_str name = line->name;

    if (!r->is_ndjson) {
        andiron_str head = andiron_str_of(andiron_printf(
            arena, "%s{\"line\":%llu%s%.*s%s,\"status\":%d,\"outcome\":", r->told > 0 ? "," : "",
            (unsigned long long)line->number, name.len > 0 ? ",\"resource\":\"" : "", (int)name.len,
            name.len > 0 ? name.data : "", name.len > 0 ? "\"" : "", status));
        bytes_add(&r->errors, head.data, head.len);
    }
    bytes_add(&r->errors, outcome, strlen(outcome));
    bytes_add(&r->errors, issues.data, issues.len);
    bytes_add(&r->errors, r->is_ndjson ? "}\n" : "}}", 2);
    andiron_arena_free(arena);
}

static void refuse(struct import_report *r, const struct upload_line *line, int status,
                   andiron_str issues)
{
    r->refused++;
    if (line->type >= 0)
        r->types[line->type].refused++;
    if (r->told >= r->most)
        return;
    tell(r, line, status, issues);
    r->told++;
}

/* A line that was not sent. */
static void refuse_wrong(struct import_report *r, const struct upload_line *line)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_json_writer *w = andiron_json_write(arena, REFUSED_MAX);

    andiron_json_put_array(w, NULL);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "severity", ANDIRON_STR("error"));
    andiron_json_put_str(w, "code", andiron_str_of(andiron_code_issue(line->wrong.code)));
    andiron_json_put_str(w, "diagnostics", andiron_str_of(line->wrong.message));
    if (line->wrong.where[0] != '\0') {
        andiron_json_put_array(w, "expression");
        andiron_json_put_str(w, NULL, andiron_str_of(line->wrong.where));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    refuse(r, line, andiron_code_http(line->wrong.code), andiron_json_written(w));
    andiron_arena_free(arena);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static int number_of(andiron_str status)
{
    int number = 0;

    for (size_t i = 0; i < 3 && i < status.len && status.data[i] >= '0' && status.data[i] <= '9';
         i++)
        number = number * 10 + (status.data[i] - '0');
    return number;
}

int import_answer_read(struct andiron_arena *arena, struct upload_batch *batch, andiron_str answer,
                       struct andiron_error *err)
{
    andiron_json root = { NULL, 0 };
    size_t open = 0;

    for (size_t i = 0; i < batch->count; i++)
        open += upload_is_open(&batch->lines[i]);
    if (andiron_json_parse(arena, answer, &root, err) != 0)
        return -1;
    struct andiron_json_iter it = { .of = andiron_json_get(root, "entry") };
    if (andiron_json_count(it.of) != open)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "",
                                 "the answer to a batch of the import has other entries");
    for (size_t i = 0; i < batch->count; i++) {
        struct upload_line *line = &batch->lines[i];
        if (!upload_is_open(line) || !andiron_json_next(&it))
            continue;
        andiron_json response = andiron_json_get(it.value, "response");
        line->status = number_of(andiron_json_str(andiron_json_get(response, "status")));
        line->outcome = andiron_json_get(response, "outcome");
    }
    return 0;
}

static void add_line(struct import_report *r, const struct upload_line *line)
{
    if (!line->is_sent) {
        refuse_wrong(r, line);
        return;
    }
    if (upload_is_open(line)) {
        struct andiron_arena *arena = andiron_arena_new(0);
        refuse(r, line, line->status, issues_of(arena, line->outcome, line->type));
        andiron_arena_free(arena);
        return;
    }
    r->stored++;
    if (line->status == 201)
        r->types[line->type].created++;
    else
        r->types[line->type].updated++;
}

void import_report_add(struct import_report *r, const struct upload_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        add_line(r, &batch->lines[i]);
    r->lines = batch->last;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

const char *import_report_type(const struct import_report *r)
{
    return r->is_ndjson ? "application/fhir+ndjson" : "application/json";
}

static andiron_str counts_text(const struct import_report *r, struct andiron_arena *arena)
{
    struct andiron_json_writer *w = andiron_json_write(arena, TEXT_ROOM);

    andiron_json_put_array(w, NULL);
    for (int i = 0; i < FHIR_TYPE_COUNT; i++) {
        const struct import_count *c = &r->types[i];
        if (c->created + c->updated + c->refused == 0)
            continue;
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "type", andiron_str_of(fhir_type_name(i)));
        andiron_json_put_int(w, "created", (int64_t)c->created);
        andiron_json_put_int(w, "updated", (int64_t)c->updated);
        andiron_json_put_int(w, "refused", (int64_t)c->refused);
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

andiron_str import_report_text(const struct import_report *r, struct andiron_arena *arena)
{
    andiron_str counts = counts_text(r, arena);
    struct bytes out = { .data = NULL };
    const char *head;

    if (r->is_ndjson)
        head = andiron_printf(
            arena,
            "{\"resourceType\":\"OperationOutcome\",\"id\":\"summary\",\"issue\":[{\"severity\":"
            "\"information\",\"code\":\"informational\",\"diagnostics\":\"%llu lines: %llu "
            "resources stored, %llu refused, of which %llu are told\"}]}\n",
            (unsigned long long)r->lines, (unsigned long long)r->stored,
            (unsigned long long)r->refused, (unsigned long long)r->told);
    else
        head = andiron_printf(arena,
                              "{\"complete\":true,\"lines\":%llu,\"stored\":%llu,\"refused\":%llu,"
                              "\"output\":%.*s,\"errorsOmitted\":%llu,\"error\":[",
                              (unsigned long long)r->lines, (unsigned long long)r->stored,
                              (unsigned long long)r->refused, (int)counts.len, counts.data,
                              (unsigned long long)(r->refused - r->told));
    bytes_add(&out, head, strlen(head));
    bytes_add(&out, r->errors.data, r->errors.len);
    if (!r->is_ndjson)
        bytes_add(&out, "]}", 2);
    andiron_str text = { andiron_copy(arena, (andiron_str){ out.data, out.len }), out.len };
    bytes_free(&out);
    return text;
}
