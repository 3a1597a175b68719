#include "judge.h"

#include <stdlib.h>

#include "common/fhir/compartments.h"
#include "common/fhir/subset.h"
#include "common/fhir/types.h"

enum { SCRATCH_ROWS = 64, SCRATCH_BYTES = 64 << 10 };

/* ---- patients ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const andiron_str *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int by_text = len > 0 ? memcmp(x->data, y->data, len) : 0;

    return by_text != 0 ? by_text : (x->len > y->len) - (x->len < y->len);
}

void judge_patients_sort(andiron_str *ids, size_t count)
{
    if (count > 1)
        qsort(ids, count, sizeof(ids[0]), compare);
}

static bool is_patient(const struct judge *j, andiron_str id)
{
    return j->patients == NULL ||
           (j->patients->count > 0 &&
            bsearch(&id, j->patients->ids, j->patients->count, sizeof(id), compare) != NULL);
}

/*
 * Whether the text of a resource could refer to one of the patients: false only if it cannot. Most
 * belong to others where few are asked for, and need not be read for that. An escape may hide a
 * name, so what has one is read.
 */
static bool may_refer(const struct judge *j, andiron_str body)
{
    static const char name[] = "Patient/";
    const size_t len = sizeof(name) - 1;
    const char *end = body.data + body.len, *at = body.data;

    if (j->patients == NULL || memchr(body.data, '\\', body.len) != NULL)
        return true;
    while ((at = memmem(at, (size_t)(end - at), name, len)) != NULL) {
        andiron_str id = { at + len, 0 };
        while (id.data + id.len < end && id.data[id.len] != '"' && id.data[id.len] != '/' &&
               id.data[id.len] != '|' && id.data[id.len] != '#')
            id.len++;
        if (is_patient(j, id))
            return true;
        at += len;
    }
    return false;
}

/* R4 CompartmentDefinition: some parameter of the type that leads to the patient does. */
static bool belongs_to_patient(const struct judge *j, andiron_str id,
                               const struct andiron_term *terms, size_t count)
{
    const char *param;

    if (j->index == j->patient)
        return is_patient(j, id);
    for (size_t pos = 0; (param = fhir_compartment_param(j->patient, j->index, &pos)) != NULL;)
        for (size_t i = 0; i < count; i++)
            if (terms[i].kind == ANDIRON_TERM_REFERENCE && terms[i].group == 0 &&
                strcmp(terms[i].param, param) == 0 &&
                andiron_str_eq(terms[i].system, ANDIRON_STR("Patient")) &&
                is_patient(j, terms[i].text))
                return true;
    return false;
}

/* Provenance that is about a type which is exported, too. */
static bool is_about_exported(const struct judge *j, const struct andiron_term *terms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (terms[i].kind != ANDIRON_TERM_REFERENCE || strcmp(terms[i].param, "target") != 0)
            continue;
        for (size_t t = 0; t < j->spec->type_count; t++)
            if (andiron_str_eq(terms[i].system, andiron_str_of(j->spec->types[t].name)))
                return true;
    }
    return false;
}

/* ---- filters -------------------------------------------------------------------------------- */

/* Filters that are put together in a request's arena. */
struct list {
    const struct andiron_filter **args;
    size_t count;
};

static const struct andiron_filter *joined(struct andiron_arena *arena, enum andiron_filter_op op,
                                           const struct list *list)
{
    struct andiron_filter *filter = andiron_new(arena, struct andiron_filter);

    if (list->count == 1)
        return list->args[0];
    filter->op = op;
    filter->args = list->args;
    filter->arg_count = list->count;
    return filter;
}

/* *ret NULL: one of the expressions is met by everything. */
static int any_of(const struct bulk *bulk, struct andiron_request *req, const char *type,
                  const char *const *expressions, const struct andiron_filter **ret,
                  struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct list list = { .count = 0 };
    size_t count = 0;
    bool all = false;

    while (expressions[count] != NULL)
        count++;
    list.args = andiron_alloc(arena, (count + 1) * sizeof(list.args[0]));
    for (size_t i = 0; i < count; i++) {
        const struct andiron_filter *one;
        if (bulk->search->select(bulk->search_self, req, andiron_str_of(type),
                                 andiron_str_of(expressions[i]), ANDIRON_ACCESS_SEARCH, &one,
                                 err) != 0)
            return -1;
        all |= one == NULL;
        list.args[list.count++] = one;
    }
    *ret = all ? NULL : joined(arena, ANDIRON_FILTER_OR, &list);
    return 0;
}

static int compile(struct judge *j, struct andiron_request *req)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct job_type *type = j->type;
    struct list all = { .count = 0 };
    const struct andiron_filter *one;
    size_t count = 0;

    while (type->limits != NULL && type->limits[count] != NULL)
        count++;
    all.args = andiron_alloc(arena, (count + 1) * sizeof(all.args[0]));
    for (size_t i = 0; i < count; i++) {
        if (any_of(j->bulk, req, type->name, type->limits[i], &one, &j->error) != 0)
            return -1;
        if (one != NULL)
            all.args[all.count++] = one;
    }
    if (type->filters != NULL && type->filters[0] != NULL) {
        if (any_of(j->bulk, req, type->name, type->filters, &one, &j->error) != 0)
            return -1;
        if (one != NULL)
            all.args[all.count++] = one;
    }
    j->filter = all.count > 0 ? joined(arena, ANDIRON_FILTER_AND, &all) : NULL;
    return 0;
}

/* Whether a filter asks about other resources. */
static bool looks_elsewhere(const struct andiron_filter *f)
{
    if (f == NULL)
        return false;
    if (f->op == ANDIRON_FILTER_CHAIN || f->op == ANDIRON_FILTER_HAS)
        return true;
    for (size_t i = 0; i < f->arg_count; i++)
        if (looks_elsewhere(f->args[i]))
            return true;
    return false;
}

int judge_check(const struct bulk *bulk, struct andiron_request *req, const char *type,
                const char *query, struct andiron_error *err)
{
    const struct andiron_filter *filter;

    if (bulk->search->select(bulk->search_self, req, andiron_str_of(type), andiron_str_of(query),
                             ANDIRON_ACCESS_SEARCH, &filter, err) != 0)
        return -1;
    if (looks_elsewhere(filter))
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "_typeFilter: %s is judged by what each resource says itself, so "
                                 "chained parameters and _has cannot be in it",
                                 type);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------- */

int judge_begin(struct judge *ret, const struct bulk *bulk, const struct job_spec *spec,
                const struct job_type *type, const struct judge_patients *patients,
                struct andiron_request *req)
{
    int index = fhir_type(andiron_str_of(type->name));
    int patient = fhir_type(ANDIRON_STR("Patient"));

    *ret = (struct judge){ .bulk = bulk,
                           .spec = spec,
                           .type = type,
                           .index = index,
                           .patient = patient,
                           .patients = patients,
                           .by_target = type->by_target };
    ret->by_patient = spec->level != JOB_SYSTEM &&
                      (index == patient ? patients != NULL : fhir_compartment_has(patient, index));
    if (compile(ret, req) != 0)
        return -1;
    ret->reads = ret->filter != NULL || ret->by_patient || ret->by_target || spec->elements != NULL;
    return 0;
}

void judge_end(struct judge *j)
{
    andiron_arena_free(j->scratch);
    j->scratch = NULL;
}

/* Whether the version belongs into the export; -1: j->error. */
static int is_wanted(struct judge *j, const struct andiron_row *row)
{
    const struct andiron_term *terms;
    andiron_json resource;
    size_t count;

    if (j->filter == NULL && !j->by_patient && !j->by_target)
        return 1;
    if (j->by_patient && j->index != j->patient && !may_refer(j, row->body))
        return 0;
    if (j->by_patient && j->index == j->patient && !is_patient(j, row->ref.id))
        return 0;
    if (andiron_json_parse(j->scratch, row->body, &resource, &j->error) != 0)
        return JUDGE_DAMAGED;
    if (j->bulk->search->extract(j->bulk->search_self, j->scratch, resource, &terms, &count,
                                 &j->error) != 0)
        return -1;
    if ((j->by_patient && !belongs_to_patient(j, row->ref.id, terms, count)) ||
        (j->by_target && !is_about_exported(j, terms, count)))
        return 0;
    if (j->filter == NULL)
        return 1;
    /* The store knows _lastUpdated itself; here it is a term like others. */
    struct andiron_term *all = andiron_alloc(j->scratch, (count + 1) * sizeof(all[0]));
    if (count > 0)
        memcpy(all, terms, count * sizeof(all[0]));
    all[count] = (struct andiron_term){ .param = "_lastUpdated",
                                        .kind = ANDIRON_TERM_DATE,
                                        .range.date = { row->updated, row->updated + 1 } };
    return j->bulk->search->matches(j->bulk->search_self, j->filter, row->ref.id, all, count + 1);
}

/* What every body looks like, even if nothing else is looked at: one line, and an object. */
static bool is_line(andiron_str body)
{
    return body.len >= 2 && body.data[0] == '{' && body.data[body.len - 1] == '}' &&
           memchr(body.data, '\n', body.len) == NULL && memchr(body.data, 0, body.len) == NULL;
}

static int damaged(struct judge *j, const char *why)
{
    (void)andiron_error_set(&j->error, ANDIRON_E_STRUCTURE, "", "%s", why);
    return JUDGE_DAMAGED;
}

int judge_row(struct judge *j, const struct andiron_row *row, andiron_str *ret_line)
{
    *ret_line = row->body;
    if (row->body.data == NULL)
        return damaged(j, "the storage of it is damaged");
    if (!is_line(row->body))
        return damaged(j, "the stored text is not a JSON object on one line");
    if (!j->reads)
        return 1;
    if (j->scratch == NULL || j->scratch_rows++ % SCRATCH_ROWS == 0) {
        andiron_arena_free(j->scratch);
        j->scratch = andiron_arena_new(SCRATCH_BYTES);
    }
    int wanted = is_wanted(j, row);
    if (wanted == 1 && j->spec->elements != NULL)
        *ret_line = fhir_subset(j->scratch, j->type->name, j->index, ANDIRON_SUBSET_ELEMENTS,
                                j->spec->elements, row->body);
    if (ret_line->data == NULL)
        return damaged(j, "the stored text cannot be read");
    return wanted;
}
