/*
 * Many programs against one request at a time: which of them surely do not match it.
 *
 * What programs ask of places in the request becomes tests, each there once however many ask the
 * same, so a place is looked up once and a test made once for all of them; the expressions of a
 * place are run over its string together. Made when policies change, read-only after that.
 */
#ifndef MATCHO_SCREEN_H
#define MATCHO_SCREEN_H

#include "common/pattern/many.h"
#include "match.h"

enum test_kind {
    TEST_OBJECT, /* the place has an object */
    TEST_TEXT,   /* a string of this hash */
    TEST_NUMBER, /* this whole number */
    TEST_LENGTH, /* an array of so many elements */
    TEST_REGEX,  /* a string in which this expression may be found */
    TEST_PATH,   /* the same as another place */
    TEST_ANY,    /* one of these tests */
    TEST_OP      /* whatever an op of a program says */
};

/* How a place is found within another one. */
enum place_kind {
    PLACE_MEMBER,
    PLACE_STEP,    /* as andiron_json_path() finds it */
    PLACE_ELEMENTS /* of an array: tests hold there if they do for one of them */
};

struct place {
    enum place_kind kind;
    uint32_t parent;  /* 0: the request */
    andiron_str name; /* ends with NUL; of elements "" */
    bool is_of_body;
    uint32_t regex_first, regex_count; /* its expressions, within those of all places */
    const struct pattern_many *many;   /* NULL: nothing is known of them */
};

struct test {
    enum test_kind kind;
    bool is_of_body; /* so that it waits until it is known to matter */
    uint32_t place;
    uint32_t which; /* TEST_REGEX: within its place; TEST_PATH: a place; TEST_ANY: first of `any` */
    uint32_t count; /* TEST_ANY */
    union {
        uint64_t hash;  /* TEST_TEXT */
        int64_t number; /* TEST_NUMBER, TEST_LENGTH */
    };
    const struct program *program;
    const struct op *op;
};

/* Tests that all hold if a program matches: checks [first, body), and [body, end) of bodies. */
struct wanted {
    uint32_t first, body, end;
};

struct screen {
    struct place *places; /* 0 is the request; parents come first */
    struct test *tests;   /* those of a TEST_ANY come before it */
    uint32_t *any, *checks;
    struct wanted *wanted; /* of each program */
    size_t place_count, test_count, program_count, regex_count, words_max;
};

/* In arena; the programs must live as long. NULL: their tests tell too little. Any thread. */
const struct screen *screen_new(struct andiron_arena *arena, const struct program *const *programs,
                                size_t count);

/*
 * Clears the bits of may_match of programs that do not match the request of `with`, whose program
 * is not used. Where that would take too long, bits stay. Takes what it needs from arena.
 */
void screen_run(const struct screen *screen, const struct match *with, struct andiron_arena *arena,
                uint64_t *may_match);

/*
 * Of the text that a TEST_TEXT asks for. Of one that is longer only the length and the end, so that
 * nobody has megabytes read by sending them.
 */
static inline uint64_t screen_hash(andiron_str text)
{
    enum { HASHED = 256 };
    uint64_t h = UINT64_C(14695981039346656037) ^ text.len;
    for (size_t i = text.len > HASHED ? text.len - HASHED : 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
    return h ^ h >> 31;
}

#endif
