/*
 * Keys of a version: its index terms packed into version.keys.
 *
 * They say exactly which index rows the version has (rows.h), so that these can be removed
 * whatever was defined since; and they hold enough of every term to judge any filter without
 * reading the body (judge.h). The list is sorted and free of duplicates: equal terms give
 * equal bytes.
 *
 *   byte      KEYS_FORMAT
 *   entries   varint p, byte kind | flags, [varint group, varint part], then by kind:
 *     TOKEN     [8 bytes hash of system] text
 *     OF_TYPE   16 bytes hash of system, code and value
 *     STRING    [8 bytes hash of exact] text
 *     REFERENCE 2 bytes type, 6 bytes rid
 *     URL       text          (a reference to another server, or canonical)
 *     DATE      8 bytes low, varint high - low
 *     NUMBER    8 bytes low, [8 bytes high]
 *     QUANTITY  [8 bytes hash of system and code] [8 of code] [8 of unit] 8 low, 8 high
 *     URI       text
 *     PRESENT
 *     SAME      varint distance: back from the start of this entry to the kind of another one,
 *               which is that of this one with all behind it (code and combo-code, say)
 * text is varint length and bytes; texts that are too long are cut, with their hash behind.
 * Format 1 had no SAME.
 */
#ifndef COMMON_STORE_KEYS_H
#define COMMON_STORE_KEYS_H

#include <andiron/store.h>

#include "hash.h"
#include "names.h"

enum {
    KEYS_FORMAT = 2,
    KEYS_MAX = 100000,
    KEYS_CODE_MAX = 255,
    KEYS_TEXT_MAX = 4096,
    KEYS_STRING_MAX = 65536 /* of a string: CONTAINS looks at all of it */
};

enum keys_kind {
    KEYS_TOKEN = 1,
    KEYS_OF_TYPE,
    KEYS_STRING,
    KEYS_REFERENCE,
    KEYS_URL,
    KEYS_DATE,
    KEYS_NUMBER,
    KEYS_QUANTITY,
    KEYS_URI,
    KEYS_PRESENT
};

/* In lists in place of a kind; never in an entry that was read. */
enum { KEYS_SAME = 11 };

enum keys_flags {
    KEYS_GROUPED = 1 << 4,
    KEYS_HAS_1 = 1 << 5, /* TOKEN: system. STRING: exact. NUMBER: high. QUANTITY: system and code */
    KEYS_HAS_2 = 1 << 6, /* QUANTITY: code */
    KEYS_HAS_3 = 1 << 7  /* QUANTITY: unit */
};

/* One entry, unpacked; views point into the list. */
struct keys_entry {
    int64_t p;
    enum keys_kind kind;
    unsigned flags;
    uint32_t group, part;
    uint64_t hash[3]; /* of flags HAS_1, HAS_2, HAS_3 */
    andiron_str text; /* TOKEN, STRING, URL, URI; OF_TYPE: the 16 bytes */
    int64_t type, rid;
    andiron_usec low, high;
    double number_low, number_high;
    andiron_str packed; /* what lies behind p, and is the same for equal terms */
};

struct keys_cursor {
    const uint8_t *begin, *at, *end;
    bool broken; /* the list is damaged */
};

/* Starts reading a list; an absent or empty one has no entries. */
struct keys_cursor keys_begin(andiron_str keys);
/* Next entry; false at the end. */
bool keys_next(struct keys_cursor *c, struct keys_entry *ret);

/* Next param of which a list has several dates, numbers or quantities; false at the end. */
bool keys_next_several(struct keys_cursor *c, int64_t *ret_p);

/* Where packing finds what a list refers to. */
struct keys_source {
    const struct hash_key *key;

    /*
     * rid of a resource, NULL arg allowed; 0: not known yet. Parameters and types likewise.
     * -1: the database failed, and whoever gave these functions knows how.
     */
    int (*resource)(void *arg, int64_t type, andiron_str id, int64_t *ret_rid);
    int (*param)(void *arg, int64_t type, andiron_str code, uint32_t kind, int64_t *ret_p);
    int (*type)(void *arg, andiron_str name, int64_t *ret_type);
    void *arg;
    bool incomplete; /* something was not known: pack again where it can be added */
};

/*
 * Packs terms of a resource of `type` into arena. 0; -1: err, or what one of the source's
 * functions met if err->code is ANDIRON_OK.
 */
ANDIRON_MUST_CHECK int keys_pack(struct keys_source *source, struct andiron_arena *arena,
                                 int64_t type, const struct andiron_term *terms, size_t count,
                                 andiron_str *ret, struct andiron_error *err);

/* Both lists as one; one of them may be absent, which makes the present format of an older one. */
andiron_str keys_join(struct andiron_arena *arena, andiron_str a, andiron_str b);

/*
 * The list with other numbers in its references: settle() changes *rid as it likes. -1: it failed.
 * For references to what has no number yet when a list is packed.
 */
typedef int (*keys_settle_fn)(void *arg, int64_t type, int64_t *rid);
ANDIRON_MUST_CHECK int keys_settle(struct andiron_arena *arena, andiron_str keys,
                                   keys_settle_fn settle, void *arg, andiron_str *ret);

/*
 * What packing does with a text before it stores it: as it is, or cut with its hash behind, in
 * arena. Filters do the same with theirs.
 */
andiron_str keys_text(const struct hash_key *key, struct andiron_arena *arena, andiron_str text,
                      size_t max);

/* Hashes kept in lists, for filters. */
uint64_t keys_hash_system(const struct hash_key *key, andiron_str system);
uint64_t keys_hash_exact(const struct hash_key *key, andiron_str exact);
uint64_t keys_hash_unit(const struct hash_key *key, andiron_str unit);
uint64_t keys_hash_coded_unit(const struct hash_key *key, andiron_str system, andiron_str code);
struct hash128 keys_hash_of_type(const struct hash_key *key, andiron_str system, andiron_str code,
                                 andiron_str value);

#endif
