#include "patch.h"

#include "negotiate.h"
#include "tree.h"

enum patch_kind patch_kind(andiron_str content_type)
{
    const char *end =
        content_type.len > 0 ? memchr(content_type.data, ';', content_type.len) : NULL;
    andiron_str type = { content_type.data,
                         end != NULL ? (size_t)(end - content_type.data) : content_type.len };

    while (type.len > 0 && type.data[type.len - 1] == ' ')
        type.len--;
    if (negotiate_is_type(type, "application/json-patch+json"))
        return PATCH_JSON;
    if (negotiate_is_type(type, "application/merge-patch+json"))
        return PATCH_MERGE;
    return content_type.len > 0 && negotiate_is_json(content_type) ? PATCH_FHIRPATH : PATCH_NONE;
}

/* RFC 7396 section 2. Nesting is that of the patch, which the parser limits. */
static struct node *merge(struct andiron_arena *arena, struct node *target, andiron_json patch)
{
    struct andiron_json_iter it = { .of = patch };

    if (andiron_json_type(patch) != ANDIRON_JSON_OBJECT)
        return tree_new(arena, patch);
    if (target == NULL || !tree_is_object(target))
        target = tree_object(arena);
    while (andiron_json_next(&it)) {
        if (andiron_json_type(it.value) == ANDIRON_JSON_NULL)
            (void)tree_take_member(arena, target, it.name);
        else
            tree_set(arena, target, it.name,
                     merge(arena, tree_member(arena, target, it.name), it.value));
    }
    return target;
}

int patch_merge(struct patching *p)
{
    if (andiron_json_type(p->patch->doc) != ANDIRON_JSON_OBJECT)
        return andiron_error_set(p->err, ANDIRON_E_INVALID, "",
                                 "a JSON Merge Patch must be an object");
    p->root = merge(p->arena, p->root, p->patch->doc);
    return 0;
}

int patch_apply(struct andiron_arena *arena, const struct resource_type *type,
                const struct patch *patch, andiron_json target, andiron_str *ret_text,
                struct andiron_error *err)
{
    struct patching p = {
        .arena = arena, .type = type, .patch = patch, .root = tree_new(arena, target), .err = err
    };
    static int (*const kinds[])(struct patching * p) = { [PATCH_JSON] = patch_json,
                                                         [PATCH_MERGE] = patch_merge,
                                                         [PATCH_FHIRPATH] = patch_fhirpath,
                                                         [PATCH_META_ADD] = patch_meta,
                                                         [PATCH_META_DELETE] = patch_meta };
    int failed = kinds[patch->kind](&p);
    if (failed != 0)
        return -1;
    andiron_str text = tree_text(arena, p.root);
    if (text.data == NULL)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "",
                                 "the result of the patch is nested too deeply");
    *ret_text = text;
    return 0;
}
