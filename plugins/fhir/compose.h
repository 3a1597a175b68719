/*
 * The stored form of a resource: the text that was sent, without the blanks between
 * its tokens, every member in its place; only `id`, `meta` and, in a transaction,
 * references are rewritten where they stand.
 *
 * What is known only at the commit (version, time, ids of conditional writes) is a hole
 * in the text: compose() runs on the request's side, stamp() fills the holes on the
 * store's. Pure, any thread.
 */
#ifndef FHIR_COMPOSE_H
#define FHIR_COMPOSE_H

#include <andiron/json.h>
#include <andiron/store.h>

#include "rewrite.h"
#include "types.h"

enum hole_kind {
    HOLE_VERSION, /* meta.versionId, digits */
    HOLE_TIME,    /* meta.lastUpdated */
    HOLE_CREATED, /* creation instant */
    HOLE_ID       /* id that writes[write] ended up with */
};

struct hole {
    size_t at; /* in the text: what stands there comes behind the hole */
    enum hole_kind kind;
    size_t write;        /* HOLE_ID */
    andiron_str planned; /* HOLE_ID: the id it has unless its condition matched another */
};

struct draft {
    andiron_str text; /* all but the holes */
    struct hole *holes;
    size_t hole_count;
    bool rewritten;                     /* some reference was */
    andiron_usec created;               /* of the first version; 0: this write is it */
    const struct andiron_write *writes; /* what HOLE_ID is about: all of the commit */
    const size_t *places;               /* where writes[hole.write] is now; NULL: there */
};

struct composing {
    struct andiron_arena *arena;
    const struct resource_type *type;
    andiron_json root;
    andiron_str id;
    bool id_is_hole;                 /* the id may change: it is that of writes[write] */
    size_t write;                    /* index of this write in the commit */
    andiron_str created_at_url;      /* FHIR types: put the creation time there; absent: nowhere */
    andiron_usec created;            /* as in draft */
    const struct rewrites *rewrites; /* of a transaction; or NULL */
};

void compose(const struct composing *how, struct draft *ret);

/* Body of a draft for a version, in arena. */
andiron_str compose_stamped(const struct draft *draft, struct andiron_arena *arena,
                            uint64_t version, andiron_usec updated);

/* stamp() of an andiron_write whose stamp_state is a struct draft; its terms must be writable. */
void compose_stamp(void *state, struct andiron_arena *arena, struct andiron_write *write);

/* Adds from..to without the blanks between tokens; it must not begin or end inside a token. */
struct text;
void compose_compact(struct text *out, const char *from, const char *to);

/*
 * Where the member of an object begins whose value is `value`: its name's first quote.
 * from is the end of the value before it, or the place behind the '{'.
 */
const char *compose_member(const char *from);

#endif
