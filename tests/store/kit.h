/*
 * For the tests of what every store promises (andiron/store.h): a store as the daemon runs it, loaded as
 * a module, on loops of its own, driven synchronously. Which one says the program's first argument:
 * "sqlite", on a file in a folder of its own, or "postgres", on a database of its own in the cluster that
 * ANDIRON_TEST_POSTGRES names (tests/lib/postgres.mjs), or the path of a third party's: its tables are
 * not looked at, it need not outlive a restart, and tests of optional calls that it lacks are skipped.
 */
#ifndef TESTS_STORE_KIT_H
#define TESTS_STORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <semaphore.h>

#include <andiron/plugin.h>
#include <andiron/store.h>

enum { KIT_LOOPS = 2 };

struct kit_base; /* kit.c */

struct kit {
    struct kit_base *base;
    const struct andiron_store *store;
    void *self;
    struct andiron_arena *arena; /* of results */
    bool is_postgres;
    const char *extra; /* directives beside those of the kit */
};

/* The program's main(): which store, then cmocka. */
int kit_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count);
#define KIT_MAIN(argc, argv, tests) kit_main(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]))
bool kit_is_postgres(void);
bool kit_is_third(void); /* not one of ours */

/* setup and teardown of each test: an empty store. */
int kit_setup(void **state);
int kit_teardown(void **state);
#define KIT_TEST(test) cmocka_unit_test_setup_teardown(test, kit_setup, kit_teardown)

/* The store is ended and started again, over the same data. */
void kit_restart(struct kit *k);
/* First column of the first row of a query, as a number; both stores have the same tables. */
int64_t kit_number(struct kit *k, const char *sql);
/* The same where nothing else depends on it: passed over for a store whose tables are unknown. */
void kit_expect(struct kit *k, const char *sql, int64_t number);

/* Runs first(req, state) as a job of that loop, until something calls kit_over(k). */
void kit_run(struct kit *k, unsigned loop, andiron_step_fn first, void *state);
/* The same without waiting; then kit_wait() as often as jobs were begun. */
void kit_begin(struct kit *k, unsigned loop, andiron_step_fn first, void *state);
void kit_wait(struct kit *k);
enum andiron_step kit_over(struct kit *k);

/* ---- calls, on loop 0; results are in k->arena ---------------------------------------------- */

int kit_commit(struct kit *k, struct andiron_commit *commit); /* 0 or -1 (commit->error) */
int kit_commit_making(struct kit *k, struct andiron_commit *commit,
                      const struct andiron_term_maker *maker);
struct andiron_rows kit_read(struct kit *k, const struct andiron_ref *refs, size_t count);
int kit_search(struct kit *k, const struct andiron_query *query, struct andiron_rows *rows);
int kit_walk(struct kit *k, const struct andiron_walk *walk, struct andiron_rows *rows);
int kit_visit(struct kit *k, const struct andiron_walk *walk, const struct andiron_visitor *visitor,
              struct andiron_rows *rows);
int kit_in_use(struct kit *k, const char *const *types, const char *const *params, size_t limit,
               const struct andiron_visitor *visitor, struct andiron_rows *rows);
bool kit_claim(struct kit *k, const char *name, andiron_usec expires);
int kit_index(struct kit *k, enum andiron_index_op op, struct andiron_indexing *items, size_t count,
              struct andiron_error *err);
int kit_forget(struct kit *k, const char *type, const char *param, struct andiron_error *err);
int kit_purge(struct kit *k, struct andiron_purge *purge);

/* Copies what lives as long as a request. */
struct andiron_rows kit_rows(struct kit *k, const struct andiron_rows *rows);
andiron_str kit_str(struct kit *k, andiron_str s);

/* ---- short forms ---------------------------------------------------------------------------------- */

static inline struct andiron_ref kit_ref(const char *type, const char *id)
{
    return (struct andiron_ref){ .type = andiron_str_of(type), .id = andiron_str_of(id) };
}

/* One resource with terms; its version, or 0 on failure. */
static inline uint64_t kit_put(struct kit *k, const char *type, const char *id, const char *body,
                               const struct andiron_term *terms, size_t count)
{
    struct andiron_write write = {
        .ref = kit_ref(type, id), .body = andiron_str_of(body), .terms = terms, .term_count = count
    };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    return kit_commit(k, &commit) == 0 ? write.ref.version : 0;
}

/* A row with an empty id, if there is none. */
static inline struct andiron_row kit_read_one(struct kit *k, const char *type, const char *id,
                                              uint64_t version)
{
    struct andiron_ref ref = kit_ref(type, id);

    ref.version = version;
    struct andiron_rows rows = kit_read(k, &ref, 1);
    assert_int_equal(rows.error.code, ANDIRON_OK);
    assert_int_equal(rows.count, 1);
    return rows.rows[0];
}

static inline struct andiron_term kit_token(const char *param, const char *system, const char *code)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_TOKEN,
                                  .system = andiron_str_of(system),
                                  .text = andiron_str_of(code) };
}

static inline struct andiron_term kit_reference(const char *param, const char *type, const char *id)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_REFERENCE,
                                  .system = andiron_str_of(type),
                                  .text = andiron_str_of(id) };
}

static inline struct andiron_term kit_string(const char *param, const char *text, const char *exact)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_STRING,
                                  .text = andiron_str_of(text),
                                  .exact = andiron_str_of(exact) };
}

static inline struct andiron_term kit_date(const char *param, andiron_usec low, andiron_usec high)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_DATE,
                                  .range.date = { low, high } };
}

static inline struct andiron_term kit_numeric(const char *param, double low, double high)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_NUMBER,
                                  .range.number = { low, high } };
}

static inline struct andiron_filter kit_filter(enum andiron_compare compare,
                                               struct andiron_term term)
{
    return (struct andiron_filter){ .op = ANDIRON_FILTER_TERM, .compare = compare, .term = term };
}

/* How many resources have the term. */
static inline size_t kit_found(struct kit *k, const char *type, struct andiron_term term)
{
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, term);
    struct andiron_query query = { .type = type, .filter = &filter, .limit = 100 };
    struct andiron_rows rows;

    if (kit_search(k, &query, &rows) != 0)
        fail_msg("search: %s", rows.error.message);
    return rows.count;
}

#endif
