/*
 * Batches and transactions: the entries of a Bundle sent to the base (http.html#transaction).
 *
 * bundle.c reads the Bundle, entries.c turns entries into requests and writes the answer,
 * transaction.c does what is between.
 */
#ifndef FHIR_BUNDLE_H
#define FHIR_BUNDLE_H

#include "answer.h"
#include "check.h"

/* In the order in which a transaction processes them (http.html#trules). */
enum verb { VERB_DELETE, VERB_POST, VERB_PUT, VERB_PATCH, VERB_GET, VERB_NONE };

/* What few entries have stands apart: thousands of entries have to fit. None of these is ever NULL. */
struct entry_conditions {
    andiron_str if_match, if_none_match, if_modified_since;
};
struct entry_patch { /* what Binary or Parameters hold */
    andiron_str body, content_type;
    andiron_json doc; /* the body, parsed */
};
struct entry_told {
    andiron_str location, etag, last_modified; /* of another request; last_modified: an instant */
    andiron_str warning; /* of the type's own plugin, about what was written */
};

struct entry {
    size_t index; /* in the bundle */
    andiron_json resource;
    andiron_str full_url;

    enum verb verb;
    bool is_head;                /* then the verb is GET */
    andiron_str url;             /* relative to /fhir: "Patient/1?x" */
    andiron_str type, id, query; /* parts of the url; absent if it has none */
    andiron_str if_none_exist;
    const struct entry_conditions *conditions;
    const struct entry_patch *patch;

    /* the answer */
    int status;
    const struct resource_type *written; /* what a write made, by answer_id, version and updated */
    andiron_str answer_id;
    uint64_t version;
    andiron_usec updated;
    const struct entry_told *told;
    andiron_str answer; /* a resource */
    bool answer_is_outcome;
};

struct bundle {
    const struct fhir *fhir;
    struct wanted wanted;
    andiron_json root;
    bool is_transaction;
    struct entry *entries;
    size_t count;
    struct issues issues; /* what is wrong with entries, by place; a batch goes on without them */
};

/* Reads bundle->root: type and entries. What is wrong goes to bundle->issues. Pure, any thread. */
void entries_read(struct bundle *bundle, struct andiron_arena *arena, andiron_str base);

/* "PUT"; of an entry that is not wrong in itself. */
andiron_str entries_method(const struct entry *entry);

/* What is to be said of what an entry wrote; warning may be absent. */
void entries_warn(struct andiron_request *req, struct entry *entry, andiron_str warning);

/* The request that an entry stands for; its target is made in arena. */
struct andiron_inner entries_inner(const struct bundle *bundle, const struct entry *entry,
                                   struct andiron_arena *arena);

/* Takes over the answer to an entry's inner request. */
void entries_take(struct andiron_request *req, const struct bundle *bundle, struct entry *entry,
                  struct andiron_request *sub);

/* The entry's answer is a failure. */
void entries_fail(struct andiron_request *req, struct entry *entry,
                  const struct andiron_error *errors, size_t count);

/* Sets what a write answers, from its version; id must live as long as the request. */
void entries_version(struct entry *entry, int status, const struct resource_type *type,
                     andiron_str id, uint64_t version, andiron_usec updated);

/* The Bundle of the answer, and counts its entries. Any thread. */
andiron_str entries_compose(struct andiron_request *req, const struct bundle *bundle);

/* Runs a transaction, or a batch without the entries that have an answer already. */
enum andiron_step transaction_run(struct andiron_request *req, struct bundle *bundle);

#endif
