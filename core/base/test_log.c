/*
 * Log lines: one event is one line, in both formats, and a full queue drops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>


#include "base/log.h"

/* Logs `text` with an odd field into a file of that format; returns what the file then holds. */
static char *logged(enum log_format format, const char *text)
{
    static char content[8192];
    char path[] = "/tmp/andiron-log-XXXXXX";
    char target[64];
    struct andiron_error err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)snprintf(target, sizeof(target), "file:%s", path);
    struct log_settings settings = {
        .target = target, .format = format, .level = ANDIRON_LOG_INFO, .queue = 64
    };
    assert_int_equal(log_open(&settings, &err), 0);
    struct log_fields fields = LOG_FIELDS_NONE;
    fields.plugin = "auth";
    fields.status = 403;
    fields.duration_us = 12;
    fields.reason = ANDIRON_STR("two words");
    log_event(ANDIRON_LOG_INFO, "auth.denied", &fields, "%s", text);
    log_event(ANDIRON_LOG_DEBUG, "auth.debug", NULL, "below the level");
    log_close();
    ssize_t n = pread(fd, content, sizeof(content) - 1, 0);
    assert_true(n > 0);
    content[n] = '\0';
    close(fd);
    unlink(path);
    return content;
}

static void json_line_is_one_parsable_object_with_keys_in_order(void **state)
{
    (void)state;
    char *line = logged(LOG_FORMAT_JSON, "bad \"quote\"\nand\x1b[31m line");
    size_t len = strlen(line);
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', len - 1));
    assert_null(strchr(line, 0x1b));
    assert_non_null(strstr(line, "\"level\":\"info\",\"event\":\"auth.denied\",\"plugin\":\"auth\","
                                 "\"status\":403,\"duration_us\":12,\"reason\":\"two words\",\"msg\":"));
    assert_null(strstr(line, "auth.debug"));
}

static void text_line_has_the_message_behind_the_event(void **state)
{
    (void)state;
    char *line = logged(LOG_FORMAT_TEXT, "refused\r\nforged line");
    assert_non_null(strstr(line, " info auth.denied refused\\u000d\\u000aforged line plugin=auth "
                                 "status=403 duration_us=12 reason=\"two words\"\n"));
}

static void lines_written_together_keep_their_order(void **state)
{
    (void)state;
    enum { LINES = 5000 };
    char path[] = "/tmp/andiron-log-XXXXXX", target[64], line[256];
    struct andiron_error err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)snprintf(target, sizeof(target), "file:%s", path);
    struct log_settings settings = { .target = target,
                                     .format = LOG_FORMAT_TEXT,
                                     .level = ANDIRON_LOG_INFO,
                                     .queue = 2 * LINES };
    assert_int_equal(log_open(&settings, &err), 0);
    for (int i = 0; i < LINES; i++)
        log_event(ANDIRON_LOG_INFO, "test", NULL, "number %d", i);
    log_close();
    FILE *file = fdopen(fd, "r");
    assert_non_null(file);
    for (int i = 0; i < LINES; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof(expected), " number %d\n", i);
        assert_non_null(fgets(line, sizeof(line), file));
        assert_non_null(strstr(line, expected));
    }
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
    unlink(path);
}

static void target_that_cannot_be_opened_is_an_error(void **state)
{
    (void)state;
    struct andiron_error err;
    struct log_settings settings = { .target = "file:/nonexistent/dir/x.log", .queue = 1 };
    assert_int_equal(log_open(&settings, &err), -1);
    assert_string_equal(err.where, "log.target");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_is_one_parsable_object_with_keys_in_order),
        cmocka_unit_test(text_line_has_the_message_behind_the_event),
        cmocka_unit_test(lines_written_together_keep_their_order),
        cmocka_unit_test(target_that_cannot_be_opened_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
