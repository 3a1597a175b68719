/*
 * $validate: what a write of a resource would find, without writing (operation
 * Resource-validate). A row of steps:
 *
 *   begin -> changeable -> stored_read -> judged -> answer
 *
 * The structure is checked by R4's own rules, whatever `validation` says. Profiles are not
 * checked, and of a deletion only what can be known before it.
 */
#include "access.h"
#include "answer.h"
#include "prepare.h"
#include "text.h"

enum mode { MODE_NONE, MODE_CREATE, MODE_UPDATE, MODE_DELETE, MODE_PROFILE };

struct judging {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    andiron_str id; /* of the URL, or absent */
    enum mode mode;
    andiron_str profile;
    andiron_str text; /* body, or what is stored */

    /* on the pool */
    struct andiron_request *req;
    struct andiron_error error; /* of the request itself: it fails as a whole */
    struct preparing preparing;

    struct access_bound bound;
    struct andiron_ref ref;
    struct andiron_rows rows;
};

/* ---- answer ---------------------------------------------------------------------------- */

static void put_issue(struct text *t, const char *severity, const struct andiron_error *err)
{
    if (t->data[t->len - 1] == '}')
        TEXT_LIT(t, ",");
    TEXT_LIT(t, "{\"severity\":");
    text_json(t, andiron_str_of(severity));
    TEXT_LIT(t, ",\"code\":");
    text_json(t, andiron_str_of(andiron_code_issue(err->code)));
    TEXT_LIT(t, ",\"diagnostics\":");
    text_json(t, andiron_str_of(err->message));
    if (err->where[0] != '\0') {
        TEXT_LIT(t, ",\"expression\":[");
        text_json(t, andiron_str_of(err->where));
        TEXT_LIT(t, "]");
    }
    TEXT_LIT(t, "}");
}

/* A profile beside R4's own definition of the type is not looked at, and that must be said. */
static bool asks_for_profile(const struct judging *j)
{
    static const char base[] = "http://hl7.org/fhir/StructureDefinition/";
    size_t len = sizeof(base) - 1;
    return j->profile.len > 0 &&
           !(j->profile.len == len + j->type->str.len && memcmp(j->profile.data, base, len) == 0 &&
             memcmp(j->profile.data + len, j->type->name, j->type->str.len) == 0);
}

static enum andiron_step answer(struct andiron_request *req, const struct judging *j,
                                const struct issues *issues)
{
    struct andiron_error note = { .code = ANDIRON_OK };
    struct text t;

    text_init(&t, andiron_request_arena(req), 512 + issues->count * 256);
    TEXT_LIT(&t, "{\"resourceType\":\"OperationOutcome\",\"issue\":[");
    for (size_t i = 0; i < issues->count; i++)
        put_issue(&t, "error", &issues->list[i]);
    if (issues->count == 0) {
        (void)andiron_error_set(
            &note, ANDIRON_OK, "", "%s",
            j->mode == MODE_DELETE ? "nothing is known that forbids to delete it" : "valid");
        put_issue(&t, "information", &note);
    }
    if (asks_for_profile(j)) {
        (void)andiron_error_set(&note, ANDIRON_E_NOT_IMPLEMENTED, "",
                                "profiles are not checked, only R4's own definition of %s",
                                j->type->name);
        put_issue(&t, j->mode == MODE_PROFILE ? "error" : "warning", &note);
    }
    TEXT_LIT(&t, "]}");
    return answer_json(req, &j->wanted, 200, text_view(&t));
}

static enum andiron_step judged(struct andiron_request *req, void *state)
{
    struct judging *j = state;
    struct preparing *p = &j->preparing;
    struct andiron_error err;

    if (j->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &j->error);
    bool writes = j->mode == MODE_CREATE || j->mode == MODE_UPDATE;
    if (writes && p->issues.count == 0 &&
        access_result(j->fhir, req, j->type, p->id,
                      j->mode == MODE_CREATE ? ANDIRON_ACCESS_CREATE : ANDIRON_ACCESS_UPDATE,
                      andiron_request_arena(req), p->terms, p->term_count, &err) != 0)
        issues_add_error(&p->issues, &err);
    return answer(req, j, &p->issues);
}

/* ---- judgement --------------------------------------------------------------------------- */

static const struct mode_name {
    const char *name;
    enum mode mode;
} mode_names[] = {
    { "create", MODE_CREATE },
    { "update", MODE_UPDATE },
    { "delete", MODE_DELETE },
    { "profile", MODE_PROFILE },
};

static int set_mode(struct judging *j, andiron_str name)
{
    for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(mode_names[i].name))) {
            j->mode = mode_names[i].mode;
            return 0;
        }
    return andiron_error_set(&j->error, ANDIRON_E_INVALID, "",
                             "mode must be create, update, delete or profile");
}

/*
 * Parameters are looked into for the resource, unless Parameters themselves are to be validated.
 * *ret is what to validate, or MISSING.
 */
static int unwrap(struct judging *j, andiron_json body, andiron_json *ret)
{
    struct andiron_json_iter it = { .of = andiron_json_get(body, "parameter") };
    bool is_wrapped = false;
    andiron_json resource = { NULL, 0 };

    if (!andiron_str_eq(andiron_json_str(andiron_json_get(body, "resourceType")),
                        ANDIRON_STR("Parameters"))) {
        *ret = body;
        return 0;
    }
    while (andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "name"));
        if (andiron_str_eq(name, ANDIRON_STR("resource"))) {
            resource = andiron_json_get(it.value, "resource");
            is_wrapped = true;
        } else if (andiron_str_eq(name, ANDIRON_STR("mode"))) {
            is_wrapped = true;
            if (set_mode(j, andiron_json_str(andiron_json_get(it.value, "valueCode"))) != 0)
                return -1;
        } else if (andiron_str_eq(name, ANDIRON_STR("profile"))) {
            j->profile = andiron_json_str(andiron_json_get(it.value, "valueUri"));
            if (j->profile.data == NULL)
                j->profile = andiron_json_str(andiron_json_get(it.value, "valueCanonical"));
        }
    }
    *ret = is_wrapped || strcmp(j->type->name, "Parameters") != 0 ? resource : body;
    return 0;
}

/* On the loop for small bodies, else on the pool. */
static void work(void *state)
{
    struct judging *j = state;
    struct andiron_arena *arena = andiron_request_arena(j->req);
    andiron_json body, resource;

    if (andiron_json_parse(arena, j->text, &body, &j->error) != 0 ||
        unwrap(j, body, &resource) != 0)
        return;
    if (j->mode == MODE_DELETE)
        return;
    if (andiron_json_type(resource) == ANDIRON_JSON_MISSING) {
        (void)andiron_error_set(
            &j->error, ANDIRON_E_INVALID, "",
            "a resource is needed: as the body, or as the parameter 'resource'");
        return;
    }
    andiron_str id = andiron_json_str(andiron_json_get(resource, "id"));
    bool must_be_named = j->mode == MODE_UPDATE;
    j->preparing = (struct preparing){
        .fhir = j->fhir,
        .req = j->req,
        .type = j->type,
        .root = resource,
        .id = j->id.len > 0 && must_be_named ? j->id
              : types_is_id(id)              ? id
                                             : ANDIRON_STR("new"),
        .id_in_body = must_be_named && j->id.len > 0,
        .is_trial = true,
    };
    prepare(&j->preparing);
    if (must_be_named && j->id.len == 0 && id.data == NULL)
        issues_add(&j->preparing.issues, ANDIRON_E_INVALID, ".id",
                   "is missing: an update needs the id of the resource");
}

/* ---- what is stored ------------------------------------------------------------------------ */

/* A deletion has something to delete; without a body, what is stored is validated. */
static enum andiron_step stored_read(struct andiron_request *req, void *state)
{
    struct judging *j = state;
    const struct andiron_row *row = &j->rows.rows[0];

    if (j->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &j->rows.error);
    bool exists = row->ref.id.len > 0 && !row->deleted;
    if (!exists && j->mode != MODE_DELETE)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", j->type->name,
                            (int)j->id.len, j->id.data);
    if (j->mode == MODE_DELETE) {
        struct issues issues;
        issues_init(&issues, andiron_request_arena(req), j->type->str);
        if (!exists)
            issues_add(&issues, ANDIRON_E_NOT_FOUND, "", "%s/%.*s is not known", j->type->name,
                       (int)j->id.len, j->id.data);
        return answer(req, j, &issues);
    }
    j->text = row->body;
    if (j->text.len > FHIR_OFFLOAD_ABOVE || prepare_is_slow(j->type))
        return andiron_offload(req, work, judged, j);
    work(j);
    return judged(req, j);
}

static enum andiron_step read_stored(struct andiron_request *req, void *state)
{
    struct judging *j = state;
    j->ref = (struct andiron_ref){ .type = j->type->str, .id = j->id };
    return j->fhir->store->read(j->fhir->store_self, req, &j->ref, 1, &j->rows, stored_read, j);
}

/* As far as the write itself would come. Without a right to it not even so far as to say what exists. */
static enum andiron_step as_write(struct andiron_request *req, struct judging *j,
                                  enum andiron_access access, andiron_step_fn then)
{
    if (access_is_hidden(req, j->type, access))
        return access_refuse(req);
    return access_change(j->fhir, req, req, j->type, j->id, access, &j->bound, NULL, then, j);
}

static enum andiron_step worked(struct andiron_request *req, void *state)
{
    struct judging *j = state;

    if (j->error.code != ANDIRON_OK || j->mode != MODE_DELETE)
        return judged(req, j);
    if (j->id.len == 0)
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "mode=delete needs the id of a resource: /fhir/%s/ID/$validate",
                            j->type->name);
    return as_write(req, j, ANDIRON_ACCESS_DELETE, read_stored);
}

static enum andiron_step body_judged(struct andiron_request *req, void *state)
{
    struct judging *j = state;

    if (j->text.len > FHIR_OFFLOAD_ABOVE || prepare_is_slow(j->type))
        return andiron_offload(req, work, worked, j);
    work(j);
    return worked(req, j);
}

/* ---- beginning ----------------------------------------------------------------------------- */

static int read_query(struct andiron_request *req, struct judging *j)
{
    andiron_str name, value;
    for (size_t pos = 0; andiron_request_param(req, &pos, &name, &value);) {
        if (andiron_str_eq(name, ANDIRON_STR("profile")))
            j->profile = value;
        else if (andiron_str_eq(name, ANDIRON_STR("mode")) && set_mode(j, value) != 0)
            return -1;
    }
    return 0;
}

enum andiron_step fhir_operation_validate(struct andiron_request *req, void *self)
{
    struct judging *j = andiron_new(andiron_request_arena(req), struct judging);

    j->fhir = self;
    j->req = req;
    j->type = types_find(j->fhir->types, andiron_request_var(req, "type"));
    if (j->type == NULL)
        return access_unknown_type(req);
    if (j->type->platform)
        return andiron_fail(req, ANDIRON_E_METHOD,
                            "%s is no type of FHIR: it is checked when it "
                            "is written",
                            j->type->name);
    if (negotiate(req, &j->wanted) != 0)
        return ANDIRON_DONE;
    if (!negotiate_is_json(andiron_request_header(req, "content-type")))
        return andiron_fail(req, ANDIRON_E_MEDIA_TYPE,
                            "Content-Type must be application/fhir+json or application/json");
    j->id = andiron_request_var(req, "id");
    if (j->id.data != NULL && !types_is_id(j->id))
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "an id is 1 to 64 letters, digits, '-' and '.'");
    if (read_query(req, j) != 0)
        return andiron_fail_with(req, &j->error);
    j->text = andiron_request_body(req);
    if (j->text.len == 0 && j->mode == MODE_DELETE)
        return worked(req, j);
    if (j->text.len == 0 && j->id.len > 0)
        return access_see(j->fhir, req, j->type, j->id, read_stored, j);
    if (j->text.len == 0)
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "a resource is needed: as the body, or as the parameter 'resource'");
    if (j->id.len > 0 && j->mode == MODE_UPDATE)
        return as_write(req, j, ANDIRON_ACCESS_UPDATE, body_judged);
    return body_judged(req, j);
}
