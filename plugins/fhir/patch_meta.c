/*
 * $meta-add and $meta-delete as patches: profiles, tags and security labels of a Parameters
 * resource are put into meta, or taken out of it.
 */
#include "patch.h"
#include "tree.h"

/* The same profile; or a coding with the same system and code. */
static bool same(andiron_json a, andiron_json b)
{
    if (andiron_json_type(a) == ANDIRON_JSON_STRING)
        return andiron_str_eq(andiron_json_str(a), andiron_json_str(b)) &&
               andiron_json_type(b) == ANDIRON_JSON_STRING;
    return andiron_str_eq(andiron_json_str(andiron_json_get(a, "system")),
                          andiron_json_str(andiron_json_get(b, "system"))) &&
           andiron_str_eq(andiron_json_str(andiron_json_get(a, "code")),
                          andiron_json_str(andiron_json_get(b, "code")));
}

static void edit_list(struct patching *p, struct node *meta, andiron_str name, andiron_json given)
{
    bool adds = p->patch->kind == PATCH_META_ADD;
    struct andiron_json_iter it = { .of = given };

    while (andiron_json_next(&it)) {
        struct node *list = tree_member(p->arena, meta, name);
        size_t count = list != NULL ? tree_count(p->arena, list) : 0, at = 0;
        while (at < count && !same(it.value, tree_value(p->arena, tree_at(p->arena, list, at))))
            at++;
        if (!adds && at < count) {
            (void)tree_take_at(p->arena, list, at);
            if (count == 1)
                (void)tree_take_member(p->arena, meta, name);
        } else if (adds && at == count) {
            if (list == NULL) {
                list = tree_array(p->arena);
                tree_set(p->arena, meta, name, list);
            }
            tree_insert(p->arena, list, TREE_END, tree_new(p->arena, it.value));
        }
    }
}

static andiron_json given_meta(andiron_json parameters)
{
    struct andiron_json_iter it = { .of = andiron_json_get(parameters, "parameter") };

    if (!andiron_str_eq(andiron_json_str(andiron_json_get(parameters, "resourceType")),
                        ANDIRON_STR("Parameters")))
        return (andiron_json){ NULL, 0 };
    while (andiron_json_next(&it))
        if (andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "name")),
                           ANDIRON_STR("meta")))
            return andiron_json_get(it.value, "valueMeta");
    return (andiron_json){ NULL, 0 };
}

int patch_meta(struct patching *p)
{
    static const char *const lists[] = { "profile", "tag", "security" };
    andiron_json given = given_meta(p->patch->doc);
    struct node *meta = tree_member(p->arena, p->root, ANDIRON_STR("meta"));
    size_t count = 0;

    if (andiron_json_type(given) != ANDIRON_JSON_OBJECT)
        return andiron_error_set(p->err, ANDIRON_E_INVALID, "Parameters.parameter",
                                 "a parameter 'meta' with a valueMeta is needed");
    for (size_t i = 0; i < 3; i++) {
        enum andiron_json_type type = andiron_json_type(andiron_json_get(given, lists[i]));
        if (type != ANDIRON_JSON_MISSING && type != ANDIRON_JSON_ARRAY)
            return andiron_error_set(p->err, ANDIRON_E_INVALID, "Parameters.parameter",
                                     "%s of a meta must be an array", lists[i]);
        count += andiron_json_count(andiron_json_get(given, lists[i]));
    }
    if (count > p->patch->max_operations)
        return andiron_error_set(p->err, ANDIRON_E_TOO_LARGE, "Parameters.parameter",
                                 "more than %zu profiles, tags and labels",
                                 p->patch->max_operations);
    if (meta == NULL || !tree_is_object(meta)) {
        meta = tree_object(p->arena);
        tree_set(p->arena, p->root, ANDIRON_STR("meta"), meta);
    }
    for (size_t i = 0; i < 3; i++)
        edit_list(p, meta, andiron_str_of(lists[i]), andiron_json_get(given, lists[i]));
    return 0;
}
