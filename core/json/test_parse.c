/*
 * What the parser accepts and refuses, and what it says then.
 *
 * The table follows RFC 8259 sentence by sentence; a few rows are stricter than it asks: repeated
 * names, lone surrogates, a byte order mark and deep nesting are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "json/parse.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/*
 * Parses a copy that ends exactly at the end of its allocation, so that AddressSanitizer sees
 * any read behind the text.
 */
static int parse_exact(struct andiron_arena *arena, andiron_str text, andiron_json *ret_root,
                       struct andiron_error *err)
{
    char *copy = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(copy);
    memcpy(copy, text.data, text.len);
    andiron_at_release(arena, free, copy);
    return andiron_json_parse(arena, (andiron_str){ copy, text.len }, ret_root, err);
}

static bool accepts(andiron_str text, struct andiron_error *err)
{
    andiron_json root;
    struct andiron_arena *arena = arena_new();
    *err = (struct andiron_error){ .code = ANDIRON_OK };
    int result = parse_exact(arena, text, &root, err);
    arena_free(arena);
    return result == 0;
}

static const andiron_str accepted[] = {
    /* section 2: any value may be outermost, blanks around every token */
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT("0"),
    TEXT("\"\""),
    TEXT("[]"),
    TEXT("{}"),
    TEXT(" null"),
    TEXT("null "),
    TEXT("\t\n\r null \t\n\r"),
    TEXT(" [ ] "),
    TEXT("{ }"),
    TEXT("{\n}"),
    TEXT("[\n\n]"),
    TEXT("[\r\n]"),
    TEXT("                                        [                                        ]"),
    TEXT("[1,2]"),
    TEXT("[ 1 , 2 ]"),
    TEXT("[\t1\r,\n2 ]"),
    TEXT("{\"a\":1}"),
    TEXT(" { \"a\" : 1 , \"b\" : 2 } "),
    TEXT("[[]]"),
    TEXT("[{}]"),
    TEXT("{\"a\":{}}"),
    TEXT("{\"a\":[]}"),
    TEXT("[[],[],{}]"),
    TEXT("[null]"),
    TEXT("[true]"),
    TEXT("[false]"),
    TEXT("[null,1,\"1\",{}]"),
    TEXT("[1,null,null,null,2]"),
    TEXT("[\"\"]"),
    TEXT("[1]\n"),
    TEXT("[\n1\n,\n2\n]"),
    /* section 4: objects */
    TEXT("{\"\":0}"),
    TEXT("{\"a\":null}"),
    TEXT("{\"a\":1,\"A\":2}"),
    TEXT("{\"a\":1,\"aa\":2,\"aaa\":3}"),
    TEXT("{\"ab\":1,\"ba\":2}"),
    TEXT("{\"a\":{\"a\":{\"a\":1}}}"),
    TEXT("{\"a\":1,\"b\":{\"a\":1,\"b\":2}}"),
    TEXT("[{\"a\":1},{\"a\":1}]"),
    TEXT("{\"\\u0061\":1,\"b\":2}"),
    TEXT("{\"foo\\u0000bar\":42}"),
    TEXT("{\"asd\":\"sdf\",\"dfg\":\"fgh\"}"),
    TEXT("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
    TEXT("{\"a\":[{\"b\":[{\"c\":[]}]}]}"),
    TEXT("{\"title\":\"\\u041f\\u043e\\u043b\"}"),
    TEXT("{\n\"a\": \"b\"\n}"),
    TEXT("{\"_birthDate\":{\"extension\":[{\"url\":\"x\"}]}}"),
    TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,"
         "\"k\":11,\"l\":12,\"m\":13,\"n\":14,\"o\":15,\"p\":16}"),
    TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,"
         "\"k\":11,\"l\":12,\"m\":13,\"n\":14,\"o\":15,\"p\":16,\"q\":17}"),
    /* section 6: numbers */
    TEXT("-0"),
    TEXT("1"),
    TEXT("9"),
    TEXT("10"),
    TEXT("-1"),
    TEXT("-123"),
    TEXT("123456789"),
    TEXT("0.0"),
    TEXT("0.1"),
    TEXT("-0.1"),
    TEXT("1.00"),
    TEXT("3.14159"),
    TEXT("1e0"),
    TEXT("1E0"),
    TEXT("1e1"),
    TEXT("1e+1"),
    TEXT("1e-1"),
    TEXT("1E+2"),
    TEXT("1E-2"),
    TEXT("0e1"),
    TEXT("0e+1"),
    TEXT("0E1"),
    TEXT("1.5e3"),
    TEXT("-1.5E-3"),
    TEXT("1e00"),
    TEXT("1e001"),
    TEXT("123e45"),
    TEXT("123.456e78"),
    TEXT("20e1"),
    TEXT("1e400"),
    TEXT("-1e400"),
    TEXT("1e-400"),
    TEXT("123123e100000"),
    TEXT("0.4e00669999999999999999999999999999999999999969"),
    TEXT("12345678901234567890"),
    TEXT("-237462374673276894279832749832423479823246327846"),
    TEXT("0.1234567890123456789012345678901234567890"),
    TEXT("[-0]"),
    TEXT("[0]"),
    TEXT("[ 4]"),
    TEXT("[1.5,2e1,-3]"),
    TEXT("-0.000000000000000000000000000000000000000000000000000000001"),
    /* section 7: strings */
    TEXT("\"a\""),
    TEXT("\" \""),
    TEXT("\"asd \""),
    TEXT("\"0123456789abcde\""),
    TEXT("\"0123456789abcdef\""),
    TEXT("\"0123456789abcdefg\""),
    TEXT("\"0123456789abcdef0123456789abcdef0123456789abcdef\""),
    TEXT("\"\\\"\""),
    TEXT("\"\\\\\""),
    TEXT("\"\\/\""),
    TEXT("\"\\b\\f\\n\\r\\t\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\\\a\""),
    TEXT("\"\\\\n\""),
    TEXT("\"\\u0000\""),
    TEXT("\"\\u0012\""),
    TEXT("\"\\u0020\""),
    TEXT("\"\\u0022\""),
    TEXT("\"\\u005C\""),
    TEXT("\"\\u00e9\""),
    TEXT("\"\\u20AC\""),
    TEXT("\"\\uABCD\\uabcd\""),
    TEXT("\"\\uD83d\\uDe00\""),
    TEXT("\"\\uD800\\uDC00\""),
    TEXT("\"\\uDBFF\\uDFFF\""),
    TEXT("\"\\uFFFF\""),
    TEXT("\"\\uFFFE\""),
    TEXT("\"\\uFDD0\""),
    TEXT("\"\\uD7FF\\uE000\""),
    TEXT("\"\\u2028\\u2029\""),
    TEXT("\"a/*b*/c/*d//e\""),
    TEXT("\"\x7F\""),
    TEXT("\"\xC2\x80\""),
    TEXT("\"\xC3\xA9\""),
    TEXT("\"\xDF\xBF\""),
    TEXT("\"\xE0\xA0\x80\""),
    TEXT("\"\xE2\x82\xAC\""),
    TEXT("\"\xED\x9F\xBF\""),
    TEXT("\"\xEE\x80\x80\""),
    TEXT("\"\xEF\xBF\xBD\""),
    TEXT("\"\xEF\xBF\xBF\""),
    TEXT("\"\xEF\xBB\xBF\""),
    TEXT("\"\xF0\x90\x80\x80\""),
    TEXT("\"\xF0\x9F\x98\x80\""),
    TEXT("\"\xF4\x8F\xBF\xBF\""),
    TEXT("\"\xE2\x80\xA8\""),
    TEXT("\"\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\""),
    TEXT("\"\xC3\xA9 plain text behind it \xC3\xA9\""),
    TEXT("{\"\xC3\xA9\":1}"),
    TEXT("\"\xE6\x97\xA5\\n\xE6\x9C\xAC\\u8a9e\""),
};

static const struct {
    andiron_str text;
    const char *message; /* a part of it */
} refused[] = {
    /* nothing, too little, too much */
    { TEXT(""), "the text ends where a value" },
    { TEXT(" "), "the text ends where a value" },
    { TEXT("\n\n"), "the text ends where a value" },
    { TEXT("1 2"), "the end of the text is expected" },
    { TEXT("{}{}"), "the end of the text is expected" },
    { TEXT("[]]"), "the end of the text is expected" },
    { TEXT("{}}"), "the end of the text is expected" },
    { TEXT("[],"), "the end of the text is expected" },
    { TEXT("\"\"x"), "the end of the text is expected" },
    { TEXT("nullx"), "the end of the text is expected" },
    { TEXT("[1]x"), "the end of the text is expected" },
    { TEXT("[]\0"), "not byte 0x00" },
    { TEXT("\0"), "not byte 0x00" },
    { TEXT("{\"a\":1}#"), "the end of the text is expected" },
    { TEXT("{\"a\":1}/**/"), "the end of the text is expected" },
    { TEXT("\xEF\xBB\xBF"), "byte order mark" },
    { TEXT("\xEF\xBB\xBF{}"), "byte order mark" },
    { TEXT("\xEF\xBB{}"), "not byte 0xef" },
    { TEXT("\xFF\xFE[\0]\0"), "not byte 0xff" },
    { TEXT("\0[\0]"), "not byte 0x00" },
    { TEXT("\xC2\x85[]"), "not byte 0xc2" },
    { TEXT("\xC2\xA0[]"), "not byte 0xc2" },
    { TEXT("\xE2\x81\xA0[]"), "not byte 0xe2" },
    { TEXT("\x0C[]"), "not byte 0x0c" },
    { TEXT("[\x0B]"), "not byte 0x0b" },
    { TEXT("<html>"), "not '<'" },
    { TEXT("/**/1"), "not '/'" },
    { TEXT("// x\n1"), "not '/'" },
    { TEXT("*"), "a value is expected, not '*'" },
    { TEXT("a"), "a value is expected, not 'a'" },
    { TEXT("'a'"), "a value is expected, not '''" },
    { TEXT("`a`"), "a value is expected" },
    { TEXT("\x80"), "not byte 0x80" },
    { TEXT("\xC3\xA5"), "not byte 0xc3" },
    /* words */
    { TEXT("nul"), "small letters" },
    { TEXT("tru"), "small letters" },
    { TEXT("fals"), "small letters" },
    { TEXT("n"), "small letters" },
    { TEXT("nan"), "small letters" },
    { TEXT("tRUE"), "small letters" },
    { TEXT("[nul]"), "small letters" },
    { TEXT("[fals]"), "small letters" },
    { TEXT("[True]"), "not 'T'" },
    { TEXT("NULL"), "not 'N'" },
    { TEXT("NaN"), "not 'N'" },
    { TEXT("Infinity"), "not 'I'" },
    { TEXT("undefined"), "not 'u'" },
    { TEXT("[TRUE]"), "not 'T'" },
    { TEXT("truefalse"), "the end of the text" },
    /* arrays */
    { TEXT("["), "the text ends where a value" },
    { TEXT("[ "), "the text ends where a value" },
    { TEXT("]"), "not ']'" },
    { TEXT("[1"), "the text ends where ',' or ']'" },
    { TEXT("[1 "), "the text ends where ',' or ']'" },
    { TEXT("[1,"), "the text ends where a value" },
    { TEXT("[1,]"), "a value is expected, not ']'" },
    { TEXT("[,]"), "a value is expected, not ','" },
    { TEXT("[,1]"), "a value is expected, not ','" },
    { TEXT("[1,,2]"), "a value is expected, not ','" },
    { TEXT("[1,,]"), "a value is expected, not ','" },
    { TEXT("[1 2]"), "',' or ']' after an element" },
    { TEXT("[1 true]"), "',' or ']' after an element" },
    { TEXT("[1:2]"), "',' or ']' after an element" },
    { TEXT("[\"a\":1]"), "',' or ']' after an element" },
    { TEXT("[1}"), "',' or ']' after an element" },
    { TEXT("[3[4]]"), "',' or ']' after an element" },
    { TEXT("[\"a\",\n4\n,1,"), "the text ends where a value" },
    { TEXT("[{}"), "the text ends where ',' or ']'" },
    { TEXT("[*]"), "a value is expected, not '*'" },
    { TEXT("[a"), "a value is expected, not 'a'" },
    { TEXT("[\"\"],"), "the end of the text" },
    { TEXT("[\"x\"]]"), "the end of the text" },
    { TEXT("[][]"), "the end of the text" },
    { TEXT("[\xFF]"), "not byte 0xff" },
    { TEXT("[\xE2\x81\xA0]"), "not byte 0xe2" },
    { TEXT("[+]"), "a value is expected, not '+'" },
    { TEXT("[\\n]"), "a value is expected, not '\\'" },
    /* objects */
    { TEXT("{"), "the text ends where a member's name" },
    { TEXT("{ "), "the text ends where a member's name" },
    { TEXT("}"), "not '}'" },
    { TEXT("{]"), "not ']'" },
    { TEXT("{,}"), "a member's name in double quotes, or '}', is expected, not ','" },
    { TEXT("{a:1}"), "a member's name in double quotes, or '}', is expected, not 'a'" },
    { TEXT("{'a':1}"), "a member's name in double quotes" },
    { TEXT("{1:1}"), "a member's name in double quotes" },
    { TEXT("{null:1}"), "a member's name in double quotes" },
    { TEXT("{[1]:1}"), "a member's name in double quotes" },
    { TEXT("{{}:1}"), "a member's name in double quotes" },
    { TEXT("{\"a\""), "the text ends where ':'" },
    { TEXT("{\"a\"}"), "':' after a member's name is expected, not '}'" },
    { TEXT("{\"a\" 1}"), "':' after a member's name is expected, not '1'" },
    { TEXT("{\"a\",1}"), "':' after a member's name is expected, not ','" },
    { TEXT("{\"a\"=1}"), "':' after a member's name is expected, not '='" },
    { TEXT("{\"a\"::1}"), "a value is expected, not ':'" },
    { TEXT("{\"a\":"), "the text ends where a value" },
    { TEXT("{\"a\":}"), "a value is expected, not '}'" },
    { TEXT("{\"a\":,}"), "a value is expected, not ','" },
    { TEXT("{\"a\":1"), "the text ends where ',' or '}'" },
    { TEXT("{\"a\":1]"), "',' or '}' after a member is expected, not ']'" },
    { TEXT("{\"a\":1,}"), "a member's name in double quotes is expected, not '}'" },
    { TEXT("{\"a\":1,,\"b\":2}"), "a member's name in double quotes is expected, not ','" },
    { TEXT("{\"a\":1 \"b\":2}"), "',' or '}' after a member is expected, not '\"'" },
    { TEXT("{\"a\":\"b\" c"), "',' or '}' after a member is expected, not 'c'" },
    { TEXT("{\"a\":1,b:2}"), "a member's name in double quotes is expected, not 'b'" },
    { TEXT("{\"a\":/*x*/1}"), "a value is expected, not '/'" },
    { TEXT("{\"a\":1;}"), "',' or '}'" },
    { TEXT("{\"a"), "the text ends inside a string" },
    { TEXT("{\"a\":a}"), "a value is expected, not 'a'" },
    { TEXT("{key: 'value'}"), "a member's name" },
    { TEXT("{\"a\":1}}"), "the end of the text" },
    { TEXT("{\"a\":\"b\"}#{}"), "the end of the text" },
    { TEXT("{\"\xB9\":0}"), "valid UTF-8" },
    /* repeated names, also when they are spelled differently */
    { TEXT("{\"a\":1,\"a\":1}"), "may come only once in a" },
    { TEXT("{\"a\":1,\"b\":2,\"a\":3}"), "may come only once" },
    { TEXT("{\"\":1,\"\":2}"), "may come only once" },
    { TEXT("{\"a\":1,\"a\":2,\"b\":3}"), "may come only once in a" },
    { TEXT("{\"a\":1,\"\\u0061\":2}"), "may come only once" },
    { TEXT("{\"\\u0061\":1,\"a\":2}"), "may come only once" },
    { TEXT("{\"\\u0061\":1,\"\\u0061\":2}"), "may come only once" },
    { TEXT("{\"/\":1,\"\\/\":2}"), "may come only once" },
    { TEXT("{\"\xC3\xA9\":1,\"\\u00e9\":2}"), "may come only once" },
    { TEXT("{\"a\":{\"b\":1,\"b\":2}}"), "may come only once in a.b" },
    { TEXT("[{\"c\":[1,{\"x\":0,\"b\":{},\"b\":[]}]}]"), "may come only once in [0].c[1].b" },
    { TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,"
           "\"k\":11,\"l\":12,\"m\":13,\"n\":14,\"o\":15,\"p\":16,\"q\":17,\"\\u0061\":18}"),
      "may come only once in a" },
    { TEXT("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,"
           "\"k\":11,\"l\":12,\"m\":13,\"n\":14,\"o\":15,\"o\":16}"),
      "may come only once in o" },
    /* numbers */
    { TEXT("-"), "a number must be like" },
    { TEXT("[-]"), "a number must be like" },
    { TEXT("+1"), "not '+'" },
    { TEXT("01"), "needless zero" },
    { TEXT("-01"), "needless zero" },
    { TEXT("00"), "needless zero" },
    { TEXT("-012"), "needless zero" },
    { TEXT("[012]"), "needless zero" },
    { TEXT(".1"), "not '.'" },
    { TEXT("-.1"), "a number must be like" },
    { TEXT("[.123]"), "not '.'" },
    { TEXT("1."), "a number must be like" },
    { TEXT("0."), "a number must be like" },
    { TEXT("1.e1"), "a number must be like" },
    { TEXT("[2.e3]"), "a number must be like" },
    { TEXT("[0.e1]"), "a number must be like" },
    { TEXT("1e"), "a number must be like" },
    { TEXT("1E"), "a number must be like" },
    { TEXT("1e+"), "a number must be like" },
    { TEXT("1e-"), "a number must be like" },
    { TEXT("0.3e"), "a number must be like" },
    { TEXT("0.3e+"), "a number must be like" },
    { TEXT("[0e+-1]"), "a number must be like" },
    { TEXT("[9.e+]"), "a number must be like" },
    { TEXT("--1"), "a number must be like" },
    { TEXT("-+1"), "a number must be like" },
    { TEXT("- 1"), "a number must be like" },
    { TEXT("-a"), "a number must be like" },
    { TEXT("-Infinity"), "a number must be like" },
    { TEXT("[-NaN]"), "a number must be like" },
    { TEXT("1.2.3"), "the end of the text is expected, not '.'" },
    { TEXT("1e1.1"), "the end of the text is expected" },
    { TEXT("[1eE2]"), "a number must be like" },
    { TEXT("[1e1e1]"), "',' or ']'" },
    { TEXT("[1 000.0]"), "',' or ']'" },
    { TEXT("[1+2]"), "',' or ']'" },
    { TEXT("[0x1]"), "',' or ']'" },
    { TEXT("[0x42]"), "',' or ']'" },
    { TEXT("[1_000]"), "',' or ']'" },
    { TEXT("[1a]"), "',' or ']'" },
    { TEXT("[-1x]"), "',' or ']'" },
    { TEXT("[1.2a-3]"), "',' or ']'" },
    { TEXT("[1.8011670033376514H-308]"), "',' or ']'" },
    { TEXT("\xEF\xBC\x91"), "not byte 0xef" },
    { TEXT("[1\xE5]"), "not byte 0xe5" },
    /* strings */
    { TEXT("\""), "the text ends inside a string" },
    { TEXT("\"a"), "the text ends inside a string" },
    { TEXT("\"0123456789abcdef"), "the text ends inside a string" },
    { TEXT("\"\\"), "the text ends inside a string" },
    { TEXT("\"\\\""), "the text ends inside a string" },
    { TEXT("\"\\\\\\\""), "the text ends inside a string" },
    { TEXT("\"\n\""), "must be written as \\u000a" },
    { TEXT("\"\t\""), "must be written as \\u0009" },
    { TEXT("\"a\0a\""), "must be written as \\u0000" },
    { TEXT("\"\x1F\""), "must be written as \\u001f" },
    { TEXT("\"a long and plain beginning \x01\""), "must be written as \\u0001" },
    { TEXT("{\"a\nb\":1}"), "must be written as \\u000a" },
    { TEXT("\"\\a\""), "an escape must be one of" },
    { TEXT("\"\\v\""), "an escape must be one of" },
    { TEXT("\"\\0\""), "an escape must be one of" },
    { TEXT("\"\\'\""), "an escape must be one of" },
    { TEXT("\"\\x00\""), "an escape must be one of" },
    { TEXT("\"\\U0041\""), "an escape must be one of" },
    { TEXT("\"\\ \""), "an escape must be one of" },
    { TEXT("\"\\\n\""), "an escape must be one of" },
    { TEXT("\"\\\t\""), "an escape must be one of" },
    { TEXT("\"\\\0\""), "an escape must be one of" },
    { TEXT("\"\\\xC3\xA9\""), "an escape must be one of" },
    { TEXT("\"\\u\""), "four hex digits" },
    { TEXT("\"\\u1\""), "four hex digits" },
    { TEXT("\"\\u12\""), "four hex digits" },
    { TEXT("\"\\u123\""), "four hex digits" },
    { TEXT("\"\\u00A"), "four hex digits" },
    { TEXT("\"\\u00G0\""), "four hex digits" },
    { TEXT("\"\\u+123\""), "four hex digits" },
    { TEXT("\"\\u 123\""), "four hex digits" },
    { TEXT("\"\\u-123\""), "four hex digits" },
    { TEXT("\"\\u{41}\""), "four hex digits" },
    { TEXT("\"\\u00\xC3\xA9\""), "four hex digits" },
    { TEXT("\"\\uD800\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800"), "a high surrogate escape must be followed" },
    { TEXT("\"\\uDBFFx\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\n\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\u\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\u0041\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\uD800\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\uDC0\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\\\DC00\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uD800\\xDC00\""), "a high surrogate escape must be followed" },
    { TEXT("\"\\uDC00\""), "a low surrogate escape must follow" },
    { TEXT("\"\\uDFFF\""), "a low surrogate escape must follow" },
    { TEXT("\"\\uDC00\\uD800\""), "a low surrogate escape must follow" },
    { TEXT("{\"\\uDFAA\":0}"), "a low surrogate escape must follow" },
    { TEXT("[\"\\\"]"), "the text ends inside a string" },
    { TEXT("[\"a\", \"b]"), "the text ends inside a string" },
    /* RFC 3629 */
    { TEXT("\"\x80\""), "valid UTF-8" },
    { TEXT("\"\xBF\""), "valid UTF-8" },
    { TEXT("\"\xC0\x80\""), "valid UTF-8" },
    { TEXT("\"\xC0\xAF\""), "valid UTF-8" },
    { TEXT("\"\xC1\xBF\""), "valid UTF-8" },
    { TEXT("\"\xC2\""), "valid UTF-8" },
    { TEXT("\"\xC2\x7F\""), "valid UTF-8" },
    { TEXT("\"\xC2\xC0\""), "valid UTF-8" },
    { TEXT("\"\xC3\xA9\xA9\""), "valid UTF-8" },
    { TEXT("\"\xE0\x80\x80\""), "valid UTF-8" },
    { TEXT("\"\xE0\x9F\xBF\""), "valid UTF-8" },
    { TEXT("\"\xE2\x82\""), "valid UTF-8" },
    { TEXT("\"\xE2\x82"), "valid UTF-8" },
    { TEXT("\"\xE2\""), "valid UTF-8" },
    { TEXT("\"\xE2\x28\xA1\""), "valid UTF-8" },
    { TEXT("\"\xE2\x82\x28\""), "valid UTF-8" },
    { TEXT("\"\xED\xA0\x80\""), "valid UTF-8" },
    { TEXT("\"\xED\xBF\xBF\""), "valid UTF-8" },
    { TEXT("\"\xED\xA0\x81\xED\xB0\x80\""), "valid UTF-8" },
    { TEXT("\"\xF0\x80\x80\x80\""), "valid UTF-8" },
    { TEXT("\"\xF0\x8F\xBF\xBF\""), "valid UTF-8" },
    { TEXT("\"\xF0\x9F\x98\""), "valid UTF-8" },
    { TEXT("\"\xF0\x9F\x98\xC0\""), "valid UTF-8" },
    { TEXT("\"\xF4\x90\x80\x80\""), "valid UTF-8" },
    { TEXT("\"\xF5\x80\x80\x80\""), "valid UTF-8" },
    { TEXT("\"\xF8\x88\x80\x80\x80\""), "valid UTF-8" },
    { TEXT("\"\xFC\x83\xBF\xBF\xBF\xBF\""), "valid UTF-8" },
    { TEXT("\"\xFE\""), "valid UTF-8" },
    { TEXT("\"\xFF\""), "valid UTF-8" },
    { TEXT("\"a long and plain beginning \xE9 in Latin-1\""), "valid UTF-8" },
    { TEXT("\"\\u00e9\xE9\""), "valid UTF-8" },
};

static void texts_of_the_grammar_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        struct andiron_error err;
        if (!accepts(accepted[i], &err))
            fail_msg("refused: %.*s: %s: %s", (int)accepted[i].len, accepted[i].data, err.where,
                     err.message);
    }
}

static void other_texts_are_refused_with_what_was_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct andiron_error err;
        if (accepts(refused[i].text, &err))
            fail_msg("accepted: %.*s", (int)refused[i].text.len, refused[i].text.data);
        assert_int_equal(err.code, ANDIRON_E_STRUCTURE);
        if (strstr(err.message, refused[i].message) == NULL)
            fail_msg("%.*s: message is: %s", (int)refused[i].text.len, refused[i].text.data,
                     err.message);
    }
}

/* Every accepted text of the table is a container or a word: none stays valid when it is cut. */
static void cut_texts_are_refused_at_their_end(void **state)
{
    (void)state;
    static const andiron_str text = TEXT(
        "{\"resourceType\":\"Patient\",\"active\":true,\"deceasedBoolean\":false,\"a\":null,"
        "\"name\":[{\"family\":\"M\xC3\xBCller\",\"given\":[\"\\u00c4nne\",\"\\ud83d\\ude00\"]"
        "}],\"multipleBirthInteger\":-12.50e+3,\"text\":{\"div\":\"<div>\\n\\\"x\\\"</div>\"}}");
    struct andiron_error err;

    assert_true(accepts(text, &err));
    for (size_t len = 0; len < text.len; len++) {
        assert_false(accepts((andiron_str){ text.data, len }, &err));
        assert_int_equal(err.code, ANDIRON_E_STRUCTURE);
        assert_true(strstr(err.where, "line 1, column ") == err.where);
    }
}

/* One byte changed at a time: the parser may take it or not, but must stay inside the text. */
static void spoilt_texts_are_read_safely(void **state)
{
    (void)state;
    static const andiron_str text = TEXT("{\"a\":[1.5e-3,\"\xE6\x97\xA5\\ud83d\\ude00\",true,null],"
                                         "\"b\":{\"c\":\"0123456789abcdef\"}}");
    static const char bytes[] = "\"\\{}[],: 0e-.u\x00\x1F\x80\xC3\xED\xF4\xFF";
    char copy[128];
    struct andiron_error err;

    for (size_t i = 0; i < text.len; i++) {
        for (size_t b = 0; b < sizeof(bytes) - 1; b++) {
            memcpy(copy, text.data, text.len);
            copy[i] = bytes[b];
            (void)accepts((andiron_str){ copy, text.len }, &err);
        }
    }
}

static void failures_say_where(void **state)
{
    (void)state;
    struct andiron_error err;

    assert_false(accepts(ANDIRON_STR("?"), &err));
    assert_string_equal(err.where, "line 1, column 1 (byte 0)");
    assert_false(accepts(ANDIRON_STR("{\n  \"a\": 1,\n  \"b\": x\n}"), &err));
    assert_string_equal(err.where, "line 3, column 8 (byte 19)");
    assert_string_equal(err.message, "a value is expected, not 'x' in b");
    /* Columns count characters: two of these take two bytes each. */
    assert_false(accepts(ANDIRON_STR("[\"\xC3\xA9\xC3\xA9\" x]"), &err));
    assert_string_equal(err.where, "line 1, column 7 (byte 8)");
    assert_string_equal(err.message, "',' or ']' after an element is expected, not 'x' in [0]");
    assert_false(accepts(ANDIRON_STR("{\"name\":[{\"given\":[\"a\",\"b\",tru]}]}"), &err));
    assert_non_null(strstr(err.message, " in name[0].given[2]"));
    assert_false(accepts(ANDIRON_STR("{\"a\":1,b:2}"), &err));
    assert_string_equal(err.message, "a member's name in double quotes is expected, not 'b'");
    /* A repeated name is shown at its second place. */
    assert_false(accepts(ANDIRON_STR("{\"a\":1,\n\"a\":2}"), &err));
    assert_string_equal(err.where, "line 2, column 1 (byte 8)");
}

static void names_from_outside_cannot_fill_the_message(void **state)
{
    (void)state;
    struct andiron_error err;
    char deep[4096];
    size_t used = 0;

    assert_false(accepts(ANDIRON_STR("{\"a b\\n<script>\":x}"), &err));
    assert_string_equal(err.message, "a value is expected, not 'x' in *");
    assert_false(accepts(ANDIRON_STR("{\"\":x}"), &err));
    assert_string_equal(err.message, "a value is expected, not 'x' in *");
    assert_false(
        accepts(ANDIRON_STR("{\"Az09_-\":{\"a23456789b123456789c123456789d123456789\":x}}"), &err));
    assert_non_null(strstr(err.message, " in Az09_-.a23456789b123456789c123456789d123456789"));
    assert_false(accepts(ANDIRON_STR("{\"a23456789b123456789c123456789d1234567890z\":x}"), &err));
    assert_non_null(strstr(err.message, " in *"));
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(deep + used, sizeof(deep) - used, "{\"member%d\":", i);
    assert_false(accepts((andiron_str){ deep, used }, &err));
    assert_non_null(strstr(err.message, " in member0.member1.member2."));
    assert_string_equal(err.message + strlen(err.message) - 3, "...");
    assert_true(strlen(err.message) < sizeof(err.message) - 1);
}

static void nesting_is_limited(void **state)
{
    (void)state;
    char text[400];
    struct andiron_error err;

    for (size_t depth = 1; depth <= 100; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        bool ok = accepts((andiron_str){ text, 2 * depth }, &err);
        assert_int_equal(ok, depth <= 64);
    }
    assert_string_equal(err.where, "line 1, column 65 (byte 64)");
    assert_non_null(strstr(err.message, "nested deeper than 64"));

    struct andiron_arena *arena = arena_new();
    struct json_limits limits = { .max_depth = 100, .max_string = 100 };
    andiron_json root;
    assert_int_equal(json_parse(arena, (andiron_str){ text, 200 }, &limits, &root, &err), 0);
    assert_int_equal(andiron_json_type(root), ANDIRON_JSON_ARRAY);
    limits.max_depth = 2;
    assert_int_equal(json_parse(arena, ANDIRON_STR("[{}]"), &limits, &root, &err), 0);
    assert_int_equal(json_parse(arena, ANDIRON_STR("[{\"a\":[]}]"), &limits, &root, &err), -1);
    arena_free(arena);
}

static void strings_and_texts_are_limited(void **state)
{
    (void)state;
    struct andiron_arena *arena = arena_new();
    struct json_limits limits = { .max_depth = 8, .max_string = 4 };
    andiron_json root;
    struct andiron_error err;

    assert_int_equal(json_parse(arena, ANDIRON_STR("\"abcd\""), &limits, &root, &err), 0);
    assert_int_equal(json_parse(arena, ANDIRON_STR("\"abcde\""), &limits, &root, &err), -1);
    assert_non_null(strstr(err.message, "longer than 4 bytes"));
    assert_int_equal(json_parse(arena, ANDIRON_STR("\"\\n\\n\""), &limits, &root, &err), 0);
    assert_int_equal(json_parse(arena, ANDIRON_STR("\"\\n\\n\\n\""), &limits, &root, &err), -1);
    assert_int_equal(json_parse(arena, ANDIRON_STR("{\"abcde\":1}"), &limits, &root, &err), -1);
    /* Refused by its size alone: nothing is read. */
    andiron_str large = { "[]", (size_t)UINT32_MAX + 1 };
    assert_int_equal(andiron_json_parse(arena, large, &root, &err), -1);
    assert_int_equal(err.code, ANDIRON_E_TOO_LARGE);
    assert_int_equal(andiron_json_parse(arena, (andiron_str){ NULL, 0 }, &root, &err), -1);
    arena_free(arena);
}

static void limits_of_the_process_can_be_set(void **state)
{
    (void)state;
    struct json_limits usual = { .max_depth = 64, .max_string = 4 << 20 }, own = { 1, 3, 0 };
    struct andiron_error err;

    json_set_limits(&own);
    bool flat = accepts(ANDIRON_STR("[\"abc\"]"), &err),
         nested = accepts(ANDIRON_STR("[[]]"), &err),
         longer = accepts(ANDIRON_STR("[\"abcd\"]"), &err);
    json_set_limits(&usual);
    assert_true(flat && !nested && !longer);
    assert_true(accepts(ANDIRON_STR("[[\"abcd\"]]"), &err));
}

static void a_failure_leaves_the_result_alone(void **state)
{
    (void)state;
    struct andiron_arena *arena = arena_new();
    andiron_json root = { "untouched", 77 };
    assert_int_equal(andiron_json_parse(arena, ANDIRON_STR("[1"), &root, NULL), -1);
    assert_int_equal(root.at, 77);
    arena_free(arena);
}

/* Two bytes of text are sixteen of memory: a large body of such must end somewhere. */
static void values_are_limited(void **state)
{
    (void)state;
    struct andiron_arena *arena = arena_new();
    struct json_limits limits = { .max_depth = 8, .max_string = 100, .max_values = 1000 };
    char text[4096] = "[";
    andiron_json root;
    struct andiron_error err;

    for (size_t i = 0; i < 2000; i += 2)
        memcpy(text + 1 + i, "1,", 2);
    text[2 * 999] = ']';
    assert_int_equal(json_parse(arena, (andiron_str){ text, 1999 }, &limits, &root, &err), 0);
    assert_int_equal(andiron_json_count(root), 999);
    memcpy(text + 2 * 999, ",1,1]", 5);
    assert_int_equal(json_parse(arena, (andiron_str){ text, 2003 }, &limits, &root, &err), -1);
    assert_int_equal(err.code, ANDIRON_E_TOO_LARGE);
    assert_non_null(strstr(err.message, "more than 1000 values"));

    const size_t most = 17 << 20;
    char *large = malloc(most);
    assert_non_null(large);
    memset(large, '[', 1);
    for (size_t i = 1; i + 1 < most; i += 2)
        memcpy(large + i, "1,", 2);
    assert_int_equal(andiron_json_parse(arena, (andiron_str){ large, most }, &root, &err), -1);
    assert_int_equal(err.code, ANDIRON_E_TOO_LARGE);
    free(large);
    arena_free(arena);
}

/* "m0":0,"m1":1, ... as the members of one object; `repeated` replaces the last name. */
static andiron_str many_members(struct andiron_arena *arena, size_t count, const char *repeated)
{
    char *text = arena_take(arena, count * 32 + 32);
    size_t used = 0;
    text[used++] = '{';
    for (size_t i = 0; i < count; i++)
        used += (size_t)sprintf(text + used, "%s\"m%zu\":%zu", i != 0 ? "," : "", i, i);
    if (repeated != NULL)
        used += (size_t)sprintf(text + used, ",\"%s\":0", repeated);
    text[used++] = '}';
    return (andiron_str){ text, used };
}

static void repeated_names_are_found_among_any_number(void **state)
{
    (void)state;
    for (size_t count = 1; count < 70; count++) {
        struct andiron_arena *arena = arena_new();
        struct andiron_error err;
        char name[16];
        assert_true(accepts(many_members(arena, count, NULL), &err));
        for (size_t i = 0; i < count; i += 7) {
            (void)snprintf(name, sizeof(name), "m%zu", i);
            assert_false(accepts(many_members(arena, count, name), &err));
            (void)snprintf(name, sizeof(name), "\\u006d%zu", i);
            assert_false(accepts(many_members(arena, count, name), &err));
        }
        arena_free(arena);
    }
}

/* A quadratic comparison would need hours here. */
static void hundreds_of_thousands_of_members_take_no_time(void **state)
{
    (void)state;
    struct andiron_arena *arena = arena_new();
    andiron_json root;
    struct andiron_error err;
    const size_t count = 300000;
    andiron_str text = many_members(arena, count, NULL);

    assert_int_equal(andiron_json_parse(arena, text, &root, &err), 0);
    assert_int_equal(andiron_json_count(root), count);
    for (size_t i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%zu", i);
        assert_int_equal(andiron_json_int(andiron_json_get(root, name), -1), (int64_t)i);
    }
    assert_int_equal(andiron_json_parse(arena, many_members(arena, count, "m77"), &root, &err), -1);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_the_grammar_are_accepted),
        cmocka_unit_test(other_texts_are_refused_with_what_was_expected),
        cmocka_unit_test(cut_texts_are_refused_at_their_end),
        cmocka_unit_test(spoilt_texts_are_read_safely),
        cmocka_unit_test(failures_say_where),
        cmocka_unit_test(names_from_outside_cannot_fill_the_message),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(strings_and_texts_are_limited),
        cmocka_unit_test(limits_of_the_process_can_be_set),
        cmocka_unit_test(a_failure_leaves_the_result_alone),
        cmocka_unit_test(values_are_limited),
        cmocka_unit_test(repeated_names_are_found_among_any_number),
        cmocka_unit_test(hundreds_of_thousands_of_members_take_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
