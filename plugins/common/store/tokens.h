/*
 * Alternatives of an OR that ask for tokens of one param, found by hash: a ValueSet has a thousand
 * codes, and a resource a few.
 */
#ifndef COMMON_STORE_TOKENS_H
#define COMMON_STORE_TOKENS_H

#include "node.h"

/* Gives n->set those of its arguments that can be found so, and marks them; NULL if they are few. */
void tokens_set(struct andiron_arena *arena, struct node *n);

/* Whether one of them is met by an entry of a list of keys. */
bool tokens_match(const struct token_set *set, const struct keys_entry *entry);

#endif
