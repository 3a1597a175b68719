/*
 * SMART scopes, one at a time. Uses the list of FHIR types, nothing else.
 */
#include "scope.h"

#include "common/fhir/types.h"

static const andiron_str contexts[SCOPE_CONTEXTS] = {
    [SCOPE_PATIENT] = { "patient", 7 },
    [SCOPE_USER] = { "user", 4 },
    [SCOPE_SYSTEM] = { "system", 6 },
};

static const char letter_names[] = "cruds";

/* Permissions of SMART 1.0 and what they mean in 2.0 (scopes-and-launch-context, "Scopes for requesting clinical data"). */
static const struct {
    andiron_str name;
    unsigned letters;
} v1_names[] = {
    { { "read", 4 }, SCOPE_R | SCOPE_S },
    { { "write", 5 }, SCOPE_C | SCOPE_U | SCOPE_D },
    { { "*", 1 }, SCOPE_C | SCOPE_R | SCOPE_U | SCOPE_D | SCOPE_S },
};
enum { V1_NAMES = sizeof(v1_names) / sizeof(v1_names[0]) };

/* RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ) */
static bool is_token(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x21 || c > 0x7E || c == '"' || c == '\\')
            return false;
    }
    return text.len > 0;
}

/* Splits text at the first `at`; *ret_head is what stands before it. */
static bool split(andiron_str *text, char at, andiron_str *ret_head)
{
    const char *found = text->len > 0 ? memchr(text->data, at, text->len) : NULL;
    if (found == NULL)
        return false;
    size_t n = (size_t)(found - text->data);
    *ret_head = (andiron_str){ text->data, n };
    *text = (andiron_str){ found + 1, text->len - n - 1 };
    return true;
}

static int context_of(andiron_str name)
{
    for (int i = 0; i < SCOPE_CONTEXTS; i++)
        if (andiron_str_eq(name, contexts[i]))
            return i;
    return -1;
}

/* A non-empty subsequence of "cruds": each letter at most once, in that order. */
static unsigned letters_of(andiron_str perm)
{
    unsigned letters = 0;
    size_t at = 0;
    for (size_t i = 0; i < perm.len; i++) {
        while (at < 5 && letter_names[at] != perm.data[i])
            at++;
        if (at == 5)
            return 0;
        letters |= 1u << at++;
    }
    return letters;
}

static enum scope_kind malformed(const char **ret_why, const char *why)
{
    if (ret_why != NULL)
        *ret_why = why;
    return SCOPE_MALFORMED;
}

bool scope_next_pair(andiron_str *query, andiron_str *ret)
{
    if (query->data == NULL)
        return false;
    if (!split(query, '&', ret)) {
        *ret = *query;
        *query = (andiron_str){ NULL, 0 };
    }
    return true;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* "category", "code:in": neither chains, which have a '.', nor _has, which has more than one ':'. */
static bool is_name(andiron_str name)
{
    andiron_str parameter = name;
    if (split(&name, ':', &parameter) && name.len == 0)
        return false;
    if (name.data == parameter.data)
        name.len = 0; /* no modifier */
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_char(name.data[i]))
            return false;
    for (size_t i = 0; i < parameter.len; i++)
        if (!is_name_char(parameter.data[i]))
            return false;
    return parameter.len > 0;
}

/* SC-2. NULL, or what is wrong. */
static const char *query_wrong(const struct scope *scope)
{
    andiron_str rest = scope->query, pair, name;

    if (scope->v1)
        return "a query needs v2 permissions, such as rs";
    if (scope->type == SCOPE_ANY_TYPE)
        return "a query needs a type, not *";
    while (scope_next_pair(&rest, &pair)) {
        if (!split(&pair, '=', &name) || pair.len == 0)
            return "a query is name=value, joined by &";
        if (!is_name(name))
            return "the names of a query are search parameters, perhaps with a modifier: no "
                   "chains, "
                   "no _has";
        if (andiron_str_eq(name, ANDIRON_STR("_compartment")))
            return "_compartment is no search parameter";
    }
    return NULL;
}

enum scope_kind scope_parse(andiron_str text, struct scope *ret, const char **ret_why)
{
    if (!is_token(text))
        return malformed(ret_why,
                         "a scope is one word of visible ASCII without quotes or backslashes");

    andiron_str rest = text, head, type;
    if (!split(&rest, '/', &head))
        return SCOPE_OTHER;
    int context = context_of(head);
    if (context < 0)
        return SCOPE_OTHER;

    struct scope scope = { .context = (enum scope_context)context, .type = SCOPE_ANY_TYPE };
    if (!split(&rest, '.', &type))
        return malformed(ret_why, "a resource scope is context/Type.permissions");
    if (!andiron_str_eq(type, ANDIRON_STR("*"))) {
        scope.type = fhir_type(type);
        if (scope.type < 0)
            return malformed(ret_why, "its type is no FHIR R4 resource type");
    }
    andiron_str perm = rest;
    if (split(&rest, '?', &perm))
        scope.query = rest;
    for (size_t i = 0; i < V1_NAMES; i++) {
        if (!andiron_str_eq(perm, v1_names[i].name))
            continue;
        scope.v1 = true;
        scope.letters = v1_names[i].letters;
    }
    if (!scope.v1)
        scope.letters = letters_of(perm);
    if (scope.letters == 0)
        return malformed(ret_why,
                         "its permissions are read, write, * or some of \"cruds\" in that order");
    const char *wrong = scope.query.data != NULL ? query_wrong(&scope) : NULL;
    if (wrong != NULL)
        return malformed(ret_why, wrong);
    *ret = scope;
    return SCOPE_RESOURCE;
}

/* Writes the letters into perm (at least 6 bytes); returns how many there are. */
static size_t write_letters(unsigned letters, char *perm)
{
    size_t n = 0;
    for (size_t i = 0; i < 5; i++)
        if ((letters & 1u << i) != 0)
            perm[n++] = letter_names[i];
    return n;
}

andiron_str scope_text(struct andiron_arena *arena, enum scope_context context, int type,
                       unsigned letters, bool v1, andiron_str query)
{
    char written[8];
    andiron_str perm = { written, write_letters(letters, written) };
    for (size_t i = 0; v1 && query.len == 0 && i < V1_NAMES; i++)
        if (v1_names[i].letters == letters)
            perm = v1_names[i].name;
    andiron_str name = andiron_str_of(type == SCOPE_ANY_TYPE ? "*" : fhir_type_name(type));
    return andiron_str_of(andiron_printf(arena, "%s/%.*s.%.*s%s%.*s", contexts[context].data,
                                         (int)name.len, name.data, (int)perm.len, perm.data,
                                         query.len > 0 ? "?" : "", (int)query.len,
                                         query.len > 0 ? query.data : ""));
}

bool scope_next_token(andiron_str *list, andiron_str *ret)
{
    while (list->len > 0 && list->data[0] == ' ') {
        list->data++;
        list->len--;
    }
    if (list->len == 0)
        return false;
    if (!split(list, ' ', ret)) {
        *ret = *list;
        list->len = 0;
    }
    return true;
}
