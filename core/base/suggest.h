/*
 * The nearest known name, for every "did you mean".
 */
#ifndef CORE_BASE_SUGGEST_H
#define CORE_BASE_SUGGEST_H

#include <andiron/base.h>

/*
 * The name of `names` (NULL-terminated) with the smallest edit distance to `wrong`, or NULL
 * if none is near enough to be meant (distance at most a third of its length, at least 1).
 */
const char *suggest(andiron_str wrong, const char *const *names);

#endif
