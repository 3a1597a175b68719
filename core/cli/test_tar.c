/*
 * Headers of tar archives: what is written is read again, what is not ours is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/tar.h"

static void what_is_written_is_read_again(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 511, 8589934591U, 8589934592U, INT64_MAX / 2 };
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tar_entry e = { .type = TAR_FILE, .mode = 0640, .size = sizes[i], .mtime = 12345 },
                         r;
        uint8_t block[TAR_BLOCK];
        (void)snprintf(e.name, sizeof(e.name), "config/%0*d/name", 40 * (int)i + 1, 7);
        (void)snprintf(e.user, sizeof(e.user), "andiron");
        int wrote = tar_write_header(&e, block);
        if (strlen(e.name) - 5 > 155) {
            assert_int_equal(wrote, -1);
            continue;
        }
        assert_int_equal(wrote, 0);
        assert_int_equal(tar_read_header(block, &r), 1);
        assert_string_equal(r.name, e.name);
        assert_string_equal(r.user, "andiron");
        assert_int_equal(r.size, sizes[i]);
        assert_int_equal(r.mode, 0640);
        assert_int_equal(r.mtime, 12345);
    }
}

static void links_and_folders_have_no_bytes(void **state)
{
    struct tar_entry link = { .name = "config/a", .link = "../b", .type = TAR_LINK }, r;
    struct tar_entry folder = { .name = "config/c/", .type = TAR_FOLDER };
    uint8_t block[TAR_BLOCK];
    (void)state;

    assert_int_equal(tar_write_header(&link, block), 0);
    assert_int_equal(tar_read_header(block, &r), 1);
    assert_string_equal(r.link, "../b");
    link.size = 1;
    assert_int_equal(tar_write_header(&link, block), 0);
    assert_int_equal(tar_read_header(block, &r), -1);
    assert_int_equal(tar_write_header(&folder, block), 0);
    assert_int_equal(tar_read_header(block, &r), 1);
    assert_string_equal(r.name, "config/c");
}

static void a_changed_byte_is_noticed(void **state)
{
    struct tar_entry e = { .name = "store.db", .type = TAR_FILE, .size = 4096 }, r;
    uint8_t block[TAR_BLOCK];
    (void)state;

    assert_int_equal(tar_write_header(&e, block), 0);
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        block[i] ^= 1;
        if (i != 155) /* the blank behind the sum, which says nothing */
            assert_int_equal(tar_read_header(block, &r), -1);
        block[i] ^= 1;
    }
    memset(block, 0, sizeof(block));
    assert_int_equal(tar_read_header(block, &r), 0);
}

static void a_name_or_link_that_does_not_fit_is_refused(void **state)
{
    struct tar_entry e = { .type = TAR_LINK };
    uint8_t block[TAR_BLOCK];
    (void)state;

    assert_int_equal(tar_write_header(&e, block), -1);
    memset(e.name, 'a', 101); /* nowhere to divide it */
    assert_int_equal(tar_write_header(&e, block), -1);
    e.name[50] = '/';
    assert_int_equal(tar_write_header(&e, block), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(links_and_folders_have_no_bytes),
        cmocka_unit_test(a_changed_byte_is_noticed),
        cmocka_unit_test(a_name_or_link_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
