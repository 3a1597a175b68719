/*
 * String values without a parser; see plain.h.
 */
#include "json/plain.h"

#include "base/arena.h"
#include "json/scan.h"
#include "json/tape.h"

enum { LONGEST = 64 * 1024 };

bool json_plain(struct andiron_arena *arena, andiron_str text, andiron_json *ret)
{
    struct json_doc *doc;

    if (text.len == 0 || text.len > LONGEST ||
        scan_plain(text.data, text.data + text.len) != text.data + text.len)
        return false;
    doc = arena_take(arena, sizeof(*doc) + sizeof(doc->nodes[0]) + text.len + 2);
    char *quoted = (char *)&doc->nodes[1];
    quoted[0] = '"';
    memcpy(quoted + 1, text.data, text.len);
    quoted[text.len + 1] = '"';
    doc->text = quoted;
    doc->nodes[0] = (struct json_node){
        .at = 1, .info = ANDIRON_JSON_STRING, .len = (uint32_t)text.len, .size = 1
    };
    *ret = (andiron_json){ .doc = doc, .at = (uintptr_t)&doc->nodes[0] };
    return true;
}
