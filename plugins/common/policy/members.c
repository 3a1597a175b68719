/*
 * The tables of members.
 */
#include "common/policy/members.h"

/* Members that every policy may have. */
static const char *const common_members[] = { "resourceType", "id",     "meta",   "engine",
                                              "description",  "module", "link",   "roleName",
                                              "type",         "active", "effect", "text" };

/* Members of the engines of seed-semantics 5; an engine of a third party owns whatever else it finds. */
static const struct {
    const char *engine, *member;
} engine_members[] = {
    { "allow", NULL },      { "matcho", "matcho" },  { "json-schema", "schema" },
    { "sql", "sql" },       { "complex", "and" },    { "complex", "or" },
    { "allow-rpc", "rpc" }, { "matcho-rpc", "rpc" }, { "smart-on-fhir", NULL },
};
enum { ENGINE_MEMBERS = sizeof(engine_members) / sizeof(engine_members[0]) };

bool policy_member_is_common(andiron_str member)
{
    for (size_t i = 0; i < sizeof(common_members) / sizeof(common_members[0]); i++)
        if (andiron_str_eq(member, andiron_str_of(common_members[i])))
            return true;
    return false;
}

bool policy_member_fits(const char *engine, andiron_str member, const char **ret_owner)
{
    bool built_in = false;
    *ret_owner = NULL;
    for (size_t i = 0; i < ENGINE_MEMBERS; i++) {
        bool same = strcmp(engine_members[i].engine, engine) == 0;
        built_in |= same;
        if (engine_members[i].member == NULL ||
            !andiron_str_eq(member, andiron_str_of(engine_members[i].member)))
            continue;
        if (same)
            return true;
        *ret_owner = engine_members[i].engine;
    }
    return !built_in && *ret_owner == NULL;
}
