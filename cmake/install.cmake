# What is installed beside the program and the modules: headers, pkg-config and CMake files, configuration, template.
install(DIRECTORY include/andiron DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
