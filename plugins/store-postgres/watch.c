/*
 * Watches; see watch.h.
 */
#include "watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <event2/event.h>

#include "common/store/watchers.h"
#include "connection.h"
#include "horizon.h"

enum { TELL_MAX = 1000, TOLD = 256, PAYLOAD_MAX = 7000, SOON_MS = 50 };

struct watches {
    struct store *store;
    struct watchers *watchers;
    pthread_mutex_t lock; /* for told */
    int64_t told[TOLD];   /* vids that were told by NOTIFY or by ourselves */
    size_t told_next;
    char node[17]; /* of this process, so that it does not tell itself twice */
    _Atomic int64_t heard_ms, took_us;

    /* Of the loop that listens. */
    struct andiron_loop *loop;
    struct wire_loop *wire;
    struct event *poll;
    struct andiron_arena *arena, *listen_arena; /* of batches under way */
    bool is_looking;
    bool is_new;       /* the connection: no look has begun since it listens */
    bool is_first;     /* the look under way is the first since then */
    int64_t missed_to; /* what was committed before it listened is up to here */
    andiron_usec looked_at;
    int64_t seen;      /* versions up to here were told; -1: not known yet */
    int64_t looked_to; /* to become `seen` when they are */
    struct wire_sql listen;
    char listen_text[80];
};

struct watches *watches_new(struct store *store)
{
    struct watches *watches = calloc(1, sizeof(*watches));
    uint64_t node = 0;

    if (watches == NULL)
        return NULL;
    watches->store = store;
    watches->seen = -1;
    watches->heard_ms = watches->took_us = -1;
    watches->watchers = watchers_new();
    if (watches->watchers == NULL || getrandom(&node, sizeof(node), 0) != (ssize_t)sizeof(node)) {
        watchers_free(watches->watchers);
        free(watches);
        return NULL;
    }
    pthread_mutex_init(&watches->lock, NULL);
    (void)snprintf(watches->node, sizeof(watches->node), "%016llx", (unsigned long long)node);
    return watches;
}

void watches_free(struct watches *watches)
{
    if (watches == NULL)
        return;
    watchers_free(watches->watchers);
    pthread_mutex_destroy(&watches->lock);
    free(watches);
}

int watch_add(struct watches *watches, struct andiron_loop *loop, const char *type,
              void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
              struct andiron_error *err)
{
    return watchers_add(watches->watchers, loop, type, changed, arg, err);
}

/* Whether it was told before; from now on it was. */
static bool was_told(struct watches *watches, int64_t vid)
{
    bool told = false;

    pthread_mutex_lock(&watches->lock);
    for (size_t i = 0; i < TOLD && !told; i++)
        told = watches->told[i] == vid;
    if (!told)
        watches->told[watches->told_next++ % TOLD] = vid;
    pthread_mutex_unlock(&watches->lock);
    return told;
}

void watch_note(struct watches *watches, andiron_str type, andiron_str id, int64_t vid)
{
    if (!was_told(watches, vid))
        watchers_tell(watches->watchers, type, id);
}

bool watch_wants(struct watches *watches, andiron_str type)
{
    return watchers_want(watches->watchers, type);
}

/* ---- other nodes: NOTIFY ------------------------------------------------------------------- */

static const struct wire_sql notify = { .name = "notify",
                                        .text = "SELECT pg_notify(current_schema(),$1)",
                                        .types = { WIRE_TEXT } };

void watch_notify(struct watches *watches, struct wire_batch *b, andiron_str type, andiron_str id,
                  int64_t vid)
{
    const char *text = andiron_printf(b->arena, "%s %lld %.*s %.*s", watches->node, (long long)vid,
                                      (int)type.len, type.data, (int)id.len, id.data);
    if (strlen(text) > PAYLOAD_MAX)
        return; /* others find it when they look */
    wire_add(b, &notify);
    wire_text(b, andiron_str_of(text));
}

/* "node vid type id" */
static void on_notified(void *arg, const char *payload)
{
    struct watches *watches = arg;
    char node[sizeof(watches->node)], type[72];
    long long vid;
    int at = 0;

    if (sscanf(payload, "%16s %lld %71s %n", node, &vid, type, &at) != 3 || at == 0 ||
        strcmp(node, watches->node) == 0)
        return;
    watch_note(watches, andiron_str_of(type), andiron_str_of(payload + at), vid);
}

/* ---- looking ----------------------------------------------------------------------------------- */

static const struct wire_sql changes = {
    .name = "changes",
    .text = "SELECT v.vid,t.name,r.id FROM restype t JOIN version v ON v.type=t.id"
            " JOIN resource r ON r.rid=v.rid"
            " WHERE t.name=ANY($1) AND v.vid>$2 AND v.vid<=$3 ORDER BY v.vid LIMIT $4",
    .types = { WIRE_TEXT_ARRAY, WIRE_INT8, WIRE_INT8, WIRE_INT4 }
};

static void look(struct watches *watches);

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    look(arg);
}

static void look_later(struct watches *watches)
{
    int64_t ms = watches->store->config->poll_interval;

    /* Nobody tells of what was committed before we listened, and open transactions may hide it. */
    if (watches->is_new)
        ms = 0;
    else if (watches->looked_to < watches->missed_to && ms > SOON_MS)
        ms = SOON_MS;
    struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
    watches->is_looking = false;
    if (event_add(watches->poll, &wait) != 0)
        abort(); /* out of memory */
}

/* Forgets the batch before. */
static struct wire_batch *new_batch(struct watches *watches)
{
    andiron_arena_free(watches->arena);
    watches->arena = andiron_arena_new(0);
    return wire_batch(watches->arena);
}

static void on_changes(void *arg, struct wire_batch *b)
{
    struct watches *watches = arg;

    if (b->reply.outcome == WIRE_OK) {
        size_t count = wire_rows(b, 0);
        for (size_t i = 0; i < count && count <= TELL_MAX; i++)
            watch_note(watches, wire_get_str(b, 0, i, 1), wire_get_str(b, 0, i, 2),
                       wire_get_int(b, 0, i, 0));
        if (count > TELL_MAX)
            watchers_tell_all(watches->watchers);
        watches->seen = watches->looked_to;
    }
    look_later(watches);
}

static void find_changes(struct watches *watches)
{
    struct wire_batch *b = new_batch(watches);
    andiron_str *types;
    size_t count = watchers_types(watches->watchers, watches->arena, &types);

    wire_add(b, &changes);
    wire_str_array(b, types, count);
    wire_int8(b, watches->seen);
    wire_int8(b, watches->looked_to);
    wire_int4(b, TELL_MAX + 1);
    wire_send(watches->wire, WIRE_LISTEN, b, on_changes, watches);
}

static void on_looked(void *arg, struct wire_batch *b)
{
    struct watches *watches = arg;

    if (b->reply.outcome != WIRE_OK) {
        look_later(watches);
        return;
    }
    watches->heard_ms = connection_clock();
    watches->took_us = andiron_now() - watches->looked_at;
    horizon_seen(watches->store->horizon, b, b->count - 2);
    watches->looked_to = horizon_vid(watches->store->horizon, NULL);
    if (watches->is_first)
        watches->missed_to = horizon_drawn(b, b->count - 2);
    if (watches->seen < 0 && watches->store->vid_at_open >= 0) {
        watches->seen = watches->store->vid_at_open;
    } else if (watches->seen < 0 && watches->looked_to > 0) {
        /* What was open at the start is decided: nobody knows what of it was seen. */
        watches->seen = watches->looked_to;
        watchers_tell_all(watches->watchers);
    }
    if (watches->seen >= 0 && watches->looked_to > watches->seen)
        find_changes(watches);
    else
        look_later(watches);
}

static void look(struct watches *watches)
{
    if (watches->is_looking)
        return;
    watches->is_looking = true;
    watches->is_first = watches->is_new;
    watches->is_new = false;
    watches->looked_at = andiron_now();
    struct wire_batch *b = new_batch(watches);
    horizon_look(b);
    wire_send(watches->wire, WIRE_LISTEN, b, on_looked, watches);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static void on_listening(void *arg, struct wire_batch *b)
{
    struct watches *watches = arg;

    (void)b; /* if it failed, looking will do */
    andiron_arena_free(watches->listen_arena);
    watches->listen_arena = NULL;
}

/*
 * The connection is new: whatever was told meanwhile is found by looking, at once; behind a look that is
 * under way, since that may have been before.
 */
static void on_up(void *arg)
{
    struct watches *watches = arg;

    if (watches->store->config->prepare && watches->listen_arena == NULL) {
        watches->listen_arena = andiron_arena_new(0);
        struct wire_batch *b = wire_batch(watches->listen_arena);
        wire_add(b, &watches->listen);
        wire_send(watches->wire, WIRE_LISTEN, b, on_listening, watches);
    }
    watches->is_new = true;
    look(watches);
}

int watches_start(struct watches *watches, struct andiron_loop *loop, struct wire_loop *wire,
                  struct andiron_error *err)
{
    const struct wire_listener listener = { .up = on_up, .notified = on_notified, .arg = watches };

    watches->wire = wire;
    watches->loop = loop;
    (void)snprintf(watches->listen_text, sizeof(watches->listen_text), "LISTEN %s",
                   watches->store->config->schema);
    watches->listen = (struct wire_sql){ .name = "listen", .text = watches->listen_text };
    watches->poll = event_new(andiron_loop_base(loop), -1, 0, on_poll, watches);
    if (watches->poll == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    wire_listen(wire, &listener);
    return 0;
}

void watches_stop(struct watches *watches, struct andiron_loop *loop)
{
    if (watches->loop != loop)
        return;
    if (watches->poll != NULL)
        event_free(watches->poll);
    andiron_arena_free(watches->arena);
    andiron_arena_free(watches->listen_arena);
    watches->poll = NULL;
    watches->arena = watches->listen_arena = NULL;
    watches->loop = NULL;
}

int64_t watches_latency(struct watches *watches)
{
    return watches->took_us;
}

int64_t watches_silence_ms(struct watches *watches)
{
    int64_t heard = watches->heard_ms;

    return heard < 0 ? -1 : connection_clock() - heard;
}
