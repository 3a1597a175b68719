#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "host/ini.h"

struct reading {
    struct ini ini;
    struct problems problems;
};

static void begin(struct reading *r)
{
    *r = (struct reading){ .ini = { .arena = arena_new() } };
    problems_init(&r->problems, r->ini.arena);
}

static void end(struct reading *r)
{
    arena_free(r->ini.arena);
}

static void read_text(struct reading *r, const char *file, const char *text)
{
    ini_read(&r->ini, file, andiron_str_of(text), &r->problems);
}

static const char *value(const struct reading *r, const char *title, const char *name)
{
    const struct ini_section *section = ini_find(&r->ini, title);
    const struct ini_value *v = ini_value(section, name);
    return v != NULL ? v->text : NULL;
}

/* Exactly one problem, at that line, with those words. */
static void assert_refused(const char *text, unsigned line, const char *words)
{
    struct reading r;
    begin(&r);
    read_text(&r, "a.conf", text);
    if (r.problems.count != 1)
        problems_print(&r.problems, stderr);
    assert_int_equal(r.problems.count, 1);
    assert_int_equal(r.problems.errors, 1);
    assert_string_equal(r.problems.list[0].file, "a.conf");
    if (r.problems.list[0].line != line || strstr(r.problems.list[0].text, words) == NULL)
        fail_msg("line %u: %s", r.problems.list[0].line, r.problems.list[0].text);
    end(&r);
}

static void values_carry_file_and_line(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "a.conf",
              "# a comment\n\n[http]\nlisten = 127.0.0.1:8080\n  # indented comment\n"
              "base-url=https://x\t\n[plugin  jwks]\nmodule = jwks.so\r\n");
    assert_int_equal(r.problems.count, 0);
    assert_string_equal(value(&r, "http", "listen"), "127.0.0.1:8080");
    assert_string_equal(value(&r, "http", "base-url"), "https://x");
    assert_string_equal(value(&r, "plugin jwks", "module"), "jwks.so");
    assert_int_equal(ini_value(ini_find(&r.ini, "http"), "base-url")->line, 6);
    assert_int_equal(ini_find(&r.ini, "plugin jwks")->line, 7);
    assert_string_equal(ini_find(&r.ini, "plugin jwks")->plugin, "jwks");
    assert_null(ini_find(&r.ini, "http")->plugin);
    end(&r);
}

static void comment_signs_in_values_belong_to_them(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "a.conf", "[a]\nx = one ; two # three\ny = # four\nz = a = b: c\n");
    assert_int_equal(r.problems.count, 0);
    assert_string_equal(value(&r, "a", "x"), "one ; two # three");
    assert_string_equal(value(&r, "a", "y"), "# four");
    assert_string_equal(value(&r, "a", "z"), "a = b: c");
    end(&r);
}

static void values_longer_than_the_librarys_line_are_whole(void **state)
{
    (void)state;
    struct reading r;
    char text[3000] = "[a]\nx = ";
    memset(text + 8, 'v', 2500);
    strcpy(text + 2508, "\ny = 2\n");
    begin(&r);
    read_text(&r, "a.conf", text);
    assert_int_equal(r.problems.count, 0);
    assert_int_equal(strlen(value(&r, "a", "x")), 2500);
    assert_string_equal(value(&r, "a", "y"), "2");
    end(&r);
}

static void last_line_needs_no_newline_and_values_may_be_empty(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "a.conf", "[a]\nx =\ny = 1");
    assert_string_equal(value(&r, "a", "x"), "");
    assert_string_equal(value(&r, "a", "y"), "1");
    end(&r);
}

static void empty_sections_are_known(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "a.conf", "[plugin audit]\n");
    assert_non_null(ini_find(&r.ini, "plugin audit"));
    end(&r);
}

static void later_file_replaces_a_value(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "andiron.conf", "[http]\nmax-body = 1m\nlisten = a\n");
    read_text(&r, "conf.d/b.conf", "[http]\nmax-body = 2m\n");
    assert_int_equal(r.problems.count, 0);
    assert_string_equal(value(&r, "http", "max-body"), "2m");
    assert_string_equal(value(&r, "http", "listen"), "a");
    assert_string_equal(ini_value(ini_find(&r.ini, "http"), "max-body")->file, "conf.d/b.conf");
    end(&r);
}

static void wrong_lines_are_refused_with_their_number(void **state)
{
    (void)state;
    char line[INI_LINE_MAX + 100];
    strcpy(line, "[a]\nx = ");
    memset(line + 8, 'v', INI_LINE_MAX + 20);
    strcpy(line + 8 + INI_LINE_MAX + 20, "\n");
    assert_refused(line, 2, "longer than 4096 bytes");
    assert_refused("[a]\nx = 1\n  2\n", 3, "cannot be continued");
    assert_refused("[a]\nx = 1\n\ty = 2\n", 3, "cannot be continued");
    assert_refused("[a]\nx = 1\n\nx = 2\n", 4, "given on line 2 already");
    assert_refused("[a]\nx = 1\n[b]\n[a]\ny = 1\n", 4, "begun on line 1 already");
    assert_refused("x = 1\n", 1, "before any [section]");
    assert_refused("[a]\nx\n", 2, "expected \"name = value\"");
    assert_refused("[a]\nx: 1\n", 2, "expected \"name = value\"");
    assert_refused("[a]\n; old comment\n", 2, "comments begin with #");
    assert_refused("[a]\nMax-Body = 1\n", 2, "lower-case");
    assert_refused("[a]\nmax_body = 1\n", 2, "lower-case");
    assert_refused("[a]\n= 1\n", 2, "lower-case");
    assert_refused("[a]\na-name-that-is-much-longer-than-the-library-would-keep = 1\n", 2,
                   "at most 48 bytes");
    assert_refused("[A]\nx = 1\n", 1, "a section is written");
    assert_refused("[a b]\nx = 1\n", 1, "a section is written");
    assert_refused("[plugin]\nx = 1\n", 1, "a section is written");
    assert_refused("[plugin a b]\nx = 1\n", 1, "a section is written");
    assert_refused("[a] # comment\nx = 1\n", 1, "a section is written");
    assert_refused("[\nx = 1\n", 1, "a section is written");
    assert_refused("[a]\nx = 1\x01\n", 2, "control character");
    assert_refused("\xEF\xBB\xBF[a]\n", 1, "byte order mark");
}

static void nul_byte_is_refused(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    ini_read(&r.ini, "a.conf", (andiron_str){ "[a]\nx = 1\0 2\n", 13 }, &r.problems);
    assert_int_equal(r.problems.count, 1);
    assert_null(value(&r, "a", "x"));
    end(&r);
}

static void plugin_section_in_two_files_is_refused(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "plugins.d/20-a.conf", "[plugin a]\nmodule = a.so\n");
    read_text(&r, "plugins.d/30-a.conf", "[plugin a]\nmodule = b.so\n");
    assert_int_equal(r.problems.count, 1);
    assert_non_null(strstr(r.problems.list[0].text, "plugins.d/20-a.conf:1 already"));
    assert_string_equal(value(&r, "plugin a", "module"), "a.so");
    end(&r);
}

static void all_problems_are_found_in_one_go(void **state)
{
    (void)state;
    struct reading r;
    begin(&r);
    read_text(&r, "a.conf", "[a]\nX = 1\ny\nz = 1\nz = 2\n");
    assert_int_equal(r.problems.count, 3);
    problems_sort(&r.problems);
    for (unsigned i = 0; i + 1 < r.problems.count; i++)
        assert_true(r.problems.list[i].line < r.problems.list[i + 1].line);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_carry_file_and_line),
        cmocka_unit_test(comment_signs_in_values_belong_to_them),
        cmocka_unit_test(values_longer_than_the_librarys_line_are_whole),
        cmocka_unit_test(last_line_needs_no_newline_and_values_may_be_empty),
        cmocka_unit_test(empty_sections_are_known),
        cmocka_unit_test(later_file_replaces_a_value),
        cmocka_unit_test(wrong_lines_are_refused_with_their_number),
        cmocka_unit_test(nul_byte_is_refused),
        cmocka_unit_test(plugin_section_in_two_files_is_refused),
        cmocka_unit_test(all_problems_are_found_in_one_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
