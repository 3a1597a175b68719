/*
 * What the file of a module says of itself, for `andiron test-plugin`: read, not loaded.
 */
#ifndef CORE_CLI_ELF_LOOK_H
#define CORE_CLI_ELF_LOOK_H

#include <andiron/base.h>

struct elf_look {
    size_t constructors;       /* functions that run when it is loaded; the compiler's own is one */
    bool has_text_relocations; /* its code would have to be writable */
    bool has_executable_stack;
    bool is_sanitized;    /* by AddressSanitizer, which has constructors of its own */
    const char *exported; /* names of its own beside the table, "a, b, ..."; "" if there are none */
    size_t exported_count;
};

/* In arena. -1: cannot be read, or is no shared object of this machine. */
int elf_look(struct andiron_arena *arena, const char *path, struct elf_look *ret);

#endif
