/*
 * gzip of responses: which ones, and where the work is done.
 */
#include "http/compress.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "http/coding.h"
#include "http/per_loop.h"

enum { ON_POOL = 64 * 1024 }; /* what takes about half a millisecond */

/* Text that shrinks; images and archives are compressed already. */
static bool is_text(const char *type)
{
    static const char *const marks[] = { "json", "xml", "text/", "javascript", "csv" };

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strstr(type, marks[i]) != NULL)
            return true;
    }
    return false;
}

/* Tokens must not be compressed together with what the client sent: the length would tell. */
static bool is_worth_it(const struct andiron_request *req)
{
    const struct http_settings *settings = req->home->settings;
    const struct reply *reply = &req->reply;

    return settings->compression_gzip && reply->kind == REPLY_WHOLE && reply->type != NULL &&
           reply->body.len >= (uint64_t)settings->compression_min && reply->status != 206 &&
           reply->status != 204 && reply->status != 304 && !request_is_oauth(req) &&
           is_text(reply->type) && andiron_replied_header(req, "content-encoding").data == NULL;
}

static void vary(struct andiron_request *req)
{
    static const char also[] = ", Accept-Encoding";
    andiron_str sent = andiron_replied_header(req, "vary");

    if (sent.data == NULL) {
        andiron_reply_header(req, "Vary", ANDIRON_STR("Accept-Encoding"));
    } else if (memmem(sent.data, sent.len, "ccept-Encoding", 14) == NULL) {
        char *both = arena_take(req->arena, sent.len + sizeof(also));
        memcpy(both, sent.data, sent.len);
        memcpy(both + sent.len, also, sizeof(also));
        andiron_reply_header(req, "Vary", (andiron_str){ both, sent.len + sizeof(also) - 1 });
    }
}

static void compress_with(struct andiron_request *req, struct deflater *deflater)
{
    andiron_str coded;

    if (coding_gzip(deflater, req->arena, req->reply.body, &coded) != 0)
        return;
    req->reply.body = coded;
    req->reply.coded = true;
}

/* ---- on the pool: a deflater for each of its threads ---------------------------------- */

static pthread_key_t of_thread;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_deflater(void *deflater)
{
    coding_deflater_free(deflater);
}

static void make_key(void)
{
    if (pthread_key_create(&of_thread, free_deflater) != 0)
        abort(); /* 1,024 keys per process, of which we take one */
}

static void compress_on_pool(void *arg)
{
    struct andiron_request *req = arg;
    struct deflater *deflater;

    (void)pthread_once(&once, make_key);
    deflater = pthread_getspecific(of_thread);
    if (deflater == NULL) {
        deflater = coding_deflater_new();
        if (pthread_setspecific(of_thread, deflater) != 0)
            abort(); /* out of memory: as in base/arena.c */
    }
    compress_with(req, deflater);
    andiron_resume(req);
}

bool compress_reply(struct andiron_request *req)
{
    struct reply *reply = &req->reply;

    if (reply->coded) { /* back from the pool */
        andiron_reply_header(req, "Content-Encoding", ANDIRON_STR("gzip"));
        return true;
    }
    if (reply->encode_tried || !is_worth_it(req))
        return true;
    reply->encode_tried = true;
    vary(req);
    if (!coding_accepts_gzip(andiron_request_header(req, "accept-encoding")))
        return true;
    if (reply->body.len >= ON_POOL) {
        (void)andiron_wait(req, NULL, NULL);
        req->job = (struct pool_job){ .work = compress_on_pool, .arg = req };
        pool_post_own(&req->job);
        return false;
    }
    if (req->home->deflater == NULL)
        req->home->deflater = coding_deflater_new();
    compress_with(req, req->home->deflater);
    if (reply->coded)
        andiron_reply_header(req, "Content-Encoding", ANDIRON_STR("gzip"));
    return true;
}
