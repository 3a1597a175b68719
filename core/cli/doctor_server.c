/*
 * What the running server says, and whether the world reaches it.
 */
#include <curl/curl.h>
#include <string.h>

#include "base/units.h"
#include "cli/control.h"
#include "cli/doctor.h"

enum { REACH_SECONDS = 5, KEY_WARN_DAYS = 365 };

static size_t drop(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * count;
}

/* ---- base-url --------------------------------------------------------------------- */

static CURLcode reach(struct doctor *d, long *ret_status)
{
    CURL *curl = curl_easy_init();
    const char *url = andiron_printf(d->arena, "%s/health/live", d->settings.base_url);

    if (curl == NULL)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)REACH_SECONDS);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(curl);
    return code;
}

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = { "http://127.", "http://localhost", "http://[::1]" };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

static void look_at_url(struct doctor *d)
{
    const char *url = d->settings.base_url;
    long status = 0;

    if (url == NULL || url[0] == '\0') {
        doctor_say(d, DOCTOR_WARN, "base-url", "set http.base-url to what clients use",
                   "is not set");
        return;
    }
    if (is_loopback(url))
        doctor_say(d, DOCTOR_WARN, "base-url", "set http.base-url to what clients use",
                   "%s is of this machine alone", url);
    else if (strncmp(url, "https://", 8) != 0)
        doctor_say(d, DOCTOR_FAIL, "base-url", "serve HTTPS, here or at a proxy",
                   "%s carries tokens in the open", url);
    CURLcode code = reach(d, &status);
    if (code != CURLE_OK)
        doctor_say(d, DOCTOR_FAIL, "base-url", "look at DNS, proxy and firewall",
                   "%s cannot be reached: %s", url, curl_easy_strerror(code));
    else if (status != 200)
        doctor_say(d, DOCTOR_FAIL, "base-url", "the proxy must pass all of it on",
                   "%s/health/live answers %ld", url, status);
    else
        doctor_say(d, DOCTOR_OK, "base-url", NULL, "%s answers", url);
}

/* ---- the server's own words --------------------------------------------------------- */

/* Its answer, or false where it has none. */
static bool ask(struct doctor *d, const char *target, andiron_json *ret, int64_t *ret_us)
{
    int64_t before = units_monotonic();
    andiron_str body;
    long http = 0;

    bool ok = control_call(d->arena, "GET", target, &http, &body, ret) == 0 && http == 200;
    *ret_us = units_monotonic() - before;
    return ok;
}

static void look_at_health(struct doctor *d, andiron_json status)
{
    struct andiron_json_iter it = { .of = andiron_json_path(status, "health.checks") };

    while (andiron_json_next(&it)) {
        andiron_json check = andiron_json_at(it.value, 0);
        andiron_str verdict = andiron_json_str(andiron_json_get(check, "status"));
        andiron_str output = andiron_json_str(andiron_json_get(check, "output"));
        andiron_str value = andiron_json_raw(andiron_json_get(check, "observedValue"));
        andiron_str unit = andiron_json_str(andiron_json_get(check, "observedUnit"));
        doctor_say(d,
                   andiron_str_eq(verdict, ANDIRON_STR("fail"))   ? DOCTOR_FAIL
                   : andiron_str_eq(verdict, ANDIRON_STR("warn")) ? DOCTOR_WARN
                                                                  : DOCTOR_OK,
                   "health", "see the log and /health on the admin listener",
                   "%.*s: %.*s%s%.*s%s%.*s%s%.*s", (int)it.name.len, it.name.data, (int)verdict.len,
                   verdict.data, value.len > 0 ? " " : "", (int)value.len,
                   value.data != NULL ? value.data : "", unit.len > 0 ? " " : "", (int)unit.len,
                   unit.data != NULL ? unit.data : "", output.len > 0 ? ": " : "", (int)output.len,
                   output.data != NULL ? output.data : "");
    }
}

static void look_at_keys(struct doctor *d)
{
    andiron_json answer;
    int64_t took;

    if (!ask(d, "/control/keys", &answer, &took))
        return; /* jwks is off, which was told */
    struct andiron_json_iter it = { .of = andiron_json_get(answer, "keys") };
    char limit[UNITS_INSTANT_MAX];
    (void)units_instant(andiron_now() - (andiron_usec)KEY_WARN_DAYS * 24 * 3600 * 1000000, limit);
    while (andiron_json_next(&it)) {
        andiron_str created = andiron_json_str(andiron_json_get(it.value, "created"));
        andiron_str state = andiron_json_str(andiron_json_get(it.value, "state"));
        if (!andiron_str_eq(state, ANDIRON_STR("active")) || created.len != ANDIRON_INSTANT_LEN)
            continue;
        /* Instants of one form: their texts are in their order. */
        bool is_old = memcmp(created.data, limit, ANDIRON_INSTANT_LEN) < 0;
        doctor_say(d, is_old ? DOCTOR_WARN : DOCTOR_OK, "keys", "andiron keys rotate",
                   "the key that signs is of %.10s", created.data);
    }
}

static void look_at_policies(struct doctor *d)
{
    andiron_json answer;
    int64_t took;
    size_t found = 0;

    if (!ask(d, "/control/policies", &answer, &took))
        return; /* access is off, which was told */
    struct andiron_json_iter it = { .of = andiron_json_get(answer, "policies") };
    while (andiron_json_next(&it)) {
        andiron_str id = andiron_json_str(andiron_json_get(it.value, "id"));
        andiron_str warning = andiron_json_str(andiron_json_get(it.value, "warning"));
        bool is_open = andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "engine")),
                                      ANDIRON_STR("allow")) &&
                       andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "applies")),
                                      ANDIRON_STR("global"));
        if (!is_open && warning.len == 0)
            continue;
        found++;
        doctor_say(d, DOCTOR_WARN, "policies",
                   andiron_printf(d->arena, "link AccessPolicy/%.*s to who needs it, or delete it",
                                  (int)id.len, id.data),
                   "AccessPolicy/%.*s: %.*s", (int)id.len, id.data, is_open ? 38 : (int)warning.len,
                   is_open ? "allows everything, as it has no links " : warning.data);
    }
    if (found == 0)
        doctor_say(d, DOCTOR_OK, "policies", NULL, "none is wide open");
}

void doctor_server(struct doctor *d)
{
    andiron_json status;
    int64_t took;

    if (!control_listens(d->settings.control_socket)) {
        doctor_say(d, DOCTOR_WARN, "server", "systemctl start andiron",
                   "does not run, or is not for you to ask; the rest was not looked at");
        return;
    }
    look_at_url(d);
    if (!ask(d, "/control/status", &status, &took)) {
        doctor_say(d, DOCTOR_FAIL, "server", "see its log", "does not answer its control socket");
        return;
    }
    doctor_say(d, DOCTOR_OK, "server", NULL, "answers in %.1f ms", (double)took / 1000);
    look_at_health(d, status);
    look_at_keys(d);
    look_at_policies(d);
}
