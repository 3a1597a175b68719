/*
 * Making a client's key. Writes one file.
 */
#include "cli/new_key.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/exits.h"
#include "cli/cli.h"
#include "cli/whole.h"
#include "common/jose/sign.h"

/* A file that only its owner may read; one that is there is somebody's key. */
static int write_key(const char *path, andiron_str pem)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return cli_fail(EXIT_NO_OUTPUT,
                        errno == EEXIST ? "name another file, or move that one away" : NULL,
                        "cannot make %s: %s", path, strerror(errno));
    int error = whole_write(fd, pem) == 0 ? 0 : errno;
    if (close(fd) != 0 && error == 0)
        error = errno;
    if (error == 0)
        return 0;
    (void)unlink(path); /* half a key is of no use */
    return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write %s: %s", path, strerror(error));
}

static int public_half(struct andiron_arena *arena, const struct jose_private *key,
                       andiron_json *ret_set, struct andiron_error *err)
{
    char thumbprint[JOSE_THUMBPRINT];
    andiron_str jwk;

    if (jose_thumbprint(jose_private_public(key), thumbprint, err) != 0 ||
        jose_jwk_write(arena, jose_private_public(key),
                       (andiron_str){ thumbprint, sizeof(thumbprint) }, jose_private_alg(key), &jwk,
                       err) != 0)
        return -1;
    const char *set = andiron_printf(arena, "{\"keys\":[%.*s]}", (int)jwk.len, jwk.data);
    return andiron_json_parse(arena, andiron_str_of(set), ret_set, err);
}

int new_key_write(struct andiron_arena *arena, const char *path, andiron_json *ret_set)
{
    struct jose_private *key = NULL;
    andiron_str pem = { NULL, 0 };
    struct andiron_error err;
    int status;

    if (jose_private_generate(jose_alg_find(ANDIRON_STR("ES384")), 0, &key, &err) != 0 ||
        public_half(arena, key, ret_set, &err) != 0 || jose_private_pem(key, &pem, &err) != 0)
        status = cli_fail(EXIT_INTERNAL, NULL, "cannot make a key: %s", err.message);
    else
        status = write_key(path, pem);
    if (pem.data != NULL)
        jose_pem_free(pem);
    jose_private_free(key);
    return status;
}
