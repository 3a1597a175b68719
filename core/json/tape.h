/*
 * The tape: how a parsed document lies in memory. Shared by parse.c, view.c and write.c; nobody
 * else looks inside.
 *
 * One node per value and per member name, in source order; a name comes right before its value.
 * A container's node is followed by its content; `size` nodes further the next value begins. An
 * object of more than NAMES_LINEAR members ends with a node that points to its name table.
 * Nodes hold no address of other nodes, so a tape can be moved as a whole.
 */
#ifndef CORE_JSON_TAPE_H
#define CORE_JSON_TAPE_H

#include <andiron/json.h>

enum { NAMES_LINEAR = 16 };

/* Low bits of json_node.info; above them the count of a container. */
enum {
    NODE_TYPE = 7,         /* an enum andiron_json_type */
    NODE_ESCAPED = 1 << 3, /* string: content differs from the text, see `unescaped` */
    NODE_COMPACT = 1 << 4, /* container: the text has no blanks between tokens */
    NODE_INDEXED = 1 << 5, /* object: its last node holds a name table */
    NODE_TRUE = 1 << 6,    /* bool */
    NODE_COUNT_SHIFT = 8,
    NODE_COUNT_MAX = 0xFFFFFF /* no text may hold more values and names */
};

/* Content of a string that has escapes. */
struct json_unescaped {
    uint32_t raw_len; /* bytes in the text, between the quotes */
    uint32_t len;
    char bytes[];
};

/* Open-addressed hash table over an object's member names; 0 is a free slot. */
struct json_names {
    uint32_t mask;    /* slots - 1 */
    uint32_t slots[]; /* distance in nodes from the object to a name */
};

struct json_node {
    uint32_t at; /* byte in the text where the value begins; a string's first byte of content */
    uint32_t info;
    union {
        struct {
            uint32_t len;  /* bytes in the text; of a string without its quotes */
            uint32_t size; /* nodes of a container, itself included */
        };
        const struct json_unescaped *unescaped; /* NODE_ESCAPED */
        const struct json_names *names;         /* the node that ends a NODE_INDEXED object */
    };
};

struct json_doc {
    const char *text;
    struct json_node nodes[];
};

static inline enum andiron_json_type node_type(const struct json_node *n)
{
    return (enum andiron_json_type)(n->info & NODE_TYPE);
}

static inline bool node_is_container(const struct json_node *n)
{
    return (n->info & NODE_TYPE) >= ANDIRON_JSON_ARRAY;
}

/* The node after a value and all it contains. */
static inline const struct json_node *node_after(const struct json_node *n)
{
    return n + (node_is_container(n) ? n->size : 1);
}

/* Where the content of a container ends. */
static inline const struct json_node *node_end(const struct json_node *n)
{
    return n + n->size - ((n->info & NODE_INDEXED) != 0 ? 1 : 0);
}

/* Unescaped content of a string or member name. */
static inline andiron_str node_str(const char *text, const struct json_node *n)
{
    andiron_str s;
    if ((n->info & NODE_ESCAPED) != 0)
        s = (andiron_str){ n->unescaped->bytes, n->unescaped->len };
    else
        s = (andiron_str){ text + n->at, n->len };
    return s;
}

/* Source bytes of a value. */
static inline andiron_str node_raw(const char *text, const struct json_node *n)
{
    andiron_str s = { text + n->at, n->len };
    if (node_type(n) == ANDIRON_JSON_STRING) {
        s.data--;
        s.len = ((n->info & NODE_ESCAPED) != 0 ? n->unescaped->raw_len : n->len) + (size_t)2;
    }
    return s;
}

static inline bool node_is_named(const char *text, const struct json_node *name, andiron_str wanted)
{
    if ((name->info & NODE_ESCAPED) != 0)
        return andiron_str_eq(node_str(text, name), wanted);
    return name->len == wanted.len &&
           (name->len == 0 || memcmp(text + name->at, wanted.data, wanted.len) == 0);
}

#endif
