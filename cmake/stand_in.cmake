# A small model for tests, with everything that a published one has: random weights, the same bytes at every build.
# polymath_uses_stand_in(<target>...) makes it before the target is built and tells it the place: POLYMATH_STAND_IN.
find_package(Python3 COMPONENTS Interpreter REQUIRED)
set(POLYMATH_STAND_IN ${CMAKE_BINARY_DIR}/models/stand-in)
set(stand_in_files config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json)
list(TRANSFORM stand_in_files PREPEND ${POLYMATH_STAND_IN}/)
add_custom_command(OUTPUT ${stand_in_files}
                   COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tools/make_checkpoint.py ${POLYMATH_STAND_IN}
                   DEPENDS ${CMAKE_SOURCE_DIR}/tools/make_checkpoint.py
                   COMMENT "Making the stand-in model"
                   VERBATIM)
add_custom_target(stand_in_model ALL DEPENDS ${stand_in_files})

function(polymath_uses_stand_in)
  foreach(target ${ARGN})
    add_dependencies(${target} stand_in_model)
    target_compile_definitions(${target} PRIVATE POLYMATH_STAND_IN="${POLYMATH_STAND_IN}")
  endforeach()
endfunction()
