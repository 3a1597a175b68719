/*
 * Key files: made once, found again, and refused when they are open to others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keyfile.h"
#include "keyring.h"

static char root[64], folder[96];
static const struct jose_alg *es256;

static void clear(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/andiron-keys-XXXXXX");
    assert_non_null(mkdtemp(root));
    (void)snprintf(folder, sizeof(folder), "%s/keys", root);
    es256 = jose_alg_find(ANDIRON_STR("ES256"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clear();
    return rmdir(root);
}

static void put(const char *name, const char *text, mode_t mode)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void first_start_makes_a_key_and_the_next_finds_it(void **state)
{
    (void)state;
    struct keyfiles one, two;
    struct andiron_error err;
    struct stat st;
    char path[256];
    clear();
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &one, &err), 0);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.made, 1);
    const struct keyfile *active = keyfiles_active(&one, es256);
    assert_non_null(active);
    (void)snprintf(path, sizeof(path), "%s/ES256-%s.pem", folder, active->kid);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);

    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &two, &err), 0);
    assert_int_equal(two.made, 0);
    assert_string_equal(keyfiles_active(&two, es256)->kid, active->kid);
    keyfiles_free(&one);
    keyfiles_free(&two);
}

static void another_algorithm_gets_another_key_and_the_old_one_stays(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct andiron_error err;
    const struct jose_alg *es384 = jose_alg_find(ANDIRON_STR("ES384"));
    clear();
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), 0);
    keyfiles_free(&keys);
    assert_int_equal(keyfiles_load(folder, es384, 2048, true, &keys, &err), 0);
    assert_int_equal(keys.count, 3); /* with the test key for assertions */
    assert_string_equal(keyfiles_active(&keys, es384)->alg->name, "ES384");
    assert_string_equal(keyfiles_active(&keys, es256)->alg->name, "ES256");
    assert_null(keyfiles_active(&keys, jose_alg_find(ANDIRON_STR("RS384"))));

    struct ring *ring = ring_new();
    for (size_t i = 0; i < keys.count; i++)
        assert_int_equal(ring_add_file(ring, &keys.files[i], &err), 0);
    assert_int_equal(ring_finish(ring, &err), 0);
    for (size_t i = 0; i < keys.count; i++) {
        const char *kid = keys.files[i].kid;
        assert_non_null(strstr(ring->document.data, kid));
        /* The test key is published, but no access token may come of it. */
        assert_int_equal(ring_find(ring, andiron_str_of(kid)) == NULL,
                         keys.files[i].for_assertions);
    }
    assert_null(memmem(ring->document.data, ring->document.len, "\"d\"", 3));
    ring_drop(ring);
    keyfiles_free(&keys);
    assert_int_equal(keyfiles_load(folder, es384, 2048, false, &keys, &err), 0);
    assert_int_equal(keys.count, 2);
    keyfiles_free(&keys);
}

static void keys_open_to_others_stop_the_start(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct andiron_error err;
    char path[256];
    clear();
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/ES256-%s.pem", folder, keys.files[0].kid);
    keyfiles_free(&keys);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), -1);
    assert_non_null(strstr(err.message, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);

    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), -1);
    assert_non_null(strstr(err.message, "chmod 700"));
    assert_int_equal(chmod(folder, 0700), 0);

    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), 0);
    keyfiles_free(&keys);
}

static void broken_files_and_links_stop_the_start(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct andiron_error err;
    char path[256];
    clear();
    assert_int_equal(mkdir(folder, 0700), 0);
    put("broken.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0600);
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), -1);
    assert_non_null(strstr(err.where, "broken.pem"));
    clear();
    assert_int_equal(mkdir(folder, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/link.pem", folder);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), -1);
    clear();
    /* Other files are none of ours; a draft of a killed worker is replaced. */
    assert_int_equal(mkdir(folder, 0700), 0);
    put("README", "x", 0644);
    put(".new-key", "half", 0600);
    assert_int_equal(keyfiles_load(folder, es256, 2048, false, &keys, &err), 0);
    assert_int_equal(keys.made, 1);
    keyfiles_free(&keys);
    assert_int_equal(keyfiles_load("/proc/nowhere/keys", es256, 2048, false, &keys, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_start_makes_a_key_and_the_next_finds_it),
        cmocka_unit_test(another_algorithm_gets_another_key_and_the_old_one_stays),
        cmocka_unit_test(keys_open_to_others_stop_the_start),
        cmocka_unit_test(broken_files_and_links_stop_the_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
