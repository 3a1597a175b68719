/*
 * Checkpoints: moving the write-ahead log into the database, beside the writer.
 *
 * A thread of its own copies most of it (PASSIVE) when the log has grown. What was appended
 * meanwhile the writer copies between two transactions, and waits for a moment until no reader
 * needs the log, so that it starts over (RESTART): a short log is what makes recovery short.
 * If too much was appended, the thread goes again first; past a hard limit the writer copies all.
 */
#ifndef STORE_SQLITE_CHECKPOINT_H
#define STORE_SQLITE_CHECKPOINT_H

#include "store.h"

struct checkpointer;

/* Watches the writer's connection. NULL and err on failure. */
struct checkpointer *checkpointer_new(struct store *store, struct db *writer,
                                      struct andiron_error *err);
void checkpointer_free(struct checkpointer *c);

/* On the writer's thread, outside a transaction: the rest, if there is one. */
void checkpoint_finish(struct checkpointer *c, struct db *writer);

#endif
