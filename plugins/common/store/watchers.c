/*
 * A list of watches that only grows, and one of messages; see watchers.h.
 */
#include "watchers.h"

#include <pthread.h>
#include <stdlib.h>

struct watch {
    struct watch *next;
    struct watchers *owner;
    struct andiron_loop *loop;
    void (*changed)(void *arg, andiron_str type, andiron_str id);
    void *arg;
    size_t len;
    char type[];
};

struct watchers {
    pthread_mutex_t lock; /* for the lists */
    struct watch *first;
    struct message *sent;
};

/* A change on its way to a loop. */
struct message {
    struct message *next, **link;
    const struct watch *watch;
    size_t type_len, id_len;
    char text[]; /* type, id */
};

struct watchers *watchers_new(void)
{
    struct watchers *watchers = calloc(1, sizeof(*watchers));

    if (watchers != NULL)
        pthread_mutex_init(&watchers->lock, NULL);
    return watchers;
}

void watchers_free(struct watchers *watchers)
{
    if (watchers == NULL)
        return;
    while (watchers->first != NULL) {
        struct watch *next = watchers->first->next;
        free(watchers->first);
        watchers->first = next;
    }
    while (watchers->sent != NULL) {
        struct message *next = watchers->sent->next;
        free(watchers->sent);
        watchers->sent = next;
    }
    pthread_mutex_destroy(&watchers->lock);
    free(watchers);
}

int watchers_add(struct watchers *watchers, struct andiron_loop *loop, const char *type,
                 void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
                 struct andiron_error *err)
{
    size_t len = strlen(type);
    struct watch *watch = calloc(1, sizeof(*watch) + len + 1);

    if (watch == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    watch->owner = watchers;
    watch->loop = loop;
    watch->changed = changed;
    watch->arg = arg;
    watch->len = len;
    memcpy(watch->type, type, len);
    pthread_mutex_lock(&watchers->lock);
    watch->next = watchers->first;
    watchers->first = watch;
    pthread_mutex_unlock(&watchers->lock);
    return 0;
}

/* ---- messages ------------------------------------------------------------------------- */

/* Holding the lock. */
static void link_message(struct message *m)
{
    struct watchers *watchers = m->watch->owner;

    m->link = &watchers->sent;
    m->next = watchers->sent;
    if (m->next != NULL)
        m->next->link = &m->next;
    watchers->sent = m;
}

static void unlink_message(struct message *m)
{
    pthread_mutex_lock(&m->watch->owner->lock);
    *m->link = m->next;
    if (m->next != NULL)
        m->next->link = m->link;
    pthread_mutex_unlock(&m->watch->owner->lock);
}

static void deliver(void *arg)
{
    struct message *m = arg;
    andiron_str type = { m->text, m->type_len }, id = { m->text + m->type_len, m->id_len };

    unlink_message(m);
    m->watch->changed(m->watch->arg, type, id);
    free(m);
}

/* Holding the lock. */
static void send(const struct watch *watch, andiron_str type, andiron_str id)
{
    struct message *m = malloc(sizeof(*m) + type.len + id.len + 1);

    if (m == NULL)
        abort(); /* a lost change would never be noticed: end and start afresh */
    m->watch = watch;
    m->type_len = type.len;
    m->id_len = id.len;
    memcpy(m->text, type.data, type.len);
    if (id.len != 0)
        memcpy(m->text + type.len, id.data, id.len);
    link_message(m);
    andiron_loop_post(watch->loop, deliver, m);
}

static bool is_of(const struct watch *w, andiron_str type)
{
    return w->len == type.len && memcmp(w->type, type.data, type.len) == 0;
}

void watchers_tell(struct watchers *watchers, andiron_str type, andiron_str id)
{
    pthread_mutex_lock(&watchers->lock);
    for (const struct watch *w = watchers->first; w != NULL; w = w->next) {
        if (is_of(w, type))
            send(w, type, id);
    }
    pthread_mutex_unlock(&watchers->lock);
}

void watchers_tell_all(struct watchers *watchers)
{
    pthread_mutex_lock(&watchers->lock);
    for (const struct watch *w = watchers->first; w != NULL; w = w->next)
        send(w, (andiron_str){ w->type, w->len }, ANDIRON_STR(""));
    pthread_mutex_unlock(&watchers->lock);
}

bool watchers_want(struct watchers *watchers, andiron_str type)
{
    bool wants = false;

    pthread_mutex_lock(&watchers->lock);
    for (const struct watch *w = watchers->first; w != NULL && !wants; w = w->next)
        wants = is_of(w, type);
    pthread_mutex_unlock(&watchers->lock);
    return wants;
}

size_t watchers_types(struct watchers *watchers, struct andiron_arena *arena, andiron_str **ret)
{
    size_t count = 0, most = 0;

    pthread_mutex_lock(&watchers->lock);
    for (const struct watch *w = watchers->first; w != NULL; w = w->next)
        most++;
    *ret = andiron_alloc(arena, (most + 1) * sizeof((*ret)[0]));
    for (const struct watch *w = watchers->first; w != NULL; w = w->next) {
        size_t i = 0;
        while (i < count && !is_of(w, (*ret)[i]))
            i++;
        if (i == count)
            (*ret)[count++] = (andiron_str){ w->type, w->len };
    }
    pthread_mutex_unlock(&watchers->lock);
    return count;
}
