/*
 * andiron-plugin-test.h - test a policy engine without a server.
 *
 * Link the engine's own source with your test program and libandiron-test.a (pkg-config
 * andiron-test). The program is plain C: assert.h, cmocka or whatever you like. Build it with
 * -fsanitize=address,undefined: every allocation from an arena is then a block of its own, so one
 * byte too many, a use after the end and a leak are all found.
 *
 *     struct andiron_test *t = andiron_test_open(&andiron_plugin_v1, NULL);
 *     andiron_test_clock(ANDIRON_TEST_HOUR * 9);
 *     assert(andiron_test_policy(t, "{\"engine\":\"business-hours\", ...}") == 0);
 *     assert(andiron_test_ask(t, "{\"uri\":\"/fhir/Patient/1\"}") == ANDIRON_MATCH);
 *     andiron_test_close(t);
 *
 * One test object at a time is used by one thread; engines may finish their calls from others.
 */
#ifndef ANDIRON_PLUGIN_TEST_H
#define ANDIRON_PLUGIN_TEST_H

#include <andiron/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The table that ANDIRON_PLUGIN() defines in the plugin's source. */
extern const struct andiron_plugin andiron_plugin_v1;

/* A plugin that has been initialised, and the policy that was compiled last. */
struct andiron_test;

/*
 * Runs the plugin's init(), if it has one, with config: the struct that its directives would fill,
 * or NULL. Services are to be provided before start(). NULL if init() failed: told on stderr.
 */
struct andiron_test *andiron_test_open(const struct andiron_plugin *plugin, const void *config);

/* Releases the policy, runs stop(), frees all memory. NULL is allowed. */
void andiron_test_close(struct andiron_test *t);

/*
 * Another plugin's service, real or made up, for andiron_service_find(): "policy-engine/1:x". The
 * name and the table outlive t.
 */
void andiron_test_provide(struct andiron_test *t, const char *name, const void *table, void *self);

/* Runs the plugin's start(), if it has one: 0, or -1 and see andiron_test_error(). */
int andiron_test_start(struct andiron_test *t);

/*
 * Compiles an AccessPolicy, as when one is written; the one before is released. Its "engine" says
 * which of the plugin's engines is meant. 0, or -1: rejected, see andiron_test_error().
 */
int andiron_test_policy(struct andiron_test *t, const char *policy_json);

/* Where and why the last policy or start() failed; until the next call. Its code is ANDIRON_OK else. */
const struct andiron_error *andiron_test_error(const struct andiron_test *t);

/*
 * What the engine says of a request object (request-method, uri, params, client, ...) by the
 * policy compiled last. A PENDING engine has five seconds; then it is a FAULT.
 */
enum andiron_verdict andiron_test_ask(struct andiron_test *t, const char *request_json);

/* The reason of the last NO_MATCH or FAULT, or ""; until the next andiron_test_ask(). */
const char *andiron_test_reason(const struct andiron_test *t);

/*
 * What andiron_now() says, from any thread: microseconds since 1970-01-01T00:00:00Z. It stands
 * still until it is set again; a negative time gives the real clock back.
 */
void andiron_test_clock(andiron_usec now);

#define ANDIRON_TEST_SECOND ((andiron_usec)1000000)
#define ANDIRON_TEST_MINUTE (60 * ANDIRON_TEST_SECOND)
#define ANDIRON_TEST_HOUR (60 * ANDIRON_TEST_MINUTE)
#define ANDIRON_TEST_DAY (24 * ANDIRON_TEST_HOUR)

#ifdef __cplusplus
}
#endif

#endif
