/*
 * Reading ELF files of this machine's own class. Every offset comes from the file and is checked.
 */
#include "cli/elf_look.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES_MAX = 8 };

struct image {
    const char *bytes;
    size_t size;
};

/* count structs of `each` bytes at offset, or NULL if they are not all in the file, or not aligned. */
static const void *part(const struct image *i, uint64_t offset, uint64_t count, size_t each)
{
    if (offset > i->size || count > (i->size - offset) / each || offset % 8 != 0)
        return NULL;
    return i->bytes + offset;
}

/* A NUL-terminated name of a string table; "" if it is none. */
static const char *name_at(const struct image *i, const ElfW(Shdr) * strings, uint64_t at)
{
    if (strings->sh_offset > i->size || strings->sh_size > i->size - strings->sh_offset ||
        at >= strings->sh_size)
        return "";
    const char *name = i->bytes + strings->sh_offset + at;
    return memchr(name, '\0', strings->sh_size - at) != NULL ? name : "";
}

/* What linkers and sanitizers add. */
static bool is_own_name(const char *name)
{
    static const char *const not [] = { "andiron_plugin_v", "__",   "_init", "_fini", "_end",
                                        "_edata",           "_ITM", "_ZTI",  "_ZTS" };
    for (size_t n = 0; n < sizeof(not ) / sizeof(not [0]); n++)
        if (strncmp(name, not [n], strlen(not [n])) == 0)
            return false;
    return name[0] != '\0';
}

static void look_at_symbols(struct andiron_arena *arena, const struct image *i,
                            const ElfW(Shdr) * table, const ElfW(Shdr) * strings,
                            struct elf_look *ret)
{
    uint64_t count = table->sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *symbols = part(i, table->sh_offset, count, sizeof(*symbols));
    for (uint64_t n = 1; symbols != NULL && n < count; n++) {
        const char *name = name_at(i, strings, symbols[n].st_name);
        ret->is_sanitized = ret->is_sanitized || strcmp(name, "__asan_init") == 0;
        if (symbols[n].st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbols[n].st_info) == STB_LOCAL ||
            ELF64_ST_VISIBILITY(symbols[n].st_other) == STV_HIDDEN || !is_own_name(name))
            continue;
        if (ret->exported_count++ < NAMES_MAX)
            ret->exported = andiron_printf(arena, "%s%s%.60s", ret->exported,
                                           ret->exported[0] != '\0' ? ", " : "", name);
    }
}

static void look_at_sections(struct andiron_arena *arena, const struct image *i,
                             const ElfW(Ehdr) * head, struct elf_look *ret)
{
    const ElfW(Shdr) *s = part(i, head->e_shoff, head->e_shnum, sizeof(*s));
    for (size_t n = 0; s != NULL && n < head->e_shnum; n++) {
        if (s[n].sh_type == SHT_INIT_ARRAY)
            ret->constructors += s[n].sh_size / sizeof(void *);
        if (s[n].sh_type == SHT_DYNSYM && s[n].sh_link < head->e_shnum)
            look_at_symbols(arena, i, &s[n], &s[s[n].sh_link], ret);
    }
}

static void look_at_segments(const struct image *i, const ElfW(Ehdr) * head, struct elf_look *ret)
{
    const ElfW(Phdr) *p = part(i, head->e_phoff, head->e_phnum, sizeof(*p));
    for (size_t n = 0; p != NULL && n < head->e_phnum; n++) {
        if (p[n].p_type == PT_GNU_STACK && (p[n].p_flags & PF_X) != 0)
            ret->has_executable_stack = true;
        if (p[n].p_type != PT_DYNAMIC)
            continue;
        uint64_t count = p[n].p_filesz / sizeof(ElfW(Dyn));
        const ElfW(Dyn) *d = part(i, p[n].p_offset, count, sizeof(*d));
        for (uint64_t k = 0; d != NULL && k < count && d[k].d_tag != DT_NULL; k++)
            if (d[k].d_tag == DT_TEXTREL ||
                (d[k].d_tag == DT_FLAGS && (d[k].d_un.d_val & DF_TEXTREL) != 0))
                ret->has_text_relocations = true;
    }
}

int elf_look(struct andiron_arena *arena, const char *path, struct elf_look *ret)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    bool is_file =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)sizeof(ElfW(Ehdr));
    void *bytes =
        is_file ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    (void)close(fd); /* the mapping stays */
    if (bytes == MAP_FAILED)
        return -1;
    struct image image = { bytes, (size_t)st.st_size };
    const ElfW(Ehdr) *head = bytes;
    int class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    bool is_ours = memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
                   head->e_ident[EI_CLASS] == class && head->e_type == ET_DYN;
    *ret = (struct elf_look){ .exported = "" };
    if (is_ours) {
        look_at_sections(arena, &image, head, ret);
        look_at_segments(&image, head, ret);
    }
    (void)munmap(bytes, image.size);
    return is_ours ? 0 : -1;
}
