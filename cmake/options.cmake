# Flags that every target shares. Instruction sets are never set here: see rooms.cmake.
add_compile_options("$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wall;-Wextra;-Wno-missing-field-initializers;-fno-plt>")
# Hardening: addresses are random, the loader's tables are read-only once it is done, a smashed stack ends the process.
add_compile_options("$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-fPIE;-fstack-protector-strong>")
add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
if(POLYMATH_SANITIZE)
  add_compile_options(-fsanitize=${POLYMATH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  add_compile_definitions(POLYMATH_SANITIZED=1)  # for tests' bounds of time
  add_link_options(-fsanitize=${POLYMATH_SANITIZE})
else()
  # One file that also runs on a newer glibc: everything but libc is inside it.
  add_link_options(-static-libstdc++ -static-libgcc)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT POLYMATH_SANITIZE)
  # The C library's checked calls need an optimised build; the sanitizers have checks of their own.
  add_compile_options("$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-ffunction-sections;-fdata-sections;-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
  add_link_options(-Wl,--gc-sections)
endif()
