/*
 * Keys of a commit's writes, packed before or during its transaction, without asking the database.
 *
 * A reference gets a placeholder for the number of its target: which of them exist is known only inside
 * the transaction. Names that have no number yet are wanted (naming.h); packing goes on when
 * they have. Touches no connection: any thread, one at a time.
 */
#ifndef STORE_POSTGRES_PACK_H
#define STORE_POSTGRES_PACK_H

#include "common/store/keys.h"
#include "naming.h"

struct pack;

/* What references of the commit lead to. */
struct pack_target {
    int64_t type;
    andiron_str id;
};

/* For commit, in arena; maker: of terms that writes do not have, or NULL. Nothing is packed yet. */
struct pack *pack_new(struct store *store, struct andiron_arena *arena,
                      struct andiron_commit *commit, const struct andiron_term_maker *maker);

/*
 * Packs what is not packed yet; pack_wanted() says what is missing then. If the terms of a write cannot be
 * made or stored, commit->error and failed say why.
 */
void pack_run(struct pack *pack);
/* Finds the numbers of the types of all writes, and packs nothing yet. */
void pack_types(struct pack *pack);
/* Names without which packing could not end; NULL: it has ended. */
const struct naming_want *pack_wanted(const struct pack *pack);
/* Everything packed is void: numbers have changed, or terms. */
void pack_again(struct pack *pack);
/* Whether the terms of a write are of no use, since it is not written. */
void pack_pass_over(struct pack *pack, size_t which, bool passed_over);

/* Which numbers pack_run() has packed: those of naming_seen().voids at that time. */
int64_t pack_voids(const struct pack *pack);

/* Number of the type of a write; 0: only if it is a removal, of nothing. */
int64_t pack_type(const struct pack *pack, size_t which);
/* Some may be there twice. */
const struct pack_target *pack_targets(const struct pack *pack, size_t *ret_count);
/* What the terms of a write refer to: *at begins as pack_begin(); NULL: there is no more. */
struct keys_cursor pack_begin(const struct pack *pack, size_t which);
const struct pack_target *pack_next_target(const struct pack *pack, struct keys_cursor *at);
/* Keys of a write with the numbers of all targets in place, in arena; absent for a removal. */
andiron_str pack_keys(const struct pack *pack, size_t which, const int64_t *rids,
                      struct andiron_arena *arena);

#endif
