/*
 * Exchanges over libcurl, each with its own look-up of a name and its own list of addresses.
 */
#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <gnutls/crypto.h>

#include "resolve.h"

struct transfers {
    const struct jwks *jwks;
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    struct resolver resolver;
    struct transfer *list;
};

struct transfer {
    struct transfer *next;
    struct transfers *of;
    struct url url; /* its path is a view into text */
    bool is_listed;
    bool is_refused;
    atomic_uint *under_way;
    unsigned max;
    void (*ended)(void *arg, const struct transfer_end *end);
    void *arg;
    struct event *deadline;
    struct resolution *resolution;
    CURL *easy;
    struct curl_slist *headers, *pins;
    int64_t began_ms, lifetime_ms, age_ms;
    const char *failure; /* what our own callbacks found wrong */
    char *body;
    size_t len, room;
    andiron_str post; /* in text, behind the URL; absent: GET */
    size_t url_len, text_len;
    char text[]; /* the URL, NUL-terminated */
};

int64_t jwks_clock(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- ending ----------------------------------------------------------------------- */

/* Headers and body may hold credentials and tokens. */
static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *line = list; line != NULL; line = line->next)
        gnutls_memset(line->data, 0, strlen(line->data));
    curl_slist_free_all(list);
}

static void transfer_free(struct transfer *t)
{
    struct transfer **at = &t->of->list;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (t->resolution != NULL)
        resolve_cancel(t->resolution);
    if (t->easy != NULL) {
        (void)curl_multi_remove_handle(t->of->multi, t->easy); /* it is ours: cannot fail */
        curl_easy_cleanup(t->easy);
    }
    wipe_headers(t->headers);
    curl_slist_free_all(t->pins);
    if (t->deadline != NULL)
        event_free(t->deadline);
    free(t->body);
    if (t->under_way != NULL)
        atomic_fetch_sub(t->under_way, 1);
    gnutls_memset(t->text, 0, t->text_len);
    free(t);
}

/* failure: a literal, or text of curl; NULL if all went well. */
static void transfer_done(struct transfer *t, const char *failure)
{
    const struct transfer_end end = {
        .failure = failure,
        .is_refused = t->is_refused,
        .body = { t->body != NULL ? t->body : "", t->len },
        .lifetime_ms = t->lifetime_ms <= 0          ? t->lifetime_ms
                       : t->lifetime_ms > t->age_ms ? t->lifetime_ms - t->age_ms
                                                    : 0,
        .took_ms = jwks_clock() - t->began_ms,
        .url = &t->url,
    };
    /* First of all: whoever is woken may start another at once, on another loop. */
    atomic_fetch_sub(t->under_way, 1);
    t->under_way = NULL;
    t->ended(t->arg, &end);
    transfer_free(t);
}

static void transfer_refuse(struct transfer *t, const char *reason)
{
    t->is_refused = true;
    transfer_done(t, reason);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    transfer_done(arg, "no answer within `timeout`");
}

/* ---- what curl calls ------------------------------------------------------------------ */

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count, max = (size_t)t->of->jwks->config->max_size;

    if (len > max - t->len) {
        t->failure = "the answer is larger than `max-size`";
        return 0;
    }
    if (len > t->room - t->len) {
        size_t room = t->room * 2 > t->len + len ? t->room * 2 : t->len + len + 4096;
        char *body = realloc(t->body, room);
        if (body == NULL)
            return 0;
        t->body = body;
        t->room = room;
    }
    memcpy(t->body + t->len, data, len);
    t->len += len;
    return len;
}

static bool is_field(andiron_str line, const char *name, andiron_str *ret_value)
{
    size_t len = strlen(name);
    if (line.len <= len || strncasecmp(line.data, name, len) != 0 || line.data[len] != ':')
        return false;
    line.data += len + 1;
    line.len -= len + 1;
    while (line.len != 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
        line.data++;
        line.len--;
    }
    while (line.len != 0 && strchr(" \t\r\n", line.data[line.len - 1]) != NULL)
        line.len--;
    *ret_value = line;
    return true;
}

static int64_t seconds_ms(andiron_str digits)
{
    int64_t n = 0;
    for (size_t i = 0; i < digits.len && digits.data[i] >= '0' && digits.data[i] <= '9'; i++)
        if (n < 1000000000)
            n = n * 10 + (digits.data[i] - '0');
    return n * 1000;
}

static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    andiron_str line = { data, size * count }, value;

    if (is_field(line, "cache-control", &value)) {
        t->lifetime_ms = setcache_lifetime(value, t->lifetime_ms);
    } else if (is_field(line, "age", &value)) {
        t->age_ms = seconds_ms(value);
    } else if (is_field(line, "content-encoding", &value) &&
               !(value.len == 8 && strncasecmp(value.data, "identity", 8) == 0)) {
        t->failure = "the answer has a content coding";
        return 0;
    }
    return line.len;
}

/* The last guard: whatever curl is about to connect to must have passed the check. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = arg;
    (void)purpose;
    if (!t->is_listed && !url_address_is_public(&address->addr)) {
        t->failure = "it has an address of an inner network";
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the transfer ------------------------------------------------------------------------ */

/* Options that a value of ours can make fail are none; a failure here is no memory. */
static bool set_options(struct transfer *t)
{
    const struct config *config = t->of->jwks->config;
    CURL *easy = t->easy;
    CURLcode bad = CURLE_OK;

#define SET(option, value) bad |= curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, &t->text[0]);
    SET(CURLOPT_PRIVATE, t);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, t->url.https ? "https" : "http");
#else
    SET(CURLOPT_PROTOCOLS, (long)(t->url.https ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
#endif
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* whatever the environment says: a proxy would resolve by itself */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTPHEADER, t->headers);
    if (t->post.data != NULL) {
        SET(CURLOPT_POSTFIELDSIZE, (long)t->post.len);
        SET(CURLOPT_POSTFIELDS, t->post.data); /* not copied: lives as long as t */
    }
    SET(CURLOPT_USERAGENT, "andiron");
    SET(CURLOPT_RESOLVE, t->pins);
    SET(CURLOPT_TIMEOUT_MS, (long)config->timeout);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (config->ca_file[0] != '\0')
        SET(CURLOPT_CAINFO, config->ca_file);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
#undef SET
    return bad == CURLE_OK;
}

static void connect_now(struct transfer *t)
{
    t->easy = curl_easy_init();
    if (t->easy == NULL || !set_options(t) ||
        curl_multi_add_handle(t->of->multi, t->easy) != CURLM_OK)
        transfer_done(t, "the transfer cannot be started");
}

/*
 * "+host:port:address,address" for CURLOPT_RESOLVE; a reason if one is not allowed. The '+' lets
 * curl forget it in a minute, else the multi handle would keep every name for ever.
 */
static const char *pin_addresses(struct transfer *t, const struct addrinfo *list)
{
    enum { MAX_ADDRESSES = 8 };
    char pin[1 + URL_HOST_MAX + 16 + MAX_ADDRESSES * (INET6_ADDRSTRLEN + 3)];
    int len = snprintf(pin, sizeof(pin), "+%s:%u:", t->url.host, (unsigned)t->url.port);
    int count = 0;

    for (; list != NULL; list = list->ai_next) {
        char text[INET6_ADDRSTRLEN];
        bool v6 = list->ai_family == AF_INET6;
        if (!v6 && list->ai_family != AF_INET)
            continue;
        if (!t->is_listed && !url_address_is_public(list->ai_addr))
            return "it has an address of an inner network; `allow` may list its origin";
        if (count == MAX_ADDRESSES || getnameinfo(list->ai_addr, list->ai_addrlen, text,
                                                  sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        len += snprintf(pin + len, sizeof(pin) - (size_t)len, v6 ? "%s[%s]" : "%s%s",
                        count > 0 ? "," : "", text);
        count++;
    }
    if (count == 0)
        return "its name has no address";
    t->pins = curl_slist_append(NULL, pin);
    return t->pins != NULL ? NULL : "no memory";
}

static void resolved(void *arg, int status, const struct addrinfo *list)
{
    struct transfer *t = arg;

    t->resolution = NULL;
    if (status != 0) {
        transfer_done(t, gai_strerror(status));
        return;
    }
    const char *refused = pin_addresses(t, list);
    if (refused != NULL)
        transfer_done(t, refused);
    else
        connect_now(t);
}

static void begin(struct transfer *t)
{
    struct transfers *of = t->of;

    if (t->url.address.ss_family != AF_UNSPEC) {
        connect_now(t); /* jwks_allowed() has looked at the address */
        return;
    }
    t->resolution = resolve_start(&of->resolver, t->url.host, t->url.port, resolved, t);
    if (t->resolution == NULL)
        transfer_refuse(t, "too many names are being looked up already");
}

/* From the loop, so that whoever asked is parked before the fetch can end. */
static void on_start(evutil_socket_t fd, short what, void *arg)
{
    struct transfer *t = arg;
    const struct config *config = t->of->jwks->config;
    struct timeval timeout = { .tv_sec = config->timeout / 1000,
                               .tv_usec = config->timeout % 1000 * 1000 };
    struct andiron_error err;

    (void)fd;
    (void)what;
    event_free(t->deadline);
    t->deadline = event_new(t->of->base, -1, 0, on_deadline, t);
    if (t->deadline == NULL || event_add(t->deadline, &timeout) != 0)
        transfer_done(t, "no memory for a timer");
    else if (url_parse((andiron_str){ t->text, t->url_len }, &t->url, &err) != 0 ||
             jwks_allowed(t->of->jwks, &t->url, &err) != 0)
        transfer_done(t, err.message);
    else if (atomic_load(t->under_way) > t->max)
        transfer_refuse(t, "as many are under way as `max-fetches` or `max-posts` allow");
    else {
        t->is_listed = jwks_is_listed(t->of->jwks, &t->url);
        begin(t);
    }
}

/* The list with line at its end; NULL, and the list is gone, without memory. */
static struct curl_slist *with_line(struct curl_slist *list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    if (longer == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    return longer;
}

static void add_field(struct transfer *t, const char *name, andiron_str value)
{
    char line[16 + 512 + 1]; /* andiron_trace limits both */

    if (value.data == NULL)
        return;
    (void)snprintf(line, sizeof(line), "%s: %.*s", name, (int)value.len, value.data);
    t->headers = with_line(t->headers, line);
}

void transfer_start(struct transfers *of, const struct transfer_ask *ask,
                    void (*ended)(void *arg, const struct transfer_end *end), void *arg)
{
    size_t len = ask->url.len + 1 + ask->body.len;
    struct transfer *t = calloc(1, sizeof(*t) + len + 1);
    if (t == NULL)
        abort();
    atomic_fetch_add(ask->under_way, 1);
    *t = (struct transfer){ .next = of->list,
                            .of = of,
                            .under_way = ask->under_way,
                            .max = ask->max,
                            .ended = ended,
                            .arg = arg,
                            .began_ms = jwks_clock(),
                            .lifetime_ms = -1,
                            .url_len = ask->url.len,
                            .text_len = len };
    memcpy(t->text, ask->url.data, ask->url.len);
    if (ask->body.data != NULL) {
        t->post = (andiron_str){ t->text + ask->url.len + 1, ask->body.len };
        memcpy(t->text + ask->url.len + 1, ask->body.data, ask->body.len);
    }
    for (const char *const *line = ask->headers; *line != NULL; line++)
        t->headers = with_line(t->headers, *line);
    add_field(t, "traceparent", ask->trace.parent);
    add_field(t, "tracestate", ask->trace.state);
    of->list = t;
    t->deadline = event_new(of->base, -1, 0, on_start, t);
    if (t->deadline == NULL)
        abort();
    event_active(t->deadline, EV_TIMEOUT, 0);
}

/* ---- libcurl and the loop ---------------------------------------------------------------- */

static void reap(struct transfers *of)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(of->multi, &left)) != NULL) {
        struct transfer *t = NULL;
        long status = 0;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (t->failure != NULL)
            transfer_done(t, t->failure);
        else if (result != CURLE_OK)
            transfer_done(t, curl_easy_strerror(result));
        else
            transfer_done(t, status == 200 ? NULL : "the answer's status is not 200");
    }
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct transfers *of = arg;
    int running;
    (void)curl_multi_socket_action(of->multi, fd,
                                   (what & EV_READ ? CURL_CSELECT_IN : 0) |
                                       (what & EV_WRITE ? CURL_CSELECT_OUT : 0),
                                   &running);
    reap(of);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct transfers *of = arg;
    int running;
    (void)fd;
    (void)what;
    (void)curl_multi_socket_action(of->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(of);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
    struct transfers *of = arg;
    (void)easy;
    if (assigned != NULL)
        event_free(assigned);
    struct event *event = NULL;
    if (what != CURL_POLL_REMOVE) {
        short kind = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
                             (what & CURL_POLL_OUT ? EV_WRITE : 0));
        event = event_new(of->base, fd, kind, on_socket, of);
        if (event == NULL || event_add(event, NULL) != 0)
            return -1;
    }
    (void)curl_multi_assign(of->multi, fd, event);
    return 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct transfers *of = arg;
    struct timeval timeout = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
    (void)multi;
    return timeout_ms < 0 ? event_del(of->timer) : event_add(of->timer, &timeout);
}

struct transfers *transfers_new(const struct jwks *jwks, struct andiron_loop *loop,
                                unsigned max_names, struct andiron_error *err)
{
    struct transfers *of = calloc(1, sizeof(*of));
    if (of == NULL)
        abort();
    *of = (struct transfers){ .jwks = jwks, .base = andiron_loop_base(loop) };
    of->resolver = (struct resolver){ .loop = loop, .max = max_names };
    of->timer = event_new(of->base, -1, 0, on_timer, of);
    of->multi = curl_multi_init();
    if (of->timer == NULL || of->multi == NULL ||
        curl_multi_setopt(of->multi, CURLMOPT_SOCKETFUNCTION, watch_socket) != CURLM_OK ||
        curl_multi_setopt(of->multi, CURLMOPT_SOCKETDATA, of) != CURLM_OK ||
        curl_multi_setopt(of->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
        curl_multi_setopt(of->multi, CURLMOPT_TIMERDATA, of) != CURLM_OK) {
        transfers_free(of);
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "", "libcurl cannot be set up");
        return NULL;
    }
    return of;
}

void transfers_free(struct transfers *of)
{
    if (of == NULL)
        return;
    for (struct transfer *t = of->list, *next; t != NULL; t = next) {
        next = t->next;
        t->ended(t->arg, NULL);
        transfer_free(t);
    }
    resolver_stop(&of->resolver);
    if (of->multi != NULL)
        (void)curl_multi_cleanup(of->multi);
    if (of->timer != NULL)
        event_free(of->timer);
    free(of);
}
