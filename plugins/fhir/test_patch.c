/*
 * Patches of the three kinds: what they do, and what is malformed (400) or does not fit (422).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "patch.h"
#include "text.h"

static struct andiron_arena *arena;
static const struct resource_type patient = { .name = "Patient", .str = { "Patient", 7 } };
static const struct resource_type observation = { .name = "Observation",
                                                  .str = { "Observation", 11 } };

static int new_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* Texts of the tests have ' for ". */
static andiron_str quoted(const char *text)
{
    char *copy = andiron_copy(arena, andiron_str_of(text));
    for (char *c = copy; *c != '\0'; c++)
        if (*c == '\'')
            *c = '"';
    return andiron_str_of(copy);
}

static andiron_json parse(andiron_str text)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    if (andiron_json_parse(arena, text, &root, &err) != 0)
        fail_msg("%.*s: %s", (int)text.len, text.data, err.message);
    return root;
}

/* The result, or "400: ..." */
static const char *patched_as(const struct resource_type *type, enum patch_kind kind,
                              const char *target, andiron_str patch)
{
    struct patch p = { .kind = kind, .doc = parse(patch), .max_operations = 10 };
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_str text = { NULL, 0 };

    if (patch_apply(arena, type, &p, parse(quoted(target)), &text, &err) != 0)
        return andiron_printf(arena, "%d: %s", andiron_code_http(err.code), err.message);
    char *copy = andiron_copy(arena, text);
    for (char *c = copy; *c != '\0'; c++)
        if (*c == '"')
            *c = '\'';
    return copy;
}

static void assert_patched(enum patch_kind kind, const char *target, const char *patch,
                           const char *expected)
{
    const char *got = patched_as(&patient, kind, target, quoted(patch));
    bool is_error = expected[0] >= '0' && expected[0] <= '9';
    if (is_error ? strncmp(got, expected, strlen(expected)) != 0 : strcmp(got, expected) != 0)
        fail_msg("%s on %s\ngives %s\nnot   %s", patch, target, got, expected);
}

struct row {
    const char *target, *patch, *expected;
};

/* RFC 6902, appendix A, and the errors of sections 4 and 5; RFC 6901, section 5. */
static void json_patch_does_what_rfc_6902_says(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux'}]",
          "{'foo':'bar','baz':'qux'}" },
        { "{'foo':['bar','baz']}", "[{'op':'add','path':'/foo/1','value':'qux'}]",
          "{'foo':['bar','qux','baz']}" },
        { "{'foo':['bar']}", "[{'op':'add','path':'/foo/-','value':['abc','def']}]",
          "{'foo':['bar',['abc','def']]}" },
        { "{'foo':['bar']}", "[{'op':'add','path':'/foo/1','value':1}]", "{'foo':['bar',1]}" },
        { "{'foo':['bar']}", "[{'op':'add','path':'/foo/2','value':1}]", "422" },
        { "{'foo':'bar'}", "[{'op':'add','path':'/foo','value':1}]", "{'foo':1}" },
        { "{'foo':'bar'}", "[{'op':'add','path':'/baz/bat','value':'qux'}]", "422" },
        { "{'foo':1}", "[{'op':'add','path':'','value':{'a':1}}]", "{'a':1}" },
        { "{'baz':'qux','foo':'bar'}", "[{'op':'remove','path':'/baz'}]", "{'foo':'bar'}" },
        { "{'foo':['bar','qux','baz']}", "[{'op':'remove','path':'/foo/1'}]",
          "{'foo':['bar','baz']}" },
        { "{'foo':1}", "[{'op':'remove','path':'/bar'}]", "422" },
        { "{'foo':1}", "[{'op':'remove','path':''}]", "422" },
        { "{'foo':[1]}", "[{'op':'remove','path':'/foo/-'}]", "422" },
        { "{'baz':'qux','foo':'bar'}", "[{'op':'replace','path':'/baz','value':'boo'}]",
          "{'baz':'boo','foo':'bar'}" },
        { "{'foo':1}", "[{'op':'replace','path':'/bar','value':1}]", "422" },
        { "{'foo':[1,2]}", "[{'op':'replace','path':'/foo/1','value':3}]", "{'foo':[1,3]}" },
        { "{'foo':{'bar':'baz','waldo':'fred'},'qux':{'corge':'grault'}}",
          "[{'op':'move','from':'/foo/waldo','path':'/qux/thud'}]",
          "{'foo':{'bar':'baz'},'qux':{'corge':'grault','thud':'fred'}}" },
        { "{'foo':['all','grass','cows','eat']}", "[{'op':'move','from':'/foo/1','path':'/foo/3'}]",
          "{'foo':['all','cows','eat','grass']}" },
        { "{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/b/c'}]", "400" },
        { "{'a':1}", "[{'op':'move','from':'/a','path':'/a'}]", "{'a':1}" },
        { "{'a':{'x':[1.50]},'b':{}}", "[{'op':'copy','from':'/a','path':'/b/c'}]",
          "{'a':{'x':[1.50]},'b':{'c':{'x':[1.50]}}}" },
        { "{'baz':'qux','foo':['a',2,'c']}",
          "[{'op':'test','path':'/baz','value':'qux'},{'op':'test','path':'/foo/1','value':2.0}]",
          "{'baz':'qux','foo':['a',2,'c']}" },
        { "{'baz':'qux'}", "[{'op':'test','path':'/baz','value':'bar'}]", "422" },
        { "{'a':'10'}", "[{'op':'test','path':'/a','value':10}]", "422" },
        { "{'a':{'b':1,'c':2}}",
          "[{'op':'add','path':'/a/d','value':3},{'op':'test','path':'/a','value':{'d':3,'c':2,"
          "'b':1}}]",
          "{'a':{'b':1,'c':2,'d':3}}" },
        { "{'/':9,'~1':10}",
          "[{'op':'test','path':'/~01','value':10},{'op':'remove','path':'/~1'}]", "{'~1':10}" },
        { "{'a':1}", "[{'op':'remove','path':'/~2'}]", "400" },
        { "{'a':1}", "[{'op':'remove','path':'a'}]", "400" },
        { "{'a':[1,2]}", "[{'op':'remove','path':'/a/01'}]", "422" },
        { "{'a':[1,2]}", "[{'op':'remove','path':'/a/99999999999999999999'}]", "422" },
        { "{'a':1}", "[{'op':'add','path':'/a/b','value':1}]", "422" },
        { "{'a':1}", "{'op':'remove','path':'/a'}", "400" },
        { "{'a':1}", "[{'op':'spam','path':'/a'}]", "400" },
        { "{'a':1}", "[{'op':'add','path':'/b'}]", "400" },
        { "{'a':1}", "[{'op':'remove'}]", "400" },
        { "{'a':1}", "[{'op':'copy','path':'/b'}]", "400" },
        { "{'a':1}", "[7]", "400" },
        { "{'a':1}", "[{'op':'add','path':'/b','value':null}]", "{'a':1,'b':null}" },
        { "{'a':1}", "[{},{},{},{},{},{},{},{},{},{},{}]", "413" },
        { "{'a':1}", "[{'op':'add','path':'/b','value':2,'xyz':3}]", "{'a':1,'b':2}" },
        { "{'a':1}", "[]", "{'a':1}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_patched(PATCH_JSON, rows[i].target, rows[i].patch, rows[i].expected);
}

static void untouched_content_keeps_its_bytes(void **state)
{
    (void)state;
    assert_patched(PATCH_JSON,
                   "{'a':1.00,'b':{'c':1e2,'d':[-0.0,9007199254740993]},'e':'\\u00e9\\/'}",
                   "[{'op':'add','path':'/b/x','value':0.10},{'op':'remove','path':'/a'}]",
                   "{'b':{'c':1e2,'d':[-0.0,9007199254740993],'x':0.10},'e':'\\u00e9\\/'}");
    assert_patched(PATCH_MERGE, "{'a':1.00,'e':'\\u00e9\\/','b':{'c':2.50,'d':1}}",
                   "{'b':{'d':3.0}}", "{'a':1.00,'e':'\\u00e9\\/','b':{'c':2.50,'d':3.0}}");
}

/* A value copied into itself over and over doubles each time. */
static void copies_cannot_grow_without_end(void **state)
{
    (void)state;
    struct text patch;
    text_init(&patch, arena, 4096);
    TEXT_LIT(&patch, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}}");
    for (int i = 0; i < 60; i++) {
        char op[96];
        int len = snprintf(op, sizeof(op), ",{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a%d\"}", i);
        text_add(&patch, op, (size_t)len);
    }
    TEXT_LIT(&patch, "]");
    struct patch p = { .kind = PATCH_JSON, .doc = parse(text_view(&patch)), .max_operations = 100 };
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_str text;
    assert_int_equal(patch_apply(arena, &patient, &p, parse(ANDIRON_STR("{}")), &text, &err), -1);
    assert_int_equal(andiron_code_http(err.code), 422);
}

/* RFC 7396, appendix A. */
static void merge_patch_does_what_rfc_7396_says(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{'a':'b'}", "{'a':'c'}", "{'a':'c'}" },
        { "{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}" },
        { "{'a':'b'}", "{'a':null}", "{}" },
        { "{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}" },
        { "{'a':['b']}", "{'a':'c'}", "{'a':'c'}" },
        { "{'a':'c'}", "{'a':['b']}", "{'a':['b']}" },
        { "{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}" },
        { "{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}" },
        { "{'e':null}", "{'a':1}", "{'e':null,'a':1}" },
        { "{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}" },
        { "{'a':'foo'}", "[1]", "400" },
        { "{'a':'foo'}", "null", "400" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_patched(PATCH_MERGE, rows[i].target, rows[i].patch, rows[i].expected);
}

/* ---- FHIRPath Patch ---------------------------------------------------------------------------- */

#define P(...) "{'resourceType':'Parameters','parameter':[" __VA_ARGS__ "]}"
#define OP(type, path, ...)                                                                        \
    "{'name':'operation','part':[{'name':'type','valueCode':'" type                                \
    "'},{'name':'path','valueString':'" path "'}" __VA_ARGS__ "]}"
#define NAME(name) ",{'name':'name','valueString':'" name "'}"
#define VALUE(value) ",{'name':'value'," value "}"
#define INDEX(name, n) ",{'name':'" name "','valueInteger':" #n "}"
#define T "'resourceType':'Patient'"

static void fhirpath_patch_edits_elements(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* add */
        { "{" T "}", P(OP("add", "Patient", NAME("birthDate") VALUE("'valueDate':'1930-01-01'"))),
          "{" T ",'birthDate':'1930-01-01'}" },
        { "{" T ",'birthDate':'1920'}",
          P(OP("add", "Patient", NAME("birthDate") VALUE("'valueDate':'1930'"))), "422" },
        { "{" T "}",
          P(OP("add", "Patient", NAME("deceased") VALUE("'valueDateTime':'2020-01-01'"))),
          "{" T ",'deceasedDateTime':'2020-01-01'}" },
        { "{" T ",'deceasedBoolean':true}",
          P(OP("add", "Patient", NAME("deceased") VALUE("'valueDateTime':'2020-01-01'"))), "422" },
        { "{" T "}", P(OP("add", "Patient", NAME("deceased") VALUE("'valueQuantity':{'value':1}"))),
          "400" },
        { "{" T "}", P(OP("add", "Patient", NAME("nothing") VALUE("'valueCode':'x'"))), "400" },
        { "{" T "}", P(OP("add", "Patient", NAME("name") VALUE("'valueHumanName':{'text':'x'}"))),
          "{" T ",'name':[{'text':'x'}]}" },
        { "{" T ",'name':[{'text':'a'}]}",
          P(OP("add", "Patient", NAME("name") VALUE("'valueHumanName':{'text':'x'}"))),
          "{" T ",'name':[{'text':'a'},{'text':'x'}]}" },
        { "{" T ",'name':[{'text':'a'}]}",
          P(OP("add", "Patient.name[0]", NAME("given") VALUE("'valueString':'x'"))),
          "{" T ",'name':[{'text':'a','given':['x']}]}" },
        { "{" T "}", P(OP("add", "Patient.name", NAME("given") VALUE("'valueString':'x'"))),
          "422" },
        { "{" T "}",
          P(OP("add", "Patient",
               NAME("contact") VALUE("'part':[{'name':'name','valueHumanName':{'text':'a name'}},"
                                     "{'name':'gender','valueCode':'male'},"
                                     "{'name':'telecom','valueContactPoint':{'value':'1'}},"
                                     "{'name':'telecom','valueContactPoint':{'value':'2'}}]"))),
          "{" T ",'contact':[{'name':{'text':'a name'},'gender':'male','telecom':[{'value':'1'},{"
          "'value':'2'}]}]}" },
        { "{" T ",'birthDate':'1920'}",
          P(OP("add", "Patient.birthDate",
               NAME("extension") VALUE("'valueExtension':{'url':'http://x','valueString':'y'}"))),
          "{" T ",'birthDate':'1920','_birthDate':{'extension':[{'url':'http://x','valueString':'y'"
          "}]}}" },
        /* replace */
        { "{" T ",'birthDate':'1920','_birthDate':{'id':'b'}}",
          P(OP("replace", "Patient.birthDate", VALUE("'valueDate':'1930'"))),
          "{" T ",'birthDate':'1930'}" },
        { "{" T ",'contact':[{'name':{'text':'a'}},{'gender':'male'}]}",
          P(OP("replace", "Patient.contact[1].gender", VALUE("'valueCode':'female'"))),
          "{" T ",'contact':[{'name':{'text':'a'}},{'gender':'female'}]}" },
        { "{" T ",'deceasedBoolean':true,'active':true}",
          P(OP("replace", "Patient.deceased", VALUE("'valueDateTime':'2020'"))),
          "{" T ",'active':true,'deceasedDateTime':'2020'}" },
        { "{" T "}", P(OP("replace", "Patient.birthDate", VALUE("'valueDate':'1930'"))), "422" },
        { "{" T ",'name':[{},{}]}",
          P(OP("replace", "Patient.name", VALUE("'valueHumanName':{'text':'x'}"))), "422" },
        { "{" T ",'name':[{'given':['A','B'],'_given':[{'id':'a'},null]}]}",
          P(OP("replace", "Patient.name.given[0]", VALUE("'valueString':'C'"))),
          "{" T ",'name':[{'given':['C','B']}]}" },
        { "{" T ",'identifier':[{'system':'a','value':'1'},{'system':'b','value':'2'}]}",
          P(OP("replace", "Patient.identifier.where(system = \\u0027b\\u0027).value",
               VALUE("'valueString':'3'"))),
          "{" T ",'identifier':[{'system':'a','value':'1'},{'system':'b','value':'3'}]}" },
        { "{" T ",'extension':[{'url':'u','valueString':'1'}]}",
          P(OP("replace", "Patient.extension(\\u0027u\\u0027).value", VALUE("'valueInteger':7"))),
          "{" T ",'extension':[{'url':'u','valueInteger':7}]}" },
        /* delete */
        { "{" T ",'birthDate':'1920','_birthDate':{'id':'b'},'active':true}",
          P(OP("delete", "Patient.birthDate")), "{" T ",'active':true}" },
        { "{" T "}", P(OP("delete", "Patient.birthDate")), "{" T "}" },
        { "{" T ",'name':[{'text':'a'}],'active':true}", P(OP("delete", "Patient.name")),
          "{" T ",'active':true}" },
        { "{" T ",'name':[{'text':'a'},{'text':'b'}]}", P(OP("delete", "Patient.name")), "422" },
        { "{" T ",'name':[{'text':'a'},{'text':'b'}]}", P(OP("delete", "Patient.name[0]")),
          "{" T ",'name':[{'text':'b'}]}" },
        { "{" T ",'name':[{'text':'a'},{'text':'b'}]}", P(OP("delete", "Patient.name.last()")),
          "{" T ",'name':[{'text':'a'}]}" },
        { "{" T ",'name':[{'given':['A','B'],'_given':[{'id':'a'},null]}]}",
          P(OP("delete", "Patient.name.given[0]")), "{" T ",'name':[{'given':['B']}]}" },
        { "{" T ",'name':[{'given':['A','B'],'_given':[null,{'id':'b'}]}]}",
          P(OP("delete", "Patient.name.given[0]")),
          "{" T ",'name':[{'given':['B'],'_given':[{'id':'b'}]}]}" },
        { "{" T "}", P(OP("delete", "Patient")), "422" },
        /* insert and move */
        { "{" T ",'identifier':[{'value':'1'},{'value':'3'}]}",
          P(OP("insert", "Patient.identifier",
               INDEX("index", 1) VALUE("'valueIdentifier':{'value':'2'}"))),
          "{" T ",'identifier':[{'value':'1'},{'value':'2'},{'value':'3'}]}" },
        { "{" T ",'identifier':[{'value':'1'}]}",
          P(OP("insert", "Patient.identifier",
               INDEX("index", 1) VALUE("'valueIdentifier':{'value':'2'}"))),
          "{" T ",'identifier':[{'value':'1'},{'value':'2'}]}" },
        { "{" T ",'identifier':[{'value':'1'}]}",
          P(OP("insert", "Patient.identifier",
               INDEX("index", 2) VALUE("'valueIdentifier':{'value':'2'}"))),
          "422" },
        { "{" T ",'name':[{'given':['A','B'],'_given':[{'id':'a'},null]}]}",
          P(OP("insert", "Patient.name.given", INDEX("index", 1) VALUE("'valueString':'C'"))),
          "{" T ",'name':[{'given':['A','C','B'],'_given':[{'id':'a'},null,null]}]}" },
        { "{" T "}",
          P(OP("insert", "Patient.identifier",
               INDEX("index", 0) VALUE("'valueIdentifier':{'value':'2'}"))),
          "422" },
        { "{" T ",'identifier':[{'value':'1'},{'value':'2'},{'value':'3'},{'value':'4'}]}",
          P(OP("move", "Patient.identifier", INDEX("source", 3) INDEX("destination", 1))),
          "{" T ",'identifier':[{'value':'1'},{'value':'4'},{'value':'2'},{'value':'3'}]}" },
        { "{" T ",'name':[{'given':['A','B'],'_given':[{'id':'a'},null]}]}",
          P(OP("move", "Patient.name.given", INDEX("source", 0) INDEX("destination", 1))),
          "{" T ",'name':[{'given':['B','A'],'_given':[null,{'id':'a'}]}]}" },
        { "{" T ",'identifier':[{'value':'1'}]}",
          P(OP("move", "Patient.identifier", INDEX("source", 1) INDEX("destination", 0))), "422" },
        /* several, one after another */
        { "{" T "}",
          P(OP("add", "Patient",
               NAME("maritalStatus") VALUE(
                   "'valueCodeableConcept':{'text':'m'}")) "," OP("add", "Patient.maritalStatus",
                                                                  NAME("coding") VALUE(
                                                                      "'valueCoding':{'code':'M'"
                                                                      "}")) "," OP("delete",
                                                                                   "Patient."
                                                                                   "maritalStatus"
                                                                                   ".text")),
          "{" T ",'maritalStatus':{'coding':[{'code':'M'}]}}" },
        { "{" T ",'contained':[{'resourceType':'Organization','id':'o','name':'x'}]}",
          P(OP("replace", "Patient.contained[0].name", VALUE("'valueString':'y'"))),
          "{" T ",'contained':[{'resourceType':'Organization','id':'o','name':'y'}]}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_patched(PATCH_FHIRPATH, rows[i].target, rows[i].patch, rows[i].expected);
}

static void malformed_fhirpath_patches_are_refused(void **state)
{
    (void)state;
    static const char *const patches[] = {
        "[]",
        "{'resourceType':'Patient'}",
        P("{'name':'other'}"),
        P(OP("spam", "Patient")),
        P("{'name':'operation','part':[{'name':'type','valueCode':'delete'}]}"),
        P(OP("add", "Patient", NAME("active"))),
        P(OP("add", "Patient", VALUE("'valueBoolean':true"))),
        P(OP("add", "Patient",
             NAME("active") VALUE("'valueBoolean':true") VALUE("'valueBoolean':false"))),
        P(OP("insert", "Patient.name", VALUE("'valueHumanName':{}"))),
        P(OP("move", "Patient.name")),
        P(OP("delete", "Patient.")),
        P(OP("delete", "Patient.name[")),
        P(OP("delete", "Patient.name[x]")),
        P(OP("delete", "Patient.name.where(")),
        P(OP("delete", "Patient.name.where(use = )")),
        P(OP("delete", "Patient.name.where(use = \\u0027x)")),
        P(OP("delete", "Patient.name.foo()")),
        P(OP("delete", "Patient.name or Patient.id")),
        P(OP("delete", "Patient.unknown")),
        P(OP("delete", "Observation.status")),
        P(OP("delete", "Patient.birthDate.value")),
        P(OP("delete", "(((((((Patient.name")),
    };
    for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++)
        assert_patched(PATCH_FHIRPATH, "{" T ",'birthDate':'1920','name':[{'use':'x'}]}",
                       patches[i], "400");
}

static void paths_choose_types_and_conditions(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{'resourceType':'Observation','valueQuantity':{'value':1.00}}",
          P(OP("replace", "Observation.value.ofType(Quantity).value",
               VALUE("'valueDecimal':2.50"))),
          "{'resourceType':'Observation','valueQuantity':{'value':2.50}}" },
        { "{'resourceType':'Observation','valueQuantity':{'value':1}}",
          P(OP("replace", "(Observation.value as Quantity).value", VALUE("'valueDecimal':2"))),
          "{'resourceType':'Observation','valueQuantity':{'value':2}}" },
        { "{'resourceType':'Observation','valueString':'x'}",
          P(OP("delete", "Observation.value as Quantity")),
          "{'resourceType':'Observation','valueString':'x'}" },
        { "{'resourceType':'Observation','component':[{'code':{'coding':[{'code':'a'}]},"
          "'valueInteger':1},{'code':{'coding':[{'code':'b'}]},'valueInteger':2}]}",
          P(OP("delete", "component.where(code.coding.code = \\u0027a\\u0027 and value = 1)")),
          "{'resourceType':'Observation','component':[{'code':{'coding':[{'code':'b'}]},"
          "'valueInteger':2}]}" },
        { "{'resourceType':'Observation','component':[{'valueInteger':1},{'valueInteger':2,"
          "'interpretation':[{'text':'x'}]}]}",
          P(OP("delete", "component.where(interpretation.exists())")),
          "{'resourceType':'Observation','component':[{'valueInteger':1}]}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(
            patched_as(&observation, PATCH_FHIRPATH, rows[i].target, quoted(rows[i].patch)),
            rows[i].expected);
}

static void the_kind_is_told_by_the_content_type(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum patch_kind kind;
    } rows[] = { { "application/json-patch+json", PATCH_JSON },
                 { "Application/JSON-Patch+json; charset=utf-8", PATCH_JSON },
                 { "application/merge-patch+json", PATCH_MERGE },
                 { "application/fhir+json", PATCH_FHIRPATH },
                 { "application/json", PATCH_FHIRPATH },
                 { "application/xml-patch+xml", PATCH_NONE },
                 { "", PATCH_NONE } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(patch_kind(andiron_str_of(rows[i].type)), rows[i].kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_patch_does_what_rfc_6902_says),
        cmocka_unit_test(untouched_content_keeps_its_bytes),
        cmocka_unit_test(copies_cannot_grow_without_end),
        cmocka_unit_test(merge_patch_does_what_rfc_7396_says),
        cmocka_unit_test(fhirpath_patch_edits_elements),
        cmocka_unit_test(malformed_fhirpath_patches_are_refused),
        cmocka_unit_test(paths_choose_types_and_conditions),
        cmocka_unit_test(the_kind_is_told_by_the_content_type),
    };
    return cmocka_run_group_tests(tests, new_arena, end_arena);
}
