/*
 * Records of indexes: what the store keeps of a parameter made at run time, as a resource of type
 * _SearchIndex. Its id is the meaning (custom.h) of the definition.
 *
 * The name of an index's terms is chosen when the record is made, and never used again: so terms of
 * an index that is being dropped do not mix with those of a later one of the same meaning.
 */
#ifndef SEARCH_RECORDS_H
#define SEARCH_RECORDS_H

#include <andiron/store.h>

#define RECORDS_TYPE "_SearchIndex"

enum { RECORD_PLACE_MAX = 512 };

/* A cursor or horizon of the store, kept between slices. */
struct record_place {
    char text[RECORD_PLACE_MAX];
    size_t len; /* 0: none yet */
};

enum record_state { RECORD_BUILDING, RECORD_READY, RECORD_DROPPING };

struct record {
    const char *id;
    uint64_t version; /* 0: still to be written */
    andiron_usec updated;
    enum record_state state;
    const char *term;         /* "race@s3n7h2k9q1" */
    const char *const *types; /* names of R4 types, NULL-terminated */
    andiron_usec created;

    /* Of one that is being built: how far that is. */
    int pass; /* 1: all resources; 2: those changed since */
    int64_t done, total;
    andiron_usec since, horizon_time;
    struct record_place horizon, cursor;
};

/* Reads one from its row, in arena. NULL: it is none of this version of Andiron. */
struct record *record_read(struct andiron_arena *arena, const struct andiron_row *row);

/* A write of it, in arena: as the first, or as the one behind record->version. */
struct andiron_write record_write(struct andiron_arena *arena, const struct record *record);

/* 0 to 99. */
int record_percent(const struct record *record);

andiron_str record_place_str(const struct record_place *place);
/* -1 and err: it is too long. */
int record_place_keep(struct record_place *place, andiron_str text, struct andiron_error *err);

#endif
