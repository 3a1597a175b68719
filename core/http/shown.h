/*
 * What policies see of Clients, Users and Roles, kept by each loop: their requests come by the
 * thousand, and each would prune, write and parse the same resource again.
 *
 * Found by the resource's own text, all of it, so that nothing need tell that it changed. Thread-safe:
 * an engine may look at a request beside its loop.
 */
#ifndef CORE_HTTP_SHOWN_H
#define CORE_HTTP_SHOWN_H

#include <andiron/json.h>

struct shown_cache;

struct shown_cache *shown_cache_new(void);
void shown_cache_free(struct shown_cache *cache); /* NULL is allowed */

/* What was kept for that resource, valid as long as holder; false if nothing was. */
bool shown_find(struct shown_cache *cache, struct andiron_arena *holder, andiron_json of,
                andiron_json *ret);

/*
 * Parses text, which may be empty (nothing is shown: MISSING), and keeps it for that resource if it is
 * small. The result is valid as long as holder.
 */
andiron_json shown_keep(struct shown_cache *cache, struct andiron_arena *holder, andiron_json of,
                        andiron_str text);

#endif
