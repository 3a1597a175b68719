# What `andiron new` writes: the files of examples/policy-engine as a table in template.c, see core/cli/template.h.
set(folder ${CMAKE_SOURCE_DIR}/examples/policy-engine)
file(GLOB files CONFIGURE_DEPENDS RELATIVE ${folder} ${folder}/*)
set(arrays "")
set(table "")
set(number 0)
foreach(name ${files})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/${name})
    file(READ ${folder}/${name} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND arrays "static const unsigned char file_${number}[] = {${bytes}};\n")
    string(APPEND table "    { \"${name}\", { (const char *)file_${number}, sizeof(file_${number}) } },\n")
    math(EXPR number "${number} + 1")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/template.c @ONLY CONTENT "/* Made by cmake/template.cmake. */
#include \"cli/template.h\"

@arrays@
const struct template_file template_files[] = {
@table@    { NULL, { NULL, 0 } }
};
")
