/*
 * andiron/policy.h - write an access-policy engine.
 *
 * An engine answers one question: does this AccessPolicy match this request? It
 * is compiled once per AccessPolicy and evaluated per request. A plugin provides
 * it as the service "policy-engine/1:<name>", where <name> is what
 * AccessPolicy.engine says. The access plugin does the rest: it loads and caches
 * policies, follows links, roles and effect, asks engines in turn, stops at the
 * first that decides, and denies when none does.
 *
 * Threads: compile() and release() run on any thread, evaluate() on the
 * request's loop thread. A compiled policy is shared by all loops, so evaluate()
 * must not change it.
 */
#ifndef ANDIRON_POLICY_H
#define ANDIRON_POLICY_H

#include <andiron/plugin.h>

#define ANDIRON_POLICY_ENGINE "policy-engine/1:"

/* One evaluation; lives until a verdict is given. */
struct andiron_policy_call;

enum andiron_verdict {
    ANDIRON_NO_MATCH = 0, /* says nothing; other policies are asked */
    ANDIRON_MATCH,        /* grants, or denies if the policy's effect is deny */
    ANDIRON_FAULT,        /* could not tell: never grants, is logged and counted */
    ANDIRON_PENDING       /* waiting; andiron_policy_finish() will follow */
};

/* What is known of a request before any engine is asked. */
enum andiron_policy_feature {
    ANDIRON_FEATURE_METHOD,     /* request-method, "get" */
    ANDIRON_FEATURE_URI,        /* uri, the whole of it */
    ANDIRON_FEATURE_URI_PREFIX, /* what uri begins with */
    ANDIRON_FEATURE_TYPE,       /* params.resource/type */
    ANDIRON_FEATURE_OPERATION,  /* operation.id */
    ANDIRON_FEATURE_CLIENT,     /* client.id */
    ANDIRON_FEATURE_USER        /* user.id */
};

/* One value of a feature with which a policy may match; an absent one: where it is missing. */
struct andiron_policy_test {
    enum andiron_policy_feature feature;
    andiron_str value; /* lives as long as the compiled policy */
};

/*
 * One value that a policy asks for somewhere in the request object. path is as for
 * andiron_policy_input(), at least a name; a step "*" stands for each element of an array, and what
 * one of them has the path has. A name that holds a dot, or is "*", has no path.
 */
struct andiron_policy_literal {
    const char *path;
    andiron_str value; /* of a string, or "true" and "false"; absent: where nothing is there */
};

struct andiron_policy_engine {
    size_t size; /* sizeof(struct andiron_policy_engine) */

    /* Cheaper engines are asked first. allow 1, matcho 10, json-schema 20, sql 90; 0 means 50. */
    unsigned cost;

    /*
     * Checks and prepares an AccessPolicy when it is written or loaded. policy
     * is the whole resource and lives as long as arena does. On failure the write
     * is answered with 422 and err; err.where names the element. Optional:
     * without it, compiled is NULL. A message that is left in err on success, its
     * code ANDIRON_OK, warns of a policy that is allowed but hardly meant: it is
     * logged, and shown to the writer.
     */
    int (*compile)(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err);

    /*
     * Required. Answers within a millisecond or returns ANDIRON_PENDING, and then answers once by
     * andiron_policy_finish(). May be asked several times for one request, for its reason or by
     * explain, and not at all where another policy decides: so it does not count requests.
     */
    enum andiron_verdict (*evaluate)(void *self, const void *compiled,
                                     struct andiron_policy_call *call);

    /* Optional: for what the arena given to compile() cannot hold. */
    void (*release)(void *self, void *compiled);

    /*
     * Optional: what a request must be for the policy to match, so that it need not be asked
     * about others. Fills ret and returns how many it filled, at most max. The policy may only
     * match a request that has, for each feature listed, one of the values listed for it; uri
     * and the beginnings of uri count as one feature. A feature whose values do not all fit is
     * left out; 0 if nothing is known. Any thread. Check size before use.
     */
    size_t (*tests)(void *self, const void *compiled, struct andiron_policy_test *ret, size_t max);

    /*
     * Optional: the same for any place in the request object, of which access chooses those that
     * tell many policies apart. The policy may only match a request that has, at each path listed,
     * one of the values listed for it. Paths may be made in arena, which lives as long as compiled.
     * Any thread. Check size before use.
     */
    size_t (*literals)(void *self, const void *compiled, struct andiron_arena *arena,
                       struct andiron_policy_literal *ret, size_t max);

    /*
     * Optional: the same for policies that search strings. A value is a text of at least a byte,
     * and the policy may only match a request that has, at each path listed, a string that holds
     * one of the texts listed for it (or nothing, where an absent value is listed). Not needed
     * where `literals` lists the path. Any thread. Check size before use.
     */
    size_t (*fragments)(void *self, const void *compiled, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max);

    /*
     * Optional, both or neither: many policies of the engine against one request at a time, so that
     * those that surely do not match it need not be asked one by one. gather() makes of `count`
     * compiled policies what that needs; arena and the policies live as long as it. NULL: it is not
     * worth it. Any thread. screen() clears bit i % 64 of may_match[i / 64] of policies that do not
     * match; their verdict is NO_MATCH. On the request's loop thread; as fast as a few of
     * evaluate(), and it does not wait. Check size before use.
     */
    const void *(*gather)(void *self, const void *const *compiled, size_t count,
                          struct andiron_arena *arena);
    void (*screen)(void *self, const void *gathered, struct andiron_policy_call *call,
                   uint64_t *may_match);
};

/*
 * Defines `var`, the services of a plugin that is one engine:
 *
 *     ANDIRON_POLICY_SERVICE(engine, "matcho", .compile = compile, .evaluate = evaluate);
 *     ANDIRON_PLUGIN(.name = "policy-matcho", .version = "1.0", .provides = engine);
 */
#define ANDIRON_POLICY_SERVICE(var, name, ...)                                                     \
    static const struct andiron_policy_engine var##_table = {                                      \
        .size = sizeof(struct andiron_policy_engine), __VA_ARGS__                                  \
    };                                                                                             \
    static const struct andiron_service var[] = { { ANDIRON_POLICY_ENGINE name, &var##_table },    \
                                                  { NULL, NULL } }

/*
 * A value of the request object by dotted path, MISSING if there is none:
 * request-method, scheme, uri, query-string, params, body, resource, headers,
 * remote-addr, client, user, role, session, jwt, operation, scope, bundle.
 * Secrets and raw tokens are not in it. "" is the whole object. Built on first
 * use, only as far as asked; lives as long as the request.
 */
ANDIRON_API andiron_json andiron_policy_input(struct andiron_policy_call *call, const char *path);

/*
 * A call for the policies of a request, to hand to andiron_policy_ask(). Made by the plugin that
 * keeps the policies (access); an engine is handed one.
 */
ANDIRON_API struct andiron_policy_call *andiron_policy_begin(struct andiron_request *req);

/*
 * From now on engines asked with this call give reasons for NO_MATCH too. Before the first is
 * asked.
 */
ANDIRON_API void andiron_policy_want_reasons(struct andiron_policy_call *call);

/*
 * Whether a reason for NO_MATCH is read by anybody. For engines to which making one's parts is
 * work; andiron_policy_no_match() itself formats nothing that is not.
 */
ANDIRON_API bool andiron_policy_wants_reasons(const struct andiron_policy_call *call);

/* Why the engine asked last said NO_MATCH or FAULT, in the request's arena; absent if it did not say. */
ANDIRON_API andiron_str andiron_policy_reason(struct andiron_policy_call *call);

/*
 * The request behind the call, for its arena, loop and time left. Its loop is NULL under
 * `andiron explain-policy`, which has none.
 */
ANDIRON_API struct andiron_request *andiron_policy_request(struct andiron_policy_call *call);

/*
 * Give the reason for a NO_MATCH or FAULT and return that verdict, so that they
 * can end an evaluate(). Shown by `andiron explain-policy` and in the debug log; the
 * text is only formatted when somebody reads it. It says what was asked for, not what the
 * request held, which nobody but its sender may see.
 */
ANDIRON_API enum andiron_verdict andiron_policy_no_match(struct andiron_policy_call *call,
                                                         const char *fmt, ...) ANDIRON_PRINTF(2, 3);
ANDIRON_API enum andiron_verdict andiron_policy_fault(struct andiron_policy_call *call,
                                                      const char *fmt, ...) ANDIRON_PRINTF(2, 3);

/* Ends a PENDING call, from any thread, exactly once. */
ANDIRON_API void andiron_policy_finish(struct andiron_policy_call *call,
                                       enum andiron_verdict verdict);

typedef void (*andiron_verdict_fn)(void *state, enum andiron_verdict verdict);

/*
 * Asks another engine inside this one (the complex engine does). A verdict other
 * than PENDING is final; after PENDING, then(state, verdict) follows on the loop.
 */
ANDIRON_API enum andiron_verdict andiron_policy_ask(struct andiron_policy_call *call,
                                                    const struct andiron_service_ref *engine,
                                                    const void *compiled, andiron_verdict_fn then,
                                                    void *state);

#endif
