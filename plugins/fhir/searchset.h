/*
 * Bundles of stored rows: searchset and history. Rows are spliced in as they are stored,
 * unparsed, wherever what is shown is what is stored.
 */
#ifndef FHIR_SEARCHSET_H
#define FHIR_SEARCHSET_H

#include "answer.h"

/* The query of a link, and what stands before it: "BASE/fhir/Observation". */
struct links {
    andiron_str url;
    andiron_str query;  /* "code=4548-4&_count=2"; may be empty */
    andiron_str cursor; /* of this page; absent: it is the first */
    andiron_str next;   /* cursor of the next page; absent: there is none */
    andiron_str previous;
};

struct searchset {
    const struct fhir *fhir;
    const struct andiron_search_plan *plan;
    const struct andiron_rows *rows;
    struct links links;
    bool suppressed; /* includes were left out because the request may not see them */
};

andiron_str searchset_text(struct andiron_request *req, const struct searchset *set);

/* A history, newest first; parts says which elements are wanted, NULL: all. */
andiron_str history_text(struct andiron_request *req, const struct fhir *fhir,
                         const struct andiron_rows *rows, const struct links *links,
                         struct parts *parts);

/* A cursor comes out of the store: percent-encoded where a query needs it. */
struct text;
void links_encode(struct text *t, andiron_str s);
void links_put(struct text *t, const struct links *links);

#endif
