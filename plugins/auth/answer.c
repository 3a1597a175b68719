/*
 * Answers of introspection endpoints.
 */
#include "answer.h"

#include <strings.h>

static bool is_word(andiron_json v, const char *word)
{
    andiron_str text = andiron_json_str(v);
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

static bool has(andiron_json object, const char *name)
{
    return andiron_json_type(andiron_json_get(object, name)) != ANDIRON_JSON_MISSING;
}

enum answer answer_read(struct andiron_arena *arena, andiron_str body, andiron_json *ret_claims,
                        struct andiron_error *err)
{
    andiron_json root, active;

    if (andiron_json_parse(arena, body, &root, err) != 0)
        return ANSWER_BROKEN;
    active = andiron_json_get(root, "active");
    if (andiron_json_type(root) != ANDIRON_JSON_OBJECT ||
        andiron_json_type(active) != ANDIRON_JSON_BOOL) {
        (void)andiron_error_set(err, ANDIRON_E_STRUCTURE, "active",
                                "must be an object whose active is a boolean");
        return ANSWER_BROKEN;
    }
    /* A refresh token is active as well; whoever presents one here has taken the wrong one. */
    if (!andiron_json_true(active) ||
        (has(root, "token_type") && !is_word(andiron_json_get(root, "token_type"), "Bearer")) ||
        (has(root, "token_use") && !is_word(andiron_json_get(root, "token_use"), "access_token")))
        return ANSWER_INACTIVE;
    *ret_claims = root;
    return ANSWER_ACTIVE;
}
