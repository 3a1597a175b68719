#include "prepare.h"

#include <andiron/auth.h>

#include "platform.h"
#include "structure.h"

static bool is_managed(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("versionId")) ||
           andiron_str_eq(name, ANDIRON_STR("lastUpdated")) ||
           andiron_str_eq(name, ANDIRON_STR("createdAt"));
}

/* Elements of meta.extension that count: all but the creation time. */
static size_t own_extensions(andiron_json extensions, andiron_str url)
{
    struct andiron_json_iter it = { .of = extensions };
    size_t count = 0;
    while (andiron_json_next(&it))
        count += url.len == 0 ||
                 !andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "url")), url);
    return count;
}

static andiron_json next_extension(struct andiron_json_iter *it, andiron_str url)
{
    while (andiron_json_next(it))
        if (url.len == 0 ||
            !andiron_str_eq(andiron_json_str(andiron_json_get(it->value, "url")), url))
            return it->value;
    return (andiron_json){ NULL, 0 };
}

static bool same_extensions(andiron_json a, andiron_json b, andiron_str url)
{
    if (own_extensions(a, url) != own_extensions(b, url))
        return false;
    struct andiron_json_iter left = { .of = a }, right = { .of = b };
    for (;;) {
        andiron_json x = next_extension(&left, url), y = next_extension(&right, url);
        if (andiron_json_type(x) == ANDIRON_JSON_MISSING)
            return true;
        if (!andiron_json_equal(x, y))
            return false;
    }
}

/* Every member of a that the client decides is in b with the same content. */
static bool meta_within(andiron_json a, andiron_json b)
{
    struct andiron_json_iter it = { .of = a };
    while (andiron_json_next(&it)) {
        if (is_managed(it.name) || andiron_str_eq(it.name, ANDIRON_STR("extension")))
            continue;
        if (!andiron_json_equal(it.value, andiron_json_member(b, it.name)))
            return false;
    }
    return true;
}

static bool members_within(andiron_json a, andiron_json b)
{
    struct andiron_json_iter it = { .of = a };
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("id")) ||
            andiron_str_eq(it.name, ANDIRON_STR("meta")) ||
            andiron_str_eq(it.name, ANDIRON_STR("resourceType")))
            continue;
        if (!andiron_json_equal(it.value, andiron_json_member(b, it.name)))
            return false;
    }
    return true;
}

bool prepare_same(const struct resource_type *type, andiron_json a, andiron_json b,
                  andiron_str created_at_url)
{
    andiron_json meta_a = andiron_json_get(a, "meta"), meta_b = andiron_json_get(b, "meta");
    andiron_str url = type->platform ? (andiron_str){ NULL, 0 } : created_at_url;

    return members_within(a, b) && members_within(b, a) && meta_within(meta_a, meta_b) &&
           meta_within(meta_b, meta_a) &&
           same_extensions(andiron_json_get(meta_a, "extension"),
                           andiron_json_get(meta_b, "extension"), url);
}

bool prepare_needs_before(const struct fhir *fhir, const struct resource_type *type,
                          const struct andiron_request *req)
{
    return type->platform || fhir->created_at_url.len > 0 ||
           andiron_request_principal(req)->kind == ANDIRON_SYSTEM;
}

/* CL-1: a platform body may leave out id and resourceType; what is there must fit. */
static void check_identity(struct preparing *p)
{
    andiron_json type = andiron_json_get(p->root, "resourceType"),
                 id = andiron_json_get(p->root, "id");
    bool lacks_type = andiron_json_type(type) == ANDIRON_JSON_MISSING;
    bool lacks_id = andiron_json_type(id) == ANDIRON_JSON_MISSING;

    if (!andiron_str_eq(andiron_json_str(type), p->type->str) && !(lacks_type && p->type->platform))
        issues_add(&p->issues, ANDIRON_E_INVALID, ".resourceType", "must be '%s'%s%.*s%s",
                   p->type->name, lacks_type ? ", and is missing" : ", not '",
                   lacks_type ? 0 : (int)andiron_json_str(type).len,
                   lacks_type ? "" : andiron_json_str(type).data, lacks_type ? "" : "'");
    if (!p->id_in_body || (lacks_id && p->type->platform))
        return;
    if (lacks_id)
        issues_add(&p->issues, ANDIRON_E_INVALID, ".id",
                   "must be '%.*s' as in the URL, and is missing", (int)p->id.len, p->id.data);
    else if (!andiron_str_eq(andiron_json_str(id), p->id))
        issues_add(&p->issues, ANDIRON_E_INVALID, ".id", "must be '%.*s' as in the URL",
                   (int)p->id.len, p->id.data);
}

/* Gives a platform resource to its owner; p->root becomes what the owner makes of it. */
static int accept(struct preparing *p, andiron_json before)
{
    struct andiron_arena *arena = andiron_request_arena(p->req);
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_str text = platform_kept(arena, p->type, p->id, p->root);

    if (andiron_json_parse(arena, text, &p->root, &err) != 0) {
        issues_add_error(&p->issues, &err);
        return -1;
    }
    if (p->type->hooks == NULL || p->type->hooks->accept == NULL)
        return 0;
    andiron_str changed = { NULL, 0 };
    if (p->type->hooks->accept(p->type->hooks_self, p->req, p->root, before, &changed, &err) != 0) {
        if (err.code == ANDIRON_OK)
            err.code = ANDIRON_E_UNPROCESSABLE;
        issues_add_error(&p->issues, &err);
        return -1;
    }
    if (changed.data != NULL && andiron_json_parse(arena, changed, &p->root, &err) != 0) {
        err.code = ANDIRON_E_INTERNAL;
        issues_add_error(&p->issues, &err);
        return -1;
    }
    return 0;
}

/* A string of a term that outlives the scratch memory: text of the request stays where it is. */
static andiron_str kept(struct andiron_arena *arena, andiron_str whole, andiron_str s)
{
    if (s.len == 0 || (s.data >= whole.data && s.data < whole.data + whole.len))
        return s;
    return (andiron_str){ andiron_copy(arena, s), s.len };
}

/*
 * Terms as long as the request needs them: thousands of entries have to fit. Words are parts of a
 * text that has just been copied, and share it.
 */
static void keep_terms(struct preparing *p, andiron_str whole, const struct andiron_term *terms,
                       size_t count)
{
    struct andiron_arena *arena = andiron_request_arena(p->req);
    struct andiron_term *own = andiron_alloc(arena, (count + 1) * sizeof(own[0]));
    andiron_str from = { NULL, 0 }, to = { NULL, 0 };

    for (size_t i = 0; i < count; i++) {
        own[i] = terms[i];
        own[i].system = kept(arena, whole, terms[i].system);
        own[i].exact = kept(arena, whole, terms[i].exact);
        if (from.len > 0 && terms[i].text.data >= from.data &&
            terms[i].text.data + terms[i].text.len <= from.data + from.len) {
            own[i].text.data = to.data + (terms[i].text.data - from.data);
            continue;
        }
        own[i].text = kept(arena, whole, terms[i].text);
        from = terms[i].text;
        to = own[i].text;
    }
    p->terms = own; /* of its own, since the stamp may still put ids in */
    p->term_count = count;
}

static void compose_draft(const struct preparing *p, struct andiron_arena *arena, struct draft *ret)
{
    struct composing how = {
        .arena = arena,
        .type = p->type,
        .root = p->root,
        .id = p->id,
        .id_is_hole = p->id_is_hole,
        .write = p->write,
        .created_at_url = p->fhir->created_at_url,
        .created = p->created,
        .rewrites = p->rewrites,
    };
    compose(&how, ret);
    ret->writes = p->writes;
    ret->places = p->places;
}

/* Terms of the text with its references rewritten: what is searched must be what is stored. */
static int extract(const struct preparing *p, const struct draft *draft,
                   struct andiron_arena *arena, const struct andiron_term **ret_terms,
                   size_t *ret_count, struct andiron_error *err)
{
    andiron_json resource = p->root;

    if (draft->rewritten &&
        andiron_json_parse(arena, compose_stamped(draft, arena, 1, 0), &resource, err) != 0)
        return -1;
    return p->fhir->search->extract(p->fhir->search_self, arena, resource, ret_terms, ret_count,
                                    err);
}

static int extract_now(struct preparing *p, struct andiron_error *err)
{
    struct andiron_arena *scratch = andiron_arena_new(0);
    const struct andiron_term *terms = NULL;
    size_t count = 0;
    int failed = extract(p, p->draft, scratch, &terms, &count, err);

    if (failed == 0)
        keep_terms(p, andiron_json_raw(p->root), terms, count);
    andiron_arena_free(scratch);
    return failed;
}

int prepare_terms(const struct preparing *p, struct andiron_arena *arena,
                  const struct andiron_term **ret_terms, size_t *ret_count,
                  struct andiron_error *err)
{
    struct draft draft = { .hole_count = 0 };

    if (p->rewrites != NULL) /* else nothing but id and meta differs, which have no terms */
        compose_draft(p, arena, &draft);
    return extract(p, &draft, arena, ret_terms, ret_count, err);
}

void prepare_stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    const struct preparing *p = state;
    struct draft draft;

    compose_draft(p, arena, &draft);
    write->body = compose_stamped(&draft, arena, write->ref.version, write->updated);
}

/* Makes the resource out of what is stored; what the patch leads to is judged as 422. */
static int patch(struct preparing *p)
{
    struct andiron_arena *arena = andiron_request_arena(p->req);
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_json target;
    andiron_str text;

    if (andiron_json_parse(arena, p->patch_target, &target, &err) != 0) {
        err.code = ANDIRON_E_INTERNAL;
        issues_add_error(&p->issues, &err);
        return -1;
    }
    if (patch_apply(arena, p->type, p->patch, target, &text, &err) != 0) {
        issues_add_error(&p->issues, &err);
        return -1;
    }
    if (andiron_json_parse(arena, text, &p->root, &err) == 0)
        return 0;
    issues_add(&p->issues, ANDIRON_E_UNPROCESSABLE, "", "the patch makes no resource: %s",
               err.message);
    return -1;
}

/* The patch was well-formed; what it made is not, and that is no fault of syntax. */
static void judge_patched(struct issues *issues)
{
    for (size_t i = 0; i < issues->count; i++) {
        enum andiron_code *code = &issues->list[i].code;
        if (*code == ANDIRON_E_STRUCTURE)
            *code = ANDIRON_E_ELEMENT;
        else if (andiron_code_http(*code) == 400)
            *code = ANDIRON_E_UNPROCESSABLE;
    }
}

static bool is_parameter(const struct resource_type *type)
{
    return andiron_str_eq(type->str, ANDIRON_STR("SearchParameter"));
}

bool prepare_is_slow(const struct resource_type *type)
{
    return is_parameter(type) || (type->hooks != NULL && type->hooks->accept != NULL);
}

/* What an active SearchParameter asks for must be possible before it is stored. */
static void check_parameter(struct preparing *p)
{
    const struct andiron_search *search = p->fhir->search;
    size_t end = offsetof(struct andiron_search, check_parameter) + sizeof(search->check_parameter);
    struct andiron_error err = { .code = ANDIRON_OK };

    if (!is_parameter(p->type) || search->size < end || search->check_parameter == NULL)
        return;
    struct andiron_arena *scratch = andiron_arena_new(0);
    if (search->check_parameter(p->fhir->search_self, scratch, p->root, &err) != 0)
        issues_add_error(&p->issues, &err);
    andiron_arena_free(scratch);
}

void prepare(struct preparing *p)
{
    struct andiron_arena *arena = andiron_request_arena(p->req);
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_json before = { NULL, 0 };

    issues_init(&p->issues, arena, p->issues.root.data != NULL ? p->issues.root : p->type->str);
    if (p->patch != NULL && patch(p) != 0)
        return;
    if (andiron_json_type(p->root) != ANDIRON_JSON_OBJECT) {
        issues_add(&p->issues, p->patch != NULL ? ANDIRON_E_ELEMENT : ANDIRON_E_STRUCTURE, "",
                   "a resource must be a JSON object");
        return;
    }
    check_identity(p);
    if (p->type->platform)
        check_platform(p->root, &p->issues);
    else
        structure_check(p->is_trial ? VALIDATION_STRICT
                                    : (enum fhir_validation)p->fhir->config->validation,
                        p->type, p->root, &p->issues);
    if (p->patch != NULL)
        judge_patched(&p->issues);
    if (p->issues.count == 0)
        check_parameter(p);
    if (p->issues.count > 0)
        return;
    if (p->before.data != NULL && andiron_json_parse(arena, p->before, &before, &err) != 0) {
        err.code = ANDIRON_E_INTERNAL;
        issues_add_error(&p->issues, &err);
        return;
    }
    if (p->type->platform && accept(p, before) != 0)
        return;
    if (p->same_is_kept && p->before.data != NULL &&
        prepare_same(p->type, p->root, before, p->fhir->created_at_url)) {
        p->same = true;
        return;
    }
    if (p->later)
        return;
    p->draft = andiron_new(arena, struct draft);
    compose_draft(p, arena, p->draft);
    if (extract_now(p, &err) != 0)
        issues_add_error(&p->issues, &err);
}

enum andiron_step prepare_fail(struct andiron_request *req, const struct issues *issues)
{
    size_t leading = issues_leading(issues->list, issues->count);

    for (size_t i = 0; i < issues->count; i++)
        if (i != leading)
            andiron_fail_also(req, &issues->list[i]);
    return andiron_fail_with(req, &issues->list[leading]);
}
