/*
 * The example engine as a compiler saw it with the headers of ABI 1.0: their declarations written
 * out, and never changed again. It includes nothing of include/andiron. As long as major 1 is
 * supported, today's andiron loads it and gets its verdicts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API extern __attribute__((visibility("default")))

typedef struct andiron_str {
    const char *data;
    size_t len;
} andiron_str;
typedef struct andiron_json {
    const void *doc;
    uintptr_t at;
} andiron_json;
typedef int64_t andiron_usec;
struct andiron_arena;
struct andiron_host;
struct andiron_loop;
struct andiron_policy_call;
struct andiron_request;
enum andiron_code { ANDIRON_OK = 0, ANDIRON_E_UNPROCESSABLE = 16 };
struct andiron_error {
    enum andiron_code code;
    char where[124];
    char message[384];
};
enum andiron_verdict { ANDIRON_NO_MATCH = 0, ANDIRON_MATCH = 1, ANDIRON_FAULT = 2, ANDIRON_PENDING = 3 };

struct andiron_policy_engine {
    size_t size;
    unsigned cost;
    int (*compile)(void *self, struct andiron_arena *arena, andiron_json policy, void **ret_compiled,
                   struct andiron_error *err);
    enum andiron_verdict (*evaluate)(void *self, const void *compiled, struct andiron_policy_call *call);
    void (*release)(void *self, void *compiled);
};
struct andiron_service {
    const char *name;
    const void *table;
};
struct andiron_plugin {
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    size_t size;
    const char *name, *version, *summary;
    const void *directives;
    size_t config_size;
    const struct andiron_service *provides;
    const char *const *needs, *const *wants, *const *uses;
    const void *routes, *hooks;
    int (*init)(struct andiron_host *, const void *, void **, struct andiron_error *);
    int (*start)(struct andiron_host *, void *, struct andiron_error *);
    int (*loop_start)(struct andiron_loop *, void *, void **, struct andiron_error *);
    void (*loop_stop)(struct andiron_loop *, void *, void *);
    void (*stop)(void *);
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct andiron_plugin) == 144, "as it was in 1.0");
_Static_assert(sizeof(void *) != 8 || sizeof(struct andiron_policy_engine) == 40, "as it was in 1.0");
_Static_assert(sizeof(struct andiron_error) == 512, "as it was in 1.0");

API andiron_usec andiron_now(void);
API void *andiron_alloc(struct andiron_arena *arena, size_t bytes);
API andiron_json andiron_json_path(andiron_json v, const char *path);
API andiron_str andiron_json_str(andiron_json v);
API int andiron_error_set(struct andiron_error *err, enum andiron_code code, const char *where,
                          const char *fmt, ...);
API enum andiron_verdict andiron_policy_no_match(struct andiron_policy_call *call, const char *fmt, ...);

/* ---- examples/policy-engine/business_hours.c ------------------------------------------- */

struct hours {
    int from, to;
};

static int minutes_of(andiron_str s)
{
    static const unsigned char place[] = { 0, 1, 3, 4 };
    int d[4];
    if (s.len != 5 || s.data[2] != ':')
        return -1;
    for (int i = 0; i < 4; i++) {
        d[i] = s.data[place[i]] - '0';
        if (d[i] < 0 || d[i] > 9)
            return -1;
    }
    int minutes = (d[0] * 10 + d[1]) * 60 + d[2] * 10 + d[3];
    return d[2] < 6 && minutes <= 24 * 60 ? minutes : -1;
}

static int compile(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err)
{
    (void)self;
    struct hours *h = andiron_alloc(arena, sizeof(*h));
    h->from = minutes_of(andiron_json_str(andiron_json_path(policy, "hours.from")));
    h->to = minutes_of(andiron_json_str(andiron_json_path(policy, "hours.to")));
    if (h->from < 0 || h->to < 0)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "AccessPolicy.hours",
                                 "needs from and to, both written as \"HH:MM\"");
    *ret_compiled = h;
    return 0;
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    (void)self;
    const struct hours *h = compiled;
    int now = (int)(andiron_now() / 60000000 % (24 * 60));

    if (now >= h->from && now < h->to)
        return ANDIRON_MATCH;
    return andiron_policy_no_match(call, "it is %02d:%02d UTC", now / 60, now % 60);
}

static const struct andiron_policy_engine table = {
    .size = sizeof(table), .compile = compile, .evaluate = evaluate
};
static const struct andiron_service provides[] = { { "policy-engine/1:business-hours", &table },
                                                   { NULL, NULL } };

API const struct andiron_plugin andiron_plugin_v1;
const struct andiron_plugin andiron_plugin_v1 = { .magic = 0x414e4452u,
                                                  .abi_major = 1,
                                                  .abi_minor = 0,
                                                  .size = sizeof(struct andiron_plugin),
                                                  .name = "policy-minor-0",
                                                  .version = "1.0.0",
                                                  .summary = "Built for ABI 1.0",
                                                  .provides = provides };
