/*
 * One transaction of writes: of a single commit, or of several that touch different resources.
 *
 *   settle   finds what conditional writes mean (settle.c)
 *   locate   one round trip: numbers, locks, what is there now (locate.c)
 *   decide   tests conditions; commits that fail leave, the others are stamped
 *   store    rows, a slice at a time, and COMMIT with the last (rows.c)
 *
 * What the database refuses for reasons of concurrency begins anew; what was lost on the way is looked
 * up before it does (txn.c).
 */
#ifndef STORE_POSTGRES_TXN_H
#define STORE_POSTGRES_TXN_H

#include "commit.h"
#include "entries.h"
#include "pack.h"

/* What makes a commit one of index terms only: refs with their versions; others are passed over. */
struct indexing_job {
    struct andiron_error *ret_error;
    bool is_replacing;
};

/* A commit on its way. */
struct commit_job {
    struct commit_job *next;
    struct writer *writer;
    struct andiron_request *req; /* waits */
    struct andiron_arena *arena; /* the request's: of results */
    struct andiron_arena *own;   /* of what ends with the commit */
    struct andiron_commit *commit;
    struct andiron_ref *given; /* refs as the caller had them */
    struct pack *pack;
    const struct indexing_job *indexing; /* or NULL */
    int64_t *rids;                       /* of the targets of pack, in this transaction */
    int rounds;                          /* of names that were wanted */
    bool is_conditional;                 /* some write has a match */
    bool packs_late;                     /* terms may change when bodies are made */
    bool stamps_late;                    /* bodies are made when they are stored, and let go of */
    bool is_alone;                       /* shares no transaction */
    bool is_out;                         /* has failed */
    bool has_name;                       /* that it claims, or claims none */
    size_t first;                        /* of its items */
};

/* One write, and what it applies to. */
struct item {
    struct commit_job *job;
    struct andiron_write *write;
    size_t which;
    bool skip;    /* nothing to write */
    bool matched; /* its condition found a resource, in seen_version */
    bool is_new;  /* its row of resource was added by this transaction */
    uint64_t seen_version;
    int64_t type, rid;           /* rid 0: there is none */
    int64_t vid, version, state; /* current ones; vid 0: none */
    andiron_usec updated;
    andiron_str old_keys;
    int64_t new_vid;
};

/* A resource that is referred to. */
struct target {
    int64_t type;
    andiron_str id;
    int64_t rid, state; /* 0: not there */
};

enum txn_wish { TXN_GO, TXN_AGAIN, TXN_OVER };

struct txn {
    struct writer *writer;
    struct local *local;
    struct store *store;
    struct andiron_arena *arena; /* of one attempt */
    struct commit_job *jobs;     /* linked by next, in their order */
    struct item *items;
    struct item **sorted; /* those that write, by type and id */
    size_t count, sorted_count;
    struct target *targets; /* by type and id, each once */
    size_t target_count;
    bool checks; /* some commit wants references checked */
    bool claims; /* names were taken */
    void (*then)(struct txn *txn);
    struct wire_lease *lease;
    int64_t voids; /* of the database, and so of everything that is packed; nobody changes it now */
    int64_t xid, last_vid; /* to look the outcome up */
    uint64_t lsn;          /* of the commit; 0: not known */
    andiron_usec clock;    /* of the database */
    andiron_usec began;
    int attempts, lookups;
    size_t written;

    /* While it is stored. */
    size_t at; /* next item */
    struct andiron_arena *slice;
    struct wire_batch *batch;
    struct entries *values;
    struct andiron_error error; /* of work on the pool */
    void (*worked)(struct txn *txn);
    void (*work)(struct txn *txn);

    /* While conditions are settled. */
    size_t settling, removes;
    struct andiron_arena *scratch; /* of the search at hand: those of thousands would be much */
    struct andiron_query query;
    struct andiron_rows rows;
    struct wire_batch *b;
};

/* ---- steps, each named by the one before --------------------------------------------------- */

/* Runs work on the pool if the transaction is large, else here; then worked, on the loop. */
void txn_work(struct txn *txn, void (*work)(struct txn *txn), void (*worked)(struct txn *txn));

void txn_settle(struct txn *txn);
void txn_locate(struct txn *txn);
void txn_decide(struct txn *txn);
void txn_store(struct txn *txn);

/* Numbers and states of what is referred to by terms packed so far; then goes on. */
void locate_targets(struct txn *txn, void (*then)(struct txn *txn));
const struct target *txn_target(const struct txn *txn, int64_t type, andiron_str id);
/* The item of a commit that writes the resource, or NULL. */
struct item *txn_item(const struct txn *txn, const struct commit_job *job, int64_t type,
                      andiron_str id);
void txn_sort(struct txn *txn);
int txn_compare_ids(int64_t type, andiron_str id, int64_t type2, andiron_str id2);

/* ---- ends ------------------------------------------------------------------------------------ */

/* The commit has failed, by commit->error. */
void txn_refuse(struct commit_job *job, size_t which);
/*
 * Commits that have failed are answered. TXN_AGAIN: the others begin anew, since something of those was
 * written; TXN_OVER: nobody is left; TXN_GO.
 */
enum txn_wish txn_weed(struct txn *txn, bool is_dirty);
/* All begin anew; the lease is given up. */
void txn_again(struct txn *txn);
/* Names are wanted by the only commit: they are added, and it begins anew. */
void txn_name(struct txn *txn);
/* Numbers of names are void: they are loaded, and all begin anew. */
void txn_renamed(struct txn *txn);
/* A batch did not end well. */
void txn_failed(struct txn *txn, const struct wire_batch *b);
void txn_committed(struct txn *txn);
/* Values of the index that are there. */
const struct entries_marks *txn_marks(struct txn *txn);
/* All fail with err. */
void txn_fail(struct txn *txn, const struct andiron_error *err);

#endif
