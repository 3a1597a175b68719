/*
 * Regular expressions on PCRE2.
 */
#include "common/pattern/pattern.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    NEST_MAX = 50,          /* parentheses: bounds the compiler's recursion */
    HEAP_MAX_KIB = 8 * 1024 /* of a matcher, for the interpreter's frames */
};

struct pattern {
    pcre2_code *code;
};

struct pattern_matcher {
    pcre2_match_context *context;
    pcre2_match_data *data;
    size_t subject_max;
};

/* ---- compiling: into the arena ----------------------------------------------------- */

static void *arena_malloc(size_t bytes, void *arena)
{
    return andiron_alloc(arena, bytes);
}

static void arena_free_nothing(void *block, void *arena)
{
    (void)block;
    (void)arena;
}

/* The machine code is not in the arena. */
static void free_code(void *code)
{
    pcre2_code_free(code);
}

static int refuse(struct andiron_error *err, int number, size_t at)
{
    PCRE2_UCHAR why[160];
    if (pcre2_get_error_message(number, why, sizeof(why)) < 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is not a regular expression");
    return andiron_error_set(err, ANDIRON_E_VALUE, "",
                             "is not a regular expression (PCRE2): %s, at byte %zu",
                             (const char *)why, at);
}

int pattern_compile(struct andiron_arena *arena, andiron_str text, unsigned flags,
                    const struct pattern **ret, struct andiron_error *err)
{
    /* \C would cut characters in two. DOLLAR_ENDONLY: "^a$" must not let "a\n" in. */
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
    int number = 0;
    PCRE2_SIZE at = 0;

    if (text.len > PATTERN_MAX)
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "is a regular expression of %zu bytes; at most %d are allowed",
                                 text.len, PATTERN_MAX);
    if ((flags & PATTERN_ECMA) != 0)
        options |= PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF;
    pcre2_general_context *general =
        pcre2_general_context_create(arena_malloc, arena_free_nothing, arena);
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    (void)pcre2_set_parens_nest_limit(context, NEST_MAX);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(text.data != NULL ? text.data : ""), text.len,
                                     options, &number, &at, context);
    if (code == NULL)
        return refuse(err, number, at);
    andiron_at_release(arena, free_code, code);
    /* Refused where memory may not be made executable: then it is interpreted. */
    if ((flags & PATTERN_NO_COMPILER) == 0)
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    struct pattern *pattern = andiron_new(arena, struct pattern);
    pattern->code = code;
    *ret = pattern;
    return 0;
}

/* ---- matching ------------------------------------------------------------------------ */

struct pattern_matcher *pattern_matcher_new(uint32_t steps, size_t subject_max)
{
    struct pattern_matcher *m = calloc(1, sizeof(*m));
    if (m == NULL)
        abort(); /* out of memory: the supervisor starts a new worker */
    m->context = pcre2_match_context_create(NULL);
    m->data = pcre2_match_data_create(1, NULL); /* whether, not where */
    if (m->context == NULL || m->data == NULL)
        abort();
    m->subject_max = subject_max;
    (void)pcre2_set_match_limit(m->context, steps);
    (void)pcre2_set_depth_limit(m->context, steps);
    (void)pcre2_set_heap_limit(m->context, HEAP_MAX_KIB);
    return m;
}

void pattern_matcher_free(struct pattern_matcher *matcher)
{
    if (matcher == NULL)
        return;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    free(matcher);
}

static int match(const struct pattern *pattern, const struct pattern_matcher *matcher,
                 andiron_str subject, uint32_t options)
{
    return pcre2_match(pattern->code, (PCRE2_SPTR)(subject.data != NULL ? subject.data : ""),
                       subject.len, 0, options | PCRE2_NO_UTF_CHECK, matcher->data,
                       matcher->context);
}

enum pattern_result pattern_find(const struct pattern *pattern, struct pattern_matcher *matcher,
                                 andiron_str subject)
{
    if (subject.len > matcher->subject_max)
        return PATTERN_LIMIT;
    int result = match(pattern, matcher, subject, 0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* machine code has 32 KiB; frames have more */
        result = match(pattern, matcher, subject, PCRE2_NO_JIT);
    if (result >= 0)
        return PATTERN_MATCH;
    return result == PCRE2_ERROR_NOMATCH ? PATTERN_NO_MATCH : PATTERN_LIMIT;
}
