# The three build rules of the tree: a plugin, a shared piece of plugins, a unit test.

# andiron_test(FILE SOURCES... LINK LIBS... RUN_BY COMMAND...): one cmocka program from FILE (test_*.c), linked with core's objects.
function(andiron_test file)
    if(NOT ANDIRON_TESTS)
        return()
    endif()
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;RUN_BY" ${ARGN})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${file})
    string(REGEX REPLACE "[/.]" "-" name ${name})
    string(REGEX REPLACE "-c$" "" name ${name})
    add_executable(${name} ${file} ${ARG_SOURCES} $<TARGET_OBJECTS:andiron-core>)
    target_link_libraries(${name} PRIVATE andiron-flags andiron-core-libs ${ARG_LINK} PkgConfig::CMOCKA)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_compile_definitions(${name} PRIVATE ANDIRON_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
        ANDIRON_BINARY_DIR="${CMAKE_BINARY_DIR}")
    set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/unit)
    add_test(NAME ${name} COMMAND ${ARG_RUN_BY} $<TARGET_FILE:${name}> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()

# andiron_common(NAME LINK LIBS...): a static library of plugins/common from the current folder, and its tests.
function(andiron_common name)
    cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS *.c generated/*.c)
    file(GLOB tests CONFIGURE_DEPENDS test_*.c)
    if(tests)
        list(REMOVE_ITEM sources ${tests})
    endif()
    add_library(andiron-common-${name} STATIC ${sources})
    target_link_libraries(andiron-common-${name} PRIVATE andiron-flags andiron-strict PUBLIC ${ARG_LINK})
    target_include_directories(andiron-common-${name} PUBLIC ${CMAKE_SOURCE_DIR}/plugins)
    foreach(test ${tests})
        andiron_test(${test} LINK andiron-common-${name})
    endforeach()
endfunction()

# andiron_plugin(NAME LINK LIBS... TESTS_RUN_BY COMMAND...): NAME.so from all sources of the current folder, its tests (run
# by a program that prepares something for them, if given), its NN-NAME.conf.
function(andiron_plugin name)
    cmake_parse_arguments(ARG "" "" "LINK;TESTS_RUN_BY" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS *.c)
    file(GLOB tests CONFIGURE_DEPENDS test_*.c)
    if(tests)
        list(REMOVE_ITEM sources ${tests})
    endif()
    # Compiled once, for the module and for its tests.
    add_library(${name}-objects OBJECT ${sources})
    target_link_libraries(${name}-objects PRIVATE andiron-flags andiron-strict ${ARG_LINK})
    add_library(${name} MODULE $<TARGET_OBJECTS:${name}-objects>)
    target_link_libraries(${name} PRIVATE andiron-flags andiron-strict ${ARG_LINK})
    set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
    foreach(test ${tests})
        andiron_test(${test} SOURCES $<TARGET_OBJECTS:${name}-objects> LINK ${ARG_LINK} RUN_BY ${ARG_TESTS_RUN_BY})
    endforeach()
    file(GLOB conf CONFIGURE_DEPENDS [0-9][0-9]-${name}.conf)
    # A component for each: packages are split by them.
    install(TARGETS ${name} LIBRARY DESTINATION ${ANDIRON_MODULE_DIR} COMPONENT module-${name})
    install(FILES ${conf} DESTINATION ${ANDIRON_CONF_DIR}/plugins-available COMPONENT module-${name})
    set_property(GLOBAL APPEND PROPERTY ANDIRON_PLUGINS ${name})
endfunction()

set(ANDIRON_MODULE_DIR ${CMAKE_INSTALL_LIBDIR}/andiron/modules)
set(ANDIRON_CONF_DIR ${CMAKE_INSTALL_SYSCONFDIR}/andiron)
