/*
 * A ring of texts.
 */
#include "refusals.h"

#include <pthread.h>
#include <stdlib.h>

#include <andiron/auth.h>

enum { REFUSAL_MAX = 16 * 1024, SCOPES_MAX = 50 };

struct kept {
    size_t id_len, text_len;
    char bytes[]; /* id, then text */
};

struct refusals {
    pthread_mutex_t lock;
    size_t max, next;
    struct kept *ring[];
};

struct refusals *refusals_new(size_t max)
{
    struct refusals *r = calloc(1, sizeof(*r) + max * sizeof(struct kept *));
    if (r == NULL)
        abort(); /* out of memory: the supervisor starts a new worker */
    (void)pthread_mutex_init(&r->lock, NULL); /* cannot fail for a default mutex */
    r->max = max;
    return r;
}

void refusals_free(struct refusals *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->max; i++)
        free(r->ring[i]);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- as JSON ----------------------------------------------------------------------------- */

static const char *word_of(enum andiron_verdict verdict)
{
    return verdict == ANDIRON_MATCH ? "match" : verdict == ANDIRON_NO_MATCH ? "no match" : "fault";
}

static const char *applies_by(const struct policy *policy)
{
    return policy->link_count > 0 ? "linked" : "global";
}

/* "12.345", by hand: a refusal has sixteen of them. */
static void put_us(struct andiron_json_writer *w, int64_t ns)
{
    char us[32];
    size_t at = sizeof(us);
    uint64_t left = (uint64_t)ns;
    for (int digit = 0; digit < 4 || left != 0; digit++) {
        if (digit == 3)
            us[--at] = '.';
        us[--at] = (char)('0' + left % 10);
        left /= 10;
    }
    andiron_json_put_raw(w, "us", (andiron_str){ us + at, sizeof(us) - at });
}

void refusal_put_verdict(struct andiron_json_writer *w, const struct refused_policy *r)
{
    andiron_json_put_bool(w, "eval-result", r->verdict == ANDIRON_MATCH);
    andiron_json_put_str(w, "verdict", andiron_str_of(word_of(r->verdict)));
    if (r->reason.len > 0)
        andiron_json_put_str(w, "reason", r->reason);
    if (r->took_ns > 0)
        put_us(w, r->took_ns);
}

void refusal_put_policy(struct andiron_json_writer *w, const struct refused_policy *r)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "id", andiron_str_of(r->policy->id));
    andiron_json_put_str(w, "engine", andiron_str_of(r->policy->engine->name));
    andiron_json_put_str(w, "applies", andiron_str_of(applies_by(r->policy)));
    if (r->policy->denies)
        andiron_json_put_str(w, "effect", ANDIRON_STR("deny"));
    refusal_put_verdict(w, r);
    andiron_json_put_end(w);
}

static void put_id(struct andiron_json_writer *w, const char *name, andiron_json resource)
{
    andiron_str id = andiron_json_str(andiron_json_get(resource, "id"));
    if (id.len > 0)
        andiron_json_put_str(w, name, id);
}

void refusal_put_caller(struct andiron_json_writer *w, struct andiron_request *req)
{
    static const char *const kinds[] = { [ANDIRON_ANONYMOUS] = "anonymous",
                                         [ANDIRON_CLIENT] = "Client",
                                         [ANDIRON_USER] = "User",
                                         [ANDIRON_SYSTEM] = "system" };
    const struct andiron_principal *p = andiron_request_principal(req);
    bool is_named = p->kind == ANDIRON_CLIENT || p->kind == ANDIRON_USER;
    const char *name = (unsigned)p->kind <= ANDIRON_SYSTEM ? kinds[p->kind] : "other";

    if (is_named && p->id != NULL)
        name = andiron_printf(andiron_request_arena(req), "%s/%s", name, p->id);
    andiron_json_put_str(w, "principal", andiron_str_of(name));
    put_id(w, "client", p->client);
    put_id(w, "user", p->user);
    if (p->scopes == NULL)
        return;
    andiron_json_put_array(w, "scopes");
    for (size_t i = 0; i < SCOPES_MAX && p->scopes[i] != NULL; i++)
        andiron_json_put_str(w, NULL, andiron_str_of(p->scopes[i]));
    andiron_json_put_end(w);
}

/* Types are bounded words; anything else in {type} is the client's text. */
static andiron_str type_of(const struct andiron_request *req)
{
    andiron_str type = andiron_request_var(req, "type"), none = { NULL, 0 };
    if (type.len > 64)
        return none;
    for (size_t i = 0; i < type.len; i++)
        if ((type.data[i] | 0x20) < 'a' || (type.data[i] | 0x20) > 'z')
            return none;
    return type;
}

static andiron_str now_in(struct andiron_arena *arena)
{
    char *text = andiron_alloc(arena, ANDIRON_INSTANT_LEN);
    andiron_instant(andiron_now(), text);
    return (andiron_str){ text, ANDIRON_INSTANT_LEN };
}

static andiron_str text_of(struct andiron_request *req, const struct refusal *refusal,
                           unsigned policies)
{
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), REFUSAL_MAX);
    const char *operation = andiron_request_operation(req);
    andiron_str type = type_of(req);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "id", andiron_request_id(req));
    andiron_json_put_str(w, "at", now_in(andiron_request_arena(req)));
    andiron_json_put_str(w, "method", andiron_request_method(req));
    if (operation != NULL)
        andiron_json_put_str(w, "operation", andiron_str_of(operation));
    if (type.len > 0)
        andiron_json_put_str(w, "type", type);
    refusal_put_caller(w, req);
    andiron_json_put_str(w, "reason", andiron_str_of(refusal->reason));
    andiron_json_put_int(w, "policies-asked", refusal->asked);
    andiron_json_put_int(w, "policy-us", refusal->took_us);
    andiron_json_put_array(w, "policies");
    for (unsigned i = 0; i < policies; i++)
        refusal_put_policy(w, &refusal->policies[i]);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

/* ---- keeping ------------------------------------------------------------------------------ */

void refusals_keep(struct refusals *r, struct andiron_request *req, const struct refusal *refusal)
{
    andiron_str id = andiron_request_id(req), text = text_of(req, refusal, refusal->count);
    if (text.data == NULL) /* too long: without the policies */
        text = text_of(req, refusal, 0);
    if (text.data == NULL)
        return;
    struct kept *kept = malloc(sizeof(*kept) + id.len + text.len), *old;
    if (kept == NULL)
        return; /* nobody depends on it */
    kept->id_len = id.len;
    kept->text_len = text.len;
    memcpy(kept->bytes, id.data, id.len);
    memcpy(kept->bytes + id.len, text.data, text.len);
    (void)pthread_mutex_lock(&r->lock);
    old = r->ring[r->next];
    r->ring[r->next] = kept;
    r->next = (r->next + 1) % r->max;
    (void)pthread_mutex_unlock(&r->lock);
    free(old);
}

andiron_str refusals_find(struct refusals *r, struct andiron_arena *arena, andiron_str id)
{
    andiron_str found = { NULL, 0 };
    (void)pthread_mutex_lock(&r->lock);
    for (size_t i = 1; i <= r->max && found.data == NULL; i++) {
        const struct kept *kept = r->ring[(r->next + r->max - i) % r->max];
        if (kept != NULL && andiron_str_eq((andiron_str){ kept->bytes, kept->id_len }, id)) {
            andiron_str text = { kept->bytes + kept->id_len, kept->text_len };
            found = (andiron_str){ andiron_copy(arena, text), text.len };
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    return found;
}
