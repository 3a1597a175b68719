/*
 * What a search notes about a condition while it runs.
 */
#ifndef STORE_POSTGRES_JUDGING_H
#define STORE_POSTGRES_JUDGING_H

#include "scan.h"

struct referring;

struct note {
    struct node *node;

    /* CHAIN, HAS, ranges: what satisfies it, if that is few (gather.c). */
    bool is_gathered, is_refused;
    int64_t *numbers;  /* ascending: of targets (CHAIN), of versions */
    size_t count, max; /* max: of what was refused */
    void *gathering;   /* while it is going on */

    /* HAS: who refers to resources, and whom that must be asked for */
    struct referring **slots, *asked;
    size_t mask, used, asked_count;
    bool is_listed;
    struct note *next;
};

struct note *note_of(struct run *run, struct node *n);

#endif
