/*
 * What the files of plugin audit share: its state, and an event on its way into the store.
 *
 * Any thread makes events and queues them (queue.h); one job at a time, on the first loop, makes
 * AuditEvents of them and commits them (writer.h).
 */
#ifndef AUDIT_H
#define AUDIT_H

#include <stdatomic.h>

#include <andiron/auth.h>
#include <andiron/plugin.h>
#include <andiron/resource.h>
#include <andiron/search.h>
#include <andiron/store.h>

#define AUDIT_TYPE "AuditEvent"
#define AUDIT_TAG_SYSTEM "urn:andiron:audit"
#define AUDIT_TAG_CODE "server"
#define AUDIT_CHAIN_URL "urn:andiron:audit-chain"

enum { AUDIT_HASH = 32, PLATFORM_TYPES_MAX = 32 };

enum audit_accesses { ACCESSES_OFF, ACCESSES_WRITES, ACCESSES_ALL };
enum audit_on_failure { FAILURE_REFUSE_CHANGES, FAILURE_REFUSE, FAILURE_CONTINUE };

struct config {
    int accesses, on_failure;
    int64_t delay, queue, max_refusals, keep;
    const char *chain_key;
};

enum audit_kind {
    AUDIT_NOTHING, /* not recorded */
    AUDIT_TOKEN,   /* a token was granted or refused */
    AUDIT_DENIED,  /* 401 or 403 */
    AUDIT_CHANGE,  /* of a platform type, or of keys */
    AUDIT_EXPORT,
    AUDIT_IMPORT, /* $import, also one that broke off: part of it is stored */
    AUDIT_ACCESS, /* by setting: everything else */
    AUDIT_LOST,   /* events that were not recorded singly, or could not be written */
    AUDIT_FORGOT  /* old events were removed */
};

/* Made by event.c in one piece of memory; freed by whoever takes it from the queue. */
struct audit_event {
    struct audit_event *next;
    andiron_usec at;
    enum audit_kind kind;
    int status;
    bool is_user;
    int64_t count;         /* of LOST and FORGOT */
    uint64_t forget_to;    /* of FORGOT: the last one forgotten, and its hash */
    uint8_t forget_hash[AUDIT_HASH];
    const char *operation; /* a literal of the route's plugin; or NULL */
    andiron_str request_id, method, path, type, id, principal, remote, policy, reason;
    struct andiron_request *waits; /* resumed when the event is stored, or cannot be; or NULL */
    bool *ret_failed;
    char text[]; /* what the views point to */
};

/* Where the chain stands: the last event, and the last one that was forgotten. */
struct audit_head {
    uint64_t last, forgotten;
    uint8_t hash[AUDIT_HASH], forgotten_hash[AUDIT_HASH];
};

struct audit {
    struct andiron_host *host;
    const struct config *config;
    struct andiron_service_ref store, search;
    struct andiron_loop *loop; /* where the writer runs */
    const char *platform_types[PLATFORM_TYPES_MAX + 1];
    struct andiron_limit not_ours; /* AuditEvents that are not the server's own */
    struct andiron_narrowing narrowing, narrowing_scoped;
    struct audit_queue *queue;
    struct audit_writer *writer;
    struct audit_retention *retention;
    atomic_bool is_failing; /* the last attempt to write came to nothing */
    struct andiron_counter *recorded[AUDIT_FORGOT + 1], *lost;
};

static inline const struct andiron_store *audit_store(const struct audit *audit)
{
    return audit->store.table;
}

#endif
