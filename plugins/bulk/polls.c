#include "polls.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 1024, EARLY_MAX = 10, SLACK_MS = 500 };

/* Jobs that meet in a slot share it: the later one starts anew, which is in the client's favour. */
struct slot {
    uint64_t job;
    int64_t next_ms;
    int early;
};

struct polls {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
};

struct polls *polls_new(void)
{
    struct polls *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void polls_free(struct polls *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

static uint64_t hash(andiron_str s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.data[i]) * UINT64_C(0x100000001b3);
    return h;
}

bool polls_allow(struct polls *p, andiron_str job, int64_t now_ms, int64_t wait_ms)
{
    uint64_t h = hash(job);
    struct slot *slot = &p->slots[h % SLOTS];
    bool allowed = true;

    (void)pthread_mutex_lock(&p->lock);
    if (slot->job != h)
        *slot = (struct slot){ .job = h };
    if (now_ms + SLACK_MS < slot->next_ms) {
        allowed = ++slot->early <= EARLY_MAX;
    } else {
        slot->early = 0;
    }
    if (allowed)
        slot->next_ms = now_ms + wait_ms;
    (void)pthread_mutex_unlock(&p->lock);
    return allowed;
}
