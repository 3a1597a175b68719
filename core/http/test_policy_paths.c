/*
 * Policies and the router see the same request: for random targets, the path, parameters and
 * resource that a policy sees are those that the handler gets, and those that were sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/test_judged.h"

enum { TARGETS = 10000, PIECES_MAX = 12, TARGET_MAX = 512 };

static char judged[4096]; /* of the request that was judged last */
static char handled[4096];

static void put(char *out, size_t size, const char *name, andiron_str value)
{
    size_t used = strlen(out);
    if (value.data != NULL)
        snprintf(out + used, size - used, "%s=%.*s\n", name, (int)value.len, value.data);
}

static andiron_str input(struct andiron_policy_call *call, const char *member, const char *name)
{
    return andiron_json_str(andiron_json_get(andiron_policy_input(call, member), name));
}

static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    struct andiron_policy_call *call = andiron_policy_begin(req);
    (void)self;
    pthread_mutex_lock(&lock);
    judged[0] = '\0';
    put(judged, sizeof(judged), "uri", andiron_json_str(andiron_policy_input(call, "uri")));
    put(judged, sizeof(judged), "type", input(call, "params", "resource/type"));
    put(judged, sizeof(judged), "id", input(call, "params", "resource/id"));
    put(judged, sizeof(judged), "op", input(call, "operation", "id"));
    put(judged, sizeof(judged), "a", input(call, "params", "a"));
    pthread_mutex_unlock(&lock);
    andiron_request_grant(req, "AccessPolicy/test");
    return ANDIRON_NEXT;
}

static enum andiron_step handle(struct andiron_request *req, void *self)
{
    andiron_str name, value, a = { NULL, 0 };
    size_t pos = 0;
    (void)self;
    while (andiron_request_param(req, &pos, &name, &value))
        if (andiron_str_eq(name, ANDIRON_STR("a")) && value.len > 0)
            a = value;
    pthread_mutex_lock(&lock);
    handled[0] = '\0';
    put(handled, sizeof(handled), "uri", andiron_request_path(req));
    put(handled, sizeof(handled), "type", andiron_request_var(req, "type"));
    put(handled, sizeof(handled), "id", andiron_request_var(req, "id"));
    put(handled, sizeof(handled), "op", andiron_str_of(andiron_request_operation(req)));
    put(handled, sizeof(handled), "a", a);
    pthread_mutex_unlock(&lock);
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("done"));
}

static const struct andiron_route table[] = {
    { "GET", "/fhir/{type}", handle, "FhirSearch", 0, NULL },
    { "GET", "/fhir/{type}/{id}", handle, "FhirRead", 0, NULL },
    { "GET", "/fhir/{type}/$validate", handle, "FhirOperation", 0, NULL },
    { "GET", "/fhir/{type}/{id}/_history", handle, "FhirHistory", 0, NULL },
};

static int set_up(void **state)
{
    (void)state;
    return judged_start(table, sizeof(table) / sizeof(table[0]), NULL, authorize);
}

static uint32_t seed = 20240229;

static uint32_t next(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* What attacks on path rules are made of, among what is fine. */
static const char *const pieces[] = {
    "fhir", "fhir", "Patient", "Patient", "Observation", "p1",      "p2",   "$validate", "_history",
    "/",    "/",    "/",       "/",       "//",          ".",       "..",   "%2e%2e",    "%2F",
    "%5c",  "%50",  "%00",     "%zz",     ";a=1",        "patient", "FHIR", "\\",        "%c3%a9",
    "%C3",  "%20",  "%25",     "%2",      "+",           "@",       ":",    "~",         "*",
};

static void make_target(char *out)
{
    static const char *const queries[] = {
        "",          "?a=1",   "?a=%31", "?a=x+y", "?a=%2F",         "?a=1;b=2",
        "?a=%c3%a9", "?a=%zz", "?A=1",   "?a=1&&", "?resource/id=2", "?resource/type=Other&a=3"
    };
    strcpy(out, next(4) != 0 ? "/fhir/" : "/");
    for (uint32_t i = 0, count = 1 + next(PIECES_MAX); i < count; i++) {
        if (next(3) != 0 && strlen(out) > 1 && out[strlen(out) - 1] != '/')
            strcat(out, "/");
        strcat(out, pieces[next(sizeof(pieces) / sizeof(pieces[0]))]);
    }
    strcat(out, queries[next(sizeof(queries) / sizeof(queries[0]))]);
}

/* The path as a reader of RFC 3986 would decode it. */
static void decode(const char *target, char *out)
{
    size_t len = 0;
    for (const char *c = target; *c != '\0' && *c != '?'; c++) {
        unsigned byte = (unsigned char)*c;
        if (*c == '%' && sscanf(c + 1, "%2x", &byte) == 1)
            c += 2;
        out[len++] = (char)byte;
    }
    out[len] = '\0';
}

static int get(struct client *c, const char *target)
{
    char request[TARGET_MAX + 64];
    if (c->fd < 0)
        *c = client_open(server.port);
    judged[0] = handled[0] = '\0';
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_send(c, request);
    struct answer a = client_read(c, true);
    int status = a.status;
    bool closes = a.head == NULL || head_value(a.head, "connection") != NULL;
    answer_free(&a);
    if (closes)
        client_close(c);
    return status;
}

static void what_is_judged_is_what_is_handled(void **state)
{
    char target[TARGET_MAX], path[TARGET_MAX + 2], line[TARGET_MAX + 8];
    struct client c = { .fd = -1 };
    unsigned served = 0;

    (void)state;
    for (int i = 0; i < TARGETS; i++) {
        make_target(target);
        int status = get(&c, target);
        if (status != 200) {
            if (status != 400 && status != 404 && status != 405)
                fail_msg("%s: %d", target, status);
            assert_string_equal(handled, ""); /* refused before a handler saw it */
            continue;
        }
        served++;
        if (strcmp(judged, handled) != 0)
            fail_msg("%s was judged as %s and handled as %s", target, judged, handled);
        decode(target, path);
        if (strlen(path) > 1 && path[strlen(path) - 1] == '/')
            path[strlen(path) - 1] = '\0'; /* of "/fhir/" */
        snprintf(line, sizeof(line), "uri=%s\n", path);
        if (strncmp(judged, line, strlen(line)) != 0)
            fail_msg("%s was judged as %s", target, judged);
        strcat(path, "/");
        if (strstr(path, "//") != NULL || strstr(path, "/../") != NULL ||
            strstr(path, "/./") != NULL || strpbrk(path, ";\\") != NULL)
            fail_msg("%s was served", target);
    }
    if (c.fd >= 0)
        client_close(&c);
    assert_in_range(served, TARGETS / 20, TARGETS); /* else nothing was shown */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_judged_is_what_is_handled),
    };
    return cmocka_run_group_tests(tests, set_up, judged_stop);
}
