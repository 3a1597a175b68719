/*
 * Paths and values of what policies ask for.
 */
#include "common/policy/literals.h"

#include <stdio.h>

static bool enter(struct policy_literals *l, const char *name, size_t len)
{
    size_t dot = l->len > 0 ? 1 : 0;
    if (len == 0 || l->len + dot + len >= sizeof(l->path))
        return false;
    if (dot != 0)
        l->path[l->len] = '.';
    memcpy(l->path + l->len + dot, name, len);
    l->len += dot + len;
    l->kept = NULL;
    return true;
}

bool policy_literals_enter(struct policy_literals *l, andiron_str name)
{
    if (name.len == 0 || memchr(name.data, '.', name.len) != NULL ||
        memchr(name.data, '\0', name.len) != NULL || andiron_str_eq(name, ANDIRON_STR("*")))
        return false;
    return enter(l, name.data, name.len);
}

bool policy_literals_enter_index(struct policy_literals *l, size_t index)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%zu", index);
    return enter(l, text, (size_t)len);
}

bool policy_literals_enter_any(struct policy_literals *l)
{
    return l->len > 0 && enter(l, "*", 1);
}

void policy_literals_leave(struct policy_literals *l, size_t len)
{
    l->len = len;
    l->kept = NULL;
}

bool policy_literals_put(struct policy_literals *l, andiron_str value)
{
    if (l->count == l->max || l->len == 0)
        return false;
    if (l->kept == NULL)
        l->kept = andiron_copy(l->arena, (andiron_str){ l->path, l->len });
    l->ret[l->count++] = (struct andiron_policy_literal){ l->kept, value };
    return true;
}

bool policy_literals_put_fragment(struct policy_literals *l, andiron_str text)
{
    return text.len > 0 && policy_literals_put(l, text);
}

bool policy_literals_put_json(struct policy_literals *l, andiron_json value)
{
    switch (andiron_json_type(value)) {
    case ANDIRON_JSON_STRING:
        return policy_literals_put(l, andiron_json_str(value));
    case ANDIRON_JSON_BOOL:
        return policy_literals_put(l, andiron_json_true(value) ? ANDIRON_STR("true")
                                                               : ANDIRON_STR("false"));
    default:
        return false;
    }
}
