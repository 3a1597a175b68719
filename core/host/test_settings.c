/* Core's sections: their defaults, the checks across directives, and the sample configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "host/address.h"
#include "host/config.h"
#include "host/settings.h"

static char folder[] = "/tmp/andiron-test-XXXXXX";

static struct host *read_text(const char *text, struct settings *settings)
{
    static const char *const none[] = { NULL };
    static struct invocation invocation;
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/andiron.conf", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    invocation = (struct invocation){ .dir = folder, .overrides = none };
    struct host *host = settings_read(&invocation, SECRETS_READ, settings);
    problems_sort(host_problems(host));
    return host;
}

#define BASE "[http]\nbase-url = https://x.example\n"

static void assert_problem(const char *text, const char *words)
{
    struct settings settings;
    struct host *host = read_text(text, &settings);
    const struct problems *p = host_problems(host);
    if (p->errors != 1 || strstr(p->list[0].text, words) == NULL) {
        problems_print(p, stderr);
        fail_msg("expected one problem with \"%s\"", words);
    }
    host_free(host);
}

static void defaults_are_those_of_the_manual(void **state)
{
    (void)state;
    struct settings s;
    struct host *host = read_text(BASE, &s);
    assert_int_equal(host_problems(host)->count, 0);
    assert_string_equal(s.listen[0], "127.0.0.1:8080");
    assert_string_equal(s.http.base_url, "https://x.example");
    assert_int_equal(s.http.max_request_line, 8192);
    assert_int_equal(s.http.max_header, 16384);
    assert_int_equal(s.http.max_header_fields, 100);
    assert_int_equal(s.http.max_body, 64 << 20);
    assert_int_equal(s.http.max_body_anonymous, 64 << 10);
    assert_int_equal(s.http.header_timeout, 10000);
    assert_int_equal(s.http.drain_timeout, 10000);
    assert_int_equal(s.http.drain_grace, 1000);
    assert_int_equal(s.http.max_connections, 16384);
    assert_true(s.http.compression_gzip);
    assert_int_equal(s.json.max_depth, 64);
    assert_int_equal(s.log.level, ANDIRON_LOG_INFO);
    assert_int_equal(s.http.access_log, HTTP_LOG_ALL);
    assert_string_equal(s.http.tls_min_version, "1.2");
    assert_null(s.http.tls_certificate);
    assert_false(s.http.dev_mode);
    assert_true(s.io_threads >= 1 && s.io_threads <= 8);
    assert_true(s.worker_threads >= 2);
    assert_string_equal(s.init_bundle, "");
    host_free(host);
}

static void base_url_is_required_and_checked(void **state)
{
    (void)state;
    assert_problem("", "http.base-url: is required");
    assert_problem("[http]\nbase-url = fhir.example.org\n", "is no URL");
    assert_problem("[http]\nbase-url = https://\n", "is no URL");
    assert_problem("[http]\nbase-url = https://a/?b\n", "is no URL");
    assert_problem("[http]\nbase-url = https://user@a\n", "is no URL");
    assert_problem("[http]\nbase-url = https://a/\n", "must not end with '/'");
    struct settings s;
    struct host *host = read_text("[dev]\nmode = on\n", &s);
    assert_int_equal(host_problems(host)->count, 0);
    assert_null(s.http.base_url);
    host_free(host);
}

static void wrong_combinations_are_found(void **state)
{
    (void)state;
    assert_problem(BASE "listen = localhost:x\n", "is no address such as");
    assert_problem(BASE "listen = example.org:80\n", "is no numeric address");
    assert_problem(BASE "listen = \n", "names no address");
    assert_problem(BASE "listen = tls:127.0.0.1:443\n", "needs tls.certificate");
    assert_problem(BASE "[tls]\ncertificate = c.pem\n", "tls.key: is required");
    assert_problem(BASE "[admin]\nlisten = 0.0.0.0:8081\n", "can be reached from elsewhere");
    assert_problem(BASE "[log]\naccess-log = slow\n", "is not all, errors, off or slow:DURATION");
    assert_problem(BASE "[log]\ntarget = file:relative\n", "is not auto, stderr, journal");
    assert_problem(BASE "[core]\nmodule-path = modules\n", "is no absolute path");
    assert_problem(BASE "[init]\nbundle = https://a/b\n", "neither a path nor a file:// URL");
}

static void right_combinations_are_taken(void **state)
{
    (void)state;
    struct settings s;
    struct host *host = read_text(BASE "listen = 127.0.0.1:80 tls:[::1]:443, tls:fd:https\n"
                                       "[tls]\ncertificate = /c.pem\nkey = @key.pem\n"
                                       "[admin]\nlisten = 0.0.0.0:1\nallow-remote = yes\n"
                                       "[log]\naccess-log = slow:200ms\n"
                                       "[init]\nbundle = file:///b.json\n",
                                  &s);
    assert_int_equal(host_problems(host)->count, 0);
    assert_string_equal(s.http.tls_certificate, "/c.pem");
    assert_int_equal(strncmp(s.http.tls_key, folder, strlen(folder)), 0);
    assert_string_equal(s.http.tls_key + strlen(folder), "/key.pem");
    assert_int_equal(s.http.access_log, HTTP_LOG_SLOW);
    assert_int_equal(s.http.access_log_slow_ms, 200);
    assert_string_equal(s.init_bundle, "/b.json");
    host_free(host);
}

static void a_tls_key_that_everybody_may_read_is_warned_of(void **state)
{
    (void)state;
    struct settings s;
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/open.key", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
    for (int closed = 0; closed < 2; closed++) {
        assert_int_equal(chmod(path, closed ? 0640 : 0644), 0);
        struct host *host = read_text(BASE "[tls]\ncertificate = /c.pem\nkey = @open.key\n"
                                           "ticket-key = open.key\n",
                                      &s);
        const struct problems *p = host_problems(host);
        assert_int_equal(p->errors, 0);
        assert_int_equal(p->count, closed ? 0 : 2);
        if (!closed) {
            assert_int_equal(p->list[0].line, 5);
            assert_non_null(strstr(p->list[0].text, "tls.key: "));
            assert_non_null(strstr(p->list[1].text, "tls.ticket-key: "));
        }
        host_free(host);
    }
    assert_int_equal(unlink(path), 0);
}

static void sections_of_plugins_cannot_pass_for_cores(void **state)
{
    (void)state;
    assert_problem(BASE "[htpp]\nx = 1\n", "[htpp] is unknown; did you mean [http]?");
    assert_problem(BASE "[plugin http]\nmodule = x.so\n", "name of a section of core");
}

/* etc/andiron.conf.in shows each directive with its default, and nothing else. */
static void sample_configuration_shows_every_default(void **state)
{
    (void)state;
    struct settings s;
    struct andiron_error err;
    andiron_str text;
    char section[64] = "", line[512], name[64];
    size_t shown = 0, known = 0;
    struct host *host = read_text(BASE, &s);
    struct andiron_arena *arena = host_problems(host)->arena;

    assert_int_equal(config_file(arena, ANDIRON_BINARY_DIR "/andiron.conf", 1 << 20, &text, &err),
                     0);
    FILE *file = fmemopen((void *)(uintptr_t)text.data, text.len, "r");
    while (fgets(line, sizeof(line), file) != NULL) {
        char *start = line + (strncmp(line, "# ", 2) == 0 ? 2 : 0);
        size_t len = strspn(start, "abcdefghijklmnopqrstuvwxyz-");
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '[')
            (void)snprintf(section, sizeof(section), "%.*s", (int)strlen(line) - 2, line + 1);
        if (section[0] == '\0' || len == 0 || strncmp(start + len, " =", 2) != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)len, start);
        const struct directive_value *v = host_value(host, section, name);
        const char *value = start + len + 2 + (start[len + 2] == ' ');
        if (v == NULL)
            fail_msg("[%s] %s is no directive", section, name);
        shown++;
        if (strcmp(name, "base-url") != 0)
            assert_string_equal(value, v->directive->fallback);
    }
    (void)fclose(file);
    for (size_t i = 0; settings_sections[i].name != NULL; i++)
        known += directives_count(settings_sections[i].directives);
    assert_int_equal(shown, known);
    host_free(host);
}

static void addresses_are_numeric(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int family; /* 0: refused, -1: from systemd */
        bool local, tls;
    } cases[] = {
        { "127.0.0.1:8080", AF_INET, true, false },
        { "0.0.0.0:80", AF_INET, false, false },
        { "127.9.9.9:1", AF_INET, true, false },
        { "[::1]:443", AF_INET6, true, false },
        { "[::]:443", AF_INET6, false, false },
        { "*:80", AF_INET6, false, false },
        { "localhost:80", AF_INET, true, false },
        { "tls:127.0.0.1:443", AF_INET, true, true },
        { "fd:http", -1, true, false },
        { "tls:fd:https", -1, true, true },
        { "::1:80", 0, false, false },
        { "[::1]", 0, false, false },
        { "127.0.0.1", 0, false, false },
        { "127.0.0.1:", 0, false, false },
        { "127.0.0.1:65536", 0, false, false },
        { "127.0.0.1:+80", 0, false, false },
        { "127.0.0.1:80x", 0, false, false },
        { ":80", 0, false, false },
        { "fd:", 0, false, false },
        { "example.org:80", 0, false, false },
        { "[127.0.0.1:80", 0, false, false },
        { "", 0, false, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        struct andiron_error err;
        int status = address_parse(cases[i].text, &address, &err);
        if ((status == 0) != (cases[i].family != 0))
            fail_msg("%s: %d", cases[i].text, status);
        if (status != 0)
            continue;
        assert_int_equal(address.fd_name != NULL, cases[i].family == -1);
        assert_int_equal(address.is_tls, cases[i].tls);
        assert_int_equal(address_is_local(&address), cases[i].local);
        if (cases[i].family > 0)
            assert_int_equal(address.address.ss_family, cases[i].family);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[100];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_manual),
        cmocka_unit_test(base_url_is_required_and_checked),
        cmocka_unit_test(wrong_combinations_are_found),
        cmocka_unit_test(right_combinations_are_taken),
        cmocka_unit_test(a_tls_key_that_everybody_may_read_is_warned_of),
        cmocka_unit_test(sections_of_plugins_cannot_pass_for_cores),
        cmocka_unit_test(sample_configuration_shows_every_default),
        cmocka_unit_test(addresses_are_numeric),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
