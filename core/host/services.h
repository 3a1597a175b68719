/*
 * Services among plugins: who provides what, and the order that needs and wants demand.
 */
#ifndef CORE_HOST_SERVICES_H
#define CORE_HOST_SERVICES_H

#include <andiron/plugin.h>

#include "host/problems.h"

/* A plugin as far as its services matter; a row for each, in file order. */
struct services_member {
    const struct andiron_plugin *table;
    const char *file; /* where its section stands, for problems */
    unsigned line;
};

/*
 * Where a provider that is not enabled could be had: "run: andiron enable search", in arena; or
 * NULL. name is a service or "kind/major:".
 */
typedef const char *(*services_hint_fn)(void *arg, const char *name);

/*
 * Adds problems for services provided twice, needs that nobody meets and cycles. Writes the
 * plugins' order to ret_order (count indices into members): after what they need and want, ties
 * by file order. With a cycle the order is that of the files.
 */
void services_order(const struct services_member *members, size_t count, services_hint_fn hint,
                    void *hint_arg, struct problems *problems, size_t *ret_order);

/* provided is name, or one of its instances if name ends in ':'. */
bool services_match(const char *name, const char *provided);

/* table declares name in needs, wants or uses; an instance is declared by its "kind/major:" too. */
bool services_declared(const struct andiron_plugin *table, const char *name);

#endif
