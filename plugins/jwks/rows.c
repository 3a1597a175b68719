/*
 * Making keys, and their rows.
 */
#include "rows.h"

#include "seal.h"

enum { ROW_MAX = 32 * 1024 };

/* ---- keys ------------------------------------------------------------------------------ */

static int describe(struct jwks *jwks, struct andiron_arena *arena, struct new_key *key,
                    struct andiron_error *err)
{
    char *kid = andiron_alloc(arena, JOSE_THUMBPRINT + 1);
    gnutls_pubkey_t public = jose_private_public(key->key);

    if (jose_thumbprint(public, kid, err) != 0)
        return -1;
    key->kid = andiron_str_of(kid);
    if (jose_jwk_write(arena, public, key->kid, key->alg, &key->jwk, err) != 0)
        return -1;
    if (jwks->config->seal_key[0] == '\0')
        return 0;
    return seal_close(arena, andiron_str_of(jwks->config->seal_key), key->kid, key->key,
                      &key->sealed, err);
}

static int make(struct jwks *jwks, struct andiron_arena *arena, const struct ring *ring,
                struct new_key *key, struct andiron_error *err)
{
    if (!jose_private_fits(key->key, key->alg))
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "the key cannot sign by %s, which `token-alg` asks for",
                                 key->alg->name);
    if (describe(jwks, arena, key, err) != 0)
        return -1;
    if (ring_key_of(ring, key->kid) != NULL)
        return andiron_error_set(err, ANDIRON_E_CONFLICT, "", "the key %.*s is there already",
                                 (int)key->kid.len, key->kid.data);
    return key->sealed.data != NULL
               ? 0
               : keyfile_write(jwks->folder, key->key, key->alg, key->file, err);
}

int new_key_make(struct jwks *jwks, struct andiron_arena *arena, const struct ring *ring,
                 andiron_str pem, struct new_key *ret, struct andiron_error *err)
{
    struct new_key key = { .alg = jwks->token_alg, .created = andiron_now() };
    int status = pem.data != NULL ? jose_private_read(pem, &key.key, err)
                                  : jose_private_generate(key.alg, (unsigned)jwks->config->key_bits,
                                                          &key.key, err);

    if (status != 0)
        return -1;
    if (make(jwks, arena, ring, &key, err) != 0) {
        jose_private_free(key.key);
        return -1;
    }
    if (pem.data != NULL)
        key.file[0] = '\0';
    *ret = key;
    return 0;
}

int new_key_of_file(struct jwks *jwks, struct andiron_arena *arena, const struct keyfile *file,
                    struct new_key *ret, struct andiron_error *err)
{
    struct new_key key = { .key = file->key, .alg = file->alg, .created = file->created };

    if (describe(jwks, arena, &key, err) != 0)
        return -1;
    key.key = NULL;
    *ret = key;
    return 0;
}

void new_key_drop(struct jwks *jwks, struct new_key *key, bool is_stored)
{
    struct andiron_error err;

    jose_private_free(key->key);
    key->key = NULL;
    if (!is_stored && key->file[0] != '\0' && keyfile_remove(jwks->folder, key->file, &err) != 0)
        andiron_log(jwks->host, ANDIRON_LOG_WARN, "keys.file.left",
                    "%s: the file of a key that was not used: %s", err.where, err.message);
}

/* ---- rows ------------------------------------------------------------------------------ */

static void stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    (void)arena;
    write->body = *(const andiron_str *)state;
}

struct row {
    andiron_str kid, jwk, sealed;
    const struct jose_alg *alg;
    andiron_usec created, signs_from, life;
    bool is_revoked;
};

static struct andiron_write write_of(struct andiron_arena *arena, const struct row *row)
{
    struct andiron_json_writer *w = andiron_json_write(arena, ROW_MAX);
    andiron_str *body = andiron_new(arena, andiron_str);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("_Key"));
    andiron_json_put_str(w, "id", row->kid);
    andiron_json_put_str(w, "state",
                         row->is_revoked ? ANDIRON_STR("revoked") : ANDIRON_STR("usable"));
    if (row->alg != NULL)
        andiron_json_put_str(w, "alg", andiron_str_of(row->alg->name));
    andiron_json_put_int(w, "created", row->created / 1000000);
    andiron_json_put_int(w, "signsFrom", row->signs_from);
    andiron_json_put_int(w, "life", row->life / 1000000);
    if (!row->is_revoked) {
        andiron_json_put_raw(w, "jwk", row->jwk);
        andiron_json_put_str(w, "sealed", row->sealed);
    }
    andiron_json_put_end(w);
    *body = andiron_json_written(w);
    return (struct andiron_write){ .ref = { .type = ANDIRON_STR("_Key"), .id = row->kid },
                                   .stamp = stamp,
                                   .stamp_state = body };
}

struct andiron_write row_of_new(struct jwks *jwks, struct andiron_arena *arena,
                                const struct new_key *key)
{
    const struct row row = { .kid = key->kid,
                             .jwk = key->jwk,
                             .sealed = key->sealed,
                             .alg = key->alg,
                             .created = key->created,
                             .signs_from = key->signs_from,
                             .life = atomic_load(&jwks->life) };
    struct andiron_write write = write_of(arena, &row);
    write.if_absent = true;
    return write;
}

struct andiron_write row_changed(struct andiron_arena *arena, const struct ring_key *key,
                                 andiron_usec signs_from, bool is_revoked)
{
    const struct row row = { .kid = key->kid,
                             .jwk = key->jwk,
                             .sealed = key->sealed,
                             .alg = key->alg,
                             .created = key->created,
                             .signs_from = signs_from,
                             .life = key->life,
                             .is_revoked = is_revoked };
    struct andiron_write write = write_of(arena, &row);
    write.if_version = key->version;
    return write;
}

struct andiron_write row_removed(const struct ring_key *key)
{
    return (struct andiron_write){ .ref = { .type = ANDIRON_STR("_Key"), .id = key->kid },
                                   .remove = true,
                                   .if_version = key->version };
}
