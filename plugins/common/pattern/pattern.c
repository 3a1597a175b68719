/*
 * Regular expressions on PCRE2.
 *
 * PCRE2 limits how often a match goes back, counted anew where it begins anew, and nothing at all
 * inside of possessive groups, assertions and recursion: /(?:a|b)++c/ takes seconds of 64 KiB. So an
 * expression is compiled twice: to be run quickly, where little text and few steps bound the time,
 * and to be watched, with a call-out before each of its items.
 */
#include "common/pattern/pattern.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    NEST_MAX = 50,           /* parentheses: bounds the compiler's recursion */
    HEAP_MAX_KIB = 8 * 1024, /* of a matcher, for the interpreter's frames */
    QUICK_SUBJECT = 256,     /* bytes of the longest subject that is not watched */
    QUICK_STEPS = 10000,     /* of a match that is not watched, over all places where it begins */
    WATCH_CALLOUTS = 32,     /* between two looks: each is at most one run through the subject */
    ENDED = -1000            /* what a call-out ends a match with */
};

struct pattern {
    pcre2_code *quick; /* NULL: always watched */
    pcre2_code *watched;
};

struct pattern_matcher {
    pcre2_match_context *quick, *watched;
    pcre2_match_data *data;
    size_t subject_max;
};

/* Whether every loop of an expression counts its steps. Wrong alarms only cost time. */
static bool counts_steps(andiron_str text)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        char c = text.data[i], next = text.data[i + 1];
        if (c == '\\' && next == 'g') /* may be a recursion */
            return false;
        if (c == '(' && next == '*')
            return false;
        if (next == '+' && (c == '+' || c == '*' || c == '?' || c == '}'))
            return false;
        if (c != '(' || next != '?')
            continue;
        size_t at = i + 2; /* "(?:", "(?i)" and "(?i:" are harmless */
        while (at < text.len && text.data[at] >= 'a' && text.data[at] <= 'z')
            at++;
        if (at == text.len || (text.data[at] != ':' && text.data[at] != ')'))
            return false;
    }
    return true;
}

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

static pcre2_code *compile_code(struct andiron_arena *arena, pcre2_compile_context *context,
                                andiron_str text, uint32_t options, struct andiron_error *err)
{
    int number = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(text.data != NULL ? text.data : ""), text.len,
                                     options, &number, &at, context);
    if (code == NULL)
        (void)refuse(err, number, at);
    else
        andiron_at_release(arena, free_code, code);
    return code;
}

int pattern_compile(struct andiron_arena *arena, andiron_str text, unsigned flags,
                    const struct pattern **ret, struct andiron_error *err)
{
    /* \C would cut characters in two. DOLLAR_ENDONLY: "^a$" must not let "a\n" in. */
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;

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
    struct pattern *pattern = andiron_new(arena, struct pattern);
    pattern->watched = compile_code(arena, context, text, options | PCRE2_AUTO_CALLOUT, err);
    if (pattern->watched == NULL)
        return -1;
    pcre2_code *often = pattern->watched;
    if (counts_steps(text)) {
        pattern->quick = compile_code(arena, context, text, options, err);
        if (pattern->quick == NULL)
            return -1;
        often = pattern->quick;
    }
    /* Refused where memory may not be made executable: then it is interpreted. */
    if ((flags & PATTERN_NO_COMPILER) == 0)
        (void)pcre2_jit_compile(often, PCRE2_JIT_COMPLETE);
    *ret = pattern;
    return 0;
}

/* ---- matching ------------------------------------------------------------------------ */

struct pattern_matcher *pattern_matcher_new(uint32_t steps, size_t subject_max)
{
    struct pattern_matcher *m = calloc(1, sizeof(*m));
    if (m == NULL)
        abort(); /* out of memory: the supervisor starts a new worker */
    m->quick = pcre2_match_context_create(NULL);
    m->watched = pcre2_match_context_create(NULL);
    m->data = pcre2_match_data_create(1, NULL); /* whether, not where */
    if (m->quick == NULL || m->watched == NULL || m->data == NULL)
        abort();
    m->subject_max = subject_max;
    (void)pcre2_set_match_limit(m->watched, steps);
    (void)pcre2_set_depth_limit(m->watched, steps);
    (void)pcre2_set_heap_limit(m->watched, HEAP_MAX_KIB);
    (void)pcre2_set_heap_limit(m->quick, HEAP_MAX_KIB);
    return m;
}

void pattern_matcher_free(struct pattern_matcher *matcher)
{
    if (matcher == NULL)
        return;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->quick);
    pcre2_match_context_free(matcher->watched);
    free(matcher);
}

static int match(const pcre2_code *code, pcre2_match_context *context,
                 const struct pattern_matcher *matcher, andiron_str subject, uint32_t options)
{
    return pcre2_match(code, (PCRE2_SPTR)(subject.data != NULL ? subject.data : ""), subject.len, 0,
                       options | PCRE2_NO_UTF_CHECK, matcher->data, context);
}

struct watch {
    pattern_go_on_fn go_on;
    void *arg;
    unsigned callouts;
};

static int look(pcre2_callout_block *block, void *arg)
{
    struct watch *w = arg;
    (void)block;
    if (++w->callouts % WATCH_CALLOUTS != 0 || w->go_on(w->arg))
        return 0;
    return ENDED;
}

static int match_watched(const struct pattern *pattern, struct pattern_matcher *matcher,
                         andiron_str subject, struct watch *watch)
{
    if (!watch->go_on(watch->arg))
        return ENDED;
    (void)pcre2_set_callout(matcher->watched, look, watch);
    int result = match(pattern->watched, matcher->watched, matcher, subject, 0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* machine code has 32 KiB; frames have more */
        result = match(pattern->watched, matcher->watched, matcher, subject, PCRE2_NO_JIT);
    (void)pcre2_set_callout(matcher->watched, NULL, NULL); /* watch ends with the caller's frame */
    return result;
}

enum pattern_result pattern_find(const struct pattern *pattern, struct pattern_matcher *matcher,
                                 andiron_str subject, pattern_go_on_fn go_on, void *arg)
{
    struct watch watch = { .go_on = go_on, .arg = arg };
    int result = PCRE2_ERROR_MATCHLIMIT;

    if (subject.len > matcher->subject_max)
        return PATTERN_LIMIT;
    if (pattern->quick != NULL && subject.len <= QUICK_SUBJECT) {
        /* Steps are counted for each place at which it may begin. */
        uint32_t steps = (uint32_t)(QUICK_STEPS / (subject.len + 1));
        (void)pcre2_set_match_limit(matcher->quick, steps);
        (void)pcre2_set_depth_limit(matcher->quick, steps);
        result = match(pattern->quick, matcher->quick, matcher, subject, 0);
    }
    if (result < 0 && result != PCRE2_ERROR_NOMATCH)
        result = match_watched(pattern, matcher, subject, &watch);
    if (result >= 0)
        return PATTERN_MATCH;
    return result == PCRE2_ERROR_NOMATCH ? PATTERN_NO_MATCH : PATTERN_LIMIT;
}
