/*
 * The engine without a server: what it compiles, and what it says at which time. Built with
 * -fsanitize=address,undefined, so leaks and bytes out of bounds fail it too.
 */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>

#include <andiron-plugin-test.h>

static const char office[] = "{\"resourceType\":\"AccessPolicy\",\"engine\":\"business-hours\","
                             "\"hours\":{\"from\":\"08:00\",\"to\":\"18:00\"}}";

static enum andiron_verdict at(struct andiron_test *t, andiron_usec time_of_day)
{
    andiron_test_clock(20000 * ANDIRON_TEST_DAY + time_of_day);
    return andiron_test_ask(t, "{\"request-method\":\"get\",\"uri\":\"/fhir/Patient/1\"}");
}

static void holds_from_the_first_minute_to_before_the_last(struct andiron_test *t)
{
    assert(andiron_test_policy(t, office) == 0);
    assert(at(t, 8 * ANDIRON_TEST_HOUR - 1) == ANDIRON_NO_MATCH);
    assert(at(t, 8 * ANDIRON_TEST_HOUR) == ANDIRON_MATCH);
    assert(at(t, 18 * ANDIRON_TEST_HOUR - 1) == ANDIRON_MATCH);
    assert(at(t, 18 * ANDIRON_TEST_HOUR) == ANDIRON_NO_MATCH);
    assert(strcmp(andiron_test_reason(t), "it is 18:00 UTC") == 0);
}

static void rejects_what_is_no_time_of_day(struct andiron_test *t)
{
    static const char *const wrong[] = { "{}", "{\"from\":\"8:00\",\"to\":\"18:00\"}",
                                         "{\"from\":\"08:60\",\"to\":\"18:00\"}",
                                         "{\"from\":\"08:00\",\"to\":\"24:01\"}",
                                         "{\"from\":800,\"to\":\"18:00\"}" };
    char policy[200];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(policy, sizeof(policy), "{\"engine\":\"business-hours\",\"hours\":%s}", wrong[i]);
        assert(andiron_test_policy(t, policy) != 0);
        assert(strcmp(andiron_test_error(t)->where, "AccessPolicy.hours") == 0);
    }
}

int main(void)
{
    struct andiron_test *t = andiron_test_open(&andiron_plugin_v1, NULL);
    assert(t != NULL);
    holds_from_the_first_minute_to_before_the_last(t);
    rejects_what_is_no_time_of_day(t);
    andiron_test_close(t);
    puts("ok");
    return 0;
}
