/*
 * Batches and transactions, inside: transaction_check.c asks whether each entry may be done,
 * transaction_plan.c finds out what entries write, what they call each other, and what their
 * conditions lead to, transaction.c does it.
 */
#ifndef FHIR_TRANSACTION_H
#define FHIR_TRANSACTION_H

#include "access.h"
#include "bundle.h"
#include "match.h"
#include "prepare.h"

/* For what others change meanwhile. Every try prepares all again, in the request's memory. */
enum { TRIES = 4, TRIES_SMALL = 100 };
#define NOWHERE SIZE_MAX

/* What a conditional entry asks for. Apart, since most entries have none. */
struct criteria {
    struct andiron_search_plan plan;
    struct andiron_rows *found; /* of ifNoneExist only the commit finds something out */
};

/* A writing entry. */
struct item {
    struct entry *entry;
    const struct resource_type *type;
    struct andiron_request *judged; /* inner request that was allowed, where it still matters */
    andiron_str id;
    uint64_t if_match;  /* 0: none; NEGOTIATE_LOOK: * or a list, compared with what is stored */
    bool has_none_tags; /* ifNoneMatch is compared with what is stored */
    bool if_none;
    bool is_conditional; /* ifNoneExist: the id is known only at the commit */
    bool by_criteria;    /* PUT, PATCH or DELETE of what matches; the id is that of the match */
    bool is_new;         /* by_criteria, and nothing matched */
    bool is_void;        /* DELETE by criteria, and nothing matched: there is nothing to do */
    struct criteria *criteria; /* or NULL */
    const struct patch *patch; /* of a PATCH; or NULL */
    struct rewrite_target target, identity;
    struct rewrites rewrites;
    struct preparing preparing;
    const struct item *twin; /* an earlier one with the same ifNoneExist: it makes what both want */
    size_t before;            /* in befores: current version, then the first; NOWHERE: not asked */
    struct access_bound seen; /* by what the entry's request is narrowed to */
    bool bound; /* the commit fails if the current version is no longer the one looked at */
    bool left;  /* of a batch: taken out of the commit */
};

/* A reference by search, "Patient?identifier=x", wherever it stands. */
struct reference {
    andiron_str url;
    const struct resource_type *type;
    struct andiron_search_plan plan;
    struct andiron_rows rows;
    struct rewrite_target target;
    size_t entry;
};

struct transaction {
    struct bundle *bundle;
    const struct fhir *fhir;
    struct andiron_request *req;
    struct entry **order; /* as they are processed: items first */
    size_t order_count;
    size_t at; /* step of a loop over order, items or references */
    struct andiron_request *sub;
    struct andiron_arena *checking; /* memory of sub, while entries are checked */
    struct andiron_request *kept;   /* the last of them that is needed until the end */
    struct access_asking *asking;   /* memory for one question after the other */

    struct item *items;
    size_t item_count;
    struct rewrite_map *map, *identities, *conditional;
    struct reference **references;
    size_t reference_count, reference_cap;
    struct issues issues;

    struct andiron_ref *refs;
    size_t ref_count;
    struct andiron_rows befores;
    bool is_large;              /* what looks at all entries runs on the pool */
    bool later;                 /* as in struct preparing */
    bool has_owners;            /* some items are of types whose owner is told of writes */
    const struct entry *failed; /* what preparing an entry ended with, and error */
    struct andiron_error error;
    andiron_str answer; /* once it is composed */
    unsigned tries;

    struct andiron_commit commit;
    struct andiron_term_maker maker;
    size_t *places;  /* of each item in the commit; NOWHERE: unchanged, or not in it */
    size_t *item_of; /* of each write; behind the last item: of references, in their order */
};

/* Finds out all that depends on other entries and on the store, then goes on with the next. */
enum andiron_step transaction_plan(struct andiron_request *req, struct transaction *t);

/*
 * Work on all entries, then the next step: of a large Bundle on the pool, since it would hold the
 * loop for milliseconds. state is t.
 */
enum andiron_step transaction_work(struct transaction *t, void (*work)(void *state),
                                   andiron_step_fn then);

/* What a writing entry does to what it names. */
enum andiron_access transaction_access(const struct entry *e);

/* What comes after the plan. */
enum andiron_step transaction_planned(struct andiron_request *req, void *state);

/* Whether what others changed meanwhile is worth another try. Counts it. */
bool transaction_tries_again(struct transaction *t);

/* versioned-updates: whether the entry must say ifMatch if what it writes exists. */
bool transaction_demands_version(const struct transaction *t, const struct item *item);
int transaction_version_needed(struct andiron_error *err);

/* Something is wrong with an entry of a transaction. */
void transaction_refuse(struct transaction *t, const struct entry *e, enum andiron_code code,
                        const char *member, const char *message);

/* Fails the whole with an error that concerns one entry. */
enum andiron_step transaction_fail_at(struct andiron_request *req, const struct entry *e,
                                      const struct andiron_error *err);

/* Takes an item of a batch out. Its entry has its answer, or is run by itself in the end. */
static inline void transaction_leave(struct item *item)
{
    item->left = true;
}

#endif
