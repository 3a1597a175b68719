/*
 * Comparing two lists of keys of one resource.
 */
#ifndef COMMON_STORE_COMPARE_H
#define COMMON_STORE_COMPARE_H

#include "keys.h"

/*
 * Goes through both together. differs(arg, p) is called for each entry that only one of them has, until
 * it gives something else than 0, which is then returned. 0: the same but for those; 1 also if the
 * stored list cannot be read.
 */
int compare_keys(andiron_str stored, andiron_str given, int (*differs)(void *arg, int64_t p),
                 void *arg);

#endif
