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

/* A new key of that algorithm in the folder. */
static void make(const struct jose_alg *alg, char name[KEYFILE_NAME])
{
    struct jose_private *key;
    struct andiron_error err;
    assert_int_equal(jose_private_generate(alg, 2048, &key, &err), 0);
    assert_int_equal(keyfile_write(folder, key, alg, name, &err), 0);
    jose_private_free(key);
}

static void written_key_is_private_named_by_its_thumbprint_and_found_again(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct jose_private *found;
    struct andiron_error err;
    struct stat st;
    char path[512], name[KEYFILE_NAME], again[KEYFILE_NAME];
    clear();
    make(es256, name);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);

    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), 0);
    assert_int_equal(keys.count, 1);
    (void)snprintf(path, sizeof(path), "ES256-%s.pem", keys.files[0].kid);
    assert_string_equal(name, path);
    andiron_str kid = andiron_str_of(keys.files[0].kid);
    assert_int_equal(keyfile_find(folder, es256, kid, &found, again, &err), 0);
    assert_non_null(found);
    assert_string_equal(again, name);
    jose_private_free(found);
    assert_int_equal(keyfile_remove(folder, name, &err), 0);
    assert_int_equal(keyfile_remove(folder, name, &err), 0);
    assert_int_equal(keyfile_find(folder, es256, kid, &found, again, &err), 0);
    assert_null(found);
    keyfiles_free(&keys);
}

static void name_says_the_algorithm_and_else_the_wanted_one_counts(void **state)
{
    (void)state;
    static const char *const renamed[] = { "mine.pem", "RS512-mine.pem", "ES256-mine.pem" };
    static const char *const algs[] = { "PS256", "RS512", "PS256" };
    struct keyfiles keys;
    struct andiron_error err;
    char from[512], to[512], name[KEYFILE_NAME];
    const struct jose_alg *ps256 = jose_alg_find(ANDIRON_STR("PS256"));
    clear();
    make(ps256, name);
    (void)snprintf(from, sizeof(from), "%s/%s", folder, name);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(to, sizeof(to), "%s/%s", folder, renamed[i]);
        assert_int_equal(rename(from, to), 0);
        memcpy(from, to, sizeof(from));
        assert_int_equal(keyfiles_load(folder, ps256, false, &keys, &err), 0);
        assert_string_equal(keys.files[0].alg->name, algs[i]);
        keyfiles_free(&keys);
    }
}

static void test_key_is_made_on_demand_and_makes_no_tokens(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct andiron_error err;
    clear();
    assert_int_equal(keyfiles_load(folder, es256, true, &keys, &err), 0);
    assert_int_equal(keys.count, 1);
    assert_true(keys.files[0].for_assertions);
    struct ring *ring = ring_new();
    andiron_str kid = andiron_str_of(keys.files[0].kid);
    assert_int_equal(ring_add_test_key(ring, &keys.files[0], &err), 0);
    assert_int_equal(ring_finish(ring, 0, andiron_now(), &err), 0);
    assert_non_null(strstr(ring->document.data, keys.files[0].kid));
    assert_null(memmem(ring->document.data, ring->document.len, "\"d\"", 3));
    assert_null(ring_find(ring, kid, andiron_now()));
    assert_null(ring_active(ring, andiron_now()));
    ring_drop(ring);
    keyfiles_free(&keys);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), 0);
    assert_int_equal(keys.count, 0);
    keyfiles_free(&keys);
}

static void keys_open_to_others_stop_the_start(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct andiron_error err;
    char path[512], name[KEYFILE_NAME];
    clear();
    make(es256, name);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), -1);
    assert_non_null(strstr(err.message, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);

    assert_int_equal(chmod(folder, 0750), 0);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), -1);
    assert_non_null(strstr(err.message, "chmod 700"));
    assert_int_equal(chmod(folder, 0700), 0);

    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), 0);
    keyfiles_free(&keys);
}

static void broken_files_and_links_stop_the_start(void **state)
{
    (void)state;
    struct keyfiles keys;
    struct andiron_error err;
    char path[512];
    clear();
    assert_int_equal(mkdir(folder, 0700), 0);
    put("broken.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0600);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), -1);
    assert_non_null(strstr(err.where, "broken.pem"));
    clear();
    assert_int_equal(mkdir(folder, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/link.pem", folder);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), -1);
    clear();
    /* Other files are none of ours; a draft of a killed worker is replaced. */
    assert_int_equal(mkdir(folder, 0700), 0);
    put("README", "x", 0644);
    put(".new-key", "half", 0600);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), 0);
    assert_int_equal(keys.count, 0);
    make(es256, path);
    assert_int_equal(keyfiles_load(folder, es256, false, &keys, &err), 0);
    assert_int_equal(keys.count, 1);
    keyfiles_free(&keys);
    assert_int_equal(keyfiles_load("/proc/nowhere/keys", es256, false, &keys, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_key_is_private_named_by_its_thumbprint_and_found_again),
        cmocka_unit_test(name_says_the_algorithm_and_else_the_wanted_one_counts),
        cmocka_unit_test(test_key_is_made_on_demand_and_makes_no_tokens),
        cmocka_unit_test(keys_open_to_others_stop_the_start),
        cmocka_unit_test(broken_files_and_links_stop_the_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
