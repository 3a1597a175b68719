/*
 * The model in force: made of the SearchParameters in the store and of the records of their
 * indexes, replaced whole at every change, followed by store/1 watch on all nodes.
 */
#ifndef SEARCH_MODELS_H
#define SEARCH_MODELS_H

#include <andiron/plugin.h>
#include <andiron/store.h>

#include <stdatomic.h>

#include "custom.h"
#include "model.h"
#include "records.h"

struct search;
struct models;

/* An active SearchParameter that is not R4's own. */
struct definition {
    const char *id;
    char meaning[CUSTOM_MEANING + 1];
    const struct custom *custom;
    const struct record *record; /* NULL: there is none yet, or one that is being dropped */
    const char *refused;         /* why it is not in force; or NULL */
    struct fhir_building building;
};

/* A model, and what it was made of. */
struct snapshot {
    struct model model;
    struct definition *definitions; /* by id */
    size_t definition_count;
    struct record **records;
    size_t record_count;
    /* Private to models.c. */
    struct andiron_arena *arena;
    atomic_size_t uses;
    uint64_t digest;
};

/* In the arena of the plugin. */
struct models *models_new(struct search *search, size_t max_custom);
void models_free(struct models *models);

/* From start(), base being what is there without any SearchParameter: follows changes on loop, and calls changed(arg) there for each new model. */
int models_watch(struct models *models, const struct model *base, struct andiron_loop *loop,
                 void (*changed)(void *arg), void *arg, struct andiron_error *err);
/* From loop_start() and loop_stop() of that loop. */
int models_loop_start(struct models *models, struct andiron_error *err);
void models_loop_stop(struct models *models);

/* False until the SearchParameters have been read for the first time. */
bool models_are_loaded(const struct models *models);
/* RECEIVE: nothing is searched or written before they are. */
enum andiron_step models_receive(struct andiron_request *req, struct models *models);

/* The one in force; it stays as it is until the arena is released. Any thread. */
const struct snapshot *models_now(struct models *models, struct andiron_arena *arena);

/* Another number whenever there are other parameters, or one has become ready. Any thread. */
uint64_t models_generation(struct models *models);

/* Definitions in force whose index is ready, or is not. Any thread. */
size_t models_count(struct models *models, bool is_ready);

/*
 * Whether a SearchParameter about to be stored under an id ("": a new one) can be in force beside
 * the others. -1 and err if not.
 */
int models_check(struct models *models, struct andiron_arena *arena, andiron_str id,
                 const struct custom *custom, struct andiron_error *err);

#endif
