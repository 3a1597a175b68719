# What is installed beside the program and the modules: headers, pkg-config and CMake files, configuration, template.
# Components: core (program, configuration), dev (what module authors need), module-NAME for each plugin.
file(STRINGS include/andiron/base.h lines REGEX "^#define ANDIRON_ABI_M(AJOR|INOR) ")
list(GET lines 0 major)
list(GET lines 1 minor)
string(REGEX REPLACE "[^0-9]" "" major ${major})
string(REGEX REPLACE "[^0-9]" "" minor ${minor})
set(ANDIRON_ABI ${major}.${minor})

# Paths as written into andiron.pc: below ${prefix} unless they are absolute.
foreach(name LIBDIR INCLUDEDIR SYSCONFDIR DATADIR)
    if(IS_ABSOLUTE ${CMAKE_INSTALL_${name}})
        set(PC_${name} ${CMAKE_INSTALL_${name}})
    else()
        set(PC_${name} "\${prefix}/${CMAKE_INSTALL_${name}}")
    endif()
endforeach()
# Where the package looks for the same, from its own place.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/andiron)

install(DIRECTORY include/andiron DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
configure_file(cmake/andiron.pc.in ${CMAKE_BINARY_DIR}/andiron.pc @ONLY)
configure_file(cmake/andiron-test.pc.in ${CMAKE_BINARY_DIR}/andiron-test.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/andiron.pc ${CMAKE_BINARY_DIR}/andiron-test.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/andiron-config.cmake.in ${CMAKE_BINARY_DIR}/andiron-config.cmake
    INSTALL_DESTINATION ${package_dir}
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR ANDIRON_MODULE_DIR ANDIRON_CONF_DIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/andiron-config-version.cmake
    VERSION ${ANDIRON_ABI} COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_BINARY_DIR}/andiron-config.cmake ${CMAKE_BINARY_DIR}/andiron-config-version.cmake
    DESTINATION ${package_dir} COMPONENT dev)
install(DIRECTORY examples/policy-engine DESTINATION ${CMAKE_INSTALL_DATADIR}/andiron/template COMPONENT dev
    USE_SOURCE_PERMISSIONS)

# A dashboard for Grafana and alert rules for Prometheus.
install(DIRECTORY etc/monitoring DESTINATION ${CMAKE_INSTALL_DATADIR}/andiron COMPONENT core)

# The configuration is the operator's once it is there.
configure_file(etc/andiron.conf.in ${CMAKE_BINARY_DIR}/andiron.conf @ONLY)
if(ANDIRON_PACKAGING) # a package makes the user and the bundle
    file(READ ${CMAKE_BINARY_DIR}/andiron.conf conf)
    string(REPLACE "\n# user =\n" "\nuser = andiron\n" conf "${conf}")
    string(REPLACE "\n# bundle =\n" "\nbundle = ${CMAKE_INSTALL_FULL_SYSCONFDIR}/andiron/init-bundle.json\n" conf "${conf}")
    file(WRITE ${CMAKE_BINARY_DIR}/andiron.conf "${conf}")
endif()
install(CODE "
    set(folder \"${ANDIRON_CONF_DIR}\")
    if(NOT IS_ABSOLUTE \"\${folder}\")
        set(folder \"\${CMAKE_INSTALL_PREFIX}/\${folder}\")
    endif()
    if(EXISTS \"\$ENV{DESTDIR}\${folder}/andiron.conf\")
        message(STATUS \"Kept: \$ENV{DESTDIR}\${folder}/andiron.conf\")
    else()
        file(INSTALL DESTINATION \"\${folder}\" TYPE FILE FILES \"${CMAKE_BINARY_DIR}/andiron.conf\")
    endif()
    file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${folder}/plugins.d\" \"\$ENV{DESTDIR}\${folder}/conf.d\")
" COMPONENT core)
