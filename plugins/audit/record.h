/*
 * AuditEvents as they are stored, and the hash chain through them (FHIR R4 auditevent.html).
 *
 * The body of an event has a fixed beginning: resourceType, id, meta, extension. Its content is
 * everything from "type" to the end; an event's hash is made of the one before, the number, and
 * the content, so that neither can be changed, left out or moved.
 */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "audit.h"

/* "audit.00000000000000000001": the id of an event by its number in the chain. */
enum { RECORD_ID = 26 };
void record_id(uint64_t number, char out[RECORD_ID + 1]);
uint64_t record_number(andiron_str id); /* 0: no such id */

/* key: empty for SHA-256 alone, else HMAC-SHA-256. */
void record_hash(andiron_str key, const uint8_t before[AUDIT_HASH], uint64_t number,
                 andiron_str content, uint8_t ret[AUDIT_HASH]);

/* A body without the time of its storing, which record_stamp() puts in. In arena. */
struct record {
    char id[RECORD_ID + 1];
    andiron_str text;
    size_t updated_at; /* place of lastUpdated's value in text */
};

/* Makes event number head->last + 1 and moves head on. */
void record_make(struct andiron_arena *arena, andiron_str key, const char *observer,
                 const struct audit_event *event, struct audit_head *head, struct record *ret);

/* stamp() of a write; state is the struct record. */
void record_stamp(void *state, struct andiron_arena *arena, struct andiron_write *write);

/* The content of a stored event and its hash; -1: it has none. */
int record_read(struct andiron_arena *arena, andiron_str body, andiron_str *ret_content,
                uint8_t ret_hash[AUDIT_HASH]);

/* The row that says where the chain stands, in the internal type _Audit. */
andiron_str head_write(struct andiron_arena *arena, const struct audit_head *head);
int head_read(struct andiron_arena *arena, andiron_str body, struct audit_head *ret);

#endif
