/*
 * What a search does beside its page. Each gives 0, RUN_WAIT or RUN_FAILED.
 */
#ifndef STORE_POSTGRES_STAGES_H
#define STORE_POSTGRES_STAGES_H

#include "scan.h"

/* Asks for a total along with the page, if one statement can count it; does nothing otherwise. */
void counting_begin(struct run *run);
int counting_total(struct run *run);
/* Whether one statement that has been asked for tells it. */
bool counting_is_asked(const struct run *run);

/* Rows that the query's includes ask for, behind the matches. */
int including(struct run *run);

/* rows->explain. */
void explaining(struct run *run, int64_t microseconds);

#endif
