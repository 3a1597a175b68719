/*
 * What arrives at the journal: its socket is one of this test's, to which whatever libsystemd sends is directed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#ifdef ANDIRON_HAVE_SYSTEMD

static struct sockaddr_un ours = { .sun_family = AF_UNIX };
static const char folder_template[] = "/tmp/andiron-journal-XXXXXX";
static char folder[sizeof(folder_template)];
static int journal = -1;

/* Stands before libc's: libsystemd's calls come here. Whoever addresses the journal gets our socket instead. */
__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message,
                                                       int flags)
{
    struct msghdr directed = *message;
    const struct sockaddr_un *to = message->msg_name;

    if (to != NULL && to->sun_family == AF_UNIX &&
        strcmp(to->sun_path, "/run/systemd/journal/socket") == 0) {
        directed.msg_name = &ours;
        directed.msg_namelen = sizeof(ours);
    }
    return syscall(SYS_sendmsg, fd, &directed, flags);
}

static int begin(void **state)
{
    (void)state;
    memcpy(folder, folder_template, sizeof(folder));
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(ours.sun_path, sizeof(ours.sun_path), "%s/socket", folder);
    const struct timeval patience = { .tv_sec = 20 };
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal < 0 || bind(journal, (const struct sockaddr *)&ours, sizeof(ours)) != 0)
        return -1;
    return setsockopt(journal, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static int end(void **state)
{
    (void)state;
    (void)close(journal);
    (void)unlink(ours.sun_path);
    return rmdir(folder);
}

/* The entry that came, fields each on a line; none of ours holds a line feed, which would take another form. */
static char *received(void)
{
    static char entry[32 * 1024];
    ssize_t len = recv(journal, entry, sizeof(entry) - 2, 0);
    assert_true(len > 0);
    memmove(entry + 1, entry, (size_t)len);
    entry[0] = '\n'; /* so that each field stands between two */
    entry[len + 1] = '\0';
    return entry;
}

static void assert_has(const char *entry, const char *field)
{
    char line[256];
    (void)snprintf(line, sizeof(line), "\n%s\n", field);
    if (strstr(entry, line) == NULL)
        fail_msg("no %s in %s", field, entry);
}

static void open_journal(void)
{
    struct andiron_error err;
    struct log_settings settings = {
        .target = "journal", .format = LOG_FORMAT_AUTO, .level = ANDIRON_LOG_INFO, .queue = 64
    };
    assert_int_equal(log_open(&settings, &err), 0);
}

static void an_entry_has_a_field_for_each_key_that_a_line_has(void **state)
{
    (void)state;
    struct log_fields fields = LOG_FIELDS_NONE;
    fields.plugin = "access";
    fields.request_id = ANDIRON_STR("r-1");
    fields.trace_id = ANDIRON_STR("0af7651916cd43dd8448eb211c80319c");
    fields.method = ANDIRON_STR("GET");
    fields.route = ANDIRON_STR("/fhir/{type}/{id}");
    fields.type = ANDIRON_STR("Patient");
    fields.operation = ANDIRON_STR("FhirRead");
    fields.status = 403;
    fields.duration_us = 12;
    fields.bytes_in = 0;
    fields.bytes_out = 345;
    fields.store_us = 6;
    fields.client_id = ANDIRON_STR("lab");
    fields.remote = ANDIRON_STR("192.0.2.1");
    fields.policy = ANDIRON_STR("AccessPolicy/p");
    fields.policies = 3;
    fields.policy_us = 2;
    fields.reason = ANDIRON_STR("no policy allows it");
    fields.error = ANDIRON_STR("forbidden");
    open_journal();
    log_event(ANDIRON_LOG_WARN, "auth.denied", &fields, "for %s", "people");
    const char *entry = received();
    static const char *const expected[] = {
        "PRIORITY=4",
        "MESSAGE=for people",
        "ANDIRON_EVENT=auth.denied",
        "ANDIRON_PLUGIN=access",
        "ANDIRON_REQUEST_ID=r-1",
        "ANDIRON_TRACE_ID=0af7651916cd43dd8448eb211c80319c",
        "ANDIRON_METHOD=GET",
        "ANDIRON_ROUTE=/fhir/{type}/{id}",
        "ANDIRON_TYPE=Patient",
        "ANDIRON_OPERATION=FhirRead",
        "ANDIRON_STATUS=403",
        "ANDIRON_DURATION_US=12",
        "ANDIRON_BYTES_IN=0",
        "ANDIRON_BYTES_OUT=345",
        "ANDIRON_STORE_US=6",
        "ANDIRON_CLIENT_ID=lab",
        "ANDIRON_REMOTE=192.0.2.1",
        "ANDIRON_POLICY=AccessPolicy/p",
        "ANDIRON_POLICIES=3",
        "ANDIRON_POLICY_US=2",
        "ANDIRON_REASON=no policy allows it",
        "ANDIRON_ERROR=forbidden",
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_has(entry, expected[i]);
    assert_null(strstr(entry, "CODE_FILE")); /* of the logger itself: tells nobody anything */
    log_close();
}

static void an_event_has_one_message_id_and_another_event_another(void **state)
{
    (void)state;
    char ids[3][33];
    open_journal();
    log_event(ANDIRON_LOG_INFO, "start", NULL, "one");
    log_event(ANDIRON_LOG_ERROR, "start", NULL, "two");
    log_event(ANDIRON_LOG_INFO, "stop", NULL, "three");
    for (size_t i = 0; i < 3; i++) {
        const char *id = strstr(received(), "\nMESSAGE_ID=");
        assert_non_null(id);
        assert_int_equal(sscanf(id, "\nMESSAGE_ID=%32[0-9a-f]\n", ids[i]), 1);
        assert_int_equal(strlen(ids[i]), 32);
    }
    assert_string_equal(ids[0], "ee5d97ad45ad251f07a9ba34602e829e"); /* whoever wrote it into a filter finds it in the next release */
    assert_string_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[0], ids[2]);
    log_close();
}

static void a_message_cannot_forge_a_field(void **state)
{
    (void)state;
    open_journal();
    log_event(ANDIRON_LOG_INFO, "start", NULL, "one\nANDIRON_CLIENT_ID=root");
    const char *entry = received();
    assert_null(strstr(entry, "\nANDIRON_CLIENT_ID="));
    assert_has(entry, "MESSAGE=one\\u000aANDIRON_CLIENT_ID=root");
    log_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_has_a_field_for_each_key_that_a_line_has, begin,
                                        end),
        cmocka_unit_test_setup_teardown(an_event_has_one_message_id_and_another_event_another,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_message_cannot_forge_a_field, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    (void)puts("built without libsystemd: nothing to test");
    return 0;
}

#endif
