/*
 * Enforcing scopes. Looks at the principal, the operation and the route's type, never at data.
 */
#include "enforce.h"

#include "common/fhir/types.h"
#include "scope.h"
#include "set.h"

/* Where the type that an operation touches is named. */
enum target {
    TARGET_TYPE,   /* {type} of the route; "*" there means TARGET_SYSTEM */
    TARGET_SYSTEM, /* whatever types are covered; the others are hidden from the request */
    TARGET_NONE    /* none itself: its entries are asked for one by one (SC-17) */
};

struct need {
    const char *operation;
    enum target target;
    unsigned letters;
};

/*
 * Seed-semantics 7.4. What is not here is refused to scope-limited principals: platform
 * types and admin operations (SC-12), and operations that nobody has judged yet.
 */
static const struct need needs[] = {
    { "FhirRead", TARGET_TYPE, SCOPE_R },
    { "FhirVread", TARGET_TYPE, SCOPE_R },
    { "FhirHistory", TARGET_TYPE, SCOPE_R },
    { "FhirSearch", TARGET_TYPE, SCOPE_S },
    { "FhirTypeHistory", TARGET_TYPE, SCOPE_S },
    { "FhirCompartmentSearch", TARGET_TYPE, SCOPE_S },
    { "FhirSystemSearch", TARGET_SYSTEM, SCOPE_S },
    { "FhirSystemHistory", TARGET_SYSTEM, SCOPE_S },
    { "FhirCreate", TARGET_TYPE, SCOPE_C },
    { "FhirConditionalCreate", TARGET_TYPE, SCOPE_C | SCOPE_S },
    { "FhirUpdate", TARGET_TYPE, SCOPE_U },
    { "FhirConditionalUpdate", TARGET_TYPE, SCOPE_U | SCOPE_S },
    { "FhirPatch", TARGET_TYPE, SCOPE_U },
    { "FhirConditionalPatch", TARGET_TYPE, SCOPE_U | SCOPE_S },
    { "FhirDelete", TARGET_TYPE, SCOPE_D },
    { "FhirConditionalDelete", TARGET_TYPE, SCOPE_D | SCOPE_S },
    { "FhirTransaction", TARGET_NONE, 0 },
    /* Each type is asked for, too, when it is exported and when its files are fetched. */
    { "FhirExport", TARGET_SYSTEM, SCOPE_R | SCOPE_S },
    { "FhirExportStatus", TARGET_SYSTEM, SCOPE_R | SCOPE_S },
    { "FhirExportFile", TARGET_SYSTEM, SCOPE_R | SCOPE_S },
    { "FhirExportStream", TARGET_TYPE, SCOPE_R | SCOPE_S },
    { "FhirImport", TARGET_NONE, 0 }, /* each line is asked for by itself, as of a batch */
    /* FhirOperation: the last part of the path */
    { "$meta", TARGET_TYPE, SCOPE_R },
    { "$meta-add", TARGET_TYPE, SCOPE_U },
    { "$meta-delete", TARGET_TYPE, SCOPE_U },
    { "$everything", TARGET_TYPE, SCOPE_R },
    { "$versions", TARGET_NONE, 0 },
    { "FhirValidate", TARGET_TYPE, SCOPE_R }, /* it may show what is stored, and changes nothing */
};

/* $meta without an id, of a type or of all, says what a search could find out. */
static const struct need meta_of_type = { "$meta", TARGET_TYPE, SCOPE_S };
static const struct need meta_of_all = { "$meta", TARGET_SYSTEM, SCOPE_S };

/* What an operation is known by in the table. */
static andiron_str key_of(const struct enforce_question *q)
{
    size_t at = q->path.len;

    if (!andiron_str_eq(q->operation, ANDIRON_STR("FhirOperation")))
        return q->operation;
    while (at > 0 && q->path.data[at - 1] != '/')
        at--;
    return (andiron_str){ q->path.data + at, q->path.len - at };
}

static const struct need *need_of(const struct enforce_question *q)
{
    andiron_str key = key_of(q);

    if (andiron_str_eq(key, ANDIRON_STR("$meta")) && q->id.data == NULL)
        return q->type.data != NULL ? &meta_of_type : &meta_of_all;
    for (size_t i = 0; key.len > 0 && i < sizeof(needs) / sizeof(needs[0]); i++)
        if (andiron_str_eq(andiron_str_of(needs[i].operation), key))
            return &needs[i];
    return NULL;
}

static bool is_system_level(const struct need *need, andiron_str type)
{
    return need->target == TARGET_SYSTEM ||
           (need->target == TARGET_TYPE && andiron_str_eq(type, ANDIRON_STR("*")));
}

/* Letters that the set holds for what the request touches; *ret_type is that type or "*". */
static unsigned letters_held(const struct scope_set *set, const struct need *need, andiron_str type,
                             andiron_str *ret_type)
{
    *ret_type = ANDIRON_STR("*");
    if (is_system_level(need, type)) {
        for (int i = 0; i < FHIR_TYPE_COUNT; i++)
            if ((set_letters(set, i) & need->letters) == need->letters)
                return need->letters;
        return 0;
    }
    *ret_type = type;
    int index = fhir_type(type);
    return index >= 0 ? set_letters(set, index) : 0; /* SC-12: platform types are in no set */
}

static bool covers(const struct scope_set *set, const struct enforce_question *q,
                   const struct need **ret_need, andiron_str *ret_type)
{
    const struct need *need = need_of(q);

    *ret_need = need;
    if (set == NULL || need == NULL)
        return false;
    if (need->target == TARGET_NONE)
        return true;
    return (letters_held(set, need, q->type, ret_type) & need->letters) == need->letters;
}

static struct enforce_question question_of(const struct andiron_request *req)
{
    return (struct enforce_question){ andiron_str_of(andiron_request_operation(req)),
                                      andiron_request_path(req), andiron_request_var(req, "type"),
                                      andiron_request_var(req, "id") };
}

bool enforce_would_cover(const struct scope_set *set, const struct enforce_question *question)
{
    const struct need *need;
    andiron_str type;
    return covers(set, question, &need, &type);
}

bool enforce_covered(const struct andiron_request *req)
{
    const struct andiron_principal *principal = andiron_request_principal(req);
    const struct enforce_question question = question_of(req);
    return principal->scopes != NULL && enforce_would_cover(principal->scope_set, &question);
}

/* SC-10: the challenge names a scope that would do, where one would. */
static andiron_str challenge(struct andiron_request *req, const struct need *need, andiron_str type)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    int index = fhir_type(type);
    bool is_system = need != NULL && is_system_level(need, andiron_request_var(req, "type"));
    if (need == NULL || (!is_system && need->target == TARGET_TYPE && index < 0))
        return ANDIRON_STR("Bearer realm=\"andiron\", error=\"insufficient_scope\"");
    andiron_str scope = scope_text(
        arena, SCOPE_SYSTEM, !is_system && need->target == TARGET_TYPE ? index : SCOPE_ANY_TYPE,
        need->letters, false, (andiron_str){ NULL, 0 });
    return andiron_str_of(andiron_printf(
        arena, "Bearer realm=\"andiron\", error=\"insufficient_scope\", scope=\"%.*s\"",
        (int)scope.len, scope.data));
}

/* SC-14: of several types, those that are not covered have no resources for the request. */
static bool is_of_several_types(const struct need *need, const struct andiron_request *req)
{
    return is_system_level(need, andiron_request_var(req, "type")) ||
           strcmp(need->operation, "$everything") == 0;
}

enum andiron_step enforce_authorize(struct andiron_request *req, void *self)
{
    (void)self;
    const struct andiron_principal *principal = andiron_request_principal(req);
    const struct need *need;
    andiron_str type = { NULL, 0 };

    if (principal->scopes == NULL)
        return ANDIRON_NEXT;
    const struct enforce_question question = question_of(req);
    if (covers(principal->scope_set, &question, &need, &type)) {
        /* Otherwise each type that a request looks into is asked for, and held as a whole. */
        const struct scope_set *set = principal->scope_set;
        if (set_is_limited(set) || is_of_several_types(need, req))
            andiron_request_narrow_with(req, set_narrowing(set));
        return ANDIRON_NEXT;
    }
    andiron_reply_header(req, "WWW-Authenticate", challenge(req, need, type));
    andiron_request_note(req, "reason", ANDIRON_STR("insufficient_scope"));
    return andiron_fail(req, ANDIRON_E_FORBIDDEN, "the token's scopes do not cover this request");
}
