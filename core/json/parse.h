/*
 * Strict JSON parser (RFC 8259): text plus a tape of 16-byte nodes, immutable.
 * What is read from it: andiron/json.h, json/view.c.
 */
#ifndef CORE_JSON_PARSE_H
#define CORE_JSON_PARSE_H

#include <andiron/json.h>

struct json_limits {
    uint32_t max_depth;  /* nesting of arrays and objects */
    uint32_t max_string; /* bytes of one string as written */
    uint32_t max_values; /* values and member names, 16 bytes each; 0: 8 Mi; at most 16 Mi */
};

/* Limits for andiron_json_parse(); set once before threads start. Default 64, 4 MiB, 8 Mi. */
void json_set_limits(const struct json_limits *limits);

/*
 * Like andiron_json_parse() with limits of its own. text must outlive the arena. On
 * failure err.where is "line L, column C (byte N)" and the message says what was expected.
 */
ANDIRON_MUST_CHECK int json_parse(struct andiron_arena *arena, andiron_str text,
                                  const struct json_limits *limits, andiron_json *ret_root,
                                  struct andiron_error *err);

#endif
