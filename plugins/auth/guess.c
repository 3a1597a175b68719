/*
 * The table of throttle.c, asked for requests.
 */
#include "guess.h"

#include "client.h"
#include "clients.h"
#include "throttle.h"

static int64_t seconds_of(int64_t ms)
{
    return (ms + 999) / 1000;
}

int64_t guess_wait(struct andiron_request *req, struct auth *auth, andiron_str id)
{
    return seconds_of(throttle_wait(auth->throttle, id, andiron_request_remote(req), auth_clock()));
}

int64_t guess_failed(struct andiron_request *req, struct auth *auth, andiron_str id)
{
    bool first_wait;
    andiron_str name = client_is_id(id) ? id : ANDIRON_STR("?"); /* anything may stand there */
    int64_t wait =
        throttle_failed(auth->throttle, id, andiron_request_remote(req), auth_clock(), &first_wait);

    if (first_wait)
        andiron_request_log(req, ANDIRON_LOG_WARN, "auth.throttled",
                            "%lld failed authentications as Client/%.*s from one address: it has "
                            "to wait",
                            (long long)auth->config->max_failures, (int)name.len, name.data);
    return seconds_of(wait);
}

void guess_refuse(struct andiron_request *req, struct auth *auth, int64_t seconds)
{
    andiron_count(auth->throttled, 1);
    andiron_reply_header(
        req, "Retry-After",
        andiron_str_of(andiron_printf(andiron_request_arena(req), "%lld", (long long)seconds)));
}
