/*
 * Keys of a commit's writes: packed before the job is queued, where that can be done, to spare
 * the writer. What then has no number yet is settled by the writer.
 */
#ifndef STORE_SQLITE_PACK_H
#define STORE_SQLITE_PACK_H

#include "common/store/keys.h"
#include "writer.h"

struct pack;

/* For commit, in arena; all outlive it. maker: see commit.h. Nothing is packed yet. */
struct pack *pack_new(struct store *store, struct andiron_arena *arena,
                      struct andiron_commit *commit, const struct andiron_term_maker *maker);

/*
 * Packs the terms of all writes, as far as all their names are known, with a reader's db. -1: the
 * terms of a write cannot be made or stored; commit->error and failed say why.
 */
ANDIRON_MUST_CHECK int pack_early(struct pack *pack, struct db *db);

/*
 * Terms of a write: its own, or made in arena (on the writer's thread: when matches are settled). -1
 * and err.
 */
ANDIRON_MUST_CHECK int pack_terms(const struct pack *pack, size_t which,
                                  struct andiron_arena *arena, const struct andiron_term **ret,
                                  size_t *ret_count, struct andiron_error *err);

/* On the writer's thread, before the first pack_keys() of a run: numbers of an earlier run are void. */
void pack_again(struct pack *pack);

/*
 * Keys of a write of `type`, in arena; names and resources that are not known are added. -1:
 * commit->error, or db->rc if its code is ANDIRON_OK.
 */
ANDIRON_MUST_CHECK int pack_keys(struct pack *pack, struct writer *w, size_t which, int64_t type,
                                 struct andiron_arena *arena, andiron_str *ret);

#endif
