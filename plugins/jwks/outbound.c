/*
 * Service outbound/1: guarded POSTs for other plugins, each an exchange of its own.
 */
#include <andiron/outbound.h>

#include "jwks.h"
#include "transfer.h"

struct posting {
    struct jwks *jwks;
    struct andiron_request *req;
    struct andiron_outbound_answer *ret;
    andiron_step_fn then;
    void *state;
};

static void posted(void *arg, const struct transfer_end *end)
{
    struct posting *p = arg;

    if (end == NULL)
        return; /* the loop ends, and the request with it */
    andiron_count(end->failure == NULL ? p->jwks->posted : p->jwks->unposted, 1);
    if (end->failure == NULL) {
        p->ret->body =
            (andiron_str){ andiron_copy(andiron_request_arena(p->req), end->body), end->body.len };
    } else {
        (void)andiron_error_set(&p->ret->error,
                                end->is_refused ? ANDIRON_E_THROTTLED : ANDIRON_E_UNAVAILABLE, "",
                                "%s", end->failure);
        andiron_log(p->jwks->host, ANDIRON_LOG_WARN, "jwks.post.failed",
                    "%s://%s:%u gives no answer that can be used: %s",
                    end->url->https ? "https" : "http", end->url->host, (unsigned)end->url->port,
                    end->failure);
    }
    andiron_resume(p->req);
}

static enum andiron_step post_ended(struct andiron_request *req, void *state)
{
    struct posting *p = state;
    return p->then(req, p->state);
}

static bool is_field_value(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return false;
    return true;
}

static enum andiron_step post(void *self, struct andiron_request *req,
                              const struct andiron_outbound_post *post,
                              struct andiron_outbound_answer *ret, andiron_step_fn then,
                              void *state)
{
    struct jwks *jwks = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct posting *p = andiron_new(arena, struct posting);
    const char **headers = andiron_alloc(arena, 5 * sizeof(*headers));
    size_t count = 0;

    *ret = (struct andiron_outbound_answer){ .error = { .code = ANDIRON_OK } };
    *p = (struct posting){ .jwks = jwks, .req = req, .ret = ret, .then = then, .state = state };
    if (!is_field_value(post->authorization)) {
        (void)andiron_error_set(&ret->error, ANDIRON_E_INVALID, "", "is no value of a header");
        return andiron_ready(req, then, state);
    }
    headers[count++] = "Accept: application/json";
    headers[count++] = andiron_printf(arena, "Content-Type: %s", post->content_type);
    headers[count++] = "Expect:"; /* curl would ask before it sends a large body */
    if (post->authorization.data != NULL)
        headers[count++] = andiron_printf(arena, "Authorization: %.*s",
                                          (int)post->authorization.len, post->authorization.data);
    headers[count] = NULL;
    const struct transfer_ask ask = { .url = post->url,
                                      .headers = headers,
                                      .trace = andiron_request_trace(req),
                                      .body = { post->body.data != NULL ? post->body.data : "",
                                                post->body.len },
                                      .under_way = &jwks->posting,
                                      .max = (unsigned)jwks->config->max_posts };
    enum andiron_step step = andiron_wait(req, post_ended, p);
    transfer_start(fetcher_posts(jwks_fetcher(jwks, req)), &ask, posted, p);
    return step;
}

static int allowed(void *self, andiron_str url, struct andiron_error *err)
{
    struct jwks *jwks = self;
    struct url parsed;
    return url_parse(url, &parsed, err) != 0 ? -1 : jwks_allowed(jwks, &parsed, err);
}

const struct andiron_outbound jwks_outbound = {
    .size = sizeof(struct andiron_outbound),
    .allowed = allowed,
    .post = post,
};
