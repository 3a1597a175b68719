/*
 * The least work that serves the same bytes: one epoll loop, one prepared SQLite statement for
 * each kind of request, an HMAC check of the token. What Andiron is measured against.
 *
 *     bench-floor PORT DATABASE SECRET
 *
 * DATABASE is a copy of one that Andiron wrote. Serves, with "Authorization: Bearer TOKEN" where
 * TOKEN is 64 hex digits of HMAC-SHA256(SECRET, "bench") and then ".bench":
 *   GET /fhir/Observation/{id}           the stored body
 *   GET /fhir/Observation?code=4548-4..  the two newest bodies of that code, in a Bundle
 *   PUT /fhir/Observation/{id}           a new version, with as many index rows as an Observation
 *                                        of the database has; one fsync for all that came together
 *
 * Not a server for anything else: parses what wrk sends, refuses nothing.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "rows.h"

enum { IN_MAX = 64 * 1024, READY_MAX = 256 };

struct conn {
    int fd;
    size_t used;
    bool written; /* a PUT of this round waits for the commit */
    char in[IN_MAX];
};

static sqlite3_stmt *read_one, *search;
static struct hmac_sha256_ctx hmac_key;
static int64_t observation_type, code_p, code_h;

/* The p of every row that one Observation has in a table. */
static size_t rows_of(const char *table, int64_t vid, int64_t *p)
{
    char sql[128];
    size_t n = 0;
    (void)snprintf(sql, sizeof(sql), "SELECT p FROM %s WHERE vid=%lld", table, (long long)vid);
    sqlite3_stmt *s = prepare(sql);
    while (n < ROWS_MAX && sqlite3_step(s) == SQLITE_ROW)
        p[n++] = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

static void learn_database(void)
{
    observation_type = number("SELECT id FROM restype WHERE name='Observation'");
    next_vid = number("SELECT max(vid) FROM version") + 1;
    next_rid = number("SELECT max(rid) FROM resource") + 1;
    int64_t vid = number("SELECT v.vid FROM version v JOIN restype t ON t.id=v.type WHERE t.name='Observation'"
                         " AND instr(CAST(v.body AS TEXT),'\"4548-4\"')>0 AND v.keys IS NOT NULL LIMIT 1");
    code_p = number("SELECT p.p FROM param p JOIN restype t ON t.id=p.type WHERE t.name='Observation' AND p.code='code'");
    char sql[128];
    (void)snprintf(sql, sizeof(sql), "SELECT h FROM ix_token WHERE p=%lld AND vid=%lld LIMIT 1", (long long)code_p,
                   (long long)vid);
    code_h = number(sql);
    if (observation_type < 0 || vid < 0 || code_p < 0)
        die("the database holds no Observation of code 4548-4");
    token_rows = rows_of("ix_token", vid, token_p);
    ref_rows = rows_of("ix_ref", vid, ref_p);
    date_rows = rows_of("ix_date", vid, date_p);
    num_rows = rows_of("ix_num", vid, num_p);
    str_rows = rows_of("ix_str", vid, str_p);
    (void)snprintf(sql, sizeof(sql), "SELECT length(keys) FROM version WHERE vid=%lld", (long long)vid);
    keys_len = (int)number(sql);
    if (keys_len > (int)sizeof(keys))
        keys_len = sizeof(keys);
    fprintf(stderr, "rows of a PUT: %zu token, %zu ref, %zu date, %zu num, %zu str, %d bytes of keys\n", token_rows,
            ref_rows, date_rows, num_rows, str_rows, keys_len);
}

static void open_database(const char *path)
{
    rows_open(path);
    learn_database();
    read_one = prepare("SELECT v.body FROM resource r JOIN version v ON v.vid=r.vid WHERE r.type=? AND r.id=?");
    search = prepare("SELECT v.body FROM ix_token t CROSS JOIN version v ON v.vid=t.vid WHERE t.p=? AND t.h=?"
                     " ORDER BY t.vid DESC LIMIT 2");
}

/* ---- answers -------------------------------------------------------------------------- */

static void send_all(int fd, struct iovec *iov, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, iov, count);
        if (n < 0 && errno == EAGAIN)
            continue; /* loopback with answers of a few KiB: it soon has room */
        if (n < 0)
            return;
        while (count > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
}

static void answer(int fd, const char *status, struct iovec *body, int count)
{
    char head[256];
    size_t len = 0;
    struct iovec all[8];
    for (int i = 0; i < count; i++)
        len += body[i].iov_len;
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %s\r\nContent-Type: application/fhir+json\r\nContent-Length: %zu\r\n\r\n", status, len);
    all[0] = (struct iovec){ head, (size_t)n };
    for (int i = 0; i < count; i++)
        all[i + 1] = body[i];
    send_all(fd, all, count + 1);
}

static bool token_ok(const char *head, size_t len)
{
    static const char name[] = "Authorization: Bearer ";
    const char *at = memmem(head, len, name, sizeof(name) - 1);
    uint8_t digest[SHA256_DIGEST_SIZE];
    char hex[2 * SHA256_DIGEST_SIZE + 1];
    if (at == NULL || (size_t)(at - head) + sizeof(name) + 70 > len)
        return false;
    struct hmac_sha256_ctx ctx = hmac_key;
    hmac_sha256_update(&ctx, 5, (const uint8_t *)at + sizeof(name) - 1 + 65);
    hmac_sha256_digest(&ctx, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return memeql_sec(hex, at + sizeof(name) - 1, 64) != 0;
}

static void do_read(struct conn *c, const char *id, size_t len)
{
    sqlite3_bind_int64(read_one, 1, observation_type);
    sqlite3_bind_text(read_one, 2, id, (int)len, SQLITE_STATIC);
    if (sqlite3_step(read_one) == SQLITE_ROW) {
        struct iovec body = { (void *)(uintptr_t)sqlite3_column_blob(read_one, 0),
                              (size_t)sqlite3_column_bytes(read_one, 0) };
        answer(c->fd, "200 OK", &body, 1);
    } else {
        answer(c->fd, "404 Not Found", NULL, 0);
    }
    sqlite3_reset(read_one);
}

static void do_search(struct conn *c)
{
    static char page[1 << 20];
    size_t n = (size_t)snprintf(page, sizeof(page), "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[");
    sqlite3_bind_int64(search, 1, code_p);
    sqlite3_bind_int64(search, 2, code_h);
    for (int i = 0; sqlite3_step(search) == SQLITE_ROW; i++) {
        size_t len = (size_t)sqlite3_column_bytes(search, 0);
        n += (size_t)snprintf(page + n, 64, "%s{\"resource\":", i > 0 ? "," : "");
        memcpy(page + n, sqlite3_column_blob(search, 0), len);
        n += len;
        page[n++] = '}';
    }
    sqlite3_reset(search);
    memcpy(page + n, "]}", 2);
    struct iovec body = { page, n + 2 };
    answer(c->fd, "200 OK", &body, 1);
}

static bool in_transaction;

static void do_put(struct conn *c, const char *id, size_t id_len, const char *body, size_t len)
{
    if (!in_transaction)
        run(begin);
    in_transaction = true;
    rows_put(observation_type, id, id_len, body, len);
    c->written = true;
}

/* ---- requests -------------------------------------------------------------------------- */

/* One whole request at the start of c->in; its length, 0 if it is not whole yet. */
static size_t serve_one(struct conn *c)
{
    char *end = memmem(c->in, c->used, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - c->in) + 4, body = 0;
    const char *length = memmem(c->in, head, "Content-Length: ", 16);
    if (length != NULL)
        body = strtoul(length + 16, NULL, 10);
    if (c->used < head + body)
        return 0;
    static const char prefix[] = "/fhir/Observation";
    const char *target = memchr(c->in, ' ', head);
    const char *path = target != NULL ? target + 1 : NULL;
    if (path == NULL || strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
        answer(c->fd, "404 Not Found", NULL, 0);
    } else if (!token_ok(c->in, head)) {
        answer(c->fd, "401 Unauthorized", NULL, 0);
    } else if (path[sizeof(prefix) - 1] == '?') {
        do_search(c);
    } else {
        const char *id = path + sizeof(prefix);
        size_t len = strcspn(id, " ");
        if (c->in[0] == 'P')
            do_put(c, id, len, c->in + head, body);
        else
            do_read(c, id, len);
    }
    return head + body;
}

/* False: it has gone. */
static bool conn_ready(struct conn *c, int epoll)
{
    ssize_t n = recv(c->fd, c->in + c->used, sizeof(c->in) - c->used, 0);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
        close(c->fd);
        free(c);
        return false;
    }
    c->used += (size_t)n;
    size_t done;
    while (c->used > 0 && !c->written && (done = serve_one(c)) > 0) {
        memmove(c->in, c->in + done, c->used - done);
        c->used -= done;
    }
    return true;
}

static void accept_all(int listener, int epoll)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof(*c));
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* All PUTs that came together share one commit; they are answered behind its fsync. */
static void finish_writes(struct epoll_event *ready, int count)
{
    if (!in_transaction)
        return;
    run(commit);
    in_transaction = false;
    for (int i = 0; i < count; i++) {
        struct conn *c = ready[i].data.ptr;
        if (c == NULL || !c->written)
            continue;
        c->written = false;
        answer(c->fd, "200 OK", NULL, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: bench-floor PORT DATABASE SECRET\n", stderr);
        return 64;
    }
    hmac_sha256_set_key(&hmac_key, strlen(argv[3]), (const uint8_t *)argv[3]);
    open_database(argv[2]);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 511) != 0)
        die("listen");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event ready[READY_MAX];
        int count = epoll_wait(epoll, ready, READY_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr == NULL)
                accept_all(listener, epoll);
            else if (!conn_ready(ready[i].data.ptr, epoll))
                ready[i].data.ptr = NULL;
        }
        finish_writes(ready, count);
    }
}
