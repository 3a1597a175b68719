/*
 * Where candidates of a filter come from: lists of the index, numbers gathered before, or all of a
 * type; chosen here, never by the database.
 */
#ifndef STORE_POSTGRES_SOURCE_H
#define STORE_POSTGRES_SOURCE_H

#include "run.h"

/* A list of ix_token (key: h) or ix_ref (key: tgt). */
struct list_key {
    bool is_ref;
    int64_t p, key;
};

struct source {
    enum { SOURCE_TYPE, SOURCE_LISTS, SOURCE_ARRAY } kind;
    const char *name;      /* for explain */
    bool exact;            /* brings nothing else than what satisfies the filter */
    const struct node *by; /* the condition that all it brings satisfy; or NULL */
    int64_t type;
    struct list_key *lists;
    size_t list_count;
    int64_t *vids; /* ascending, each once */
    size_t vid_count;
    int64_t entries; /* as far as counted: up to short-list + 1; -1: not counted */
};

/* Candidates for a filter of n->type. 0: *ret is them, never NULL; RUN_WAIT; RUN_FAILED. */
int source_find(struct run *run, struct node *n, struct source **ret);
/* Entries, at most short-list + 1. 0, RUN_WAIT. */
int source_count(struct run *run, struct source *s);

/*
 * Text that selects vid of the next `limit` candidates behind `position`, in order: a whole SELECT.
 * A source of a type selects rid, too.
 */
void source_put(struct run *run, struct compose *c, const struct source *s, int64_t position,
                bool ascending, int64_t limit);

/* Before the first, in that direction. */
static inline int64_t source_start(bool ascending)
{
    return ascending ? 0 : INT64_MAX;
}

/* The list that n names; false: it names none, or several. */
bool source_list_of(const struct run *run, const struct node *n, struct list_key *ret);

/*
 * Puts what can be said in SQL of n, about the version vid and its resource rid (texts), as
 * conditions that begin with `before` (" WHERE "); what is settled by it is marked. true: that is all of n.
 * by: a condition that they satisfy already, or NULL.
 */
bool condition_put(struct run *run, struct compose *c, struct node *n, const struct node *by,
                   const char *vid, const char *rid, const char *before);
/* Whether it could be all of n, and puts something at all. */
bool condition_is_whole(const struct run *run, const struct node *n);
/* Whether condition_put() puts all of n: a condition of many parameters is left to judging. */
bool condition_is_put(const struct run *run, const struct node *n);

#endif
