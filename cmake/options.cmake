# Compiler and linker flags for everything that is built here.
add_library(andiron-flags INTERFACE)
target_include_directories(andiron-flags INTERFACE ${CMAKE_SOURCE_DIR}/include)
target_compile_definitions(andiron-flags INTERFACE _GNU_SOURCE)
target_compile_options(andiron-flags INTERFACE
    -Wall -Wextra -pedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
    -Wformat-security -fstack-protector-strong -fstack-clash-protection -fno-strict-aliasing)
# clang takes -Wformat=2 and -Wextra further than gcc does.
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    target_compile_options(andiron-flags INTERFACE -Wno-format-nonliteral -Wno-missing-field-initializers)
endif()
if(ANDIRON_WERROR)
    target_compile_options(andiron-flags INTERFACE -Werror)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(andiron-flags INTERFACE -fcf-protection)
endif()
if(ANDIRON_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "ANDIRON_FUZZ needs clang: configure with CC=clang")
endif()
if(ANDIRON_SANITIZE OR ANDIRON_FUZZ)
    target_compile_options(andiron-flags INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
        -fno-sanitize-recover=undefined -O1)
    target_link_options(andiron-flags INTERFACE -fsanitize=address,undefined)
    if(ANDIRON_FUZZ) # everything reports the edges it takes
        target_compile_options(andiron-flags INTERFACE -fsanitize=fuzzer-no-link)
        target_link_options(andiron-flags INTERFACE -fsanitize=fuzzer-no-link)
    endif()
elseif(ANDIRON_SANITIZE_THREADS)
    target_compile_options(andiron-flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer -O1)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # does not follow fences
        target_compile_options(andiron-flags INTERFACE -Wno-tsan)
    endif()
    target_link_options(andiron-flags INTERFACE -fsanitize=thread)
elseif(ANDIRON_COVERAGE)
    # Threads count, too, and what is built in one folder is reported from another.
    target_compile_options(andiron-flags INTERFACE -O1 --coverage -fprofile-update=atomic -fprofile-abs-path)
    target_link_options(andiron-flags INTERFACE --coverage)
else()
    target_compile_options(andiron-flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_link_options(andiron-flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)

# Our own code also watches its conversions; tests need not.
add_library(andiron-strict INTERFACE)
target_compile_options(andiron-strict INTERFACE -Wconversion)
