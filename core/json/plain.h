/*
 * A string value made of text that needs no escapes: what writing and parsing it would give, for a
 * tenth of the work.
 */
#ifndef CORE_JSON_PLAIN_H
#define CORE_JSON_PLAIN_H

#include <andiron/json.h>

/* In arena, with a copy of text; false if it is empty, long, or not all plain ASCII. */
bool json_plain(struct andiron_arena *arena, andiron_str text, andiron_json *ret);

#endif
