/*
 * ustar headers, see tar.h; sizes above 8 GiB in base 256, as GNU and BSD tar have them.
 */
#include "cli/tar.h"

#include <string.h>

/* Places of the fields. */
enum {
    NAME = 0,
    MODE = 100,
    UID = 108,
    GID = 116,
    SIZE = 124,
    MTIME = 136,
    CHECKSUM = 148,
    TYPE = 156,
    LINK = 157,
    MAGIC = 257,
    USER = 265,
    GROUP = 297,
    PREFIX = 345,
    NAME_LEN = 100,
    NUMBER_LEN = 8,
    LONG_LEN = 12,
    OWNER_LEN = 32,
    PREFIX_LEN = 155
};

static const char magic[8] = { 'u', 's', 't', 'a', 'r', '\0', '0', '0' };

/* Octal digits and a NUL; what does not fit so in base 256. */
static void put_number(uint8_t *out, size_t len, uint64_t value)
{
    if (len == LONG_LEN && value >> 33 != 0) {
        for (size_t i = len; i > 1; value >>= 8)
            out[--i] = (uint8_t)value;
        out[0] = 0x80;
        return;
    }
    out[len - 1] = '\0';
    for (size_t i = len - 1; i > 0; value >>= 3)
        out[--i] = (uint8_t)('0' + (value & 7));
}

static int get_number(const uint8_t *in, size_t len, uint64_t *ret)
{
    uint64_t value = 0;

    if (in[0] == 0x80) {
        for (size_t i = 1; i < len; i++) {
            if (value >> 55 != 0)
                return -1;
            value = value << 8 | in[i];
        }
        *ret = value;
        return 0;
    }
    for (size_t i = 0; i < len - 1; i++) {
        if (in[i] < '0' || in[i] > '7')
            return -1;
        value = value << 3 | (uint64_t)(in[i] - '0');
    }
    *ret = value;
    return in[len - 1] == '\0' ? 0 : -1;
}

/* The sum of all bytes, those of the sum itself as blanks. */
static uint64_t sum_of(const uint8_t block[TAR_BLOCK])
{
    uint64_t sum = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + NUMBER_LEN ? ' ' : block[i];
    return sum;
}

/* Copies a field that need not end with NUL. */
static size_t get_text(const uint8_t *in, size_t len, char *out)
{
    size_t n = strnlen((const char *)in, len);
    memcpy(out, in, n);
    out[n] = '\0';
    return n;
}

static int put_name(const char *name, uint8_t *block)
{
    size_t len = strlen(name);
    const char *slash = len > NAME_LEN ? strchr(name + len - NAME_LEN - 1, '/') : NULL;

    if (len == 0 || (len > NAME_LEN && (slash == NULL || slash - name > PREFIX_LEN)))
        return -1;
    if (slash != NULL) {
        memcpy(block + PREFIX, name, (size_t)(slash - name));
        name = slash + 1;
    }
    memcpy(block + NAME, name, strlen(name));
    return 0;
}

int tar_write_header(const struct tar_entry *entry, uint8_t ret[TAR_BLOCK])
{
    size_t link = strlen(entry->link);

    memset(ret, 0, TAR_BLOCK);
    if (put_name(entry->name, ret) != 0 || link > NAME_LEN)
        return -1;
    put_number(ret + MODE, NUMBER_LEN, entry->mode);
    put_number(ret + UID, NUMBER_LEN, 0);
    put_number(ret + GID, NUMBER_LEN, 0);
    put_number(ret + SIZE, LONG_LEN, entry->size);
    put_number(ret + MTIME, LONG_LEN, entry->mtime > 0 ? (uint64_t)entry->mtime : 0);
    ret[TYPE] = (uint8_t)entry->type;
    memcpy(ret + LINK, entry->link, link);
    memcpy(ret + MAGIC, magic, sizeof(magic));
    memcpy(ret + USER, entry->user, strnlen(entry->user, OWNER_LEN));
    memcpy(ret + GROUP, entry->group, strnlen(entry->group, OWNER_LEN));
    put_number(ret + CHECKSUM, NUMBER_LEN - 1, sum_of(ret));
    ret[CHECKSUM + NUMBER_LEN - 1] = ' ';
    return 0;
}

static bool is_zero(const uint8_t block[TAR_BLOCK])
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (block[i] != 0)
            return false;
    return true;
}

int tar_read_header(const uint8_t block[TAR_BLOCK], struct tar_entry *ret)
{
    uint64_t sum, mode, mtime;
    size_t len = 0;

    if (is_zero(block))
        return 0;
    memset(ret, 0, sizeof(*ret));
    if (memcmp(block + MAGIC, magic, sizeof(magic)) != 0 ||
        get_number(block + CHECKSUM, NUMBER_LEN - 1, &sum) != 0 || sum != sum_of(block) ||
        get_number(block + MODE, NUMBER_LEN, &mode) != 0 || mode > 07777 ||
        get_number(block + SIZE, LONG_LEN, &ret->size) != 0 || ret->size > INT64_MAX / 2 ||
        get_number(block + MTIME, LONG_LEN, &mtime) != 0 || mtime > INT64_MAX)
        return -1;
    if (block[TYPE] != TAR_FILE && block[TYPE] != TAR_LINK && block[TYPE] != TAR_FOLDER)
        return -1;
    ret->type = (enum tar_type)block[TYPE];
    ret->mode = (unsigned)mode;
    ret->mtime = (int64_t)mtime;
    if (block[PREFIX] != 0) {
        len = get_text(block + PREFIX, PREFIX_LEN, ret->name);
        ret->name[len++] = '/';
    }
    size_t rest = get_text(block + NAME, NAME_LEN, ret->name + len);
    len += rest;
    while (ret->type == TAR_FOLDER && len > 1 && ret->name[len - 1] == '/')
        ret->name[--len] = '\0'; /* as others write folders */
    (void)get_text(block + LINK, NAME_LEN, ret->link);
    (void)get_text(block + USER, OWNER_LEN, ret->user);
    (void)get_text(block + GROUP, OWNER_LEN, ret->group);
    bool has_link = ret->link[0] != '\0';
    return rest == 0 || has_link != (ret->type == TAR_LINK) ||
                   (ret->type != TAR_FILE && ret->size != 0)
               ? -1
               : 1;
}
