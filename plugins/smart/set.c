/*
 * Preparing the scopes of a token. Uses search/1, the list of FHIR types and the compartment
 * of Patient.
 *
 * A letter is held free, by a scope that asks nothing more, or under a condition: the query of a
 * scope, and for patient/ scopes the compartment of the patient in context (SC-15, SC-16).
 */
#include "set.h"

#include "common/fhir/compartments.h"
#include "common/fhir/ids.h"
#include "common/fhir/references.h"
#include "common/fhir/types.h"
#include "scope.h"

struct type_limits {
    struct andiron_limit by[ANDIRON_ACCESSES];
};

struct scope_set {
    struct andiron_narrowing narrowing;
    bool is_limited;
    uint8_t *held, *free;              /* letters by type */
    const struct type_limits **limits; /* by type; NULL: none */
};

/* Some of a type's letters under a condition. */
struct part {
    struct part *next;
    unsigned letters;
    const char *condition;
};

struct preparing {
    const struct set_settings *settings;
    struct andiron_arena *arena;
    struct scope_set *set;
    struct part **parts; /* by type; NULL: none so far */
    andiron_str patients[SET_PATIENTS_MAX];
    size_t patient_count;
};

/* Any of these letters is enough for the access. */
static const uint8_t letters_for[ANDIRON_ACCESSES] = {
    [ANDIRON_ACCESS_SEARCH] = SCOPE_S,        [ANDIRON_ACCESS_READ] = SCOPE_R,
    [ANDIRON_ACCESS_SEE] = SCOPE_R | SCOPE_S, [ANDIRON_ACCESS_CREATE] = SCOPE_C,
    [ANDIRON_ACCESS_UPDATE] = SCOPE_U,        [ANDIRON_ACCESS_DELETE] = SCOPE_D,
};

static const char *const none[] = { NULL };
static const struct andiron_limit nothing = { .any_of = none };

/* ---- the launch context ------------------------------------------------------------ */

/* "12", "Patient/12", or the URL of a Patient here. */
static void add_patient(struct preparing *p, andiron_str text)
{
    struct fhir_reference reference = fhir_reference_parse(text, p->settings->base);

    if (!fhir_is_id(text)) {
        if (reference.kind != FHIR_REFERENCE_LOCAL ||
            !andiron_str_eq(reference.type, ANDIRON_STR("Patient")))
            return;
        text = reference.id;
    }
    if (fhir_is_id(text) && p->patient_count < SET_PATIENTS_MAX)
        p->patients[p->patient_count++] = text;
}

/* US-4: a string, or an array of strings, {"id"} and {"url"}. */
static void add_patients(struct preparing *p, andiron_json value)
{
    struct andiron_json_iter it = { .of = value };

    if (andiron_json_type(value) == ANDIRON_JSON_STRING)
        add_patient(p, andiron_json_str(value));
    if (andiron_json_type(value) != ANDIRON_JSON_ARRAY)
        return;
    while (andiron_json_next(&it)) {
        add_patient(p, andiron_json_str(it.value));
        add_patient(p, andiron_json_str(andiron_json_get(it.value, "id")));
        add_patient(p, andiron_json_str(andiron_json_get(it.value, "url")));
    }
}

/* ---- scopes to letters and conditions ------------------------------------------------ */

static void add_part(struct preparing *p, int type, unsigned letters, const char *condition)
{
    struct part *part = andiron_new(p->arena, struct part);
    if (p->parts == NULL)
        p->parts = andiron_alloc(p->arena, (size_t)FHIR_TYPE_COUNT * sizeof(p->parts[0]));
    *part = (struct part){ .next = p->parts[type], .letters = letters, .condition = condition };
    p->parts[type] = part;
    p->set->held[type] |= (uint8_t)letters;
    p->set->is_limited = true;
}

/* query absent: no condition. */
static void hold(struct preparing *p, int type, unsigned letters, andiron_str query)
{
    if (query.data != NULL) {
        add_part(p, type, letters, andiron_copy(p->arena, query));
        return;
    }
    p->set->held[type] |= (uint8_t)letters;
    p->set->free[type] |= (uint8_t)letters;
}

/*
 * SC-16. What belongs to nobody's compartment is out of reach, but for shared types, which
 * may be read; so without a patient nothing is held.
 */
static void hold_of_patient(struct preparing *p, int type, unsigned letters, andiron_str query)
{
    static const char compartment[] = "_compartment=Patient/";
    int patient = fhir_type(ANDIRON_STR("Patient"));

    if (p->patient_count > 0 && type != patient && !fhir_compartment_has(patient, type)) {
        letters &= SCOPE_R | SCOPE_S;
        if (letters != 0 && p->settings->is_shared[type])
            hold(p, type, letters, query);
        return;
    }
    for (size_t i = 0; i < p->patient_count; i++)
        add_part(p, type, letters,
                 andiron_printf(p->arena, "%s%.*s%s%.*s", compartment, (int)p->patients[i].len,
                                p->patients[i].data, query.len > 0 ? "&" : "", (int)query.len,
                                query.len > 0 ? query.data : ""));
}

static void add_scope(struct preparing *p, const struct scope *scope)
{
    int first = scope->type == SCOPE_ANY_TYPE ? 0 : scope->type;
    int last = scope->type == SCOPE_ANY_TYPE ? FHIR_TYPE_COUNT - 1 : scope->type;

    for (int type = first; type <= last; type++) {
        if (scope->context == SCOPE_PATIENT)
            hold_of_patient(p, type, scope->letters, scope->query);
        else
            hold(p, type, scope->letters, scope->query);
    }
}

/* ---- conditions to limits ------------------------------------------------------------- */

/* The conditions under which some of these letters are held. */
static const char **conditions_of(const struct preparing *p, const struct part *parts,
                                  unsigned letters)
{
    size_t count = 0;
    for (const struct part *part = parts; part != NULL; part = part->next)
        count += (part->letters & letters) != 0;
    const char **list = andiron_alloc(p->arena, (count + 1) * sizeof(list[0]));
    count = 0;
    for (const struct part *part = parts; part != NULL; part = part->next)
        if ((part->letters & letters) != 0)
            list[count++] = part->condition;
    return list;
}

static bool is_same_list(const char *const *a, const char *const *b)
{
    while (*a != NULL && *a == *b)
        a++, b++;
    return *a == *b;
}

/* One limit for each access that is held under conditions alone; equal ones are prepared once. */
static int limit_type(struct preparing *p, int type, struct andiron_error *err)
{
    struct type_limits *limits = andiron_new(p->arena, struct type_limits);
    unsigned held = p->set->held[type], is_free = p->set->free[type];

    for (size_t access = 0; access < ANDIRON_ACCESSES; access++) {
        unsigned letters = letters_for[access];
        if ((held & letters) == 0 || (is_free & letters) != 0)
            continue;
        const char **conditions = conditions_of(p, p->parts[type], letters);
        for (size_t i = 0; i < access && limits->by[access].prepared == NULL; i++)
            if (limits->by[i].prepared != NULL && is_same_list(limits->by[i].any_of, conditions))
                limits->by[access] = limits->by[i];
        if (limits->by[access].prepared == NULL &&
            query_prepare(p->settings->search, p->arena, type, conditions, &limits->by[access],
                          err) != 0)
            return -1;
    }
    p->set->limits[type] = limits;
    return 0;
}

static const struct andiron_limit *limit(const struct andiron_narrowing *self, andiron_str name,
                                         enum andiron_access access)
{
    const struct scope_set *set = (const void *)self; /* its first member */
    int type = fhir_type(name);
    unsigned letters = letters_for[access];

    if (type < 0 || (set->held[type] & letters) == 0)
        return &nothing;
    return (set->free[type] & letters) != 0 ? NULL : &set->limits[type]->by[access];
}

/* ---- all -------------------------------------------------------------------------------- */

int set_compile(const struct set_settings *settings, struct andiron_arena *arena,
                const char *const *scopes, andiron_json context, const struct scope_set **ret,
                struct andiron_error *err)
{
    size_t types = (size_t)FHIR_TYPE_COUNT;
    struct scope_set *set = andiron_new(arena, struct scope_set);
    struct preparing p = { .settings = settings, .arena = arena, .set = set };

    set->narrowing = (struct andiron_narrowing){ .size = sizeof(set->narrowing), .limit = limit };
    set->held = andiron_alloc(arena, types * 2);
    set->free = set->held + types;
    add_patients(&p, andiron_json_get(context, "patient"));
    add_patients(&p, andiron_json_path(context, "context.patient"));
    for (; *scopes != NULL; scopes++) {
        struct scope scope;
        const char *why = NULL;
        enum scope_kind kind = scope_parse(andiron_str_of(*scopes), &scope, &why);
        if (kind == SCOPE_MALFORMED)
            return andiron_error_set(err, ANDIRON_E_CREDENTIALS, "scope", "\"%s\": %s", *scopes,
                                     why);
        if (kind == SCOPE_RESOURCE)
            add_scope(&p, &scope);
    }
    bool is_prepared = set->is_limited && settings->search != NULL;
    if (is_prepared)
        set->limits = andiron_alloc(arena, types * sizeof(set->limits[0]));
    for (int type = 0; is_prepared && type < FHIR_TYPE_COUNT; type++)
        if (p.parts[type] != NULL && limit_type(&p, type, err) != 0)
            return -1;
    *ret = set;
    return 0;
}

unsigned set_letters(const struct scope_set *set, int type)
{
    return set->held[type];
}

bool set_is_limited(const struct scope_set *set)
{
    return set->is_limited;
}

const struct andiron_narrowing *set_narrowing(const struct scope_set *set)
{
    return &set->narrowing;
}
