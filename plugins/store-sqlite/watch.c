/*
 * Watches; see watch.h.
 *
 * All versions up to `seen` have been told. Own commits move it on if they follow it directly;
 * if another process wrote in between, the next poll tells of both once more, which does no
 * harm: to be told means to look again.
 */
#include "watch.h"

#include <stdlib.h>

enum { TELL_MAX = 1000 };

struct watch {
    struct watch *next;
    struct watches *owner;
    struct andiron_loop *loop;
    void (*changed)(void *arg, andiron_str type, andiron_str id);
    void *arg;
    size_t len;
    char type[];
};

struct watches {
    pthread_mutex_t lock; /* for the lists */
    struct watch *first;  /* only grows */
    struct message *sent; /* a loop that has ended delivers none of its messages any more */
    int64_t seen, data_version;
};

/* A change on its way to a loop. */
struct message {
    struct message *next, **link;
    const struct watch *watch;
    size_t type_len, id_len;
    char text[]; /* type, id */
};

struct watches *watches_new(void)
{
    struct watches *watches = calloc(1, sizeof(*watches));

    if (watches != NULL)
        pthread_mutex_init(&watches->lock, NULL);
    return watches;
}

void watches_free(struct watches *watches)
{
    if (watches == NULL)
        return;
    while (watches->first != NULL) {
        struct watch *next = watches->first->next;
        free(watches->first);
        watches->first = next;
    }
    while (watches->sent != NULL) {
        struct message *next = watches->sent->next;
        free(watches->sent);
        watches->sent = next;
    }
    pthread_mutex_destroy(&watches->lock);
    free(watches);
}

int watch_add(struct watches *watches, struct andiron_loop *loop, const char *type,
              void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
              struct andiron_error *err)
{
    size_t len = strlen(type);
    struct watch *watch = calloc(1, sizeof(*watch) + len + 1);

    if (watch == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    watch->owner = watches;
    watch->loop = loop;
    watch->changed = changed;
    watch->arg = arg;
    watch->len = len;
    memcpy(watch->type, type, len);
    pthread_mutex_lock(&watches->lock);
    watch->next = watches->first;
    watches->first = watch;
    pthread_mutex_unlock(&watches->lock);
    return 0;
}

/* Holding the lock. */
static void link_message(struct message *m)
{
    struct watches *watches = m->watch->owner;

    m->link = &watches->sent;
    m->next = watches->sent;
    if (m->next != NULL)
        m->next->link = &m->next;
    watches->sent = m;
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

void watch_note(struct watches *watches, andiron_str type, andiron_str id)
{
    if (watches == NULL)
        return;
    pthread_mutex_lock(&watches->lock);
    for (const struct watch *w = watches->first; w != NULL; w = w->next) {
        if (w->len == type.len && memcmp(w->type, type.data, type.len) == 0)
            send(w, type, id);
    }
    pthread_mutex_unlock(&watches->lock);
}

void watch_own(struct watches *watches, int64_t first_vid, int64_t last_vid)
{
    if (watches != NULL && first_vid == watches->seen + 1)
        watches->seen = last_vid;
}

/* Says "any of them" to everybody. */
static void tell_all(struct watches *watches)
{
    pthread_mutex_lock(&watches->lock);
    for (const struct watch *w = watches->first; w != NULL; w = w->next)
        send(w, (andiron_str){ w->type, w->len }, ANDIRON_STR(""));
    pthread_mutex_unlock(&watches->lock);
}

static int data_version(struct db *db, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_DATA_VERSION);

    if (s == NULL || db_step(db, s) != 1)
        return -1;
    *ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return 0;
}

static int last_vid(struct db *db, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_VID_LAST);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, INT64_MAX);
    int found = db_step(db, s);
    *ret = found == 1 ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return found < 0 ? -1 : 0;
}

int watch_begin(struct watches *watches, struct db *db)
{
    /* In this order: what is committed in between is then told twice, not never. */
    if (data_version(db, &watches->data_version) != 0)
        return -1;
    return last_vid(db, &watches->seen);
}

/* Tells of all versions in (seen, last]. */
static int tell_changes(struct watches *watches, struct db *db, struct names *names, int64_t last)
{
    sqlite3_stmt *s = db_statement(db, DB_CHANGES);
    int more, count = 0;

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, watches->seen);
    sqlite3_bind_int64(s, 2, last);
    sqlite3_bind_int64(s, 3, TELL_MAX + 1);
    bool whole = true;
    while ((more = db_step(db, s)) == 1 && whole) {
        andiron_str type = names_of_type(names, sqlite3_column_int64(s, 0));
        whole = type.len != 0 && ++count <= TELL_MAX;
        if (whole)
            watch_note(watches, type, db_str(s, 1));
    }
    sqlite3_reset(s);
    /* Too many to tell one by one, or of a type that was made by the other process. */
    if (!whole)
        tell_all(watches);
    return more < 0 ? -1 : 0;
}

void watch_poll(struct watches *watches, struct names *names, struct db *db)
{
    int64_t version, last;

    if (watches == NULL || data_version(db, &version) != 0 || version == watches->data_version)
        return; /* a failure is met again at the next poll */
    if (last_vid(db, &last) != 0)
        return;
    if (last > watches->seen && tell_changes(watches, db, names, last) != 0)
        return;
    watches->data_version = version;
    if (last > watches->seen)
        watches->seen = last;
}
