# ballast_dev: what every program of our own links. Warnings, and the instruction set of the machine that builds.

# One instruction set per build tree: Eigen objects of different -march must not be linked together.
set(BALLAST_ARCH "detect" CACHE STRING
    "Instruction set of our own programs: detect, baseline, x86-64-v3, x86-64-v4 (never on the exported target)")
set(ballast_arch ${BALLAST_ARCH})
if(ballast_arch STREQUAL "detect")
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/detect_arch.cpp CONTENT [[
int main() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512cd");
  return v4 ? 4 : v3 ? 3 : 1;
#else
  return 1;
#endif
}
]])
  try_run(ballast_arch_level ballast_arch_compiled ${CMAKE_BINARY_DIR}/detect_arch
          ${CMAKE_BINARY_DIR}/detect_arch.cpp)
  set(ballast_arch "baseline")
  if(ballast_arch_compiled AND ballast_arch_level EQUAL 3)
    set(ballast_arch "x86-64-v3")
  elseif(ballast_arch_compiled AND ballast_arch_level EQUAL 4)
    set(ballast_arch "x86-64-v4")
  endif()
endif()

add_library(ballast_dev INTERFACE)
target_link_libraries(ballast_dev INTERFACE ballast::ballast)
if(NOT ballast_arch STREQUAL "baseline")
  target_compile_options(ballast_dev INTERFACE -march=${ballast_arch})
endif()
target_compile_options(ballast_dev INTERFACE
  $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wsign-conversion;-Wold-style-cast;-Wdouble-promotion;-Werror>
  $<$<CXX_COMPILER_ID:MSVC>:/W4;/permissive->)
if(ballast_arch STREQUAL "x86-64-v4" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND
   CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 warns inside its own AVX-512 intrinsics (GCC bug 105593); the v3 and clang builds keep the warning on.
  target_compile_options(ballast_dev INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
