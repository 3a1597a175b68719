/*
 * Patient/$everything and Encounter/$everything: the compartment of one resource, and what its
 * resources refer to outside of it. One search over many types, each with its own condition:
 *
 *   begin -> seen -> stored -> answer
 *
 * Types that the request may not see are left out (seed-semantics 7.4).
 */
#include "access.h"
#include "common/fhir/compartments.h"
#include "common/fhir/dates.h"
#include "common/fhir/params.h"
#include "common/fhir/types.h"
#include "operation.h"
#include "searchset.h"
#include "text.h"

/* What resources of a compartment refer to and is nobody's own. */
static const char *const shared[] = { "Location",     "Medication",       "Organization",
                                      "Practitioner", "PractitionerRole", "Substance" };
enum { SHARED = sizeof(shared) / sizeof(shared[0]) };

struct everything {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    struct operation given;
    andiron_str id;
    andiron_str since, start, end, types; /* absent: not given */
    int64_t count;
    struct text query; /* of the links */

    bool walks_all; /* shared types are asked for: matches of other types only lead to them */
    struct andiron_ref ref;
    struct andiron_rows current;
    struct andiron_search_plan plan;
    struct andiron_rows rows;
};

/* Whether _type is absent or names the type. */
static bool is_asked(const struct everything *e, andiron_str type)
{
    andiron_str rest = e->types;

    if (rest.data == NULL)
        return true;
    while (rest.len > 0) {
        const char *comma = memchr(rest.data, ',', rest.len);
        size_t len = comma != NULL ? (size_t)(comma - rest.data) : rest.len;
        if (andiron_str_eq((andiron_str){ rest.data, len }, type))
            return true;
        rest.data += comma != NULL ? len + 1 : len;
        rest.len -= comma != NULL ? len + 1 : len;
    }
    return false;
}

/* ---- answer --------------------------------------------------------------------------------- */

/* Takes out what was only looked at for what it refers to. */
static void keep_asked(struct everything *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->rows.count; i++)
        if (e->rows.rows[i].included || is_asked(e, e->rows.rows[i].ref.type))
            e->rows.rows[kept++] = e->rows.rows[i];
    if (kept < e->rows.count)
        e->rows.total = -1;
    e->rows.count = kept;
}

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    struct everything *e = state;

    if (e->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &e->rows.error);
    if (e->walks_all)
        keep_asked(e);
    e->rows.suppressed = false; /* references into the compartment come by themselves */
    andiron_str url = answer_url(req, BASE_FHIR, e->type, e->id, 0);
    struct searchset set = {
        .fhir = e->fhir,
        .plan = &e->plan,
        .rows = &e->rows,
        .links = { .url = andiron_str_of(andiron_printf(
                       andiron_request_arena(req), "%.*s/$everything", (int)url.len, url.data)),
                   .query = text_view(&e->query),
                   .cursor = e->plan.query.cursor,
                   .next = e->rows.cursor },
    };
    return answer_json(req, &e->wanted, 200, searchset_text(req, &set));
}

/* ---- the search ------------------------------------------------------------------------------ */

/* The parameter that says when the care took place; NULL: the type has none. */
static const char *care_date(int type)
{
    static const char *const names[] = { "date",      "period",        "onset-date",
                                         "effective", "authoredon",    "issued",
                                         "created",   "recorded-date", "sent" };
    struct fhir_param param;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (fhir_param_find(type, andiron_str_of(names[i]), &param) &&
            param.kind == FHIR_PARAM_DATE)
            return names[i];
    return NULL;
}

static void put_bound(struct text *t, const char *param, const char *prefix, andiron_str value)
{
    if (value.data == NULL || param == NULL)
        return;
    TEXT_LIT(t, "&");
    text_str(t, andiron_str_of(param));
    TEXT_LIT(t, "=");
    text_str(t, andiron_str_of(prefix));
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '+')
            TEXT_LIT(t, "%2B");
        else
            text_add(t, &value.data[i], 1);
    }
}

/* Resources of one type, with what the request is narrowed to. NULL and err. */
static const struct andiron_filter *filter_of(struct andiron_request *req,
                                              const struct everything *e, int type,
                                              andiron_str expression, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct andiron_filter *selected;
    const char *name = fhir_type_name(type);

    if (e->fhir->search->select(e->fhir->search_self, req, andiron_str_of(name), expression,
                                ANDIRON_ACCESS_SEE, &selected, err) != 0)
        return NULL;
    struct andiron_filter *of_type = andiron_new(arena, struct andiron_filter);
    struct andiron_filter *both = andiron_new(arena, struct andiron_filter);
    const struct andiron_filter **args = andiron_alloc(arena, 2 * sizeof(args[0]));
    of_type->op = ANDIRON_FILTER_TYPE;
    of_type->type = name;
    args[0] = of_type;
    args[1] = selected;
    both->op = ANDIRON_FILTER_AND;
    both->args = args;
    both->arg_count = selected != NULL ? 2 : 1;
    return both;
}

static const struct andiron_filter *own_filter(struct andiron_request *req,
                                               const struct everything *e, int type,
                                               struct andiron_error *err)
{
    const char *date = strcmp(fhir_type_name(type), e->type->name) != 0 ? care_date(type) : NULL;
    struct text t;

    text_init(&t, andiron_request_arena(req), 128);
    TEXT_LIT(&t, "_compartment=");
    text_str(&t, e->type->str);
    TEXT_LIT(&t, "/");
    text_str(&t, e->id);
    put_bound(&t, "_lastUpdated", "ge", e->since);
    put_bound(&t, date, "ge", e->start);
    put_bound(&t, date, "le", e->end);
    return filter_of(req, e, type, text_view(&t), err);
}

/* What may be added: shared types, as far as the request may see them. */
static int add_shared(struct andiron_request *req, struct everything *e, struct andiron_error *err)
{
    struct andiron_query *q = &e->plan.query;
    struct andiron_visible *visible =
        andiron_alloc(andiron_request_arena(req), SHARED * sizeof(visible[0]));

    for (size_t i = 0; i < SHARED; i++) {
        const struct resource_type *type = types_find(e->fhir->types, andiron_str_of(shared[i]));
        if (!is_asked(e, andiron_str_of(shared[i])) || type == NULL ||
            access_is_hidden(req, type, ANDIRON_ACCESS_SEE))
            continue;
        const struct andiron_filter *filter =
            access_is_narrowed(req, type, ANDIRON_ACCESS_SEE)
                ? filter_of(req, e, fhir_type(type->str), ANDIRON_STR(""), err)
                : NULL;
        if (filter == NULL && access_is_narrowed(req, type, ANDIRON_ACCESS_SEE))
            return -1;
        visible[q->visible_count++] =
            (struct andiron_visible){ .type = shared[i], .filter = filter };
    }
    q->visible = visible;
    return 0;
}

static uint64_t mixed(uint64_t hash, andiron_str s)
{
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.data[i]) * UINT64_C(0x100000001b3);
    return hash * UINT64_C(0x100000001b3);
}

static int compile(struct andiron_request *req, struct everything *e, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_query *q = &e->plan.query;
    struct andiron_filter *any = andiron_new(arena, struct andiron_filter);
    const struct andiron_filter **args =
        andiron_alloc(arena, (size_t)FHIR_TYPE_COUNT * sizeof(args[0]));
    const char **types = andiron_alloc(arena, ((size_t)FHIR_TYPE_COUNT + 1) * sizeof(types[0]));
    struct andiron_include *includes =
        andiron_alloc(arena, (size_t)FHIR_TYPE_COUNT * sizeof(includes[0]));
    int own = fhir_type(e->type->str);
    size_t count = 0;

    for (size_t i = 0; i < SHARED && e->types.data != NULL; i++)
        e->walks_all |= is_asked(e, andiron_str_of(shared[i]));
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        const char *name = fhir_type_name(type);
        const struct resource_type *served = types_find(e->fhir->types, andiron_str_of(name));
        if ((type != own && !fhir_compartment_has(own, type)) || served == NULL ||
            !(e->walks_all || is_asked(e, served->str)) ||
            access_is_hidden(req, served, ANDIRON_ACCESS_SEE))
            continue;
        args[count] = own_filter(req, e, type, err);
        if (args[count] == NULL)
            return -1;
        includes[count] = (struct andiron_include){ .source = name, .param = "*" };
        types[count++] = name;
    }
    any->op = ANDIRON_FILTER_OR;
    any->args = args;
    any->arg_count = count;
    q->types = types;
    q->filter = any;
    q->limit = (size_t)e->count;
    q->includes = includes;
    q->include_count = count;
    q->fingerprint = mixed(mixed(UINT64_C(0xcbf29ce484222325), e->type->str), e->id);
    q->fingerprint = mixed(mixed(q->fingerprint, e->since), e->types);
    q->fingerprint = mixed(mixed(q->fingerprint, e->start), e->end);
    return add_shared(req, e, err);
}

static enum andiron_step stored(struct andiron_request *req, void *state)
{
    struct everything *e = state;
    struct andiron_error err;

    if (e->current.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &e->current.error);
    bool is_known = e->current.rows[0].ref.id.len > 0;
    if (!is_known || e->current.rows[0].deleted)
        return andiron_fail(req, is_known ? ANDIRON_E_GONE : ANDIRON_E_NOT_FOUND,
                            is_known ? "%s/%.*s was deleted" : "%s/%.*s is not known",
                            e->type->name, (int)e->id.len, e->id.data);
    if (compile(req, e, &err) != 0)
        return andiron_fail_with(req, &err);
    return e->fhir->store->search(e->fhir->store_self, req, &e->plan.query, &e->rows, answer, e);
}

static enum andiron_step seen(struct andiron_request *req, void *state)
{
    struct everything *e = state;
    return e->fhir->store->read(e->fhir->store_self, req, &e->ref, 1, &e->current, stored, e);
}

/* ---- parameters -------------------------------------------------------------------------------- */

static int take_date(struct andiron_request *req, andiron_str name, andiron_str value,
                     andiron_str *ret)
{
    struct fhir_date date;
    if (fhir_date_parse(value, &date) != 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "%.*s must be a date or an instant",
                           (int)name.len, name.data);
        return -1;
    }
    *ret = value;
    return 0;
}

static int take_count(struct andiron_request *req, struct everything *e, andiron_str value)
{
    int64_t count = value.len > 0 && value.len < 10 ? 0 : -1;
    for (size_t i = 0; i < value.len && count >= 0; i++)
        count =
            value.data[i] < '0' || value.data[i] > '9' ? -1 : count * 10 + (value.data[i] - '0');
    if (count < 1) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "_count must be a whole number from 1 to %lld",
                           (long long)e->fhir->config->max_count);
        return -1;
    }
    e->count = count < e->fhir->config->max_count ? count : e->fhir->config->max_count;
    return 0;
}

/* Every type that _type names must exist, and must be one that the request may see. */
static int take_types(struct andiron_request *req, struct everything *e, andiron_str value)
{
    if (e->types.len > 0) /* it may be repeated */
        e->types = andiron_str_of(andiron_printf(andiron_request_arena(req), "%.*s,%.*s",
                                                 (int)e->types.len, e->types.data, (int)value.len,
                                                 value.data));
    else if (value.len > 0)
        e->types = value;
    while (value.len > 0) {
        const char *comma = memchr(value.data, ',', value.len);
        size_t len = comma != NULL ? (size_t)(comma - value.data) : value.len;
        const struct resource_type *type =
            types_find(e->fhir->types, (andiron_str){ value.data, len });
        if (type == NULL || type->platform) {
            (void)andiron_fail(req, ANDIRON_E_INVALID,
                               "_type: there is no FHIR resource type \"%.*s\"",
                               (int)(len < 60 ? len : 60), value.data);
            return -1;
        }
        if (access_is_hidden(req, type, ANDIRON_ACCESS_SEE)) {
            (void)access_refuse(req);
            return -1;
        }
        value.data += comma != NULL ? len + 1 : len;
        value.len -= comma != NULL ? len + 1 : len;
    }
    return 0;
}

static int parameters(struct andiron_request *req, struct everything *e)
{
    andiron_str name, value;

    e->count = e->fhir->config->default_count;
    while (operation_next(req, &e->given, &name, &value)) {
        int failed = 0;
        if (andiron_str_eq(name, ANDIRON_STR("_count")))
            failed = take_count(req, e, value);
        else if (andiron_str_eq(name, ANDIRON_STR("_since")))
            failed = take_date(req, name, value, &e->since);
        else if (andiron_str_eq(name, ANDIRON_STR("start")))
            failed = take_date(req, name, value, &e->start);
        else if (andiron_str_eq(name, ANDIRON_STR("end")))
            failed = take_date(req, name, value, &e->end);
        else if (andiron_str_eq(name, ANDIRON_STR("_type")))
            failed = take_types(req, e, value);
        else if (andiron_str_eq(name, ANDIRON_STR("_cursor")))
            e->plan.query.cursor = value;
        if (failed != 0)
            return -1;
    }
    return 0;
}

/* The query of the links: what was given, in the URL or posted, but for the cursor. */
static void keep_query(struct andiron_request *req, struct everything *e)
{
    andiron_str name, value;

    text_init(&e->query, andiron_request_arena(req), andiron_request_query(req).len + 64);
    while (operation_next(req, &e->given, &name, &value)) {
        if (andiron_str_eq(name, ANDIRON_STR("_cursor")))
            continue;
        if (e->query.len > 0)
            TEXT_LIT(&e->query, "&");
        links_encode(&e->query, name);
        TEXT_LIT(&e->query, "=");
        links_encode(&e->query, value);
    }
}

enum andiron_step fhir_operation_everything(struct andiron_request *req, void *self)
{
    struct everything *e = andiron_new(andiron_request_arena(req), struct everything);

    e->fhir = self;
    e->type = types_find(e->fhir->types, andiron_request_var(req, "type"));
    e->id = andiron_request_var(req, "id");
    if (e->type == NULL || (!andiron_str_eq(e->type->str, ANDIRON_STR("Patient")) &&
                            !andiron_str_eq(e->type->str, ANDIRON_STR("Encounter"))))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND,
                            "$everything is an operation of Patient and Encounter");
    if (negotiate(req, &e->wanted) != 0 || operation_begin(req, &e->given) != 0 ||
        parameters(req, e) != 0)
        return ANDIRON_DONE;
    keep_query(req, e);
    if (!types_is_id(e->id))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", e->type->name,
                            (int)e->id.len, e->id.data);
    e->ref = (struct andiron_ref){ .type = e->type->str, .id = e->id };
    return access_see(e->fhir, req, e->type, e->id, seen, e);
}
