/*
 * On the loop, or in the lane of those that take long.
 */
#include "common/pattern/judge.h"

#include <pthread.h>

enum {
    LOOP_LIMIT_US = 60,
    WAITING_MAX = 64 /* in a lane: a third of a second with the default time-limit */
};

/* A call that waits; in its request's arena. */
struct job {
    struct job *next;
    struct policy_lane *lane;
    const void *self, *compiled;
    struct andiron_policy_call *call;
    policy_judge_fn judge;
};

struct policy_lane {
    const struct policy_limits *limits;
    pthread_mutex_t lock; /* guards what follows */
    struct job *first, **end;
    unsigned waiting;
    bool is_running;
};

struct policy_lane *policy_lane_new(struct andiron_host *host, const struct policy_limits *limits)
{
    struct policy_lane *lane = andiron_new(andiron_host_arena(host), struct policy_lane);
    lane->limits = limits;
    (void)pthread_mutex_init(&lane->lock, NULL); /* cannot fail for a default mutex */
    lane->end = &lane->first;
    return lane;
}

static enum andiron_verdict judge_in_full(const struct policy_lane *lane, const void *self,
                                          const void *compiled, struct andiron_policy_call *call,
                                          policy_judge_fn judge)
{
    struct pattern_matcher *regex = policy_matcher_new(lane->limits);
    enum andiron_verdict verdict =
        judge(self, compiled, call, regex, lane->limits->time_limit * 1000);
    pattern_matcher_free(regex);
    return verdict;
}

/* On a pool thread. One job at a time, so that others of the pool get their turn in between. */
static void run_next(void *arg)
{
    struct policy_lane *lane = arg;
    (void)pthread_mutex_lock(&lane->lock);
    struct job *job = lane->first;
    lane->first = job->next;
    lane->waiting--;
    if (lane->first == NULL)
        lane->end = &lane->first;
    (void)pthread_mutex_unlock(&lane->lock);

    enum andiron_verdict verdict =
        judge_in_full(lane, job->self, job->compiled, job->call, job->judge);

    (void)pthread_mutex_lock(&lane->lock);
    lane->is_running = lane->first != NULL;
    bool goes_on = lane->is_running;
    (void)pthread_mutex_unlock(&lane->lock);
    andiron_policy_finish(job->call, verdict); /* the job may be gone behind this */
    if (goes_on)
        andiron_pool_post(run_next, lane);
}

/* false: too many wait. */
static bool enqueue(struct policy_lane *lane, struct job *job)
{
    (void)pthread_mutex_lock(&lane->lock);
    bool has_room = lane->waiting < WAITING_MAX, starts = has_room && !lane->is_running;
    if (has_room) {
        *lane->end = job;
        lane->end = &job->next;
        lane->waiting++;
        lane->is_running = true;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    if (starts)
        andiron_pool_post(run_next, lane);
    return has_room;
}

static void hand_over(void *arg)
{
    struct job *job = arg;
    if (!enqueue(job->lane, job))
        andiron_policy_finish(
            job->call,
            andiron_policy_fault(job->call, "too many requests at a time take long to judge"));
}

enum andiron_verdict policy_lane_judge(struct policy_lane *lane, const void *self,
                                       const void *compiled, struct andiron_policy_call *call,
                                       policy_judge_fn judge)
{
    struct andiron_request *req = andiron_policy_request(call);
    struct andiron_loop *loop = andiron_request_loop(req);
    if (loop == NULL)
        return judge_in_full(lane, self, compiled, call, judge);
    enum andiron_verdict verdict =
        judge(self, compiled, call, andiron_loop_state(loop, self), LOOP_LIMIT_US);
    if (verdict != ANDIRON_FAULT)
        return verdict;
    struct job *job = andiron_new(andiron_request_arena(req), struct job);
    *job = (struct job){
        .lane = lane, .self = self, .compiled = compiled, .call = call, .judge = judge
    };
    /* Not at once: who asked still uses the arena, until the request waits. */
    andiron_loop_post(loop, hand_over, job);
    return ANDIRON_PENDING;
}
