/*
 * JSON Patch (RFC 6902): add, remove, replace, move, copy and test, with JSON Pointers (RFC 6901).
 */
#include "patch.h"
#include "tree.h"

/* Deeper than a document may be; it also bounds how deep the tree gets. */
enum { POINTER_MAX = 64 };

struct operation {
    struct patching *p;
    size_t index;
    andiron_str op, path, from;
    andiron_json value;
};

/* Where a pointer leads: a container, and the last token within it. */
struct spot {
    struct node *parent; /* NULL: the whole document */
    andiron_str token;
};

#define SHOWN(s) (int)((s).len < 80 ? (s).len : 80), (s).len > 0 ? (s).data : ""

/* The patch itself is wrong. */
static int malformed(const struct operation *o, const char *what)
{
    return andiron_error_set(o->p->err, ANDIRON_E_INVALID, "", "operation %zu of the patch: %s",
                             o->index, what);
}

/* The patch does not fit the resource. */
static int unfit(const struct operation *o, andiron_str path, const char *why)
{
    return andiron_error_set(o->p->err, ANDIRON_E_UNPROCESSABLE, "",
                             "operation %zu of the patch, %.*s %.*s: %s", o->index, SHOWN(o->op),
                             SHOWN(path), why);
}

/* Unescapes a token (RFC 6901 section 4); -1 for a '~' that is no escape. */
static int unescape(struct andiron_arena *arena, andiron_str *token)
{
    if (token->len == 0 || memchr(token->data, '~', token->len) == NULL)
        return 0;
    char *out = andiron_alloc(arena, token->len);
    size_t len = 0;
    for (size_t i = 0; i < token->len; i++) {
        char c = token->data[i];
        if (c == '~') {
            if (++i == token->len || (token->data[i] != '0' && token->data[i] != '1'))
                return -1;
            c = token->data[i] == '0' ? '~' : '/';
        }
        out[len++] = c;
    }
    *token = (andiron_str){ out, len };
    return 0;
}

/* An index of an array (RFC 6901 section 4: no leading zeros); -1 for anything else. */
static long index_of(andiron_str token)
{
    long index = 0;
    if (token.len == 0 || token.len > 9 || (token.len > 1 && token.data[0] == '0'))
        return -1;
    for (size_t i = 0; i < token.len; i++) {
        if (token.data[i] < '0' || token.data[i] > '9')
            return -1;
        index = index * 10 + (token.data[i] - '0');
    }
    return index;
}

static struct node *child(struct andiron_arena *arena, struct node *node, andiron_str token)
{
    if (tree_is_object(node))
        return tree_member(arena, node, token);
    long index = index_of(token);
    return index >= 0 ? tree_at(arena, node, (size_t)index) : NULL;
}

/* Cuts the next token off a pointer that begins with '/'. */
static andiron_str next_token(andiron_str *path)
{
    const char *at = path->data + 1;
    const char *slash = path->len > 1 ? memchr(at, '/', path->len - 1) : NULL;
    andiron_str token = { at, slash != NULL ? (size_t)(slash - at) : path->len - 1 };
    path->data += token.len + 1;
    path->len -= token.len + 1;
    return token;
}

static int find(struct operation *o, andiron_str path, struct spot *ret)
{
    struct node *node = o->p->root;
    andiron_str rest = path, token;

    *ret = (struct spot){ NULL, { NULL, 0 } };
    if (rest.len > 0 && rest.data[0] != '/')
        return malformed(o, "a path must be empty or begin with '/'");
    for (size_t depth = 0; rest.len > 0; depth++) {
        token = next_token(&rest);
        if (depth == POINTER_MAX)
            return malformed(o, "a path may have 64 parts at most");
        if (unescape(o->p->arena, &token) != 0)
            return malformed(o, "'~' in a path must be written ~0, and '/' in a name ~1");
        if (!tree_is_object(node) && !tree_is_array(node))
            return unfit(o, path, "there is no such place");
        *ret = (struct spot){ node, token };
        if (rest.len == 0)
            return 0;
        node = child(o->p->arena, node, token);
        if (node == NULL)
            return unfit(o, path, "there is no such place");
    }
    return 0;
}

/* The value at a spot; NULL: there is none, and err is set. */
static struct node *present(struct operation *o, andiron_str path, const struct spot *spot)
{
    struct node *node =
        spot->parent == NULL ? o->p->root : child(o->p->arena, spot->parent, spot->token);
    if (node == NULL)
        (void)unfit(o, path, "there is nothing at this place");
    return node;
}

static int add(struct operation *o, andiron_str path, struct node *value)
{
    struct andiron_arena *arena = o->p->arena;
    struct spot spot;

    if (find(o, path, &spot) != 0)
        return -1;
    if (spot.parent == NULL) {
        o->p->root = value;
        return 0;
    }
    if (tree_is_object(spot.parent)) {
        tree_set(arena, spot.parent, spot.token, value);
        return 0;
    }
    bool last = andiron_str_eq(spot.token, ANDIRON_STR("-"));
    long index = last ? TREE_END : index_of(spot.token);
    if (!last && (index < 0 || (size_t)index > tree_count(arena, spot.parent)))
        return unfit(o, path, "the array has no such place");
    tree_insert(arena, spot.parent, index, value);
    return 0;
}

static struct node *take(struct operation *o, andiron_str path)
{
    struct spot spot;

    if (find(o, path, &spot) != 0 || present(o, path, &spot) == NULL)
        return NULL;
    if (spot.parent == NULL) {
        (void)unfit(o, path, "the whole resource cannot be removed");
        return NULL;
    }
    return tree_is_object(spot.parent)
               ? tree_take_member(o->p->arena, spot.parent, spot.token)
               : tree_take_at(o->p->arena, spot.parent, (size_t)index_of(spot.token));
}

static int replace(struct operation *o)
{
    struct spot spot;
    struct node *value = tree_new(o->p->arena, o->value);

    if (find(o, o->path, &spot) != 0 || present(o, o->path, &spot) == NULL)
        return -1;
    if (spot.parent == NULL)
        o->p->root = value;
    else if (tree_is_object(spot.parent))
        tree_set(o->p->arena, spot.parent, spot.token, value);
    else
        tree_replace(o->p->arena, spot.parent, (size_t)index_of(spot.token), value);
    return 0;
}

static int move(struct operation *o)
{
    if (o->path.len > o->from.len && memcmp(o->path.data, o->from.data, o->from.len) == 0 &&
        o->path.data[o->from.len] == '/')
        return malformed(o, "a value cannot be moved into itself");
    struct spot spot;
    if (andiron_str_eq(o->path, o->from))
        return find(o, o->from, &spot) != 0 || present(o, o->from, &spot) == NULL ? -1 : 0;
    struct node *value = take(o, o->from);
    return value != NULL ? add(o, o->path, value) : -1;
}

static int copy(struct operation *o)
{
    struct spot spot;
    struct node *value;

    if (find(o, o->from, &spot) != 0 || (value = present(o, o->from, &spot)) == NULL)
        return -1;
    andiron_json content = tree_value(o->p->arena, value);
    o->p->copied += andiron_json_raw(content).len;
    if (andiron_json_type(content) == ANDIRON_JSON_MISSING || o->p->copied > PATCH_COPY_MAX)
        return unfit(o, o->path, "the result would be too large");
    return add(o, o->path, tree_new(o->p->arena, content));
}

static int test(struct operation *o)
{
    struct spot spot;
    struct node *value;

    if (find(o, o->path, &spot) != 0 || (value = present(o, o->path, &spot)) == NULL)
        return -1;
    andiron_json content = tree_value(o->p->arena, value);
    o->p->copied += value->open ? andiron_json_raw(content).len : 0;
    if (o->p->copied > PATCH_COPY_MAX)
        return unfit(o, o->path, "the patch compares too much");
    return andiron_json_equal(content, o->value) ? 0
                                                 : unfit(o, o->path, "the value is another one");
}

static int apply(struct operation *o)
{
    struct node *taken;

    if (andiron_str_eq(o->op, ANDIRON_STR("add")))
        return add(o, o->path, tree_new(o->p->arena, o->value));
    if (andiron_str_eq(o->op, ANDIRON_STR("remove"))) {
        taken = take(o, o->path);
        return taken != NULL ? 0 : -1;
    }
    if (andiron_str_eq(o->op, ANDIRON_STR("replace")))
        return replace(o);
    if (andiron_str_eq(o->op, ANDIRON_STR("move")))
        return move(o);
    if (andiron_str_eq(o->op, ANDIRON_STR("copy")))
        return copy(o);
    return test(o);
}

/* Whether all members are there that the operation needs (RFC 6902 section 4). */
static int check(const struct operation *o, andiron_json object)
{
    static const struct {
        const char *op;
        bool value, from;
    } known[] = { { "add", true, false },  { "remove", false, false }, { "replace", true, false },
                  { "move", false, true }, { "copy", false, true },    { "test", true, false } };

    if (andiron_json_type(andiron_json_get(object, "path")) != ANDIRON_JSON_STRING)
        return malformed(o, "a path is needed");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!andiron_str_eq(o->op, andiron_str_of(known[i].op)))
            continue;
        if (known[i].value && andiron_json_type(o->value) == ANDIRON_JSON_MISSING)
            return malformed(o, "a value is needed");
        if (known[i].from &&
            andiron_json_type(andiron_json_get(object, "from")) != ANDIRON_JSON_STRING)
            return malformed(o, "from is needed");
        return 0;
    }
    return malformed(o, "op must be add, remove, replace, move, copy or test");
}

int patch_json(struct patching *p)
{
    struct andiron_json_iter it = { .of = p->patch->doc };

    if (andiron_json_type(it.of) != ANDIRON_JSON_ARRAY)
        return andiron_error_set(p->err, ANDIRON_E_INVALID, "",
                                 "a JSON Patch must be an array of operations");
    if (andiron_json_count(it.of) > p->patch->max_operations)
        return andiron_error_set(p->err, ANDIRON_E_TOO_LARGE, "",
                                 "a patch may have %zu operations at most",
                                 p->patch->max_operations);
    for (size_t i = 0; andiron_json_next(&it); i++) {
        struct operation o = { .p = p,
                               .index = i,
                               .op = andiron_json_str(andiron_json_get(it.value, "op")),
                               .path = andiron_json_str(andiron_json_get(it.value, "path")),
                               .from = andiron_json_str(andiron_json_get(it.value, "from")),
                               .value = andiron_json_get(it.value, "value") };
        if (check(&o, it.value) != 0 || apply(&o) != 0)
            return -1;
    }
    return 0;
}
