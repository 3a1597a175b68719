/*
 * Plan of a search: the filter tree with all names, hashes and numbers looked up once, for
 * each type that is searched, and the state of its run.
 */
#ifndef STORE_SQLITE_PLAN_H
#define STORE_SQLITE_PLAN_H

#include "common/store/node.h"
#include "search.h"

enum { PLAN_SORTS = 3 };

/* One sort key for one type. */
struct plan_sort {
    enum { SORT_VALUE, SORT_ID, SORT_UPDATED } by;
    enum andiron_term_kind kind;
    bool descending;
    int64_t p;                    /* 0: no resource has a value */
    bool required;                /* every match has a value */
    const struct node *within[2]; /* conditions that every match's value satisfies, or NULL */
};

struct plan {
    int64_t type;
    andiron_str name;
    struct node *filter;
    struct iter *iter;
    struct plan_sort sort[PLAN_SORTS];
};

/* A resource that is judged; views end when its statement is reset. */
struct candidate {
    int64_t vid, rid, type, version, op, encoding;
    andiron_usec updated;
    andiron_str keys;
    sqlite3_stmt *statement; /* its row: body is column 7 */
    int64_t current;         /* the version that its resource has now, and the id of that; */
    andiron_str id;          /* data NULL: only candidate_load_row() reads them */
};

/* A search that runs. */
struct run {
    struct search_place *place;
    struct store *store;
    struct db *db;
    struct andiron_arena *arena;
    const struct andiron_query *query;
    struct andiron_error *error; /* first failure; failed is set then */
    bool failed;

    struct plan *plans;
    size_t plan_count;
    struct iter *iter; /* candidates of all plans */
    bool ascending;    /* by vid */
    size_t sort_count;
    int64_t vid_low, vid_high; /* bounds by _lastUpdated */

    int64_t work, work_max;     /* rows looked at */
    int64_t spent;              /* by earlier budgets */
    int64_t began_us, until_us; /* monotonic */
    int64_t cpu_us;             /* of this thread at the beginning; for explain */
    bool moved;                 /* the page has come further than its cursor */
    bool stopped;               /* the budget is spent */
    int depth;                  /* candidates that are loaded */
    const char *order_name;     /* how the page was put in order, for explain */
    bool counting;        /* the order is of no interest: what sorting walks along is gathered */
    bool trying, refused; /* what is long is not gathered yet; and such was met (search.c), */
    int64_t trial;        /* and, if not 0, what its gathering is worth */
    bool sifted;          /* entries of a sort index are looked up in the iterator */
    bool sifted_wholly;   /* and what it has needs no further judgement */
    size_t few;           /* not 0: nothing longer than this is gathered now, */
    bool too_many;        /* and something was longer */
};

/* Looks up everything the query names. -1: run->error. */
ANDIRON_MUST_CHECK int plan_build(struct run *run);
/* The filter of one type. NULL: failed. */
struct node *plan_filter(struct run *run, int64_t type, const struct andiron_filter *filter);

/*
 * The budget: little on the loop; else large until the search has come a step further than its
 * cursor (or no page would ever move on), and from then on what is configured.
 */
void run_budget(struct run *run);
void run_moved(struct run *run);
/* Counts work; true once the budget is spent. */
bool run_spend(struct run *run, int64_t rows);
/* Remembers a failure of the database; returns -1. */
int run_fail(struct run *run);
int64_t run_clock_us(void);

/*
 * The version vid as candidate. 1; 0: gone; -1. Candidates of nested conditions are loaded on
 * top of each other; the last one loaded ends first.
 */
int candidate_load(struct run *run, int64_t vid, struct candidate *ret);
/* The same of one that is not nested and likely becomes a row of the page. */
int candidate_load_row(struct run *run, int64_t vid, struct candidate *ret);
void candidate_end(struct run *run, const struct candidate *c);
/* Current version of a resource; 0 in *ret_vid: not live. -1: failed. id may be NULL; in arena. */
int resource_current(struct run *run, int64_t rid, int64_t *ret_type, int64_t *ret_vid,
                     andiron_str *ret_id);
/* The number of the last version; 0: there is none. -1: failed. */
int vid_last(struct db *db, int64_t *ret);
/* First version not older than instant; INT64_MAX: none. -1: failed. */
int vid_since(struct db *db, andiron_usec instant, int64_t *ret);

#endif
