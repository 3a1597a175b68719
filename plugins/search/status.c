/*
 * What is known of the parameters that SearchParameters define: GET
 * /fhir/SearchParameter/$index-status, how far their indexes are; and search/1 parameter(), for
 * CapabilityStatements.
 */
#include "builder.h"
#include "common/fhir/types.h"

enum { STATUS_MAX = 1024 * 1024 };

/* ---- $index-status -------------------------------------------------------------------- */

static void put_part(struct andiron_json_writer *w, const char *name, const char *type,
                     andiron_str value)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "name", andiron_str_of(name));
    andiron_json_put_str(w, type, value);
    andiron_json_put_end(w);
}

static void put_number(struct andiron_json_writer *w, const char *name, int64_t value)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "name", andiron_str_of(name));
    /* valueInteger ends at 2^31 (R4 datatypes.html) */
    andiron_json_put_int(w, "valueInteger", value < INT32_MAX ? value : INT32_MAX);
    andiron_json_put_end(w);
}

static void put_definition(struct andiron_json_writer *w, struct andiron_arena *arena,
                           const struct definition *d)
{
    const struct record *r = d->record;
    bool is_ready = r != NULL && r->state == RECORD_READY;
    const char *reference = andiron_printf(arena, "SearchParameter/%s", d->id);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "name", ANDIRON_STR("index"));
    andiron_json_put_array(w, "part");
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "name", ANDIRON_STR("definition"));
    andiron_json_put_object(w, "valueReference");
    andiron_json_put_str(w, "reference", andiron_str_of(reference));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    if (d->refused != NULL) {
        put_part(w, "state", "valueCode", ANDIRON_STR("refused"));
        put_part(w, "reason", "valueString", andiron_str_of(d->refused));
    } else {
        put_part(w, "code", "valueCode", andiron_str_of(d->custom->code));
        put_part(w, "state", "valueCode",
                 is_ready ? ANDIRON_STR("ready") : ANDIRON_STR("building"));
        put_number(w, "percent", is_ready ? 100 : d->building.percent);
        put_number(w, "indexed", r != NULL ? r->done : 0);
        put_number(w, "total", r != NULL ? r->total : 0);
    }
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

enum andiron_step search_status(struct andiron_request *req, void *self)
{
    const struct search *search = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct snapshot *s = models_now(search->models, arena);
    struct andiron_json_writer *w = andiron_json_write(arena, STATUS_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("Parameters"));
    if (s->definition_count > 0)
        andiron_json_put_array(w, "parameter");
    for (size_t i = 0; i < s->definition_count; i++)
        put_definition(w, arena, &s->definitions[i]);
    if (s->definition_count > 0)
        andiron_json_put_end(w);
    andiron_json_put_end(w);
    return andiron_reply(req, 200, "application/fhir+json", andiron_json_written(w));
}

/* ---- search/1 parameter() ----------------------------------------------------------------- */

bool search_parameter(const struct snapshot *s, struct andiron_arena *arena, andiron_str type,
                      size_t *pos, struct andiron_search_parameter *ret)
{
    struct search_type of;
    size_t count;

    if (!model_type(&s->model, type, &of))
        return false;
    const struct model_custom *customs = model_customs(&of, &count);
    while (*pos < count && customs[*pos].param.building != NULL)
        (*pos)++;
    if (*pos >= count)
        return false;
    const struct model_custom *custom = &customs[(*pos)++];
    const char **targets =
        andiron_alloc(arena, (custom->param.target_count + 1) * sizeof(*targets));
    for (size_t i = 0; i < custom->param.target_count; i++)
        targets[i] = fhir_type_name(custom->param.targets[i]);
    *ret = (struct andiron_search_parameter){ .code = custom->param.code,
                                              .url = custom->url,
                                              .type = fhir_param_kind_name(custom->param.kind),
                                              .targets = targets };
    return true;
}
