/*
 * Judging one resource by its keys: does it satisfy a condition on itself? Exact.
 */
#ifndef COMMON_STORE_JUDGE_H
#define COMMON_STORE_JUDGE_H

#include "node.h"

enum judgement { JUDGED_FALSE, JUDGED_TRUE, JUDGED_DAMAGED /* the keys cannot be read */ };

/* A NODE_TERM or NODE_TOGETHER. */
enum judgement judge_term(const struct node *n, andiron_str keys);
/* An OR with a set: whether one of that set is met. */
enum judgement judge_tokens(const struct node *n, andiron_str keys);
enum judgement judge_together(const struct node *n, andiron_str keys);

#endif
