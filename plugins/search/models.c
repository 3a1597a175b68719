/*
 * Loading, watching and replacing models; see models.h.
 */
#include "models.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/fhir/types.h"
#include "search.h"

#define HEALTH "/health/"

enum {
    PAGE = 200,
    READ_MAX = 5000, /* SearchParameters read, most of which define nothing here */
    DEADLINE_MS = 30000,
    RETRY_MS = 250
};

struct models {
    struct search *search;
    size_t max_custom;
    struct snapshot empty; /* of base alone; never released */

    pthread_mutex_t lock;
    struct snapshot *now;       /* guarded by lock */
    uint64_t now_asked;         /* guarded by lock: of which load it is */
    atomic_uint_fast64_t asked; /* loads begun so far */
    atomic_bool is_loaded, is_empty;

    /* On one loop. */
    struct andiron_loop *loop;
    struct event *timer;
    bool is_loading, is_dirty;
    void (*changed)(void *arg);
    void *arg;
};

/* ---- snapshots -------------------------------------------------------------------- */

static void snapshot_drop(void *arg)
{
    struct snapshot *s = arg;
    if (s->arena != NULL && atomic_fetch_sub(&s->uses, 1) == 1)
        andiron_arena_free(s->arena);
}

const struct snapshot *models_now(struct models *m, struct andiron_arena *arena)
{
    struct snapshot *s;

    if (atomic_load_explicit(&m->is_empty, memory_order_acquire))
        return &m->empty;
    (void)pthread_mutex_lock(&m->lock);
    s = m->now;
    if (s->arena != NULL)
        (void)atomic_fetch_add(&s->uses, 1);
    (void)pthread_mutex_unlock(&m->lock);
    if (s->arena != NULL)
        andiron_at_release(arena, snapshot_drop, s);
    return s;
}

uint64_t models_generation(struct models *m)
{
    if (atomic_load_explicit(&m->is_empty, memory_order_acquire))
        return 0;
    (void)pthread_mutex_lock(&m->lock);
    uint64_t generation = m->now->model.generation;
    (void)pthread_mutex_unlock(&m->lock);
    return generation;
}

bool models_are_loaded(const struct models *m)
{
    return atomic_load_explicit(&m->is_loaded, memory_order_acquire);
}

/* Takes over s, or drops it: a later load was quicker, or there is nothing, as from the start. */
static void publish(struct models *m, struct snapshot *s, uint64_t asked)
{
    struct snapshot *old = s;

    (void)pthread_mutex_lock(&m->lock);
    bool is_nothing = s->definition_count == 0 && s->record_count == 0 && m->now == &m->empty;
    if (asked >= m->now_asked && !is_nothing) {
        old = m->now;
        s->model.generation = old->model.generation + (s->digest != old->digest ? 1 : 0);
        m->now = s;
        m->now_asked = asked;
        atomic_store_explicit(&m->is_empty, false, memory_order_release);
    }
    atomic_store_explicit(&m->is_loaded, true, memory_order_release);
    (void)pthread_mutex_unlock(&m->lock);
    snapshot_drop(old);
}

/* ---- making one --------------------------------------------------------------------- */

/* What was read from the store; all of it in the snapshot's arena. */
struct input {
    struct andiron_row *rows;
    size_t count, room;
};

struct making {
    struct models *models;
    struct snapshot *snapshot;
    struct input definitions, records;
    uint64_t asked;
};

static void add_row(struct andiron_arena *arena, struct input *input, const struct andiron_row *row)
{
    if (input->count == input->room) {
        size_t room = input->room > 0 ? input->room * 2 : 16;
        struct andiron_row *rows = andiron_alloc(arena, room * sizeof(*rows));
        if (input->count > 0)
            memcpy(rows, input->rows, input->count * sizeof(*rows));
        input->rows = rows;
        input->room = room;
    }
    struct andiron_row *copy = &input->rows[input->count++];
    *copy = *row;
    copy->ref.id.data = andiron_copy(arena, row->ref.id);
    copy->body.data = andiron_copy(arena, row->body);
}

static int by_id(const void *a, const void *b)
{
    const struct andiron_row *x = a, *y = b;
    size_t len = x->ref.id.len < y->ref.id.len ? x->ref.id.len : y->ref.id.len;
    int order = memcmp(x->ref.id.data, y->ref.id.data, len);
    return order != 0 ? order : (x->ref.id.len > y->ref.id.len) - (x->ref.id.len < y->ref.id.len);
}

static const struct record *record_of(const struct snapshot *s, const char *meaning)
{
    for (size_t i = 0; i < s->record_count; i++)
        if (strcmp(s->records[i]->id, meaning) == 0)
            return s->records[i]->state != RECORD_DROPPING ? s->records[i] : NULL;
    return NULL;
}

/* The definition that has a code for one of these types, but for the one with that id; or NULL. */
static const struct definition *holder_of(const struct snapshot *s, andiron_str id,
                                          const struct custom *custom, int *ret_type)
{
    for (size_t i = 0; i < s->definition_count; i++) {
        const struct definition *d = &s->definitions[i];
        if (d->refused != NULL || andiron_str_eq(id, andiron_str_of(d->id)) ||
            strcmp(d->custom->code, custom->code) != 0)
            continue;
        for (size_t a = 0; a < custom->base_count; a++)
            for (size_t b = 0; b < d->custom->base_count; b++)
                if (custom->bases[a].type == d->custom->bases[b].type) {
                    *ret_type = custom->bases[a].type;
                    return d;
                }
    }
    return NULL;
}

static void add_definition(struct making *m, const struct andiron_row *row)
{
    struct snapshot *s = m->snapshot;
    struct definition *d = &s->definitions[s->definition_count];
    struct andiron_error err;
    andiron_json root;
    int type;

    if (andiron_json_parse(s->arena, row->body, &root, &err) != 0)
        return;
    d->id = row->ref.id.data;
    custom_meaning(root, d->meaning);
    d->record = record_of(s, d->meaning);
    if (custom_read(s->arena, root, d->record != NULL ? d->record->term : NULL, &d->custom, &err) !=
        0) { /* stored before it was checked, by another version of Andiron, say */
        d->refused = andiron_printf(s->arena, "%s %s", err.where, err.message);
        d->record = NULL;
        s->definition_count++;
        return;
    }
    if (d->custom == NULL)
        return;
    const struct definition *other = holder_of(s, row->ref.id, d->custom, &type);
    if (other != NULL)
        d->refused = andiron_printf(s->arena, "%s has a parameter \"%s\" by SearchParameter/%s",
                                    fhir_type_name(type), d->custom->code, other->id);
    else if (s->definition_count >= m->models->max_custom)
        d->refused = "there are more than `max-custom` allows";
    if (d->refused != NULL)
        d->record = NULL;
    else if (d->record != NULL)
        d->building.percent = record_percent(d->record);
    s->definition_count++;
}

static bool is_ready(const struct definition *d)
{
    return d->record != NULL && d->record->state == RECORD_READY;
}

static void fill(const struct definition *d, size_t base, struct model_custom *ret)
{
    const struct custom *c = d->custom;

    *ret = (struct model_custom){ .type = c->bases[base].type,
                                  .url = c->url,
                                  .root = c->bases[base].root,
                                  .is_indexed = d->record != NULL };
    ret->param = (struct fhir_param){
        .code = c->code,
        .term = c->term,
        .id = "",
        .kind = c->kind,
        .targets = c->targets,
        .target_count = c->target_count,
        .words = c->kind == FHIR_PARAM_STRING ? c->words : NULL,
        .parts = c->part_count > 0 ? c->parts : NULL,
        .part_count = c->part_count,
        .is_integer = c->kind == FHIR_PARAM_NUMBER && c->bases[base].is_plain,
        .is_caseless = c->kind == FHIR_PARAM_TOKEN && c->bases[base].is_plain,
        .building = is_ready(d) ? NULL : &d->building,
    };
}

/* The parameters of all definitions, by type. */
static void place_customs(struct snapshot *s)
{
    size_t *first = andiron_alloc(s->arena, (FHIR_TYPE_COUNT + 1) * sizeof(*first));
    size_t *next = andiron_alloc(s->arena, FHIR_TYPE_COUNT * sizeof(*next));

    for (size_t i = 0; i < s->definition_count; i++)
        for (size_t b = 0;
             s->definitions[i].refused == NULL && b < s->definitions[i].custom->base_count; b++)
            first[s->definitions[i].custom->bases[b].type + 1]++;
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        first[type + 1] += first[type];
        next[type] = first[type];
    }
    struct model_custom *customs =
        andiron_alloc(s->arena, (first[FHIR_TYPE_COUNT] + 1) * sizeof(*customs));
    for (size_t i = 0; i < s->definition_count; i++)
        for (size_t b = 0;
             s->definitions[i].refused == NULL && b < s->definitions[i].custom->base_count; b++)
            fill(&s->definitions[i], b, &customs[next[s->definitions[i].custom->bases[b].type]++]);
    s->model.customs = customs;
    s->model.first = first;
}

static uint64_t mix(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash * UINT64_C(0x100000001b3);
}

/* Of everything that searches depend on, so not of how far something is. */
static uint64_t digest_of(const struct snapshot *s)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < s->definition_count; i++) {
        const struct definition *d = &s->definitions[i];
        hash = mix(hash, d->meaning);
        hash = mix(hash, d->id);
        hash = mix(hash, d->refused != NULL ? "refused" : d->custom->url);
        for (size_t t = 0; d->refused == NULL && t < d->custom->target_count; t++)
            hash = mix(hash, fhir_type_name(d->custom->targets[t]));
        hash = mix(hash, d->record != NULL ? d->record->term : "");
        hash = mix(hash, is_ready(d) ? "ready" : "building");
    }
    return hash;
}

/* On the pool: compiling takes some milliseconds where there are many. */
static void make(void *state)
{
    struct making *m = state;
    struct snapshot *s = m->snapshot;

    if (m->definitions.count > 0)
        qsort(m->definitions.rows, m->definitions.count, sizeof(m->definitions.rows[0]), by_id);
    s->records = andiron_alloc(s->arena, (m->records.count + 1) * sizeof(*s->records));
    for (size_t i = 0; i < m->records.count; i++) {
        s->records[s->record_count] = record_read(s->arena, &m->records.rows[i]);
        s->record_count += s->records[s->record_count] != NULL ? 1 : 0;
    }
    s->definitions = andiron_alloc(s->arena, (m->definitions.count + 1) * sizeof(*s->definitions));
    for (size_t i = 0; i < m->definitions.count; i++) {
        s->definitions[s->definition_count] = (struct definition){ .id = NULL };
        add_definition(m, &m->definitions.rows[i]);
    }
    s->model.platform = m->models->empty.model.platform;
    place_customs(s);
    s->digest = digest_of(s);
}

/* ---- loading -------------------------------------------------------------------------- */

struct loading {
    struct making making;
    struct andiron_query query;
    struct andiron_rows rows;
    struct andiron_filter active;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step read_page(struct andiron_request *req, struct loading *l,
                                   andiron_str cursor);

static enum andiron_step made(struct andiron_request *req, void *state)
{
    struct loading *l = state;
    struct making *m = &l->making;
    struct snapshot *s = m->snapshot;

    m->snapshot = NULL;
    publish(m->models, s, m->asked);
    return l->then(req, l->state);
}

static enum andiron_step page_read(struct andiron_request *req, void *state)
{
    struct loading *l = state;
    struct making *m = &l->making;
    bool is_records = l->query.filter == NULL;
    struct input *input = is_records ? &m->records : &m->definitions;

    if (l->rows.error.code != ANDIRON_OK) {
        *l->ret_error = l->rows.error;
        return l->then(req, l->state);
    }
    for (size_t i = 0; i < l->rows.count; i++)
        add_row(m->snapshot->arena, input, &l->rows.rows[i]);
    if (l->rows.cursor.len > 0 && input->count < READ_MAX)
        return read_page(req, l, l->rows.cursor);
    if (is_records)
        return andiron_offload(req, make, made, l);
    l->query = (struct andiron_query){ .type = RECORDS_TYPE };
    return read_page(req, l, (andiron_str){ NULL, 0 });
}

static enum andiron_step read_page(struct andiron_request *req, struct loading *l,
                                   andiron_str cursor)
{
    const struct andiron_service_ref *ref = &l->making.models->search->store;
    const struct andiron_store *store = ref->table;

    l->query.limit = PAGE;
    l->query.cursor = cursor;
    l->rows = (struct andiron_rows){ .total = -1 };
    return store->search(ref->self, req, &l->query, &l->rows, page_read, l);
}

static void loading_released(void *arg)
{
    struct loading *l = arg;
    if (l->making.snapshot != NULL)
        snapshot_drop(l->making.snapshot);
}

/* Reads everything, puts the model that it makes in force, and then calls `then`. */
static enum andiron_step load(struct models *models, struct andiron_request *req,
                              struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    struct loading *l = andiron_new(andiron_request_arena(req), struct loading);
    struct andiron_arena *arena = andiron_arena_new(0);

    *l = (struct loading){ .ret_error = ret_error, .then = then, .state = state };
    l->making.models = models;
    l->making.asked = atomic_fetch_add(&models->asked, 1) + 1;
    l->making.snapshot = andiron_new(arena, struct snapshot);
    l->making.snapshot->arena = arena;
    atomic_init(&l->making.snapshot->uses, 1);
    andiron_at_release(andiron_request_arena(req), loading_released, l);
    l->active = (struct andiron_filter){
        .op = ANDIRON_FILTER_TERM,
        .compare = ANDIRON_CMP_EQ,
        .term = { .param = "status", .kind = ANDIRON_TERM_TOKEN, .text = ANDIRON_STR("active") },
    };
    l->query = (struct andiron_query){ .type = "SearchParameter", .filter = &l->active };
    return read_page(req, l, (andiron_str){ NULL, 0 });
}

/* ---- the first time ---------------------------------------------------------------------- */

struct first {
    struct andiron_error error;
};

static enum andiron_step first_loaded(struct andiron_request *req, void *state)
{
    const struct first *first = state;
    if (first->error.code != ANDIRON_OK) /* who searches is told, others need not care */
        andiron_request_log(req, ANDIRON_LOG_WARN, "search.parameters.unread",
                            "search parameters could not be read: %s", first->error.message);
    return ANDIRON_NEXT;
}

enum andiron_step models_receive(struct andiron_request *req, struct models *m)
{
    andiron_str path = andiron_request_path(req);
    size_t len = sizeof(HEALTH) - 1;

    /* Whether the process is alive does not depend on the store. */
    if (models_are_loaded(m) || (path.len >= len && memcmp(path.data, HEALTH, len) == 0))
        return ANDIRON_NEXT;
    struct first *first = andiron_new(andiron_request_arena(req), struct first);
    return load(m, req, &first->error, first_loaded, first);
}

/* ---- changes ------------------------------------------------------------------------------- */

struct reload {
    struct models *models;
    struct andiron_error error;
    bool is_over;
};

static void set_timer(struct models *m, int64_t ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (m->timer != NULL)
        (void)event_add(m->timer, &delay); /* fails for want of memory alone, which aborts */
}

static enum andiron_step reloaded(struct andiron_request *req, void *state)
{
    struct reload *r = state;
    (void)req;
    r->is_over = r->error.code == ANDIRON_OK;
    if (!r->is_over)
        andiron_log(r->models->search->host, ANDIRON_LOG_WARN, "search.parameters.unread",
                    "search parameters could not be read: %s; it is tried again", r->error.message);
    return ANDIRON_DONE;
}

/* On the loop; also where its time was over. */
static void reload_released(void *arg)
{
    struct reload *r = arg;
    struct models *m = r->models;

    m->is_loading = false;
    if (r->is_over && m->changed != NULL)
        m->changed(m->arg);
    if (!r->is_over)
        set_timer(m, RETRY_MS);
    else if (m->is_dirty)
        set_timer(m, 1);
}

static enum andiron_step reload(struct andiron_request *req, void *state)
{
    struct models *m = state;
    struct reload *r = andiron_new(andiron_request_arena(req), struct reload);

    r->models = m;
    m->is_dirty = false;
    andiron_at_release(andiron_request_arena(req), reload_released, r);
    return load(m, req, &r->error, reloaded, r);
}

static void begin(struct models *m)
{
    if (m->is_loading || m->timer == NULL)
        return;
    m->is_loading = true;
    andiron_job_start(m->loop, "search.parameters", DEADLINE_MS, reload, m);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    begin(arg);
}

static void on_change(void *arg, andiron_str type, andiron_str id)
{
    struct models *m = arg;
    (void)type;
    (void)id;
    m->is_dirty = true;
    begin(m);
}

size_t models_count(struct models *m, bool wants_ready)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->now->definition_count; i++)
        if (m->now->definitions[i].refused == NULL &&
            is_ready(&m->now->definitions[i]) == wants_ready)
            count++;
    (void)pthread_mutex_unlock(&m->lock);
    return count;
}

/* ---- checking ------------------------------------------------------------------------------- */

int models_check(struct models *m, struct andiron_arena *arena, andiron_str id,
                 const struct custom *custom, struct andiron_error *err)
{
    const struct snapshot *s = models_now(m, arena);
    size_t in_force = 0;
    int type;
    const struct definition *other = holder_of(s, id, custom, &type);

    if (other != NULL)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.code",
                                 "%s has a parameter \"%s\" already, by SearchParameter/%s",
                                 fhir_type_name(type), custom->code, other->id);
    for (size_t i = 0; i < s->definition_count; i++)
        in_force += !andiron_str_eq(id, andiron_str_of(s->definitions[i].id)) ? 1 : 0;
    if (in_force >= m->max_custom)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "SearchParameter.status",
                                 "there are %zu active SearchParameters already, as many as "
                                 "`max-custom` allows",
                                 in_force);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct models *models_new(struct search *search, size_t max_custom)
{
    struct models *m = andiron_new(andiron_host_arena(search->host), struct models);

    m->search = search;
    m->max_custom = max_custom;
    m->now = &m->empty;
    atomic_init(&m->empty.uses, 1);
    atomic_init(&m->asked, 0);
    atomic_init(&m->is_empty, true);
    atomic_init(&m->is_loaded, false);
    (void)pthread_mutex_init(&m->lock, NULL); /* cannot fail for a default mutex */
    return m;
}

void models_free(struct models *m)
{
    (void)pthread_mutex_lock(&m->lock);
    struct snapshot *now = m->now;
    m->now = &m->empty;
    (void)pthread_mutex_unlock(&m->lock);
    snapshot_drop(now);
}

int models_watch(struct models *m, const struct model *base, struct andiron_loop *loop,
                 void (*changed)(void *arg), void *arg, struct andiron_error *err)
{
    const struct andiron_service_ref *ref = &m->search->store;
    const struct andiron_store *store = ref->table;

    m->empty.model = *base;
    if (store == NULL) {
        atomic_store(&m->is_loaded, true);
        return 0;
    }
    m->loop = loop;
    m->changed = changed;
    m->arg = arg;
    if (store->watch(ref->self, loop, "SearchParameter", on_change, m, err) != 0 ||
        store->watch(ref->self, loop, RECORDS_TYPE, on_change, m, err) != 0)
        return -1;
    return 0;
}

int models_loop_start(struct models *m, struct andiron_error *err)
{
    m->timer = evtimer_new(andiron_loop_base(m->loop), on_timer, m);
    if (m->timer == NULL)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "out of memory");
    m->is_dirty = true;
    begin(m);
    return 0;
}

void models_loop_stop(struct models *m)
{
    if (m->timer != NULL)
        event_free(m->timer);
    m->timer = NULL;
}
