#include "params.h"

#include <stdio.h>

#include "common/fhir/dates.h"

enum { ELEMENTS_MAX = 1000, IGNORED_MAX = 100, QUOTED = 60 };

/* For messages: cut, so that they stay readable. */
static int quoted(andiron_str s)
{
    return (int)(s.len < QUOTED ? s.len : QUOTED);
}

/* The next of a list separated by commas; false at the end. */
static bool next_of_list(andiron_str *rest, andiron_str *ret)
{
    if (rest->len == 0)
        return false;
    const char *comma = memchr(rest->data, ',', rest->len);
    size_t len = comma != NULL ? (size_t)(comma - rest->data) : rest->len;

    *ret = (andiron_str){ rest->data, len };
    rest->data += comma != NULL ? len + 1 : len;
    rest->len -= comma != NULL ? len + 1 : len;
    return true;
}

/* Appends to a NULL-terminated list that grows by doubling. */
static void append(struct andiron_arena *arena, const char ***list, size_t *count, andiron_str s)
{
    if (*list == NULL ||
        (*count & (*count + 1)) == 0) { /* 0, 1, 3, 7 ..: there is no room for NULL */
        const char **grown = andiron_alloc(arena, (2 * *count + 2) * sizeof(grown[0]));
        if (*list != NULL)
            memcpy(grown, *list, *count * sizeof(grown[0]));
        *list = grown;
    }
    (*list)[(*count)++] = andiron_copy(arena, s);
}

static int ignore(struct params *p, andiron_str name, struct andiron_error *err, const char *why)
{
    if (!p->is_lenient)
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "%.*s: %s; with Prefer: handling=lenient it is passed over",
                                 quoted(name), name.data, why);
    if (p->ignored_count < IGNORED_MAX)
        append(p->arena, &p->ignored, &p->ignored_count,
               (andiron_str){ name.data, (size_t)quoted(name) });
    return 0;
}

/* ---- single parameters ---------------------------------------------------------------------- */

static int take_format(struct params *p, andiron_str value, struct andiron_error *err)
{
    static const char *const formats[] = { "application/fhir+ndjson", "application/ndjson",
                                           "ndjson" };
    (void)p;
    for (size_t i = 0; i < 3; i++) {
        andiron_str known = andiron_str_of(formats[i]);
        if (andiron_str_eq(value, known))
            return 0;
        /* A '+' that was not encoded is a blank. */
        if (i == 0 && value.len == known.len &&
            memcmp(value.data, "application/fhir ndjson", 23) == 0)
            return 0;
    }
    return andiron_error_set(err, ANDIRON_E_INVALID, "",
                             "_outputFormat must be application/fhir+ndjson, application/ndjson or "
                             "ndjson");
}

static int take_time(const char *name, andiron_str value, andiron_usec *ret,
                     struct andiron_error *err)
{
    struct fhir_date date;

    if (*ret != 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, "", "%s may be given once", name);
    if (fhir_date_parse(value, &date) != 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "%s must be an instant, such as 2024-08-29T15:51:05Z", name);
    *ret = date.low > 0 ? date.low : 1;
    return 0;
}

static int take_types(struct params *p, andiron_str value, struct andiron_error *err)
{
    andiron_str name;

    p->has_types = true;
    while (next_of_list(&value, &name)) {
        int type = fhir_type(name);
        if (type >= 0)
            p->is_asked[type] = true;
        else if (!p->is_lenient)
            return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                     "_type: there is no FHIR resource type \"%.*s\"", quoted(name),
                                     name.data);
        else if (ignore(p, name, err, "") != 0)
            return -1;
    }
    return 0;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Whether "Name?" stands there. */
static bool begins_filter(andiron_str s)
{
    size_t len = 0;

    while (len < s.len && is_letter(s.data[len]))
        len++;
    return len > 0 && s.data[0] <= 'Z' && len < s.len && s.data[len] == '?';
}

bool params_next_filter(andiron_str *rest, andiron_str *ret_type, andiron_str *ret_query)
{
    size_t end = 0;

    if (rest->len == 0)
        return false;
    for (; end < rest->len; end++)
        if (rest->data[end] == ',' &&
            begins_filter((andiron_str){ rest->data + end + 1, rest->len - end - 1 }))
            break;
    andiron_str one = { rest->data, end };
    size_t skip = end < rest->len ? end + 1 : end;
    rest->data += skip;
    rest->len -= skip;
    const char *mark = memchr(one.data, '?', one.len);
    *ret_type = (andiron_str){ one.data, mark != NULL ? (size_t)(mark - one.data) : one.len };
    *ret_query = (andiron_str){ NULL, 0 };
    if (mark != NULL)
        *ret_query = (andiron_str){ mark + 1, one.len - ret_type->len - 1 };
    return true;
}

static int take_filters(struct params *p, andiron_str value, struct andiron_error *err)
{
    andiron_str type, query;

    while (params_next_filter(&value, &type, &query)) {
        int index = fhir_type(type);
        if (index < 0 || query.len == 0)
            return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                     "_typeFilter must be searches such as "
                                     "Observation?status=final, not \"%.*s\"",
                                     quoted(type), type.data);
        if ((int64_t)p->filter_count == p->config->max_filters)
            return andiron_error_set(err, ANDIRON_E_TOO_LARGE, "",
                                     "_typeFilter may have %lld searches at most (max-filters)",
                                     (long long)p->config->max_filters);
        if (p->filters == NULL)
            p->filters =
                andiron_alloc(p->arena, (size_t)p->config->max_filters * sizeof(p->filters[0]));
        p->filters[p->filter_count++] =
            (struct params_filter){ index, andiron_copy(p->arena, query) };
    }
    return 0;
}

static int take_elements(struct params *p, andiron_str value, struct andiron_error *err)
{
    andiron_str one;

    while (next_of_list(&value, &one)) {
        const char *dot = one.len > 0 ? memchr(one.data, '.', one.len) : NULL;
        bool good = one.len > 0 && p->element_count < ELEMENTS_MAX;
        for (size_t i = 0; good && i < one.len; i++)
            good = is_letter(one.data[i]) || (one.data + i == dot && i > 0 && i + 1 < one.len);
        if (good && dot != NULL)
            good = fhir_type((andiron_str){ one.data, (size_t)(dot - one.data) }) >= 0;
        if (!good)
            return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                     "_elements must name top-level elements, as \"status\" or "
                                     "\"Observation.status\", not \"%.*s\"",
                                     quoted(one), one.data);
        append(p->arena, &p->elements, &p->element_count, one);
    }
    return 0;
}

static bool is_id(andiron_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter(s.data[i]) && !(s.data[i] >= '0' && s.data[i] <= '9') && s.data[i] != '-' &&
            s.data[i] != '.')
            return false;
    return s.len > 0 && s.len <= 64;
}

/* A reference: "Patient/a", or a URL that ends so. */
static int take_patient(struct params *p, andiron_str value, struct andiron_error *err)
{
    static const andiron_str prefix = { "Patient/", 8 };
    size_t at = value.len;

    if (p->level == JOB_SYSTEM)
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "patient belongs to Patient/$export and Group/[id]/$export");
    if (p->is_get)
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "patient is taken by POST alone, so that no URL names patients");
    while (at > 0 && value.data[at - 1] != '/')
        at--;
    andiron_str id = { value.data + at, value.len - at };
    bool named = at >= prefix.len &&
                 memcmp(value.data + at - prefix.len, prefix.data, prefix.len) == 0 &&
                 (at == prefix.len || value.data[at - prefix.len - 1] == '/');
    if (!named || !is_id(id))
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "patient must be a reference such as Patient/123");
    if ((int64_t)p->patient_count == p->config->max_patients)
        return andiron_error_set(err, ANDIRON_E_TOO_LARGE, "",
                                 "patient may be given %lld times at most (max-patients)",
                                 (long long)p->config->max_patients);
    append(p->arena, &p->patients, &p->patient_count, id);
    return 0;
}

static int take_associated(struct params *p, andiron_str value, struct andiron_error *err)
{
    andiron_str one;

    while (next_of_list(&value, &one)) {
        if (andiron_str_eq(one, ANDIRON_STR("RelevantProvenanceResources")))
            p->with_provenance = true;
        else if (ignore(p, ANDIRON_STR("includeAssociatedData"), err,
                        "of its codes only RelevantProvenanceResources is supported") != 0)
            return -1;
    }
    return 0;
}

int params_take(struct params *p, andiron_str name, andiron_str value, struct andiron_error *err)
{
    if (andiron_str_eq(name, ANDIRON_STR("_outputFormat")))
        return take_format(p, value, err);
    if (andiron_str_eq(name, ANDIRON_STR("_since")))
        return take_time("_since", value, &p->since, err);
    if (andiron_str_eq(name, ANDIRON_STR("_until")))
        return take_time("_until", value, &p->until, err);
    if (andiron_str_eq(name, ANDIRON_STR("_type")))
        return take_types(p, value, err);
    if (andiron_str_eq(name, ANDIRON_STR("_typeFilter")))
        return take_filters(p, value, err);
    if (andiron_str_eq(name, ANDIRON_STR("_elements")))
        return take_elements(p, value, err);
    if (andiron_str_eq(name, ANDIRON_STR("patient")))
        return take_patient(p, value, err);
    if (andiron_str_eq(name, ANDIRON_STR("includeAssociatedData")))
        return take_associated(p, value, err);
    if (andiron_str_eq(name, ANDIRON_STR("_format")) ||
        andiron_str_eq(name, ANDIRON_STR("_pretty")))
        return 0; /* of answers, which are JSON */
    return ignore(p, name, err, "is not a parameter of $export");
}

/* ---- all of them ------------------------------------------------------------------------------ */

/* value[x] as text: of a string its content, of a Reference its reference; else what stands there. */
static andiron_str value_of(andiron_json parameter)
{
    struct andiron_json_iter it = { .of = parameter };

    while (andiron_json_next(&it)) {
        if (it.name.len < 6 || memcmp(it.name.data, "value", 5) != 0)
            continue;
        if (andiron_json_type(it.value) == ANDIRON_JSON_OBJECT)
            return andiron_json_str(andiron_json_get(it.value, "reference"));
        andiron_str text = andiron_json_str(it.value);
        return text.data != NULL ? text : andiron_json_raw(it.value);
    }
    return (andiron_str){ NULL, 0 };
}

static int take_posted(struct andiron_request *req, struct params *p, struct andiron_error *err)
{
    struct andiron_json_iter it = { 0 };
    andiron_json body;

    if (andiron_request_body(req).len == 0)
        return 0;
    if (andiron_request_json(req, &body) != 0)
        return 1;
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(body, "resourceType")),
                        ANDIRON_STR("Parameters")))
        return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                 "what is posted to $export must be Parameters");
    it.of = andiron_json_get(body, "parameter");
    while (andiron_json_type(it.of) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "name"));
        andiron_str value = value_of(it.value);
        if (name.data == NULL || value.data == NULL)
            return andiron_error_set(err, ANDIRON_E_INVALID, "Parameters.parameter",
                                     "each parameter needs a name and a value[x]");
        if (params_take(p, name, value, err) != 0)
            return -1;
    }
    return 0;
}

static int check_together(const struct params *p, struct andiron_error *err)
{
    if (p->since != 0 && p->until != 0 && p->until <= p->since)
        return andiron_error_set(err, ANDIRON_E_INVALID, "", "_until must be later than _since");
    for (size_t i = 0; i < p->filter_count; i++)
        if (p->has_types && !p->is_asked[p->filters[i].type])
            return andiron_error_set(err, ANDIRON_E_INVALID, "",
                                     "_typeFilter is about %s, which _type does not name",
                                     fhir_type_name(p->filters[i].type));
    return 0;
}

int params_read(struct andiron_request *req, const struct bulk_config *config, enum job_level level,
                bool is_lenient, struct params *ret)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_str name, value;
    int rc = 0;

    *ret = (struct params){ .arena = andiron_request_arena(req),
                            .config = config,
                            .level = level,
                            .is_lenient = is_lenient,
                            .is_get =
                                andiron_str_eq(andiron_request_method(req), ANDIRON_STR("GET")) };
    for (size_t pos = 0; rc == 0 && andiron_request_param(req, &pos, &name, &value);)
        rc = params_take(ret, name, value, &err);
    if (rc == 0)
        rc = take_posted(req, ret, &err);
    if (rc == 0)
        rc = check_together(ret, &err);
    if (rc < 0)
        (void)andiron_fail_with(req, &err);
    return rc == 0 ? 0 : -1;
}
