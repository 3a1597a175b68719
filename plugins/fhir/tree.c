#include "tree.h"

#include "text.h"

struct node *tree_new(struct andiron_arena *arena, andiron_json value)
{
    struct node *node = andiron_new(arena, struct node);
    node->view = value;
    return node;
}

static struct node *new_open(struct andiron_arena *arena, bool is_array)
{
    struct node *node = andiron_new(arena, struct node);
    node->open = true;
    node->is_array = is_array;
    return node;
}

struct node *tree_object(struct andiron_arena *arena)
{
    return new_open(arena, false);
}

struct node *tree_array(struct andiron_arena *arena)
{
    return new_open(arena, true);
}

bool tree_is_object(const struct node *node)
{
    return node->open ? !node->is_array : andiron_json_type(node->view) == ANDIRON_JSON_OBJECT;
}

bool tree_is_array(const struct node *node)
{
    return node->open ? node->is_array : andiron_json_type(node->view) == ANDIRON_JSON_ARRAY;
}

/* Makes room for one more child before `at`. */
static void make_room(struct andiron_arena *arena, struct node *node, size_t at)
{
    if (node->count == node->cap) {
        size_t cap = node->cap > 0 ? node->cap * 2 : 8;
        struct node **more = andiron_alloc(arena, cap * sizeof(more[0]));
        if (node->count > 0)
            memcpy(more, node->children, node->count * sizeof(more[0]));
        node->children = more;
        node->cap = cap;
    }
    memmove(node->children + at + 1, node->children + at,
            (node->count - at) * sizeof(node->children[0]));
    node->count++;
}

/* Takes a value apart into its children. */
static void take_apart(struct andiron_arena *arena, struct node *node)
{
    struct andiron_json_iter it = { .of = node->view };

    if (node->open)
        return;
    node->is_array = andiron_json_type(node->view) == ANDIRON_JSON_ARRAY;
    node->cap = andiron_json_count(node->view) + 1;
    node->children = andiron_alloc(arena, node->cap * sizeof(node->children[0]));
    while (andiron_json_next(&it)) {
        struct node *child = tree_new(arena, it.value);
        child->name = it.name;
        node->children[node->count++] = child;
    }
    node->open = true;
}

size_t tree_count(struct andiron_arena *arena, struct node *node)
{
    if (!tree_is_object(node) && !tree_is_array(node))
        return 0;
    take_apart(arena, node);
    return node->count;
}

/* Place of a member; the count if there is none. */
static size_t place_of(struct andiron_arena *arena, struct node *object, andiron_str name)
{
    if (!tree_is_object(object))
        return SIZE_MAX;
    take_apart(arena, object);
    for (size_t i = 0; i < object->count; i++)
        if (andiron_str_eq(object->children[i]->name, name))
            return i;
    return SIZE_MAX;
}

struct node *tree_member(struct andiron_arena *arena, struct node *object, andiron_str name)
{
    size_t at = place_of(arena, object, name);
    return at != SIZE_MAX ? object->children[at] : NULL;
}

struct node *tree_at(struct andiron_arena *arena, struct node *array, size_t index)
{
    if (!tree_is_array(array))
        return NULL;
    take_apart(arena, array);
    return index < array->count ? array->children[index] : NULL;
}

void tree_set(struct andiron_arena *arena, struct node *object, andiron_str name,
              struct node *value)
{
    size_t at = place_of(arena, object, name);

    value->name = (andiron_str){ andiron_copy(arena, name), name.len };
    if (at == SIZE_MAX) {
        at = object->count;
        make_room(arena, object, at);
    }
    object->children[at] = value;
}

void tree_insert(struct andiron_arena *arena, struct node *array, long index, struct node *value)
{
    take_apart(arena, array);
    size_t at = index == TREE_END ? array->count : (size_t)index;
    make_room(arena, array, at);
    value->name = (andiron_str){ NULL, 0 };
    array->children[at] = value;
}

void tree_replace(struct andiron_arena *arena, struct node *array, size_t index, struct node *value)
{
    take_apart(arena, array);
    value->name = (andiron_str){ NULL, 0 };
    array->children[index] = value;
}

static struct node *take_out(struct node *node, size_t at)
{
    struct node *child = node->children[at];
    node->count--;
    memmove(node->children + at, node->children + at + 1,
            (node->count - at) * sizeof(node->children[0]));
    return child;
}

struct node *tree_take_member(struct andiron_arena *arena, struct node *object, andiron_str name)
{
    size_t at = place_of(arena, object, name);
    return at != SIZE_MAX ? take_out(object, at) : NULL;
}

struct node *tree_take_at(struct andiron_arena *arena, struct node *array, size_t index)
{
    return tree_at(arena, array, index) != NULL ? take_out(array, index) : NULL;
}

/* Deeper than any document may be; patches can nest nodes without end. */
enum { DEPTH_MAX = 200 };

static bool put(struct text *t, const struct node *node, size_t depth)
{
    if (!node->open) {
        text_str(t, andiron_json_raw(node->view));
        return true;
    }
    if (depth == DEPTH_MAX)
        return false;
    text_add(t, node->is_array ? "[" : "{", 1);
    for (size_t i = 0; i < node->count; i++) {
        if (i > 0)
            TEXT_LIT(t, ",");
        if (!node->is_array) {
            text_json(t, node->children[i]->name);
            TEXT_LIT(t, ":");
        }
        if (!put(t, node->children[i], depth + 1))
            return false;
    }
    text_add(t, node->is_array ? "]" : "}", 1);
    return true;
}

andiron_str tree_text(struct andiron_arena *arena, const struct node *node)
{
    struct text t;
    text_init(&t, arena, 1024);
    return put(&t, node, 0) ? text_view(&t) : (andiron_str){ NULL, 0 };
}

andiron_json tree_value(struct andiron_arena *arena, struct node *node)
{
    andiron_json value = { NULL, 0 };
    struct andiron_error err;

    if (!node->open)
        return node->view;
    andiron_str text = tree_text(arena, node);
    if (text.data == NULL || andiron_json_parse(arena, text, &value, &err) != 0)
        return (andiron_json){ NULL, 0 };
    return value;
}
