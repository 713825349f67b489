# Warnings are errors, the same for every file of the project.
add_compile_options(
    -Wall -Wextra -Werror
    -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wformat=2 -Wpointer-arith -Wwrite-strings
)

# clang counts a macro of seccomp.h as an initializer that leaves members out; gcc does not.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    add_compile_options(-Wno-missing-field-initializers)
endif()
