/*
 * A search that runs, in rounds: it goes on as far as it knows what it needs, notes what it lacks as
 * wants, which are asked for together, and is called again when all of them are there.
 *
 * Whatever came is kept, so that going over the same ground again costs no statement. One round is
 * enough for most searches; everything of a page is read in one snapshot.
 */
#ifndef STORE_POSTGRES_RUN_H
#define STORE_POSTGRES_RUN_H

#include "common/store/cursor.h"
#include "common/store/node.h"
#include "compose.h"
#include "search.h"

enum {
    RUN_SORTS = 3,
    RUN_DEPTH = 5 /* of links */,
    RUN_SHORT = 64 /* candidates of the first round */
};

/* What functions give that may have to wait for the next round. */
enum { RUN_FAILED = -1, RUN_WAIT = -2, RUN_STOPPED = -3 /* the budget is spent */ };

/* A version that is judged, with what a statement brought of it. */
struct candidate {
    int64_t vid, rid, type, version, encoding;
    andiron_usec updated;
    andiron_str keys, id, body; /* id, body: absent if not asked for */
};

/* One sort key for one type. */
struct run_sort {
    enum { SORT_VALUE, SORT_ID, SORT_UPDATED } by;
    enum andiron_term_kind kind;
    bool descending;
    int64_t p;                 /* 0: no resource has a value */
    bool required;             /* every match has a value */
    const struct node *within; /* a condition that every match's only value satisfies, or NULL */
};

struct run_plan {
    int64_t type;
    andiron_str name;
    struct node *filter;
    struct source *source; /* source.h */
    struct scan *scan;     /* scan.h */
    struct run_sort sort[RUN_SORTS];
};

/* A resource that something refers to. */
struct known {
    int64_t rid;
    bool is_there, is_asked, has_body;
    struct candidate now; /* vid 0: not live */
};

/* An id that has been looked up. */
struct known_id {
    int64_t type;
    andiron_str id;
    bool is_there;
    int64_t rid, vid; /* 0: unknown, not live */
    struct known_id *next;
};

struct run;

/* A statement of the next round, and who takes its result. */
struct want {
    struct want *next;
    const struct compose *sql; /* NULL: naming_ask() */
    void (*take)(struct run *run, void *arg, const struct wire_batch *b, size_t at);
    void *arg;
};

struct page_row {
    struct candidate c;
    andiron_str type;
    bool included, has_body;
};

struct run {
    struct search_place place;
    struct store *store;
    struct andiron_arena *arena;
    const struct andiron_query *query;
    struct andiron_rows *rows;
    struct andiron_error *error;
    void (*done)(void *arg);
    void *arg;

    struct want *wants, **last_want;
    size_t want_count, rounds;
    struct wire_lease *lease; /* of its own */
    bool is_single;           /* tried without a lease: all of it in one round */
    bool keeps_snapshot;      /* it has one for all rounds */
    int reloads;              /* of names */
    bool failed, is_starting;
    bool lacks_names;              /* something is not known by name */
    bool needs_names, names_asked; /* that names are up to date is asked in the snapshot */
    bool plan_waits;

    struct run_plan *plans;
    size_t plan_count, sort_count;
    bool is_planned, ascending; /* by vid */
    bool needs_id;              /* conditions or sort keys look at ids */

    struct {
        size_t mask, used;
        struct known **slots;
    } known;
    struct known_id *ids[64];
    int64_t *asked_rids; /* of this round */
    size_t asked_count, asked_room;
    bool asks_bodies;
    struct known_id **asked_ids;
    size_t asked_id_count;

    bool refused, ranges_wanted; /* long ranges were met; and they are gathered now */
    struct counted *counted;     /* lists whose entries were counted (source.c) */
    struct note *notes;          /* that ask for something (judging.c) */

    struct page_row *page;
    size_t page_count, page_room;
    int stage;
    void *sorting, *counting, *including; /* of the stages */
    int64_t counts_along; /* not 0: the first statement of the page is to count up to this */
    const char *order_name;

    int64_t probed; /* rows looked at, of all stages */
    int64_t work, work_max, until_us, began_us;
    bool moved; /* the page has come further than its cursor */
};

/* Asks for it in the next round. */
void run_want(struct run *run, const struct compose *sql,
              void (*take)(struct run *run, void *arg, const struct wire_batch *b, size_t at),
              void *arg);
/* Counts rows looked at; true once the budget is spent. */
bool run_spend(struct run *run, int64_t rows);
/* The page has moved on: from now on the configured budget counts. */
void run_moved(struct run *run);
int run_fail(struct run *run, enum andiron_code code, const char *message);
int run_damaged(struct run *run);
int run_too_costly(struct run *run);
void page_add(struct run *run, const struct candidate *c, bool included);

/* ---- lookups (known.c) ----------------------------------------------------------------- */

/* The resource; NULL: it is asked for, wait. body: with its body. */
struct known *known_resource(struct run *run, int64_t rid, bool body);
struct known_id *known_id(struct run *run, int64_t type, andiron_str id);
/* Makes wants of what the two lack, once a round. */
void known_ask(struct run *run);

/* ---- judging (judging.c) ------------------------------------------------------------------ */

/*
 * 1, 0, RUN_WAIT, RUN_FAILED. trust: the candidate came by a statement with condition_put(), so
 * that what is settled is true.
 */
int judging(struct run *run, struct node *n, const struct candidate *c, bool trust);
/* Makes wants of what judging lacks, once a round. */
void judging_ask(struct run *run);

/* ---- lengths of lists, as they were some seconds ago (lengths.c) ------------------------------ */

struct list_key;
bool lengths_find(const struct run *run, const struct list_key *key, int64_t *ret);
void lengths_note(struct run *run, const struct list_key *key, int64_t entries);

/* ---- columns of candidates ------------------------------------------------------------------ */

/* "v.vid,v.rid,v.type,v.ver,v.ts,v.keys,.." of a version v, and a resource r if id. */
void candidate_columns(struct compose *c, bool id, bool body);
struct candidate candidate_of(const struct wire_batch *b, size_t at, size_t row, unsigned column,
                              bool id, bool body);

#endif
