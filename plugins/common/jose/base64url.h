/*
 * Base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strict on input.
 *
 * One text has one meaning: '=' and characters outside the alphabet are refused, and so are
 * final bits that are not zero, which would give a second spelling of the same token.
 */
#ifndef JOSE_BASE64URL_H
#define JOSE_BASE64URL_H

#include <andiron/base.h>

/* Characters that `bytes` bytes take. */
static inline size_t jose_base64url_length(size_t bytes)
{
    return bytes / 3 * 4 + (bytes % 3 != 0 ? bytes % 3 + 1 : 0);
}

/* Bytes that `chars` characters give at most. */
static inline size_t jose_base64url_bytes(size_t chars)
{
    return chars / 4 * 3 + chars % 4 * 3 / 4;
}

/* Writes jose_base64url_length(len) characters, no NUL; returns their number. */
size_t jose_base64url_encode(const void *bytes, size_t len, char *out);

/* Writes at most jose_base64url_bytes(text.len) bytes. -1 if text is not canonical base64url. */
ANDIRON_MUST_CHECK int jose_base64url_decode(andiron_str text, void *out, size_t *ret_len);

/* The same into an arena. */
andiron_str jose_base64url_text(struct andiron_arena *arena, const void *bytes, size_t len);
ANDIRON_MUST_CHECK int jose_base64url_read(struct andiron_arena *arena, andiron_str text,
                                           andiron_str *ret_bytes);

#endif
